/* SPDX-License-Identifier: GPL-2.0-only */
/* Lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/list.h"

struct item {
	int value;
	struct list node;
};

static void expect_list(struct list *l, const int *values, size_t n)
{
	struct list *pos, *next;
	size_t i = 0;

	list_for_each (pos, next, l) {
		assert_true(i < n);
		assert_int_equal(list_entry(pos, struct item, node)->value, values[i++]);
		assert_ptr_equal(pos->next->prev, pos);
		assert_ptr_equal(pos->prev->next, pos);
	}
	assert_int_equal(i, n);
	assert_int_equal(list_empty(l), n == 0);
}

#define EXPECT(l, ...)                                                                             \
	expect_list(l, (const int[]){ __VA_ARGS__ }, sizeof((int[]){ __VA_ARGS__ }) / sizeof(int))

static void test_order(void **state)
{
	struct list l = LIST_INIT(l);
	struct item a = { .value = 1 }, b = { .value = 2 }, c = { .value = 3 }, d = { .value = 4 };

	expect_list(&l, NULL, 0);
	list_add_tail(&l, &b.node);
	list_add_tail(&l, &d.node);
	list_add_head(&l, &a.node);
	list_add_before(&d.node, &c.node);
	EXPECT(&l, 1, 2, 3, 4);
}

static void test_delete(void **state)
{
	struct item items[5];
	struct list l, *pos, *next;

	list_init(&l);
	for (int i = 0; i < 5; i++) {
		items[i].value = i;
		list_add_tail(&l, &items[i].node);
	}
	list_del(&items[2].node);
	EXPECT(&l, 0, 1, 3, 4);
	list_del(&items[2].node);
	EXPECT(&l, 0, 1, 3, 4);
	assert_true(list_empty(&items[2].node));

	/* Deleting while walking. */
	list_for_each (pos, next, &l) {
		if (list_entry(pos, struct item, node)->value % 2)
			list_del(pos);
	}
	EXPECT(&l, 0, 4);
	list_for_each (pos, next, &l)
		list_del(pos);
	expect_list(&l, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_delete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
