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
#include "vmx/ept_dirty.c"
#include "vmx/ept_pages.c"
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
static unsigned int stores; /* that change what a linked table means */
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

/* --- memory after every store
 * --------------------------------------------------------------------- */

/*
 * Compare all pages with what they were after the last store: only @e may differ, and in a page
 * that is no longer linked what late CPUs set.
 */
static void check_pages(const _Atomic u64 *e)
{
	for (struct fake_page *p = fake_pages; p; p = p->next) {
		u64 ignored = p->mark ? 0 : EPTE_AD;

		if (!p->live || !p->known)
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

static void remember(struct fake_page *p)
{
	memcpy(p->copy, p->content, sizeof(p->copy));
	p->known = true;
}

/* Whether nobody else uses a page: it is in reserve, or holds list nodes. */
static bool is_free(const struct fake_page *p)
{
	for (const struct ept_unlinked *n = ept.node_pages; n; n = n->next)
		if ((const void *)n == p)
			return true;
	for (const struct ept_unlinked *n = ept.cache; n; n = n->next)
		if ((n->entry & EPTE_ADDR) == (uintptr_t)p)
			return true;
	return false;
}

/* Before an operation: tables that are linked, and those that wait to be freed. */
static void remember_all(void)
{
	for (struct fake_page *p = fake_pages; p; p = p->next) {
		p->known = false;
		if (p->live && (p->mark || !is_free(p)))
			remember(p);
	}
}

/* Tables that have just been linked. */
static void remember_new(void)
{
	for (struct fake_page *p = fake_pages; p; p = p->next)
		if (p->mark && !p->known)
			remember(p);
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
	remember_new();
	check_pages(e);
	stores += was_linked && p->mark && (p->copy[(u64 *)e - p->content] ^ *e) & ~EPTE_NOTES;
	p->copy[(u64 *)e - p->content] = *e;
}

/* --- operations, checked
 * -------------------------------------------------------------------------- */

enum op_kind { MAP, UNMAP, PROTECT, LOG, REARM, MAP_PAGE };

struct op {
	enum op_kind kind;
	gpa_t gpa;
	u64 len; /* of MAP: the leaf's size; of REARM: which pages; of MAP_PAGE: K4 */
	hpa_t hpa;
	unsigned int prot; /* of LOG and REARM: how */
};

static struct ept_hint hint; /* of the MAP_PAGE before */

/* What was found the last time makes no difference. */
static int map_page(const struct op *op)
{
	struct ept_hint none = { 0 };
	int ret = ept_map_page(&ept, op->gpa, op->hpa, op->prot, &hint);

	if (ret)
		assert_int_equal(ept_map_page(&ept, op->gpa, op->hpa, op->prot, &none), ret);
	return ret;
}

static int run(const struct op *op)
{
	switch (op->kind) {
	case MAP: return ept_map(&ept, op->gpa, op->hpa, op->len, op->prot);
	case UNMAP: return ept_unmap(&ept, op->gpa, op->len);
	case LOG: return ept_log_dirty(&ept, op->gpa, op->len, (enum ept_log)op->prot);
	case REARM: return ept_rearm(&ept, op->gpa, op->len, (enum ept_log)op->prot);
	case MAP_PAGE: return map_page(op);
	default: return ept_protect(&ept, op->gpa, op->len, op->prot);
	}
}

static void predict_armed(struct ept_view *v, gpa_t gpa, u64 len, unsigned int how)
{
	if (how == EPT_LOG_PROTECT)
		view_restrict(v, gpa, len, EPT_READ | EPT_EXEC);
}

static void predict(struct ept_view *v, const struct op *op)
{
	switch (op->kind) {
	case MAP:
	case MAP_PAGE: view_map(v, op->gpa, op->len, op->hpa, op->prot & EPT_RWX); break;
	case UNMAP: view_map(v, op->gpa, op->len, 0, 0); break;
	case PROTECT: view_protect(v, op->gpa, op->len, op->prot & EPT_RWX); break;
	case LOG: predict_armed(v, op->gpa, op->len, op->prot); break;
	case REARM:
		for (u64 i = 0; i < 64; i++)
			if (op->len & BIT(i))
				predict_armed(v, op->gpa + i * K4, K4, op->prot);
	}
}

/* Whether @op makes @gpa clean. */
static bool cleans(const struct op *op, gpa_t gpa)
{
	if (op->prot != EPT_LOG_DIRTY || gpa < op->gpa)
		return false;
	if (op->kind == LOG)
		return gpa - op->gpa < op->len;
	return op->kind == REARM && gpa - op->gpa < 64 * K4 && op->len >> (gpa - op->gpa) / K4 & 1;
}

/* What CPUs wrote to and is still mapped must be found dirty; the rest is forgotten. */
static void check_dirty(const struct op *op)
{
	size_t kept = 0;

	for (size_t i = 0; i < nr_written; i++) {
		struct ept_mapping m;

		if (ept_lookup(&ept, written[i].gpa, &m) || m.hpa != written[i].hpa ||
		    cleans(op, written[i].gpa))
			continue;
		if (!m.dirty)
			fail_msg("dirty bit of %#llx lost", (unsigned long long)written[i].gpa);
		written[kept++] = written[i];
	}
	nr_written = kept;
}

/* After @op there is no dirty page, and no large leaf, where it has made them clean. */
static void check_clean(const struct op *op)
{
	u64 len = op->kind == LOG ? op->len : 64 * K4;

	for (gpa_t gpa = op->gpa; gpa < min_u64(op->gpa + len, BIT(48)); gpa += K4) {
		struct ept_mapping m;

		if (!cleans(op, gpa))
			continue;
		if (ept_lookup(&ept, gpa, &m)) {
			gpa = ALIGN_DOWN(gpa, m.size) + m.size - K4;
			continue;
		}
		if (m.dirty || m.size != K4)
			fail_msg("%#llx is not armed", (unsigned long long)gpa);
	}
}

/* Pages that hold tables, wherever they are, or list nodes: all there are. */
static void check_books(void)
{
	u64 waiting = ept.nr_tables - now.nr_tables, nodes = 0, n = 0;

	for (struct ept_unlinked *p = ept.node_pages; p; p = p->next)
		nodes++;
	assert_int_equal(ept.nr_tables + ept.nr_cached + nodes, fake_pages_live);
	for (struct ept_unlinked *l = ept.unlinked; l; l = l->next)
		n++;
	assert_in_range(waiting, n, n * 513 * 513);
	assert_int_equal(nodes * (PAGE_NODES - 1), ept.nr_nodes);
	/* Every node is in one of the lists, and there are enough. */
	for (struct ept_unlinked *l = ept.nodes; l; l = l->next)
		n++;
	assert_int_equal(n + ept.nr_cached, ept.nr_nodes);
	assert_true(ept.nr_nodes >= ept.nr_tables - 1 + ept.nr_cached);
}

static u64 free_unlinked(void)
{
	return ept_free_detached(&ept, ept_detach_unlinked(&ept));
}

/* Table pages that hardware can reach. */
static u64 linked(void)
{
	read_now();
	return now.nr_tables;
}

/* Run @op with every check. Returns what it returned. */
static int checked(const struct op *op)
{
	int ret;

	read_now();
	remember_all();
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
		assert_true(view_allows(&now, &before));
	if (op->kind == MAP || op->kind == MAP_PAGE)
		assert_true(stores <= 1);
	check_books();
	check_dirty(op);
	if (ret >= 0)
		check_clean(op);
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
	hint = (struct ept_hint){ 0 };
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
	MUST(0, MAP, M2, M2, G1 + M2, EPT_RWX);
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

static void test_dirty_from_the_start(void **state)
{
	struct ept_mapping m;

	MUST(0, MAP, K4, K4, 0, EPT_RWX | EPT_DIRTY);
	MUST(0, MAP, G1, G1, G1, EPT_READ | EPT_DIRTY);
	m = look(K4, 0);
	assert_true(m.accessed && m.dirty && m.prot == EPT_RWX);
	m = look(G1, 0);
	assert_true(m.accessed && m.dirty && m.prot == EPT_READ);
	/* Only setting the bits needs no flush: a CPU would have set them itself. */
	MUST(0, MAP, 2 * K4, K4, 0, EPT_RWX);
	MUST(0, MAP, 2 * K4, K4, 0, EPT_RWX | EPT_DIRTY);
	assert_true(look(2 * K4, 0).dirty);
	MUST(0, MAP, 3 * K4, K4, 0, EPT_READ);
	MUST(0, PROTECT, 0, M2, 0, EPT_RWX | EPT_DIRTY);
	m = look(3 * K4, 0);
	assert_true(m.accessed && m.dirty && m.prot == EPT_RWX);
	ept_destroy(&ept);
	start_with(CAPS_ALL & ~EPT_CAP_AD);
	MUST(0, MAP, K4, K4, 0, EPT_RWX | EPT_DIRTY);
	assert_false(look(K4, 0).dirty);
}

/* Arming a range: 4 KiB leaves without the dirty bit in it, and nothing else anywhere else. */
static void test_log_by_dirty_bit(void **state)
{
	struct ept_mapping m;

	MUST(0, MAP, 0, G1, G1, EPT_RWX | EPT_DIRTY);
	MUST(1, LOG, 3 * M2 + K4, 2 * M2, 0, EPT_LOG_DIRTY);
	m = look(3 * M2, 0);
	assert_true(m.dirty && m.size == K4);
	m = look(3 * M2 + K4, 0);
	assert_true(!m.dirty && m.accessed && m.size == K4);
	m = look(5 * M2, 0);
	assert_true(!m.dirty && m.size == K4);
	m = look(5 * M2 + K4, 0);
	assert_true(m.dirty && m.size == K4);
	m = look(6 * M2, 0);
	assert_true(m.dirty && m.size == M2);
	/* Again: nothing to do. One that was written meanwhile is armed again by itself. */
	MUST(0, LOG, 3 * M2 + K4, 2 * M2, 0, EPT_LOG_DIRTY);
	MUST(0, MAP, 4 * M2, K4, G1 + 4 * M2, EPT_RWX | EPT_DIRTY);
	MUST(0, REARM, 4 * M2 - K4, 1, 0, EPT_LOG_DIRTY);
	MUST(1, REARM, 4 * M2 - K4, 2, 0, EPT_LOG_DIRTY);
	MUST(0, REARM, 4 * M2 - K4, ~0ull, 0, EPT_LOG_DIRTY);
	/* Holes are none of its business. */
	MUST(0, LOG, 7 * G1, 2 * G1, 0, EPT_LOG_DIRTY);
	MUST(0, REARM, 7 * G1, ~0ull, 0, EPT_LOG_DIRTY);
	ept_destroy(&ept);
	start_with(CAPS_ALL & ~EPT_CAP_AD);
	assert_int_equal(ept_log_dirty(&ept, 0, K4, EPT_LOG_DIRTY), -EINVAL);
	assert_int_equal(ept_rearm(&ept, 0, 1, EPT_LOG_DIRTY), -EINVAL);
}

static void test_log_by_fault(void **state)
{
	MUST(0, MAP, 0, M2, G1, EPT_RWX | EPT_DIRTY);
	MUST(0, MAP, M2, K4, G1 + M2, EPT_READ);
	MUST(1, LOG, 0, 2 * M2, 0, EPT_LOG_PROTECT);
	assert_int_equal(look(5 * K4, 0).prot, EPT_READ | EPT_EXEC);
	assert_int_equal(look(5 * K4, 0).size, K4);
	/* The fault's handler gives the right back, which needs no flush; reading the log takes it.
	 */
	MUST(0, MAP, 5 * K4, K4, G1 + 5 * K4, EPT_RWX | EPT_DIRTY);
	MUST(0, MAP, M2 - K4, K4, G1 + M2 - K4, EPT_RWX | EPT_DIRTY);
	MUST(1, REARM, 0, BIT(5) | BIT(9), 0, EPT_LOG_PROTECT);
	assert_int_equal(look(5 * K4, 0).prot, EPT_READ | EPT_EXEC);
	assert_int_equal(look(M2 - K4, 0).prot, EPT_RWX);
	/* A word of the log that lies in two tables. */
	MUST(0, MAP, M2, K4, G1 + M2, EPT_RWX);
	MUST(1, REARM, M2 - 3 * K4, BIT(2) | BIT(3), 0, EPT_LOG_PROTECT);
	assert_int_equal(look(M2 - K4, 0).prot, EPT_READ | EPT_EXEC);
	assert_int_equal(look(M2, 0).prot, EPT_READ | EPT_EXEC);
}

/* A large leaf that somebody mapped in a logged range is split, and only what was asked is armed.
 */
static void test_rearm_in_a_large_leaf(void **state)
{
	MUST(0, MAP, 0, M2, G1, EPT_RWX | EPT_DIRTY);
	MUST(0, MAP, M2, M2, G1 + M2, EPT_RWX | EPT_DIRTY);
	MUST(1, REARM, M2 - K4, 3, 0, EPT_LOG_DIRTY);
	assert_false(look(M2 - K4, 0).dirty);
	assert_false(look(M2, 0).dirty);
	assert_true(look(M2 - 2 * K4, 0).dirty);
	assert_true(look(M2 + K4, 0).dirty);
	assert_int_equal(linked(), 5);
	fake_page_fail(1);
	MUST(0, MAP, 2 * M2, M2, G1, EPT_RWX | EPT_DIRTY);
	MUST(-ENOMEM, REARM, 2 * M2, 1, 0, EPT_LOG_DIRTY);
	assert_true(look(2 * M2, 0).dirty);
}

/* What is unlinked while a flush is under way is not freed after that flush. */
static void test_detached_lists(void **state)
{
	struct ept_unlinked *first, *second;

	assert_null(ept_detach_unlinked(&ept));
	assert_int_equal(ept_free_detached(&ept, NULL), 0);
	MUST(0, MAP, 0, K4, 0, EPT_RWX);
	MUST(0, MAP, M2, K4, 0, EPT_RWX);
	MUST(0, MAP, G1, M2, 0, EPT_RWX);
	MUST(1, UNMAP, 0, M2);
	MUST(1, UNMAP, M2, M2);
	first = ept_detach_unlinked(&ept);
	assert_null(ept_detach_unlinked(&ept));
	assert_int_equal(ept_unmap(&ept, G1, G1), 1);
	second = ept_detach_unlinked(&ept);
	assert_int_equal(ept.nr_tables, 6);
	assert_int_equal(ept_free_detached(&ept, second), 1);
	/* The flush for the first did not succeed; the next one will do for it. */
	assert_int_equal(ept_map(&ept, 0, 0, K4, EPT_RWX), 0);
	assert_int_equal(ept_unmap(&ept, 0, M2), 1);
	ept_reattach(&ept, first);
	ept_reattach(&ept, NULL);
	assert_int_equal(free_unlinked(), 3);
	assert_int_equal(ept.nr_tables, linked());
	check_books();
	MUST(1, MAP, 0, G1, 0, EPT_RWX);
	ept_reattach(&ept, ept_detach_unlinked(&ept));
	check_books();
}

static unsigned int pages_ever(void)
{
	unsigned int n = 0;

	for (struct fake_page *p = fake_pages; p; p = p->next)
		n++;
	return n;
}

/* Tables go round without a page being allocated or freed, and come back clean. */
static void test_tables_are_kept(void **state)
{
	unsigned int pages = 0;

	for (unsigned int i = 0; i < 50; i++) {
		const gpa_t gpa = i * 37 % 512 * K4, large = G1 + i * 91 % 512 * M2;

		MUST(0, MAP, gpa, K4, 0, EPT_RWX);
		MUST(0, MAP, gpa ^ (100 * K4), K4, 0, EPT_RWX);
		MUST(0, MAP, large, M2, 0, EPT_RWX);
		MUST(0, MAP, large + G1, K4, 0, EPT_RWX);
		if (i % 3 == 0)
			MUST(1, MAP, large + K4, K4, 0,
			     EPT_RWX); /* a split fills one that is not clean */
		MUST(1, UNMAP, 0, 3 * G1);
		assert_int_equal(stores, 3);
		free_unlinked();
		read_now();
		check_books();
		if (i == 0)
			pages = pages_ever();
	}
	assert_int_equal(pages_ever(), pages);
}

/* A table that was got, and given back because there was no second one, is not taken for clean. */
static void test_unused_table(void **state)
{
	MUST(0, MAP, 0, M2, 0, EPT_RWX);
	MUST(1, UNMAP, 0, K4);
	MUST(1, UNMAP, 0, M2);
	assert_int_equal(free_unlinked(), 1);
	MUST(0, MAP, G1, G1, 0, EPT_RWX);
	fake_page_fail(1);
	MUST(-ENOMEM, MAP, G1, K4, 0, EPT_READ);
	assert_int_equal(ept.nr_cached, 1);
	MUST(0, MAP, 7 * M2, K4, 0, EPT_RWX);
	assert_int_equal(ept.nr_cached, 0);
}

/* What is kept has a limit. */
static void test_few_tables_are_kept(void **state)
{
	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(ept_map(&ept, i * M2, 0, K4, EPT_RWX), 0);
	read_now();
	assert_int_equal(fake_pages_live, 1 + 1 + 2 + 1000 + 4); /* 4 of list nodes */
	MUST(1, UNMAP, 0, 4 * G1);
	assert_int_equal(free_unlinked(), 2 + 1000);
	assert_int_equal(ept.nr_cached, EPT_MAX_CACHED);
	assert_int_equal(fake_pages_live, 1 + 1 + EPT_MAX_CACHED + 4);
	read_now();
	check_books();
	/* One by one: the same. */
	for (unsigned int i = 0; i < EPT_MAX_CACHED + 8; i++)
		assert_int_equal(ept_map(&ept, i * M2, 0, K4, EPT_RWX), 0);
	for (unsigned int i = 0; i < EPT_MAX_CACHED + 8; i++)
		assert_int_equal(ept_unmap(&ept, i * M2, M2), 1);
	assert_int_equal(free_unlinked(), EPT_MAX_CACHED + 8);
	assert_int_equal(ept.nr_cached, EPT_MAX_CACHED);
	read_now();
	check_books();
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
	const struct op log_1g = { LOG, G1 - 3 * M2, 3 * M2, 0, EPT_LOG_PROTECT };

	ept_destroy(&ept);
	/* The first table brings a page of list nodes too. */
	fail_each_allocation(NULL, &map_4k, 4);
	fail_each_allocation(NULL, &map_1g, 2);
	fail_each_allocation(&map_1g, &map_4k, 2);
	fail_each_allocation(&map_1g, &map_2m, 1);
	fail_each_allocation(&map_2m, &map_4k, 1);
	fail_each_allocation(&map_1g, &hole_in_1g, 3);
	fail_each_allocation(&map_1g, &end_of_1g, 1);
	fail_each_allocation(&map_1g, &protect_1g, 2);
	fail_each_allocation(&map_1g, &log_1g, 4);
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

/* Not over gigabytes, which become a table for every 2 MiB. */
static struct op random_arming(struct rng *r, struct op op)
{
	op.prot = ept.eptp & EPTP_AD ? (unsigned int)rng_below(r, 2) : EPT_LOG_PROTECT;
	op.gpa = random_gpa(r, K4);
	op.len = min_u64((1 + rng_below(r, 600)) * K4, BIT(48) - op.gpa);
	if (op.kind == REARM) {
		op.len = rng_next(r) & rng_next(r);
		op.gpa = min_u64(op.gpa, BIT(48) - 64 * K4);
	}
	return op;
}

static struct op random_op(struct rng *r)
{
	static const unsigned int prots[] = { EPT_READ, EPT_READ | EPT_WRITE, EPT_READ | EPT_EXEC,
					      EPT_RWX, EPT_EXEC };
	static const u64 sizes[] = { K4, K4, M2, M2, G1 };
	u64 size = sizes[rng_below(r, ARRAY_SIZE(sizes))];
	struct op op = { .prot = prots[rng_below(r, ARRAY_SIZE(prots))] };

	op.kind = (enum op_kind)(rng_below(r, 9) % 6); /* MAP, UNMAP and PROTECT twice as often */
	if (op.kind == MAP_PAGE)
		size = K4;
	op.gpa = random_gpa(r, size);
	op.len = size;
	if (op.kind == LOG || op.kind == REARM)
		return random_arming(r, op);
	if (rng_below(r, 2))
		op.prot |= EPT_DIRTY;
	if (op.kind == MAP || op.kind == MAP_PAGE) {
		/* Often the frame that is there already, or would be in a larger leaf. */
		op.hpa = rng_below(r, 2) ? op.gpa & (4 * G1 - 1) : rng_below(r, 64) * size;
	} else {
		op.len *= 1 + rng_below(r, 3);
		if (!rng_below(r, 3)) /* ends anywhere */
			op.len += rng_below(r, 2) ? rng_below(r, 1100) * K4
						  : rng_below(r, 2) * G1 + rng_below(r, 600) * M2;
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
			u64 n = ept.nr_tables - linked();

			assert_int_equal(free_unlinked(), n);
			check_books();
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
		TEST(test_unmap_rows),
		TEST(test_unmap_nothing),
		TEST(test_groups),
		TEST(test_map_page),
		TEST(test_protect),
		TEST(test_dirty_bits_survive),
		TEST(test_no_dirty_bits_without_support),
		TEST(test_dirty_from_the_start),
		TEST(test_log_by_dirty_bit),
		TEST(test_log_by_fault),
		TEST(test_rearm_in_a_large_leaf),
		TEST(test_detached_lists),
		TEST(test_tables_are_kept),
		TEST(test_unused_table),
		TEST(test_few_tables_are_kept),
		TEST(test_gigabytes),
		TEST(test_out_of_memory),
		TEST(test_misconfigured),
		TEST(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
