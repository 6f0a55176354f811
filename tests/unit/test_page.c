/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The page allocator against a shadow model that knows the owner of every page; and that every way
 * to misuse it or to write to freed memory is noticed.
 */
/* link: hv/host/page.c hv/host/spinlock.c hv/host/print.c hv/host/string.c hv/host/random.c */
/* link: tests/unit/stub_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "hv/host/mem.h"
#include "hv/host/random.h"
#include "hv/host/string.h"
#include "tests/unit/stub_host.h"

#define ARENA_SIZE MIB(64)
#define MAX_BLOCKS 4096

static char *arena; /* 4 MiB-aligned */
static u64 total;   /* pages the allocator got, before it took its bitmaps */

static u8 owned[ARENA_SIZE / PAGE_SIZE];

static struct block {
	u64 *p;
	unsigned int order;
	u64 tag;
} blocks[MAX_BLOCKS];
static unsigned int nr_blocks;

static char *map_aligned(u64 size, u64 align)
{
	char *p = mmap(NULL, size + align, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return (char *)ALIGN_UP((uintptr_t)p, align);
}

/* Three ranges with ragged ends and holes between them, like a real memory map. */
static int add_ranges(void **state)
{
	static const struct {
		u64 from, to;
	} ranges[] = {
		{ 0x1800, MIB(3) + 0x123 },
		{ MIB(3) + 0x2000, MIB(17) },
		{ MIB(17) + KIB(64), ARENA_SIZE - 0x3000 },
	};

	arena = map_aligned(ARENA_SIZE, MIB(4));
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		page_add_range((uintptr_t)arena + ranges[i].from, ranges[i].to - ranges[i].from);
		total += (ALIGN_DOWN(ranges[i].to, PAGE_SIZE) -
			  ALIGN_UP(ranges[i].from, PAGE_SIZE)) >>
			 PAGE_SHIFT;
	}
	return 0;
}

static void test_totals(void **state)
{
	/* 3 bits a page, in whole pages per range. */
	assert_int_equal(page_nr_free() + page_nr_used(), total);
	assert_in_range(page_nr_used(), 3, 6);
}

static void test_page_order(void **state)
{
	assert_int_equal(page_order(1), 0);
	assert_int_equal(page_order(4096), 0);
	assert_int_equal(page_order(4097), 1);
	assert_int_equal(page_order(8192), 1);
	assert_int_equal(page_order(8193), 2);
	assert_int_equal(page_order(MIB(2)), 9);
	assert_int_equal(page_order(MIB(2) + 1), 10);
	assert_int_equal(page_order(GIB(1)), PAGE_MAX_ORDER);
}

/* Take a block into the model: aligned, inside the arena, nobody else's. */
static void adopt(void *p, unsigned int order, u64 tag)
{
	struct block *b = &blocks[nr_blocks++];
	u64 first = (u64)((char *)p - arena) / PAGE_SIZE;

	assert_true((char *)p >= arena && (char *)p < arena + ARENA_SIZE);
	assert_true(IS_ALIGNED((uintptr_t)p, PAGE_SIZE << order));
	for (u64 i = first; i < first + (1ull << order); i++) {
		assert_int_equal(owned[i], 0);
		owned[i] = 1;
	}
	*b = (struct block){ .p = p, .order = order, .tag = tag };
	b->p[0] = tag;
	b->p[(PAGE_SIZE << order) / 8 - 1] = ~tag;
	assert_int_equal(page_block_order(p), order);
}

static void release(unsigned int index)
{
	struct block b = blocks[index];
	u64 first = (u64)((char *)b.p - arena) / PAGE_SIZE;

	assert_int_equal(b.p[0], b.tag);
	assert_int_equal(b.p[(PAGE_SIZE << b.order) / 8 - 1], ~b.tag);
	memset(owned + first, 0, 1ull << b.order);
	blocks[index] = blocks[--nr_blocks];
	page_free(b.p, b.order);
}

static void expect_zero(const u64 *p, u64 bytes)
{
	for (u64 i = 0; i < bytes / 8; i++)
		assert_int_equal(p[i], 0);
}

/* How many blocks of each order can be had at once: the shape of the free memory. */
static void measure(unsigned int *count)
{
	for (unsigned int order = PAGE_MAX_ORDER + 1; order-- > 0;) {
		void *p;

		for (count[order] = 0; (p = page_alloc(order, 0)); count[order]++)
			adopt(p, order, order);
	}
	assert_int_equal(page_nr_free(), 0);
	while (nr_blocks)
		release(nr_blocks - 1);
}

static void test_random(void **state)
{
	unsigned int before[PAGE_MAX_ORDER + 1], after[PAGE_MAX_ORDER + 1], refused = 0;
	u64 free_pages = page_nr_free();
	struct rng rng;

	measure(before);
	assert_int_equal(page_nr_free(), free_pages);
	rng_init(&rng, 5, 0);
	for (unsigned int i = 0; i < 30000; i++) {
		/* Waves: mostly growing, then mostly shrinking. */
		bool grow = rng_below(&rng, 10) < (i / 3000 % 2 ? 3 : 7);
		unsigned int order = (unsigned int)rng_below(&rng, rng_below(&rng, 11) + 1);

		if (grow && nr_blocks < MAX_BLOCKS) {
			unsigned int flags = rng_below(&rng, 4) ? 0 : PAGE_ZERO;
			u64 had = page_nr_free();
			u64 *p = page_alloc(order, flags);

			if (!p) {
				refused++;
				continue;
			}
			assert_int_equal(page_nr_free(), had - (1ull << order));
			if (flags & PAGE_ZERO)
				expect_zero(p, PAGE_SIZE << order);
			adopt(p, order, rng_next(&rng));
		} else if (nr_blocks) {
			release((unsigned int)rng_below(&rng, nr_blocks));
		}
	}
	assert_true(refused > 10); /* it ran into the limit, too */
	while (nr_blocks)
		release(nr_blocks - 1);
	assert_int_equal(page_nr_free(), free_pages);
	/* Everything has merged again. */
	measure(after);
	assert_memory_equal(before, after, sizeof(before));
}

/* A block in pieces: the contents stay, each piece goes back by itself, and they merge again. */
static void test_split(void **state)
{
	unsigned int before[PAGE_MAX_ORDER + 1], after[PAGE_MAX_ORDER + 1];
	u64 used = page_nr_used(), free_pages = page_nr_free();

	measure(before);
	for (unsigned int into = 0; into <= 9; into++) {
		u8 *p = page_alloc(9, 0);

		assert_non_null(p);
		for (u64 i = 0; i < 512; i++)
			memset(p + i * PAGE_SIZE, (int)i, PAGE_SIZE);
		page_split(p, 9, into);
		assert_int_equal(page_nr_used(), used + 512);
		/* The pieces from the outside to the middle, so that none is next to a free one. */
		for (u64 i = 0, n = 512 >> into; i < n; i++) {
			u64 at = (i & 1 ? n - 1 - i / 2 : i / 2) << into;

			assert_int_equal(page_block_order(p + at * PAGE_SIZE), into);
			assert_int_equal(p[at * PAGE_SIZE], (u8)at);
			assert_int_equal(p[((at + (1ull << into)) * PAGE_SIZE) - 1],
					 (u8)(at + (1ull << into) - 1));
			page_free(p + at * PAGE_SIZE, into);
		}
		assert_int_equal(page_nr_free(), free_pages);
	}
	measure(after);
	assert_memory_equal(before, after, sizeof(before));
}

static void test_too_large(void **state)
{
	assert_null(page_alloc(PAGE_MAX_ORDER, 0));
	page_free(NULL, 3);
}

/* Each of these runs in a child process. */
struct misuse {
	unsigned int order;
	u64 offset;
};

static void free_twice(void *arg)
{
	const struct misuse *m = arg;
	void *p = page_alloc(m->order, 0);

	page_free(p, m->order);
	page_free(p, m->order);
}

static void free_wrong_order(void *arg)
{
	const struct misuse *m = arg;

	page_free(page_alloc(m->order, 0), (unsigned int)m->offset);
}

static void free_at_offset(void *arg)
{
	const struct misuse *m = arg;

	page_free((char *)page_alloc(m->order, 0) + m->offset, 0);
}

static void free_foreign(void *arg)
{
	page_free((void *)ALIGN_DOWN((uintptr_t)&total, PAGE_SIZE), 0);
}

/* Allocate everything, so that whatever lies in a free block is looked at. */
static void take_all(void)
{
	for (unsigned int order = PAGE_MAX_ORDER + 1; order-- > 0;) {
		while (page_alloc(order, 0))
			;
	}
}

static void write_after_free(void *arg)
{
	const struct misuse *m = arg;
	char *p = page_alloc(m->order, 0), *last;

	/* A neighbour keeps the block from merging out of sight of its order. */
	last = page_alloc(m->order, 0);
	page_free(p, m->order);
	p[m->offset] ^= 0x40;
	page_free(last, m->order);
	take_all();
}

static void test_double_free(void **state)
{
	for (unsigned int order = 0; order < 10; order += 3)
		expect_panic(free_twice, &(struct misuse){ .order = order }, "it is free already");
}

static void test_wrong_order(void **state)
{
	expect_panic(free_wrong_order, &(struct misuse){ 0, 1 }, "allocated with order 0");
	expect_panic(free_wrong_order, &(struct misuse){ 1, 0 }, "allocated with order 1");
	expect_panic(free_wrong_order, &(struct misuse){ 9, 8 }, "allocated with order 9");
	expect_panic(free_wrong_order, &(struct misuse){ 8, 9 }, "allocated with order 8");
	expect_panic(free_wrong_order, &(struct misuse){ 6, 0 }, "allocated with order 6");
	expect_panic(free_wrong_order, &(struct misuse){ 0, 6 }, "allocated with order 0");
}

static void split_wrong_order(void *arg)
{
	page_split(page_alloc(3, 0), 4, 0);
}

static void split_into_larger(void *arg)
{
	page_split(page_alloc(3, 0), 3, 4);
}

static void split_and_free_whole(void *arg)
{
	void *p = page_alloc(3, 0);

	page_split(p, 3, 2);
	page_free(p, 3);
}

static void test_bad_splits(void **state)
{
	expect_panic(split_wrong_order, NULL, "it was allocated with order 3");
	expect_panic(split_into_larger, NULL, "into > order");
	expect_panic(split_and_free_whole, NULL, "it was allocated with order 2");
}

static void test_bad_pointers(void **state)
{
	expect_panic(free_at_offset, &(struct misuse){ 0, 8 }, "not a page of the allocator");
	expect_panic(free_at_offset, &(struct misuse){ 3, 4096 }, "inside a block allocated at");
	expect_panic(free_at_offset, &(struct misuse){ 8, 70 * 4096 }, "inside a block allocated");
	expect_panic(free_foreign, NULL, "not a page of the allocator");
}

static void test_write_after_free(void **state)
{
	static const struct misuse full[] = {
		{ 0, 64 },   { 0, 4095 },	    { 0, 2048 },
		{ 1, 4096 }, { 3, 5 * 4096 + 100 }, { 4, 65535 },
	};
	static const struct misuse sparse[] = { { 5, 4096 },
						{ 7, 100 * 4096 + 63 },
						{ 9, MIB(1) } };

	for (size_t i = 0; i < ARRAY_SIZE(full); i++)
		expect_panic(write_after_free, (void *)&full[i], "written to after it was freed");
	for (size_t i = 0; i < ARRAY_SIZE(sparse); i++)
		expect_panic(write_after_free, (void *)&sparse[i], "written to after it was freed");
	/* The header of a free block. */
	for (u64 offset = 16; offset < 40; offset += 8)
		expect_panic(write_after_free, &(struct misuse){ 2, offset }, "overwritten after");
}

/* What nobody ever freed holds no poison and is not checked. */
static void test_fresh_memory(void **state)
{
	char *p = map_aligned(GIB(2), GIB(1));
	u64 before = page_nr_free();
	void *huge;

	p[MIB(1)] = 1;
	/* The bitmaps take the less aligned end: the one block of 1 GiB survives. */
	page_add_range((uintptr_t)p, GIB(1) + MIB(1));
	huge = page_alloc(PAGE_MAX_ORDER, 0);
	assert_ptr_equal(huge, p);
	assert_int_equal(p[MIB(1)], 1);
	assert_int_equal(page_nr_free(), before + MIB(1) / PAGE_SIZE - 25);
}

static void test_bad_ranges(void **state)
{
	u64 pages = page_nr_free() + page_nr_used();

	stub_console_take();
	page_add_range((uintptr_t)arena + MIB(2), MIB(2));
	assert_non_null(strstr(stub_console_take(), "left out: overlaps another range"));
	page_add_range(0, 2 * PAGE_SIZE);	     /* page 0 and one for the bitmaps */
	page_add_range((uintptr_t)arena, PAGE_SIZE); /* only the bitmaps would fit */
	page_add_range((uintptr_t)arena + 1, 2 * PAGE_SIZE - 2);
	page_add_range((uintptr_t)arena, 0);
	assert_string_equal(stub_console_take(), "");
	assert_int_equal(page_nr_free() + page_nr_used(), pages);
}

static void test_many_ranges(void **state)
{
	char *p = map_aligned(MIB(4), MIB(4));
	const char *said = "";

	for (unsigned int i = 0; i < 256 && !*said; i++) {
		page_add_range((uintptr_t)p + i * 16 * KIB(1), KIB(12));
		said = stub_console_take();
	}
	assert_non_null(strstr(said, "left out: one range too many"));
	/* Each gave two pages, and they are good for use. */
	take_all();
	assert_int_equal(page_nr_free(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_totals),	     cmocka_unit_test(test_page_order),
		cmocka_unit_test(test_random),	     cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_split),	     cmocka_unit_test(test_bad_splits),
		cmocka_unit_test(test_double_free),  cmocka_unit_test(test_wrong_order),
		cmocka_unit_test(test_bad_pointers), cmocka_unit_test(test_write_after_free),
		cmocka_unit_test(test_fresh_memory), cmocka_unit_test(test_bad_ranges),
		cmocka_unit_test(test_many_ranges),
	};

	return cmocka_run_group_tests(tests, add_ranges, NULL);
}
