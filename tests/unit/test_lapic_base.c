/* SPDX-License-Identifier: GPL-2.0-only */
/* IA32_APIC_BASE: which changes of mode there are, what becomes of the registers and of memory. */
/* link: @vm tests/unit/lapic_fixture.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/x86.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/lapic_fixture.h"

#define OFF	  (LAPIC_DEFAULT_BASE | LAPIC_BASE_BSP)
#define XAPIC	  (OFF | LAPIC_BASE_EN)
#define X2APIC	  (XAPIC | LAPIC_BASE_EXTD)
#define ELSEWHERE 0x300000ull /* in the fixture's RAM */

static struct vcpu *vcpu;

static void start(enum vmx_apic_rung rung)
{
	lapic_fixture_start(3, rung, LAPIC_DISABLED); /* that is: as after RESET */
	vcpu = nth(0);
}

static int setup(void **state)
{
	start(VMX_APIC_X2APIC);
	return 0;
}

static int setup_delivery(void **state)
{
	start(VMX_APIC_DELIVERY);
	return 0;
}

static int setup_emulate(void **state)
{
	start(VMX_APIC_EMULATE);
	return 0;
}

static int teardown(void **state)
{
	lapic_fixture_end();
	return 0;
}

static void put_base(u64 base)
{
	put_msr(vcpu, MSR_APIC_BASE, base);
}

static void check_reset_registers(struct vcpu *v)
{
	static const struct {
		u16 offset;
		u32 value;
	} regs[] = {
		{ LAPIC_VERSION, 0x50014 },
		{ LAPIC_TPR, 0 },
		{ LAPIC_PPR, 0 },
		{ LAPIC_LDR, 0 },
		{ LAPIC_DFR, 0xffffffff },
		{ LAPIC_SVR, 0xff },
		{ LAPIC_ESR, 0 },
		{ LAPIC_ICR, 0 },
		{ LAPIC_ICR2, 0 },
		{ LAPIC_LVT_TIMER, LVT_MASKED },
		{ LAPIC_LVT_THERMAL, LVT_MASKED },
		{ LAPIC_LVT_PMC, LVT_MASKED },
		{ LAPIC_LVT_LINT0, LVT_MASKED },
		{ LAPIC_LVT_LINT1, LVT_MASKED },
		{ LAPIC_LVT_ERROR, LVT_MASKED },
		{ LAPIC_TIMER_INITIAL, 0 },
		{ LAPIC_TIMER_CURRENT, 0 },
		{ LAPIC_TIMER_DIVIDE, 0 },
		{ LAPIC_ISR, 0 },
		{ LAPIC_TMR + 0x70, 0 },
		{ LAPIC_IRR + 0x70, 0 },
	};

	assert_int_equal(get_reg(v, LAPIC_ID), v->id << 24);
	for (size_t i = 0; i < ARRAY_SIZE(regs); i++)
		assert_int_equal(get_reg(v, regs[i].offset), regs[i].value);
}

static bool cpuid_has_apic(void)
{
	return vcpu_cpuid_find(&vcpu->cpuid, 1, 0)->edx & BIT(9);
}

static void test_reset(void **state)
{
	assert_int_equal(get_msr(nth(0), MSR_APIC_BASE), XAPIC);
	assert_int_equal(get_msr(nth(2), MSR_APIC_BASE), LAPIC_DEFAULT_BASE | LAPIC_BASE_EN);
	check_reset_registers(nth(0));
	check_reset_registers(nth(2));
	assert_true(cpuid_has_apic());
	assert_int_equal(lapic_mode(vcpu), LAPIC_XAPIC);
}

/* --- which changes --------------------------------------------------------------------------- */

/* From each mode, on the way that leads to it, to each value of the two bits. */
static void test_transitions(void **state)
{
	const u64 bad = OFF | LAPIC_BASE_EXTD;
	const struct {
		u64 from, to;
		int result;
	} cases[] = {
		{ OFF, OFF, 0 },       { OFF, XAPIC, 0 },	   { OFF, X2APIC, -EFAULT },
		{ OFF, bad, -EFAULT }, { XAPIC, OFF, 0 },	   { XAPIC, XAPIC, 0 },
		{ XAPIC, X2APIC, 0 },  { XAPIC, bad, -EFAULT },	   { X2APIC, OFF, 0 },
		{ X2APIC, X2APIC, 0 }, { X2APIC, XAPIC, -EFAULT }, { X2APIC, bad, -EFAULT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put_base(OFF);
		if (cases[i].from != OFF)
			put_base(XAPIC);
		put_base(cases[i].from);
		assert_int_equal(lapic_write(vcpu, MSR_APIC_BASE, cases[i].to), cases[i].result);
		assert_int_equal(get_msr(vcpu, MSR_APIC_BASE),
				 cases[i].result ? cases[i].from : cases[i].to);
		assert_int_equal(cpuid_has_apic(),
				 !!(get_msr(vcpu, MSR_APIC_BASE) & LAPIC_BASE_EN));
	}
}

/* With the same bits as it has, one more: all below the address but three, all above it. */
static void test_reserved(void **state)
{
	const u64 known = LAPIC_BASE_BSP | LAPIC_BASE_EN | LAPIC_BASE_EXTD;

	for (unsigned int bit = 0; bit < 64; bit++) {
		bool may = (BIT(bit) & known) || (bit >= 12 && bit < vmx_caps.phys_bits);

		put_base(OFF);
		put_base(XAPIC);
		assert_int_equal(lapic_write(vcpu, MSR_APIC_BASE, XAPIC | BIT(bit)),
				 may ? 0 : -EFAULT);
	}
}

/* It was settled at RESET who starts the machine. */
static void test_boot_bit_stays(void **state)
{
	put_base(XAPIC & ~LAPIC_BASE_BSP);
	assert_int_equal(get_msr(vcpu, MSR_APIC_BASE), XAPIC);
	fixture_load(nth(1), 0);
	put_msr(nth(1), MSR_APIC_BASE, XAPIC);
	assert_int_equal(get_msr(nth(1), MSR_APIC_BASE), XAPIC & ~LAPIC_BASE_BSP);
	fixture_load(vcpu, 0);
}

static void test_hidden_x2apic(void **state)
{
	vm_hide_x2apic(fixture_vm);
	assert_int_equal(lapic_write(vcpu, MSR_APIC_BASE, X2APIC), -EFAULT);
	assert_int_equal(lapic_start(vcpu, LAPIC_X2APIC), -EOPNOTSUPP);
	assert_int_equal(lapic_start(vcpu, LAPIC_XAPIC), 0);
	assert_int_equal(lapic_mode(vcpu), LAPIC_XAPIC);
}

/* --- what becomes of the registers ------------------------------------------------------------ */

static void scribble(void)
{
	put_reg(vcpu, LAPIC_SVR, 0x1a5);
	put_reg(vcpu, LAPIC_TPR, 0x21);
	put_reg(vcpu, LAPIC_LVT_LINT1, 0x433);
	put_reg(vcpu, LAPIC_TIMER_DIVIDE, 0xb);
	put_reg(vcpu, LAPIC_LVT_TIMER, 0x20044);
	put_reg(vcpu, LAPIC_TIMER_INITIAL, 1000000);
	lapic_post_level(vcpu, 0x71);
	lapic_sync(vcpu);
	lapic_accept(vcpu, 0x71);
	lapic_post(vcpu, 0x31);
	lapic_sync(vcpu);
}

/* To x2APIC mode all is kept but what has another format there. */
static void test_to_x2apic(void **state)
{
	put_reg(vcpu, LAPIC_ID, 0x77u << 24);
	put_reg(vcpu, LAPIC_LDR, 0x02u << 24);
	scribble();
	send_icr(vcpu, TO(0x99) | 0x4d);
	put_base(X2APIC);
	assert_int_equal(get_reg(vcpu, LAPIC_ID), 0);
	assert_int_equal(get_reg(vcpu, LAPIC_LDR), 1);
	assert_int_equal(get_msr(vcpu, MSR_OF(LAPIC_ICR)), 0x4d);
	assert_int_equal(get_reg(vcpu, LAPIC_SVR), 0x1a5);
	assert_int_equal(get_reg(vcpu, LAPIC_TPR), 0x21);
	assert_int_equal(get_reg(vcpu, LAPIC_LVT_LINT1), 0x433);
	assert_int_equal(get_reg(vcpu, LAPIC_TIMER_DIVIDE), 0xb);
	assert_int_equal(get_reg(vcpu, LAPIC_LVT_TIMER), 0x20044);
	assert_int_equal(get_reg(vcpu, LAPIC_TIMER_INITIAL), 1000000);
	assert_int_equal(get_reg(vcpu, LAPIC_TIMER_CURRENT), 1000000);
	assert_true(lapic_timer_runs(vcpu));
	assert_true(in_service(vcpu, 0x71));
	assert_true(pends(vcpu, 0x31));
	assert_int_equal(get_reg(vcpu, LAPIC_TMR + 0x30), BIT(0x11));
}

static void test_ids(void **state)
{
	lapic_fixture_end();
	lapic_fixture_start(40, VMX_APIC_X2APIC, LAPIC_X2APIC);
	vcpu = nth(0);
	for (u32 i = 0; i < 40; i++) {
		assert_int_equal(get_reg(nth(i), LAPIC_ID), i);
		assert_int_equal(get_reg(nth(i), LAPIC_LDR), (i / 16) << 16 | BIT(i % 16));
	}
}

/* Disabled means RESET, from either mode; the timer with it. */
static void test_disable(void **state)
{
	for (unsigned int x2 = 0; x2 < 2; x2++) {
		scribble();
		if (x2)
			put_base(X2APIC);
		else
			put_reg(vcpu, LAPIC_ID, 0x55u << 24);
		put_base(OFF);
		assert_false(lapic_timer_runs(vcpu));
		assert_int_equal(lapic_sync(vcpu), -1);
		lapic_post(vcpu, 0x40);
		put_base(XAPIC);
		check_reset_registers(vcpu);
	}
}

/* There are no MSRs of x2APIC mode in the others. */
static void test_no_msrs(void **state)
{
	static const u64 bases[] = { XAPIC, OFF };
	u64 value;

	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		put_base(bases[i]);
		for (u32 msr = 0x800; msr < 0x900; msr++) {
			assert_int_equal(lapic_read(vcpu, msr, &value), -EFAULT);
			assert_int_equal(lapic_write(vcpu, msr, 0), -EFAULT);
		}
	}
}

static void test_start(void **state)
{
	assert_int_equal(lapic_start(nth(1), LAPIC_X2APIC), 0);
	assert_int_equal(nth(1)->vmx.cpu, -1);
	assert_int_equal(lapic_mode(nth(1)), LAPIC_X2APIC);
	assert_int_equal(get_reg(nth(1), LAPIC_SVR), 0x1ff);
	assert_int_equal(get_reg(nth(1), LAPIC_LVT_LINT0), LVT_MASKED);
	assert_int_equal(lapic_start(nth(1), LAPIC_XAPIC), 0);
	assert_int_equal(lapic_mode(nth(1)), LAPIC_XAPIC);
	assert_int_equal(get_reg(nth(1), LAPIC_SVR), 0x1ff);
	/* One that has been used: its entries are masked again. */
	put_reg(nth(1), LAPIC_LVT_LINT0, 0x700);
	assert_int_equal(lapic_start(nth(1), LAPIC_XAPIC), 0);
	assert_int_equal(get_reg(nth(1), LAPIC_LVT_LINT0), 0x700 | LVT_MASKED);
	fake_machine.cpu = 1;
	assert_int_equal(vmx_load(&nth(1)->vmx), 0);
	fake_machine.cpu = 0;
	assert_int_equal(lapic_start(nth(1), LAPIC_XAPIC), -EBUSY);
}

/* --- what the CPU is told --------------------------------------------------------------------- */

static u32 inhibited(void)
{
	return fixture_vm->apic_page.inhibited;
}

/* The access page serves xAPIC mode at the default address, and only if it does so for all. */
static void test_access_page(void **state)
{
	assert_int_equal(inhibited(), 0);
	assert_int_equal(vcpu->vmx.apic_mode, VMX_APIC_MEMORY);
	put_base(X2APIC);
	assert_int_equal(inhibited(), 1);
	assert_int_equal(vcpu->vmx.apic_mode, VMX_APIC_MSRS);
	put_base(OFF);
	assert_int_equal(inhibited(), 1);
	assert_int_equal(vcpu->vmx.apic_mode, VMX_APIC_DISABLED);
	fixture_load(nth(1), 0);
	put_msr(nth(1), MSR_APIC_BASE, LAPIC_DEFAULT_BASE);
	assert_int_equal(inhibited(), 2);
	fixture_load(vcpu, 0);
	atomic_store(&vcpu->requests, 0);
	fake_of(vcpu)->apic.flushes = 0;
	put_base(XAPIC);
	assert_int_equal(inhibited(), 1);
	assert_int_equal(vcpu->vmx.apic_mode, VMX_APIC_MEMORY);
	/* Its address was not followed meanwhile, and what is cached of the page is not good. */
	assert_true(atomic_load(&vcpu->requests) & REQ_APIC_PAGE);
	assert_int_equal(fake_of(vcpu)->apic.flushes, 1);
	fixture_load(nth(1), 0);
	put_msr(nth(1), MSR_APIC_BASE, LAPIC_DEFAULT_BASE | LAPIC_BASE_EN);
	assert_int_equal(inhibited(), 0);
	fixture_load(vcpu, 0);
}

/* Where it moves over RAM the RAM is not mapped; what is read there are registers. */
static void test_relocated(void **state)
{
	u32 version = 0;

	assert_true(lapic_covers(vcpu, LAPIC_DEFAULT_BASE + 0x30));
	put_base(ELSEWHERE | LAPIC_BASE_BSP | LAPIC_BASE_EN);
	assert_int_equal(vcpu->vmx.apic_mode, VMX_APIC_ELSEWHERE);
	assert_false(vmx_apic_uses_page(&vcpu->vmx));
	assert_int_equal(inhibited(), 1);
	assert_int_equal(fixture_vm->apic_page.covering, 1);
	assert_false(lapic_covers(vcpu, LAPIC_DEFAULT_BASE + 0x30));
	assert_true(lapic_covers(vcpu, ELSEWHERE));
	assert_true(lapic_covers(vcpu, ELSEWHERE + 0xfff));
	assert_false(lapic_covers(vcpu, ELSEWHERE + 0x1000));
	assert_false(lapic_covers(nth(1), ELSEWHERE));
	assert_true(apic_page_covered(fixture_vm, ELSEWHERE));
	lapic_mmio_read(vcpu, LAPIC_VERSION, 4, (u8 *)&version);
	assert_int_equal(version, 0x50014);
	put_base((ELSEWHERE + 0x1000) | LAPIC_BASE_BSP | LAPIC_BASE_EN);
	assert_int_equal(fixture_vm->apic_page.covering, 1);
	assert_false(apic_page_covered(fixture_vm, ELSEWHERE));
	assert_true(lapic_covers(vcpu, ELSEWHERE + 0x1000));
	put_base(ELSEWHERE | LAPIC_BASE_BSP | LAPIC_BASE_EN | LAPIC_BASE_EXTD);
	assert_int_equal(fixture_vm->apic_page.covering, 0);
	assert_false(lapic_covers(vcpu, ELSEWHERE));
	put_base(OFF);
	put_base(XAPIC);
	assert_int_equal(inhibited(), 0);
	assert_int_equal(fixture_vm->apic_page.covering, 0);
}

/* Moved without a change of mode nothing of what the APIC does is disturbed. */
static void test_relocated_registers(void **state)
{
	scribble();
	put_base(ELSEWHERE | LAPIC_BASE_BSP | LAPIC_BASE_EN);
	assert_int_equal(get_reg(vcpu, LAPIC_SVR), 0x1a5);
	assert_true(in_service(vcpu, 0x71));
	assert_true(pends(vcpu, 0x31));
	assert_true(lapic_timer_runs(vcpu));
}

/* Where the CPU begins to deliver it is told what is in service and what is level-triggered. */
static void test_delivery_begins(void **state)
{
	struct fake_apic *a = &fake_of(vcpu)->apic;

	scribble();
	a->in_service = 0;
	a->eoi_exits[1] = 0;
	atomic_store(&vcpu->requests, 0);
	put_base(X2APIC);
	assert_true(vmx_apic_delivers(&vcpu->vmx));
	assert_int_equal(a->in_service, 0x71);
	assert_int_equal(a->eoi_exits[1], BIT(0x31));
	assert_true(atomic_load(&vcpu->requests) & REQ_EVENT); /* what is requested: in that look */
	/* A reset APIC has nothing of it; disabled there is no delivery, so it is told later. */
	put_base(OFF);
	assert_false(vmx_apic_delivers(&vcpu->vmx));
	put_base(XAPIC);
	assert_int_equal(a->in_service, 0);
	assert_int_equal(a->eoi_exits[1], 0);
}

static void test_without_hardware(void **state)
{
	put_base(X2APIC);
	put_base(OFF);
	put_base(XAPIC);
	put_base(ELSEWHERE | LAPIC_BASE_BSP | LAPIC_BASE_EN);
	assert_int_equal(fixture_vm->apic_page.covering, 1);
	put_base(XAPIC);
	assert_int_equal(fixture_vm->apic_page.covering, 0);
	assert_int_equal(inhibited(), 1); /* for good */
	assert_int_equal(fake_of(vcpu)->apic.flushes, 0);
}

#define TEST(t)                                                                                    \
	{                                                                                          \
#t, t, setup, teardown, NULL                                                       \
	}
#define DELIVER(t)                                                                                 \
	{                                                                                          \
#t " (delivery)", t, setup_delivery, teardown, NULL                                \
	}
#define EMULATE(t)                                                                                 \
	{                                                                                          \
#t " (emulate)", t, setup_emulate, teardown, NULL                                  \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reset),
		TEST(test_transitions),
		EMULATE(test_transitions),
		TEST(test_reserved),
		TEST(test_boot_bit_stays),
		TEST(test_hidden_x2apic),
		TEST(test_to_x2apic),
		EMULATE(test_to_x2apic),
		TEST(test_ids),
		TEST(test_disable),
		EMULATE(test_disable),
		TEST(test_no_msrs),
		TEST(test_start),
		TEST(test_access_page),
		TEST(test_relocated),
		EMULATE(test_relocated_registers),
		DELIVER(test_relocated_registers),
		TEST(test_delivery_begins),
		DELIVER(test_delivery_begins),
		EMULATE(test_without_hardware),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
