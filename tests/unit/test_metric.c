/* SPDX-License-Identifier: GPL-2.0-only */
/* Measurements: the JSON text, and the percentiles against their definition. */
/* link: hv/host/metric.c hv/host/print.c hv/host/string.c hv/host/random.c */
/* link: tests/unit/stub_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/host/metric.h"
#include "hv/host/random.h"
#include "hv/host/string.h"
#include "tests/unit/stub_host.h"

#define MAX_SAMPLES 1000

static void test_value(void **state)
{
	const struct metric_param params[] = {
		{ "cpus", 1, NULL },
		{ "way", 0, "atomic" },
		{ "max", UINT64_MAX, NULL },
	};

	metric_value("image.bytes", "bytes", 151552, NULL, 0);
	metric_value("x.y", "count", UINT64_MAX, params, 3);
	assert_string_equal(stub_console_take(),
			    "# metric {\"name\": \"image.bytes\", \"unit\": \"bytes\", "
			    "\"value\": 151552, \"params\": {}}\n"
			    "# metric {\"name\": \"x.y\", \"unit\": \"count\", "
			    "\"value\": 18446744073709551615, \"params\": {\"cpus\": 1, "
			    "\"way\": \"atomic\", \"max\": 18446744073709551615}}\n");
}

static void test_escapes(void **state)
{
	const struct metric_param param = { "k\"", 0, "\\ a\tb\"\x01\xc3\xa9" };

	metric_value("n", "ms", 0, &param, 1);
	assert_string_equal(
		stub_console_take(),
		"# metric {\"name\": \"n\", \"unit\": \"ms\", \"value\": 0, \"params\": "
		"{\"k\\\"\": \"\\\\ a\\u0009b\\\"\\u0001\xc3\xa9\"}}\n");
}

static void test_samples(void **state)
{
	u64 samples[] = { 5, 1, 4, 2, 3 };
	const struct metric_param param = { "cpus", 2, NULL };

	metric_samples("a.b", "ticks", samples, 5, &param, 1);
	assert_string_equal(
		stub_console_take(),
		"# metric {\"name\": \"a.b\", \"unit\": \"ticks\", \"n\": 5, \"min\": 1, "
		"\"p50\": 3, \"p99\": 5, \"max\": 5, \"params\": {\"cpus\": 2}}\n");
}

static int compare(const void *a, const void *b)
{
	const u64 *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The smallest sample such that at least @percent percent are not above it. */
static u64 by_definition(const u64 *v, unsigned int n, unsigned int percent)
{
	u64 best = UINT64_MAX;

	for (unsigned int i = 0; i < n; i++) {
		unsigned int not_above = 0;

		for (unsigned int k = 0; k < n; k++)
			not_above += v[k] <= v[i];
		if ((u64)not_above * 100 >= (u64)n * percent && v[i] < best)
			best = v[i];
	}
	return best;
}

static void test_percentiles(void **state)
{
	static u64 v[MAX_SAMPLES], sorted[MAX_SAMPLES];
	struct rng rng;

	rng_init(&rng, 4, 0);
	for (unsigned int round = 0; round < 300; round++) {
		/* All sizes up to 200, and all mixtures of equal and different samples. */
		unsigned int n = round < 200 ? round + 1 : 1 + (unsigned int)rng_below(&rng, 400);
		u64 spread = 1 + rng_below(&rng, 1 + rng_below(&rng, UINT64_MAX) % 1000);
		char want[256];

		for (unsigned int i = 0; i < n; i++)
			v[i] = sorted[i] = rng_below(&rng, spread);
		qsort(sorted, n, sizeof(*sorted), compare);
		snprintf(want, sizeof(want),
			 "\"n\": %u, \"min\": %lu, \"p50\": %lu, \"p99\": %lu, \"max\": %lu, ", n,
			 sorted[0], by_definition(v, n, 50), by_definition(v, n, 99),
			 sorted[n - 1]);
		metric_samples("r", "ticks", v, n, NULL, 0);
		assert_memory_equal(v, sorted, n * sizeof(*v));
		assert_non_null(strstr(stub_console_take(), want));
	}
}

static void no_samples(void *arg)
{
	u64 none;

	metric_samples("none", "ticks", &none, 0, NULL, 0);
}

static void too_long(void *arg)
{
	char name[2000];

	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	metric_value(name, "ticks", 0, NULL, 0);
}

static void too_many_params(void *arg)
{
	struct metric_param params[METRIC_MAX_PARAMS + 1] = { 0 };

	metric_value("p", "ticks", 0, params, METRIC_MAX_PARAMS + 1);
}

static void test_misuse(void **state)
{
	expect_panic(no_samples, NULL, "!n");
	expect_panic(too_long, NULL, "longer than");
	expect_panic(too_many_params, NULL, "nr_params");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_value),	cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_samples), cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_misuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
