/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Extended page tables. The sources are included with hooks around every store to a linked table:
 * after each store the whole of memory must again be a legal table in which every address has its
 * old or its new translation, with nothing changed behind the hooks' back; before each store the
 * test plays hardware and sets accessed and dirty bits.
 */
/* link: tests/unit/ept_view.c tests/unit/fake_pages.c hv/host/random.c */
/* cflags: -Wno-missing-field-initializers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/host/types.h"

static void before_store(_Atomic u64 *e);
static void after_store(_Atomic u64 *e);
#define EPT_STORING(e) before_store(e)
#define EPT_STORED(e)  after_store(e)

#include "vmx/ept.c"
#include "vmx/ept_range.c"
#include "vmx/ept_unlink.c"
#include "vmx/ept_walk.c"

#include "hv/host/random.h"
#include "tests/unit/ept_view.h"
#include "tests/unit/fake_pages.h"

#define CAPS_ALL                                                                                   \
	(EPT_CAP_EXEC_ONLY | EPT_CAP_WALK_4 | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_1G | EPT_CAP_AD)
#define PHYS_BITS 48
#define K4	  EPT_SIZE_4K
#define M2	  EPT_SIZE_2M
#define G1	  EPT_SIZE_1G

static struct ept ept;

/* The operation under way. */
static struct ept_view before, now, after;
static unsigned int stores; /* to tables that are linked */
static bool tracing;

/* --- hardware
 * ------------------------------------------------------------------------------------- */

static struct rng hw_rng;
static bool hw_plays;

/* Pages that a CPU has written to through the table, as (gpa, hpa). */
static struct {
	gpa_t gpa;
	hpa_t hpa;
} written[256];
static size_t nr_written;

/* Set accessed and perhaps dirty in a leaf; keep in mind one page of it if dirty. */
static void touch(_Atomic u64 *e, gpa_t gpa, u64 span)
{
	struct fake_page *p = (struct fake_page *)ALIGN_DOWN((uintptr_t)e, PAGE_SIZE);
	u64 bits = rng_below(&hw_rng, 2) && *e & EPTE_RWX & EPT_WRITE ? EPTE_AD : EPTE_ACCESSED;
	u64 offset = ALIGN_DOWN(rng_below(&hw_rng, span), K4);

	*e |= bits;
	p->copy[(u64 *)e - p->content] |= bits;
	if (bits & EPTE_DIRTY && nr_written < ARRAY_SIZE(written)) {
		written[nr_written].gpa = gpa + offset;
		written[nr_written++].hpa = (*e & EPTE_ADDR) + offset;
	}
}

/* The leaf that translates @gpa is used, as hardware would: the table entries above it too. */
static void hw_access(gpa_t gpa)
{
	_Atomic u64 *table = ept.root;

	if (!(ept.eptp & EPTP_AD))
		return;
	for (unsigned int level = 4;; level--) {
		_Atomic u64 *e = &table[gpa >> (12 + 9 * (level - 1)) & 511];
		u64 span = 1ull << (12 + 9 * (level - 1));
		struct fake_page *p = (struct fake_page *)table;

		if (!(*e & 7))
			return;
		if (level == 1 || *e & 0x80) {
			touch(e, gpa & ~(span - 1), span);
			return;
		}
		*e |= EPTE_ACCESSED;
		p->copy[(u64 *)e - p->content] |= EPTE_ACCESSED;
		table = (_Atomic u64 *)(uintptr_t)(*e & EPTE_ADDR);
	}
}

/* Where in the address space an entry of a linked table is; false if its table is not linked. */
static bool locate(const void *table, unsigned int level, gpa_t base, const _Atomic u64 *e,
		   gpa_t *gpa)
{
	const struct fake_page *p = table;
	u64 span = 1ull << (12 + 9 * (level - 1));

	if ((const u64 *)e >= p->content && (const u64 *)e < p->content + 512) {
		*gpa = base + ((const u64 *)e - p->content) * span;
		return true;
	}
	for (u64 i = 0; level > 1 && i < 512; i++) {
		u64 entry = p->content[i];

		if (entry & 7 && !(entry & 0x80) &&
		    locate((const void *)(uintptr_t)(entry & EPTE_ADDR), level - 1, base + i * span,
			   e, gpa))
			return true;
	}
	return false;
}

static void before_store(_Atomic u64 *e)
{
	gpa_t gpa;

	if (!hw_plays || rng_below(&hw_rng, 2))
		return;
	if (locate(ept.root, 4, 0, e, &gpa))
		hw_access(gpa);
}

/* What CPUs wrote to and is still mapped must be found dirty; the rest is forgotten. */
static void check_dirty(void)
{
	size_t kept = 0;

	for (size_t i = 0; i < nr_written; i++) {
		struct ept_mapping m;

		if (ept_lookup(&ept, written[i].gpa, &m) || m.hpa != written[i].hpa)
			continue;
		if (!m.dirty)
			fail_msg("dirty bit of %#llx lost", (unsigned long long)written[i].gpa);
		written[kept++] = written[i];
	}
	nr_written = kept;
}

/* --- memory after every store
 * --------------------------------------------------------------------- */

#define NOTES (0xfull << 52) /* the list of unlinked tables */

/*
 * Compare all pages with what they were after the last store: only @e may differ, and in a page
 * that is no longer linked the notes of the list (and what late CPUs set).
 */
static void check_pages(const _Atomic u64 *e)
{
	for (struct fake_page *p = fake_pages; p; p = p->next) {
		u64 ignored = p->mark ? 0 : NOTES | EPTE_AD;

		if (!p->live)
			continue;
		for (size_t i = 0; i < 512; i++) {
			if (p->content + i != (const u64 *)e &&
			    (p->content[i] ^ p->copy[i]) & ~ignored)
				fail_msg("entry %#llx became %#llx without a store",
					 (unsigned long long)p->copy[i],
					 (unsigned long long)p->content[i]);
		}
	}
}

static void read_now(void)
{
	view_read(&now, ept.root, ept.phys_bits, ept.caps & EPT_CAP_EXEC_ONLY);
}

/* Copy the pages that have no history yet, or all of them. */
static void copy_pages(bool all)
{
	for (struct fake_page *p = fake_pages; p; p = p->next) {
		if (all || !p->known)
			memcpy(p->copy, p->content, sizeof(p->copy));
		p->known = true;
	}
}

/*
 * Every store is compared with what was there; the walk through all tables is left out for most of
 * the stores of a long operation, which are all of a kind.
 */
static void after_store(_Atomic u64 *e)
{
	struct fake_page *p = (struct fake_page *)ALIGN_DOWN((uintptr_t)e, PAGE_SIZE);
	bool was_linked = p->mark;

	if (!tracing)
		return;
	if (stores < 16 || stores % 16 == 0) {
		read_now();
		if (!view_between(&now, &before, &after))
			fail_msg("store %u leaves a translation neither old nor new", stores);
	}
	copy_pages(false);
	check_pages(e);
	p->copy[(u64 *)e - p->content] = *e;
	stores += was_linked && p->mark;
}

/* --- operations, checked
 * -------------------------------------------------------------------------- */

enum op_kind { MAP, UNMAP, PROTECT };

struct op {
	enum op_kind kind;
	gpa_t gpa;
	u64 len; /* of MAP: the leaf's size */
	hpa_t hpa;
	unsigned int prot;
};

static int run(const struct op *op)
{
	switch (op->kind) {
	case MAP: return ept_map(&ept, op->gpa, op->hpa, op->len, op->prot);
	case UNMAP: return ept_unmap(&ept, op->gpa, op->len);
	default: return ept_protect(&ept, op->gpa, op->len, op->prot);
	}
}

static void predict(struct ept_view *v, const struct op *op)
{
	switch (op->kind) {
	case MAP: view_map(v, op->gpa, op->len, op->hpa, op->prot); break;
	case UNMAP: view_map(v, op->gpa, op->len, 0, 0); break;
	default: view_protect(v, op->gpa, op->len, op->prot); break;
	}
}

static void check_books(void)
{
	assert_int_equal(ept.nr_tables, now.nr_tables);
	assert_int_equal(ept.nr_tables + ept.nr_unlinked, fake_pages_live);
}

/* Run @op with every check. Returns what it returned. */
static int checked(const struct op *op)
{
	int ret;

	read_now();
	copy_pages(true);
	view_copy(&before, &now);
	view_copy(&after, &now);
	predict(&after, op);
	stores = 0;
	tracing = true;
	ret = run(op);
	tracing = false;
	read_now();
	if (ret < 0)
		assert_true(view_equal(&now, &before));
	else
		assert_true(view_equal(&now, &after));
	/* Something that a TLB may hold was changed: the caller must be told. */
	if (ret == 0)
		assert_true(view_contains(&now, &before));
	if (op->kind == MAP)
		assert_true(stores <= 1);
	check_books();
	check_dirty();
	return ret;
}

static void must(int expected, const struct op op)
{
	assert_int_equal(checked(&op), expected);
}

#define MUST(expected, ...) must(expected, (struct op){ __VA_ARGS__ })

static void start_with(u64 caps)
{
	fake_pages_reset();
	nr_written = 0;
	hw_plays = false;
	assert_int_equal(ept_init(&ept, caps, PHYS_BITS), 0);
}

static int setup(void **state)
{
	start_with(CAPS_ALL);
	return 0;
}

static int teardown(void **state)
{
	ept_destroy(&ept);
	assert_int_equal(fake_pages_live, 0);
	fake_pages_reset();
	view_free(&before);
	view_free(&now);
	view_free(&after);
	return 0;
}

static struct ept_mapping look(gpa_t gpa, int expected)
{
	struct ept_mapping m;

	assert_int_equal(ept_lookup(&ept, gpa, &m), expected);
	return m;
}

/* --- tests ---------------------------------------------------------------------------------------
 */

static void test_init(void **state)
{
	hpa_t root = virt_to_phys((void *)ept.root);
	struct ept other;

	assert_int_equal(ept.eptp, root | BIT(6) | 3 << 3 | 6);
	assert_int_equal(ept.nr_tables, 1);
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
	assert_int_equal(ept_map(&ept, 0, 0, K4, 8), -EINVAL);
	assert_int_equal(ept_unmap(&ept, 1, K4), -EINVAL);
	assert_int_equal(ept_unmap(&ept, 0, 1), -EINVAL);
	assert_int_equal(ept_unmap(&ept, 0, 0), 0);
	assert_int_equal(ept_protect(&ept, 0, 1, EPT_RWX), -EINVAL);
	assert_int_equal(ept_protect(&ept, 0, K4, 0), -EINVAL);
	assert_int_equal(ept_protect(&ept, 0, K4, EPT_WRITE), -EINVAL);
	assert_int_equal(ept.nr_tables, 1);
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
		assert_int_equal(ept_unmap(&e, 0, gpa_end), 1);
		/* A root entry that reaches beyond the width is not covered and stays. */
		assert_int_equal(e.nr_tables, widths[i] < 39 ? 2 : 1);
		assert_int_equal(ept_free_unlinked(&e), widths[i] < 39 ? 2 : 3);
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
	MUST(1, MAP, K4, K4, 0x6000, EPT_READ);
	MUST(1, UNMAP, K4, K4);
	MUST(0, UNMAP, K4, K4);
	MUST(0, MAP, K4, K4, 0x7000, EPT_RWX);
	assert_int_equal(ept.nr_tables, 4);
}

/* One page out of a 1 GiB leaf: two tables appear with one store, all others stay translated. */
static void test_split_by_map(void **state)
{
	MUST(0, MAP, 2 * G1, G1, 7 * G1, EPT_RWX);
	assert_int_equal(ept.nr_tables, 2);
	MUST(1, MAP, 2 * G1 + 3 * M2 + 5 * K4, K4, 0x1000, EPT_READ);
	assert_int_equal(stores, 1);
	assert_int_equal(ept.nr_tables, 4);
	MUST(1, MAP, 2 * G1 + 9 * M2, M2, 4 * M2, EPT_READ | EPT_EXEC);
	assert_int_equal(ept.nr_tables, 4);
	MUST(1, MAP, 2 * G1 + 9 * M2 + K4, K4, 4 * M2 + K4, EPT_READ | EPT_EXEC); /* same meaning */
	assert_int_equal(ept.nr_tables, 5);
}

/* A large leaf takes the place of tables; those still translate, and are freed when asked. */
static void test_large_over_small(void **state)
{
	for (u64 i = 0; i < 20; i++)
		MUST(0, MAP, G1 + i * (M2 + K4), K4, i * K4, EPT_RWX);
	assert_int_equal(ept.nr_tables, 3 + 20);
	MUST(1, MAP, G1, G1, 5 * G1, EPT_RWX);
	assert_int_equal(stores, 1);
	assert_int_equal(ept.nr_tables, 2);
	assert_int_equal(ept.nr_unlinked, 21);
	MUST(1, MAP, G1 + M2, K4, 0, EPT_RWX);
	MUST(1, MAP, G1 + M2, M2, 0, EPT_RWX);
	assert_int_equal(ept.nr_unlinked, 22);
	assert_int_equal(ept_free_unlinked(&ept), 22);
	assert_int_equal(ept_free_unlinked(&ept), 0);
	assert_int_equal(fake_pages_live, ept.nr_tables);
	read_now();
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
	assert_int_equal(ept.nr_tables, 1);
	assert_int_equal(ept_free_unlinked(&ept), 6);
}

/* A hole in the middle of a leaf needs both ends split, here in one and the same leaf. */
static void test_unmap_inside_a_leaf(void **state)
{
	MUST(0, MAP, 0, G1, G1, EPT_RWX);
	MUST(1, UNMAP, 7 * M2 + K4, 2 * K4);
	assert_int_equal(ept.nr_tables, 4);
	MUST(1, UNMAP, 100 * M2, 10 * M2);
	assert_int_equal(ept.nr_tables, 4);
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
	MUST(1, PROTECT, G1 - K4, 2 * K4, 0, EPT_RWX);
	MUST(0, PROTECT, 3 * G1, G1, 0, EPT_READ);
}

static void test_dirty_bits_survive(void **state)
{
	struct ept_mapping m;

	MUST(0, MAP, 0, G1, G1, EPT_RWX);
	hw_rng.state = 3;
	while (!nr_written)
		hw_access(12345 * K4);
	/* A split, a change of rights, and a mapping of the same frame keep them. */
	MUST(1, UNMAP, 0, K4);
	m = look(G1 - K4, 0);
	assert_true(m.accessed && m.dirty);
	MUST(1, PROTECT, 0, G1, 0, EPT_READ);
	MUST(1, MAP, M2, M2, G1 + M2, EPT_RWX);
	m = look(M2, 0);
	assert_true(m.accessed && m.dirty);
	/* Another frame starts clean, */
	MUST(1, MAP, M2, M2, 6 * G1, EPT_RWX);
	m = look(M2, 0);
	assert_false(m.accessed || m.dirty);
	/* but not where a table was, in which a CPU may still be setting bits. */
	MUST(1, MAP, 0, G1, 7 * G1, EPT_RWX);
	m = look(M2, 0);
	assert_true(m.accessed && m.dirty);
}

static void test_no_dirty_bits_without_support(void **state)
{
	ept_destroy(&ept);
	start_with(CAPS_ALL & ~EPT_CAP_AD);
	MUST(0, MAP, 0, K4, 0, EPT_RWX);
	MUST(1, MAP, 0, M2, 0, EPT_RWX);
	assert_false(look(0, 0).dirty);
}

/* Allocation failure at every point: nothing changes, nothing leaks, and the next try succeeds. */
static void fail_each_allocation(const struct op *setup_op, const struct op *op,
				 unsigned int allocations)
{
	for (unsigned int n = 1; n <= allocations + 1; n++) {
		start_with(CAPS_ALL);
		if (setup_op)
			assert_int_equal(checked(setup_op), 0);
		fake_page_fail(n);
		if (n <= allocations) {
			assert_int_equal(checked(op), -ENOMEM);
			assert_false(fake_page_will_fail());
		}
		assert_true(checked(op) >= 0);
		ept_destroy(&ept);
		assert_int_equal(fake_pages_live, 0);
	}
	start_with(CAPS_ALL);
}

static void test_out_of_memory(void **state)
{
	const struct op map_1g = { MAP, 0, G1, G1, EPT_RWX };
	const struct op map_2m = { MAP, 0, M2, M2, EPT_RWX };
	const struct op map_4k = { MAP, M2 - K4, K4, 0, EPT_READ };
	const struct op hole_in_1g = { UNMAP, M2 + K4, M2, 0, 0 };
	const struct op end_of_1g = { UNMAP, G1 - M2, M2, 0, 0 };
	const struct op protect_1g = { PROTECT, 5 * K4, 600 * M2, 0, EPT_READ };

	ept_destroy(&ept);
	fail_each_allocation(NULL, &map_4k, 3);
	fail_each_allocation(NULL, &map_1g, 1);
	fail_each_allocation(&map_1g, &map_4k, 2);
	fail_each_allocation(&map_1g, &map_2m, 1);
	fail_each_allocation(&map_2m, &map_4k, 1);
	fail_each_allocation(&map_1g, &hole_in_1g, 3);
	fail_each_allocation(&map_1g, &end_of_1g, 1);
	fail_each_allocation(&map_1g, &protect_1g, 2);
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
	unsigned int level;
	u64 entry;

	MUST(0, MAP, 0, K4, 0, EPT_RWX);
	MUST(0, MAP, M2, M2, 0, EPT_RWX);
	MUST(0, MAP, G1, G1, 0, EPT_RWX);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ept_entry *e = ept_find(&ept, cases[i].gpa, 1, &level);
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
	ept_find(&ept, 0, 1, &level)[0] &= ~3ull;
	assert_string_equal(ept_misconfigured(&ept, 0, &entry), "execute-only is not supported");
	assert_null(ept_misconfigured(&ept, BIT(48), &entry));
}

/* Addresses that matter: around borders of all levels, over a few gigabytes and at the far end. */
static gpa_t random_gpa(struct rng *r, u64 align)
{
	static const gpa_t arenas[] = { 0, 510 * G1, BIT(48) - 4 * G1 };
	gpa_t gpa = arenas[rng_below(r, ARRAY_SIZE(arenas))];

	gpa += rng_below(r, 4) * G1;
	if (align < G1)
		gpa += rng_below(r, 3) * (rng_below(r, 2) ? M2 : 255 * M2);
	if (align < M2)
		gpa += rng_below(r, 3) * (rng_below(r, 2) ? K4 : 255 * K4);
	return gpa;
}

static struct op random_op(struct rng *r)
{
	static const unsigned int prots[] = { EPT_READ, EPT_READ | EPT_WRITE, EPT_READ | EPT_EXEC,
					      EPT_RWX, EPT_EXEC };
	static const u64 sizes[] = { K4, K4, M2, M2, G1 };
	u64 size = sizes[rng_below(r, ARRAY_SIZE(sizes))];
	struct op op = { .prot = prots[rng_below(r, ARRAY_SIZE(prots))] };

	op.kind = (enum op_kind)(rng_below(r, 4) % 3); /* MAP twice as often */
	op.gpa = random_gpa(r, size);
	op.len = size;
	if (op.kind == MAP) {
		/* Often the frame that is there already, or would be in a larger leaf. */
		op.hpa = rng_below(r, 2) ? op.gpa & (4 * G1 - 1) : rng_below(r, 64) * size;
	} else {
		op.len *= 1 + rng_below(r, 3);
		op.len = min_u64(op.len, BIT(48) - op.gpa);
	}
	return op;
}

static void random_run(u64 seed, unsigned int ops)
{
	struct rng r;

	rng_init(&r, seed, 0);
	rng_init(&hw_rng, seed, 1);
	start_with(rng_below(&r, 4) ? CAPS_ALL : CAPS_ALL & ~EPT_CAP_AD);
	hw_plays = true;
	for (unsigned int i = 0; i < ops; i++) {
		struct op op = random_op(&r);
		const struct extent *e;
		struct ept_mapping m;
		gpa_t probe;
		u64 entry;

		if (!rng_below(&r, 8))
			fake_page_fail(1 + (unsigned int)rng_below(&r, 4));
		checked(&op);
		fake_page_fail(0);
		if (!rng_below(&r, 16)) {
			u64 n = ept.nr_unlinked;

			assert_int_equal(ept_free_unlinked(&ept), n);
		}
		probe = random_gpa(&r, K4) + rng_below(&r, K4);
		hw_access(probe);
		e = view_find(&now, probe);
		assert_int_equal(ept_lookup(&ept, probe, &m), e ? 0 : -ENOENT);
		assert_int_equal(m.prot, e ? e->prot : 0);
		assert_int_equal(m.hpa, e ? e->hpa + (probe - e->gpa) : 0);
		assert_null(ept_misconfigured(&ept, probe, &entry));
	}
	ept_destroy(&ept);
	assert_int_equal(fake_pages_live, 0);
}

static void test_random(void **state)
{
	ept_destroy(&ept);
	for (u64 seed = 1; seed <= 12; seed++)
		random_run(seed, 250);
	start_with(CAPS_ALL);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

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
		TEST(test_protect),
		TEST(test_dirty_bits_survive),
		TEST(test_no_dirty_bits_without_support),
		TEST(test_out_of_memory),
		TEST(test_misconfigured),
		TEST(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
