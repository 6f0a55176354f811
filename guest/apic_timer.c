/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC's timer: one shot, periodic, TSC deadline. It never fires before its time by the
 * guest's own TSC, and fires as often as it should. The count's rate is known for the strict
 * hypervisor only: there it is the TSC's.
 */
#include "guest/apic.h"
#include "hv/host/random.h"

#define VECTOR_TIMER	    0xe1
#define DIVIDE_BY_1	    0xb
#define CPUID1_ECX_DEADLINE BIT(24)
#define NR_DEADLINES	    100
#define DEADLINE_MAX	    20000
#define PERIOD		    30000 /* at least; and longer than an expiry is handled */
#define NR_PERIODS	    10
#define SOON		    30000 /* at least; and later than what is done before it */
#define SOME_EXITS	    20	  /* of either */
#define LONG_COUNT	    0x40000000

static u64 came_at; /* when the handler ran last */

static void note_time(u8 vector)
{
	if (vector == VECTOR_TIMER)
		came_at = rdtsc();
}

/* @ticks, or more where an exit costs thousands of them. */
static u32 longer_than_exits(u32 ticks)
{
	u64 exits = rdtsc();

	cpuid(0, 0);
	exits = SOME_EXITS * (rdtsc() - exits);
	return (u32)(exits > ticks ? exits : ticks);
}

static void start(u32 mode, u32 divide, u32 count)
{
	apic_set(LAPIC_LVT_TIMER, mode | VECTOR_TIMER);
	apic_set(LAPIC_TIMER_DIVIDE, divide);
	apic_set(LAPIC_TIMER_INITIAL, count);
}

static void stop(void)
{
	apic_set(LAPIC_TIMER_INITIAL, 0);
	apic_set(LAPIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
}

/* The register's bits 3, 1 and 0 make a number: 0 is a division by 2, 6 one by 128, 7 by 1. */
static void check_one_shot(void)
{
	bool once = true, early = false;
	u64 most = 0;

	for (u32 code = 0; code < 8; code++) {
		u32 divide = (code & 4) << 1 | (code & 3), by = 1u << (code + 1) % 8;
		u32 count = 20000 / by;
		u64 from;

		apic_forget();
		from = rdtsc();
		start(0, divide, count);
		once &= apic_wait(0, VECTOR_TIMER, 1);
		early |= came_at - from < (u64)count * by;
		most = max_u64(most, came_at - from);
		apic_settle();
		apic_window();
		once &= apic_hits[0][VECTOR_TIMER] == 1 && !apic_get(LAPIC_TIMER_CURRENT);
	}
	apic_result(once, "a timer of one shot fires once, whatever it is divided by");
	if (apic_skip("and not before its count is over"))
		return;
	apic_result(!early, "and not before its count is over");
	ktap_note("the latest came after %llu of 20000 ticks", (unsigned long long)most);
}

static void check_count(void)
{
	u32 first, second;

	start(LVT_MASKED, DIVIDE_BY_1, LONG_COUNT);
	first = apic_get(LAPIC_TIMER_CURRENT);
	apic_settle();
	second = apic_get(LAPIC_TIMER_CURRENT);
	apic_result(first <= LONG_COUNT && second < first && second, "the count counts down");
	apic_result_eq(apic_get(LAPIC_TIMER_INITIAL), LONG_COUNT, "from what stays readable");
	apic_set(LAPIC_TIMER_INITIAL, 0);
	apic_result_eq(apic_get(LAPIC_TIMER_CURRENT), 0, "an initial count of 0 stops it");

	apic_forget();
	start(LVT_MASKED, DIVIDE_BY_1, 1000);
	for (unsigned int i = 0; i < 100 && apic_get(LAPIC_TIMER_CURRENT); i++)
		apic_settle();
	apic_window();
	apic_result(!apic_get(LAPIC_TIMER_CURRENT) && !apic_hits[0][VECTOR_TIMER] &&
			    !apic_bit(LAPIC_IRR, VECTOR_TIMER),
		    "a masked timer counts, and does not fire");
	stop();
}

/* As many as periods have passed; one may be on its way. Those that pass while the CPU stands still
 * become one. */
static void check_periodic(void)
{
	u64 from, before, after;
	u32 each = longer_than_exits(PERIOD);
	bool all, late;
	u32 hits;

	apic_forget();
	from = rdtsc();
	start(LVT_PERIODIC, DIVIDE_BY_1, each);
	all = apic_wait(0, VECTOR_TIMER, NR_PERIODS);
	before = rdtsc();
	hits = apic_hits[0][VECTOR_TIMER];
	after = rdtsc();
	stop();
	apic_result(all, "a periodic timer goes on");
	apic_window();
	apic_forget();
	apic_settle();
	apic_window();
	apic_result_eq(apic_hits[0][VECTOR_TIMER], 0, "until it is stopped");
	if (apic_skip("a periodic timer fires once a period"))
		return;
	late = !apic_shared && hits + 2 < (before - from) / each;
	apic_result(hits <= (after - from) / each && !late, "a periodic timer fires once a period");
	ktap_note("%u times in %llu periods", hits, (unsigned long long)((after - from) / each));
}

static void wait_halted(void)
{
	for (unsigned int i = 0; i < 100 && !apic_hits[0][VECTOR_TIMER]; i++)
		__asm__ volatile("sti; hlt; cli" ::: "memory");
}

static void check_halted(void)
{
	apic_forget();
	start(0, DIVIDE_BY_1, 50000);
	wait_halted();
	apic_result_eq(apic_hits[0][VECTOR_TIMER], 1, "a timer ends HLT");
	stop();
}

/* --- TSC deadline --------------------------------------------------------------------------------
 */

static void set_deadline(u64 tsc)
{
	wrmsr(MSR_TSC_DEADLINE, tsc);
	__asm__ volatile("mfence" ::: "memory");
}

static void check_deadlines(void)
{
	bool early = false, cleared = true;
	unsigned int wrong = 0;
	struct rng rng;
	u64 most = 0;

	rng_init(&rng, 1, 0);
	for (unsigned int i = 0; i < NR_DEADLINES; i++) {
		u64 deadline = rdtsc() + rng_below(&rng, DEADLINE_MAX);

		apic_forget();
		set_deadline(deadline);
		apic_wait(0, VECTOR_TIMER, 1);
		apic_window();
		wrong += apic_hits[0][VECTOR_TIMER] != 1;
		early |= came_at < deadline;
		cleared &= !rdmsr(MSR_TSC_DEADLINE);
		most = max_u64(most, came_at - deadline);
	}
	apic_result_eq(wrong, 0, "every TSC deadline fires once");
	apic_result(!early, "never before the TSC has reached it");
	apic_result(cleared, "and is 0 afterwards");
	ktap_note("%u deadlines, the latest came %llu ticks late", NR_DEADLINES,
		  (unsigned long long)most);
}

/* Interrupts off, and some more ticks for what is under way. */
static void wait_past(u64 tsc)
{
	while (rdtsc() < tsc)
		cpu_relax();
	apic_settle();
	apic_window();
}

static void check_deadline_rules(void)
{
	u32 after = longer_than_exits(SOON);
	u64 far = rdtsc() + BIT(40), soon;

	apic_forget();
	set_deadline(1);
	apic_window();
	apic_result_eq(apic_hits[0][VECTOR_TIMER], 1, "a deadline in the past fires at once");

	set_deadline(far);
	apic_result_eq(rdmsr(MSR_TSC_DEADLINE), far, "an armed deadline can be read");
	apic_set(LAPIC_TIMER_INITIAL, 100);
	apic_result(!apic_get(LAPIC_TIMER_CURRENT) && rdmsr(MSR_TSC_DEADLINE) == far,
		    "the count has no meaning then");
	set_deadline(0);
	apic_result_eq(rdmsr(MSR_TSC_DEADLINE), 0, "writing 0 disarms it");

	apic_forget();
	soon = rdtsc() + after;
	set_deadline(soon);
	apic_set(LAPIC_LVT_TIMER, VECTOR_TIMER);
	wait_past(soon);
	apic_result(!apic_hits[0][VECTOR_TIMER] && !rdmsr(MSR_TSC_DEADLINE),
		    "leaving the mode disarms it");
	set_deadline(1);
	apic_window();
	apic_result(!apic_hits[0][VECTOR_TIMER] && !rdmsr(MSR_TSC_DEADLINE),
		    "in another mode writing a deadline has no effect");

	/* Where the count may be much faster than the TSC it is over before it can be stopped. */
	if (!apic_skip("entering the mode stops the count")) {
		soon = rdtsc() + after;
		start(0, DIVIDE_BY_1, after);
		apic_set(LAPIC_LVT_TIMER, LVT_TSC_DEADLINE | VECTOR_TIMER);
		wait_past(soon);
		apic_result(!apic_hits[0][VECTOR_TIMER], "entering the mode stops the count");
	}
	apic_set(LAPIC_LVT_TIMER, LVT_TSC_DEADLINE | LVT_MASKED | VECTOR_TIMER);
	soon = rdtsc() + after;
	set_deadline(soon);
	wait_past(soon);
	apic_result_eq(apic_hits[0][VECTOR_TIMER], 0, "a masked deadline does not fire");
}

static void check_deadline_halted(void)
{
	u64 deadline;

	apic_forget();
	deadline = rdtsc() + 50000;
	set_deadline(deadline);
	wait_halted();
	apic_result(apic_hits[0][VECTOR_TIMER] == 1 && came_at >= deadline,
		    "a TSC deadline ends HLT");
}

void apic_check_timer(void)
{
	apic_inside = note_time;
	check_one_shot();
	check_count();
	check_periodic();
	check_halted();
	if (cpuid(1, 0).ecx & CPUID1_ECX_DEADLINE) {
		apic_set(LAPIC_LVT_TIMER, LVT_TSC_DEADLINE | VECTOR_TIMER);
		check_deadlines();
		check_deadline_halted();
		check_deadline_rules();
	} else {
		ktap_skip("CPUID shows no TSC deadline", "TSC deadlines");
	}
	stop();
	apic_inside = NULL;
}
