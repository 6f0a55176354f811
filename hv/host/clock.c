/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How fast the TSC and the APIC timer count: measured over a short time against a clock whose rate
 * is known. The TSC is read before the clock starts and after it ends: disturbances (SMIs, a busy
 * host under an emulator) only ever lengthen a measurement, so the shortest of a few counts.
 */
#include "hv/host/timer.h"

#include "hv/host/acpi.h"
#include "hv/host/apic.h"
#include "hv/host/errno.h"
#include "hv/host/paging.h"
#include "hv/host/x86.h"

#define WINDOW_HZ    500 /* a measurement takes 2 ms, ... */
#define WINDOWS_MAX  27	 /* ... or so many times that where polls are slow: 16 bits of PIT */
#define POLLS_EXACT  100 /* those of a measurement to 1 percent, and some more */
#define MEASUREMENTS 5	 /* at most; two that agree to 1 percent are enough */
#define POLLS_MAX    (1u << 20)
#define POLLS_MIN    3 /* a clock that jumps at once is none */

#define PIT_HZ		  1193182
#define PIT_CHANNEL2	  0x42
#define PIT_COMMAND	  0x43
#define PIT_CH2_MODE0_BIN 0xb0 /* channel 2, low then high byte, interrupt on terminal count */
#define PORT_SYSTEM_B	  0x61
#define SYSTEM_B_GATE2	  0x01
#define SYSTEM_B_SPEAKER  0x02
#define SYSTEM_B_OUT2	  0x20

#define HPET_CAPABILITIES  0x00
#define HPET_CONFIG	   0x10
#define HPET_COUNTER	   0xf0
#define HPET_SIZE	   0x400
#define HPET_CONFIG_ENABLE BIT(0)
#define HPET_PERIOD_MAX	   100000000 /* femtoseconds, by the specification */
#define FEMTOSECONDS	   1000000000000000ull

#define PM_TIMER_HZ 3579545

#define CPUID_TSC 0x15

u64 tsc_hz;
u64 apic_timer_hz;
u64 apic_timer_per_tsc;
const char *tsc_source = "none";

/* Elapsed during one measurement. */
struct span {
	u64 tsc;
	u64 apic;
	u64 counts; /* of the reference */
};

/* A clock of known rate. */
struct reference {
	const char *name;
	u64 hz;
	/* Over a number of windows; in @polls what it took. */
	bool (*measure)(const struct reference *r, u32 windows, struct span *s, u32 *polls);
	u64 (*read)(void); /* for measure_counter() */
	u64 mask;
};

static void span_begin(struct span *s)
{
	apic_timer_oneshot(UINT32_MAX);
	s->tsc = rdtsc();
}

static void span_end(struct span *s, u64 counts)
{
	s->tsc = rdtsc() - s->tsc;
	s->apic = UINT32_MAX - apic_timer_count();
	s->counts = counts;
	apic_timer_oneshot(0);
}

/* PIT channel 2 raises its output after a number of counts: one port read per poll. */
static bool measure_pit(const struct reference *r, u32 windows, struct span *s, u32 *polls)
{
	u16 counts = (u16)(r->hz / WINDOW_HZ * windows);
	u8 port_b = inb(PORT_SYSTEM_B);

	outb(PORT_SYSTEM_B, (port_b & ~SYSTEM_B_SPEAKER) | SYSTEM_B_GATE2);
	outb(PIT_COMMAND, PIT_CH2_MODE0_BIN);
	outb(PIT_CHANNEL2, (u8)counts);
	span_begin(s);
	outb(PIT_CHANNEL2, (u8)(counts >> 8)); /* starts it */
	for (*polls = 0; !(inb(PORT_SYSTEM_B) & SYSTEM_B_OUT2) && *polls < POLLS_MAX;)
		++*polls;
	span_end(s, counts);
	outb(PORT_SYSTEM_B, port_b);
	return *polls >= POLLS_MIN && *polls < POLLS_MAX;
}

/* A free-running counter: from one of its edges to the first one after the window. */
static bool measure_counter(const struct reference *r, u32 windows, struct span *s, u32 *polls)
{
	u64 start = r->read(), counts = 0;
	u32 edge_polls = 0;

	while (((r->read() - start) & r->mask) == 0) {
		if (++edge_polls == POLLS_MAX)
			return false;
	}
	span_begin(s);
	start = r->read();
	for (*polls = 0; counts < r->hz / WINDOW_HZ * windows && *polls < POLLS_MAX; ++*polls)
		counts = (r->read() - start) & r->mask;
	span_end(s, counts);
	return *polls >= POLLS_MIN && *polls < POLLS_MAX;
}

static bool agree(u64 a, u64 b)
{
	u64 difference = a > b ? a - b : b - a;

	return difference <= a / 100;
}

/* What a measurement against one reference says. */
struct rates {
	u64 tsc_hz, apic_hz;
	const char *source;
};

/* False when the reference does not count. */
static bool calibrate(const struct reference *r, struct rates *out)
{
	struct span best = { 0 };
	u32 windows = 1, polls;

	for (unsigned int i = 0; i < MEASUREMENTS; i++) {
		struct span s;
		bool sure;

		if (!r->measure(r, windows, &s, &polls) || !s.counts || !s.apic)
			return false;
		/* A poll is the error, and takes long under a hypervisor: then once more. */
		if (polls < POLLS_EXACT)
			windows = WINDOWS_MAX;
		sure = i && agree(best.tsc * s.counts, s.tsc * best.counts);
		if (!i || s.tsc * best.counts < best.tsc * s.counts)
			best = s;
		if (sure)
			break;
	}
	out->tsc_hz = best.tsc * r->hz / best.counts;
	out->apic_hz = best.apic * r->hz / best.counts;
	out->source = r->name;
	return out->tsc_hz && out->apic_hz;
}

static volatile u8 *hpet;

static u64 hpet_read(void)
{
	return *(volatile u32 *)(hpet + HPET_COUNTER);
}

static bool calibrate_hpet(struct rates *out)
{
	struct reference r = {
		.name = "hpet", .measure = measure_counter, .read = hpet_read, .mask = UINT32_MAX
	};
	u32 period, config;

	if (!hpet && acpi_info.hpet)
		hpet = map_mmio(acpi_info.hpet, HPET_SIZE);
	if (!hpet)
		return false;
	period = *(volatile u32 *)(hpet + HPET_CAPABILITIES + 4);
	if (!period || period > HPET_PERIOD_MAX)
		return false;
	r.hz = FEMTOSECONDS / period;
	config = *(volatile u32 *)(hpet + HPET_CONFIG);
	*(volatile u32 *)(hpet + HPET_CONFIG) = config | HPET_CONFIG_ENABLE;
	return calibrate(&r, out);
}

static u64 pm_timer_read(void)
{
	return inl((u16)acpi_info.pm_timer_port);
}

static bool calibrate_pm_timer(struct rates *out)
{
	struct reference r = { .name = "pmtimer",
			       .hz = PM_TIMER_HZ,
			       .measure = measure_counter,
			       .read = pm_timer_read,
			       .mask = acpi_info.pm_timer_32bit ? UINT32_MAX : 0xffffff };

	return acpi_info.pm_timer_port && calibrate(&r, out);
}

static bool calibrate_pit(struct rates *out)
{
	struct reference r = { .name = "pit", .hz = PIT_HZ, .measure = measure_pit };

	return calibrate(&r, out);
}

/* In the order of preference. */
static bool (*const calibrations[])(struct rates *out) = { calibrate_pit, calibrate_hpet,
							   calibrate_pm_timer };
static unsigned int chosen; /* which of them set the rates; their number: none */

/* What CPUID says about the TSC, 0 if nothing. */
static u64 cpuid_tsc_hz(void)
{
	struct cpuid_regs r;

	if (cpuid(0, 0).eax < CPUID_TSC)
		return 0;
	r = cpuid(CPUID_TSC, 0);
	return r.eax ? (u64)r.ecx * r.ebx / r.eax : 0;
}

/* With CPUID alone the APIC timer is measured against the TSC. */
static bool calibrate_cpuid(u64 hz, struct rates *out)
{
	struct span s;

	if (!hz)
		return false;
	span_begin(&s);
	spin_ticks(hz / WINDOW_HZ);
	span_end(&s, 0);
	*out = (struct rates){ hz, s.apic * WINDOW_HZ, "cpuid" };
	return out->apic_hz != 0;
}

int time_init(void)
{
	u64 hz = cpuid_tsc_hz();
	struct rates r = { 0 };

	while (chosen < ARRAY_SIZE(calibrations) && !calibrations[chosen](&r))
		chosen++;
	if (chosen == ARRAY_SIZE(calibrations) && !calibrate_cpuid(hz, &r))
		return -ENODEV;
	if (hz && agree(r.tsc_hz, hz)) {
		r.tsc_hz = hz;
		r.source = "cpuid";
	}
	tsc_hz = r.tsc_hz;
	tsc_source = r.source;
	apic_timer_hz = r.apic_hz;
	apic_timer_per_tsc = (apic_timer_hz << 32) / tsc_hz;
	return 0;
}

int time_check(const char **name, u64 *hz)
{
	int err = -ENODEV;
	struct rates r = { 0 };

	for (unsigned int i = 0; err && i < ARRAY_SIZE(calibrations); i++) {
		if (i == chosen || !calibrations[i](&r))
			continue;
		*name = r.source;
		*hz = r.tsc_hz;
		err = 0;
	}
	timer_interrupt(); /* the measurement has taken the timer away from who had armed it */
	return err;
}
