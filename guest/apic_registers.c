/* SPDX-License-Identifier: GPL-2.0-only */
/* Registers: their state after reset, their bits, what does not exist, and errors. */
#include "guest/apic.h"
#include "guest/rt/platform.h"

#define ONES 0xffffffffu

static const u32 lvt[] = { LAPIC_LVT_TIMER, LAPIC_LVT_THERMAL, LAPIC_LVT_PMC,
			   LAPIC_LVT_LINT0, LAPIC_LVT_LINT1,   LAPIC_LVT_ERROR };

static const struct value {
	u32 reg, value;
} reset_values[] = {
	{ LAPIC_TPR, 0 },	   { LAPIC_PPR, 0 },	       { LAPIC_SVR, 0xff },
	{ LAPIC_ICR, 0 },	   { LAPIC_TIMER_INITIAL, 0 }, { LAPIC_TIMER_CURRENT, 0 },
	{ LAPIC_TIMER_DIVIDE, 0 },
};

static void expect(u32 reg, u32 value, bool *ok)
{
	u32 got = apic_get(reg);

	if (got == value)
		return;
	*ok = false;
	ktap_note("register %#x: expected %#x, got %#x", reg, value, got);
}

static u32 initial_id(void)
{
	return apic_x2 ? cpuid(0xb, 0).edx : cpuid(1, 0).ebx >> 24;
}

/* Through the disabled state, in which all is lost. */
void apic_check_reset(void)
{
	const char *name = "the registers' state after reset";
	bool ok = true;
	u64 base;

	/* The SDM says no more than that it may be so. */
	if (apic_skip(name))
		return;
	apic_set(LAPIC_LVT_LINT0, 0x10020);
	apic_set(LAPIC_TPR, 0x35);
	apic_set(LAPIC_TIMER_DIVIDE, 0xb);
	apic_set(LAPIC_TIMER_INITIAL, ONES);
	if (!apic_x2)
		apic_set(LAPIC_LDR, 0x5a000000);
	base = rdmsr(MSR_APIC_BASE);
	wrmsr(MSR_APIC_BASE, base & ~(u64)(APIC_BASE_ENABLE | APIC_BASE_X2APIC));
	ok = apic_switch(apic_x2);
	for (unsigned int i = 0; i < ARRAY_SIZE(reset_values); i++)
		expect(reset_values[i].reg, reset_values[i].value, &ok);
	for (unsigned int i = 0; i < ARRAY_SIZE(lvt); i++)
		expect(lvt[i], LVT_MASKED, &ok);
	for (u32 i = 0; i < 8; i++) {
		expect(LAPIC_ISR + i * 0x10, 0, &ok);
		expect(LAPIC_TMR + i * 0x10, 0, &ok);
		expect(LAPIC_IRR + i * 0x10, 0, &ok);
	}
	if (!apic_x2) {
		expect(LAPIC_LDR, 0, &ok);
		expect(LAPIC_DFR, ONES, &ok);
	}
	apic_result(ok, name);
	apic_enable();
}

static void check_identity(void)
{
	u32 version = apic_get(LAPIC_VERSION), id = apic_own_id();

	apic_result_eq(id, initial_id(), "the ID is the one in CPUID");
	apic_result((version & 0xff) >= 0x10 && (version & 0xff) <= 0x15 &&
			    (version >> 16 & 0xff) >= 5,
		    "the version is that of an integrated APIC with six LVT entries");
	if (!apic_x2)
		return;
	apic_result_eq(apic_get(LAPIC_LDR), id >> 4 << 16 | 1u << (id & 15),
		       "the logical ID is made from the ID");
}

/* Every writable bit, and no other. Bit 12, the delivery status, is read only. */
static void check_bits(void)
{
	static const struct value bits[] = {
		{ LAPIC_TPR, 0xff },
		{ LAPIC_LVT_TIMER, 0x500ff }, /* bits 18:17 must not be both set */
		{ LAPIC_LVT_THERMAL, 0x107ff },
		{ LAPIC_LVT_PMC, 0x107ff },
		{ LAPIC_LVT_LINT0, 0x1a7ff },
		{ LAPIC_LVT_LINT1, 0x1a7ff },
		{ LAPIC_LVT_ERROR, 0x100ff },
		{ LAPIC_TIMER_DIVIDE, 0x0b },
	};
	bool ok = true;

	if (apic_skip("registers have their bits and no others"))
		return;
	for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++) {
		u32 reg = bits[i].reg;
		u32 old = apic_get(reg);

		if (apic_x2) {
			ok &= apic_set_fault(reg, ONES) == EXC_GP;
			ok &= apic_set_fault(reg, BIT(32)) == EXC_GP;
		}
		apic_set(reg, apic_x2 ? bits[i].value : ONES & ~(u32)LVT_PERIODIC);
		expect(reg, bits[i].value, &ok);
		apic_set(reg, old);
		expect(reg, old, &ok);
	}
	apic_result(ok, "registers have their bits and no others");
}

static void check_logical_registers(void)
{
	bool ok = true;

	if (apic_x2) {
		apic_result(apic_get_fault(LAPIC_DFR) == EXC_GP &&
				    apic_set_fault(LAPIC_DFR, 0) == EXC_GP &&
				    apic_set_fault(LAPIC_LDR, 0) == EXC_GP &&
				    apic_set_fault(LAPIC_ID, 0) == EXC_GP,
			    "ID and LDR cannot be written, DFR does not exist");
		return;
	}
	apic_set(LAPIC_LDR, ONES);
	expect(LAPIC_LDR, 0xff000000, &ok);
	apic_set(LAPIC_DFR, 0);
	expect(LAPIC_DFR, 0x0fffffff, &ok);
	apic_set(LAPIC_DFR, ONES);
	expect(LAPIC_DFR, ONES, &ok);
	apic_set(LAPIC_LDR, 0);
	expect(LAPIC_LDR, 0, &ok);
	apic_result(ok, "LDR has eight bits and DFR four");
}

static void check_read_only(void)
{
	static const u32 regs[] = { LAPIC_VERSION,    LAPIC_PPR,	LAPIC_ISR,
				    LAPIC_TMR + 0x30, LAPIC_IRR + 0x70, LAPIC_TIMER_CURRENT };
	bool ok = true;

	for (unsigned int i = 0; i < ARRAY_SIZE(regs); i++) {
		u32 old = apic_get(regs[i]);
		int fault = apic_set_fault(regs[i], ~old);

		if (fault != (apic_x2 ? EXC_GP : NO_FAULT)) {
			ktap_note("register %#x: %s", regs[i], trap_name(fault));
			ok = false;
		}
		expect(regs[i], old, &ok);
	}
	apic_result(ok, apic_x2 ? "writing what is read only raises GP"
				: "writing what is read only is ignored");
}

/* SVR's enable bit: LVT entries are masked while it is clear. */
static void check_software_disable(void)
{
	bool ok = true;

	if (platform.tcg) {
		ktap_skip("QEMU's interpreter does not look at it", "SVR's enable bit");
		return;
	}
	apic_set(LAPIC_LVT_LINT1, 0x31);
	apic_set(LAPIC_SVR, SVR_SPURIOUS);
	expect(LAPIC_LVT_LINT1, LVT_MASKED | 0x31, &ok);
	apic_set(LAPIC_LVT_LINT1, 0x32);
	expect(LAPIC_LVT_LINT1, LVT_MASKED | 0x32, &ok);
	apic_set(LAPIC_SVR, SVR_ENABLE | SVR_SPURIOUS);
	expect(LAPIC_LVT_LINT1, LVT_MASKED | 0x32, &ok);
	apic_result(ok, "LVT entries are masked while SVR disables the APIC");

	apic_forget();
	apic_set(LAPIC_SVR, SVR_SPURIOUS);
	apic_send(apic_own_id(), ICR_FIXED | ICR_ASSERT | 0x41);
	apic_settle();
	apic_set(LAPIC_SVR, SVR_ENABLE | SVR_SPURIOUS);
	apic_window();
	apic_result_eq(apic_hits[0][0x41], 0, "an APIC that SVR disables takes no interrupt");
	apic_set(LAPIC_SVR, SVR_SPURIOUS);
	apic_send(apic_own_id(), ICR_NMI | ICR_ASSERT);
	apic_settle();
	apic_result_eq(apic_hits[0][EXC_NMI], 1, "but an NMI");
	apic_set(LAPIC_SVR, SVR_ENABLE | SVR_SPURIOUS);
}

/* Which of the 256 MSRs can be read. */
static bool msr_exists(u32 index)
{
	static const u32 others[] = { LAPIC_ID,
				      LAPIC_VERSION,
				      LAPIC_TPR,
				      LAPIC_PPR,
				      LAPIC_LDR,
				      LAPIC_SVR,
				      LAPIC_ESR,
				      LAPIC_ICR,
				      LAPIC_TIMER_INITIAL,
				      LAPIC_TIMER_CURRENT,
				      LAPIC_TIMER_DIVIDE };
	u32 reg = index << 4;

	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++)
		if (others[i] == reg)
			return true;
	for (unsigned int i = 0; i < ARRAY_SIZE(lvt); i++)
		if (lvt[i] == reg)
			return true;
	return reg >= LAPIC_ISR && reg < LAPIC_ESR;
}

static void check_msrs(void)
{
	bool cmci = (apic_get(LAPIC_VERSION) >> 16 & 0xff) >= 6, ok = true;

	for (u32 i = 0; i < 0x100; i++) {
		int want = msr_exists(i) || (cmci && i == 0x2f) ? NO_FAULT : EXC_GP;
		int got = apic_get_fault(i << 4);

		if (got == want)
			continue;
		ok = false;
		ktap_note("MSR %#x: expected %s, got %s", MSR_X2APIC + i, trap_name(want),
			  trap_name(got));
	}
	apic_result(ok, "of the 256 MSRs those can be read that exist");
	if (!apic_skip("EOI takes nothing but 0"))
		apic_result(apic_set_fault(LAPIC_EOI, 1) == EXC_GP &&
				    apic_set_fault(LAPIC_EOI, 0) == NO_FAULT,
			    "EOI takes nothing but 0");
	apic_result(apic_set_fault(LAPIC_SELF_IPI, BIT(8) | 0x41) == EXC_GP,
		    "SELF IPI takes nothing but a vector");
	if (!apic_skip("the ICR's reserved bits raise GP"))
		apic_result(apic_set_fault(LAPIC_ICR, BIT(20)) == EXC_GP &&
				    apic_set_fault(LAPIC_ICR, BIT(13)) == EXC_GP,
			    "the ICR's reserved bits raise GP");
}

/* No memory is where the registers would be. */
static void check_hole(void)
{
	const char *name = "where no registers are, reads give ones and writes vanish";
	volatile u8 *p = (volatile u8 *)(uintptr_t)LAPIC_BASE;
	bool ok = true;

	if (apic_skip(name))
		return;
	for (u32 i = 0; i < PAGE_SIZE; i += 0x10) {
		*(volatile u32 *)(p + i) = i;
		ok &= *(volatile u32 *)(p + i) == ONES;
		ok &= *(volatile u64 *)(p + i + 8) == ~0ull && p[i + 5] == 0xff;
	}
	apic_result(ok, name);
}

void apic_check_registers(void)
{
	check_identity();
	check_bits();
	check_logical_registers();
	check_read_only();
	check_software_disable();
	if (apic_x2) {
		check_msrs();
		check_hole();
	}
}

/* --- errors --------------------------------------------------------------------------------------
 */

#define ESR_SEND_ILLEGAL     0x20
#define ESR_RECEIVE_ILLEGAL  0x40
#define ESR_ILLEGAL_REGISTER 0x80
#define VECTOR_ERROR	     0x51

static u32 take_errors(void)
{
	apic_set(LAPIC_ESR, 0);
	return apic_get(LAPIC_ESR);
}

void apic_check_errors(void)
{
	u32 errors;

	if (apic_skip("errors"))
		return;
	take_errors();
	apic_result_eq(take_errors(), 0, "the error register is empty when it was written twice");
	apic_forget();
	apic_set(LAPIC_LVT_ERROR, VECTOR_ERROR);
	apic_send(apic_own_id(), ICR_FIXED | ICR_ASSERT | 5);
	apic_wait(0, VECTOR_ERROR, 1);
	apic_result(apic_hits[0][VECTOR_ERROR] >= 1, "sending vector 5 raises the error interrupt");
	errors = take_errors();
	apic_result(errors & ESR_SEND_ILLEGAL && !(errors & ESR_ILLEGAL_REGISTER),
		    "and is noted in the error register");
	apic_result_eq(take_errors(), 0, "once");
	if (!apic_x2) {
		apic_forget();
		apic_get(0x40);
		apic_result(apic_wait(0, VECTOR_ERROR, 1),
			    "reading a register that does not exist raises the error interrupt");
		apic_result_eq(take_errors(), ESR_ILLEGAL_REGISTER,
			       "and is noted in the error register");
	}
	apic_set(LAPIC_LVT_ERROR, LVT_MASKED | VECTOR_ERROR);
	apic_forget();
	apic_send(apic_own_id(), ICR_FIXED | ICR_ASSERT | 5);
	apic_window();
	apic_result(take_errors() & ESR_SEND_ILLEGAL && !apic_hits[0][VECTOR_ERROR],
		    "an error whose LVT entry is masked is noted in silence");
	apic_result(apic_set_fault(LAPIC_ESR, 1) == (apic_x2 ? EXC_GP : NO_FAULT),
		    "writing the error register takes nothing but 0 in x2APIC mode");
}
