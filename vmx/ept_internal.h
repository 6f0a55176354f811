/* SPDX-License-Identifier: GPL-2.0-only */
/* The format of an entry, and the few ways in which the EPT code touches one. */
#ifndef VMX_EPT_INTERNAL_H
#define VMX_EPT_INTERNAL_H

#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "vmx/ept.h"

#define EPT_LEVELS     4 /* 4: root, 512 GiB an entry; 3: 1 GiB; 2: 2 MiB; 1: 4 KiB */
#define EPT_INDEX_BITS 9
#define EPT_ENTRIES    512
#define EPT_GPA_BITS   48

#define EPTE_RWX      7ull
#define EPTE_MEMTYPE  (7ull << 3)
#define EPTE_WB	      (6ull << 3)
#define EPTE_TABLE_0  (0xfull << 3) /* reserved in a table entry */
#define EPTE_LARGE    BIT(7)	    /* levels 3 and 2: a leaf, not a table */
#define EPTE_ACCESSED BIT(8)
#define EPTE_DIRTY    BIT(9)
#define EPTE_AD	      (EPTE_ACCESSED | EPTE_DIRTY)
#define EPTE_ADDR     0x000ffffffffff000ull

/*
 * What we keep in a table entry about the table it points to, in bits that hardware ignores there
 * (in a leaf some of them mean something): the first and the last group of entries that was ever
 * used, outside of which all is 0; and how many of the entries are table entries, where the largest
 * number means that many or any other. So a table need not be searched or cleared as a whole when
 * it goes and comes back.
 */
#define EPTE_FIRST_SHIFT  52
#define EPTE_LAST_SHIFT	  56
#define EPTE_TABLES_SHIFT 60
#define EPTE_GROUPS	  16
#define EPTE_GROUP	  (EPT_ENTRIES / EPTE_GROUPS) /* entries */
#define EPTE_FIRST	  (0xfull << EPTE_FIRST_SHIFT)
#define EPTE_LAST	  (0xfull << EPTE_LAST_SHIFT)
#define EPTE_ALL_GROUPS	  EPTE_LAST /* and the first is group 0 */
#define EPTE_ONE_TABLE	  (1ull << EPTE_TABLES_SHIFT)
#define EPTE_MANY_TABLES  15ull
#define EPTE_NOTES	  (0xfffull << EPTE_FIRST_SHIFT)

_Static_assert(EPT_ENTRIES == 1 << EPT_INDEX_BITS, "an index counts all entries");
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
	return PAGE_SHIFT + EPT_INDEX_BITS * (level - 1);
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
	return level > 1 && epte_present(entry) && !(entry & EPTE_LARGE);
}

static inline bool epte_is_leaf(u64 entry, unsigned int level)
{
	return epte_present(entry) && !epte_is_table(entry, level);
}

/* The table that a table entry points to, and the entry for a table: the leaf decides the rights.
 * @notes: EPTE_NOTES of the new entry. */
static inline ept_entry *epte_table(u64 entry)
{
	return phys_to_virt(entry & EPTE_ADDR);
}

static inline u64 epte_for_table(const ept_entry *table, u64 notes)
{
	return virt_to_phys((const void *)table) | EPTE_RWX | notes;
}

/* The entries that may be in use: from the first to the last. */
static inline unsigned int epte_first_used(u64 entry)
{
	return (unsigned int)((entry & EPTE_FIRST) >> EPTE_FIRST_SHIFT) * EPTE_GROUP;
}

static inline unsigned int epte_last_used(u64 entry)
{
	return (unsigned int)((entry & EPTE_LAST) >> EPTE_LAST_SHIFT) * EPTE_GROUP + EPTE_GROUP - 1;
}

/* The group that an entry of a table is in. */
static inline u64 ept_group(const ept_entry *e)
{
	return (uintptr_t)e / (EPTE_GROUP * sizeof(*e)) % EPTE_GROUPS;
}

/* EPTE_FIRST and EPTE_LAST of a table of which only this entry is used. */
static inline u64 epte_used_one(const ept_entry *e)
{
	return ept_group(e) << EPTE_FIRST_SHIFT | ept_group(e) << EPTE_LAST_SHIFT;
}

static inline unsigned int epte_nr_tables(u64 entry)
{
	return (unsigned int)(entry >> EPTE_TABLES_SHIFT);
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

/*
 * Store a new entry in the place of a hole, in which hardware sets nothing, or of one that goes
 * with whatever bits are in it: hardware, which sets them by a locked operation, does not bring it
 * back.
 */
static inline void ept_set(ept_entry *e, u64 new)
{
	EPT_STORING(e);
	atomic_store_explicit(e, new, memory_order_release);
	EPT_STORED(e);
}

/* Add to the notes of a table entry; the bits below them, where hardware sets one, stay. */
static inline void ept_add_notes(ept_entry *e, u64 notes)
{
	EPT_STORING(e);
	atomic_fetch_add_explicit(e, notes, memory_order_acq_rel);
	EPT_STORED(e);
}

/* One past the highest guest-physical address that can be mapped. */
static inline gpa_t ept_limit(const struct ept *ept)
{
	return ept->limit;
}

/* Rights that are no misconfiguration on this CPU, EPT_DIRTY aside. */
bool ept_prot_ok(const struct ept *ept, unsigned int prot);

/* The bits of a leaf that @prot stands for. */
u64 ept_rights(const struct ept *ept, unsigned int prot);

/* Whether a CPU with a leaf's @old rights could go on without noticing what @new takes away. */
static inline bool ept_takes_away(u64 old, u64 new)
{
	const u64 bits = EPTE_RWX | EPTE_DIRTY;

	return bits & old & ~new;
}

/* -EINVAL: not a range of pages, -ERANGE: beyond the address width, else 0. */
static inline int ept_check_range(const struct ept *ept, gpa_t gpa, u64 len)
{
	if (!IS_ALIGNED(gpa | len, PAGE_SIZE))
		return -EINVAL;
	return gpa > ept_limit(ept) || len > ept_limit(ept) - gpa ? -ERANGE : 0;
}

/* What becomes of leaves. */
struct ept_leaf_change {
	u64 clear, set;
};

/* Change one leaf, or a hole when nothing is set. Returns whether a flush is needed. */
static inline bool ept_change_leaf(ept_entry *e, const struct ept_leaf_change *c)
{
	u64 old = ept_load(e), new;

	do {
		new = (old & ~c->clear) | c->set;
		if (new == old)
			return false;
	} while (!ept_replace(e, &old, new));
	return ept_takes_away(old, new);
}

/* Change all leaves in a range, after a split at its ends. Returns as ept_protect(). */
int ept_change_range(struct ept *ept, gpa_t gpa, u64 len, const struct ept_leaf_change *c);

/* The entry that decides about a guest-physical address. */
struct ept_place {
	ept_entry *e;
	ept_entry *above; /* the entry that points to its table */
	unsigned int level;
};

/* Where the walk for @gpa begins. Who only looks casts nothing away: ept->top is never changed. */
static __always_inline struct ept_place ept_top(const struct ept *ept, gpa_t gpa)
{
	return (struct ept_place){ ept->root + ept_index(gpa, EPT_LEVELS), (ept_entry *)&ept->top,
				   EPT_LEVELS };
}

/* The entry for @gpa in the table of @level that @entry, stored at @above, points to. */
static __always_inline struct ept_place ept_place_below(ept_entry *above, u64 entry,
							unsigned int level, gpa_t gpa)
{
	return (struct ept_place){ epte_table(entry) + ept_index(gpa, level), above, level };
}

/*
 * The next step of it, if @at is a table entry. By the levels that the compiler knows, three steps
 * in a row are half as many instructions as a loop.
 */
static __always_inline bool ept_down(struct ept_place *at, gpa_t gpa)
{
	u64 entry = ept_load(at->e);

	if (!epte_is_table(entry, at->level))
		return false;
	*at = ept_place_below(at->e, entry, at->level - 1, gpa);
	return true;
}

/* The first entry on the way down from the root that is not a table, or the one at level @stop. */
static inline struct ept_place ept_find(const struct ept *ept, gpa_t gpa, unsigned int stop)
{
	struct ept_place at = ept_top(ept, gpa);

	if (stop < 4 && ept_down(&at, gpa) && stop < 3 && ept_down(&at, gpa) && stop < 2)
		ept_down(&at, gpa);
	return at;
}

/*
 * Put tables in the place of @at, a large leaf that covers @gpa, down to level @to. All addresses
 * translate as before, except that @leaf, unless 0, becomes @gpa's entry at level @to. One store
 * makes it visible. Returns 0 or -ENOMEM (nothing was changed).
 */
int ept_split(struct ept *ept, const struct ept_place *at, gpa_t gpa, unsigned int to, u64 leaf);

/* --- ept_pages.c ------------------------------------------------------------------------------ */

#define EPT_MAX_CACHED 32 /* tables: 128 KiB */

/*
 * A node of a list of tables. Not in the tables themselves: a CPU that has not flushed yet may walk
 * them. There is a node for every table, so that one is there when memory is not.
 */
struct ept_unlinked {
	struct ept_unlinked *next;
	u64 entry; /* a table entry, with the level of the table's entries in place of the rights */
};

/* Always succeeds. */
static inline struct ept_unlinked *ept_node_get(struct ept *ept)
{
	struct ept_unlinked *node = ept->nodes;

	ept->nodes = node->next;
	return node;
}

static inline void ept_node_put(struct ept *ept, struct ept_unlinked *node)
{
	node->next = ept->nodes;
	ept->nodes = node;
}

/*
 * Put a subtree on the unlinked list. @entry: a table entry of @level that was just replaced;
 * @above: the entry that points to the table it was in.
 */
static inline void ept_unlink(struct ept *ept, ept_entry *above, u64 entry, unsigned int level)
{
	ept->nr_unlinks++;
	struct ept_unlinked *node = ept_node_get(ept);

	node->entry = (entry & ~EPTE_RWX) | (level - 1);
	node->next = ept->unlinked;
	ept->unlinked = node;
	if (epte_nr_tables(ept_load(above)) != EPTE_MANY_TABLES)
		ept_add_notes(above, -EPTE_ONE_TABLE);
}

/* A table, cleared if @zeroed, else with anything in it. NULL: out of memory. */
ept_entry *ept_table_get(struct ept *ept, bool zeroed);

/* Keep a table that no CPU uses, with the node that says which it is and what was used of it. */
static inline void ept_table_keep(struct ept *ept, struct ept_unlinked *node)
{
	node->next = ept->cache;
	ept->cache = node;
	ept->nr_cached++;
	ept->nr_tables--;
}

/* The same, but give it back to the page allocator when enough are kept. */
void ept_table_put_node(struct ept *ept, struct ept_unlinked *node);

/* The same for a table that is on no list. @entry: a table entry. */
static inline void ept_table_put(struct ept *ept, u64 entry)
{
	struct ept_unlinked *node = ept_node_get(ept);

	node->entry = entry;
	ept_table_put_node(ept, node);
}

/* Free all that is kept in reserve. */
void ept_pages_destroy(struct ept *ept);

#endif
