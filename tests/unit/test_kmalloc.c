/* SPDX-License-Identifier: GPL-2.0-only */
/* Small objects, on top of the real page allocator. */
/* link: hv/host/kmalloc.c hv/host/page.c hv/host/spinlock.c hv/host/print.c hv/host/string.c */
/* link: hv/host/random.c tests/unit/stub_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/host/mem.h"
#include "hv/host/random.h"
#include "hv/host/string.h"
#include "tests/unit/stub_host.h"

#define ARENA_SIZE  MIB(16)
#define MAX_OBJECTS 2000

static struct object {
	u8 *p;
	size_t size;
	u8 tag;
} objects[MAX_OBJECTS];

static int add_arena(void **state)
{
	page_add_range((uintptr_t)aligned_alloc(MIB(4), ARENA_SIZE), ARENA_SIZE);
	return 0;
}

static void expect_bytes(const u8 *p, u8 value, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] != value)
			fail_msg("byte %zu of %zu is %#x, not %#x", i, n, p[i], value);
	}
}

static size_t random_size(struct rng *rng)
{
	switch (rng_below(rng, 10)) {
	case 0: return 1 + rng_below(rng, KIB(40));
	case 1: return 1 + rng_below(rng, KIB(4));
	default: return 1 + rng_below(rng, 300);
	}
}

/* Whatever order objects come and go in: zeroed, aligned, and nobody writes into another's. */
static void test_random(void **state)
{
	u64 used = page_nr_used();
	unsigned int n = 0;
	struct rng rng;

	rng_init(&rng, 9, 0);
	for (unsigned int i = 0; i < 60000; i++) {
		bool grow = rng_below(&rng, 10) < (i / 6000 % 2 ? 3 : 7);

		if (grow && n < MAX_OBJECTS) {
			struct object o = { .size = random_size(&rng), .tag = (u8)i };

			o.p = kzalloc(o.size);
			if (!o.p)
				continue;
			assert_true(IS_ALIGNED((uintptr_t)o.p, 16));
			expect_bytes(o.p, 0, o.size);
			memset(o.p, o.tag, o.size);
			objects[n++] = o;
		} else if (n) {
			struct object *o = &objects[rng_below(&rng, n)];

			expect_bytes(o->p, o->tag, o->size);
			kfree(o->p);
			*o = objects[--n];
		}
	}
	while (n) {
		n--;
		expect_bytes(objects[n].p, objects[n].tag, objects[n].size);
		kfree(objects[n].p);
	}
	/* At most one empty page stays with each size. */
	assert_in_range(page_nr_used() - used, 0, 11);
}

static void test_limits(void **state)
{
	void *p;

	assert_null(kzalloc(0));
	assert_null(kzalloc(KMALLOC_MAX + 1));
	assert_null(kzalloc(SIZE_MAX));
	kfree(NULL);
	p = kzalloc(KMALLOC_MAX);
	assert_non_null(p);
	kfree(p);
}

/* 32-byte objects: 126 of them share a page. */
static void test_density(void **state)
{
	u64 used = page_nr_used();
	void *p[127];

	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = kzalloc(32);
	assert_in_range(page_nr_used() - used, 1, 2);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		kfree(p[i]);
	assert_in_range(page_nr_used() - used, 0, 1);
}

static void free_twice(void *arg)
{
	void *p = kzalloc((size_t)arg);

	kfree(p);
	kfree(p);
}

static void free_inside(void *arg)
{
	kfree((char *)kzalloc(100) + (size_t)arg);
}

static void free_foreign(void *arg)
{
	char *page = page_alloc(0, PAGE_ZERO);

	kfree(page + (size_t)arg);
}

static void write_after_free(void *arg)
{
	char *p = kzalloc(200);

	/* A neighbour keeps the page; the next free object is taken first, so take them all. */
	kzalloc(200);
	kfree(p);
	p[(size_t)arg] = 1;
	for (int i = 0; i < 100; i++)
		kzalloc(200);
}

static void test_misuse(void **state)
{
	expect_panic(free_twice, (void *)100, "free already");
	expect_panic(free_twice, (void *)KIB(16), "free already");
	expect_panic(free_inside, (void *)8, "not an object");
	expect_panic(free_inside, (void *)64, "not an object");
	expect_panic(free_foreign, (void *)64, "not an object");
	expect_panic(free_foreign, (void *)16, "not an object");
	expect_panic(write_after_free, (void *)0, "written to after it was freed");
	expect_panic(write_after_free, (void *)199, "written to after it was freed");
}

static void test_exhaustion(void **state)
{
	static void *p[ARENA_SIZE / 2016];
	u64 used = page_nr_used();
	size_t n = 0;

	while ((p[n] = kzalloc(2000)))
		n++;
	assert_int_equal(page_nr_free(), 0);
	assert_null(kzalloc(5000));
	while (n)
		kfree(p[--n]);
	assert_in_range(page_nr_used() - used, 0, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),	   cmocka_unit_test(test_limits),
		cmocka_unit_test(test_density),	   cmocka_unit_test(test_misuse),
		cmocka_unit_test(test_exhaustion),
	};

	return cmocka_run_group_tests(tests, add_arena, NULL);
}
