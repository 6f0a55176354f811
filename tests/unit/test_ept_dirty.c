/* SPDX-License-Identifier: GPL-2.0-only */
/* Extended page tables: dirty bits, and logging by them or by faults. */
/* link: tests/unit/ept_fixture.c tests/unit/ept_view.c tests/unit/fake_pages.c hv/host/random.c */
/* cflags: -Wno-missing-field-initializers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/ept_fixture.h"

static void test_dirty_bits_survive(void **state)
{
	struct ept_mapping m;

	MUST(0, MAP, 0, G1, G1, EPT_RWX);
	hw_rng.state = 3;
	while (!nr_written)
		hw_access(12345 * K4);
	/* A split, a change of rights, and a mapping of the same frame keep them. */
	MUST(1, UNMAP, 0, K4);
	m = look(G1 - K4, 0);
	assert_true(m.accessed && m.dirty);
	MUST(1, PROTECT, 0, G1, 0, EPT_READ);
	MUST(0, MAP, M2, M2, G1 + M2, EPT_RWX);
	m = look(M2, 0);
	assert_true(m.accessed && m.dirty);
	/* Another frame starts clean, */
	MUST(1, MAP, M2, M2, 6 * G1, EPT_RWX);
	m = look(M2, 0);
	assert_false(m.accessed || m.dirty);
	/* but not where a table was, in which a CPU may still be setting bits. */
	MUST(1, MAP, 0, G1, 7 * G1, EPT_RWX);
	m = look(M2, 0);
	assert_true(m.accessed && m.dirty);
}

static void test_no_dirty_bits_without_support(void **state)
{
	ept_destroy(&ept);
	start_with(CAPS_ALL & ~EPT_CAP_AD);
	MUST(0, MAP, 0, K4, 0, EPT_RWX);
	MUST(1, MAP, 0, M2, 0, EPT_RWX);
	assert_false(look(0, 0).dirty);
}

static void test_dirty_from_the_start(void **state)
{
	struct ept_mapping m;

	MUST(0, MAP, K4, K4, 0, EPT_RWX | EPT_DIRTY);
	MUST(0, MAP, G1, G1, G1, EPT_READ | EPT_DIRTY);
	m = look(K4, 0);
	assert_true(m.accessed && m.dirty && m.prot == EPT_RWX);
	m = look(G1, 0);
	assert_true(m.accessed && m.dirty && m.prot == EPT_READ);
	/* Only setting the bits needs no flush: a CPU would have set them itself. */
	MUST(0, MAP, 2 * K4, K4, 0, EPT_RWX);
	MUST(0, MAP, 2 * K4, K4, 0, EPT_RWX | EPT_DIRTY);
	assert_true(look(2 * K4, 0).dirty);
	MUST(0, MAP, 3 * K4, K4, 0, EPT_READ);
	MUST(0, PROTECT, 0, M2, 0, EPT_RWX | EPT_DIRTY);
	m = look(3 * K4, 0);
	assert_true(m.accessed && m.dirty && m.prot == EPT_RWX);
	ept_destroy(&ept);
	start_with(CAPS_ALL & ~EPT_CAP_AD);
	MUST(0, MAP, K4, K4, 0, EPT_RWX | EPT_DIRTY);
	assert_false(look(K4, 0).dirty);
}

/* Arming a range: 4 KiB leaves without the dirty bit in it, and nothing else anywhere else. */
static void test_log_by_dirty_bit(void **state)
{
	struct ept_mapping m;

	MUST(0, MAP, 0, G1, G1, EPT_RWX | EPT_DIRTY);
	MUST(1, LOG, 3 * M2 + K4, 2 * M2, 0, EPT_LOG_DIRTY);
	m = look(3 * M2, 0);
	assert_true(m.dirty && m.size == K4);
	m = look(3 * M2 + K4, 0);
	assert_true(!m.dirty && m.accessed && m.size == K4);
	m = look(5 * M2, 0);
	assert_true(!m.dirty && m.size == K4);
	m = look(5 * M2 + K4, 0);
	assert_true(m.dirty && m.size == K4);
	m = look(6 * M2, 0);
	assert_true(m.dirty && m.size == M2);
	/* Again: nothing to do. One that was written meanwhile is armed again by itself. */
	MUST(0, LOG, 3 * M2 + K4, 2 * M2, 0, EPT_LOG_DIRTY);
	MUST(0, MAP, 4 * M2, K4, G1 + 4 * M2, EPT_RWX | EPT_DIRTY);
	MUST(0, REARM, 4 * M2 - K4, 1, 0, EPT_LOG_DIRTY);
	MUST(1, REARM, 4 * M2 - K4, 2, 0, EPT_LOG_DIRTY);
	MUST(0, REARM, 4 * M2 - K4, ~0ull, 0, EPT_LOG_DIRTY);
	/* Holes are none of its business. */
	MUST(0, LOG, 7 * G1, 2 * G1, 0, EPT_LOG_DIRTY);
	MUST(0, REARM, 7 * G1, ~0ull, 0, EPT_LOG_DIRTY);
	ept_destroy(&ept);
	start_with(CAPS_ALL & ~EPT_CAP_AD);
	assert_int_equal(ept_log_dirty(&ept, 0, K4, EPT_LOG_DIRTY), -EINVAL);
	assert_int_equal(ept_rearm(&ept, 0, 1, EPT_LOG_DIRTY), -EINVAL);
}

static void test_log_by_fault(void **state)
{
	MUST(0, MAP, 0, M2, G1, EPT_RWX | EPT_DIRTY);
	MUST(0, MAP, M2, K4, G1 + M2, EPT_READ);
	MUST(1, LOG, 0, 2 * M2, 0, EPT_LOG_PROTECT);
	assert_int_equal(look(5 * K4, 0).prot, EPT_READ | EPT_EXEC);
	assert_int_equal(look(5 * K4, 0).size, K4);
	/* The fault's handler gives the right back, which needs no flush; reading the log takes it.
	 */
	MUST(0, MAP, 5 * K4, K4, G1 + 5 * K4, EPT_RWX | EPT_DIRTY);
	MUST(0, MAP, M2 - K4, K4, G1 + M2 - K4, EPT_RWX | EPT_DIRTY);
	MUST(1, REARM, 0, BIT(5) | BIT(9), 0, EPT_LOG_PROTECT);
	assert_int_equal(look(5 * K4, 0).prot, EPT_READ | EPT_EXEC);
	assert_int_equal(look(M2 - K4, 0).prot, EPT_RWX);
	/* A word of the log that lies in two tables. */
	MUST(0, MAP, M2, K4, G1 + M2, EPT_RWX);
	MUST(1, REARM, M2 - 3 * K4, BIT(2) | BIT(3), 0, EPT_LOG_PROTECT);
	assert_int_equal(look(M2 - K4, 0).prot, EPT_READ | EPT_EXEC);
	assert_int_equal(look(M2, 0).prot, EPT_READ | EPT_EXEC);
}

/* A large leaf that somebody mapped in a logged range is split, and only what was asked is armed.
 */
static void test_rearm_in_a_large_leaf(void **state)
{
	MUST(0, MAP, 0, M2, G1, EPT_RWX | EPT_DIRTY);
	MUST(0, MAP, M2, M2, G1 + M2, EPT_RWX | EPT_DIRTY);
	MUST(1, REARM, M2 - K4, 3, 0, EPT_LOG_DIRTY);
	assert_false(look(M2 - K4, 0).dirty);
	assert_false(look(M2, 0).dirty);
	assert_true(look(M2 - 2 * K4, 0).dirty);
	assert_true(look(M2 + K4, 0).dirty);
	assert_int_equal(linked(), 5);
	fake_page_fail(1);
	MUST(0, MAP, 2 * M2, M2, G1, EPT_RWX | EPT_DIRTY);
	MUST(-ENOMEM, REARM, 2 * M2, 1, 0, EPT_LOG_DIRTY);
	assert_true(look(2 * M2, 0).dirty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_dirty_bits_survive),	 TEST(test_no_dirty_bits_without_support),
		TEST(test_dirty_from_the_start), TEST(test_log_by_dirty_bit),
		TEST(test_log_by_fault),	 TEST(test_rearm_in_a_large_leaf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
