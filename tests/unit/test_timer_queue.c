/* SPDX-License-Identifier: GPL-2.0-only */
/* The list of armed timers against a plain array. */
/* link: hv/host/timer_queue.c hv/host/random.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/random.h"
#include "hv/host/timer.h"

#define COUNT 64

static void ignore(struct timer *t)
{
}

static unsigned int length(const struct list *l)
{
	unsigned int n = 0;

	for (const struct list *p = l->next; p != l; p = p->next)
		n++;
	return n;
}

static void expect_sorted(const struct list *l)
{
	for (const struct list *p = l->next; p != l && p->next != l; p = p->next)
		assert_true(list_entry(p, struct timer, node)->deadline <=
			    list_entry(p->next, struct timer, node)->deadline);
}

static void test_init(void **state)
{
	struct timer t;

	timer_init(&t, ignore);
	assert_true(list_empty(&t.node));
	assert_false(t.armed);
	assert_ptr_equal(t.fn, ignore);
}

static void test_equal_deadlines(void **state)
{
	struct list queue = LIST_INIT(queue), due = LIST_INIT(due);
	struct timer t[4];

	for (int i = 0; i < 4; i++) {
		timer_init(&t[i], ignore);
		t[i].deadline = i == 3 ? 5 : 7;
		timer_queue_add(&queue, &t[i]);
	}
	timer_queue_take_due(&queue, 7, &due);
	assert_true(list_empty(&queue));
	assert_ptr_equal(due.next, &t[3].node);
	assert_ptr_equal(t[3].node.next, &t[0].node);
	assert_ptr_equal(t[0].node.next, &t[1].node);
	assert_ptr_equal(t[1].node.next, &t[2].node);
}

static void test_random(void **state)
{
	struct list queue = LIST_INIT(queue);
	static struct timer t[COUNT];
	u64 now = 1000;
	struct rng rng;

	rng_init(&rng, 3, 0);
	for (unsigned int i = 0; i < COUNT; i++)
		timer_init(&t[i], ignore);
	for (unsigned int round = 0; round < 20000; round++) {
		struct timer *one = &t[rng_below(&rng, COUNT)];
		struct list due = LIST_INIT(due);
		unsigned int expected = 0;

		list_del(&one->node);
		if (rng_below(&rng, 4)) {
			one->deadline = now + rng_below(&rng, 200) - 20;
			timer_queue_add(&queue, one);
		}
		expect_sorted(&queue);
		now += rng_below(&rng, 4);
		for (struct list *p = queue.next; p != &queue; p = p->next)
			expected += list_entry(p, struct timer, node)->deadline <= now;
		timer_queue_take_due(&queue, now, &due);
		assert_int_equal(length(&due), expected);
		expect_sorted(&due);
		for (struct list *p = due.next; p != &due; p = p->next)
			assert_true(list_entry(p, struct timer, node)->deadline <= now);
		if (!list_empty(&queue))
			assert_true(list_entry(queue.next, struct timer, node)->deadline > now);
		while (!list_empty(&due))
			list_del(due.next);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_equal_deadlines),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
