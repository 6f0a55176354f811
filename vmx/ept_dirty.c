/* SPDX-License-Identifier: GPL-2.0-only */
/* Arming leaves so that the next write to a page is noticed: by the dirty bit or by a fault. */
#include "hv/host/errno.h"
#include "vmx/controls.h"
#include "vmx/ept_internal.h"

bool ept_has_dirty(const struct ept *ept)
{
	return ept->eptp & EPTP_AD;
}

static bool how_ok(const struct ept *ept, enum ept_log how)
{
	return how == EPT_LOG_PROTECT || (how == EPT_LOG_DIRTY && ept_has_dirty(ept));
}

/* What arming takes away from a leaf. */
static struct ept_leaf_change arming(enum ept_log how)
{
	return (struct ept_leaf_change){ .clear = how == EPT_LOG_DIRTY ? EPTE_DIRTY : EPT_WRITE };
}

/* Have only leaves of 4 KiB in [gpa, end). */
static int split_range(struct ept *ept, gpa_t gpa, gpa_t end)
{
	while (gpa < end) {
		struct ept_place at = ept_find(ept, gpa, 1);
		unsigned int level = at.level;

		if (level > 1 && epte_present(ept_load(at.e))) {
			if (ept_split(ept, &at, gpa, 1, 0))
				return -ENOMEM;
			level = 1;
		}
		if (level == 1)
			level = 2; /* the whole table has leaves of 4 KiB */
		gpa = ALIGN_DOWN(gpa, ept_span(level)) + ept_span(level);
	}
	return 0;
}

int ept_log_dirty(struct ept *ept, gpa_t gpa, u64 len, enum ept_log how)
{
	const struct ept_leaf_change c = arming(how);
	int err;

	if (!how_ok(ept, how))
		return -EINVAL;
	err = ept_check_range(ept, gpa, len);
	if (!err)
		err = split_range(ept, gpa, gpa + len);
	return err ? err : ept_change_range(ept, gpa, len, &c);
}

/* The table of 4 KiB leaves with @gpa's entry, NULL for a hole; a large leaf is split. */
static int leaf_table(struct ept *ept, gpa_t gpa, ept_entry **table)
{
	struct ept_place at = ept_find(ept, gpa, 1);

	*table = NULL;
	if (at.level > 1) {
		if (!epte_present(ept_load(at.e)))
			return 0;
		if (ept_split(ept, &at, gpa, 1, 0))
			return -ENOMEM;
		at = ept_find(ept, gpa, 1);
	}
	*table = at.e - ept_index(gpa, 1);
	return 0;
}

static int rearm(struct ept *ept, gpa_t gpa, u64 pages, const struct ept_leaf_change *c)
{
	ept_entry *table = NULL;
	bool stale = false;
	gpa_t base = 0;

	for (; pages; pages &= pages - 1) {
		gpa_t page = gpa + ((u64)__builtin_ctzll(pages) << PAGE_SHIFT);

		if (!table || page - base >= EPT_SIZE_2M) {
			if (leaf_table(ept, page, &table))
				return -ENOMEM;
			base = ALIGN_DOWN(page, EPT_SIZE_2M);
		}
		if (table)
			stale |= ept_change_leaf(&table[ept_index(page, 1)], c);
	}
	return stale;
}

int ept_rearm(struct ept *ept, gpa_t gpa, u64 pages, enum ept_log how)
{
	const struct ept_leaf_change c = arming(how);
	u64 last = pages ? 64 - (u64)__builtin_clzll(pages) : 0;
	int err = how_ok(ept, how) ? ept_check_range(ept, gpa, last << PAGE_SHIFT) : -EINVAL;

	return err ? err : rearm(ept, gpa, pages, &c);
}
