/* SPDX-License-Identifier: GPL-2.0-only */
/* The format of an entry, and the few ways in which the EPT code touches one. */
#ifndef VMX_EPT_INTERNAL_H
#define VMX_EPT_INTERNAL_H

#include "hv/host/mem.h"
#include "vmx/ept.h"

#define EPT_LEVELS   4 /* 4: root, 512 GiB an entry; 3: 1 GiB; 2: 2 MiB; 1: 4 KiB */
#define EPT_ENTRIES  512
#define EPT_GPA_BITS 48

#define EPTE_RWX      7ull
#define EPTE_MEMTYPE  (7ull << 3)
#define EPTE_WB	      (6ull << 3)
#define EPTE_TABLE_0  (0xfull << 3) /* reserved in a table entry */
#define EPTE_LARGE    BIT(7)	    /* levels 3 and 2: a leaf, not a table */
#define EPTE_ACCESSED BIT(8)
#define EPTE_DIRTY    BIT(9)
#define EPTE_AD	      (EPTE_ACCESSED | EPTE_DIRTY)
#define EPTE_ADDR     0x000ffffffffff000ull

_Static_assert(EPT_ENTRIES * sizeof(ept_entry) == PAGE_SIZE, "a table is one page");
_Static_assert(EPTE_RWX == EPT_RWX, "rights are stored as they are");

/*
 * Hooks around every store to a table that hardware may be walking. The unit test, which includes
 * the sources, looks at memory after each store and plays hardware before it; elsewhere they are
 * nothing.
 */
#ifndef EPT_STORING
#define EPT_STORING(e) ((void)0)
#define EPT_STORED(e)  ((void)0)
#endif

static inline unsigned int ept_shift(unsigned int level)
{
	return PAGE_SHIFT + 9 * (level - 1);
}

/* What one entry of a level covers, in bytes. */
static inline u64 ept_span(unsigned int level)
{
	return BIT(ept_shift(level));
}

static inline unsigned int ept_index(gpa_t gpa, unsigned int level)
{
	return gpa >> ept_shift(level) & (EPT_ENTRIES - 1);
}

static inline bool epte_present(u64 entry)
{
	return entry & EPTE_RWX;
}

static inline bool epte_is_table(u64 entry, unsigned int level)
{
	return epte_present(entry) && level > 1 && !(entry & EPTE_LARGE);
}

static inline bool epte_is_leaf(u64 entry, unsigned int level)
{
	return epte_present(entry) && !epte_is_table(entry, level);
}

/* The table that a table entry points to, and the entry for a table: the leaf decides the rights.
 */
static inline ept_entry *epte_table(u64 entry)
{
	return phys_to_virt(entry & EPTE_ADDR);
}

static inline u64 epte_for_table(const ept_entry *table)
{
	return virt_to_phys((const void *)table) | EPTE_RWX;
}

static inline u64 ept_load(const ept_entry *e)
{
	return atomic_load_explicit(e, memory_order_acquire);
}

/*
 * Replace *@old by @new if hardware has not changed the entry meanwhile (it only ever sets accessed
 * and dirty bits); otherwise returns false with *@old = what is there now.
 */
static inline bool ept_replace(ept_entry *e, u64 *old, u64 new)
{
	bool done;

	EPT_STORING(e);
	done = atomic_compare_exchange_strong_explicit(e, old, new, memory_order_acq_rel,
						       memory_order_acquire);
	if (done)
		EPT_STORED(e);
	return done;
}

/* One past the highest guest-physical address that can be mapped. */
static inline gpa_t ept_limit(const struct ept *ept)
{
	return BIT(min_u64(ept->phys_bits, EPT_GPA_BITS));
}

/* Rights that are no misconfiguration on this CPU. */
bool ept_prot_ok(const struct ept *ept, unsigned int prot);

/*
 * The entry that decides about @gpa: the first on the way down from the root that is not a table,
 * or the one at level @stop. *@level says where it is.
 */
ept_entry *ept_find(const struct ept *ept, gpa_t gpa, unsigned int stop, unsigned int *level);

/*
 * Put tables under *@e, a hole or a large leaf of @level that covers @gpa, down to level @to. All
 * addresses translate as before, except that @leaf, unless 0, becomes @gpa's entry at level @to.
 * One store makes it visible. Returns 0 or -ENOMEM (nothing was changed).
 */
int ept_graft(struct ept *ept, ept_entry *e, unsigned int level, gpa_t gpa, unsigned int to,
	      u64 leaf);

/* Put a subtree that a just replaced @entry of @level pointed to on the unlinked list. */
void ept_unlink(struct ept *ept, u64 entry, unsigned int level);

/* Free a table with everything below it; its entries are of @level. Returns the number of pages. */
u64 ept_free_subtree(ept_entry *table, unsigned int level);

#endif
