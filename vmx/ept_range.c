/* SPDX-License-Identifier: GPL-2.0-only */
/* Changing a range of extended page tables: removing mappings, changing leaves. */
#include "hv/host/errno.h"
#include "vmx/ept_internal.h"

/* --- where a range is ------------------------------------------------------------------------- */

/* Whether a range is a part of what one entry of @level covers, and not all of it. */
static __always_inline bool is_part(gpa_t gpa, gpa_t end, unsigned int level)
{
	return (gpa ^ (end - 1)) < ept_span(level) && !IS_ALIGNED(gpa | end, ept_span(level));
}

/*
 * The first of the entries that a range takes up, all of which are in one table: the lowest that
 * holds all of the range, or where a hole or a leaf ends the walk before that.
 */
static __always_inline struct ept_place find_row(const struct ept *ept, gpa_t gpa, gpa_t end)
{
	struct ept_place at = ept_top(ept, gpa);

	if (is_part(gpa, end, 4) && ept_down(&at, gpa) && is_part(gpa, end, 3) &&
	    ept_down(&at, gpa) && is_part(gpa, end, 2))
		ept_down(&at, gpa);
	return at;
}

/*
 * Make @gpa a boundary between leaves. A range operation does so at both ends before it changes any
 * translation, and nothing else in it can fail.
 */
static int split_at(struct ept *ept, gpa_t gpa)
{
	unsigned int to = IS_ALIGNED(gpa, EPT_SIZE_2M) ? 2 : 1;
	struct ept_place at;

	/* No leaf is larger than 1 GiB. */
	if (IS_ALIGNED(gpa, EPT_SIZE_1G) || gpa >= ept_limit(ept))
		return 0;
	at = ept_find(ept, gpa, to + 1);
	return epte_is_leaf(ept_load(at.e), at.level) ? ept_split(ept, &at, gpa, to, 0) : 0;
}

/*
 * Where the first row of [gpa, end) ends: as many entries as can be of one table, that of the
 * largest entries of which the range begins with a whole one.
 */
static gpa_t row_end(gpa_t gpa, gpa_t end)
{
	unsigned int level = 1;
	gpa_t border = end;

	while (level < EPT_LEVELS && IS_ALIGNED(gpa, ept_span(level + 1)) &&
	       end - gpa >= ept_span(level + 1))
		level++;
	if (level < EPT_LEVELS)
		border = ALIGN_DOWN(gpa, ept_span(level + 1)) + ept_span(level + 1);
	return min_u64(border, ALIGN_DOWN(end, ept_span(level)));
}

/* Whether a range that is in one table begins and ends with whole entries of it. */
static __always_inline bool is_row(unsigned int level, gpa_t gpa, gpa_t end)
{
	return IS_ALIGNED(gpa | end, ept_span(level));
}

/* The last entry of a row, which begins at @at. */
static __always_inline ept_entry *row_last(const struct ept_place *at, gpa_t gpa, gpa_t end)
{
	unsigned int shift = ept_shift(at->level);

	return at->e + (((end - 1) >> shift) - (gpa >> shift));
}

/* Leave out of a row what was never used in its table. @above: the table entry for that. */
static __always_inline void clip_row(u64 above, ept_entry **e, ept_entry **last)
{
	ept_entry *first_used = epte_table(above) + epte_first_used(above);
	ept_entry *last_used = epte_table(above) + epte_last_used(above);

	*e = *e > first_used ? *e : first_used;
	*last = *last < last_used ? *last : last_used;
}

/* --- removing --------------------------------------------------------------------------------- */

/*
 * Remove entries of one table, each of which is in the range as a whole or a hole. Returns whether
 * anything was there.
 */
static __always_inline bool remove_row(struct ept *ept, struct ept_place at, ept_entry *last)
{
	bool any = false;

	if (last - at.e >= EPTE_GROUP)
		clip_row(ept_load(at.above), &at.e, &last);
	for (; at.e <= last; at.e++) {
		u64 old = ept_load(at.e);

		if (!epte_present(old))
			continue;
		ept_set(at.e, 0);
		if (epte_is_table(old, at.level))
			ept_unlink(ept, at.above, old, at.level);
		any = true;
	}
	return any;
}

/* The general case: a range of rows in several tables, or one whose ends may be inside leaves. */
static noinline int unmap_rows(struct ept *ept, gpa_t gpa, gpa_t end)
{
	bool any = false;

	if (split_at(ept, gpa) || split_at(ept, end))
		return -ENOMEM;
	for (gpa_t next; gpa < end; gpa = next) {
		struct ept_place at;

		next = row_end(gpa, end);
		at = find_row(ept, gpa, next);
		any |= remove_row(ept, at, row_last(&at, gpa, next));
	}
	return any;
}

int ept_unmap(struct ept *ept, gpa_t gpa, u64 len)
{
	gpa_t end = gpa + len;
	struct ept_place at;
	int err = ept_check_range(ept, gpa, len);

	if (err || !len)
		return err;
	at = find_row(ept, gpa, end);
	/* One row without a leaf to split, as most ranges are, is done without a function call. */
	if (likely(is_row(at.level, gpa, end)))
		return remove_row(ept, at, row_last(&at, gpa, end));
	if (is_part(gpa, end, at.level) && !epte_present(ept_load(at.e)))
		return 0;
	return unmap_rows(ept, gpa, end);
}

/* --- changing --------------------------------------------------------------------------------- */

/* Change all leaves from @e to @last, entries of @level, and below. Whether a flush is needed. */
static bool change_entries(ept_entry *e, const ept_entry *last, unsigned int level,
			   const struct ept_leaf_change *c)
{
	bool stale = false;

	for (; e <= last; e++) {
		u64 old = ept_load(e);

		if (epte_is_table(old, level))
			stale |=
				change_entries(epte_table(old) + epte_first_used(old),
					       epte_table(old) + epte_last_used(old), level - 1, c);
		else if (epte_present(old))
			stale |= ept_change_leaf(e, c);
	}
	return stale;
}

int ept_change_range(struct ept *ept, gpa_t gpa, u64 len, const struct ept_leaf_change *c)
{
	int err = ept_check_range(ept, gpa, len);
	gpa_t end = gpa + len;
	bool stale = false;

	if (err || !len)
		return err;
	if (split_at(ept, gpa) || split_at(ept, end))
		return -ENOMEM;
	for (gpa_t next; gpa < end; gpa = next) {
		struct ept_place at;
		ept_entry *last;

		next = row_end(gpa, end);
		at = find_row(ept, gpa, next);
		last = row_last(&at, gpa, next);
		clip_row(ept_load(at.above), &at.e, &last);
		stale |= change_entries(at.e, last, at.level, c);
	}
	return stale;
}

int ept_protect(struct ept *ept, gpa_t gpa, u64 len, unsigned int prot)
{
	const struct ept_leaf_change c = { EPTE_RWX, ept_rights(ept, prot) };

	return ept_prot_ok(ept, prot) ? ept_change_range(ept, gpa, len, &c) : -EINVAL;
}
