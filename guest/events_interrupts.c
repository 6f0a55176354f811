/* SPDX-License-Identifier: GPL-2.0-only */
/* Interrupts and NMIs that CPU 0 sends itself through its local APIC. */
#include "guest/events.h"
#include "guest/rt/check.h"
#include "guest/rt/cpu.h"
#include "guest/rt/lapic.h"
#include "hv/host/x86.h"

#define SVR_SPURIOUS  0xff
#define ARRIVAL_SPINS 100000

#define WINDOW(name)                                                                               \
	void name(void);                                                                           \
	extern const char name##_at[];
WINDOW(sti_nop)
WINDOW(sti_cpuid)
WINDOW(sti_hlt)
WINDOW(sti_cli)

void event_sti(u64 rsp, u64 operand);
extern const char event_sti_at[];

static volatile unsigned int nmi_depth, nmi_deepest;

static void wait_for(unsigned int count)
{
	for (unsigned int i = 0; i < ARRIVAL_SPINS && arrivals.count < count; i++)
		cpu_relax();
}

/* Pending once the APIC shows it in its request register, which takes a moment in some. */
static int send_interrupt(void)
{
	u32 irr = 0;
	int err = lapic_send(lapic_id(), ICR_FIXED | ICR_ASSERT | VECTOR_EXTERNAL);

	for (unsigned int i = 0; i < ARRIVAL_SPINS && !err; i++) {
		err = lapic_read(LAPIC_IRR + (VECTOR_EXTERNAL / 32) * 0x10, &irr);
		if (irr & BIT(VECTOR_EXTERNAL % 32))
			break;
	}
	return err;
}

static bool arrived_at(const char *at)
{
	bool ok = arrivals.count == 1 && arrivals.rip == (u64)(uintptr_t)at;

	if (!ok)
		ktap_note("%u interrupts, the last at %#llx, due at %#llx", arrivals.count,
			  (unsigned long long)arrivals.rip, (unsigned long long)(uintptr_t)at);
	lapic_write(LAPIC_EOI, 0);
	return ok;
}

static void check_window(const char *name, void (*window)(void), const char *at)
{
	arrivals_expect(VECTOR_EXTERNAL, 0);
	send_interrupt();
	window();
	ktap_result(arrived_at(at), "%s", name);
	arrivals_end(VECTOR_EXTERNAL);
}

static void check_no_window(void)
{
	arrivals_expect(VECTOR_EXTERNAL, 0);
	send_interrupt();
	sti_cli();
	ktap_result(arrivals.count == 0, "STI and CLI in a row leave no window");
	sti_nop();
	ktap_result(arrived_at(sti_nop_at), "and the interrupt arrives at the next one");
	arrivals_end(VECTOR_EXTERNAL);
}

static void check_fresh_stack(void)
{
	u64 rsp = take_stack() - PAGE_SIZE + 16;

	arrivals_expect(VECTOR_EXTERNAL, 0);
	send_interrupt();
	event_sti(rsp, 0);
	ktap_result(arrivals.rsp == rsp && arrived_at(event_sti_at),
		    "an interrupt arrives once on two stack pages never touched");
	arrivals_end(VECTOR_EXTERNAL);
}

static void check_interrupts(void)
{
	const char *what = "interrupts from the local APIC";

	if (lapic_write(LAPIC_SVR, SVR_ENABLE | SVR_SPURIOUS)) {
		ktap_skip("the local APIC refuses to be enabled", "%s", what);
		return;
	}
	if (send_interrupt()) {
		ktap_skip("the local APIC refuses to send one", "%s", what);
		return;
	}
	arrivals_expect(VECTOR_EXTERNAL, 0);
	sti_nop();
	lapic_write(LAPIC_EOI, 0);
	ktap_result(arrivals.count == 1, "%s arrive", what);
	if (!arrivals.count)
		return; /* the rest would say the same, and HLT would sleep for ever */
	check_window("STI holds an interrupt off for one instruction", sti_nop, sti_nop_at);
	check_window("also for one that exits", sti_cpuid, sti_cpuid_at);
	check_window("HLT ends with an interrupt", sti_hlt, sti_hlt_at);
	check_no_window();
	check_fresh_stack();
}

/* The first NMI sends another one, which has to wait for the end of its handler. */
static bool nested_nmi(struct trap_frame *frame)
{
	nmi_depth++;
	if (nmi_depth > nmi_deepest)
		nmi_deepest = nmi_depth;
	arrivals.count++;
	if (arrivals.count == 1) {
		lapic_send(lapic_id(), ICR_NMI | ICR_ASSERT);
		for (unsigned int i = 0; i < ARRIVAL_SPINS / 100; i++)
			cpuid(0, 0);
	}
	nmi_depth--;
	return true;
}

static void check_nmi(void)
{
	arrivals_expect(EXC_NMI, 0);
	if (lapic_send(lapic_id(), ICR_NMI | ICR_ASSERT)) {
		ktap_skip("the local APIC refuses to send one", "NMIs from the local APIC");
		return;
	}
	wait_for(1);
	ktap_expect_eq(arrivals.count, 1, "an NMI from the local APIC arrives once");

	cpu_tss(0)->ist[1] = take_stack() - PAGE_SIZE + 16;
	gate_set_ist(idt, EXC_NMI, 2);
	arrivals_expect(EXC_NMI, 0);
	lapic_send(lapic_id(), ICR_NMI | ICR_ASSERT);
	wait_for(1);
	ktap_expect_eq(arrivals.count, 1, "an NMI arrives once on stack pages never touched");
	gate_set_ist(idt, EXC_NMI, 0);

	arrivals.count = 0;
	trap_handle(EXC_NMI, nested_nmi);
	lapic_send(lapic_id(), ICR_NMI | ICR_ASSERT);
	wait_for(2);
	ktap_result(arrivals.count == 2 && nmi_deepest == 1,
		    "an NMI waits for the end of another one's handler");
	if (arrivals.count != 2 || nmi_deepest != 1)
		ktap_note("%u NMIs, %u deep", arrivals.count, nmi_deepest);
	arrivals_end(EXC_NMI);
}

void events_check_interrupts(void)
{
	if (lapic_init()) {
		ktap_skip("no usable local APIC", "interrupts and NMIs");
		return;
	}
	check_interrupts();
	check_nmi();
}
