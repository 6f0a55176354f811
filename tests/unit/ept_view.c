/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/host/string.h"
#include "tests/unit/ept_view.h"
#include "tests/unit/fake_pages.h"

void view_free(struct ept_view *v)
{
	free(v->extent);
	memset(v, 0, sizeof(*v));
}

/* Append an extent that lies behind all others. */
static void append(struct ept_view *v, struct extent e)
{
	struct extent *last = v->n ? &v->extent[v->n - 1] : NULL;

	if (!e.len || !e.prot)
		return;
	if (last && last->gpa + last->len == e.gpa && last->hpa + last->len == e.hpa &&
	    last->prot == e.prot) {
		last->len += e.len;
		return;
	}
	if (v->n == v->room) {
		v->room = v->room ? 2 * v->room : 64;
		v->extent = realloc(v->extent, v->room * sizeof(*v->extent));
		assert_non_null(v->extent);
	}
	v->extent[v->n++] = e;
}

void view_copy(struct ept_view *to, const struct ept_view *from)
{
	to->n = 0;
	for (size_t i = 0; i < from->n; i++)
		append(to, from->extent[i]);
}

const struct extent *view_find(const struct ept_view *v, gpa_t gpa)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct extent *e = &v->extent[i];

		if (gpa >= e->gpa && gpa - e->gpa < e->len)
			return e;
	}
	return NULL;
}

/* The part of @e in [from, to). */
static struct extent part(struct extent e, gpa_t from, gpa_t to)
{
	gpa_t start = max_u64(e.gpa, from), end = min_u64(e.gpa + e.len, to);

	if (start >= end)
		return (struct extent){ 0 };
	return (struct extent){ start, end - start, e.hpa + (start - e.gpa), e.prot };
}

void view_map(struct ept_view *v, gpa_t gpa, u64 len, hpa_t hpa, unsigned int prot)
{
	struct ept_view out = { 0 };

	for (size_t i = 0; i < v->n; i++)
		append(&out, part(v->extent[i], 0, gpa));
	append(&out, (struct extent){ gpa, len, hpa, prot });
	for (size_t i = 0; i < v->n; i++)
		append(&out, part(v->extent[i], gpa + len, ~0ull));
	view_free(v);
	*v = out;
}

static void change_rights(struct ept_view *v, gpa_t gpa, u64 len, unsigned int keep,
			  unsigned int set)
{
	struct ept_view out = { 0 };

	for (size_t i = 0; i < v->n; i++) {
		struct extent inside = part(v->extent[i], gpa, gpa + len);

		append(&out, part(v->extent[i], 0, gpa));
		inside.prot = inside.len ? (inside.prot & keep) | set : 0;
		append(&out, inside);
		append(&out, part(v->extent[i], gpa + len, ~0ull));
	}
	view_free(v);
	*v = out;
}

void view_protect(struct ept_view *v, gpa_t gpa, u64 len, unsigned int prot)
{
	change_rights(v, gpa, len, 0, prot);
}

void view_restrict(struct ept_view *v, gpa_t gpa, u64 len, unsigned int prot)
{
	change_rights(v, gpa, len, prot, 0);
}

struct walk {
	struct ept_view *v;
	u64 beyond; /* address bits that do not exist */
	bool exec_only;
};

static void check_rights(const struct walk *w, u64 entry)
{
	bool r = entry & 1, write = entry & 2, x = entry & 4;

	if (write && !r)
		fail_msg("entry %#llx: write without read", (unsigned long long)entry);
	if (x && !r && !w->exec_only)
		fail_msg("entry %#llx: execute-only", (unsigned long long)entry);
	if (entry & w->beyond || entry & 0xc00)
		fail_msg("entry %#llx: reserved or unused bits", (unsigned long long)entry);
}

static void walk_table(const struct walk *w, const void *table, unsigned int level, gpa_t base);

/* The notes in a table entry: groups of 32 entries, 55:52 and 59:56; 63:60 tables, 15: many. */
static void check_notes(u64 entry, unsigned int level)
{
	const struct fake_page *p = (const void *)(uintptr_t)(entry & 0x000ffffffffff000);
	u64 tables = 0;

	for (u64 i = 0; i < 512; i++) {
		if (!p->content[i])
			continue;
		if (i / 32 < (entry >> 52 & 15) || i / 32 > (entry >> 56 & 15))
			fail_msg("table entry %#llx: entry %u of the table is used",
				 (unsigned long long)entry, (unsigned int)i);
		tables += level > 1 && !(p->content[i] & 0x80);
	}
	if (entry >> 60 < (tables < 15 ? tables : 15))
		fail_msg("table entry %#llx: there are %u tables below", (unsigned long long)entry,
			 (unsigned int)tables);
}

static void walk_entry(const struct walk *w, u64 entry, unsigned int level, gpa_t gpa)
{
	u64 span = 1ull << (12 + 9 * (level - 1));
	bool leaf = level == 1 || entry & 0x80;
	u64 addr = entry & 0x000ffffffffff000;

	if (!(entry & 7)) {
		assert_int_equal(entry, 0);
		return;
	}
	check_rights(w, entry);
	if (!leaf) {
		if (entry & 0xf8)
			fail_msg("table entry %#llx: reserved bits", (unsigned long long)entry);
		check_notes(entry, level - 1);
		walk_table(w, (const void *)(uintptr_t)addr, level - 1, gpa);
		return;
	}
	if (entry & 0xfff0000000000000)
		fail_msg("leaf %#llx: unused bits", (unsigned long long)entry);
	if (level == 4 || addr & (span - 1) || (entry & 0x38) != 6 << 3 || entry & 0x40 ||
	    (level == 1 && entry & 0x80))
		fail_msg("leaf %#llx of level %u", (unsigned long long)entry, level);
	append(w->v, (struct extent){ gpa, span, addr, entry & 7 });
}

static void walk_table(const struct walk *w, const void *table, unsigned int level, gpa_t base)
{
	struct fake_page *p = (struct fake_page *)(uintptr_t)table;

	assert_true(p->live);
	p->mark = true;
	w->v->nr_tables++;
	for (u64 i = 0; i < 512; i++)
		walk_entry(w, p->content[i], level, base + (i << (12 + 9 * (level - 1))));
}

void view_read(struct ept_view *v, const void *root, unsigned int phys_bits, bool exec_only)
{
	struct walk w = { v, 0x000fffffffffffff & ~((1ull << phys_bits) - 1), exec_only };

	for (struct fake_page *p = fake_pages; p; p = p->next)
		p->mark = false;
	v->n = 0;
	v->nr_tables = 0;
	walk_table(&w, root, 4, 0);
}

bool view_equal(const struct ept_view *a, const struct ept_view *b)
{
	for (size_t i = 0; a->n == b->n && i < a->n; i++) {
		const struct extent *x = &a->extent[i], *y = &b->extent[i];

		if (x->gpa != y->gpa || x->len != y->len || x->hpa != y->hpa || x->prot != y->prot)
			return false;
	}
	return a->n == b->n;
}

/* Steps through a view in the order of addresses, in pieces that others cut smaller. */
struct cursor {
	const struct ept_view *v;
	size_t i;
};

/* What is at @at: a mapping or a hole (prot 0), cut off at *@end. */
static struct extent piece(struct cursor *c, gpa_t at, gpa_t *end)
{
	const struct extent *e;

	while (c->i < c->v->n && c->v->extent[c->i].gpa + c->v->extent[c->i].len <= at)
		c->i++;
	if (c->i == c->v->n)
		return (struct extent){ 0 };
	e = &c->v->extent[c->i];
	if (e->gpa > at) {
		*end = min_u64(*end, e->gpa);
		return (struct extent){ 0 };
	}
	*end = min_u64(*end, e->gpa + e->len);
	return (struct extent){ 0, 0, e->hpa + (at - e->gpa), e->prot };
}

static bool same(const struct extent *a, const struct extent *b)
{
	return a->hpa == b->hpa && a->prot == b->prot;
}

bool view_between(const struct ept_view *v, const struct ept_view *a, const struct ept_view *b)
{
	struct cursor cv = { v, 0 }, ca = { a, 0 }, cb = { b, 0 };

	for (gpa_t at = 0, end; at != ~0ull; at = end) {
		struct extent ev, ea, eb;

		end = ~0ull;
		ev = piece(&cv, at, &end);
		ea = piece(&ca, at, &end);
		eb = piece(&cb, at, &end);
		if (!same(&ev, &ea) && !same(&ev, &eb))
			return false;
	}
	return true;
}

bool view_allows(const struct ept_view *b, const struct ept_view *a)
{
	struct cursor ca = { a, 0 }, cb = { b, 0 };

	for (gpa_t at = 0, end; at != ~0ull; at = end) {
		struct extent ea, eb;

		end = ~0ull;
		ea = piece(&ca, at, &end);
		eb = piece(&cb, at, &end);
		if (ea.prot && (ea.hpa != eb.hpa || ea.prot & ~eb.prot))
			return false;
	}
	return true;
}
