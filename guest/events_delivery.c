/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events whose delivery itself faults in the hypervisor: the stack they push to was never touched,
 * or the tables the CPU reads were dropped by the test device (elsewhere they are simply there).
 * The hypervisor maps the page and has to deliver the event again.
 */
#include "guest/events.h"
#include "guest/rt/check.h"
#include "guest/rt/cpu.h"
#include "guest/rt/testdev.h"
#include "hv/host/x86.h"

#define UNMAPPED      0x0000400000000128ull
#define NON_CANONICAL 0x8000000000000000ull
#define IST_TEST      2
#define NO_CR2	      0

#define EVENT(n)                                                                                   \
	void event_##n(u64 rsp, u64 operand);                                                      \
	extern const char event_##n##_at[], event_##n##_after[];
EVENT(int3)
EVENT(int_n)
EVENT(ud2)
EVENT(divide)
EVENT(load_ds)
EVENT(read)

static const struct event {
	const char *name;
	u8 vector;
	bool trap; /* RIP is that of the next instruction */
	void (*cause)(u64 rsp, u64 operand);
	const char *at, *after;
	u64 operand;
	u64 error, cr2;
} events[] = {
	{ "INT3", EXC_BP, true, event_int3, event_int3_at, event_int3_after, 0, 0, NO_CR2 },
	{ "INT n", VECTOR_SOFTWARE, true, event_int_n, event_int_n_at, event_int_n_after, 0, 0,
	  NO_CR2 },
	{ "an undefined opcode", EXC_UD, false, event_ud2, event_ud2_at, event_ud2_after, 0, 0,
	  NO_CR2 },
	{ "a divide error", EXC_DE, false, event_divide, event_divide_at, event_divide_after, 0, 0,
	  NO_CR2 },
	{ "an absent segment", EXC_NP, false, event_load_ds, event_load_ds_at, event_load_ds_after,
	  SEL_NOT_PRESENT, SEL_NOT_PRESENT, NO_CR2 },
	{ "a protection fault", EXC_GP, false, event_read, event_read_at, event_read_after,
	  NON_CANONICAL, 0, NO_CR2 },
	{ "a page fault", EXC_PF, false, event_read, event_read_at, event_read_after, UNMAPPED, 0,
	  UNMAPPED },
};

enum {
	FRESH_STACK = 1,
	STRADDLE = 2, /* the frame lies in two pages */
	FRESH_IST = 4,
	DROPPED_TABLES = 8, /* GDT, IDT and TSS */
};

static const struct place {
	const char *name;
	unsigned int what;
} places[] = {
	{ "on an ordinary stack", 0 },
	{ "on a stack never touched", FRESH_STACK },
	{ "on two stack pages never touched", FRESH_STACK | STRADDLE },
	{ "on an interrupt stack never touched", FRESH_IST },
	{ "with GDT, IDT and TSS dropped", DROPPED_TABLES },
	{ "with everything at once", STRADDLE | FRESH_IST | DROPPED_TABLES },
};

static u8 ordinary_stack[2 * PAGE_SIZE] __aligned(16);

/* RSP for the event, and the tables as the place wants them. */
static u64 prepare(const struct place *place, u8 vector)
{
	u64 fresh = take_stack(), rsp = (u64)(uintptr_t)ordinary_stack + sizeof(ordinary_stack);

	if (place->what & STRADDLE)
		fresh -= PAGE_SIZE - 16;
	if (place->what & FRESH_STACK)
		rsp = fresh;
	if (place->what & FRESH_IST) {
		cpu_tss(0)->ist[IST_TEST - 1] = fresh;
		gate_set_ist(idt, vector, IST_TEST);
	}
	if (place->what & DROPPED_TABLES) {
		testdev_drop_page(&idt[vector]);
		testdev_drop_page(gdt);
		testdev_drop_page(cpu_tss(0));
	}
	return rsp;
}

static void check(const struct event *e, const struct place *place)
{
	const char *rip = e->trap ? e->after : e->at;
	u64 rsp;
	bool ok;

	arrivals_expect(e->vector, (u64)(uintptr_t)e->after);
	rsp = prepare(place, e->vector);
	e->cause(rsp, e->operand);
	gate_set_ist(idt, e->vector, 0);
	arrivals_end(e->vector);

	ok = arrivals.count == 1 && arrivals.rip == (u64)(uintptr_t)rip && arrivals.rsp == rsp &&
	     arrivals.error == e->error && (e->cr2 == NO_CR2 || arrivals.cr2 == e->cr2);
	ktap_result(ok, "%s arrives once %s", e->name, place->name);
	if (!ok)
		ktap_note(
			"%u times, RIP %#llx (expected %#llx), RSP %#llx (%#llx), error %#llx "
			"(%#llx), CR2 %#llx (%#llx)",
			arrivals.count, (unsigned long long)arrivals.rip,
			(unsigned long long)(uintptr_t)rip, (unsigned long long)arrivals.rsp,
			(unsigned long long)rsp, (unsigned long long)arrivals.error,
			(unsigned long long)e->error, (unsigned long long)arrivals.cr2,
			(unsigned long long)e->cr2);
}

void events_check_delivery(void)
{
	for (unsigned int p = 0; p < ARRAY_SIZE(places); p++) {
		for (unsigned int e = 0; e < ARRAY_SIZE(events); e++)
			check(&events[e], &places[p]);
	}
}
