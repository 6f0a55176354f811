/* SPDX-License-Identifier: GPL-2.0-only */
/* What is delivered when: TPR, PPR, IRR and ISR, nesting, the order of EOIs. CPU 0 and itself. */
#include "guest/apic.h"

static inline u64 read_cr8(void)
{
	u64 v;

	__asm__ volatile("mov %%cr8, %0" : "=r"(v)::"memory");
	return v;
}

static inline void write_cr8(u64 v)
{
	__asm__ volatile("mov %0, %%cr8" ::"r"(v) : "memory");
}

static void send_self(u8 vector)
{
	apic_send(0, ICR_SELF | ICR_FIXED | ICR_ASSERT | vector);
}

static void check_self(void)
{
	apic_forget();
	send_self(0x41);
	apic_result(apic_bit(LAPIC_IRR, 0x41), "an interrupt to oneself is requested at once");
	apic_window();
	apic_result_eq(apic_hits[0][0x41], 1, "and arrives when interrupts are on");
	apic_send(apic_own_id(), ICR_FIXED | ICR_ASSERT | 0x42);
	apic_window();
	apic_result_eq(apic_hits[0][0x42], 1, "so does one to one's own ID");
	if (apic_x2) {
		apic_set(LAPIC_SELF_IPI, 0x43);
		apic_window();
		apic_result_eq(apic_hits[0][0x43], 1, "and one by SELF IPI");
	}
}

/* One of each from @first to @last is pending; in which order do they come? */
static void check_order(void)
{
	enum { FIRST = 0x20, LAST = 0xff };
	bool ok;

	apic_forget();
	for (unsigned int v = FIRST; v <= LAST; v++)
		send_self((u8)v);
	for (unsigned int v = FIRST; v <= LAST; v += 2)
		send_self((u8)v);
	apic_window();
	ok = apic_nr_log == LAST - FIRST + 1;
	for (unsigned int i = 0; ok && i < apic_nr_log; i++)
		ok = apic_log[i] == LAST - i;
	apic_result(ok, "of all that are pending the highest comes first, each once");
	if (!ok)
		ktap_note("%u came, %u were due", apic_nr_log, LAST - FIRST + 1);
}

static void check_tpr(void)
{
	bool ok;

	apic_forget();
	apic_set(LAPIC_TPR, 0x50);
	apic_result_eq(apic_get(LAPIC_PPR), 0x50, "without one in service PPR is TPR");
	send_self(0x4f);
	send_self(0x5f);
	send_self(0x60);
	apic_window();
	ok = apic_hits[0][0x60] == 1 && !apic_hits[0][0x5f] && !apic_hits[0][0x4f];
	apic_result(ok, "TPR holds its class and those below it back");
	apic_result(apic_bit(LAPIC_IRR, 0x5f) && apic_bit(LAPIC_IRR, 0x4f),
		    "what is held back stays requested");
	apic_set(LAPIC_TPR, 0x4f);
	apic_window();
	apic_result(apic_hits[0][0x5f] == 1 && !apic_hits[0][0x4f],
		    "lowering TPR lets the next class through");
	apic_result_eq(read_cr8(), 4, "CR8 is TPR's class");
	write_cr8(3);
	apic_window();
	apic_result(apic_hits[0][0x4f] == 1, "lowering CR8 does the same");
	apic_result_eq(apic_get(LAPIC_TPR), 0x30, "writing CR8 sets TPR and clears its subclass");
	apic_set(LAPIC_TPR, 0);
	apic_result(apic_nr_log == 3, "none came twice");
}

/* The lowering itself, with interrupts on, is where it has to come. */
static void check_lowering(void)
{
	u32 before, after;

	apic_forget();
	write_cr8(8);
	send_self(0x71);
	local_irq_enable();
	apic_settle();
	before = apic_hits[0][0x71];
	write_cr8(0);
	__asm__ volatile("nop; nop");
	after = apic_hits[0][0x71];
	local_irq_disable();
	apic_result(!before && after == 1, "with interrupts on it comes with the write of CR8");

	apic_forget();
	apic_set(LAPIC_TPR, 0x80);
	send_self(0x71);
	local_irq_enable();
	apic_settle();
	before = apic_hits[0][0x71];
	apic_set(LAPIC_TPR, 0);
	__asm__ volatile("nop; nop");
	after = apic_hits[0][0x71];
	local_irq_disable();
	apic_result(!before && after == 1, "and with the write of TPR");
}

/* --- nesting -------------------------------------------------------------------------------------
 */

static volatile struct {
	u32 ppr[2];
	bool isr[2], irr_in_service;
	u32 during, raised; /* how many had come when the handler was about to end */
} nested;

/* The handler of 0x41 takes interrupts, and raises some below, at, and above its class. */
static void nest(u8 vector)
{
	if (vector == 0x61) {
		nested.ppr[1] = apic_get(LAPIC_PPR);
		nested.isr[1] = apic_bit(LAPIC_ISR, 0x61) && apic_bit(LAPIC_ISR, 0x41);
	}
	if (vector != 0x41 || nested.raised)
		return;
	nested.raised = 1;
	nested.ppr[0] = apic_get(LAPIC_PPR);
	nested.isr[0] = apic_bit(LAPIC_ISR, 0x41) && !apic_bit(LAPIC_IRR, 0x41);
	send_self(0x31);
	send_self(0x45);
	send_self(0x61);
	send_self(0x41);
	nested.irr_in_service = apic_bit(LAPIC_IRR, 0x41);
	apic_window();
	nested.during = apic_nr_log;
	nested.isr[1] &= !apic_bit(LAPIC_ISR, 0x61);
}

static void check_nesting(void)
{
	static const u8 order[] = { 0x41, 0x61, 0x45, 0x41, 0x31 };
	bool ok;

	apic_forget();
	nested.raised = 0;
	apic_inside = nest;
	send_self(0x41);
	apic_window();
	apic_inside = NULL;
	apic_result(nested.isr[0], "what is in service is in ISR and no longer in IRR");
	apic_result_eq(nested.ppr[0], 0x40, "PPR is the class of what is in service");
	apic_result(nested.during == 2 && apic_log[1] == 0x61,
		    "only a higher class interrupts a handler");
	apic_result(nested.ppr[1] == 0x60 && nested.isr[1],
		    "PPR follows it, and its EOI ends the higher one only");
	apic_result(nested.irr_in_service, "one in service can be requested again");
	ok = apic_nr_log == ARRAY_SIZE(order);
	for (unsigned int i = 0; ok && i < ARRAY_SIZE(order); i++)
		ok = apic_log[i] == order[i];
	apic_result(ok, "the others come when it has ended, by their priority");
	apic_result(!apic_get(LAPIC_PPR), "and nothing is left in service");
	apic_set(LAPIC_EOI, 0);
	send_self(0x41);
	apic_window();
	apic_result_eq(apic_nr_log, ARRAY_SIZE(order) + 1, "an EOI for nothing does no harm");
}

void apic_check_priorities(void)
{
	check_self();
	check_order();
	check_tpr();
	check_lowering();
	check_nesting();
}
