/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One-shot timers per CPU on the local APIC timer.
 *
 * The APIC's own TSC-deadline mode would need no conversion, but Bochs ignores TSC adjustments in
 * it. The counter may run slightly fast against the TSC; an interrupt that comes before the
 * deadline finds nothing due and arms the rest.
 */
#include "hv/host/timer.h"

#include "hv/host/apic.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/x86.h"

#define COUNT_MAX UINT32_MAX

u64 ticks_from_us(u64 us)
{
	u64 whole, part = (us % 1000000 * tsc_hz + 999999) / 1000000;

	if (__builtin_mul_overflow(us / 1000000, tsc_hz, &whole) || whole + part < whole)
		return UINT64_MAX;
	return whole + part;
}

u64 ticks_to_us(u64 ticks)
{
	return ticks / tsc_hz * 1000000 + ticks % tsc_hz * 1000000 / tsc_hz;
}

void spin_ticks(u64 ticks)
{
	u64 start = rdtsc();

	while (rdtsc() - start < ticks)
		cpu_relax();
}

/* Make the APIC timer fire for the earliest deadline; stop it when there is none. */
static void program(struct cpu *c)
{
	unsigned __int128 count;
	u64 now, deadline;

	if (list_empty(&c->timers)) {
		apic_timer_oneshot(0);
		return;
	}
	deadline = list_entry(c->timers.next, struct timer, node)->deadline;
	now = rdtsc();
	count = (unsigned __int128)(deadline > now ? deadline - now : 0) * apic_timer_per_tsc;
	count = (count >> 32) + 1;
	/* A deadline beyond the counter's range takes several rounds. */
	apic_timer_oneshot(count < COUNT_MAX ? (u32)count : COUNT_MAX);
}

void timer_arm(struct timer *t, u64 deadline)
{
	struct cpu *c = this_cpu();

	BUG_ON(t->armed && t->cpu != c->id);
	list_del(&t->node);
	t->deadline = deadline;
	t->cpu = c->id;
	t->armed = true;
	timer_queue_add(&c->timers, t);
	program(c);
}

bool timer_cancel(struct timer *t)
{
	struct cpu *c = this_cpu();
	bool first = c->timers.next == &t->node;

	if (!t->armed)
		return false;
	BUG_ON(t->cpu != c->id);
	list_del(&t->node);
	t->armed = false;
	if (first)
		program(c);
	return true;
}

void timer_interrupt(void)
{
	struct cpu *c = this_cpu();
	struct list due = LIST_INIT(due);

	timer_queue_take_due(&c->timers, rdtsc(), &due);
	while (!list_empty(&due)) {
		struct timer *t = list_entry(due.next, struct timer, node);

		list_del(&t->node);
		t->armed = false;
		t->fn(t); /* may arm or cancel any timer of this CPU, itself included */
	}
	program(c);
}

void timer_init_cpu(void)
{
	list_init(&this_cpu()->timers);
	apic_timer_oneshot(0);
}
