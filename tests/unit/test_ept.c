/* SPDX-License-Identifier: GPL-2.0-only */
/* Extended page tables: what is mapped, unmapped and protected, and where a leaf may be how large.
 */
/* link: tests/unit/ept_fixture.c tests/unit/ept_view.c tests/unit/fake_pages.c hv/host/random.c */
/* cflags: -Wno-missing-field-initializers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/ept_fixture.h"

static void test_init(void **state)
{
	hpa_t root = virt_to_phys((void *)ept.root);
	struct ept other;

	assert_int_equal(ept.eptp, root | BIT(6) | 3 << 3 | 6);
	assert_int_equal(linked(), 1);
	assert_int_equal(ept_init(&other, CAPS_ALL & ~EPT_CAP_WALK_4, 48), -EOPNOTSUPP);
	assert_int_equal(ept_init(&other, CAPS_ALL & ~EPT_CAP_WB, 48), -EOPNOTSUPP);
	fake_page_fail(1);
	assert_int_equal(ept_init(&other, CAPS_ALL, 48), -ENOMEM);
	assert_int_equal(ept_init(&other, CAPS_ALL & ~EPT_CAP_AD, 48), 0);
	assert_int_equal(other.eptp & 0xfff, 3 << 3 | 6);
	ept_destroy(&other);
	ept_destroy(&other); /* harmless */
}

static void test_lookup(void **state)
{
	struct ept_mapping m = look(0x1234, -ENOENT);

	assert_int_equal(m.size, 1ull << 39);
	assert_int_equal(m.prot, 0);
	MUST(0, MAP, 5 * M2, K4, 0x7000, EPT_READ);
	m = look(5 * M2 + 0xabc, 0);
	assert_int_equal(m.hpa, 0x7abc);
	assert_int_equal(m.size, K4);
	assert_int_equal(m.prot, EPT_READ);
	assert_int_equal(look(5 * M2 + K4, -ENOENT).size, K4);
	assert_int_equal(look(6 * M2, -ENOENT).size, M2);
	assert_int_equal(look(2 * G1, -ENOENT).size, G1);
	MUST(0, MAP, 3 * G1, G1, 9 * G1, EPT_RWX);
	m = look(3 * G1 + 0x12345678, 0);
	assert_int_equal(m.hpa, 9 * G1 + 0x12345678);
	assert_int_equal(m.size, G1);
	look(1ull << 48, -ERANGE);
	look(~0ull, -ERANGE);
}

static void test_arguments(void **state)
{
	assert_int_equal(ept_map(&ept, 0, 0, 0, EPT_RWX), -EINVAL);
	assert_int_equal(ept_map(&ept, 0, 0, 2 * K4, EPT_RWX), -EINVAL);
	assert_int_equal(ept_map(&ept, 1, 0, K4, EPT_RWX), -EINVAL);
	assert_int_equal(ept_map(&ept, 0, 0x800, K4, EPT_RWX), -EINVAL);
	assert_int_equal(ept_map(&ept, M2, K4, M2, EPT_RWX), -EINVAL);
	assert_int_equal(ept_map(&ept, K4, M2, M2, EPT_RWX), -EINVAL);
	assert_int_equal(ept_map(&ept, G1, M2, G1, EPT_RWX), -EINVAL);
	assert_int_equal(ept_map(&ept, 0, 0, K4, 0), -EINVAL);
	assert_int_equal(ept_map(&ept, 0, 0, K4, EPT_WRITE), -EINVAL);
	assert_int_equal(ept_map(&ept, 0, 0, K4, EPT_WRITE | EPT_EXEC), -EINVAL);
	assert_int_equal(ept_map(&ept, 0, 0, K4, 16), -EINVAL);
	assert_int_equal(ept_map(&ept, 0, 0, K4, EPT_DIRTY), -EINVAL);
	assert_int_equal(ept_map(&ept, 0, 0, K4, EPT_DIRTY | EPT_WRITE), -EINVAL);
	assert_int_equal(ept_unmap(&ept, 1, K4), -EINVAL);
	assert_int_equal(ept_unmap(&ept, 0, 1), -EINVAL);
	assert_int_equal(ept_unmap(&ept, 0, 0), 0);
	assert_int_equal(ept_protect(&ept, 0, 1, EPT_RWX), -EINVAL);
	assert_int_equal(ept_protect(&ept, 0, K4, 0), -EINVAL);
	assert_int_equal(ept_protect(&ept, 0, K4, EPT_WRITE), -EINVAL);
	assert_int_equal(ept_log_dirty(&ept, 1, K4, EPT_LOG_DIRTY), -EINVAL);
	assert_int_equal(ept_log_dirty(&ept, 0, 1, EPT_LOG_DIRTY), -EINVAL);
	assert_int_equal(ept_log_dirty(&ept, 0, K4, (enum ept_log)2), -EINVAL);
	assert_int_equal(ept_log_dirty(&ept, 0, 0, EPT_LOG_PROTECT), 0);
	assert_int_equal(ept_rearm(&ept, 1, 1, EPT_LOG_PROTECT), -EINVAL);
	assert_int_equal(ept_rearm(&ept, 0, 1, (enum ept_log)2), -EINVAL);
	assert_int_equal(ept_rearm(&ept, 0, 0, EPT_LOG_PROTECT), 0);
	assert_int_equal(linked(), 1);
}

/* The last page and what lies beyond, for CPUs with narrow and with wide addresses. */
static void test_address_width(void **state)
{
	static const unsigned int widths[] = { 36, 39, 46, 48, 52 };

	for (size_t i = 0; i < ARRAY_SIZE(widths); i++) {
		u64 gpa_end = BIT(min_u64(widths[i], 48)), hpa_end = BIT(widths[i]);
		struct ept e;

		assert_int_equal(ept_init(&e, CAPS_ALL, widths[i]), 0);
		assert_int_equal(ept_map(&e, gpa_end - K4, hpa_end - K4, K4, EPT_RWX), 0);
		assert_int_equal(ept_map(&e, gpa_end, 0, K4, EPT_RWX), -ERANGE);
		assert_int_equal(ept_map(&e, 0, hpa_end, K4, EPT_RWX), -ERANGE);
		assert_int_equal(ept_map(&e, ~0ull << 30, 0, G1, EPT_RWX), -ERANGE);
		assert_int_equal(ept_unmap(&e, gpa_end - K4, 2 * K4), -ERANGE);
		assert_int_equal(ept_unmap(&e, K4, ~0ull << 12), -ERANGE);
		assert_int_equal(ept_unmap(&e, gpa_end + K4, 0), -ERANGE);
		assert_int_equal(ept_protect(&e, 0, gpa_end + K4, EPT_RWX), -ERANGE);
		assert_int_equal(ept_log_dirty(&e, 0, gpa_end + K4, EPT_LOG_DIRTY), -ERANGE);
		assert_int_equal(ept_rearm(&e, gpa_end - K4, 3, EPT_LOG_DIRTY), -ERANGE);
		assert_int_equal(ept_rearm(&e, gpa_end - 64 * K4, BIT(62), EPT_LOG_DIRTY), 0);
		assert_int_equal(ept_rearm(&e, gpa_end - 64 * K4, BIT(63), EPT_LOG_PROTECT), 1);
		assert_int_equal(ept_unmap(&e, 0, gpa_end), 1);
		/* A root entry that reaches beyond the width is not covered and stays. */
		assert_int_equal(ept_free_detached(&e, ept_detach_unlinked(&e)),
				 widths[i] < 39 ? 2 : 3);
		assert_int_equal(e.nr_tables, widths[i] < 39 ? 2 : 1);
		ept_destroy(&e);
	}
}

static void test_what_the_cpu_lacks(void **state)
{
	ept_destroy(&ept);
	start_with(CAPS_ALL & ~(EPT_CAP_1G | EPT_CAP_EXEC_ONLY));
	assert_int_equal(ept_map(&ept, 0, 0, G1, EPT_RWX), -EINVAL);
	assert_int_equal(ept_map(&ept, 0, 0, K4, EPT_EXEC), -EINVAL);
	MUST(0, MAP, 0, M2, 0, EPT_RWX);
	assert_int_equal(ept_largest(&ept, 0, 0, G1), M2);
	ept_destroy(&ept);
	start_with(CAPS_ALL & ~(EPT_CAP_1G | EPT_CAP_2M));
	assert_int_equal(ept_map(&ept, 0, 0, M2, EPT_RWX), -EINVAL);
	MUST(0, MAP, 0, K4, 0, EPT_EXEC);
	assert_int_equal(ept_largest(&ept, 0, 0, G1), K4);
}

static void test_largest(void **state)
{
	assert_int_equal(ept_largest(&ept, 0, 0, G1), G1);
	assert_int_equal(ept_largest(&ept, G1, 3 * G1, 5 * G1), G1);
	assert_int_equal(ept_largest(&ept, 0, 0, G1 - K4), M2);
	assert_int_equal(ept_largest(&ept, G1, M2, 2 * G1), M2);
	assert_int_equal(ept_largest(&ept, M2, G1, 2 * G1), M2);
	assert_int_equal(ept_largest(&ept, K4, G1, 2 * G1), K4);
	assert_int_equal(ept_largest(&ept, M2, M2 + K4, M2), K4);
	assert_int_equal(ept_largest(&ept, 0, 0, M2 - K4), K4);
}

static void test_map_again(void **state)
{
	MUST(0, MAP, K4, K4, 0x5000, EPT_RWX);
	MUST(0, MAP, K4, K4, 0x5000, EPT_RWX); /* the same: nothing stale */
	assert_int_equal(stores, 0);
	MUST(1, MAP, K4, K4, 0x5000, EPT_READ);
	MUST(0, MAP, K4, K4, 0x5000, EPT_READ | EPT_EXEC); /* more: nobody does what is forbidden */
	MUST(1, MAP, K4, K4, 0x5000, EPT_READ | EPT_WRITE); /* more and less */
	MUST(1, MAP, K4, K4, 0x6000, EPT_READ | EPT_WRITE);
	MUST(1, UNMAP, K4, K4);
	MUST(0, UNMAP, K4, K4);
	MUST(0, MAP, K4, K4, 0x7000, EPT_RWX);
	assert_int_equal(linked(), 4);
}

/* One page out of a 1 GiB leaf: two tables appear with one store, all others stay translated. */
static void test_split_by_map(void **state)
{
	MUST(0, MAP, 2 * G1, G1, 7 * G1, EPT_RWX);
	assert_int_equal(linked(), 2);
	MUST(1, MAP, 2 * G1 + 3 * M2 + 5 * K4, K4, 0x1000, EPT_READ);
	assert_int_equal(stores, 1);
	assert_int_equal(linked(), 4);
	MUST(1, MAP, 2 * G1 + 9 * M2, M2, 4 * M2, EPT_READ | EPT_EXEC);
	assert_int_equal(linked(), 4);
	MUST(1, MAP, 2 * G1 + 9 * M2 + K4, K4, 4 * M2 + K4, EPT_READ | EPT_EXEC); /* same meaning */
	assert_int_equal(linked(), 5);
}

/* A large leaf takes the place of tables; those still translate, and are freed when asked. */
static void test_large_over_small(void **state)
{
	for (u64 i = 0; i < 20; i++)
		MUST(0, MAP, G1 + i * (M2 + K4), K4, i * K4, EPT_RWX);
	assert_int_equal(linked(), 3 + 20);
	MUST(1, MAP, G1, G1, 5 * G1, EPT_RWX);
	assert_int_equal(stores, 1);
	assert_int_equal(linked(), 2);
	assert_int_equal(ept.nr_tables, 2 + 21);
	MUST(1, MAP, G1 + M2, K4, 0, EPT_RWX);
	MUST(1, MAP, G1 + M2, M2, 0, EPT_RWX);
	assert_int_equal(free_unlinked(), 22);
	assert_int_equal(free_unlinked(), 0);
	assert_int_equal(ept.nr_tables, linked());
	check_books();
}

static void test_unmap_ranges(void **state)
{
	const u64 half_t = 512 * G1;

	MUST(0, MAP, half_t - G1, G1, G1, EPT_RWX);
	MUST(0, MAP, half_t, G1, 2 * G1, EPT_RWX);
	/* Over the border of two root entries, inside a leaf on either side. */
	MUST(1, UNMAP, half_t - M2 - K4, 2 * M2 + 3 * K4);
	MUST(0, UNMAP, half_t - M2 - K4, 2 * M2 + 3 * K4);
	look(half_t - M2 - 2 * K4, 0);
	look(half_t + M2 + 2 * K4, 0);
	/* The whole lower subtree goes with one store. */
	MUST(1, UNMAP, 0, half_t);
	assert_int_equal(stores, 1);
	MUST(1, UNMAP, 0, BIT(48));
	assert_int_equal(linked(), 1);
	assert_int_equal(free_unlinked(), 6);
}

/* A hole in the middle of a leaf needs both ends split, here in one and the same leaf. */
static void test_unmap_inside_a_leaf(void **state)
{
	MUST(0, MAP, 0, G1, G1, EPT_RWX);
	MUST(1, UNMAP, 7 * M2 + K4, 2 * K4);
	assert_int_equal(linked(), 4);
	MUST(1, UNMAP, 100 * M2, 10 * M2);
	assert_int_equal(linked(), 4);
}

/* A range that is no row of one table: its ends are in other tables than its middle. */
static void test_unmap_rows(void **state)
{
	const gpa_t at = 512 * G1 - M2;

	for (u64 i = 0; i < 4; i++) {
		MUST(0, MAP, at - G1 + i * M2, M2, i * M2, EPT_RWX);
		MUST(0, MAP, 513 * G1 + i * M2, M2, G1 + i * M2, EPT_RWX);
	}
	MUST(0, MAP, at + 510 * K4, K4, 0, EPT_RWX);
	MUST(0, MAP, at + 511 * K4, K4, 0, EPT_RWX);
	MUST(0, MAP, 512 * G1, K4, 0, EPT_RWX);
	MUST(1, PROTECT, at + 511 * K4, K4 + G1 + M2, 0, EPT_READ);
	assert_int_equal(look(at + 510 * K4, 0).prot, EPT_RWX);
	assert_int_equal(look(513 * G1 + M2 - K4, 0).prot, EPT_READ);
	assert_int_equal(look(513 * G1 + M2, 0).prot, EPT_RWX);
	/* Ends at 4 KiB, at 2 MiB, at 1 GiB and again. */
	MUST(1, UNMAP, at + 511 * K4, K4 + G1 + M2 + K4);
	look(at + 510 * K4, 0);
	look(513 * G1 + M2 - K4, -ENOENT);
	look(513 * G1 + M2, -ENOENT);
	look(513 * G1 + M2 + K4, 0);
	/* As large as that, and nothing there. */
	MUST(0, UNMAP, at + 511 * K4, K4 + G1 + M2 + K4);
	assert_int_equal(stores, 0);
}

/* Nothing is split, and no table is made, for the sake of a range that is empty or a hole. */
static void test_unmap_nothing(void **state)
{
	MUST(0, MAP, 0, G1, G1, EPT_RWX);
	MUST(0, UNMAP, 5 * K4, 0);
	MUST(0, PROTECT, 5 * K4, 0, 0, EPT_READ);
	MUST(0, UNMAP, G1 + K4, M2);
	MUST(0, UNMAP, G1 - K4 + G1, 2 * K4);
	MUST(0, UNMAP, 600 * G1 + M2, K4);
	MUST(0, UNMAP, 600 * G1, 600 * G1 + K4);
	assert_int_equal(linked(), 2);
	assert_int_equal(look(5 * K4, 0).size, G1);
}

/* Rows shorter and longer than a group of entries, over and beside the groups that are in use. */
static void test_groups(void **state)
{
	static const unsigned int used[] = { 0, 31, 32, 100, 479, 480, 511 };

	for (size_t i = 0; i < ARRAY_SIZE(used); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(used); j++) {
			u64 first = min_u64(used[i], used[j]), last = max_u64(used[i], used[j]);

			MUST(0, MAP, G1 + used[i] * M2, M2, 0, EPT_RWX);
			MUST(i == j ? 1 : 0, MAP, G1 + used[j] * M2, M2, M2, EPT_RWX);
			if (first)
				MUST(0, UNMAP, G1, first * M2);
			if (last > first + 1)
				MUST(0, UNMAP, G1 + (first + 1) * M2, (last - first - 1) * M2);
			if (last < 511)
				MUST(0, UNMAP, G1 + (last + 1) * M2, (511 - last) * M2);
			MUST(1, UNMAP, G1 + first * M2, (last - first + 1) * M2);
			/* Now the table, unless it went with all that was in it. */
			MUST(last - first < 511, UNMAP, G1, G1);
			free_unlinked();
		}
	}
}

/* Where there is a table, and nothing is mapped; whatever has become of the table in between. */
static void test_map_page(void **state)
{
	MUST(-EEXIST, MAP_PAGE, 0, K4, 0, EPT_RWX); /* no table */
	MUST(0, MAP, 5 * K4, K4, M2, EPT_RWX);
	MUST(0, MAP_PAGE, 6 * K4, K4, K4, EPT_RWX | EPT_DIRTY);
	assert_true(look(6 * K4, 0).dirty);
	MUST(-EEXIST, MAP_PAGE, 6 * K4, K4, K4, EPT_RWX);
	MUST(-EEXIST, MAP_PAGE, 5 * K4, K4, K4, EPT_RWX);
	MUST(-EEXIST, MAP_PAGE, 511 * K4, K4, K4, EPT_RWX); /* a group that is not in use */
	MUST(0, MAP, 511 * K4, K4, K4, EPT_RWX);
	MUST(0, MAP_PAGE, 510 * K4, K4, K4, EPT_RWX);
	MUST(0, MAP_PAGE, 400 * K4, K4, K4, EPT_RWX);
	MUST(-EEXIST, MAP_PAGE, M2, K4, K4, EPT_RWX); /* another table */
	MUST(0, MAP, M2, K4, M2, EPT_RWX);
	MUST(0, MAP_PAGE, M2 + K4, K4, M2, EPT_READ | EPT_EXEC);
	MUST(0, MAP_PAGE, 7 * K4, K4, K4, EPT_RWX);
	/* Holes that are made again. */
	MUST(1, UNMAP, 5 * K4, 2 * K4);
	MUST(0, MAP_PAGE, 5 * K4, K4, 9 * K4, EPT_RWX);
	/* The table goes, and waits; goes, and another is in its place; a leaf is. */
	MUST(1, UNMAP, 0, M2);
	MUST(-EEXIST, MAP_PAGE, 5 * K4, K4, K4, EPT_RWX);
	free_unlinked();
	MUST(-EEXIST, MAP_PAGE, 5 * K4, K4, K4, EPT_RWX);
	MUST(0, MAP, 200 * K4, K4, K4, EPT_RWX);
	MUST(-EEXIST, MAP_PAGE, 5 * K4, K4, K4, EPT_RWX);
	MUST(0, MAP_PAGE, 201 * K4, K4, K4, EPT_RWX);
	MUST(1, MAP, 0, M2, M2, EPT_RWX);
	MUST(-EEXIST, MAP_PAGE, 201 * K4, K4, K4, EPT_RWX);
	/* All of it, from above. */
	MUST(0, MAP_PAGE, M2 + 2 * K4, K4, K4, EPT_RWX);
	MUST(1, UNMAP, 0, 512 * G1);
	MUST(-EEXIST, MAP_PAGE, M2 + 2 * K4, K4, K4, EPT_RWX);
	free_unlinked();
	MUST(0, MAP, M2, K4, K4, EPT_RWX);
	MUST(0, MAP_PAGE, M2 + 2 * K4, K4, K4, EPT_RWX);
}

static void test_protect(void **state)
{
	MUST(0, MAP, 0, G1, G1, EPT_RWX);
	MUST(0, MAP, G1, M2, 8 * G1, EPT_RWX);
	MUST(0, MAP, G1 + M2 + K4, K4, 0, EPT_RWX);
	MUST(0, PROTECT, 0, 4 * G1, 0, EPT_RWX);
	assert_int_equal(stores, 0);
	MUST(1, PROTECT, 0, 4 * G1, 0, EPT_READ | EPT_EXEC);
	assert_int_equal(stores, 3);
	look(G1 + M2, -ENOENT);
	MUST(0, PROTECT, G1 - K4, 2 * K4, 0, EPT_RWX);
	MUST(0, PROTECT, 3 * G1, G1, 0, EPT_READ);
}

/* Into 1 GiB leaves and back. */
static void test_gigabytes(void **state)
{
	MUST(0, MAP, 4 * G1, G1, 8 * G1, EPT_RWX);
	assert_int_equal(look(4 * G1, 0).size, G1);
	MUST(1, UNMAP, 4 * G1 + 5 * M2, M2);
	assert_int_equal(look(4 * G1, 0).size, M2);
	MUST(0, MAP, 4 * G1 + 5 * M2, M2, 8 * G1 + 5 * M2, EPT_RWX);
	MUST(1, PROTECT, 4 * G1 + 7 * K4, K4, 0, EPT_READ);
	assert_int_equal(look(4 * G1, 0).size, K4);
	assert_int_equal(look(4 * G1 + M2, 0).size, M2);
	assert_int_equal(linked(), 4);
	/* One leaf for all of it: the smaller tables go. */
	MUST(1, MAP, 4 * G1, G1, 8 * G1, EPT_RWX);
	assert_int_equal(stores, 1);
	assert_int_equal(look(4 * G1 + 7 * K4, 0).size, G1);
	assert_int_equal(look(4 * G1 + 7 * K4, 0).hpa, 8 * G1 + 7 * K4);
	assert_int_equal(linked(), 2);
	assert_int_equal(free_unlinked(), 2);
	/* Every leaf of a gigabyte full of small ones goes with it, in one store. */
	assert_int_equal(ept_log_dirty(&ept, 4 * G1, G1, EPT_LOG_PROTECT), 1);
	assert_int_equal(linked(), 2 + 1 + 512);
	MUST(1, UNMAP, 4 * G1, G1);
	assert_int_equal(stores, 1);
	assert_int_equal(free_unlinked(), 513);
}

/* The tables are sound; entries broken by hand are recognised for what they are. */
static void test_misconfigured(void **state)
{
	static const struct {
		gpa_t gpa;
		u64 set, clear;
		const char *rule;
	} cases[] = {
		{ 0, 0, EPT_READ, "write without read" },
		{ G1, BIT(49), 0, "the address exceeds the physical-address width" },
		{ G1, BIT(12), 0, "low address bits of a large leaf must be 0" },
		{ M2, BIT(20), 0, "low address bits of a large leaf must be 0" },
		{ 0, 1 << 3, 0, "memory type 2, 3 or 7" },
		{ 0, 0, 4 << 3, "memory type 2, 3 or 7" },
		{ G1, 0, EPT_READ | EPT_WRITE, NULL },
	};
	u64 entry;

	MUST(0, MAP, 0, K4, 0, EPT_RWX);
	MUST(0, MAP, M2, M2, 0, EPT_RWX);
	MUST(0, MAP, G1, G1, 0, EPT_RWX);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ept_entry *e = ept_find(&ept, cases[i].gpa, 1).e;
		u64 sound = *e;
		const char *rule;

		assert_null(ept_misconfigured(&ept, cases[i].gpa, &entry));
		*e = (sound | cases[i].set) & ~cases[i].clear;
		rule = ept_misconfigured(&ept, cases[i].gpa, &entry);
		if (cases[i].rule)
			assert_string_equal(rule, cases[i].rule);
		else
			assert_null(rule);
		assert_int_equal(entry, *e);
		*e = sound;
	}
	ept.root[0] |= BIT(6);
	assert_string_equal(ept_misconfigured(&ept, 0, &entry),
			    "bits 6:3 of a table entry must be 0");
	ept.root[0] ^= BIT(6);
	ept.root[1] = EPT_RWX | BIT(7);
	assert_string_equal(ept_misconfigured(&ept, 512 * G1, &entry),
			    "this CPU has no leaf of that size (bit 7)");
	ept.root[1] = 0;
	ept.caps &= ~(EPT_CAP_EXEC_ONLY | EPT_CAP_1G);
	assert_string_equal(ept_misconfigured(&ept, G1, &entry),
			    "this CPU has no leaf of that size (bit 7)");
	*ept_find(&ept, 0, 1).e &= ~3ull;
	assert_string_equal(ept_misconfigured(&ept, 0, &entry), "execute-only is not supported");
	assert_null(ept_misconfigured(&ept, BIT(48), &entry));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_init),
		TEST(test_lookup),
		TEST(test_arguments),
		TEST(test_address_width),
		TEST(test_what_the_cpu_lacks),
		TEST(test_largest),
		TEST(test_map_again),
		TEST(test_split_by_map),
		TEST(test_large_over_small),
		TEST(test_unmap_ranges),
		TEST(test_unmap_inside_a_leaf),
		TEST(test_unmap_rows),
		TEST(test_unmap_nothing),
		TEST(test_groups),
		TEST(test_map_page),
		TEST(test_protect),
		TEST(test_gigabytes),
		TEST(test_misconfigured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
