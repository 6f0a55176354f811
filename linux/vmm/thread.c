/* SPDX-License-Identifier: GPL-2.0-only */
/* hv/host's CPUs, threads and locks on Linux: pthreads pinned to CPUs, and futexes. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hv/host/errno.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "linux/vmm/internal.h"

#define NS_PER_S 1000000000ull
#define FOR_EVER UINT64_MAX

struct thread {
	pthread_t pthread;
	int tid;
	u32 cpu;
	char name[16];
	void (*fn)(void *);
	void *arg;
	bool detached;
	_Atomic u32 woken; /* thread_wake() was here; a futex */
	struct list timers;
};

struct cpu *cpus[MAX_CPUS];
u32 nr_cpus;

static struct cpu cpu_data[MAX_CPUS];
static int cpu_number[MAX_CPUS]; /* the kernel's */
static struct thread first_thread = { .name = "main" };
static _Thread_local struct thread *me = &first_thread;

static void futex_wait(_Atomic u32 *word, u32 value, u64 ticks)
{
	u64 ns = ticks == FOR_EVER ? 0
				   : ticks / tsc_hz * NS_PER_S + ticks % tsc_hz * NS_PER_S / tsc_hz;
	const struct timespec limit = { .tv_sec = (time_t)(ns / NS_PER_S),
					.tv_nsec = (long)(ns % NS_PER_S) };

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, ticks == FOR_EVER ? NULL : &limit, NULL,
		0);
}

static void futex_wake(_Atomic u32 *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* --- CPUs ------------------------------------------------------------------------------------- */

struct cpu *this_cpu(void)
{
	return &cpu_data[me->cpu];
}

void cpu_relax(void)
{
	/* With one CPU the other side cannot do anything meanwhile. */
	if (nr_cpus == 1)
		sched_yield();
	else
		__builtin_ia32_pause();
}

static void pin(u32 cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu_number[cpu], &set);
	BUG_ON(sched_setaffinity(0, sizeof(set), &set));
}

void threads_init(void)
{
	cpu_set_t set;

	BUG_ON(sched_getaffinity(0, sizeof(set), &set));
	for (int n = 0; n < CPU_SETSIZE && nr_cpus < MAX_CPUS; n++) {
		if (!CPU_ISSET(n, &set))
			continue;
		cpu_number[nr_cpus] = n;
		cpu_data[nr_cpus] = (struct cpu){ .self = &cpu_data[nr_cpus], .id = nr_cpus };
		cpus[nr_cpus] = &cpu_data[nr_cpus];
		nr_cpus++;
	}
	list_init(&first_thread.timers);
	first_thread.tid = gettid();
	pin(0);
}

/* --- threads ---------------------------------------------------------------------------------- */

static void *start(void *arg)
{
	me = arg;
	me->tid = gettid();
	pin(me->cpu);
	me->fn(me->arg);
	if (me->detached)
		free(me);
	return NULL;
}

int thread_create(struct thread **out, u32 cpu, const char *name, void (*fn)(void *), void *arg)
{
	struct thread *t;
	pthread_t pthread;

	if (cpu >= nr_cpus)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->cpu = cpu;
	t->fn = fn;
	t->arg = arg;
	t->detached = !out;
	list_init(&t->timers);
	str_copy(t->name, name, sizeof(t->name));
	if (out)
		*out = t; /* it may ask for itself at once */
	if (pthread_create(&pthread, NULL, start, t)) {
		free(t);
		if (out)
			*out = NULL;
		return -ENOMEM;
	}
	/* A detached one may be gone with its structure by now. */
	if (out)
		t->pthread = pthread;
	else
		pthread_detach(pthread);
	return 0;
}

void thread_join(struct thread *t)
{
	pthread_join(t->pthread, NULL);
	free(t);
}

void thread_yield(void)
{
	sched_yield();
}

struct thread *thread_current(void)
{
	return me;
}

const char *thread_name(const struct thread *t)
{
	return t->name;
}

u32 thread_cpu(const struct thread *t)
{
	return t->cpu;
}

int thread_tid(void)
{
	return me->tid;
}

/* --- sleeping --------------------------------------------------------------------------------- */

void timer_arm(struct timer *t, u64 deadline)
{
	timer_cancel(t);
	t->deadline = deadline;
	t->armed = true;
	timer_queue_add(&me->timers, t);
}

bool timer_cancel(struct timer *t)
{
	bool was = t->armed;

	list_del(&t->node);
	t->armed = false;
	return was;
}

/* A thread's timers run while it sleeps: that is what they are for here. */
static void run_timers(void)
{
	struct list due, *pos, *next;

	list_init(&due);
	timer_queue_take_due(&me->timers, ticks_now(), &due);
	list_for_each (pos, next, &due) {
		struct timer *t = list_entry(pos, struct timer, node);

		list_del(&t->node);
		t->armed = false;
		t->fn(t);
	}
}

static u64 ticks_left(void)
{
	u64 now = ticks_now(), deadline;

	if (list_empty(&me->timers))
		return FOR_EVER;
	deadline = list_entry(me->timers.next, struct timer, node)->deadline;
	return deadline > now ? deadline - now : 0;
}

void thread_block(_Atomic bool *woken)
{
	if (atomic_load(woken))
		return;
	if (!atomic_exchange(&me->woken, 0)) {
		futex_wait(&me->woken, 0, ticks_left());
		atomic_store(&me->woken, 0);
	}
	run_timers();
}

void thread_wake(struct thread *t)
{
	atomic_store(&t->woken, 1);
	futex_wake(&t->woken);
}

/* --- spin locks: they sleep ------------------------------------------------------------------- */

/* struct spinlock's first word: free, taken, taken and somebody may be waiting. */
enum { FREE, TAKEN, WAITED };

void spin_lock(struct spinlock *l)
{
	u32 free = FREE;

	if (likely(atomic_compare_exchange_strong(&l->next, &free, TAKEN)))
		return;
	while (atomic_exchange(&l->next, WAITED) != FREE)
		futex_wait(&l->next, WAITED, FOR_EVER);
}

bool spin_trylock(struct spinlock *l)
{
	u32 free = FREE;

	return atomic_compare_exchange_strong(&l->next, &free, TAKEN);
}

void spin_unlock(struct spinlock *l)
{
	if (atomic_exchange(&l->next, FREE) == WAITED)
		futex_wake(&l->next);
}

bool spin_is_locked(struct spinlock *l)
{
	return atomic_load(&l->next) != FREE;
}
