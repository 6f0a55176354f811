/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Time: the TSC, calibrated against the PIT, HPET or ACPI PM timer, and one-shot timers per CPU
 * driven by the local APIC timer.
 */
#ifndef HV_HOST_TIMER_H
#define HV_HOST_TIMER_H

#include "hv/host/list.h"
#include "hv/host/types.h"
#include "hv/host/x86.h"

extern u64 tsc_hz;	       /* 0 before time_init() */
extern u64 apic_timer_hz;      /* rate of apic_timer_oneshot()'s counts; the same on all CPUs */
extern u64 apic_timer_per_tsc; /* the ratio of the two, as 32.32 fixed-point number */
extern const char *tsc_source; /* "pit", "hpet", "pmtimer", or "cpuid" */

/**
 * time_init - calibrate the TSC and the local APIC timer
 *
 * CPUID's own figure (leaf 0x15) is exact where it is true: it is used when a measurement agrees
 * with it to 1 percent, and when there is nothing to measure with. Boot CPU, once, after ACPI and
 * APIC. Takes 4 ms, or 0.1 s where a look at a clock is slow. Returns 0, or -ENODEV when no
 * reference counts and CPUID says nothing.
 */
int time_init(void);

/**
 * time_check - measure the TSC once more, against another clock than the one that time_init() took
 * @name: its name, as tsc_source
 * @hz: the TSC's rate by that clock
 *
 * Thread context, on the boot CPU; takes 4 ms, in which no timer of this CPU fires. Returns 0, or
 * -ENODEV when there is no other clock that counts.
 */
int time_check(const char **name, u64 *hz);

/** ticks_now - TSC of this CPU. */
#if __STDC_HOSTED__
u64 ticks_now(void); /* tests bring their own */
#else
static inline u64 ticks_now(void)
{
	return rdtsc();
}
#endif

/* After time_init(). Microseconds become at least that many ticks; ticks are rounded down. */
u64 ticks_from_us(u64 us);
u64 ticks_to_us(u64 ticks);

/** spin_ticks - busy-wait for @ticks TSC ticks. */
void spin_ticks(u64 ticks);

struct timer {
	struct list node;
	u64 deadline;		     /* absolute TSC */
	void (*fn)(struct timer *t); /* interrupt context of the arming CPU, interrupts off */
	u32 cpu;
	bool armed;
};

void timer_init(struct timer *t, void (*fn)(struct timer *t));

/**
 * timer_arm - call t->fn on this CPU at or shortly after @deadline
 * @deadline: absolute TSC; one in the past fires as soon as interrupts are taken
 *
 * Re-arming moves it. Interrupts off. Interrupts are taken in the idle loop, and while a guest
 * runs.
 */
void timer_arm(struct timer *t, u64 deadline);

/** timer_cancel - true when it was armed and will not fire. On the CPU that armed it, or unarmed.
 */
bool timer_cancel(struct timer *t);

/** timer_interrupt - run what is due and re-arm the hardware: the timer vector's handler. */
void timer_interrupt(void);

/* The list of armed timers by itself: sorted by deadline, equal ones in the order they were armed.
 */
void timer_queue_add(struct list *queue, struct timer *t);
void timer_queue_take_due(struct list *queue, u64 now, struct list *due);

/** timer_init_cpu - set up this CPU's APIC timer. After time_init(). */
void timer_init_cpu(void);

#endif
