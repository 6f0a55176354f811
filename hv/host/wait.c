/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Wait queues.
 *
 * A waker removes the waiter, marks it woken and makes its thread runnable, all under the queue's
 * lock, and wait_finish() takes that lock: once it returns no waker uses the waiter, its thread or
 * the queue any more, and all three may go away.
 */
#include "hv/host/errno.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"

void wait_queue_init(struct wait_queue *q)
{
	spin_lock_init(&q->lock);
	list_init(&q->waiters);
	atomic_init(&q->nr, 0);
}

/*
 * A waker whose turn with the lock is before this one wrote the condition before, so the caller
 * sees it; one that comes after finds the waiter. The addition to nr is the full fence that
 * wait_queue_active() asks for.
 */
static void enqueue(struct wait_queue *q, struct waiter *w)
{
	w->thread = thread_current();
	w->queue = q;
	atomic_init(&w->off, false);
	spin_lock(&q->lock);
	list_add_tail(&q->waiters, &w->node);
	atomic_fetch_add_explicit(&q->nr, 1, memory_order_seq_cst);
	spin_unlock(&q->lock);
}

/* Lock held. */
static void dequeue(struct wait_queue *q, struct waiter *w)
{
	list_del(&w->node);
	atomic_fetch_sub_explicit(&q->nr, 1, memory_order_relaxed);
}

void wait_prepare(struct wait_queue *q, struct waiter *w)
{
	atomic_init(&w->own, false);
	w->woken = &w->own;
	enqueue(q, w);
}

void wait_prepare_also(struct wait_queue *q, struct waiter *w, struct waiter *first)
{
	w->woken = first->woken;
	enqueue(q, w);
}

void wait_finish(struct wait_queue *q, struct waiter *w)
{
	spin_lock(&q->lock);
	if (!list_empty(&w->node)) /* else a waker did it */
		dequeue(q, w);
	spin_unlock(&q->lock);
}

/*
 * wait_finish() without the lock, where that is all the same: a waker has taken the waiter off, and
 * nobody has the lock any more, so that waker is through.
 */
static void finish_woken(struct waiter *w)
{
	if (!atomic_load_explicit(&w->off, memory_order_acquire) || spin_is_locked(&w->queue->lock))
		wait_finish(w->queue, w);
}

void wait_sleep(struct waiter *w)
{
	while (!atomic_load_explicit(w->woken, memory_order_acquire))
		thread_block(w->woken);
	finish_woken(w);
}

struct wait_timeout {
	struct timer timer;
	struct thread *thread;
	bool expired;
};

/* Interrupt context of the CPU of the sleeping thread, so it is not running now. */
static void wait_expire(struct timer *t)
{
	struct wait_timeout *timeout = container_of(t, struct wait_timeout, timer);

	timeout->expired = true;
	thread_wake(timeout->thread);
}

int wait_sleep_until(struct waiter *w, u64 deadline)
{
	struct wait_timeout timeout = { .thread = w->thread };

	timer_init(&timeout.timer, wait_expire);
	timeout.expired = ticks_now() >= deadline;
	if (!timeout.expired)
		timer_arm(&timeout.timer, deadline);
	while (!atomic_load_explicit(w->woken, memory_order_acquire) && !timeout.expired)
		thread_block(w->woken);
	timer_cancel(&timeout.timer);
	wait_finish(w->queue, w);
	/* Read again: a wake-up that was spent on this waiter must not be reported as a timeout. */
	return atomic_load_explicit(w->woken, memory_order_acquire) ? 0 : -ETIMEDOUT;
}

unsigned int wake_locked(struct wait_queue *q, unsigned int max)
{
	unsigned int n;

	for (n = 0; n < max && !list_empty(&q->waiters); n++) {
		struct waiter *w = list_entry(q->waiters.next, struct waiter, node);

		dequeue(q, w);
		atomic_store_explicit(&w->off, true, memory_order_release);
		atomic_store_explicit(w->woken, true, memory_order_release);
		thread_wake(w->thread);
	}
	return n;
}

unsigned int wake_one(struct wait_queue *q)
{
	unsigned int n;

	spin_lock(&q->lock);
	n = wake_locked(q, 1);
	spin_unlock(&q->lock);
	return n;
}

unsigned int wake_all(struct wait_queue *q)
{
	unsigned int n;

	spin_lock(&q->lock);
	n = wake_locked(q, UINT32_MAX);
	spin_unlock(&q->lock);
	return n;
}
