/* SPDX-License-Identifier: GPL-2.0-only */
/* Formatted output: whatever libc's snprintf() prints, on thousands of generated formats. */
/* link: hv/host/print.c hv/host/string.c hv/host/random.c tests/unit/stub_host.c */
/* cflags: -Wno-format -Wno-format-security -Wno-format-nonliteral */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "hv/host/print.h"
#include "hv/host/random.h"
#include "hv/host/string.h"
#include "tests/unit/stub_host.h"

#define ROUNDS 20000

static struct rng rng;

static u64 below(u64 n)
{
	return rng_below(&rng, n);
}

/* Values at the edges of every width are as likely as any others. */
static u64 random_value(void)
{
	static const u64 edges[] = {
		0,	    1,
		9,	    10,
		15,	    16,
		127,	    128,
		255,	    256,
		32767,	    32768,
		65535,	    65536,
		INT_MAX,    0x80000000,
		UINT_MAX,   0x100000000,
		INT64_MAX,  1ull << 63,
		UINT64_MAX, UINT64_MAX - 1,
	};
	u64 v = below(2) ? edges[below(ARRAY_SIZE(edges))] : rng_next(&rng) >> below(64);

	return below(4) ? v : 0 - v;
}

/* "%", flags, width and precision; *stars of them are '*'. */
static size_t random_prefix(char *fmt, unsigned int *stars, bool zero_and_alt)
{
	char *p = fmt;

	*p++ = '%';
	for (unsigned int n = (unsigned int)below(4); n; n--)
		*p++ = zero_and_alt ? "-0#+ "[below(5)] : '-';
	*stars = 0;
	if (below(8) == 0) {
		*p++ = '*';
		++*stars;
	} else if (below(2)) {
		p += sprintf(p, "%u", 1 + (unsigned int)below(40));
	}
	if (below(8) == 0) {
		p += sprintf(p, ".*");
		++*stars;
	} else if (below(3) == 0) {
		p += sprintf(p, below(8) ? ".%u" : ".", (unsigned int)below(30));
	}
	return (size_t)(p - fmt);
}

/* Call both with the same arguments and a buffer of every kind of size. */
#define COMPARE(fmt, stars, s1, s2, value)                                                         \
	do {                                                                                       \
		char libc[512], ours[512];                                                         \
		int nw, ng;                                                                        \
		size_t size = below(3) ? sizeof(ours) : below(40);                                 \
		__auto_type v_ = (value);                                                          \
                                                                                                   \
		memset(libc, 0x55, sizeof(libc));                                                  \
		memset(ours, 0x55, sizeof(ours));                                                  \
		if ((stars) == 0) {                                                                \
			nw = snprintf(libc, size, fmt, v_);                                        \
			ng = fmt_print(ours, size, fmt, v_);                                       \
		} else if ((stars) == 1) {                                                         \
			nw = snprintf(libc, size, fmt, s1, v_);                                    \
			ng = fmt_print(ours, size, fmt, s1, v_);                                   \
		} else {                                                                           \
			nw = snprintf(libc, size, fmt, s1, s2, v_);                                \
			ng = fmt_print(ours, size, fmt, s1, s2, v_);                               \
		}                                                                                  \
		if (nw != ng || memcmp(libc, ours, size))                                          \
			fail_msg("\"%s\" (%d, %d), size %zu: want %d \"%.*s\", got %d \"%.*s\"",   \
				 fmt, s1, s2, size, nw, (int)size, libc, ng, (int)size, ours);     \
	} while (0)

static void test_numbers(void **state)
{
	static const char *const lengths[] = { "hh", "h", "", "l", "ll", "z", "t", "j" };

	rng_init(&rng, 1, 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		char fmt[64];
		unsigned int stars, length = (unsigned int)below(ARRAY_SIZE(lengths));
		size_t n = random_prefix(fmt, &stars, true);
		int s1 = (int)below(60) - 30, s2 = (int)below(60) - 30;
		u64 v = random_value();

		sprintf(fmt + n, "%s%c", lengths[length], "diuxX"[below(5)]);
		if (length < 3)
			COMPARE(fmt, stars, s1, s2, (int)v);
		else
			COMPARE(fmt, stars, s1, s2, v);
	}
}

static void test_strings(void **state)
{
	static const char *const texts[] = { "", "a", "hello",
					     "a longer text with % and \t in it" };

	rng_init(&rng, 2, 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		char fmt[64];
		unsigned int stars;
		size_t n = random_prefix(fmt, &stars, false);
		int s1 = (int)below(60) - 30, s2 = (int)below(60) - 30;

		strcpy(fmt + n, below(2) ? "s|" : "s");
		COMPARE(fmt, stars, s1, s2, texts[below(ARRAY_SIZE(texts))]);
	}
}

static void test_characters_and_pointers(void **state)
{
	char got[64];

	rng_init(&rng, 3, 0);
	for (unsigned int i = 0; i < 1000; i++) {
		COMPARE("<%c>", 0, 0, 0, (int)(1 + below(255)));
		COMPARE("<%*c>", 1, (int)(i % 20) - 10, 0, 'x');
		COMPARE("<%p>", 0, 0, 0, (void *)(uintptr_t)(1 + below(UINT64_MAX)));
		COMPARE("<%20p>", 0, 0, 0, (void *)(uintptr_t)(1 + below(UINT64_MAX)));
	}
	/* libc says "(nil)"; and a NUL character is a character. */
	assert_int_equal(fmt_print(got, sizeof(got), "%p|", NULL), 4);
	assert_string_equal(got, "0x0|");
	assert_int_equal(fmt_print(got, sizeof(got), "a%cb", 0), 3);
	assert_memory_equal(got, "a\0b", 4);
}

static void test_mixed(void **state)
{
	char want[256], got[256];

	snprintf(want, sizeof(want), "100%% of %s: %5d, %-8lx|%#llx %.3s%c", "it", -42, 0xbeeful,
		 0x1234ull, "abcdef", '!');
	assert_int_equal(fmt_print(got, sizeof(got), "100%% of %s: %5d, %-8lx|%#llx %.3s%c", "it",
				   -42, 0xbeeful, 0x1234ull, "abcdef", '!'),
			 strlen(want));
	assert_string_equal(got, want);
}

static void test_null_string(void **state)
{
	char got[64];

	fmt_print(got, sizeof(got), "[%s] [%8s] [%.3s]", NULL, NULL, NULL);
	assert_string_equal(got, "[(null)] [  (null)] [(nu]");
}

/* Nobody knows what an unknown conversion would have taken, so nothing is read after it. */
static void test_unknown_conversions(void **state)
{
	static const char *const formats[] = { "%f", "%5.2q and %s", "%", "%-", "%08", "%l", "%n" };
	char got[64], fmt[64];

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		snprintf(fmt, sizeof(fmt), "%%d: %s", formats[i]);
		assert_int_equal(fmt_print(got, sizeof(got), fmt, 7), 3 + strlen(formats[i]));
		assert_memory_equal(got, "7: ", 3);
		assert_string_equal(got + 3, formats[i]);
	}
}

static void test_huge_fields(void **state)
{
	char got[16];

	assert_int_equal(fmt_print(got, sizeof(got), "%*d", INT_MAX, 1), INT_MAX);
	assert_string_equal(got, "               ");
	assert_int_equal(fmt_print(got, sizeof(got), "%*d%*d", INT_MIN, 1, INT_MAX, 1), INT_MAX);
	assert_string_equal(got, "1              ");
	assert_int_equal(fmt_print(got, sizeof(got), "%.*d", INT_MAX, -1), INT_MAX);
	assert_string_equal(got, "-00000000000000");
	assert_int_equal(fmt_print(got, sizeof(got), "%99999999999d|%.99999999999u", 1, 2),
			 INT_MAX);
	assert_int_equal(fmt_print(NULL, 0, "%*s", INT_MAX, "x"), INT_MAX);
}

static void test_printk(void **state)
{
	static char longest[1024], longer[3000];
	const char *out;

	printk("%s-%d\n", "cpu", 3);
	printk("%s", "");
	assert_string_equal(stub_console_take(), "cpu-3\n");

	memset(longest, 'x', 1022);
	longest[1022] = '\n';
	printk("%s", longest);
	assert_string_equal(stub_console_take(), longest);

	memset(longer, 'y', sizeof(longer) - 1);
	printk("%s", longer);
	out = stub_console_take();
	assert_int_equal(strlen(out), 1023);
	assert_string_equal(out + 1018, "y...\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_characters_and_pointers),
		cmocka_unit_test(test_mixed),
		cmocka_unit_test(test_null_string),
		cmocka_unit_test(test_unknown_conversions),
		cmocka_unit_test(test_huge_fields),
		cmocka_unit_test(test_printk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
