/* SPDX-License-Identifier: GPL-2.0-only */
/* Changing a range of extended page tables: removing mappings, changing rights. */
#include "hv/host/errno.h"
#include "vmx/ept_internal.h"

/*
 * Make @gpa a boundary between leaves. All that can fail is done here, before a range operation
 * changes any translation.
 */
static int split_at(struct ept *ept, gpa_t gpa)
{
	unsigned int level, to = EPT_LEVELS;
	ept_entry *e;

	if (gpa >= ept_limit(ept))
		return 0;
	e = ept_find(ept, gpa, 1, &level);
	if (!epte_present(ept_load(e)) || IS_ALIGNED(gpa, ept_span(level)))
		return 0;
	while (!IS_ALIGNED(gpa, ept_span(to)))
		to--;
	return ept_graft(ept, e, level, gpa, to, 0);
}

static int prepare_range(struct ept *ept, gpa_t gpa, u64 len)
{
	int err;

	if (!IS_ALIGNED(gpa | len, PAGE_SIZE))
		return -EINVAL;
	if (gpa > ept_limit(ept) || len > ept_limit(ept) - gpa)
		return -ERANGE;
	if (!len)
		return 0;
	err = split_at(ept, gpa);
	return err ? err : split_at(ept, gpa + len);
}

/* Remove [gpa, end), which @table of @level covers. Returns whether anything was there. */
static bool remove_range(struct ept *ept, ept_entry *table, unsigned int level, gpa_t gpa,
			 gpa_t end)
{
	bool any = false;

	while (gpa < end) {
		gpa_t next = min_u64(end, ALIGN_DOWN(gpa, ept_span(level)) + ept_span(level));
		ept_entry *e = &table[ept_index(gpa, level)];
		u64 old = ept_load(e);

		if (epte_is_table(old, level) && next - gpa < ept_span(level)) {
			any |= remove_range(ept, epte_table(old), level - 1, gpa, next);
		} else if (epte_present(old)) {
			while (!ept_replace(e, &old, 0))
				;
			if (epte_is_table(old, level))
				ept_unlink(ept, old, level);
			any = true;
		}
		gpa = next;
	}
	return any;
}

int ept_unmap(struct ept *ept, gpa_t gpa, u64 len)
{
	int err = prepare_range(ept, gpa, len);

	return err ? err : remove_range(ept, ept->root, EPT_LEVELS, gpa, gpa + len);
}

/* As remove_range(); returns whether anything was changed. */
static bool protect_range(ept_entry *table, unsigned int level, gpa_t gpa, gpa_t end, u64 prot)
{
	bool any = false;

	while (gpa < end) {
		gpa_t next = min_u64(end, ALIGN_DOWN(gpa, ept_span(level)) + ept_span(level));
		ept_entry *e = &table[ept_index(gpa, level)];
		u64 old = ept_load(e);

		if (epte_is_table(old, level)) {
			any |= protect_range(epte_table(old), level - 1, gpa, next, prot);
		} else if (epte_present(old) && (old & EPTE_RWX) != prot) {
			while (!ept_replace(e, &old, (old & ~EPTE_RWX) | prot))
				;
			any = true;
		}
		gpa = next;
	}
	return any;
}

int ept_protect(struct ept *ept, gpa_t gpa, u64 len, unsigned int prot)
{
	int err;

	if (!ept_prot_ok(ept, prot))
		return -EINVAL;
	err = prepare_range(ept, gpa, len);
	return err ? err : protect_range(ept->root, EPT_LEVELS, gpa, gpa + len, prot);
}
