/* SPDX-License-Identifier: GPL-2.0-only */
/* The modelled link: when a message arrives, in which order, and what becomes of it when it breaks.
 */
/* link: @vm lab/link.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "lab/link.h"
#include "tests/unit/fake_machine.h"

#define LATENCY	    500
#define PAGE	    4096
/* At 1,000 bytes per 1,000 ticks. */
#define PAGE_TICKS  (PAGE + LINK_HEADER)
#define SMALL_TICKS LINK_HEADER

static struct link l;

static void create(bool shared)
{
	const struct link_config c = { LATENCY, 1000, shared };

	fake_machine_reset();
	fake_machine.now = 1000;
	assert_int_equal(link_create(&l, &c), 0);
}

static int setup(void **state)
{
	create(false);
	return 0;
}

static int teardown(void **state)
{
	link_destroy(&l);
	assert_int_equal(fake_machine.pages_live, 0);
	return 0;
}

static int send(u64 where, u32 bytes, enum link_end to, bool urgent)
{
	struct link_message *m = link_message(&l);

	assert_non_null(m);
	assert_ptr_equal(m->data, m->buffer);
	m->where = where;
	m->bytes = bytes;
	return link_send(&l, m, to, urgent);
}

/* What arrives at @end in this tick; 0: nothing. */
static u64 take(enum link_end end)
{
	struct link_message *m;
	u64 where = 0;

	if (link_receive(&l, end, &m) == 0 && m) {
		where = m->where;
		link_put(&l, m);
	}
	return where;
}

/* That @where is the next to arrive, @ticks after 1000 and not before. */
static void expect_at(u64 where, u64 ticks)
{
	fake_machine.now = 1000 + ticks - 1;
	assert_int_equal(take(LINK_B), 0);
	fake_machine.now++;
	assert_int_equal(take(LINK_B), where);
}

static void test_times(void **state)
{
	assert_int_equal(send(1, PAGE, LINK_B, false), 0);
	assert_int_equal(send(2, 0, LINK_B, false), 0);
	assert_int_equal(take(LINK_A), 0);
	expect_at(1, PAGE_TICKS + LATENCY);
	expect_at(2, PAGE_TICKS + SMALL_TICKS + LATENCY);
	assert_int_equal(l.messages, 2);
	assert_int_equal(l.bytes, PAGE + 2 * LINK_HEADER);
}

static void test_an_idle_link_starts_at_once(void **state)
{
	send(1, 0, LINK_B, false);
	fake_machine.now = 9000;
	send(2, 0, LINK_B, false);
	assert_int_equal(take(LINK_B), 1);
	expect_at(2, 8000 + SMALL_TICKS + LATENCY);
}

/* An urgent message waits for the rest of one other, whatever was queued before it. */
static void test_urgent_first(void **state)
{
	send(1, PAGE, LINK_B, false);
	send(2, PAGE, LINK_B, false);
	send(3, PAGE, LINK_B, false);
	fake_machine.now += PAGE_TICKS / 2;
	send(4, 0, LINK_B, true);
	send(5, 0, LINK_B, true);
	expect_at(1, PAGE_TICKS + LATENCY);
	expect_at(4, PAGE_TICKS + SMALL_TICKS + LATENCY);
	expect_at(5, PAGE_TICKS + 2 * SMALL_TICKS + LATENCY);
	expect_at(2, 2 * PAGE_TICKS + 2 * SMALL_TICKS + LATENCY);
	expect_at(3, 3 * PAGE_TICKS + 2 * SMALL_TICKS + LATENCY);
}

/* Late to be asked, it still knows what was sent before the urgent one came. */
static void test_nobody_has_asked(void **state)
{
	send(1, PAGE, LINK_B, false);
	send(2, PAGE, LINK_B, false);
	fake_machine.now += PAGE_TICKS + 1;
	send(3, 0, LINK_B, true);
	fake_machine.now += 10 * PAGE_TICKS;
	assert_int_equal(take(LINK_B), 1);
	assert_int_equal(take(LINK_B), 2);
	assert_int_equal(take(LINK_B), 3);
}

static void test_directions(void **state)
{
	send(1, PAGE, LINK_B, false);
	send(2, 0, LINK_A, true);
	fake_machine.now += SMALL_TICKS + LATENCY;
	assert_int_equal(take(LINK_A), 2);
	link_destroy(&l);

	create(true);
	send(1, PAGE, LINK_B, false);
	send(2, 0, LINK_A, true);
	fake_machine.now += PAGE_TICKS + SMALL_TICKS + LATENCY - 1;
	assert_int_equal(take(LINK_A), 0);
	fake_machine.now++;
	assert_int_equal(take(LINK_A), 2);
}

static void test_idle(void **state)
{
	u64 when;

	assert_true(link_idle(&l, LINK_B, &when));
	send(1, PAGE, LINK_B, false);
	assert_true(link_idle(&l, LINK_B, &when)); /* it is on its way */
	send(2, PAGE, LINK_B, false);
	assert_false(link_idle(&l, LINK_B, &when));
	assert_int_equal(when, 1000 + PAGE_TICKS);
	fake_machine.now = when;
	assert_true(link_idle(&l, LINK_B, &when));
	/* An end that does not keep up. */
	fake_machine.now += LATENCY;
	assert_false(link_idle(&l, LINK_B, &when));
	assert_int_equal(take(LINK_B), 1);
	assert_true(link_idle(&l, LINK_B, &when));
}

static void test_wait(void **state)
{
	send(1, 0, LINK_B, false);
	link_wait(&l, LINK_B, 1000 + 10 * LATENCY);
	assert_int_equal(fake_machine.now, 1000 + SMALL_TICKS + LATENCY);
	assert_int_equal(take(LINK_B), 1);
	link_wait(&l, LINK_B, 1000 + 10 * LATENCY);
	assert_int_equal(fake_machine.now, 1000 + 10 * LATENCY);
}

static void test_messages_run_out(void **state)
{
	struct link_message *m;
	unsigned int n;

	for (n = 0; link_message(&l); n++)
		;
	assert_int_equal(n, LINK_MESSAGES);
	m = &l.message[5];
	link_put(&l, m);
	assert_ptr_equal(link_message(&l), m);
}

static void test_break(void **state)
{
	struct link_message *m;

	u64 when;

	send(1, 0, LINK_B, false);
	send(2, 0, LINK_B, false);
	send(3, 0, LINK_A, false);
	fake_machine.now += SMALL_TICKS + LATENCY;
	link_break(&l);
	assert_true(link_idle(&l, LINK_B, &when)); /* nothing to wait for */
	assert_true(link_is_broken(&l));
	assert_int_equal(send(4, 0, LINK_B, true), -EPIPE);
	/* What had arrived is there. */
	assert_int_equal(take(LINK_B), 1);
	assert_int_equal(link_receive(&l, LINK_B, &m), -EPIPE);
	assert_null(m);
	assert_int_equal(take(LINK_A), 3);
	assert_int_equal(link_receive(&l, LINK_A, &m), -EPIPE);
	link_wait(&l, LINK_A, ~0ull); /* returns */
}

static void test_break_after(void **state)
{
	link_break_after(&l, true, 2);
	assert_int_equal(send(1, PAGE, LINK_B, false), 0);
	assert_int_equal(send(2, 0, LINK_B, true), 0);
	assert_int_equal(send(3, 0, LINK_B, true), 0);
	assert_int_equal(send(4, 0, LINK_B, true), 0); /* taken, and never sent */
	assert_false(link_is_broken(&l));
	fake_machine.now += PAGE_TICKS + 2 * SMALL_TICKS + 10 * LATENCY;
	assert_true(link_is_broken(&l));
	/* It broke when the fourth would have been sent; 1, 2 and 3 were still on their way. */
	assert_int_equal(take(LINK_B), 0);
	for (unsigned int n = 0; n < LINK_MESSAGES; n++)
		assert_non_null(link_message(&l));
	assert_null(link_message(&l));
}

static void test_no_memory(void **state)
{
	const struct link_config c = { LATENCY, 1000, false };

	link_destroy(&l);
	fake_page_fail(LINK_MESSAGES / 2);
	assert_int_equal(link_create(&l, &c), -ENOMEM);
	assert_int_equal(fake_machine.pages_live, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_times, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_idle_link_starts_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_urgent_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_has_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_directions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_messages_run_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_break, setup, teardown),
		cmocka_unit_test_setup_teardown(test_break_after, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
