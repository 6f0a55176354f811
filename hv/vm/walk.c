/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's own page tables, walked in software for the hypervisor's accesses on the guest's
 * behalf (string I/O, MMIO). Checks presence, reserved bits, write, user and execute rights, SMAP
 * and SMEP, and sets accessed and dirty bits as the processor does. Source: Intel SDM, chapter on
 * paging.
 */
#include "hv/host/errno.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"

#define PTE_P	BIT(0)
#define PTE_W	BIT(1)
#define PTE_U	BIT(2)
#define PTE_A	BIT(5)
#define PTE_D	BIT(6)
#define PTE_PS	BIT(7)
#define PTE_NX	BIT(63)
#define PTE_PFN (BIT(52) - PAGE_SIZE)
#define RIGHT_X PTE_NX /* in walk.common: no level forbids to execute */

#define PAE_RESERVED   0x7ff0000000000000ull /* bits 62:52, which 4-level paging ignores */
#define PSE36_RESERVED BIT(21)
#define LARGE_PAT      BIT(12) /* of a large page: the bit below its reserved ones */

#define PF_P	1u
#define PF_W	2u
#define PF_U	4u
#define PF_RSVD 8u
#define PF_I	16u

#define RFLAGS_AC BIT(18)

struct walk {
	u64 cr0, cr3, cr4, efer;
	enum walk_access access;
	bool user, smap, smep;
	unsigned int levels, entry_size;
	u64 reserved; /* in entries of every level; with two levels only in large ones */
	u64 common;   /* what all entries have set, but for PTE_NX: that none has */
	/* What was found on the way, by level; 0 is the lowest. */
	struct {
		gpa_t gpa;
		u64 value;
	} entry[4];
};

static void start(struct vcpu *vcpu, struct walk *w, enum walk_access access)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	struct vm_segment ss;

	vmx_get_segment(v, VSEG_SS, &ss);
	w->cr0 = vmx_get(v, REG_CR0);
	w->cr3 = vmx_get(v, REG_CR3);
	w->cr4 = vmx_get(v, REG_CR4);
	w->efer = vmx_get(v, REG_EFER);
	w->access = access;
	w->user = ((ss.access >> 5) & 3) == 3;
	w->smep = w->cr4 & CR4_SMEP;
	w->smap = (w->cr4 & CR4_SMAP) && access != WALK_FETCH &&
		  !(vmx_get(v, REG_RFLAGS) & RFLAGS_AC);
	w->levels = w->efer & EFER_LMA ? 4 : w->cr4 & CR4_PAE ? 3 : 2;
	w->entry_size = w->levels == 2 ? 4 : 8;
	w->reserved = BIT(52) - BIT(vmx_caps.phys_bits);
	if (!(w->efer & EFER_NXE))
		w->reserved |= PTE_NX;
	if (w->levels == 3)
		w->reserved |= PAE_RESERVED;
}

static unsigned int level_shift(const struct walk *w, unsigned int level)
{
	return PAGE_SHIFT + level * (w->levels == 2 ? 10 : 9);
}

static bool is_leaf(const struct walk *w, unsigned int level, u64 pte)
{
	if (!level)
		return true;
	if (w->levels == 2)
		return (pte & PTE_PS) && (w->cr4 & CR4_PSE);
	return level <= (w->levels == 4 ? 2u : 1u) && (pte & PTE_PS);
}

static gpa_t leaf_address(const struct walk *w, unsigned int level, gva_t va)
{
	u64 offset = BIT(level_shift(w, level)) - 1, pte = w->entry[level].value;
	u64 frame = pte & PTE_PFN;

	if (w->levels == 2 && level) /* 4 MiB page: PSE-36 bits above the frame */
		frame = (pte & 0xffc00000) | (pte & 0x1fe000) << 19;
	return (frame & ~offset) | (va & offset);
}

static bool has_reserved(const struct walk *w, unsigned int level, u64 pte, bool large)
{
	u64 reserved = w->reserved;

	if (w->levels == 2)
		return large && ((pte & PSE36_RESERVED) || (leaf_address(w, level, 0) & reserved));
	if (level == 3)
		reserved |= PTE_PS;
	if (large)
		reserved |= BIT(level_shift(w, level)) - 2 * LARGE_PAT;
	return pte & reserved;
}

/* The top-level entries of PAE paging carry no rights and no accessed bit. */
static bool has_rights(const struct walk *w, unsigned int level)
{
	return !(w->levels == 3 && level == 2);
}

static bool allowed(const struct walk *w, u64 rights)
{
	bool fetch = w->access == WALK_FETCH;

	if (w->user ? !(rights & PTE_U) : (fetch ? w->smep : w->smap) && (rights & PTE_U))
		return false;
	if (fetch)
		return rights & RIGHT_X;
	return w->access == WALK_READ || (rights & PTE_W) || (!w->user && !(w->cr0 & CR0_WP));
}

static int fault(const struct walk *w, u32 why, u32 *error)
{
	*error = why | (w->user ? PF_U : 0);
	if (w->access == WALK_WRITE)
		*error |= PF_W;
	/* That it was a fetch is only told where it can make a difference. */
	if (w->access == WALK_FETCH && (w->smep || (w->levels > 2 && w->efer & EFER_NXE)))
		*error |= PF_I;
	return -EFAULT;
}

/* Entries are read whole: other vCPUs may be writing them. Outside RAM there is none that is
 * present. */
static int read_entry(struct vcpu *vcpu, struct walk *w, unsigned int level, gpa_t gpa)
{
	int err;

	w->entry[level].gpa = gpa;
	w->entry[level].value = 0;
	err = vcpu_read_known(vcpu, KNOWN_TABLE + level, gpa, &w->entry[level].value,
			      w->entry_size);
	return err == -EFAULT ? 0 : err;
}

/* Find the leaf for @va; *@level says where. */
static int find_leaf(struct vcpu *vcpu, struct walk *w, gva_t va, unsigned int *level, u32 *error)
{
	gpa_t table = w->levels == 3 ? w->cr3 & 0xffffffe0 : w->cr3 & PTE_PFN;
	bool leaf = false;
	u64 pte;
	int err;

	w->common = ~0ull;
	for (*level = w->levels; !leaf; table = pte & PTE_PFN) {
		u64 index = va >> level_shift(w, --*level);

		index &= w->levels == 2 ? 0x3ff : w->levels == 3 && *level == 2 ? 3 : 0x1ff;
		err = read_entry(vcpu, w, *level, table + index * w->entry_size);
		if (err)
			return err;
		pte = w->entry[*level].value;
		if (!(pte & PTE_P))
			return fault(w, 0, error);
		leaf = is_leaf(w, *level, pte);
		if (has_reserved(w, *level, pte, leaf && *level))
			return fault(w, PF_P | PF_RSVD, error);
		if (has_rights(w, *level))
			w->common &= pte ^ PTE_NX;
	}
	return allowed(w, w->common) ? 0 : fault(w, PF_P, error);
}

/*
 * Set accessed and dirty bits from the top down. Returns 1; 0 when an entry has changed since;
 * other errors as vcpu_read(). Of tables in read-only memory the processor cannot set them, and nor
 * do we.
 */
static int mark_used(struct vcpu *vcpu, const struct walk *w, unsigned int leaf)
{
	if (w->common & PTE_A && w->access != WALK_WRITE)
		return 1;
	for (unsigned int level = w->levels; level-- > leaf;) {
		u64 set = PTE_A | (w->access == WALK_WRITE && level == leaf ? PTE_D : 0);
		u64 old = w->entry[level].value;
		int ret;

		if (!has_rights(w, level) || (old & set) == set)
			continue;
		ret = vcpu_cmpxchg(vcpu, w->entry[level].gpa, w->entry_size, &old, old | set);
		if (ret != 1 && ret != -EFAULT)
			return ret;
	}
	return 1;
}

int vcpu_translate(struct vcpu *vcpu, gva_t va, enum walk_access access, gpa_t *gpa, u32 *error)
{
	unsigned int level;
	struct walk w;
	int ret;

	start(vcpu, &w, access);
	if (!(w.cr0 & CR0_PG)) {
		*gpa = va;
		return 0;
	}
	do {
		ret = find_leaf(vcpu, &w, va, &level, error);
		if (ret)
			return ret;
		ret = mark_used(vcpu, &w, level);
	} while (!ret);
	if (ret < 0)
		return ret;
	*gpa = leaf_address(&w, level, va);
	return 0;
}
