/* SPDX-License-Identifier: GPL-2.0-only */
/* The pseudo-random numbers: known values, bounds, and no more regular than they should be. */
/* link: hv/host/random.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/random.h"

/* The first numbers of splitmix64 from state 1234567, as its author's program prints them. */
static void test_known_values(void **state)
{
	static const u64 known[] = { 6457827717110365317ull, 3203168211198807973ull,
				     9817491932198370423ull, 4593380528125082431ull,
				     16408922859458223821ull };
	struct rng r = { .state = 1234567 };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		assert_int_equal(rng_next(&r), known[i]);
}

static void test_streams(void **state)
{
	struct rng a, b;
	unsigned int same = 0;

	rng_init(&a, 42, 3);
	rng_init(&b, 42, 3);
	for (int i = 0; i < 100; i++)
		assert_int_equal(rng_next(&a), rng_next(&b));
	/* Neighbours in seed and stream share nothing. */
	for (u64 stream = 0; stream < 8; stream++) {
		for (u64 seed = 0; seed < 8; seed++) {
			rng_init(&a, seed, stream);
			rng_init(&b, seed, stream + 1);
			for (int i = 0; i < 100; i++)
				same += rng_next(&a) == rng_next(&b);
			rng_init(&b, seed + 1, stream);
			for (int i = 0; i < 100; i++)
				same += rng_next(&a) == rng_next(&b);
			rng_init(&a, seed, stream);
			rng_init(&b, stream, seed);
			same += seed != stream && rng_next(&a) == rng_next(&b);
		}
	}
	assert_int_equal(same, 0);
}

static void test_below(void **state)
{
	static const u64 limits[] = { 1, 2, 3, 10, 1ull << 32, (1ull << 63) + 1, UINT64_MAX };
	struct rng r;

	rng_init(&r, 1, 1);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		for (int k = 0; k < 1000; k++)
			assert_true(rng_below(&r, limits[i]) < limits[i]);
	}
}

/* 100,000 draws of 10 values: each within 5 standard deviations of 10,000. */
static void test_uniform(void **state)
{
	unsigned int seen[10] = { 0 };
	struct rng r;

	rng_init(&r, 7, 0);
	for (int i = 0; i < 100000; i++)
		seen[rng_below(&r, 10)]++;
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++)
		assert_in_range(seen[i], 10000 - 475, 10000 + 475);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_values),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_uniform),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
