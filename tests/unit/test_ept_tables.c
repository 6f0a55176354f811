/* SPDX-License-Identifier: GPL-2.0-only */
/* Extended page tables: the pages that hold them, from their allocation to the flush that frees
 * them. */
/* link: tests/unit/ept_fixture.c tests/unit/ept_view.c tests/unit/fake_pages.c hv/host/random.c */
/* cflags: -Wno-missing-field-initializers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/ept_fixture.h"

/* What is unlinked while a flush is under way is not freed after that flush. */
static void test_detached_lists(void **state)
{
	struct ept_unlinked *first, *second;

	assert_null(ept_detach_unlinked(&ept));
	assert_int_equal(ept_free_detached(&ept, NULL), 0);
	MUST(0, MAP, 0, K4, 0, EPT_RWX);
	MUST(0, MAP, M2, K4, 0, EPT_RWX);
	MUST(0, MAP, G1, M2, 0, EPT_RWX);
	MUST(1, UNMAP, 0, M2);
	MUST(1, UNMAP, M2, M2);
	first = ept_detach_unlinked(&ept);
	assert_null(ept_detach_unlinked(&ept));
	assert_int_equal(ept_unmap(&ept, G1, G1), 1);
	second = ept_detach_unlinked(&ept);
	assert_int_equal(ept.nr_tables, 6);
	assert_int_equal(ept_free_detached(&ept, second), 1);
	/* The flush for the first did not succeed; the next one will do for it. */
	assert_int_equal(ept_map(&ept, 0, 0, K4, EPT_RWX), 0);
	assert_int_equal(ept_unmap(&ept, 0, M2), 1);
	ept_reattach(&ept, first);
	ept_reattach(&ept, NULL);
	assert_int_equal(free_unlinked(), 3);
	assert_int_equal(ept.nr_tables, linked());
	check_books();
	MUST(1, MAP, 0, G1, 0, EPT_RWX);
	ept_reattach(&ept, ept_detach_unlinked(&ept));
	check_books();
}

static unsigned int pages_ever(void)
{
	unsigned int n = 0;

	for (struct fake_page *p = fake_pages; p; p = p->next)
		n++;
	return n;
}

/* Tables go round without a page being allocated or freed, and come back clean. */
static void test_tables_are_kept(void **state)
{
	unsigned int pages = 0;

	for (unsigned int i = 0; i < 50; i++) {
		const gpa_t gpa = i * 37 % 512 * K4, large = G1 + i * 91 % 512 * M2;

		MUST(0, MAP, gpa, K4, 0, EPT_RWX);
		MUST(0, MAP, gpa ^ (100 * K4), K4, 0, EPT_RWX);
		MUST(0, MAP, large, M2, 0, EPT_RWX);
		MUST(0, MAP, large + G1, K4, 0, EPT_RWX);
		if (i % 3 == 0)
			MUST(1, MAP, large + K4, K4, 0,
			     EPT_RWX); /* a split fills one that is not clean */
		MUST(1, UNMAP, 0, 3 * G1);
		assert_int_equal(stores, 3);
		free_unlinked();
		read_now();
		check_books();
		if (i == 0)
			pages = pages_ever();
	}
	assert_int_equal(pages_ever(), pages);
}

/* A table that was got, and given back because there was no second one, is not taken for clean. */
static void test_unused_table(void **state)
{
	MUST(0, MAP, 0, M2, 0, EPT_RWX);
	MUST(1, UNMAP, 0, K4);
	MUST(1, UNMAP, 0, M2);
	assert_int_equal(free_unlinked(), 1);
	MUST(0, MAP, G1, G1, 0, EPT_RWX);
	fake_page_fail(1);
	MUST(-ENOMEM, MAP, G1, K4, 0, EPT_READ);
	assert_int_equal(ept.nr_cached, 1);
	MUST(0, MAP, 7 * M2, K4, 0, EPT_RWX);
	assert_int_equal(ept.nr_cached, 0);
}

/* What is kept has a limit. */
static void test_few_tables_are_kept(void **state)
{
	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(ept_map(&ept, i * M2, 0, K4, EPT_RWX), 0);
	read_now();
	assert_int_equal(fake_pages_live, 1 + 1 + 2 + 1000 + 4); /* 4 of list nodes */
	MUST(1, UNMAP, 0, 4 * G1);
	assert_int_equal(free_unlinked(), 2 + 1000);
	assert_int_equal(ept.nr_cached, EPT_MAX_CACHED);
	assert_int_equal(fake_pages_live, 1 + 1 + EPT_MAX_CACHED + 4);
	read_now();
	check_books();
	/* One by one: the same. */
	for (unsigned int i = 0; i < EPT_MAX_CACHED + 8; i++)
		assert_int_equal(ept_map(&ept, i * M2, 0, K4, EPT_RWX), 0);
	for (unsigned int i = 0; i < EPT_MAX_CACHED + 8; i++)
		assert_int_equal(ept_unmap(&ept, i * M2, M2), 1);
	assert_int_equal(free_unlinked(), EPT_MAX_CACHED + 8);
	assert_int_equal(ept.nr_cached, EPT_MAX_CACHED);
	read_now();
	check_books();
}

/* Allocation failure at every point: nothing changes, nothing leaks, and the next try succeeds. */
static void fail_each_allocation(const struct op *setup_op, const struct op *op,
				 unsigned int allocations)
{
	for (unsigned int n = 1; n <= allocations + 1; n++) {
		start_with(CAPS_ALL);
		if (setup_op)
			assert_int_equal(checked(setup_op), 0);
		fake_page_fail(n);
		if (n <= allocations) {
			assert_int_equal(checked(op), -ENOMEM);
			assert_false(fake_page_will_fail());
		}
		assert_true(checked(op) >= 0);
		ept_destroy(&ept);
		assert_int_equal(fake_pages_live, 0);
	}
	start_with(CAPS_ALL);
}

static void test_out_of_memory(void **state)
{
	const struct op map_1g = { MAP, 0, G1, G1, EPT_RWX };
	const struct op map_2m = { MAP, 0, M2, M2, EPT_RWX };
	const struct op map_4k = { MAP, M2 - K4, K4, 0, EPT_READ };
	const struct op hole_in_1g = { UNMAP, M2 + K4, M2, 0, 0 };
	const struct op end_of_1g = { UNMAP, G1 - M2, M2, 0, 0 };
	const struct op protect_1g = { PROTECT, 5 * K4, 600 * M2, 0, EPT_READ };
	const struct op log_1g = { LOG, G1 - 3 * M2, 3 * M2, 0, EPT_LOG_PROTECT };

	ept_destroy(&ept);
	/* The first table brings a page of list nodes too. */
	fail_each_allocation(NULL, &map_4k, 4);
	fail_each_allocation(NULL, &map_1g, 2);
	fail_each_allocation(&map_1g, &map_4k, 2);
	fail_each_allocation(&map_1g, &map_2m, 1);
	fail_each_allocation(&map_2m, &map_4k, 1);
	fail_each_allocation(&map_1g, &hole_in_1g, 3);
	fail_each_allocation(&map_1g, &end_of_1g, 1);
	fail_each_allocation(&map_1g, &protect_1g, 2);
	fail_each_allocation(&map_1g, &log_1g, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_detached_lists),	TEST(test_tables_are_kept), TEST(test_unused_table),
		TEST(test_few_tables_are_kept), TEST(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
