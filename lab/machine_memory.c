/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `machine`: the allocators hand out what nobody else has, as promised, and take all of
 * it back. The poison of freed memory is checked by the allocators themselves, which panic.
 */
#include "hv/host/ktap.h"
#include "hv/host/mem.h"
#include "hv/host/metric.h"
#include "hv/host/random.h"
#include "hv/host/timer.h"
#include "lab/experiment.h"
#include "lab/machine.h"

#define NR_BLOCKS   48
#define ORDERS	    5  /* 0..4: blocks that are poisoned in full */
#define LARGE_ORDER 13 /* 32 MiB */
#define MEASURED    100
#define STREAM	    0x200

struct block {
	void *p;
	unsigned int order;
	size_t size;
};

struct findings {
	bool refused, misaligned, dirty, shared;
};

static struct block blocks[NR_BLOCKS];

static bool is_zero(const void *p, size_t size)
{
	const u64 *word = p;
	u64 any = 0;

	for (size_t i = 0; i < size / sizeof(*word); i++)
		any |= word[i];
	return !any;
}

/* The first and the last word of a block say whose it is. */
static void mark(const struct block *b)
{
	u64 *word = b->p;

	word[0] = (u64)(uintptr_t)b;
	word[b->size / sizeof(*word) - 1] = ~(u64)(uintptr_t)b;
}

static bool is_marked(const struct block *b)
{
	const u64 *word = b->p;

	return word[0] == (u64)(uintptr_t)b &&
	       word[b->size / sizeof(*word) - 1] == ~(u64)(uintptr_t)b;
}

static void take_pages(struct rng *rng, struct findings *f)
{
	for (unsigned int i = 0; i < NR_BLOCKS; i++) {
		struct block *b = &blocks[i];
		unsigned int flags = rng_below(rng, 2) ? PAGE_ZERO : 0;

		b->order = (unsigned int)rng_below(rng, ORDERS);
		b->size = PAGE_SIZE << b->order;
		b->p = page_alloc(b->order, flags);
		if (!b->p) {
			f->refused = true;
			continue;
		}
		f->misaligned |= !IS_ALIGNED(virt_to_phys(b->p), b->size);
		f->dirty |= flags && !is_zero(b->p, b->size);
		mark(b);
	}
}

/* In another order than they were taken. */
static void shuffle(struct rng *rng)
{
	for (unsigned int i = NR_BLOCKS - 1; i; i--) {
		unsigned int j = (unsigned int)rng_below(rng, i + 1);
		struct block b = blocks[i];

		blocks[i] = blocks[j];
		blocks[j] = b;
	}
}

static void give_pages(struct rng *rng)
{
	shuffle(rng);
	for (unsigned int i = 0; i < NR_BLOCKS; i++)
		page_free(blocks[i].p, blocks[i].order);
}

static bool all_marked(void)
{
	bool marked = true;

	for (unsigned int i = 0; i < NR_BLOCKS; i++)
		marked &= !blocks[i].p || is_marked(&blocks[i]);
	return marked;
}

static void test_pages(void)
{
	u64 used = page_nr_used(), available = page_nr_free();
	struct findings f = { false };
	struct rng rng;

	rng_init(&rng, run_options.seed, STREAM);
	for (unsigned int round = 0; round < 2; round++) {
		take_pages(&rng, &f);
		f.shared |= !all_marked();
		give_pages(&rng);
	}
	ktap_result(!f.refused, "pages are handed out while there are any");
	ktap_result(!f.misaligned, "blocks of pages are naturally aligned");
	ktap_result(!f.dirty, "pages that are to be zero are zero, used ones too");
	ktap_result(!f.shared, "no two owners have the same page");
	ktap_result(page_nr_used() == used && page_nr_free() == available, "all pages come back");
}

/* The largest blocks break up small requests and must come together again. */
static void test_large(void)
{
	u64 used = page_nr_used();
	unsigned int order = LARGE_ORDER;
	struct block b = { .p = NULL };
	void *small[4], *again;

	while (order && !(b.p = page_alloc(order, 0)))
		order--;
	if (!b.p) {
		ktap_result(false, "a large block can be had");
		return;
	}
	b.size = PAGE_SIZE << order;
	mark(&b);
	ktap_result(is_marked(&b) && IS_ALIGNED(virt_to_phys(b.p), b.size),
		    "a large block can be had");
	ktap_note("it has %llu MiB", (unsigned long long)(b.size >> 20));
	page_free(b.p, order);
	for (unsigned int i = 0; i < ARRAY_SIZE(small); i++)
		small[i] = page_alloc(i, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(small); i++)
		page_free(small[i], i);
	again = page_alloc(order, 0);
	ktap_result(again, "and again, after smaller ones were taken and given back");
	page_free(again, order);
	ktap_expect_eq(page_nr_used(), used, "large blocks come back as a whole");
}

static void test_refusals(void)
{
	unsigned int order =
		page_order(min_u64(page_nr_free() + 1, 1ull << PAGE_MAX_ORDER) << PAGE_SHIFT);
	u64 used = page_nr_used();

	if (page_nr_free() < 1ull << order)
		ktap_result(!page_alloc(order, 0), "more than there is, is refused");
	else
		ktap_skip("there is more memory than the largest block",
			  "more than there is, is refused");
	ktap_result(!kzalloc(0) && !kzalloc(KMALLOC_MAX + 1),
		    "objects of no size, or of too much, are refused");
	ktap_expect_eq(page_nr_used(), used, "what is refused takes nothing");
}

static void take_objects(struct rng *rng, struct findings *f)
{
	for (unsigned int i = 0; i < NR_BLOCKS; i++) {
		struct block *b = &blocks[i];

		b->size = 16 * (1 + rng_below(rng, 200));
		b->p = kzalloc(b->size);
		if (!b->p) {
			f->refused = true;
			continue;
		}
		f->misaligned |= !IS_ALIGNED((uintptr_t)b->p, 16);
		f->dirty |= !is_zero(b->p, b->size);
		mark(b);
	}
}

/* Every size keeps a page once it was used: the second round must not need more. */
static void test_objects(void)
{
	struct findings f = { false };
	struct rng rng;
	u64 used = 0;

	for (unsigned int round = 0; round < 2; round++) {
		rng_init(&rng, run_options.seed, STREAM + 1);
		take_objects(&rng, &f);
		f.shared |= !all_marked();
		shuffle(&rng);
		for (unsigned int i = 0; i < NR_BLOCKS; i++)
			kfree(blocks[i].p);
		if (!round)
			used = page_nr_used();
	}
	ktap_result(!f.refused && !f.misaligned && !f.dirty && !f.shared,
		    "small objects are aligned, zero, and their owner's alone");
	ktap_expect_eq(page_nr_used(), used, "small objects come back");
}

static void measure(void)
{
	static u64 frees[MEASURED];

	for (unsigned int i = 0; i < MEASURED; i++) {
		u64 start = ticks_now(), middle;
		void *p = page_alloc(0, 0);

		middle = ticks_now();
		page_free(p, 0);
		frees[i] = ticks_now() - middle;
		machine_samples[i] = middle - start;
	}
	machine_metric("machine.page_alloc", MEASURED);
	for (unsigned int i = 0; i < MEASURED; i++)
		machine_samples[i] = frees[i];
	machine_metric("machine.page_free", MEASURED);
}

void machine_test_memory(void)
{
	test_pages();
	test_large();
	test_refusals();
	test_objects();
	measure();
}
