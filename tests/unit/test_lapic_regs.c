/* SPDX-License-Identifier: GPL-2.0-only */
/* The local APIC's registers: what there is, what can be written, in each mode and in each way. */
/* link: @vm tests/unit/lapic_fixture.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/lapic_fixture.h"

#define NONE	    (-1ll) /* does not exist in this mode */
#define NOT_W	    (-2ll) /* cannot be written */
#define ESR_ILLEGAL 0x80

static struct vcpu *vcpu;

static int setup_xapic(void **state)
{
	lapic_fixture_start(2, VMX_APIC_REGISTER, LAPIC_XAPIC);
	vcpu = nth(0);
	return 0;
}

static int setup_x2apic(void **state)
{
	lapic_fixture_start(2, VMX_APIC_X2APIC, LAPIC_X2APIC);
	vcpu = nth(0);
	return 0;
}

static int teardown(void **state)
{
	lapic_fixture_end();
	return 0;
}

/* What is read after all ones were written; ESR, EOI and the like have tests of their own. */
static const struct expected {
	u16 offset;
	long long xapic, x2apic; /* x2APIC mode: as many ones as are allowed */
	bool x2apic_write_only;
} expected[] = {
	{ LAPIC_ID, 0xff000000, NOT_W, false },
	{ LAPIC_VERSION, NOT_W, NOT_W, false },
	{ LAPIC_TPR, 0xff, 0xff, false },
	{ LAPIC_APR, NOT_W, NONE, false },
	{ LAPIC_PPR, NOT_W, NOT_W, false },
	{ LAPIC_EOI, 0, 0, true },
	{ 0xc0, NOT_W, NONE, false },
	{ LAPIC_LDR, 0xff000000, NOT_W, false },
	{ LAPIC_DFR, 0xffffffff, NONE, false },
	{ LAPIC_SVR, 0x1ff, 0x1ff, false },
	{ LAPIC_ESR, 0, 0, false },
	{ LAPIC_ICR, 0xccfff, 0xccfff, false },
	{ LAPIC_ICR2, 0xff000000, NONE, false },
	{ LAPIC_LVT_TIMER, 0x700ff, 0x700ff, false },
	{ LAPIC_LVT_THERMAL, 0x107ff, 0x107ff, false },
	{ LAPIC_LVT_PMC, 0x107ff, 0x107ff, false },
	{ LAPIC_LVT_LINT0, 0x1a7ff, 0x1a7ff, false },
	{ LAPIC_LVT_LINT1, 0x1a7ff, 0x1a7ff, false },
	{ LAPIC_LVT_ERROR, 0x100ff, 0x100ff, false },
	{ LAPIC_TIMER_INITIAL, 0xffffffff, 0xffffffff, false },
	{ LAPIC_TIMER_CURRENT, NOT_W, NOT_W, false },
	{ LAPIC_TIMER_DIVIDE, 0xb, 0xb, false },
	{ LAPIC_SELF_IPI, NONE, 0, true },
};

static const struct expected *find(unsigned int offset)
{
	static const struct expected vectors = { LAPIC_ISR, NOT_W, NOT_W, false },
				     none = { 0, NONE, NONE, false };

	if (offset >= LAPIC_ISR && offset < LAPIC_ESR)
		return &vectors;
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		if (expected[i].offset == offset)
			return &expected[i];
	return &none;
}

static u32 errors(void)
{
	put_reg(vcpu, LAPIC_ESR, 0);
	return get_reg(vcpu, LAPIC_ESR);
}

/* --- as memory ------------------------------------------------------------------------------- */

static void mmio_write(unsigned int offset, unsigned int size, u8 byte)
{
	u8 data[16];

	memset(data, byte, sizeof(data));
	assert_int_equal(lapic_mmio_write(vcpu, (u16)offset, size, data), 0);
}

static void test_xapic_all(void **state)
{
	errors();
	for (unsigned int offset = 0; offset < PAGE_SIZE; offset += 16) {
		const struct expected *e = find(offset);
		u32 before = get_reg(vcpu, offset), after;

		assert_int_equal(errors(), e->xapic == NONE ? ESR_ILLEGAL : 0);
		mmio_write(offset, 4, 0xff);
		if (e->xapic == NONE)
			assert_int_equal(errors(), ESR_ILLEGAL);
		after = get_reg(vcpu, offset);
		if (e->xapic == NONE)
			assert_int_equal(before | after, 0);
		else if (e->xapic == NOT_W)
			assert_int_equal(after, before);
		else
			assert_int_equal(after, e->xapic);
		errors();
		clear_events();
		lapic_signal_init(vcpu);
		put_reg(vcpu, LAPIC_SVR, 0x1ff);
	}
}

/* What a register leaves alone does not come from a write, either. */
static void test_xapic_zeroes(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		const struct expected *e = &expected[i];

		if (e->xapic < 0 || e->offset == LAPIC_SVR)
			continue;
		mmio_write(e->offset, 4, 0xff);
		mmio_write(e->offset, 4, 0);
		assert_int_equal(get_reg(vcpu, e->offset), e->offset == LAPIC_DFR ? 0x0fffffff : 0);
	}
}

/* Bytes of a register wherever they are touched, 0 between the registers, nothing else. */
static void test_read_widths(void **state)
{
	static const unsigned int sizes[] = { 1, 2, 3, 4, 8, 16 };
	u8 page[PAGE_SIZE] = { 0 }, data[16];

	put_reg(vcpu, LAPIC_LVT_PMC, 0x00010355);
	put_reg(vcpu, LAPIC_ICR2, 0xab000000);
	put_reg(vcpu, LAPIC_TPR, 0x93);
	for (unsigned int offset = 0; offset < PAGE_SIZE; offset += 16) {
		u32 v = get_reg(vcpu, offset);

		memcpy(page + offset, &v, sizeof(v));
	}
	/* What is behind the registers in memory is not for the guest. */
	for (unsigned int offset = 0; offset < PAGE_SIZE; offset++)
		if (offset % 16 >= 4 || offset >= 0x400)
			vcpu->lapic.regs[offset] = 0xa5;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		for (unsigned int offset = 0; offset + sizes[i] <= PAGE_SIZE; offset++) {
			memset(data, 0xcc, sizeof(data));
			lapic_mmio_read(vcpu, (u16)offset, sizes[i], data);
			assert_memory_equal(data, page + offset, sizes[i]);
			for (unsigned int n = sizes[i]; n < sizeof(data); n++)
				assert_int_equal(data[n], 0xcc);
		}
}

/* Only a whole register, aligned, by itself or as the part of a longer access that it is. */
static void test_write_widths(void **state)
{
	static const struct {
		u8 offset, size; /* relative to ICR2 */
		bool writes;
	} cases[] = {
		{ 0, 1, false }, { 0, 2, false }, { 2, 2, false },   { 3, 1, false },
		{ 0, 3, false }, { 0, 4, true },  { 1, 4, false },   { 2, 4, false },
		{ 4, 4, false }, { 8, 8, false }, { 0, 8, true },    { 1, 8, false },
		{ 0, 16, true }, { 2, 8, false }, { 0xc, 4, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put_reg(vcpu, LAPIC_ICR2, 0);
		mmio_write(LAPIC_ICR2 + cases[i].offset, cases[i].size, 0xff);
		assert_int_equal(get_reg(vcpu, LAPIC_ICR2), cases[i].writes ? 0xff000000 : 0);
	}
	/* One that begins in what is before it. */
	put_reg(vcpu, LAPIC_ICR2, 0);
	mmio_write(LAPIC_ICR2 - 4, 8, 0xff);
	assert_int_equal(get_reg(vcpu, LAPIC_ICR2), 0xff000000);
	put_reg(vcpu, LAPIC_ICR2, 0);
	mmio_write(LAPIC_ICR2 - 2, 8, 0xff); /* all of it, but not by itself */
	mmio_write(LAPIC_ICR2 - 8, 8, 0xff);
	assert_int_equal(get_reg(vcpu, LAPIC_ICR2), 0);
	mmio_write(LAPIC_ICR2 - 12, 16, 0xff);
	assert_int_equal(get_reg(vcpu, LAPIC_ICR2), 0xff000000);
	/* The end of the page. */
	mmio_write(PAGE_SIZE - 4, 4, 0xff);
	mmio_write(PAGE_SIZE - 1, 1, 0xff);
}

/* The value that is stored is the one the bytes say. */
static void test_write_bytes(void **state)
{
	static const u8 data[8] = { 0x44, 0x33, 0x22, 0x11, 0xff, 0xff, 0xff, 0xff };

	assert_int_equal(lapic_mmio_write(vcpu, LAPIC_TIMER_INITIAL, 8, data), 0);
	assert_int_equal(get_reg(vcpu, LAPIC_TIMER_INITIAL), 0x11223344);
}

static void test_eoi_mmio(void **state)
{
	static const u8 anything[4] = { 1, 2, 3, 4 };

	lapic_post_level(vcpu, 0x80);
	lapic_sync(vcpu);
	lapic_accept(vcpu, 0x80);
	assert_int_equal(lapic_mmio_write(vcpu, LAPIC_EOI, 4, anything), 1);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_EOI);
	assert_int_equal(vcpu->run.eoi.vector, 0x80);
	assert_int_equal(get_reg(vcpu, LAPIC_EOI), 0);
}

/* --- as MSRs --------------------------------------------------------------------------------- */

static void test_x2apic_all(void **state)
{
	for (unsigned int offset = 0; offset < 0x1000; offset += 16) {
		const struct expected *e = find(offset);
		bool write_only = e->x2apic_write_only;
		u64 before = 0, after = 0;

		assert_int_equal(lapic_read(vcpu, MSR_OF(offset), &before),
				 e->x2apic == NONE || write_only ? -EFAULT : 0);
		assert_int_equal(lapic_write(vcpu, MSR_OF(offset), 0),
				 e->x2apic == NONE || e->x2apic == NOT_W ? -EFAULT : 0);
		if (e->x2apic < 0 || write_only)
			continue;
		assert_int_equal(lapic_write(vcpu, MSR_OF(offset), (u64)e->x2apic), 0);
		assert_int_equal(lapic_read(vcpu, MSR_OF(offset), &after), 0);
		assert_int_equal(after, e->x2apic);
		clear_events();
		lapic_signal_init(vcpu);
		put_reg(vcpu, LAPIC_SVR, 0x1ff);
	}
}

/* A bit that is neither written nor shown is a #GP; one that is only shown is ignored. */
static void test_x2apic_reserved(void **state)
{
	static const struct {
		u16 offset;
		u64 may;
	} cases[] = {
		{ LAPIC_TPR, 0xff },
		{ LAPIC_EOI, 0 },
		{ LAPIC_SVR, 0x1ff },
		{ LAPIC_ESR, 0 },
		{ LAPIC_LVT_TIMER, 0x710ff },
		{ LAPIC_LVT_THERMAL, 0x117ff },
		{ LAPIC_LVT_PMC, 0x117ff },
		{ LAPIC_LVT_LINT0, 0x1f7ff },
		{ LAPIC_LVT_LINT1, 0x1f7ff },
		{ LAPIC_LVT_ERROR, 0x110ff },
		{ LAPIC_TIMER_INITIAL, 0xffffffff },
		{ LAPIC_TIMER_DIVIDE, 0xb },
		{ LAPIC_SELF_IPI, 0xff },
		/* the delivery status (bit 12) is no longer there, but old code writes it */
		{ LAPIC_ICR, 0xffffffff000cdfffull },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (unsigned int bit = 0; bit < 64; bit++)
			assert_int_equal(lapic_write(vcpu, MSR_OF(cases[i].offset), BIT(bit)),
					 cases[i].may & BIT(bit) ? 0 : -EFAULT);
}

static void test_icr64(void **state)
{
	put_msr(vcpu, MSR_OF(LAPIC_ICR), 0x1234567800001044);
	assert_int_equal(get_msr(vcpu, MSR_OF(LAPIC_ICR)), 0x1234567800000044);
}

/* RDMSR that the CPU does itself loads eight bytes: none but those of ICR may be there. */
static void test_upper_halves(void **state)
{
	put_msr(vcpu, MSR_OF(LAPIC_ICR), 0x1234567800000044);
	put_reg(vcpu, LAPIC_TIMER_INITIAL, 0xffffffff);
	put_reg(vcpu, LAPIC_LVT_LINT1, 0x1a7ff);
	for (unsigned int offset = 0; offset < PAGE_SIZE; offset += 16)
		for (unsigned int n = 4; n < 16; n++)
			if (offset != LAPIC_ICR || n >= 8)
				assert_int_equal(vcpu->lapic.regs[offset + n], 0);
}

/* --- disabled by software --------------------------------------------------------------------- */

static void test_svr_masks(void **state)
{
	static const u16 lvt[] = { LAPIC_LVT_TIMER, LAPIC_LVT_THERMAL, LAPIC_LVT_PMC,
				   LAPIC_LVT_LINT0, LAPIC_LVT_LINT1,   LAPIC_LVT_ERROR };

	for (size_t i = 0; i < ARRAY_SIZE(lvt); i++)
		put_reg(vcpu, lvt[i], 0x40);
	put_reg(vcpu, LAPIC_SVR, 0xa5);
	for (size_t i = 0; i < ARRAY_SIZE(lvt); i++) {
		assert_int_equal(get_reg(vcpu, lvt[i]), 0x40 | LVT_MASKED);
		put_reg(vcpu, lvt[i], 0x41);
		assert_int_equal(get_reg(vcpu, lvt[i]), 0x41 | LVT_MASKED);
	}
	put_reg(vcpu, LAPIC_SVR, 0x1a5);
	for (size_t i = 0; i < ARRAY_SIZE(lvt); i++) {
		assert_int_equal(get_reg(vcpu, lvt[i]), 0x41 | LVT_MASKED);
		put_reg(vcpu, lvt[i], 0x41);
		assert_int_equal(get_reg(vcpu, lvt[i]), 0x41);
	}
}

/* --- errors ---------------------------------------------------------------------------------- */

/* They can be read after the next write, and are found anew after that. */
static void test_esr(void **state)
{
	send_icr(vcpu, TO_SELF | 3);
	assert_int_equal(get_reg(vcpu, LAPIC_ESR), 0);
	put_reg(vcpu, LAPIC_ESR, 0);
	assert_int_equal(get_reg(vcpu, LAPIC_ESR), 0x60);
	assert_int_equal(get_reg(vcpu, LAPIC_ESR), 0x60);
	put_reg(vcpu, LAPIC_ESR, 0);
	assert_int_equal(get_reg(vcpu, LAPIC_ESR), 0);
}

static void test_register_error(void **state)
{
	put_reg(vcpu, LAPIC_LVT_ERROR, 0x99);
	get_reg(vcpu, 0x10);
	assert_true(pends(vcpu, 0x99));
	clear_events();
	mmio_write(0x3f0, 4, 0x40); /* SELF IPI is not for this mode */
	assert_true(pends(vcpu, 0x99));
	assert_false(pends(vcpu, 0x40));
	clear_events();
	/* An access that does not touch a register touches none that is illegal. */
	mmio_write(0x14, 4, 0);
	mmio_write(0x10, 1, 0);
	get_reg(vcpu, 0x14);
	assert_false(pends(vcpu, 0x99));
}

/* An entry with an illegal vector is an error when it would be used; the error entry's own is not
 * pursued. */
static void test_illegal_entry(void **state)
{
	put_reg(vcpu, LAPIC_LVT_TIMER, 0x0f);
	put_reg(vcpu, LAPIC_LVT_ERROR, 0xe0);
	put_reg(vcpu, LAPIC_TIMER_INITIAL, 1000);
	fake_machine.now += 2000;
	assert_int_equal(fake_run_timers(), 1);
	assert_true(pends(vcpu, 0xe0));
	assert_int_equal(errors(), 0x40);
	clear_events();
	put_reg(vcpu, LAPIC_LVT_ERROR, 0x0e);
	put_reg(vcpu, LAPIC_TIMER_INITIAL, 1000);
	fake_machine.now += 2000;
	assert_int_equal(fake_run_timers(), 1);
	assert_int_equal(all_hit(), 0);
	assert_int_equal(errors(), 0x40);
}

/* --- what the CPU has written ----------------------------------------------------------------- */

static void cpu_stores(unsigned int offset, u32 value)
{
	memcpy(vcpu->lapic.regs + offset, &value, sizeof(value));
}

/* The same as if it had come here: for all ones and for all offsets that the CPU may name. */
static void test_written(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		const struct expected *e = &expected[i];

		if (e->xapic < 0)
			continue;
		for (unsigned int byte = 0; byte < 4; byte++) {
			cpu_stores(e->offset, 0xffffffff);
			assert_int_equal(lapic_written(vcpu, (u16)(e->offset + byte)), 0);
			assert_int_equal(get_reg(vcpu, e->offset), e->xapic);
			assert_int_equal(*(u32 *)(void *)(vcpu->lapic.regs + e->offset), e->xapic);
			clear_events();
		}
		lapic_signal_init(vcpu);
		put_reg(vcpu, LAPIC_SVR, 0x1ff);
	}
}

static void test_written_icr(void **state)
{
	cpu_stores(LAPIC_ICR2, 1u << 24);
	cpu_stores(LAPIC_ICR, 0x1045);
	assert_int_equal(lapic_written(vcpu, LAPIC_ICR), 0);
	assert_int_equal(get_reg(vcpu, LAPIC_ICR), 0x45);
	assert_int_equal(all_hit(), BIT(1));
	assert_true(pends(nth(1), 0x45));
}

static void test_written_eoi(void **state)
{
	lapic_post_level(vcpu, 0x80);
	lapic_sync(vcpu);
	lapic_accept(vcpu, 0x80);
	cpu_stores(LAPIC_EOI, 0x1234);
	assert_int_equal(lapic_written(vcpu, LAPIC_EOI), 1);
	assert_int_equal(vcpu->run.eoi.vector, 0x80);
	assert_false(in_service(vcpu, 0x80));
	assert_int_equal(get_reg(vcpu, LAPIC_EOI), 0);
}

/* The old mode and the old divisor are gone from the page, and still count. */
static void test_written_timer(void **state)
{
	put_reg(vcpu, LAPIC_TIMER_DIVIDE, 0xb); /* by 1 */
	put_reg(vcpu, LAPIC_LVT_TIMER, 0x40);
	put_reg(vcpu, LAPIC_TIMER_INITIAL, 1000);
	fake_machine.now += 400;
	cpu_stores(LAPIC_TIMER_DIVIDE, 0); /* by 2 */
	assert_int_equal(lapic_written(vcpu, LAPIC_TIMER_DIVIDE), 0);
	assert_int_equal(get_reg(vcpu, LAPIC_TIMER_CURRENT), 600);
	fake_machine.now += 200;
	assert_int_equal(get_reg(vcpu, LAPIC_TIMER_CURRENT), 500);
	cpu_stores(LAPIC_LVT_TIMER, 0x40041); /* TSC-deadline: disarms */
	assert_int_equal(lapic_written(vcpu, LAPIC_LVT_TIMER), 0);
	assert_false(lapic_timer_runs(vcpu));
	assert_int_equal(get_reg(vcpu, LAPIC_TIMER_INITIAL), 0);
	cpu_stores(LAPIC_TIMER_INITIAL, 500);
	assert_int_equal(lapic_written(vcpu, LAPIC_TIMER_INITIAL), 0);
	assert_int_equal(get_reg(vcpu, LAPIC_TIMER_INITIAL), 0);
	assert_false(lapic_timer_runs(vcpu));
}

/* In x2APIC mode only a SELF IPI that the CPU does not send itself comes this way. */
static void test_written_self_ipi(void **state)
{
	cpu_stores(LAPIC_SELF_IPI, 0x0c);
	assert_int_equal(lapic_written(vcpu, LAPIC_SELF_IPI), 0);
	assert_int_equal(all_hit(), 0);
	assert_int_equal(errors(), 0x60);
	assert_int_equal(*(u32 *)(void *)(vcpu->lapic.regs + LAPIC_SELF_IPI), 0);
	cpu_stores(LAPIC_SELF_IPI, 0x5c);
	assert_int_equal(lapic_written(vcpu, LAPIC_SELF_IPI), 0);
	assert_true(pends(vcpu, 0x5c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_XAPIC(test_xapic_all),
		ON_XAPIC(test_xapic_zeroes),
		ON_XAPIC(test_read_widths),
		ON_XAPIC(test_write_widths),
		ON_XAPIC(test_write_bytes),
		ON_XAPIC(test_eoi_mmio),
		ON_X2APIC(test_x2apic_all),
		ON_X2APIC(test_x2apic_reserved),
		ON_X2APIC(test_icr64),
		ON_X2APIC(test_upper_halves),
		ON_XAPIC(test_svr_masks),
		ON_X2APIC(test_svr_masks),
		ON_XAPIC(test_esr),
		ON_X2APIC(test_esr),
		ON_XAPIC(test_register_error),
		ON_XAPIC(test_illegal_entry),
		ON_X2APIC(test_illegal_entry),
		ON_XAPIC(test_written),
		ON_XAPIC(test_written_icr),
		ON_XAPIC(test_written_eoi),
		ON_XAPIC(test_written_timer),
		ON_X2APIC(test_written_self_ipi),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
