/* SPDX-License-Identifier: GPL-2.0-only */
/* The queue of pages that a VM waits for, and handing them out. See hv/vm/fetch.h. */
#include "hv/vm/fetch.h"

#include "hv/host/chaos.h"
#include "hv/host/errno.h"
#include "hv/vm/backing_internal.h"
#include "hv/vm/vm.h"

void fetch_queue_init(struct fetch_queue *q)
{
	spin_lock_init(&q->lock);
	list_init(&q->backings);
	wait_queue_init(&q->wanted);
	atomic_init(&q->sleepers, 0);
	wait_queue_init(&q->others);
}

void fetch_link(struct fetch_queue *q, struct backing *b)
{
	spin_lock(&q->lock);
	list_add_tail(&q->backings, &b->in_queue);
	spin_unlock(&q->lock);
	b->queue = q;
}

void fetch_unlink(struct backing *b)
{
	spin_lock(&b->queue->lock);
	list_del(&b->in_queue);
	spin_unlock(&b->queue->lock);
	b->queue = NULL;
}

void fetch_wake(struct fetch_queue *q)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (wait_queue_active(&q->wanted))
		wake_one(&q->wanted);
}

/* The backing whose turn it is, with a reference, or NULL. */
static struct backing *next_backing(struct fetch_queue *q)
{
	struct backing *b = NULL;

	spin_lock(&q->lock);
	if (!list_empty(&q->backings)) {
		b = list_entry(q->backings.next, struct backing, in_queue);
		/* It is alive: who would free it has it leave the queue first. */
		backing_get(b);
		list_del(&b->in_queue);
		list_add_tail(&q->backings, &b->in_queue);
	}
	spin_unlock(&q->lock);
	return b;
}

/* One that has left the queue since it was found there is not found again, so this ends. */
static bool take(struct fetch_queue *q, struct fetch *out)
{
	while ((out->backing = next_backing(q))) {
		race_point();
		if (backing_take_wanted(out->backing, q, &out->offset))
			return true;
		backing_put(out->backing);
	}
	return false;
}

static bool has_more(struct fetch_queue *q)
{
	bool more;

	spin_lock(&q->lock);
	more = !list_empty(&q->backings);
	spin_unlock(&q->lock);
	return more;
}

int vm_next_fetch(struct vm *vm, struct fetch *out, u64 deadline)
{
	struct fetch_queue *q = &vm->fetches;
	struct waiter w;

	for (;;) {
		wait_prepare(&q->wanted, &w);
		race_point();
		if (take(q, out))
			break;
		if (wait_sleep_until(&w, deadline))
			return -ETIMEDOUT;
	}
	wait_finish(&q->wanted, &w);
	/* While this thread was on the wait queue it may have been woken for another page too. */
	if (has_more(q))
		fetch_wake(q);
	return 0;
}
