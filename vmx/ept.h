/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Extended page tables: building, changing and walking them.
 *
 * Every update of a linked table is a single atomic 64-bit store of a complete entry, children
 * before parents, so that hardware walking the tables at any moment sees the old or the new
 * translation and never a malformed one. Nothing here flushes: functions that can leave a stale
 * translation in a TLB say so, and the caller (who knows which CPUs run the VM) advances the flush
 * generation and kicks. Table pages that were unlinked are collected on a list, still translating
 * as before for a CPU that has cached a pointer to them, and freed by ept_free_unlinked() after
 * every CPU has passed that flush.
 *
 * Accessed and dirty bits: with EPT_CAP_AD hardware sets them at any time, also between our reading
 * an entry and storing it. Entries are therefore replaced by compare-and-exchange, so that a bit
 * set in between is carried over by a split or a change of rights. What a CPU marks dirty through a
 * stale translation after an unmap or the replacement of a table lands in memory that is no longer
 * looked at: whoever tracks dirty pages must take an unmapped range as dirty, and a leaf that
 * replaces a table starts out dirty for the same reason.
 */
#ifndef VMX_EPT_H
#define VMX_EPT_H

#include "hv/host/types.h"

enum ept_prot {
	EPT_READ = 1,
	EPT_WRITE = 2,
	EPT_EXEC = 4,
	EPT_RWX = 7,
};

#define EPT_SIZE_4K PAGE_SIZE
#define EPT_SIZE_2M (1ul << 21)
#define EPT_SIZE_1G (1ul << 30)

typedef _Atomic u64 ept_entry;

struct ept {
	ept_entry *root;
	hpa_t eptp; /* the EPTP value: root, memory type, walk length, A/D */
	u64 caps;   /* IA32_VMX_EPT_VPID_CAP */
	unsigned int phys_bits;
	u64 nr_tables; /* table pages linked, the root included */
	/* Subtrees waiting for ept_free_unlinked(), chained through themselves, and their pages. */
	ept_entry *unlinked;
	u64 nr_unlinked;
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
 *it or beyond the 48 bits of a 4-level walk
 *
 * Returns 0, -EOPNOTSUPP (no 4-level walk or no write-back), -ENOMEM.
 */
int ept_init(struct ept *ept, u64 caps, unsigned int phys_bits);

/** ept_destroy - free all table pages, unlinked ones too. No CPU may use the table any more. */
void ept_destroy(struct ept *ept);

/**
 * ept_map - map one leaf
 * @gpa, @hpa: multiples of @size
 * @size: EPT_SIZE_4K, _2M or _1G
 * @prot: enum ept_prot, not 0; write without read is a misconfiguration and refused, and so is
 *	  execute without read on a CPU without EPT_CAP_EXEC_ONLY
 *
 * One store makes the change visible, whatever was there before. A larger leaf in the way is split
 * (its other parts keep their translation). A smaller table in the way is replaced as a whole and
 * goes to the unlinked list. A leaf that maps the same frame as before keeps its accessed and dirty
 * bits.
 * Returns 1 when a stale translation may be cached (something present was changed: flush), 0 when
 * nothing was mapped before or nothing changed, -EINVAL (alignment, size or prot, size not
 *supported by the CPU), -ERANGE (beyond the address width), -ENOMEM (nothing was changed). Caller
 *serialises updates of one table.
 */
int ept_map(struct ept *ept, gpa_t gpa, hpa_t hpa, u64 size, unsigned int prot);

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
 * As ept_unmap(), and 0 also when all rights were @prot already; holes stay holes, and accessed and
 * dirty bits stay. @prot as in ept_map().
 */
int ept_protect(struct ept *ept, gpa_t gpa, u64 len, unsigned int prot);

/**
 * ept_lookup - what hardware would find for a guest-physical address
 * @gpa: any
 * @out: the mapping; filled in for -ENOENT too
 *
 * Returns 0 (mapped), -ENOENT, -ERANGE. May run beside an update, not beside ept_free_unlinked().
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

/** ept_free_unlinked - free the collected table pages; returns how many. */
u64 ept_free_unlinked(struct ept *ept);

/**
 * ept_largest - the largest leaf size usable for @gpa -> @hpa within a region of @left bytes
 * @gpa, @hpa, @left: multiples of 4 KiB, @left not 0
 */
u64 ept_largest(const struct ept *ept, gpa_t gpa, hpa_t hpa, u64 left);

#endif
