/* SPDX-License-Identifier: GPL-2.0-only */
/* Ticket locks, with real threads. */
/* link: hv/host/spinlock.c hv/host/print.c hv/host/string.c tests/unit/stub_host.c */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/spinlock.h"
#include "tests/unit/stub_host.h"

#define ROUNDS 20000

static struct spinlock lock = SPINLOCK_INIT;
static u64 a, b;

static void *increment(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		spin_lock(&lock);
		a++;
		b = a;
		spin_unlock(&lock);
	}
	return NULL;
}

static void test_exclusion(void **state)
{
	pthread_t other;

	assert_int_equal(pthread_create(&other, NULL, increment, NULL), 0);
	increment(NULL);
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_int_equal(a, 2 * ROUNDS);
	assert_int_equal(b, 2 * ROUNDS);
	assert_false(spin_is_locked(&lock));
}

static void test_trylock(void **state)
{
	struct spinlock l;

	spin_lock_init(&l);
	assert_true(spin_trylock(&l));
	assert_true(spin_is_locked(&l));
	assert_false(spin_trylock(&l));
	spin_unlock(&l);
	assert_true(spin_trylock(&l));
	spin_unlock(&l);
	spin_lock(&l);
	assert_false(spin_trylock(&l));
	spin_unlock(&l);
	assert_false(spin_is_locked(&l));
}

/* The ticket numbers wrap around. */
static void test_wrap(void **state)
{
	struct spinlock l = { UINT32_MAX, UINT32_MAX, -1 };

	for (int i = 0; i < 3; i++) {
		spin_lock(&l);
		assert_false(spin_trylock(&l));
		spin_unlock(&l);
	}
	assert_int_equal(l.next, 2);
}

static void lock_twice(void *arg)
{
	struct spinlock l = SPINLOCK_INIT;

	spin_lock(&l);
	spin_lock(&l);
}

static void test_stuck(void **state)
{
	expect_panic(lock_twice, NULL, "CPU 0 does not let go of it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exclusion),
		cmocka_unit_test(test_trylock),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_stuck),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
