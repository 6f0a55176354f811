/* SPDX-License-Identifier: GPL-2.0-only */
/* The log of dirty pages, with a CPU that fills it as the SDM says. */
/* link: tests/unit/fake_pages.c */
/* cflags: -Wno-missing-field-initializers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmx/vmcs.h"

static void write_field(u32 field, u64 v);
#define vmcs_write write_field
#include "vmx/pml.c"

#include "tests/unit/fake_pages.h"

static struct vmx_vcpu v;
static u16 pml_index; /* the field of the VMCS */

static void write_field(u32 field, u64 value)
{
	assert_int_equal(field, GUEST_PML_INDEX);
	pml_index = (u16)value;
}

/* What the CPU does before it sets a dirty bit. Returns false for the exit that says "full". */
static bool cpu_logs(gpa_t gpa)
{
	if (pml_index >= 512)
		return false;
	v.dirty_log[pml_index--] = gpa;
	return true;
}

static void take(unsigned int n, gpa_t first)
{
	gpa_t out[VMX_DIRTY_LOG];

	assert_int_equal(vmx_dirty_take(&v, out), n);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(out[i], first + i * PAGE_SIZE);
}

static int setup(void **state)
{
	v = (struct vmx_vcpu){ 0 };
	pml_index = 0xffff;
	assert_int_equal(vmx_dirty_alloc(&v), 0);
	vmx_dirty_rewind(&v);
	assert_int_equal(pml_index, 511);
	return 0;
}

static int teardown(void **state)
{
	page_free(v.dirty_log, 0);
	assert_int_equal(fake_pages_live, 0);
	fake_pages_reset();
	return 0;
}

static void log_pages(unsigned int n, gpa_t first)
{
	for (unsigned int i = 0; i < n; i++)
		assert_true(cpu_logs(first + i * PAGE_SIZE));
}

static void test_nothing_logged(void **state)
{
	take(0, 0);
	vmx_dirty_rewind(&v);
	take(0, 0);
}

static void test_parts(void **state)
{
	log_pages(3, 0x5000);
	take(3, 0x5000);
	take(0, 0);
	/* Taken without a rewind: the CPU goes on where it was. */
	log_pages(1, 0);
	take(1, 0);
	log_pages(200, 0x100000);
	take(200, 0x100000);
	vmx_dirty_rewind(&v);
	take(0, 0);
	log_pages(2, 0x7000);
	take(2, 0x7000);
}

static void test_full(void **state)
{
	for (unsigned int round = 0; round < 3; round++) {
		log_pages(512, round * MIB(8));
		assert_false(cpu_logs(0x1000));
		take(512, round * MIB(8));
		take(0, 0);
		assert_false(cpu_logs(0x1000)); /* room is made by the rewind only */
		take(0, 0);
		vmx_dirty_rewind(&v);
	}
	log_pages(511, 0);
	take(511, 0);
	log_pages(1, MIB(64));
	take(1, MIB(64));
	assert_false(cpu_logs(0));
}

/* Any address may be in the log: 0, and the last page of the widest CPU. */
static void test_addresses(void **state)
{
	const gpa_t last = BIT(52) - PAGE_SIZE;

	log_pages(1, 0);
	take(1, 0);
	log_pages(1, last);
	take(1, last);
	assert_true(cpu_logs(0x12345678)); /* a CPU that leaves the offset in it */
	take(1, 0x12345000);
}

static void test_without(void **state)
{
	struct vmx_vcpu none = { 0 };
	gpa_t out[VMX_DIRTY_LOG];

	pml_index = 7;
	assert_int_equal(vmx_dirty_take(&none, out), 0);
	vmx_dirty_rewind(&none);
	assert_int_equal(pml_index, 7);
	fake_page_fail(1);
	assert_int_equal(vmx_dirty_alloc(&none), -ENOMEM);
	assert_null(none.dirty_log);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_logged), TEST(test_parts),   TEST(test_full),
		TEST(test_addresses),	   TEST(test_without),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
