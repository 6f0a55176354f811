/* SPDX-License-Identifier: GPL-2.0-only */
/* Test results, letter by letter. */
/* link: hv/host/ktap.c hv/host/print.c hv/host/string.c tests/unit/stub_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/ktap.h"
#include "hv/host/string.h"
#include "tests/unit/stub_host.h"

static void test_run(void **state)
{
	ktap_begin(3);
	ktap_note("seed %d", 1);
	ktap_suite_begin("exits");
	ktap_result(true, "cpuid returns %s", "the table");
	ktap_result(false, "port I/O reaches the VMM");
	ktap_note("expected %d, got %d\nand a second line\n", 5, 4);
	ktap_skip("needs EPT", "page walks of %d levels", 4);
	ktap_suite_end();
	ktap_suite_skip("memory", "needs EPT (secondary control bit 1)");
	ktap_suite_begin("kick");
	ktap_expect_eq(1 + 1, 2, "sums are right");
	ktap_suite_end();
	assert_string_equal(stub_console_take(),
			    "KTAP version 1\n"
			    "1..3\n"
			    "# seed 1\n"
			    "  KTAP version 1\n"
			    "  # Subtest: exits\n"
			    "  ok 1 cpuid returns the table\n"
			    "  not ok 2 port I/O reaches the VMM\n"
			    "  # expected 5, got 4\n"
			    "  # and a second line\n"
			    "  ok 3 page walks of 4 levels # SKIP needs EPT\n"
			    "  1..3\n"
			    "not ok 1 exits\n"
			    "ok 2 memory # SKIP needs EPT (secondary control bit 1)\n"
			    "  KTAP version 1\n"
			    "  # Subtest: kick\n"
			    "  ok 1 sums are right\n"
			    "  1..1\n"
			    "ok 3 kick\n");
	assert_int_equal(ktap_passed(), 2);
	assert_int_equal(ktap_failed(), 1);
	assert_int_equal(ktap_skipped(), 2);
}

static void test_expect_eq(void **state)
{
	const char *out;

	ktap_suite_begin("eq");
	ktap_expect_eq(0x10, -1, "a difference");
	out = stub_console_take();
	assert_non_null(strstr(out,
			       "  not ok 1 a difference\n"
			       "  # expected 0xffffffffffffffff, got 0x10 ("));
	assert_non_null(strstr(out, "test_ktap.c:"));
	ktap_suite_end();
	stub_console_take();
}

/* Nothing that a name holds may look like a directive or begin a line. */
static void test_awkward_names(void **state)
{
	ktap_suite_begin("a#b\nok 7 c");
	ktap_result(true, "issue # SKIP 5\r\nnot ok");
	ktap_suite_end();
	assert_string_equal(stub_console_take(),
			    "  KTAP version 1\n"
			    "  # Subtest: a\\#b ok 7 c\n"
			    "  ok 1 issue \\# SKIP 5  not ok\n"
			    "  1..1\n"
			    "ok 5 a\\#b ok 7 c\n");
}

static void test_long_names(void **state)
{
	char name[3000];
	const char *out;

	memset(name, '#', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	ktap_suite_skip(name, name);
	out = stub_console_take();
	assert_in_range(strlen(out), 700, 900);
	assert_non_null(strstr(out, "\\#... # SKIP \\#"));
	assert_string_equal(out + strlen(out) - 6, "\\#...\n");
}

static void test_silent_suite_fails(void **state)
{
	unsigned int failed = ktap_failed();

	ktap_suite_begin("silent");
	ktap_suite_end();
	assert_string_equal(stub_console_take(),
			    "  KTAP version 1\n"
			    "  # Subtest: silent\n"
			    "  not ok 1 the experiment reports a result\n"
			    "  1..1\n"
			    "not ok 7 silent\n");
	assert_int_equal(ktap_failed(), failed + 1);
}

static void result_outside(void *arg)
{
	ktap_result(true, "x");
}

static void suite_in_suite(void *arg)
{
	ktap_suite_begin("a");
	ktap_suite_begin("b");
}

static void test_misuse(void **state)
{
	expect_panic(result_outside, NULL, "in_suite");
	expect_panic(suite_in_suite, NULL, "in_suite");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run),
		cmocka_unit_test(test_expect_eq),
		cmocka_unit_test(test_awkward_names),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_silent_suite_fails),
		cmocka_unit_test(test_misuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
