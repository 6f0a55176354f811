/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `machine`: IPIs and NMIs reach every CPU, each exactly once. They come to a CPU that
 * is idle, and to one that spins with interrupts off, which must take an NMI at once and an IPI
 * only when it lets it in.
 */
#include "hv/host/apic.h"
#include "hv/host/irq.h"
#include "hv/host/ktap.h"
#include "hv/host/percpu.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "hv/host/x86.h"
#include "lab/machine.h"

#define LOST_US	 2000000
#define QUIET_US 20 /* long enough for a second interrupt to come after the first */

static u64 nr_taken(u32 cpu, bool nmi)
{
	return atomic_load(nmi ? &cpus[cpu]->nr_nmi : &cpus[cpu]->nr_kick);
}

static void send(u32 cpu, bool nmi)
{
	if (nmi)
		apic_send_nmi(cpu);
	else
		apic_send_ipi(cpu, VECTOR_KICK);
}

/* Returns the ticks until the CPU has taken interrupt number @nr, 0 when it does not. */
static u64 wait_taken(u32 cpu, bool nmi, u64 nr, u64 start)
{
	u64 bound = ticks_from_us(LOST_US), passed;

	do {
		if (cpu == this_cpu_id() && !nmi)
			irq_window();
		cpu_relax();
		passed = ticks_now() - start;
		if (nr_taken(cpu, nmi) >= nr)
			return passed ? passed : 1;
	} while (passed < bound);
	return 0;
}

/* Returns whether @cpu has taken each of @n interrupts, and no more. */
static bool send_many(u32 cpu, bool nmi, u64 n)
{
	u64 base = nr_taken(cpu, nmi);

	for (u64 i = 1; i <= n; i++) {
		u64 start = ticks_now(), ticks;

		send(cpu, nmi);
		ticks = wait_taken(cpu, nmi, base + i, start);
		machine_samples[(i - 1) % MACHINE_SAMPLES] = ticks;
		if (!ticks)
			return false;
	}
	spin_ticks(ticks_from_us(QUIET_US));
	return nr_taken(cpu, nmi) == base + n;
}

/* Every CPU but this one is idle. The metric is that of the last. */
static void test_idle(bool nmi, u64 n, const char *name, const char *metric)
{
	u64 failed = 0;

	for (u32 cpu = 0; cpu < nr_cpus; cpu++)
		if (!send_many(cpu, nmi, n))
			failed |= BIT(cpu);
	machine_result(failed, name);
	if (nr_cpus > 1)
		machine_metric(metric, (unsigned int)min_u64(n, MACHINE_SAMPLES));
}

/* --- with interrupts off --------------------------------------------------------------------- */

enum phase { PHASE_BUSY, PHASE_WINDOW, PHASE_END };

struct spinner {
	_Atomic bool ready, opened;
	_Atomic u32 phase; /* enum phase */
};

static void run_spinner(void *arg)
{
	struct spinner *s = arg;

	atomic_store(&s->ready, true);
	while (atomic_load(&s->phase) == PHASE_BUSY)
		cpu_relax();
	irq_window();
	atomic_store(&s->opened, true);
	while (atomic_load(&s->phase) != PHASE_END)
		cpu_relax();
}

static void wait_flag(_Atomic bool *flag)
{
	u64 end = ticks_now() + ticks_from_us(LOST_US);

	while (!atomic_load(flag) && ticks_now() < end)
		cpu_relax();
}

struct off_failures {
	u64 nmi, early, late; /* bit per CPU */
};

static void test_spinner(u32 cpu, struct spinner *s, u64 n, struct off_failures *f)
{
	u64 before = nr_taken(cpu, false);

	wait_flag(&s->ready);
	if (!send_many(cpu, true, n))
		f->nmi |= BIT(cpu);
	send(cpu, false);
	spin_ticks(ticks_from_us(QUIET_US));
	if (nr_taken(cpu, false) != before)
		f->early |= BIT(cpu);
	atomic_store(&s->phase, PHASE_WINDOW);
	wait_flag(&s->opened);
	if (nr_taken(cpu, false) != before + 1)
		f->late |= BIT(cpu);
	atomic_store(&s->phase, PHASE_END);
}

static void test_interrupts_off(u64 n)
{
	struct off_failures f = { 0 };

	for (u32 cpu = 1; cpu < nr_cpus; cpu++) {
		struct spinner s = { .phase = PHASE_BUSY };
		struct thread *thread;

		if (thread_create(&thread, cpu, "spinner", run_spinner, &s)) {
			ktap_result(false, "there is memory for a thread");
			return;
		}
		test_spinner(cpu, &s, n, &f);
		thread_join(thread);
	}
	if (nr_cpus < 2) {
		ktap_skip("needs 2 CPUs", "interrupts to a CPU that has them off");
		return;
	}
	machine_result(f.nmi, "an NMI is taken at once where interrupts are off, each one");
	machine_result(f.early, "an IPI waits while they are off");
	machine_result(f.late, "and is taken, once, when they are let in");
}

void machine_test_interrupts(u64 n)
{
	test_idle(false, n, "every IPI is taken once, by every CPU", "machine.ipi");
	test_idle(true, n, "every NMI is taken once, by every CPU", "machine.nmi");
	test_interrupts_off(n);
}
