/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest-physical memory: giving a VM some, mapping all of it, dropping translations. (Mapping a
 * page when it is touched: hv/vm/fault.c.)
 */
#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "hv/vm/backing.h"
#include "hv/vm/fault_internal.h"

/* --- RAM ------------------------------------------------------------------------------------- */

static int free_id(struct vm *vm, u32 *id)
{
	unsigned int phase = slots_read_begin(vm);

	for (*id = 0; *id < VM_MAX_SLOTS && slot_by_id(vm, *id);)
		++*id;
	slots_read_end(vm, phase);
	return *id < VM_MAX_SLOTS ? 0 : -ENOSPC;
}

int vm_add_ram(struct vm *vm, gpa_t base, u64 size)
{
	struct slot_change c = { .op = SLOT_CREATE, .base = base, .size = size };
	int err = free_id(vm, &c.id);

	if (!err)
		err = backing_create(&c.backing, size, BACKING_RESERVE | BACKING_1G);
	if (err)
		return err;
	err = vm_change_slots(vm, &c, 1, SLOTS_ATOMIC, NULL);
	backing_put(c.backing);
	return err;
}

u64 vm_ram_size(struct vm *vm)
{
	unsigned int phase = slots_read_begin(vm);
	struct vm_slot *slot = slot_find(vm, 0);
	u64 size = slot ? slot->size : 0;

	slots_read_end(vm, phase);
	return size;
}

/* --- populating ------------------------------------------------------------------------------ */

/*
 * Map what is there at *@gpa or above, and move *@gpa behind it; a section of its own. *@more:
 * there is a slot. Returns 0 or -ENOMEM.
 */
static int populate_next(struct vm *vm, gpa_t *gpa, bool *more)
{
	unsigned int phase = slots_read_begin(vm);
	u64 seq = invalidate_seq(vm), size = EPT_SIZE_4K;
	struct vm_slot *slot = slot_find(vm, *gpa);
	struct backing_page page;
	struct ept_mapping m;
	int err = 0;

	if (!slot)
		slot = slot_next(vm, *gpa);
	*more = slot;
	if (slot) {
		*gpa = max_u64(*gpa, slot->base);
		if (!slot_hides(slot, slot_offset(slot, *gpa)) &&
		    backing_look(slot->backing, slot_offset(slot, *gpa), &page)) {
			spin_lock(&vm->vmx.lock);
			if (!slot->invalid && !invalidate_retry(vm, *gpa, seq) &&
			    !fault_is_apic(vm, slot, *gpa))
				err = fault_map(vm, slot, *gpa, FAULT_READ, &page, NULL);
			if (!ept_lookup(&vm->vmx.ept, *gpa, &m))
				size = m.size;
			spin_unlock(&vm->vmx.lock);
		}
		*gpa = ALIGN_DOWN(*gpa, size) + size;
	}
	slots_read_end(vm, phase);
	return err;
}

/* The backing of the first slot that ends above *@gpa, with a reference; *@gpa moves to its end. */
static struct backing *next_backing(struct vm *vm, gpa_t *gpa)
{
	unsigned int phase = slots_read_begin(vm);
	struct vm_slot *slot = slot_find(vm, *gpa);
	struct backing *b = NULL;

	if (!slot)
		slot = slot_next(vm, *gpa);
	if (slot) {
		b = slot->backing;
		backing_get(b);
		*gpa = slot->base + slot->size;
	}
	slots_read_end(vm, phase);
	return b;
}

int vm_populate(struct vm *vm)
{
	struct backing *b;
	gpa_t gpa = 0;
	bool more;
	int err = 0;

	/* All contents first: what is complete can be mapped with the largest leaves. */
	while (!err && (b = next_backing(vm, &gpa))) {
		err = backing_populate(b);
		backing_put(b);
	}
	gpa = 0;
	do {
		err = err ? err : populate_next(vm, &gpa, &more);
	} while (!err && more);
	return err;
}

/* --- taking translations away ---------------------------------------------------------------- */

int vm_flush_and_free(struct vm *vm, struct ept_unlinked *tables, u64 deadline)
{
	int err = vm_flush(vm, deadline);

	vm_free_tables(vm, tables, !err);
	return err;
}

int vm_drop_page(struct vm *vm, gpa_t gpa)
{
	unsigned int phase = slots_read_begin(vm);
	bool found = slot_find(vm, gpa);
	struct ept_unlinked *tables;
	int r;

	slots_read_end(vm, phase);
	if (!found)
		return -EFAULT;
	spin_lock(&vm->vmx.lock);
	r = ept_unmap(&vm->vmx.ept, ALIGN_DOWN(gpa, EPT_SIZE_4K), EPT_SIZE_4K);
	tables = r < 0 ? NULL : ept_detach_unlinked(&vm->vmx.ept);
	spin_unlock(&vm->vmx.lock);
	/* Also if it was not mapped: somebody else may have zapped it and not flushed yet. */
	return r < 0 ? r : vm_flush_and_free(vm, tables, ticks_now() + tsc_hz);
}
