/* SPDX-License-Identifier: GPL-2.0-only */
/* Walking extended page tables as hardware does. */
#include "hv/host/errno.h"
#include "vmx/controls.h"
#include "vmx/ept_internal.h"

int ept_lookup(const struct ept *ept, gpa_t gpa, struct ept_mapping *out)
{
	struct ept_place at;
	u64 entry;

	*out = (struct ept_mapping){ 0 };
	if (gpa >= ept_limit(ept))
		return -ERANGE;
	at = ept_find(ept, gpa, 1);
	entry = ept_load(at.e);
	out->size = ept_span(at.level);
	if (!epte_present(entry))
		return -ENOENT;
	out->hpa = (entry & EPTE_ADDR) + (gpa & (ept_span(at.level) - 1));
	out->prot = entry & EPTE_RWX;
	out->accessed = entry & EPTE_ACCESSED;
	out->dirty = entry & EPTE_DIRTY;
	return 0;
}

static const char *leaf_rule(const struct ept *ept, u64 entry, unsigned int level)
{
	u64 type = (entry & EPTE_MEMTYPE) >> 3;

	if (level == 4 || (level == 3 && !(ept->caps & EPT_CAP_1G)) ||
	    (level == 2 && !(ept->caps & EPT_CAP_2M)))
		return "this CPU has no leaf of that size (bit 7)";
	if (type == 2 || type == 3 || type == 7)
		return "memory type 2, 3 or 7";
	if (entry & EPTE_ADDR & (ept_span(level) - 1))
		return "low address bits of a large leaf must be 0";
	return NULL;
}

/* The rule that a present entry breaks, or NULL. */
static const char *entry_rule(const struct ept *ept, u64 entry, unsigned int level)
{
	if (!ept_prot_ok(ept, entry & EPTE_RWX))
		return entry & EPT_WRITE ? "write without read" : "execute-only is not supported";
	if (entry & EPTE_ADDR & ~(BIT(ept->phys_bits) - 1))
		return "the address exceeds the physical-address width";
	if (!epte_is_table(entry, level))
		return leaf_rule(ept, entry, level);
	return entry & EPTE_TABLE_0 ? "bits 6:3 of a table entry must be 0" : NULL;
}

const char *ept_misconfigured(const struct ept *ept, gpa_t gpa, u64 *entry)
{
	ept_entry *table = ept->root;
	const char *rule;

	if (gpa >> EPT_GPA_BITS)
		return NULL;
	for (unsigned int level = EPT_LEVELS;; level--) {
		*entry = ept_load(&table[ept_index(gpa, level)]);
		rule = epte_present(*entry) ? entry_rule(ept, *entry, level) : NULL;
		if (rule || !epte_is_table(*entry, level))
			return rule;
		table = epte_table(*entry);
	}
}

u64 ept_largest(const struct ept *ept, gpa_t gpa, hpa_t hpa, u64 left)
{
	if (ept->caps & EPT_CAP_1G && IS_ALIGNED(gpa | hpa, EPT_SIZE_1G) && left >= EPT_SIZE_1G)
		return EPT_SIZE_1G;
	if (ept->caps & EPT_CAP_2M && IS_ALIGNED(gpa | hpa, EPT_SIZE_2M) && left >= EPT_SIZE_2M)
		return EPT_SIZE_2M;
	return EPT_SIZE_4K;
}
