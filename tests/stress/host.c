/* SPDX-License-Identifier: GPL-2.0-only */
/* hv/host for stress programs: CPUs, threads, time, kicks. Locks, mutexes and wait queues are the
 * real ones. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hv/host/apic.h"
#include "hv/host/console.h"
#include "hv/host/cpuid.h"
#include "hv/host/errno.h"
#include "hv/host/irq.h"
#include "hv/host/print.h"
#include "hv/host/timer.h"
#include "hv/host/trace.h"
#include "tests/stress/host.h"
#include "tests/stress/stress.h"

#define BUFFERED 8 /* stores that a CPU's buffer holds */

struct store {
	volatile void *p;
	unsigned int size;
	int order;
	u64 value;
};

struct machine_cpu {
	struct cpu cpu;
	_Atomic u32 nmi; /* one is on its way */
	_Atomic bool in_guest;
	struct store store[BUFFERED]; /* the oldest first */
	unsigned int nr_stores;
	struct thread *thread;
};

struct thread {
	pthread_t pthread;
	unsigned int sched;
	char name[16];
	void (*fn)(void *);
	void *arg;
};

struct cpu *cpus[MAX_CPUS];
u32 nr_cpus;
u64 tsc_hz;
struct stress_run stress_run;

static struct machine_cpu machine[MAX_CPUS];
static struct thread first_thread = { .name = "main" };
static _Thread_local struct machine_cpu *me;

/* --- CPUs ------------------------------------------------------------------------------------ */

void host_reset(unsigned int threads)
{
	memset(machine, 0, sizeof(machine));
	for (u32 i = 0; i < MAX_CPUS; i++) {
		machine[i].cpu.id = i;
		list_init(&machine[i].cpu.timers);
		cpus[i] = &machine[i].cpu;
	}
	nr_cpus = threads;
	tsc_hz = sched_hz();
	me = &machine[sched_self()];
	me->thread = &first_thread;
}

struct cpu *this_cpu(void)
{
	return &me->cpu;
}

/* What the handler of an NMI in root mode does. Interrupts serialise: the buffer is empty then. */
static void take_nmi_in_root(void)
{
	buffer_drain();
	atomic_fetch_add(&me->cpu.nr_nmi, 1);
	atomic_store(&me->cpu.entry_barred, 1);
}

#define STORE(type, s, order) __atomic_store_n((volatile type *)(s)->p, (type)(s)->value, order)

/* As relaxed as it was asked for: the sanitizer is to see who published with too little. */
static void make_visible(const struct store *s)
{
	bool release = s->order == memory_order_release;

	switch (s->size) {
	case 1: release ? STORE(u8, s, __ATOMIC_RELEASE) : STORE(u8, s, __ATOMIC_RELAXED); break;
	case 2: release ? STORE(u16, s, __ATOMIC_RELEASE) : STORE(u16, s, __ATOMIC_RELAXED); break;
	case 4: release ? STORE(u32, s, __ATOMIC_RELEASE) : STORE(u32, s, __ATOMIC_RELAXED); break;
	default: release ? STORE(u64, s, __ATOMIC_RELEASE) : STORE(u64, s, __ATOMIC_RELAXED); break;
	}
}

static void store_oldest(void)
{
	struct store s = me->store[0];

	memmove(me->store, me->store + 1, --me->nr_stores * sizeof(*me->store));
	make_visible(&s);
}

void buffer_drain(void)
{
	while (me->nr_stores)
		store_oldest();
}

void buffer_store(volatile void *p, unsigned int size, u64 value, int order)
{
	me->store[me->nr_stores++] = (struct store){ p, size, order, value };
	if (!stress_run.buffered)
		buffer_drain();
	else if (me->nr_stores == BUFFERED)
		store_oldest();
}

bool buffer_load(const volatile void *p, unsigned int size, void *value)
{
	for (unsigned int i = me->nr_stores; i--;) {
		if (me->store[i].p != p)
			continue;
		memcpy(value, &me->store[i].value, size);
		return true;
	}
	return false;
}

/* It is on its way for a while. */
bool stress_take_nmi(void)
{
	return atomic_load_explicit(&me->nmi, memory_order_relaxed) && !sched_random(3) &&
	       atomic_exchange(&me->nmi, 0);
}

void stress_point(void)
{
	if (me->nr_stores && !sched_random(stress_run.buffered))
		store_oldest();
	sched_point();
	if (!atomic_load_explicit(&me->in_guest, memory_order_relaxed) && stress_take_nmi())
		take_nmi_in_root();
}

void cpu_relax(void)
{
	buffer_drain();
	sched_relax();
	stress_point();
}

void stress_enter_guest(void)
{
	atomic_store_explicit(&me->in_guest, true, memory_order_relaxed);
}

void stress_leave_guest(void)
{
	atomic_store_explicit(&me->in_guest, false, memory_order_relaxed);
}

/* The command register is written after all earlier stores have become visible. */
void apic_send_nmi(u32 cpu)
{
	stress_point();
	buffer_drain();
	atomic_store(&machine[cpu].nmi, 1);
}

void apic_send_nmi_mask(u64 mask)
{
	for (u32 cpu = 0; mask; cpu++, mask >>= 1)
		if (mask & 1)
			apic_send_nmi(cpu);
}

void apic_send_ipi_mask(u64 mask, u8 vector)
{
	stress_fail("an IPI with vector %#x to CPUs %#llx", vector, (unsigned long long)mask);
}

void irq_dispatch(u8 vector)
{
	stress_fail("interrupt %#x", vector);
}

void irq_window(void)
{
}

void trace(const char *name, u64 a, u64 b)
{
}

void host_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
	memset(out, 0, 4 * sizeof(*out));
	if (!leaf)
		out[0] = 1;
}

/* --- time ------------------------------------------------------------------------------------ */

u64 ticks_now(void)
{
	return sched_now();
}

void spin_ticks(u64 ticks)
{
	u64 end = sched_now() + ticks;

	while (sched_now() < end)
		cpu_relax();
}

void timer_arm(struct timer *t, u64 deadline)
{
	timer_cancel(t);
	t->deadline = deadline;
	t->armed = true;
	timer_queue_add(&me->cpu.timers, t);
}

bool timer_cancel(struct timer *t)
{
	bool was = t->armed;

	list_del(&t->node);
	t->armed = false;
	return was;
}

/* On the CPU that armed them, while its thread sleeps. */
u64 ticks_from_us(u64 us)
{
	return us * (tsc_hz / 1000000);
}

static void run_timers(void)
{
	struct list due, *pos, *next;

	list_init(&due);
	timer_queue_take_due(&me->cpu.timers, sched_now(), &due);
	list_for_each (pos, next, &due) {
		struct timer *t = list_entry(pos, struct timer, node);

		list_del(&t->node);
		t->armed = false;
		t->fn(t);
	}
}

static u64 next_deadline(void)
{
	struct list *timers = &me->cpu.timers;

	return list_empty(timers) ? SCHED_NEVER
				  : list_entry(timers->next, struct timer, node)->deadline;
}

/* --- threads --------------------------------------------------------------------------------- */

static void *start(void *arg)
{
	struct thread *t = arg;

	me = &machine[t->sched];
	me->thread = t;
	sched_enter(t->sched);
	t->fn(t->arg);
	stress_check(!me->cpu.loaded, "thread %s ends with a vCPU loaded", t->name);
	buffer_drain();
	sched_leave();
	return NULL;
}

int thread_create(struct thread **out, u32 cpu, const char *name, void (*fn)(void *), void *arg)
{
	struct thread *t = calloc(1, sizeof(*t));

	buffer_drain();
	t->sched = sched_add();
	stress_check(t->sched < nr_cpus, "more threads than the program has announced");
	strncpy(t->name, name, sizeof(t->name) - 1);
	t->fn = fn;
	t->arg = arg;
	if (pthread_create(&t->pthread, NULL, start, t))
		stress_fail("the build machine has no thread left");
	*out = t;
	return 0;
}

void thread_join(struct thread *t)
{
	buffer_drain();
	sched_join(t->sched);
	pthread_join(t->pthread, NULL);
	free(t);
}

struct thread *stress_spawn(const char *name, void (*fn)(void *), void *arg)
{
	struct thread *t;

	thread_create(&t, 0, name, fn, arg);
	return t;
}

void stress_wait(struct thread *t)
{
	thread_join(t);
}

struct thread *thread_current(void)
{
	return me->thread;
}

/* An NMI does not end the sleep; it is taken afterwards, or when the thread goes on. */
void thread_block(_Atomic bool *woken)
{
	buffer_drain();
	if (!atomic_load(woken))
		sched_block(next_deadline());
	run_timers();
	stress_point();
}

void thread_wake(struct thread *t)
{
	buffer_drain();
	sched_unblock(t->sched);
	stress_point();
}

void thread_yield(void)
{
	cpu_relax();
}

/* --- words ----------------------------------------------------------------------------------- */

/* Shown when the run fails. */
static char console[4096];
static size_t console_used;

void console_write(const char *s, size_t n)
{
	if (console_used + n > sizeof(console))
		console_used = 0;
	memcpy(console + console_used, s, n);
	console_used += n;
}

u64 stress_random(u64 n)
{
	return sched_random(n);
}

static void print_threads(void)
{
	for (u32 i = 0; i < nr_cpus; i++) {
		struct thread *t = machine[i].thread;

		if (t)
			printf("#   thread %u: %s%s%s\n", i, t->name,
			       sched_is_blocked(i) ? ", asleep" : "",
			       atomic_load(&machine[i].in_guest) ? ", in the guest" : "");
	}
}

/* The others go on meanwhile: what the report reads is not ordered by anything. */
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);

static noreturn void end_badly(const char *what)
{
	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
	printf("%.*s# %s\n", (int)console_used, console, what);
	print_threads();
	printf("not ok stress_%s %s\n", stress_test.name, host_describe_run());
	fflush(stdout);
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
	_exit(1);
}

const char *host_describe_run(void)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s %llu", stress_run.free ? "free" : "steps",
		 (unsigned long long)stress_run.seed);
	return text;
}

void host_stuck(const char *why)
{
	end_badly(why);
}

void stress_fail(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	end_badly(text);
}

void panic(const char *fmt, ...)
{
	char text[256] = "panic: ";
	va_list ap;

	va_start(ap, fmt);
	fmt_vprint(text + 7, sizeof(text) - 7, fmt, ap);
	va_end(ap);
	end_badly(text);
}
