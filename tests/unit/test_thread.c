/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads and wait queues, with their real stack switching, on two CPUs that take turns: the test's
 * own stack is the idle thread of both.
 */
/* link: hv/host/thread.c hv/host/wait.c hv/host/switch.S hv/host/timer_queue.c */
/* link: hv/host/spinlock.c hv/host/print.c hv/host/string.c tests/unit/stub_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "hv/host/apic.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/paging.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "tests/unit/stub_host.h"

static struct cpu cpu_data[2];
static char journal[256];

/* --- what thread.c and wait.c stand on ------------------------------------------------------- */

static int objects, stacks; /* allocated now */
static bool no_objects, no_stacks;
static void *last_stack;
static u64 now;
static struct timer *armed;

void *kzalloc(size_t size)
{
	if (no_objects)
		return NULL;
	objects++;
	return calloc(1, size);
}

void kfree(void *p)
{
	if (p)
		objects--;
	free(p);
}

void *stack_alloc(size_t size)
{
	if (no_stacks)
		return NULL;
	stacks++;
	last_stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return last_stack;
}

void stack_free(void *stack, size_t size)
{
	stacks--;
	assert_int_equal(munmap(stack, size), 0);
}

static void note(const char *what)
{
	assert_true(strlen(journal) + strlen(what) < sizeof(journal));
	strcat(journal, what);
}

void apic_send_ipi(u32 cpu, u8 vector)
{
	assert_int_equal(vector, VECTOR_RESCHED);
	note(cpu ? "ipi1 " : "ipi0 ");
}

void apic_send_nmi(u32 cpu)
{
	note(cpu ? "nmi1 " : "nmi0 ");
}

u64 ticks_now(void)
{
	return now;
}

void timer_arm(struct timer *t, u64 deadline)
{
	assert_null(armed);
	armed = t;
	t->deadline = deadline;
	t->armed = true;
}

bool timer_cancel(struct timer *t)
{
	bool was = t->armed;

	assert_true(!was || armed == t);
	t->armed = false;
	armed = NULL;
	return was;
}

static void fire(void)
{
	struct timer *t = armed;

	assert_non_null(t);
	now = t->deadline;
	t->armed = false;
	armed = NULL;
	t->fn(t);
}

static int start_cpus(void **state)
{
	for (u32 i = 0; i < 2; i++) {
		cpu_data[i].id = i;
		cpus[i] = &cpu_data[i];
		stub_cpu = i;
		thread_init_cpu();
	}
	nr_cpus = 2;
	stub_cpu = 0;
	objects = 0;
	return 0;
}

static int begin(void **state)
{
	journal[0] = '\0';
	now = 0;
	return 0;
}

/* Let a CPU run until all its threads sleep or have ended. */
static void run(u32 cpu)
{
	stub_cpu = cpu;
	while (cpu_data[cpu].nr_runnable)
		thread_yield();
	stub_cpu = 0;
}

static void expect_journal(const char *want)
{
	assert_string_equal(journal, want);
	journal[0] = '\0';
}

/* Everything that was allocated is free again. */
static int end(void **state)
{
	assert_int_equal(objects, 0);
	assert_int_equal(stacks, 0);
	assert_null(armed);
	return 0;
}

/* --- threads --------------------------------------------------------------------------------- */

static void say_twice(void *arg)
{
	note(arg);
	thread_yield();
	note(arg);
}

static void test_turns(void **state)
{
	thread_create(NULL, 0, "a", say_twice, "a");
	thread_create(NULL, 0, "b", say_twice, "b");
	thread_create(NULL, 0, "c", say_twice, "c");
	expect_journal("");
	run(0);
	expect_journal("abcabc");
}

static void yield_alone(void *arg)
{
	thread_yield();
	note(thread_name(thread_current()));
	assert_int_equal(thread_cpu(thread_current()), 1);
}

static void test_names(void **state)
{
	assert_string_equal(thread_name(thread_current()), "idle");
	thread_create(NULL, 1, "a-name-that-is-too-long", yield_alone, NULL);
	run(0);
	expect_journal("");
	run(1);
	expect_journal("a-name-that-is-");
}

static void test_create_errors(void **state)
{
	struct thread *t;

	assert_int_equal(thread_create(&t, 2, "x", say_twice, NULL), -EINVAL);
	no_objects = true;
	assert_int_equal(thread_create(&t, 0, "x", say_twice, NULL), -ENOMEM);
	no_objects = false;
	no_stacks = true;
	assert_int_equal(thread_create(&t, 0, "x", say_twice, NULL), -ENOMEM);
	no_stacks = false;
}

static void join_it(void *arg)
{
	note("[");
	thread_join(arg);
	note("]");
}

static void test_join(void **state)
{
	struct thread *t;

	/* The joiner first, so it sleeps; then one that ended long ago. */
	assert_int_equal(thread_create(&t, 1, "joined", say_twice, "x"), 0);
	thread_create(NULL, 0, "joiner", join_it, t);
	run(0);
	expect_journal("[");
	run(1);
	assert_int_equal(stacks, 2);
	run(0);
	expect_journal("xx]");
	assert_int_equal(stacks, 0);

	assert_int_equal(thread_create(&t, 0, "joined", say_twice, "y"), 0);
	run(0);
	assert_int_equal(stacks, 1);
	thread_create(NULL, 0, "joiner", join_it, t);
	run(0);
	expect_journal("yy[]");
}

static void overflow(void *arg)
{
	*(volatile u64 *)last_stack = 0;
	thread_yield();
}

static void run_overflow(void *arg)
{
	thread_create(NULL, 0, "deep", overflow, NULL);
	run(0);
}

static void sleep_in_idle(void *arg)
{
	_Atomic bool woken = false;

	thread_block(&woken);
}

static void test_panics(void **state)
{
	expect_panic(run_overflow, NULL, "thread deep: stack overflow");
	expect_panic(sleep_in_idle, NULL, "idle");
}

/* --- waiting --------------------------------------------------------------------------------- */

static struct wait_queue queue = WAIT_QUEUE_INIT(queue);
static bool condition;

static void wait_for_condition(void *arg)
{
	struct waiter w;

	for (;;) {
		wait_prepare(&queue, &w);
		if (condition)
			break;
		note("s");
		wait_sleep(&w);
	}
	wait_finish(&queue, &w);
	note(arg);
}

static void test_wake_order(void **state)
{
	condition = false;
	assert_int_equal(wake_one(&queue), 0);
	thread_create(NULL, 0, "1", wait_for_condition, "1");
	thread_create(NULL, 0, "2", wait_for_condition, "2");
	thread_create(NULL, 0, "3", wait_for_condition, "3");
	run(0);
	expect_journal("sss");
	/* Woken for nothing: it goes to the end of the queue. */
	assert_int_equal(wake_one(&queue), 1);
	run(0);
	expect_journal("s");
	condition = true;
	assert_int_equal(wake_one(&queue), 1);
	run(0);
	expect_journal("2");
	assert_int_equal(wake_all(&queue), 2);
	assert_int_equal(wake_all(&queue), 0);
	run(0);
	expect_journal("31");
	assert_true(list_empty(&queue.waiters));
}

/* The wake-up comes between the look at the condition and the sleep. */
static void slow_waiter(void *arg)
{
	struct waiter w;

	wait_prepare(&queue, &w);
	note("p");
	thread_yield();
	wait_sleep(&w);
	note("w");
	wait_finish(&queue, &w);
}

static void waker(void *arg)
{
	note("k");
	assert_int_equal(wake_one(&queue), 1);
}

static void test_wake_before_sleep(void **state)
{
	thread_create(NULL, 0, "waiter", slow_waiter, NULL);
	thread_create(NULL, 0, "waker", waker, NULL);
	run(0);
	expect_journal("pkw");
}

static void finish_without_sleep(void *arg)
{
	struct waiter w;

	wait_prepare(&queue, &w);
	wait_finish(&queue, &w);
	note("f");
}

static void block_when_woken(void *arg)
{
	_Atomic bool woken = true;

	thread_block(&woken);
	note("r");
}

/* The same, but between thread_block()'s caller looking and the lock being taken. */
static void test_block_when_woken(void **state)
{
	thread_create(NULL, 0, "late", block_when_woken, NULL);
	run(0);
	expect_journal("r");
}

static void test_finish_leaves_queue(void **state)
{
	thread_create(NULL, 0, "waiter", finish_without_sleep, NULL);
	run(0);
	expect_journal("f");
	assert_int_equal(wake_all(&queue), 0);
}

static void wait_until(void *arg)
{
	struct waiter w;

	wait_prepare(&queue, &w);
	note(wait_sleep_until(&w, 1000) == -ETIMEDOUT ? "t" : "w");
	assert_true(list_empty(&w.node));
	wait_finish(&queue, &w);
}

static void test_timeout(void **state)
{
	thread_create(NULL, 0, "waiter", wait_until, NULL);
	run(0);
	expect_journal("");
	fire();
	run(0);
	expect_journal("t");
	assert_int_equal(wake_all(&queue), 0);
}

static void test_woken_in_time(void **state)
{
	thread_create(NULL, 0, "waiter", wait_until, NULL);
	run(0);
	assert_int_equal(wake_one(&queue), 1);
	assert_non_null(armed);
	run(0);
	expect_journal("w");
	assert_null(armed);
}

/* A wake-up that was spent on a waiter counts, even when its time was up as well. */
static void test_woken_and_late(void **state)
{
	for (int timer_first = 0; timer_first < 2; timer_first++) {
		now = 0;
		thread_create(NULL, 0, "waiter", wait_until, NULL);
		run(0);
		if (timer_first)
			fire();
		assert_int_equal(wake_one(&queue), 1);
		if (!timer_first)
			fire();
		run(0);
		expect_journal("w");
	}
}

static void test_deadline_in_the_past(void **state)
{
	now = 1000;
	thread_create(NULL, 0, "waiter", wait_until, NULL);
	run(0);
	expect_journal("t");
}

/* --- waking another CPU ---------------------------------------------------------------------- */

static void test_poke(void **state)
{
	static const struct {
		bool idle, in_guest;
		const char *sent;
	} cases[] = {
		{ false, false, "" },
		{ true, false, "ipi1 " },
		{ false, true, "nmi1 " },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		condition = false;
		thread_create(NULL, 1, "waiter", wait_for_condition, "!");
		run(1);
		expect_journal("s");
		cpu_data[1].is_idle = cases[i].idle;
		cpu_data[1].in_guest = cases[i].in_guest;
		condition = true;
		wake_all(&queue);
		expect_journal(cases[i].sent);
		cpu_data[1].is_idle = false;
		cpu_data[1].in_guest = false;
		run(1);
		expect_journal("!");
	}
	/* Its own CPU needs no telling. */
	cpu_data[0].is_idle = true;
	cpu_data[0].in_guest = true;
	condition = false;
	thread_create(NULL, 0, "waiter", wait_for_condition, "!");
	run(0);
	condition = true;
	wake_all(&queue);
	run(0);
	expect_journal("s!");
	cpu_data[0].is_idle = false;
	cpu_data[0].in_guest = false;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_turns),
		TEST(test_names),
		TEST(test_create_errors),
		TEST(test_join),
		TEST(test_panics),
		TEST(test_wake_order),
		TEST(test_wake_before_sleep),
		TEST(test_block_when_woken),
		TEST(test_finish_leaves_queue),
		TEST(test_timeout),
		TEST(test_woken_in_time),
		TEST(test_woken_and_late),
		TEST(test_deadline_in_the_past),
		TEST(test_poke),
	};

	return cmocka_run_group_tests(tests, start_cpus, NULL);
}
