/* SPDX-License-Identifier: GPL-2.0-only */
/* The string functions against libc's, and the parsing of words and numbers. */
/* link: tests/unit/own_string.c hv/host/errno.c hv/host/random.c */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/random.h"
#include "hv/host/string.h"

#define SIZE   200
#define ROUNDS 20000

void *own_memcpy(void *dst, const void *src, size_t n);
void *own_memmove(void *dst, const void *src, size_t n);
void *own_memset(void *dst, int c, size_t n);
int own_memcmp(const void *a, const void *b, size_t n);
void *own_memchr(const void *s, int c, size_t n);
size_t own_strlen(const char *s);
size_t own_strnlen(const char *s, size_t max);
int own_strcmp(const char *a, const char *b);
int own_strncmp(const char *a, const char *b, size_t n);
char *own_strchr(const char *s, int c);
char *own_strstr(const char *hay, const char *needle);

static struct rng rng;
static u8 ours[SIZE], theirs[SIZE];

static u64 below(u64 n)
{
	return rng_below(&rng, n);
}

static void fill_both(void)
{
	for (size_t i = 0; i < SIZE; i++)
		ours[i] = theirs[i] = (u8)rng_next(&rng);
}

static void test_blocks(void **state)
{
	rng_init(&rng, 1, 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		size_t n = below(SIZE / 2), to = below(SIZE - n), from = below(SIZE - n);
		int c = (int)below(1000) - 500;

		fill_both();
		/* memmove may overlap in either direction; memcpy gets disjoint halves. */
		assert_ptr_equal(own_memmove(ours + to, ours + from, n), ours + to);
		memmove(theirs + to, theirs + from, n);
		assert_memory_equal(ours, theirs, SIZE);

		n = below(SIZE / 2);
		assert_ptr_equal(own_memcpy(ours, ours + SIZE / 2, n), ours);
		memcpy(theirs, theirs + SIZE / 2, n);
		assert_memory_equal(ours, theirs, SIZE);

		n = below(SIZE - to);
		assert_ptr_equal(own_memset(ours + to, c, n), ours + to);
		memset(theirs + to, c, n);
		assert_memory_equal(ours, theirs, SIZE);
		assert_ptr_equal(own_memchr(ours, c, SIZE), memchr(ours, c, SIZE));
	}
}

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

static void random_text(char *s, size_t max)
{
	size_t n = below(max);

	for (size_t i = 0; i < n; i++)
		s[i] = "ab\xc3"[below(3)];
	s[n] = '\0';
}

static void test_texts(void **state)
{
	rng_init(&rng, 2, 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		char a[32], b[8];
		size_t n = below(12);

		random_text(a, sizeof(a));
		random_text(b, sizeof(b));
		assert_int_equal(own_strlen(a), strlen(a));
		assert_int_equal(own_strnlen(a, n), strnlen(a, n));
		assert_int_equal(sign(own_strcmp(a, b)), sign(strcmp(a, b)));
		assert_int_equal(sign(own_strncmp(a, b, n)), sign(strncmp(a, b, n)));
		assert_ptr_equal(own_strchr(a, 'b'), strchr(a, 'b'));
		assert_ptr_equal(own_strchr(a, '\xc3'), strchr(a, '\xc3'));
		assert_ptr_equal(own_strchr(a, 0), a + strlen(a));
		assert_ptr_equal(own_strstr(a, b), strstr(a, b));
		n = min_u64(strlen(a), strlen(b));
		assert_int_equal(sign(own_memcmp(a, b, n)), sign(memcmp(a, b, n)));
	}
}

static void test_str_copy(void **state)
{
	char dst[8];

	memset(dst, 0x55, sizeof(dst));
	assert_int_equal(str_copy(dst, "seven77", sizeof(dst)), 7);
	assert_string_equal(dst, "seven77");
	assert_int_equal(str_copy(dst, "eight888", sizeof(dst)), -E2BIG);
	assert_string_equal(dst, "eight88");
	assert_int_equal(str_copy(dst, "", sizeof(dst)), 0);
	assert_string_equal(dst, "");
	assert_int_equal(str_copy(dst, "x", 1), -E2BIG);
	assert_string_equal(dst, "");
	assert_int_equal(str_copy(dst, "", 1), 0);
}

static void test_str_has_word(void **state)
{
	assert_true(str_has_word("serial", "serial"));
	assert_true(str_has_word("  a serial  b", "serial"));
	assert_true(str_has_word("seria serial", "serial"));
	assert_false(str_has_word("", "serial"));
	assert_false(str_has_word("   ", "serial"));
	assert_false(str_has_word("serial1 xserial seria serial=1", "serial"));
}

static void test_parse_good(void **state)
{
	static const struct {
		const char *text;
		u64 value;
	} good[] = {
		{ "0", 0 },
		{ "7", 7 },
		{ "0007", 7 },
		{ "18446744073709551615", UINT64_MAX },
		{ "0x0", 0 },
		{ "0XfFFFffffFFFFffff", UINT64_MAX },
		{ "0xdeadBEEF", 0xdeadbeef },
		{ "4K", 4096 },
		{ "0x10M", 16ull << 20 },
		{ "3G", 3ull << 30 },
		{ "17179869183G", 17179869183ull << 30 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		u64 v = ~good[i].value;

		assert_int_equal(parse_u64(good[i].text, &v), 0);
		assert_int_equal(v, good[i].value);
	}
}

static void test_parse_bad(void **state)
{
	static const struct {
		const char *text;
		int error;
	} bad[] = {
		{ "", -EINVAL },
		{ "0x", -EINVAL },
		{ "K", -EINVAL },
		{ "0xK", -EINVAL },
		{ "-1", -EINVAL },
		{ "+1", -EINVAL },
		{ " 1", -EINVAL },
		{ "1 ", -EINVAL },
		{ "1k", -EINVAL },
		{ "1KK", -EINVAL },
		{ "1T", -EINVAL },
		{ "12a", -EINVAL },
		{ "0x1g", -EINVAL },
		{ "1.5G", -EINVAL },
		{ "18446744073709551616", -ERANGE },
		{ "99999999999999999999999999999999999999", -ERANGE },
		{ "0x10000000000000000", -ERANGE },
		{ "18446744073709551615K", -ERANGE },
		{ "17179869184G", -ERANGE },
		/* Nonsense is worse than too large. */
		{ "99999999999999999999999x", -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		u64 v = 0x55;

		assert_int_equal(parse_u64(bad[i].text, &v), bad[i].error);
		assert_int_equal(v, 0x55);
	}
}

static void test_parse_round_trip(void **state)
{
	rng_init(&rng, 3, 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		u64 v = rng_next(&rng) >> below(64), out;
		char text[32];

		snprintf(text, sizeof(text), below(2) ? "%lu" : "%#lx", v);
		assert_int_equal(parse_u64(text, &out), 0);
		assert_int_equal(out, v);
	}
}

static void test_errno_name(void **state)
{
	assert_string_equal(errno_name(-EINVAL), "EINVAL");
	assert_string_equal(errno_name(ETIMEDOUT), "ETIMEDOUT");
	assert_string_equal(errno_name(-EPERM), "EPERM");
	assert_string_equal(errno_name(0), "E?");
	assert_string_equal(errno_name(-9999), "E?");
	assert_string_equal(errno_name(INT_MIN), "E?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),		 cmocka_unit_test(test_texts),
		cmocka_unit_test(test_str_copy),	 cmocka_unit_test(test_str_has_word),
		cmocka_unit_test(test_parse_good),	 cmocka_unit_test(test_parse_bad),
		cmocka_unit_test(test_parse_round_trip), cmocka_unit_test(test_errno_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
