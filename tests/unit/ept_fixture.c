/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See ept_fixture.h. The sources are included with hooks around every store to a linked table.
 */
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

#include "tests/unit/ept_fixture.h"

#define PHYS_BITS 48

struct ept ept;

/* The operation under way. */
static struct ept_view before, after;
struct ept_view now;
unsigned int stores;
static bool tracing;

/* --- hardware
 * ------------------------------------------------------------------------------------- */

struct rng hw_rng;
bool hw_plays;

/* Pages that a CPU has written to through the table, as (gpa, hpa). */
static struct {
	gpa_t gpa;
	hpa_t hpa;
} written[256];
size_t nr_written;

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

void hw_access(gpa_t gpa)
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

void read_now(void)
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

void check_books(void)
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

u64 free_unlinked(void)
{
	return ept_free_detached(&ept, ept_detach_unlinked(&ept));
}

u64 linked(void)
{
	read_now();
	return now.nr_tables;
}

int checked(const struct op *op)
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

void must(int expected, const struct op op)
{
	assert_int_equal(checked(&op), expected);
}

void start_with(u64 caps)
{
	fake_pages_reset();
	nr_written = 0;
	hw_plays = false;
	hint = (struct ept_hint){ 0 };
	assert_int_equal(ept_init(&ept, caps, PHYS_BITS), 0);
}

int setup(void **state)
{
	start_with(CAPS_ALL);
	return 0;
}

int teardown(void **state)
{
	ept_destroy(&ept);
	assert_int_equal(fake_pages_live, 0);
	fake_pages_reset();
	view_free(&before);
	view_free(&now);
	view_free(&after);
	return 0;
}

struct ept_mapping look(gpa_t gpa, int expected)
{
	struct ept_mapping m;

	assert_int_equal(ept_lookup(&ept, gpa, &m), expected);
	return m;
}
