/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Timers under load: every CPU has a TSC-deadline timer that its handler arms again, while it sends
 * interrupts to the next CPU, waits for each to be acknowledged, and reads registers whose content
 * it knows. No expiry comes early or is lost, no interrupt is lost or doubled, no read is wrong.
 */
#include "guest/apic.h"
#include "guest/rt/cpu.h"
#include "guest/rt/smp.h"
#include "hv/host/random.h"

#define VECTOR_EXPIRY	    0xe1
#define VECTOR_LOAD	    0x91
#define AHEAD_MIN	    500
#define AHEAD_MAX	    8000
#define STUCK_TICKS	    200000000ull
#define CPUID1_ECX_DEADLINE BIT(24)

static struct load {
	u64 left; /* expiries to come */
	u64 deadline;
	u64 early, latest, wrong, doubled, sent;
	_Atomic u64 acknowledged;
	_Atomic bool busy; /* its interrupt is on its way to the next CPU */
	_Atomic bool done;
	bool stuck;
	u32 id, version;
	struct rng rng;
} load[APIC_MAX_CPUS];

static u32 nr_cpus;

static void arm(struct load *l)
{
	l->deadline = rdtsc() + AHEAD_MIN + rng_below(&l->rng, AHEAD_MAX - AHEAD_MIN);
	wrmsr(MSR_TSC_DEADLINE, l->deadline);
}

static bool expired(struct trap_frame *frame)
{
	struct load *l = &load[cpu_index()];
	u64 now = rdtsc();

	l->early += now < l->deadline;
	l->latest = max_u64(l->latest, now - l->deadline);
	apic_set(LAPIC_EOI, 0);
	if (--l->left)
		arm(l);
	else
		atomic_store(&l->done, true);
	return true;
}

static bool acknowledge(struct trap_frame *frame)
{
	u32 cpu = cpu_index();
	struct load *from = &load[(cpu + nr_cpus - 1) % nr_cpus];

	if (!atomic_exchange(&from->busy, false))
		from->doubled++;
	atomic_fetch_add(&from->acknowledged, 1);
	apic_set(LAPIC_EOI, 0);
	return true;
}

/*
 * With interrupts disabled: the ICR of xAPIC mode is written in two halves, and the last expiry
 * must not come between the look at `done` and the IPI. The others disable theirs when all are
 * done.
 */
static void send_to_next(struct load *l, u32 cpu)
{
	if (nr_cpus == 1)
		return;
	local_irq_disable();
	if (!atomic_load(&l->done) && !atomic_load(&l->busy)) {
		atomic_store(&l->busy, true);
		l->sent++;
		apic_send(load[(cpu + 1) % nr_cpus].id, ICR_FIXED | ICR_ASSERT | VECTOR_LOAD);
	}
	local_irq_enable();
}

static bool all_done(void)
{
	for (u32 i = 0; i < nr_cpus; i++)
		if (!atomic_load(&load[i].done) || atomic_load(&load[i].busy))
			return false;
	return true;
}

static void run_one(void *arg)
{
	u32 cpu = cpu_index();
	struct load *l = &load[cpu % APIC_MAX_CPUS];
	u64 last;

	if (cpu < nr_cpus) {
		l->id = apic_own_id();
		l->version = apic_get(LAPIC_VERSION);
	}
	smp_barrier();
	if (cpu >= nr_cpus)
		return;
	last = rdtsc() + l->left * AHEAD_MAX + STUCK_TICKS;
	apic_set(LAPIC_LVT_TIMER, LVT_TSC_DEADLINE | VECTOR_EXPIRY);
	arm(l);
	local_irq_enable();
	while (!l->stuck && !all_done()) {
		send_to_next(l, cpu);
		l->wrong += apic_get(LAPIC_VERSION) != l->version || apic_own_id() != l->id;
		cpu_relax();
		l->stuck = rdtsc() > last;
	}
	local_irq_disable();
	apic_set(LAPIC_LVT_TIMER, LVT_MASKED);
}

static void report(u64 n)
{
	u64 early = 0, latest = 0, lost = 0, doubled = 0, wrong = 0, sent = 0, unanswered = 0;

	for (u32 i = 0; i < nr_cpus; i++) {
		struct load *l = &load[i];

		early += l->early;
		latest = max_u64(latest, l->latest);
		lost += l->left;
		doubled += l->doubled;
		wrong += l->wrong;
		sent += l->sent;
		unanswered += l->sent - atomic_load(&l->acknowledged);
	}
	apic_result_eq(early, 0, "under load no timer fires early");
	apic_result_eq(lost, 0, "and none is lost");
	apic_result(!unanswered && !doubled, "no interrupt between CPUs is lost or doubled");
	apic_result_eq(wrong, 0, "and registers read as what they are");
	ktap_note(
		"%llu expiries on each of %u CPUs, %llu interrupts between them; the latest expiry "
		"came %llu ticks late",
		(unsigned long long)n, nr_cpus, (unsigned long long)sent,
		(unsigned long long)latest);
}

void apic_load(u64 n)
{
	if (!(cpuid(1, 0).ecx & CPUID1_ECX_DEADLINE)) {
		ktap_skip("CPUID shows no TSC deadline", "timers under load");
		return;
	}
	nr_cpus = (u32)min_u64(smp_nr_cpus, APIC_MAX_CPUS);
	for (u32 i = 0; i < nr_cpus; i++) {
		load[i] = (struct load){ .left = n };
		rng_init(&load[i].rng, i + 1, 0);
	}
	apic_forget();
	trap_handle(VECTOR_EXPIRY, expired);
	trap_handle(VECTOR_LOAD, acknowledge);
	smp_run(run_one, NULL);
	report(n);
	trap_handle(VECTOR_EXPIRY, apic_arrived);
	trap_handle(VECTOR_LOAD, apic_arrived);
}
