/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a slot to its page, for a guest's fault (memory.c) and the hypervisor's own accesses
 * (access.c) alike. Everything here is in a read section.
 */
#ifndef HV_VM_FAULT_INTERNAL_H
#define HV_VM_FAULT_INTERNAL_H

#include "hv/host/errno.h"
#include "hv/vm/backing_internal.h"
#include "hv/vm/internal.h"
#include "hv/vm/userfault.h"

/* Where in its backing the page at @gpa is. */
static inline u64 slot_offset(const struct vm_slot *slot, gpa_t gpa)
{
	return ALIGN_DOWN(gpa - slot->base + slot->offset, PAGE_SIZE);
}

/* userfault_hides(), for those who are in a hurry. */
static inline bool slot_hides(const struct vm_slot *slot, u64 offset)
{
	const _Atomic u64 *hidden = slot->hidden;

	return hidden &&
	       atomic_load_explicit(&hidden[offset / PAGE_SIZE / 64], memory_order_acquire) >>
			       offset / PAGE_SIZE % 64 &
		       1;
}

/* Whether the thread that needs a missing page of @slot is to be told, and not to wait. */
static inline bool slot_tells(const struct vm_slot *slot, gpa_t gpa)
{
	return slot->flags & SLOT_EXIT_ON_MISSING || slot_hides(slot, slot_offset(slot, gpa));
}

/* The page at @gpa: 0; -EAGAIN: it is missing, or hidden; -ENOMEM. */
static __always_inline int slot_page(const struct vm_slot *slot, gpa_t gpa,
				     struct backing_page *page)
{
	u64 offset = slot_offset(slot, gpa);

	if (slot_hides(slot, offset))
		return -EAGAIN;
	return backing_get_page(slot->backing, offset, page);
}

/*
 * That the page is missing is told, or slept for, without the table lock, since nothing is
 * installed. Returns false when it may have changed since @seq was read: look again. @m: but for
 * .generation, which the caller has noted before it looked for the slot.
 */
static __always_inline bool slot_missing(struct vm *vm, const struct vm_slot *slot, gpa_t gpa,
					 u64 seq, struct missing *m)
{
	m->exit = slot_tells(slot, gpa);
	if (unlikely(!seq_unmoved(vm, seq)))
		return false;
	if (m->exit)
		return true;
	m->backing = slot->backing;
	m->offset = slot_offset(slot, gpa);
	backing_get(m->backing);
	return true;
}

/*
 * fault.c: with the table lock held, and what slot_page() has found known to be so still: map it;
 * 0 or an error of ept_map(). @hint may be NULL. And whether an APIC is there instead.
 */
int fault_map(struct vm *vm, struct vm_slot *slot, gpa_t gpa, unsigned int access,
	      const struct backing_page *page, struct ept_hint *hint);
bool fault_is_apic(struct vm *vm, const struct vm_slot *slot, gpa_t gpa);

#endif
