/* SPDX-License-Identifier: GPL-2.0-only */
/* link: hv/host/bootinfo.c hv/host/random.c hv/host/string.c */
/* Memory maps of all shapes against a map that is kept byte by byte; options on a command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hv/host/bootinfo.h"
#include "hv/host/random.h"
#include "hv/host/string.h"

#define SPACE	  64
#define MAX_HOLES 4
#define MAPS	  20000

/* What boot_ram() is to say about @pos. */
static bool model_is_ram(const struct boot_info *info, const struct boot_range *hole,
			 unsigned int nr_holes, u64 pos)
{
	bool ram = false;

	for (unsigned int i = 0; i < nr_holes; i++) {
		if (pos >= hole[i].base && pos - hole[i].base < hole[i].len)
			return false;
	}
	for (unsigned int i = 0; i < info->nr_ranges; i++) {
		const struct boot_range *r = &info->range[i];

		if (pos < r->base || pos - r->base >= r->len)
			continue;
		if (r->type != BOOT_MEM_RAM)
			return false;
		ram = true;
	}
	return ram;
}

static struct boot_range random_range(struct rng *rng)
{
	return (struct boot_range){ rng_below(rng, SPACE), rng_below(rng, SPACE / 2),
				    (u32)rng_below(rng, 3) };
}

static void check_map(const struct boot_info *info, const struct boot_range *hole,
		      unsigned int nr_holes)
{
	struct boot_range out[BOOT_MAX_RANGES + MAX_HOLES];
	unsigned int n = boot_ram(info, hole, nr_holes, out), at = 0;

	assert_true(n <= info->nr_ranges + nr_holes);
	for (unsigned int i = 0; i < n; i++) {
		assert_true(out[i].len > 0);
		/* Sorted, and merged: neighbours do not touch. */
		assert_true(!i || out[i - 1].base + out[i - 1].len < out[i].base);
	}
	for (u64 pos = 0; pos < 2 * SPACE; pos++) {
		while (at < n && out[at].base + out[at].len <= pos)
			at++;
		assert_int_equal(at < n && out[at].base <= pos,
				 model_is_ram(info, hole, nr_holes, pos));
	}
}

static void ram_is_what_nobody_else_claims(void **state)
{
	static struct boot_info info;
	struct boot_range hole[MAX_HOLES];
	struct rng rng;

	rng_init(&rng, 1, 0);
	for (unsigned int round = 0; round < MAPS; round++) {
		unsigned int nr_holes = (unsigned int)rng_below(&rng, MAX_HOLES + 1);

		info.nr_ranges = (unsigned int)rng_below(&rng, 9);
		for (unsigned int i = 0; i < info.nr_ranges; i++)
			info.range[i] = random_range(&rng);
		for (unsigned int i = 0; i < nr_holes; i++)
			hole[i] = random_range(&rng);
		check_map(&info, hole, nr_holes);
	}
}

static void a_range_may_end_at_the_last_byte(void **state)
{
	static const struct boot_info info = {
		.nr_ranges = 2,
		.range = { { 0x1000, ~0ull, BOOT_MEM_RAM },
			   { ~0ull - 0xfff, 0x2000, BOOT_MEM_RESERVED } },
	};
	struct boot_range out[2];

	assert_int_equal(boot_ram(&info, NULL, 0, out), 1);
	assert_true(out[0].base == 0x1000 && out[0].base + out[0].len == ~0ull - 0xfff);
}

static void no_map_is_no_ram(void **state)
{
	static const struct boot_info info;
	struct boot_range out[1];

	assert_int_equal(boot_ram(&info, NULL, 0, out), 0);
}

static bool option(const char *cmdline, const char *word)
{
	static struct boot_info info;

	assert_true(str_copy(info.cmdline, cmdline, sizeof(info.cmdline)) >= 0);
	return boot_option(&info, word);
}

static void an_option_is_a_word_of_its_own(void **state)
{
	assert_true(option("x2apic", "x2apic"));
	assert_true(option("seed=1 x2apic exits", "x2apic"));
	assert_true(option("seed=1  x2apic", "x2apic"));
	assert_false(option("", "x2apic"));
	assert_false(option("x2api", "x2apic"));
	assert_false(option("x2apics nox2apic a=x2apic x2apic=1", "x2apic"));
}

static void an_option_for_a_guest_is_not_for_us(void **state)
{
	assert_false(option("guest append=\"a x2apic b\"", "x2apic"));
	assert_false(option("guest \"append=a x2apic b\"", "x2apic"));
	assert_true(option("guest append=\"a b\" x2apic", "x2apic"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ram_is_what_nobody_else_claims),
		cmocka_unit_test(a_range_may_end_at_the_last_byte),
		cmocka_unit_test(no_map_is_no_ram),
		cmocka_unit_test(an_option_is_a_word_of_its_own),
		cmocka_unit_test(an_option_for_a_guest_is_not_for_us),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
