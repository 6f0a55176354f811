/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `machine`: what the hypervisor itself stands on, on this machine: CPUs, threads,
 * interrupts, time, memory and its protection. It needs no VMX.
 */
#include "lab/machine.h"

#include "hv/host/acpi.h"
#include "hv/host/apic.h"
#include "hv/host/ktap.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/random.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "hv/host/x86.h"
#include "lab/experiment.h"

#define YIELDS	  200
#define WAKES	  100  /* of each CPU */
#define MAX_PAUSE 2000 /* ticks between two wakes: the sleeper is anywhere on its way to sleep */
#define LOST_US	  2000000

static const struct param_spec machine_spec[] = {
	PARAM_U64("n", 1, 100000, 100, "IPIs and NMIs to each CPU"),
};

u64 machine_samples[MACHINE_SAMPLES];

void machine_metric(const char *name, unsigned int n)
{
	const struct metric_param p = { .key = "cpus", .value = nr_cpus };

	if (n)
		metric_samples(name, "ticks", machine_samples, n, &p, 1);
}

void machine_result(u64 failed, const char *name)
{
	ktap_result(!failed, "%s", name);
	for (u32 cpu = 0; cpu < nr_cpus; cpu++)
		if (failed & BIT(cpu))
			ktap_note("CPU %u (APIC id %u) fails", cpu, cpus[cpu]->apic_id);
}

/* --- a thread on every CPU ------------------------------------------------------------------- */

struct everywhere {
	void (*fn)(u32 cpu, void *arg);
	void *arg;
};

static void run_everywhere(void *arg)
{
	const struct everywhere *e = arg;

	e->fn(thread_cpu(thread_current()), e->arg);
}

bool machine_on_every_cpu(void (*fn)(u32 cpu, void *arg), void *arg)
{
	struct everywhere e = { fn, arg };
	struct thread *thread[MAX_CPUS];
	u32 started = 0;

	while (started < nr_cpus &&
	       !thread_create(&thread[started], started, "everywhere", run_everywhere, &e))
		started++;
	for (u32 i = 0; i < started; i++)
		thread_join(thread[i]);
	if (started < nr_cpus)
		ktap_result(false, "there is memory for a thread on CPU %u", started);
	return started == nr_cpus;
}

/* --- CPUs ------------------------------------------------------------------------------------ */

static bool in_madt(u32 id)
{
	for (u32 i = 0; i < acpi_info.nr_cpus; i++)
		if (acpi_info.apic_id[i] == id)
			return true;
	return !acpi_info.present;
}

static void check_identity(u32 cpu, void *arg)
{
	_Atomic u64 *passed = arg;
	const struct cpu *c = this_cpu();

	if (c->id == cpu && cpus[cpu] == c && c->apic_id == apic_id() && in_madt(c->apic_id))
		atomic_fetch_or(passed, BIT(cpu));
}

static u64 all_cpus(void)
{
	return nr_cpus == 64 ? ~0ull : BIT(nr_cpus) - 1;
}

static void test_cpus(void)
{
	_Atomic u64 passed = 0;
	u32 twins = 0;

	if (acpi_info.present)
		ktap_expect_eq(nr_cpus, acpi_info.nr_cpus, "every CPU of the MADT is online");
	else
		ktap_skip("no MADT", "every CPU of the MADT is online");
	if (!machine_on_every_cpu(check_identity, &passed))
		return;
	machine_result(all_cpus() & ~atomic_load(&passed),
		       "every CPU runs a thread, under its own number and APIC id");
	for (u32 i = 0; i < nr_cpus; i++)
		for (u32 j = 0; j < i; j++)
			twins += cpus[i]->apic_id == cpus[j]->apic_id;
	ktap_expect_eq(twins, 0, "no two CPUs have the same APIC id");
}

/* --- switching ------------------------------------------------------------------------------- */

struct partner {
	_Atomic u64 turns;
	_Atomic bool over;
};

static void run_partner(void *arg)
{
	struct partner *p = arg;

	while (!atomic_load(&p->over)) {
		atomic_fetch_add(&p->turns, 1);
		thread_yield();
	}
}

static void test_yield(void)
{
	struct partner p = { .turns = 0 };
	struct thread *thread;
	u32 asked = 0;

	if (thread_create(&thread, 0, "partner", run_partner, &p)) {
		ktap_result(false, "there is memory for a thread");
		return;
	}
	thread_yield();
	for (u64 i = 0; i < YIELDS; i++) {
		u64 start = ticks_now();

		thread_yield();
		machine_samples[i] = (ticks_now() - start) / 2;
		asked += atomic_load(&this_cpu()->need_resched);
	}
	ktap_expect_eq(atomic_load(&p.turns), YIELDS + 1, "threads that yield take turns");
	ktap_expect_eq(asked, 0, "and a thread that yields asks nobody to yield to it");
	atomic_store(&p.over, true);
	thread_join(thread);
	machine_metric("machine.switch", YIELDS);
}

/* --- waking ---------------------------------------------------------------------------------- */

struct sleeper {
	struct wait_queue wq;
	_Atomic u64 asked, answered;
	_Atomic bool over;
};

static void run_sleeper(void *arg)
{
	struct sleeper *s = arg;

	while (!atomic_load(&s->over)) {
		struct waiter w;

		for (;;) {
			wait_prepare(&s->wq, &w);
			if (atomic_load(&s->over) ||
			    atomic_load(&s->asked) != atomic_load(&s->answered))
				break;
			wait_sleep(&w);
		}
		wait_finish(&s->wq, &w);
		atomic_store(&s->answered, atomic_load(&s->asked));
	}
}

/* Returns the ticks until the sleeper has answered, 0 when it did not. */
static u64 wake_once(struct sleeper *s, u64 nr)
{
	u64 start = ticks_now(), bound = ticks_from_us(LOST_US), passed;

	atomic_store(&s->asked, nr);
	wake_all(&s->wq);
	do {
		thread_yield(); /* it may be on this CPU */
		cpu_relax();
		passed = ticks_now() - start;
		if (atomic_load(&s->answered) == nr)
			return passed;
	} while (passed < bound);
	return 0;
}

/* Returns false when a wake was lost. */
static bool wake_many(struct sleeper *s, u32 cpu)
{
	struct rng rng;
	u64 ticks = 1;

	rng_init(&rng, run_options.seed, cpu);
	for (u64 nr = 1; nr <= WAKES && ticks; nr++) {
		ticks = wake_once(s, nr);
		machine_samples[nr - 1] = ticks;
		spin_ticks(rng_below(&rng, MAX_PAUSE));
	}
	return ticks;
}

static void test_wakes(void)
{
	static struct sleeper sleeper; /* outlives this function when a wake is lost */
	u64 lost = 0;

	for (u32 cpu = 0; cpu < nr_cpus && !lost; cpu++) {
		struct thread *thread;

		atomic_store(&sleeper.asked, 0);
		atomic_store(&sleeper.answered, 0);
		atomic_store(&sleeper.over, false);
		wait_queue_init(&sleeper.wq);
		if (thread_create(&thread, cpu, "sleeper", run_sleeper, &sleeper)) {
			ktap_result(false, "there is memory for a thread");
			return;
		}
		if (!wake_many(&sleeper, cpu)) {
			lost |= BIT(cpu);
			break;
		}
		atomic_store(&sleeper.over, true);
		wake_all(&sleeper.wq);
		thread_join(thread);
		if (!cpu)
			machine_metric("machine.wake_local", WAKES);
		else if (cpu == nr_cpus - 1)
			machine_metric("machine.wake", WAKES);
	}
	machine_result(lost, "no wake of a thread is lost, on any CPU");
}

void machine_test_cpus(void)
{
	test_cpus();
	test_yield();
	test_wakes();
}

static void run_machine(const struct param_values *params)
{
	machine_test_cpus();
	machine_test_interrupts(param_number(params, "n"));
	machine_test_time();
	machine_test_memory();
	machine_test_protection();
	machine_test_diagnosis();
}

EXPERIMENT(machine)
= {
	.name = "machine",
	.shows = "CPUs, threads, interrupts, timers, memory and its protection; needs no VMX",
	.spec = machine_spec,
	.nr_spec = ARRAY_SIZE(machine_spec),
	.run = run_machine,
};
