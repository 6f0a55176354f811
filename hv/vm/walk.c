/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's own page tables, walked in software for the hypervisor's accesses on the guest's
 * behalf (string I/O). Checks presence, write and user rights and NX-free data access, and sets
 * accessed and dirty bits as the processor does. Source: Intel SDM, chapter on paging.
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
#define PTE_PFN (BIT(52) - PAGE_SIZE)

#define PF_P 1u
#define PF_W 2u
#define PF_U 4u

struct walk {
	u64 cr0, cr3, cr4, efer;
	bool write, user;
	unsigned int levels, entry_size;
};

static void start(struct vcpu *vcpu, struct walk *w, bool write)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	struct vm_segment ss;

	vmx_get_segment(v, VSEG_SS, &ss);
	w->cr0 = vmx_get(v, REG_CR0);
	w->cr3 = vmx_get(v, REG_CR3);
	w->cr4 = vmx_get(v, REG_CR4);
	w->efer = vmx_get(v, REG_EFER);
	w->write = write;
	w->user = ((ss.access >> 5) & 3) == 3;
	w->levels = w->efer & EFER_LMA ? 4 : w->cr4 & CR4_PAE ? 3 : 2;
	w->entry_size = w->levels == 2 ? 4 : 8;
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

/* The top-level entries of PAE paging carry no rights and no accessed bit. */
static bool has_rights(const struct walk *w, unsigned int level)
{
	return !(w->levels == 3 && level == 2);
}

static bool allowed(const struct walk *w, u64 rights)
{
	if (w->user && !(rights & PTE_U))
		return false;
	return !w->write || (rights & PTE_W) || (!w->user && !(w->cr0 & CR0_WP));
}

static int fault(const struct walk *w, bool present, u32 *error)
{
	*error = (present ? PF_P : 0) | (w->write ? PF_W : 0) | (w->user ? PF_U : 0);
	return -EFAULT;
}

static gpa_t leaf_address(const struct walk *w, unsigned int level, u64 pte, gva_t va)
{
	u64 offset = BIT(level_shift(w, level)) - 1;
	u64 frame = pte & PTE_PFN;

	if (w->levels == 2 && level) /* 4 MiB page: PSE-36 bits above the frame */
		frame = (pte & 0xffc00000) | (pte & 0x1fe000) << 19;
	return (frame & ~offset) | (va & offset);
}

int vcpu_translate(struct vcpu *vcpu, gva_t va, bool write, gpa_t *gpa, u32 *error)
{
	u64 rights = PTE_W | PTE_U, pte = 0;
	gpa_t at[4] = { 0 };
	struct walk w;
	unsigned int level;

	start(vcpu, &w, write);
	if (!(w.cr0 & CR0_PG)) {
		*gpa = va;
		return 0;
	}
	gpa_t table = w.levels == 3 ? w.cr3 & 0xffffffe0 : w.cr3 & PTE_PFN;

	for (level = w.levels - 1;; level--) {
		u64 index = (va >> level_shift(&w, level)) & (w.levels == 2 ? 0x3ff : 0x1ff);

		if (w.levels == 3 && level == 2)
			index &= 3;
		at[level] = table + index * w.entry_size;
		pte = 0;
		if (vm_read(vcpu->vm, at[level], &pte, w.entry_size) || !(pte & PTE_P))
			return fault(&w, false, error);
		if (has_rights(&w, level))
			rights &= pte;
		if (is_leaf(&w, level, pte))
			break;
		table = pte & PTE_PFN;
	}
	if (!allowed(&w, rights))
		return fault(&w, true, error);
	*gpa = leaf_address(&w, level, pte, va);
	for (unsigned int l = level; l < w.levels; l++) {
		u64 entry = 0, set = PTE_A | (write && l == level ? PTE_D : 0);

		if (!has_rights(&w, l) || vm_read(vcpu->vm, at[l], &entry, w.entry_size) ||
		    (entry & set) == set)
			continue;
		entry |= set;
		vm_write(vcpu->vm, at[l], &entry, w.entry_size);
	}
	return 0;
}
