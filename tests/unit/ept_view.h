/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a set of page tables means: the list of its translations, however they are cut into leaves.
 * One is read from the tables by a walker that shares no code with the real one, another is made by
 * applying operations to a list; the tests compare them.
 */
#ifndef TESTS_UNIT_EPT_VIEW_H
#define TESTS_UNIT_EPT_VIEW_H

#include "hv/host/types.h"

struct extent {
	gpa_t gpa;
	u64 len;
	hpa_t hpa;
	unsigned int prot;
};

struct ept_view {
	struct extent *extent; /* sorted, neighbours that continue each other are one */
	size_t n, room;
	u64 nr_tables; /* seen by the walker, the root included */
};

void view_free(struct ept_view *v);
void view_copy(struct ept_view *to, const struct ept_view *from);

/* The translation of @gpa, or NULL. */
const struct extent *view_find(const struct ept_view *v, gpa_t gpa);

/* Replace what is in [gpa, gpa + len) by a mapping to @hpa..., or by nothing when @prot is 0. */
void view_map(struct ept_view *v, gpa_t gpa, u64 len, hpa_t hpa, unsigned int prot);
/* Change the rights of what is mapped there. */
void view_protect(struct ept_view *v, gpa_t gpa, u64 len, unsigned int prot);
/* Take all rights but @prot from what is mapped there. */
void view_restrict(struct ept_view *v, gpa_t gpa, u64 len, unsigned int prot);

/*
 * Read the tables under @root; fails the test at an entry that is malformed for a CPU of @phys_bits
 * with or without execute-only, at a table that is not a page in use, and at one of which more is
 * used than the entry above it notes. Marks the pages it sees (struct fake_page).
 */
void view_read(struct ept_view *v, const void *root, unsigned int phys_bits, bool exec_only);

/* Whether both mean the same. */
bool view_equal(const struct ept_view *a, const struct ept_view *b);
/* Whether @v translates each address as @a or as @b does. */
bool view_between(const struct ept_view *v, const struct ept_view *a, const struct ept_view *b);
/* Whether @b translates all that @a does to the same place and with no lesser rights. */
bool view_allows(const struct ept_view *b, const struct ept_view *a);

#endif
