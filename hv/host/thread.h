/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads pinned to a CPU, scheduled cooperatively; and wait queues.
 *
 * Root mode runs with interrupts off. A thread gives up its CPU only by sleeping, yielding, or by
 * ending; a vCPU's run loop also yields when a VM exit finds another thread runnable. The idle
 * thread is the only place (besides the guest) where host interrupts are taken.
 *
 * Waiting follows prepare-to-wait / check / sleep, so that a wake-up between the check and the
 * sleep is not lost:
 *
 *	struct waiter w;
 *	for (;;) {
 *		wait_prepare(&q, &w);
 *		if (condition)
 *			break;
 *		wait_sleep(&w);
 *	}
 *	wait_finish(&q, &w);
 */
#ifndef HV_HOST_THREAD_H
#define HV_HOST_THREAD_H

#include "hv/host/list.h"
#include "hv/host/spinlock.h"
#include "hv/host/types.h"

#define THREAD_STACK_SIZE KIB(16)

struct thread;

/**
 * thread_create - start a thread on a CPU
 * @out: the thread; may be NULL, then nobody can join it and it frees itself
 * @cpu: 0..nr_cpus-1
 * @name: for diagnosis, copied, up to 15 characters
 * @fn, @arg: what it runs; returning from @fn ends the thread
 *
 * The stack is 16 KiB with an unmapped guard page below. Returns 0, -EINVAL for a CPU that is not
 * online, -ENOMEM. Thread context.
 */
int thread_create(struct thread **out, u32 cpu, const char *name, void (*fn)(void *), void *arg);

/** thread_join - wait until @t has ended, then free it. Once per thread, from another thread. */
void thread_join(struct thread *t);

/**
 * thread_yield - let the other runnable threads of this CPU run first; returns at once if none is
 *
 * No interrupts are taken here: a loop that polls for something a timer brings about calls
 * irq_window() too.
 */
void thread_yield(void);

struct thread *thread_current(void);
const char *thread_name(const struct thread *t);
u32 thread_cpu(const struct thread *t);

struct wait_queue {
	struct spinlock lock;
	struct list waiters;
	_Atomic u32 nr; /* waiters; written under the lock, readable without */
};

#define WAIT_QUEUE_INIT(q)                                                                         \
	{                                                                                          \
		SPINLOCK_INIT, LIST_INIT((q).waiters), 0                                           \
	}

struct waiter {
	struct list node;
	struct thread *thread;
	struct wait_queue *queue;
	_Atomic bool *woken; /* its own, or the first one's of several */
	_Atomic bool own;
	_Atomic bool off; /* a waker has taken it off its queue */
};

void wait_queue_init(struct wait_queue *q);

/**
 * wait_prepare - put the current thread on the queue, before the condition is checked
 * @w: uninitialised, or left by wait_sleep(): every round has its prepare and then a sleep or
 * finish
 */
void wait_prepare(struct wait_queue *q, struct waiter *w);

/**
 * wait_prepare_also - the same for a further queue: a wake-up on either counts
 * @w: as in wait_prepare()
 * @first: the waiter that this thread will sleep with, prepared; wait_sleep(first) then returns for
 * a wake-up on any of the queues
 *
 * Every further waiter is taken off its queue with wait_finish() before @first goes out of scope.
 */
void wait_prepare_also(struct wait_queue *q, struct waiter *w, struct waiter *first);

/**
 * wait_sleep - sleep until woken since wait_prepare(); returns at once if that has happened
 *
 * On return the waiter is off the queue.
 */
void wait_sleep(struct waiter *w);

/**
 * wait_sleep_until - the same with a deadline
 * @deadline: absolute TSC value
 *
 * Returns 0 when woken, -ETIMEDOUT.
 */
int wait_sleep_until(struct waiter *w, u64 deadline);

/** wait_finish - leave the queue. @w may then be reused or go out of scope, and so may @q. */
void wait_finish(struct wait_queue *q, struct waiter *w);

/**
 * wake_one, wake_all - wake waiters
 *
 * What the waiter's condition reads must be written before. Any context but NMI; may be called with
 * locks held, but not a wait queue's. A CPU that is idle gets an IPI; one that is in a guest is
 * made to exit. Return the number woken.
 */
unsigned int wake_one(struct wait_queue *q);
unsigned int wake_all(struct wait_queue *q);

/**
 * wait_queue_active - whether anybody is on the queue
 *
 * For a waker that wants to leave the lock alone: it makes the condition visible with a
 * read-modify- write that is a full fence (or executes one) and then asks here. A waiter is
 * counted, with a full fence, before it looks at the condition; so either the waker sees it or it
 * sees the condition.
 */
static inline bool wait_queue_active(struct wait_queue *q)
{
	return atomic_load_explicit(&q->nr, memory_order_seq_cst);
}

/** wake_locked - the same for up to @max waiters, by a caller that has q->lock. */
unsigned int wake_locked(struct wait_queue *q, unsigned int max);

/**
 * thread_block - sleep until thread_wake(), or return at once when @woken is already true
 *
 * For wait queues; @woken is what the waker sets before it calls thread_wake(). May return early.
 */
void thread_block(_Atomic bool *woken);

/** thread_wake - make a thread that sleeps in thread_block() runnable. Any context but NMI. */
void thread_wake(struct thread *t);

/** thread_init_cpu - make the calling context this CPU's idle thread (once per CPU, start-up). */
void thread_init_cpu(void);

/** thread_idle - the idle loop; never returns. */
noreturn void thread_idle(void);

#endif
