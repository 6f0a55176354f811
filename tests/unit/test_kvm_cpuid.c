/* SPDX-License-Identifier: GPL-2.0-only */
/* What linux/vmm makes of the kernel's list of CPUID leaves. */
/* link: linux/vmm/cpuid.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "linux/vmm/internal.h"

#define X2APIC	     BIT(21)
#define TSC_DEADLINE BIT(24)
#define HYPERVISOR   BIT(31)
#define APIC	     BIT(9)

static struct cpuid_table table;

static struct kvm_cpuid_entry2 *add(u32 function, u32 index, u32 all)
{
	struct kvm_cpuid_entry2 *e = &table.entry[table.nent++];

	*e = (struct kvm_cpuid_entry2){
		.function = function, .index = index, .eax = all, .ebx = all, .ecx = all, .edx = all
	};
	return e;
}

static int setup(void **state)
{
	table.nent = 0;
	return 0;
}

static void the_vcpu_has_its_own_id(void **state)
{
	const struct cpuid_wish wish = { .id = 5, .lapic = true, .x2apic = true };
	struct kvm_cpuid_entry2 *one = add(1, 0, ~0u), *level0 = add(0xb, 0, ~0u),
				*level1 = add(0xb, 1, ~0u);

	cpuid_tailor(&table, &wish);
	assert_int_equal(one->ebx >> 24, 5);
	assert_int_equal(one->ebx >> 16 & 0xff, 1);
	assert_int_equal(one->ebx & 0xffff, 0xffff);
	assert_int_equal(level0->edx, 5);
	assert_int_equal(level0->ebx, 1);
	assert_int_equal(level0->ecx, 0x100);
	assert_int_equal(level1->edx, 5);
	assert_int_equal(level1->ebx, 0);
	assert_int_equal(level1->ecx, 1);
}

static void the_apic_follows_the_wish(void **state)
{
	static const struct {
		struct cpuid_wish wish;
		u32 ecx, edx;
	} cases[] = {
		{ { .lapic = false, .x2apic = true, .tsc_deadline = true }, 0, 0 },
		{ { .lapic = true }, 0, APIC },
		{ { .lapic = true, .x2apic = true }, X2APIC, APIC },
		{ { .lapic = true, .tsc_deadline = true }, TSC_DEADLINE, APIC },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		/* Whatever the kernel has listed. */
		for (u32 all = 0; all <= 1; all++) {
			struct kvm_cpuid_entry2 *e;

			table.nent = 0;
			e = add(1, 0, all ? ~0u : 0);
			cpuid_tailor(&table, &cases[i].wish);
			assert_int_equal(e->ecx & (X2APIC | TSC_DEADLINE), cases[i].ecx);
			assert_int_equal(e->edx & APIC, cases[i].edx);
			assert_true(e->ecx & HYPERVISOR);
		}
	}
}

static void others_stay(void **state)
{
	const struct cpuid_wish wish = { .id = 1 };
	struct kvm_cpuid_entry2 *seven = add(7, 0, 0x12345678), *counters = add(0xa, 0, 7);

	cpuid_tailor(&table, &wish);
	assert_int_equal(seven->eax, 0x12345678);
	assert_int_equal(seven->ebx, 0x12345678);
	assert_int_equal(counters->eax, 0);
	assert_int_equal(counters->edx, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_vcpu_has_its_own_id, setup),
		cmocka_unit_test_setup(the_apic_follows_the_wish, setup),
		cmocka_unit_test_setup(others_stay, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
