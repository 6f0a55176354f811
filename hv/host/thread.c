/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cooperative threads, pinned to their CPU: no thread ever runs anywhere else, so a runqueue entry
 * may be published while its thread is still on the way to sleep.
 *
 * Waking a CPU. The waker puts the thread on the runqueue (nr_runnable), executes a full fence, and
 * reads is_idle and in_guest. The CPU itself sets is_idle (here) or in_guest (the run loop),
 * executes a full fence, and reads nr_runnable. Whichever fence comes first, either the CPU sees
 * the thread and does not go to sleep or into the guest, or the waker sees that it does and sends
 * an interrupt. A CPU that is in neither state looks at its runqueue before it enters one. An idle
 * CPU gets an ordinary interrupt, which stays pending until "sti; hlt" takes it. One that is in a
 * guest gets an NMI: Bochs does not exit for an interrupt while the guest runs with interrupts off,
 * and an NMI that comes before the entry bars it (cpu->entry_barred).
 */
#include "hv/host/thread.h"

#include "hv/host/apic.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/paging.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/string.h"

#define STACK_CANARY 0x57ac4e2d57ac4e2dull /* lowest word of the stack */
#define NAME_SIZE    16

enum thread_state {
	THREAD_RUNNING,	 /* on its CPU */
	THREAD_RUNNABLE, /* on the runqueue */
	THREAD_SLEEPING, /* until thread_wake() */
	THREAD_ENDED,
};

struct thread {
	void *sp; /* while it does not run: what thread_switch() saved */
	struct list node;
	enum thread_state state; /* under the CPU's rq_lock */
	u32 cpu;
	bool detached; /* nobody will join it */
	bool ended;    /* its function has returned: the next on this CPU buries it */
	char name[NAME_SIZE];
	void (*fn)(void *);
	void *arg;
	u64 *stack;		 /* NULL: the idle thread, which has the CPU's first stack */
	struct wait_queue done;	 /* thread_join() */
	_Atomic bool gone;	 /* off its stack for ever */
	struct thread *previous; /* idle thread only: who ran before the current thread */
};

/* switch.S */
void thread_switch(void **save, void *load);
void thread_start(void);
void idle_halt(void);
void thread_main(struct thread *t);

/* --- the runqueue ---------------------------------------------------------------------------- */

static void rq_add(struct cpu *c, struct thread *t)
{
	t->state = THREAD_RUNNABLE;
	list_add_tail(&c->runqueue, &t->node);
	atomic_fetch_add_explicit(&c->nr_runnable, 1, memory_order_relaxed);
}

/* The next to run; the idle thread when nobody else wants to. */
static struct thread *rq_take(struct cpu *c)
{
	struct thread *t;

	if (list_empty(&c->runqueue))
		return c->idle;
	t = list_entry(c->runqueue.next, struct thread, node);
	list_del(&t->node);
	atomic_fetch_sub_explicit(&c->nr_runnable, 1, memory_order_relaxed);
	t->state = THREAD_RUNNING;
	return t;
}

/* Make a CPU look at its runqueue; see the top of this file. */
static void poke(struct cpu *c)
{
	if (c == this_cpu())
		return; /* looks by itself before it idles or enters a guest */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&c->in_guest, memory_order_relaxed))
		apic_send_nmi(c->id);
	else if (atomic_load_explicit(&c->is_idle, memory_order_relaxed))
		apic_send_ipi(c->id, VECTOR_RESCHED);
}

void thread_wake(struct thread *t)
{
	struct cpu *c = cpus[t->cpu];
	bool added;

	spin_lock(&c->rq_lock);
	added = t->state == THREAD_SLEEPING;
	if (added) {
		rq_add(c, t);
		/* Not for one that yields: two such threads would only make each other yield. */
		atomic_store_explicit(&c->need_resched, 1, memory_order_relaxed);
	}
	spin_unlock(&c->rq_lock);
	if (added)
		poke(c);
}

/* --- switching ------------------------------------------------------------------------------- */

static void thread_release(struct thread *t)
{
	stack_free(t->stack, THREAD_STACK_SIZE);
	kfree(t);
}

/* First thing on every stack that is switched to: an ended predecessor has left its own now. */
static void finish_switch(void)
{
	struct thread *prev = this_cpu()->idle->previous;

	if (!prev->ended)
		return;
	if (prev->detached) {
		thread_release(prev);
		return;
	}
	/* Under the lock, which the joiner takes once more before it frees the thread. */
	spin_lock(&prev->done.lock);
	atomic_store_explicit(&prev->gone, true, memory_order_release);
	wake_locked(&prev->done, UINT32_MAX);
	spin_unlock(&prev->done.lock);
}

/*
 * Leave the CPU to the next thread. Called with rq_lock held and the current thread's new state
 * set; returns without the lock when the thread runs again.
 */
static __always_inline void schedule_locked(struct cpu *c)
{
	struct thread *prev = c->current, *next = rq_take(c);

	spin_unlock(&c->rq_lock);
	if (next == prev)
		return;
	if (prev->stack && *prev->stack != STACK_CANARY)
		panic("thread %s: stack overflow", prev->name);
	c->idle->previous = prev;
	c->current = next;
	thread_switch(&prev->sp, next->sp);
	finish_switch();
}

void thread_yield(void)
{
	struct cpu *c = this_cpu();

	/* Before the look at the queue: a thread woken later sets it again. */
	atomic_store_explicit(&c->need_resched, 0, memory_order_seq_cst);
	if (!atomic_load_explicit(&c->nr_runnable, memory_order_relaxed))
		return;
	spin_lock(&c->rq_lock);
	if (c->current != c->idle)
		rq_add(c, c->current);
	schedule_locked(c);
}

void thread_block(_Atomic bool *woken)
{
	struct cpu *c = this_cpu();

	BUG_ON(c->current == c->idle);
	spin_lock(&c->rq_lock);
	/* The waker sets it before it takes the lock in thread_wake(). */
	if (atomic_load_explicit(woken, memory_order_acquire)) {
		spin_unlock(&c->rq_lock);
		return;
	}
	c->current->state = THREAD_SLEEPING;
	schedule_locked(c);
}

/* Where a new thread begins, called by thread_start. */
void thread_main(struct thread *t)
{
	struct cpu *c = this_cpu();

	finish_switch();
	t->fn(t->arg);
	t->ended = true;
	spin_lock(&c->rq_lock);
	t->state = THREAD_ENDED;
	schedule_locked(c);
	panic("thread %s runs after its end", t->name);
}

/* --- the interface --------------------------------------------------------------------------- */

struct thread *thread_current(void)
{
	return this_cpu()->current;
}

const char *thread_name(const struct thread *t)
{
	return t->name;
}

u32 thread_cpu(const struct thread *t)
{
	return t->cpu;
}

/* What thread_switch() pops on the first switch: RBX = the thread, then thread_start. */
static void prepare_stack(struct thread *t)
{
	u64 *top = t->stack + THREAD_STACK_SIZE / sizeof(*top);

	*t->stack = STACK_CANARY;
	*--top = 0;			  /* return address of thread_start: the backtrace ends */
	*--top = (uintptr_t)thread_start; /* return address of thread_switch */
	*--top = 0;			  /* RBP */
	*--top = (uintptr_t)t;		  /* RBX */
	for (int i = 12; i <= 15; i++)
		*--top = 0;
	t->sp = top;
}

int thread_create(struct thread **out, u32 cpu, const char *name, void (*fn)(void *), void *arg)
{
	struct thread *t;

	if (cpu >= nr_cpus)
		return -EINVAL;
	t = kzalloc(sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->stack = stack_alloc(THREAD_STACK_SIZE);
	if (!t->stack) {
		kfree(t);
		return -ENOMEM;
	}
	t->cpu = cpu;
	t->detached = !out;
	str_copy(t->name, name, sizeof(t->name));
	t->fn = fn;
	t->arg = arg;
	wait_queue_init(&t->done);
	prepare_stack(t);
	if (out)
		*out = t;

	/* From here on a detached thread may end and be freed at any moment. */
	t->state = THREAD_SLEEPING;
	thread_wake(t);
	return 0;
}

void thread_join(struct thread *t)
{
	struct waiter w;

	BUG_ON(t == thread_current() || t->detached);
	for (;;) {
		wait_prepare(&t->done, &w);
		if (atomic_load_explicit(&t->gone, memory_order_acquire))
			break;
		wait_sleep(&w);
	}
	wait_finish(&t->done, &w);
	thread_release(t);
}

/* --- idle ------------------------------------------------------------------------------------ */

void thread_init_cpu(void)
{
	struct cpu *c = this_cpu();
	struct thread *t = kzalloc(sizeof(*t));

	if (!t)
		panic("no memory for the idle thread of CPU %u", c->id);
	t->cpu = c->id;
	str_copy(t->name, "idle", sizeof(t->name));
	t->previous = t;
	wait_queue_init(&t->done);
	spin_lock_init(&c->rq_lock);
	list_init(&c->runqueue);
	c->idle = t;
	c->current = t;
}

noreturn void thread_idle(void)
{
	struct cpu *c = this_cpu();

	for (;;) {
		thread_yield();
		atomic_store_explicit(&c->is_idle, true, memory_order_relaxed);
		atomic_thread_fence(memory_order_seq_cst);
		if (!atomic_load_explicit(&c->nr_runnable, memory_order_relaxed))
			idle_halt();
		atomic_store_explicit(&c->is_idle, false, memory_order_relaxed);
	}
}
