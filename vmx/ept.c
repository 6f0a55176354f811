/* SPDX-License-Identifier: GPL-2.0-only */
/* Making extended page tables and mapping into them. */
#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "vmx/controls.h"
#include "vmx/ept_internal.h"

int ept_init(struct ept *ept, u64 caps, unsigned int phys_bits)
{
	const u64 needed = EPT_CAP_WALK_4 | EPT_CAP_WB;

	memset(ept, 0, sizeof(*ept));
	if ((caps & needed) != needed)
		return -EOPNOTSUPP;
	ept->root = page_alloc(0, PAGE_ZERO);
	if (!ept->root)
		return -ENOMEM;
	ept->eptp = virt_to_phys((void *)ept->root) | EPTP_WB | EPTP_WALK_4;
	if (caps & EPT_CAP_AD)
		ept->eptp |= EPTP_AD;
	ept->caps = caps;
	ept->phys_bits = phys_bits;
	ept->nr_tables = 1;
	return 0;
}

void ept_destroy(struct ept *ept)
{
	ept_free_unlinked(ept);
	if (ept->root)
		ept_free_subtree(ept->root, EPT_LEVELS);
	memset(ept, 0, sizeof(*ept));
}

bool ept_prot_ok(const struct ept *ept, unsigned int prot)
{
	if (!prot || prot & ~(unsigned int)EPT_RWX)
		return false;
	if (prot & EPT_READ)
		return true;
	return prot == EPT_EXEC && ept->caps & EPT_CAP_EXEC_ONLY;
}

/* Fill a new table of @level so that it translates as @old, the entry it will replace, does. */
static void fill_table(ept_entry *table, u64 old, unsigned int level)
{
	u64 leaf = level > 1 ? old : old & ~EPTE_LARGE;

	if (!epte_present(old)) {
		memset((void *)table, 0, PAGE_SIZE);
		return;
	}
	for (unsigned int i = 0; i < EPT_ENTRIES; i++)
		atomic_store_explicit(&table[i], leaf + i * ept_span(level), memory_order_relaxed);
}

/*
 * The accessed and dirty bits that a new @leaf starts with in the place of @old: those of the same
 * frame; both where a table was, since CPUs may still be setting them in it.
 */
static u64 inherited(const struct ept *ept, u64 old, u64 leaf, unsigned int level)
{
	if (epte_is_table(old, level))
		return ept->eptp & EPTP_AD ? EPTE_AD : 0;
	if (epte_present(old) && (old & EPTE_ADDR) == (leaf & EPTE_ADDR))
		return old & EPTE_AD;
	return 0;
}

/* Fill @tables[], one for each level below @level down to @to, none of which is visible yet. */
static void build_path(const struct ept *ept, ept_entry *const *tables, unsigned int level, u64 old,
		       gpa_t gpa, unsigned int to, u64 leaf)
{
	while (level-- > to) {
		ept_entry *slot = &tables[level][ept_index(gpa, level)];

		fill_table(tables[level], old, level);
		old = atomic_load_explicit(slot, memory_order_relaxed);
		if (level > to)
			atomic_store_explicit(slot, epte_for_table(tables[level - 1]),
					      memory_order_relaxed);
		else if (leaf)
			atomic_store_explicit(slot, leaf | inherited(ept, old, leaf, level),
					      memory_order_relaxed);
	}
}

int ept_graft(struct ept *ept, ept_entry *e, unsigned int level, gpa_t gpa, unsigned int to,
	      u64 leaf)
{
	ept_entry *tables[EPT_LEVELS] = { NULL }; /* by level */
	u64 old = ept_load(e);

	for (unsigned int l = to; l < level; l++) {
		tables[l] = page_alloc(0, 0);
		if (tables[l])
			continue;
		while (l-- > to)
			page_free((void *)tables[l], 0);
		return -ENOMEM;
	}
	do {
		build_path(ept, tables, level, old, gpa, to, leaf);
	} while (!ept_replace(e, &old, epte_for_table(tables[level - 1])));
	ept->nr_tables += level - to;
	return 0;
}

/* The level whose leaves have @size, or 0 when there is none on this CPU. */
static unsigned int leaf_level(const struct ept *ept, u64 size)
{
	if (size == EPT_SIZE_4K)
		return 1;
	if (size == EPT_SIZE_2M && ept->caps & EPT_CAP_2M)
		return 2;
	if (size == EPT_SIZE_1G && ept->caps & EPT_CAP_1G)
		return 3;
	return 0;
}

/* Put @leaf in the place of whatever @e, of @level, holds. */
static int replace_entry(struct ept *ept, ept_entry *e, unsigned int level, u64 leaf)
{
	u64 old = ept_load(e), new;

	do {
		new = leaf | inherited(ept, old, leaf, level);
		if (new == old)
			return 0;
	} while (!ept_replace(e, &old, new));
	if (epte_is_table(old, level))
		ept_unlink(ept, old, level);
	return epte_present(old);
}

int ept_map(struct ept *ept, gpa_t gpa, hpa_t hpa, u64 size, unsigned int prot)
{
	unsigned int to = leaf_level(ept, size), level;
	u64 leaf = hpa | EPTE_WB | prot | (to > 1 ? EPTE_LARGE : 0);
	ept_entry *e;
	bool present;
	int err;

	if (!to || !IS_ALIGNED(gpa | hpa, size) || !ept_prot_ok(ept, prot))
		return -EINVAL;
	if (gpa >= ept_limit(ept) || hpa >> ept->phys_bits)
		return -ERANGE;
	e = ept_find(ept, gpa, to, &level);
	if (level == to)
		return replace_entry(ept, e, level, leaf);
	present = epte_present(ept_load(e));
	err = ept_graft(ept, e, level, gpa, to, leaf);
	return err ? err : present;
}
