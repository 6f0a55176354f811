/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See hv/host/mutex.h.
 *
 * The one who unlocks clears the owner, then looks whether anybody waits; the one who waits is
 * counted as waiting, then tries once more: with a full fence in between on both sides, either the
 * attempt succeeds or the waiter is woken.
 */
#include "hv/host/mutex.h"

#include "hv/host/print.h"

void mutex_init(struct mutex *m)
{
	wait_queue_init(&m->wq);
	atomic_init(&m->owner, NULL);
}

static bool take(struct mutex *m)
{
	struct thread *me = thread_current(), *owner = NULL;

	if (likely(atomic_compare_exchange_strong_explicit(
		    &m->owner, &owner, me, memory_order_seq_cst, memory_order_seq_cst)))
		return true;
	BUG_ON(owner == me);
	return false;
}

void mutex_lock(struct mutex *m)
{
	struct waiter w;

	while (!take(m)) {
		wait_prepare(&m->wq, &w);
		if (take(m)) {
			wait_finish(&m->wq, &w);
			return;
		}
		wait_sleep(&w);
	}
}

void mutex_unlock(struct mutex *m)
{
	BUG_ON(atomic_exchange_explicit(&m->owner, NULL, memory_order_seq_cst) != thread_current());
	if (unlikely(wait_queue_active(&m->wq)))
		wake_one(&m->wq);
}
