/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Extended page tables: building, changing and walking them.
 *
 * Every update of a linked table is a single atomic 64-bit store of a complete entry, children
 * before parents, so that hardware walking the tables at any moment sees the old or the new
 * translation and never a malformed one. Nothing here flushes: functions that can leave a stale
 * translation in a TLB say so, and the caller (who knows which CPUs run the VM) advances the flush
 * generation and kicks. Table pages that were unlinked are collected on a list, still translating
 * as before for a CPU that has cached a pointer to them, until the caller takes the list
 * (ept_detach_unlinked()), flushes, and has it freed (ept_free_detached()).
 *
 * Taking away what one entry or a few cover costs the same whatever is below them: a subtree goes
 * with one store, and is neither searched nor cleared then. A table that is freed is kept for the
 * next one that is wanted, which clears what was used of it.
 *
 * Every function but the ones that only look must be serialised with the others by the caller.
 *
 * Accessed and dirty bits: with EPT_CAP_AD hardware sets them at any time, also between our reading
 * an entry and storing it. Where an entry takes the place of another, that is therefore done by
 * compare-and-exchange, so that a bit set in between is carried over by a split or a change of
 * rights. Removing a mapping is a plain store, and its bits go with it; no store here is a barrier,
 * which the advance of the flush generation is. What a CPU marks dirty through a stale translation
 * after an unmap or the replacement of a table lands in memory that is no longer looked at: whoever
 * tracks dirty pages must take an unmapped range as dirty, and a leaf that replaces a table starts
 * out dirty for the same reason.
 */
#ifndef VMX_EPT_H
#define VMX_EPT_H

#include "hv/host/types.h"

enum ept_prot {
	EPT_READ = 1,
	EPT_WRITE = 2,
	EPT_EXEC = 4,
	EPT_RWX = 7,
	/*
	 * Not a right: the leaf starts out accessed and dirty, so that the CPU has no bit to set
	 * and nothing to log. Ignored on a CPU without accessed and dirty flags.
	 */
	EPT_DIRTY = 8,
};

/* How a write to a page is noticed. */
enum ept_log {
	EPT_LOG_PROTECT, /* its leaf has no write permission: the write faults */
	EPT_LOG_DIRTY, /* the dirty bit of its leaf is clear: the CPU sets it, and logs it (PML) */
};

#define EPT_SIZE_4K PAGE_SIZE
#define EPT_SIZE_2M (1ul << 21)
#define EPT_SIZE_1G (1ul << 30)

typedef _Atomic u64 ept_entry;

struct ept_unlinked; /* a list of subtrees that were taken out */

struct ept {
	ept_entry *root;
	ept_entry top; /* a table entry for the root, as if it were below another table */
	hpa_t eptp;    /* the EPTP value: root, memory type, walk length, A/D */
	u64 caps;      /* IA32_VMX_EPT_VPID_CAP */
	unsigned int phys_bits;
	gpa_t limit;   /* one past the highest address that can be mapped */
	u64 nr_tables; /* table pages linked or waiting to be freed, with the root */
	struct ept_unlinked *unlinked; /* since the last ept_detach_unlinked() */
	u64 nr_unlinks;		       /* tables taken out, ever */

	/* vmx/ept_pages.c */
	struct ept_unlinked *cache; /* free tables */
	unsigned int nr_cached;
	struct ept_unlinked *nodes; /* list nodes that are free */
	u64 nr_nodes;		    /* all there are: no fewer than tables that can need one */
	void *node_pages;
};

struct ept_mapping {
	hpa_t hpa;	   /* of @gpa itself; 0 when nothing is mapped */
	u64 size;	   /* EPT_SIZE_*; for a hole what its entry covers, up to 512 GiB */
	unsigned int prot; /* enum ept_prot; 0: not present */
	bool accessed, dirty;
};

/**
 * ept_init - an empty table
 * @ept: out
 * @caps: IA32_VMX_EPT_VPID_CAP; decides 2M/1G leaves, execute-only and A/D
 * @phys_bits: physical-address width in bits, 32..52; hpas beyond it are refused, and gpas beyond
 *	       it or beyond the 48 bits of a 4-level walk
 *
 * Returns 0, -EOPNOTSUPP (no 4-level walk or no write-back), -ENOMEM.
 */
int ept_init(struct ept *ept, u64 caps, unsigned int phys_bits);

/**
 * ept_destroy - free all table pages, unlinked ones too
 *
 * No CPU may use the table any more, and lists that were detached have been freed.
 */
void ept_destroy(struct ept *ept);

/**
 * ept_map - map one leaf
 * @gpa, @hpa: multiples of @size
 * @size: EPT_SIZE_4K, _2M or _1G
 * @prot: enum ept_prot, some right; write without read is a misconfiguration and refused, and so is
 *	  execute without read on a CPU without EPT_CAP_EXEC_ONLY
 *
 * One store makes the change visible, whatever was there before. A larger leaf in the way is split
 * (its other parts keep their translation). A smaller table in the way is replaced as a whole and
 * goes to the unlinked list. A leaf that maps the same frame as before keeps its accessed and dirty
 * bits. @prot may include EPT_DIRTY.
 *
 * Returns 1 when a CPU may have cached a translation that is wrong now (flush); 0 when nothing was
 * mapped before, nothing changed, or the same frame only got further rights: a CPU that still has
 * the lesser ones faults once more, and whoever handles the fault finds nothing to do. -EINVAL
 * (alignment, size or prot, size not supported by the CPU), -ERANGE (beyond the address width),
 * -ENOMEM (nothing was changed).
 */
int ept_map(struct ept *ept, gpa_t gpa, hpa_t hpa, u64 size, unsigned int prot);

/* Where the table of a page was found the last time: for as long as no table is taken out. */
struct ept_hint {
	u64 region; /* gpa / 2 MiB + 1; 0: none */
	u64 nr_unlinks;
	ept_entry *table, *first, *last; /* what is noted to be in use of it */
};

/* Whether @gpa's table, if it has one, was seen by @hint; and note that it has one. */
static inline bool ept_hinted(const struct ept_hint *hint, gpa_t gpa)
{
	return hint->region == gpa / EPT_SIZE_2M + 1;
}

static inline void ept_hint_at(struct ept_hint *hint, gpa_t gpa)
{
	hint->region = gpa / EPT_SIZE_2M + 1;
	hint->first = (ept_entry *)~0ul; /* look for it then */
}

/**
 * ept_map_page - ept_map() for a page of 4 KiB where its table is and nothing is mapped
 * @gpa: any address in the page, below ept->limit
 * @prot: has been good for ept_map() before
 * @hint: zeroed at first; for this table only
 *
 * Returns 0; -EEXIST: it is not like that, nothing was done.
 */
int ept_map_page(struct ept *ept, gpa_t gpa, hpa_t hpa, unsigned int prot, struct ept_hint *hint);

/**
 * ept_unmap - remove everything in [gpa, gpa + len)
 * @gpa, @len: multiples of 4 KiB
 *
 * Whole subtrees are unlinked with one store each; large leaves that straddle an end are split
 * first. Tables that become empty but reach beyond the range stay linked for the next mapping.
 * Returns 1 (flush), 0 (nothing was there), -EINVAL, -ERANGE, -ENOMEM (a split failed: every
 * translation is as it was, so no flush).
 */
int ept_unmap(struct ept *ept, gpa_t gpa, u64 len);

/**
 * ept_protect - change the rights of everything mapped in [gpa, gpa + len)
 *
 * As ept_unmap(), and 0 also when no right was taken away; holes stay holes, and accessed and dirty
 * bits stay, or are set with EPT_DIRTY. @prot as in ept_map().
 */
int ept_protect(struct ept *ept, gpa_t gpa, u64 len, unsigned int prot);

/**
 * ept_log_dirty - have the next write to each page of [gpa, gpa + len) noticed
 * @gpa, @len: multiples of 4 KiB
 * @how: enum ept_log
 *
 * Large leaves in the range are split to 4 KiB. What is mapped there later is the caller's: 4 KiB
 * at a time, without EPT_DIRTY or without EPT_WRITE.
 * Returns 1 (a CPU may go on writing unnoticed until it has flushed), 0 (there was nothing to
 * change), -EINVAL, -ERANGE, -ENOMEM (some leaves may be split; no right and no bit was changed).
 */
int ept_log_dirty(struct ept *ept, gpa_t gpa, u64 len, enum ept_log how);

/** ept_has_dirty - whether the CPU keeps accessed and dirty bits in this table. */
bool ept_has_dirty(const struct ept *ept);

/**
 * ept_rearm - the same for single pages
 * @gpa: multiple of 4 KiB; need not be one of 256 KiB
 * @pages: bit i: the page at @gpa + i * 4 KiB
 *
 * Returns 1, 0, -EINVAL or -ERANGE (as above, nothing was changed), -ENOMEM: pages before the one
 * that lies in a large leaf are done, and a flush is needed for them.
 */
int ept_rearm(struct ept *ept, gpa_t gpa, u64 pages, enum ept_log how);

/**
 * ept_lookup - what hardware would find for a guest-physical address
 * @gpa: any
 * @out: the mapping; filled in for -ENOENT too
 *
 * Returns 0 (mapped), -ENOENT, -ERANGE. May run beside an update, not beside
 * ept_free_detached().
 */
int ept_lookup(const struct ept *ept, gpa_t gpa, struct ept_mapping *out);

/**
 * ept_misconfigured - the rule that the walk for @gpa breaks
 * @entry: out: the offending entry, when there is one
 *
 * For the EPT-misconfiguration exit, which says no more than the address. Returns the rule in
 * words, or NULL when the walk is sound. Context as ept_lookup().
 */
const char *ept_misconfigured(const struct ept *ept, gpa_t gpa, u64 *entry);

/**
 * ept_detach_unlinked - take the list of tables that were unlinked so far
 *
 * For a flush that is about to begin: tables that others unlink while it goes on are not on the
 * list. Returns NULL when there are none.
 */
struct ept_unlinked *ept_detach_unlinked(struct ept *ept);

/**
 * ept_free_detached - free the tables of a list, after every CPU has flushed
 *
 * Returns how many pages that were. A few are kept for later use.
 */
u64 ept_free_detached(struct ept *ept, struct ept_unlinked *list);

/** ept_reattach - put a list back, when the flush did not succeed: it is detached again later. */
void ept_reattach(struct ept *ept, struct ept_unlinked *list);

/**
 * ept_largest - the largest leaf size usable for @gpa -> @hpa within a region of @left bytes
 * @gpa, @hpa, @left: multiples of 4 KiB, @left not 0
 */
u64 ept_largest(const struct ept *ept, gpa_t gpa, hpa_t hpa, u64 left);

#endif
