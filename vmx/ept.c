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
	/* Notes that stay true whatever becomes of the root. */
	ept->top =
		epte_for_table(ept->root, EPTE_ALL_GROUPS | EPTE_MANY_TABLES << EPTE_TABLES_SHIFT);
	ept->eptp = virt_to_phys((void *)ept->root) | EPTP_WB | EPTP_WALK_4;
	if (caps & EPT_CAP_AD)
		ept->eptp |= EPTP_AD;
	ept->caps = caps;
	ept->phys_bits = phys_bits;
	ept->limit = BIT(min_u64(phys_bits, EPT_GPA_BITS));
	ept->nr_tables = 1;
	return 0;
}

bool ept_prot_ok(const struct ept *ept, unsigned int prot)
{
	if (prot & ~(unsigned int)(EPT_RWX | EPT_DIRTY))
		return false;
	if (prot & EPT_READ)
		return true;
	return (prot & EPT_RWX) == EPT_EXEC && ept->caps & EPT_CAP_EXEC_ONLY;
}

u64 ept_rights(const struct ept *ept, unsigned int prot)
{
	return (prot & EPTE_RWX) | (prot & EPT_DIRTY && ept->eptp & EPTP_AD ? EPTE_AD : 0);
}

/* Fill a table of @level so that it translates as @old, a leaf that it will replace, does. */
static void fill_table(ept_entry *table, u64 old, unsigned int level)
{
	u64 leaf = level > 1 ? old : old & ~EPTE_LARGE, span = ept_span(level);

	for (unsigned int i = 0; i < EPT_ENTRIES; i++, leaf += span)
		atomic_store_explicit(&table[i], leaf, memory_order_relaxed);
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

/* The entry for a new table of @level, all of which is used, on the way down to level @to. */
static u64 entry_for_full(const ept_entry *table, unsigned int level, unsigned int to)
{
	return epte_for_table(table, EPTE_ALL_GROUPS | (level > to ? EPTE_ONE_TABLE : 0));
}

/*
 * Fill @tables[], one for each level below @level down to @to, none of which is visible yet, so
 * that they can replace the leaf @old. Returns the entry for the topmost.
 */
static u64 split_leaf(const struct ept *ept, ept_entry *const *tables, unsigned int level, u64 old,
		      gpa_t gpa, unsigned int to, u64 leaf)
{
	u64 top = entry_for_full(tables[level - 1], level - 1, to);

	while (level-- > to) {
		ept_entry *slot = &tables[level][ept_index(gpa, level)];
		u64 new = leaf;

		fill_table(tables[level], old, level);
		old = atomic_load_explicit(slot, memory_order_relaxed);
		if (level > to)
			new = entry_for_full(tables[level - 1], level - 1, to);
		else if (leaf)
			new |= inherited(ept, old, leaf, level);
		if (new)
			atomic_store_explicit(slot, new, memory_order_relaxed);
	}
	return top;
}

/*
 * Note, before it does, that an entry comes into use: too much may be noted, but never too little.
 */
static void note_group(ept_entry *above, const ept_entry *e)
{
	u64 one = epte_used_one(e), old = ept_load(above), noted;

	do {
		noted = old;
		if ((noted & EPTE_FIRST) > (one & EPTE_FIRST))
			noted = (noted & ~EPTE_FIRST) | (one & EPTE_FIRST);
		if ((noted & EPTE_LAST) < (one & EPTE_LAST))
			noted = (noted & ~EPTE_LAST) | (one & EPTE_LAST);
	} while (!ept_replace(above, &old, noted));
}

/* Whether that has been done before. */
static inline bool is_noted(const struct ept_place *at)
{
	u64 group = ept_group(at->e), notes = ept_load(at->above) >> EPTE_FIRST_SHIFT;

	return group >= notes % EPTE_GROUPS && group <= notes / EPTE_GROUPS % EPTE_GROUPS;
}

/* The same for one that becomes a table entry. */
static void note_table(const struct ept_place *at)
{
	if (!is_noted(at))
		note_group(at->above, at->e);
	if (epte_nr_tables(ept_load(at->above)) != EPTE_MANY_TABLES)
		ept_add_notes(at->above, EPTE_ONE_TABLE);
}

/* The tables of a path, or none of them. */
static bool get_tables(struct ept *ept, ept_entry **tables, unsigned int level, unsigned int to)
{
	for (unsigned int l = to; l < level; l++) {
		tables[l] = ept_table_get(ept, false);
		if (tables[l])
			continue;
		while (l-- > to)
			ept_table_put(ept, epte_for_table(tables[l], EPTE_ALL_GROUPS));
		return false;
	}
	return true;
}

int ept_split(struct ept *ept, const struct ept_place *at, gpa_t gpa, unsigned int to, u64 leaf)
{
	ept_entry *tables[EPT_LEVELS] = { NULL }; /* by level */
	u64 old = ept_load(at->e), new;

	if (!get_tables(ept, tables, at->level, to))
		return -ENOMEM;
	note_table(at);
	do {
		new = split_leaf(ept, tables, at->level, old, gpa, to, leaf);
	} while (!ept_replace(at->e, &old, new));
	return 0;
}

/*
 * Give back the tables of a path that was not linked. @entry: for the topmost, which is of @level.
 */
static void put_path(struct ept *ept, u64 entry, gpa_t gpa, unsigned int level, unsigned int to)
{
	for (; level >= to; level--) {
		u64 below = ept_load(epte_table(entry) + ept_index(gpa, level));

		ept_table_put(ept, entry);
		entry = below;
	}
}

/*
 * New tables with nothing in them but the way down to @leaf, which is @gpa's entry at level @to.
 * Returns the entry of @level for it, or 0 when there is no memory.
 */
static u64 build_path(struct ept *ept, gpa_t gpa, unsigned int level, unsigned int to, u64 leaf)
{
	u64 entry = leaf;

	for (unsigned int l = to; l < level; l++) {
		ept_entry *table = ept_table_get(ept, true), *e;

		if (!table) {
			put_path(ept, entry, gpa, l - 1, to);
			return 0;
		}
		e = table + ept_index(gpa, l);
		atomic_store_explicit(e, entry, memory_order_relaxed);
		entry = epte_for_table(table, epte_used_one(e) | (l > to ? EPTE_ONE_TABLE : 0));
	}
	return entry;
}

/* The level whose leaves have @size, or 0 when there is none on this CPU. */
static inline unsigned int leaf_level(const struct ept *ept, u64 size)
{
	if (size == EPT_SIZE_4K)
		return 1;
	if (size == EPT_SIZE_2M && ept->caps & EPT_CAP_2M)
		return 2;
	if (size == EPT_SIZE_1G && ept->caps & EPT_CAP_1G)
		return 3;
	return 0;
}

/* Whether a CPU that still uses @old does what @new does not allow, or leaves a bit unset. */
static bool is_stale(u64 old, u64 new, unsigned int level)
{
	if (epte_is_table(old, level) || (old ^ new) & EPTE_ADDR)
		return true;
	return ept_takes_away(old, new);
}

/* Put @leaf in the place of a leaf or a table. */
static noinline int replace_entry(struct ept *ept, struct ept_place at, u64 leaf)
{
	u64 old = ept_load(at.e), new;

	do {
		new = leaf | inherited(ept, old, leaf, at.level);
		if (new == old)
			return 0;
	} while (!ept_replace(at.e, &old, new));
	if (epte_is_table(old, at.level))
		ept_unlink(ept, at.above, old, at.level);
	return is_stale(old, new, at.level);
}

static noinline int split_and_map(struct ept *ept, struct ept_place at, gpa_t gpa, unsigned int to,
				  u64 leaf)
{
	return ept_split(ept, &at, gpa, to, leaf) ? -ENOMEM : 1;
}

static noinline int map_under_hole(struct ept *ept, struct ept_place at, gpa_t gpa, unsigned int to,
				   u64 leaf)
{
	u64 entry = build_path(ept, gpa, at.level, to, leaf);

	if (!entry)
		return -ENOMEM;
	note_table(&at);
	ept_set(at.e, entry);
	return 0;
}

/* What ept_map() rarely does is out of line: the rest of it needs no stack frame then. */
static noinline int map_in_new_group(struct ept_place at, u64 leaf)
{
	note_group(at.above, at.e);
	ept_set(at.e, leaf);
	return 0;
}

int ept_map(struct ept *ept, gpa_t gpa, hpa_t hpa, u64 size, unsigned int prot)
{
	unsigned int to = leaf_level(ept, size);
	struct ept_place at;
	u64 leaf;

	if (!to || !IS_ALIGNED(gpa | hpa, size) || !ept_prot_ok(ept, prot))
		return -EINVAL;
	if (gpa >= ept_limit(ept) || hpa >> ept->phys_bits)
		return -ERANGE;
	leaf = hpa | EPTE_WB | ept_rights(ept, prot) | (to > 1 ? EPTE_LARGE : 0);
	at = ept_find(ept, gpa, to);
	if (epte_present(ept_load(at.e)))
		return at.level == to ? replace_entry(ept, at, leaf)
				      : split_and_map(ept, at, gpa, to, leaf);
	if (at.level > to)
		return map_under_hole(ept, at, gpa, to, leaf);
	if (!is_noted(&at))
		return map_in_new_group(at, leaf);
	ept_set(at.e, leaf);
	return 0;
}

/* Returns whether it is there, and @gpa's entry in a part of it that is in use. */
static noinline bool find_table(const struct ept *ept, gpa_t gpa, struct ept_hint *hint)
{
	struct ept_place at = ept_find(ept, gpa, 1);
	u64 above = ept_load(at.above);

	if (at.level != 1 || !is_noted(&at))
		return false;
	hint->region = gpa / EPT_SIZE_2M + 1;
	hint->nr_unlinks = ept->nr_unlinks;
	hint->table = at.e - ept_index(gpa, 1);
	hint->first = hint->table + epte_first_used(above);
	hint->last = hint->table + epte_last_used(above);
	return true;
}

/* Also of a hint that is empty, to which nothing may be added as to a pointer. */
static inline ept_entry *hinted_entry(const struct ept_hint *hint, gpa_t gpa)
{
	return (ept_entry *)((uintptr_t)hint->table + ept_index(gpa, 1) * sizeof(ept_entry));
}

int ept_map_page(struct ept *ept, gpa_t gpa, hpa_t hpa, unsigned int prot, struct ept_hint *hint)
{
	ept_entry *e = hinted_entry(hint, gpa);

	if (unlikely(!ept_hinted(hint, gpa) || hint->nr_unlinks != ept->nr_unlinks ||
		     e < hint->first || e > hint->last)) {
		if (!find_table(ept, gpa, hint))
			return -EEXIST;
		e = hinted_entry(hint, gpa);
	}
	if (unlikely(epte_present(ept_load(e))))
		return -EEXIST;
	ept_set(e, hpa | EPTE_WB | ept_rights(ept, prot));
	return 0;
}
