/* SPDX-License-Identifier: GPL-2.0-only */
/* MSRs that exit: those that exist, and #GP for all others. */
/* link: @vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/x86.h"
#include "hv/vm/internal.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"

#define MISC_RESET 0x1801 /* fast strings; no branch trace, no PEBS */

static struct vcpu *vcpu;

static int setup(void **state)
{
	fixture_start(1);
	vcpu = fixture_vm->vcpu[0];
	return 0;
}

static int teardown(void **state)
{
	fixture_end();
	return 0;
}

/* RDMSR; whether it was completed. The upper halves of the registers are to be ignored. */
static bool read_msr(u32 msr, u64 *value)
{
	u64 *gpr = vcpu->vmx.gpr, rip = vcpu_rip(vcpu);

	gpr[GPR_RCX] = 0xabcdef0000000000 | msr;
	gpr[GPR_RAX] = gpr[GPR_RDX] = ~0ull;
	assert_int_equal(vcpu_handle_rdmsr(vcpu), RESUME_GUEST);
	if (fake_of(vcpu)->queued) {
		expect_fault(vcpu, EXC_GP, 0);
		assert_int_equal(gpr[GPR_RAX], ~0ull);
		assert_int_equal(gpr[GPR_RDX], ~0ull);
		assert_int_equal(vcpu_rip(vcpu), rip);
		return false;
	}
	assert_int_equal(vcpu_rip(vcpu), rip + 2);
	assert_int_equal(gpr[GPR_RAX] >> 32 | gpr[GPR_RDX] >> 32, 0);
	*value = gpr[GPR_RDX] << 32 | gpr[GPR_RAX];
	return true;
}

static bool write_msr(u32 msr, u64 value)
{
	u64 *gpr = vcpu->vmx.gpr, rip = vcpu_rip(vcpu);

	gpr[GPR_RCX] = 0xabcdef0000000000 | msr;
	gpr[GPR_RAX] = 0x1234567800000000 | (u32)value;
	gpr[GPR_RDX] = 0x1234567800000000 | value >> 32;
	assert_int_equal(vcpu_handle_wrmsr(vcpu), RESUME_GUEST);
	if (fake_of(vcpu)->queued) {
		expect_fault(vcpu, EXC_GP, 0);
		assert_int_equal(vcpu_rip(vcpu), rip);
		return false;
	}
	assert_int_equal(vcpu_rip(vcpu), rip + 2);
	return true;
}

static void test_unknown(void **state)
{
	static const u32 none[] = {
		0x0,
		MSR_FEATURE_CONTROL,
		MSR_TSC_ADJUST,
		MSR_SPEC_CTRL,
		MSR_PRED_CMD,
		0xce,
		MSR_MTRR_CAP,
		0x10a,
		0x179,
		0x200,
		0x2ff,
		0x345,
		MSR_PERF_GLOBAL_CTRL,
		0x480,
		0x491,
		0x7ff,
		0x900,
		MSR_XSS,
		0x40000000,
		0xc0000104,
		0xc0010015,
		0xffffffff,
	};
	u64 value;

	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		assert_false(read_msr(none[i], &value));
		assert_false(write_msr(none[i], 0));
	}
}

static void test_tsc(void **state)
{
	u64 value;

	fake_machine.now = 5000;
	assert_true(write_msr(MSR_TSC, 0x100000001));
	assert_int_equal(fake_of(vcpu)->reg[REG_TSC_OFFSET] + 5000, 0x100000001);
	assert_true(write_msr(MSR_TSC, 0));
	assert_int_equal(fake_of(vcpu)->reg[REG_TSC_OFFSET] + 5000, 0);
	assert_false(read_msr(MSR_TSC, &value)); /* never exits */
}

static void test_microcode(void **state)
{
	u64 value;

	assert_true(write_msr(MSR_BIOS_SIGN_ID, 0));
	assert_true(read_msr(MSR_BIOS_SIGN_ID, &value));
	assert_int_equal(value, 0);
}

static void test_misc_enable(void **state)
{
	u64 value;

	assert_true(read_msr(MSR_MISC_ENABLE, &value));
	assert_int_equal(value, MISC_RESET);
	for (unsigned int bit = 0; bit < 64; bit++)
		assert_int_equal(write_msr(MSR_MISC_ENABLE, MISC_RESET ^ BIT(bit)), bit == 0);
	assert_true(read_msr(MSR_MISC_ENABLE, &value));
	assert_int_equal(value, MISC_RESET & ~1);
}

static void test_debugctl(void **state)
{
	u64 value;

	for (unsigned int bit = 0; bit < 64; bit++)
		assert_int_equal(write_msr(MSR_DEBUGCTL, BIT(bit)), bit < 2);
	assert_true(read_msr(MSR_DEBUGCTL, &value));
	assert_int_equal(value, 2);
	assert_int_equal(fake_of(vcpu)->reg[REG_DEBUGCTL], 2);
}

static void test_apic(void **state)
{
	u64 value;

	assert_false(read_msr(0x802, &value));
	assert_true(read_msr(MSR_APIC_BASE, &value));
	assert_int_equal(value, 0xfee00900);
	assert_true(write_msr(MSR_APIC_BASE, value | APIC_BASE_X2APIC));
	assert_true(read_msr(0x803, &value));
	assert_int_equal(value, 0x50014);
	assert_true(write_msr(0x808, 0x20));
	assert_true(read_msr(0x808, &value));
	assert_int_equal(value, 0x20);
	assert_false(write_msr(0x802, 1));
	assert_false(read_msr(0x80b, &value));
	assert_false(write_msr(0x808, BIT(32)));
	/* ICR with a destination in the upper half: to itself, which is not enabled yet */
	assert_true(write_msr(0x830, 0x40));
	assert_true(read_msr(0x822, &value));
	assert_int_equal(value, 0);
	assert_true(write_msr(0x80f, 0x1ff));
	assert_true(write_msr(0x830, 0x40));
	assert_true(read_msr(0x822, &value));
	assert_int_equal(value, 1);
}

static void test_tsc_deadline(void **state)
{
	u64 value;

	assert_true(write_msr(MSR_TSC_DEADLINE, 5000)); /* not in that mode: ignored */
	assert_true(read_msr(MSR_TSC_DEADLINE, &value));
	assert_int_equal(value, 0);
	assert_true(read_msr(MSR_APIC_BASE, &value));
	assert_true(write_msr(MSR_APIC_BASE, value | APIC_BASE_X2APIC));
	assert_true(write_msr(0x80f, 0x1ff));
	assert_true(write_msr(0x832, BIT(18) | 0x40));
	assert_true(write_msr(MSR_TSC_DEADLINE, ~0ull));
	assert_true(read_msr(MSR_TSC_DEADLINE, &value));
	assert_int_equal(value, ~0ull);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unknown),	 TEST(test_tsc),      TEST(test_microcode),
		TEST(test_misc_enable),	 TEST(test_debugctl), TEST(test_apic),
		TEST(test_tsc_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
