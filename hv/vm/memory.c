/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest-physical memory: giving a VM some, mapping it when it is touched, dropping translations.
 *
 * A fault is resolved in a read section of the slots: first the invalidate sequence, then the slot,
 * then the page of its backing, and then, under the table lock, the question whether any of that
 * may have changed since. Nothing here waits: what is in the way is told to the caller, and the
 * guest touches the page again.
 *
 * Rights. A read-only slot is mapped without write permission. Pages of a slot that logs dirty
 * pages are mapped one by one: with PML with the dirty bit clear, so that the CPU logs the first
 * write; else without write permission until somebody writes, and that fault is the record. The bit
 * in the log is set under the table lock before the page becomes writable: a reader of the log
 * clears the bit first and takes the permission away, under the lock, after that, so between the
 * two it undoes what was made writable here. Everything else is mapped with its accessed and dirty
 * bits set, which spares the CPU to do so. A page that only gets more rights needs no flush: an EPT
 * violation forgets what the CPU it happens on knew of the page (SDM volume 3, "Operations that
 * Invalidate Cached Mappings"), and another CPU that knows the lesser rights faults too, and finds
 * nothing to do.
 */
#include "hv/host/chaos.h"
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "hv/vm/backing.h"
#include "hv/vm/internal.h"

COUNTER(mem_faults, "memory.faults", "second-level faults that mapped a page of RAM");
COUNTER(mem_spurious, "memory.spurious", "second-level faults that found the page mapped already");
COUNTER(mem_unprotected, "memory.unprotected", "second-level faults that made a page writable");
COUNTER(mem_retries, "memory.retries", "second-level faults while slots or backing were changing");

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

/* --- mapping: table lock held, @page is what the invalidate protocol says is still so ----------
 */

/* Whether the leaf of @size around @gpa lies within the slot and within what is contiguous. */
static bool fits(const struct vm_slot *slot, gpa_t gpa, const struct backing_page *page, u64 size)
{
	gpa_t start = ALIGN_DOWN(gpa, size);

	/* The contiguous part around the page is aligned, so the two run in parallel or not at all.
	 */
	return size <= page->span && !((gpa ^ page->hpa) & (size - 1) & PAGE_MASK) &&
	       start >= slot->base && start + size <= slot->base + slot->size;
}

/*
 * The largest leaf for a @hole in the tables. A smaller table is not replaced: a 4 KiB hole among
 * pages that were split off a large one is filled, which needs no flush.
 */
static u64 leaf_size(const struct vm *vm, const struct vm_slot *slot, gpa_t gpa,
		     const struct backing_page *page, u64 hole)
{
	u64 size = EPT_SIZE_1G;

	if (hole == EPT_SIZE_4K || slot->flags & SLOT_LOG_DIRTY || vm->apic_page.covering)
		return EPT_SIZE_4K;
	if (hole < size || !fits(slot, gpa, page, size))
		size = EPT_SIZE_2M;
	if (hole < size || !fits(slot, gpa, page, size))
		return EPT_SIZE_4K;
	/* Some CPUs have no leaves of 1 GiB, some have only small ones. */
	return ept_largest(&vm->vmx.ept, ALIGN_DOWN(gpa, size), ALIGN_DOWN(page->hpa, size), size);
}

static unsigned int leaf_rights(struct vm *vm, const struct vm_slot *slot, unsigned int access)
{
	if (slot->flags & SLOT_READONLY)
		return EPT_READ | EPT_EXEC | EPT_DIRTY;
	if (slot->flags & SLOT_PRIVATE)
		return EPT_READ | EPT_WRITE | EPT_DIRTY;
	if (!(slot->flags & SLOT_LOG_DIRTY))
		return EPT_RWX | EPT_DIRTY;
	return vm->dirty_how == DIRTY_PML || access & FAULT_WRITE ? EPT_RWX : EPT_READ | EPT_EXEC;
}

static int map_hole(struct vm *vm, struct vm_slot *slot, gpa_t gpa, unsigned int access,
		    const struct backing_page *page, u64 hole)
{
	u64 size = leaf_size(vm, slot, gpa, page, hole);

	count(&mem_faults);
	if (access & FAULT_WRITE && slot->flags & SLOT_LOG_DIRTY &&
	    vm->dirty_how == DIRTY_WRITE_PROTECT)
		dirty_mark(slot, gpa);
	return ept_map(&vm->vmx.ept, ALIGN_DOWN(gpa, size), ALIGN_DOWN(page->hpa, size), size,
		       leaf_rights(vm, slot, access));
}

/*
 * A write to a page that is mapped without write permission. Its dirty bit may be set whatever the
 * way of logging is, so the CPU is not relied on to log this write.
 */
static int map_writable(struct vm *vm, struct vm_slot *slot, gpa_t gpa,
			const struct ept_mapping *old)
{
	u64 size = slot->flags & SLOT_LOG_DIRTY ? EPT_SIZE_4K : old->size;

	count(&mem_unprotected);
	if (slot->flags & SLOT_LOG_DIRTY)
		dirty_mark(slot, gpa);
	return ept_map(&vm->vmx.ept, ALIGN_DOWN(gpa, size), ALIGN_DOWN(old->hpa, size), size,
		       leaf_rights(vm, slot, FAULT_WRITE));
}

static int map_page(struct vm *vm, struct vm_slot *slot, gpa_t gpa, unsigned int access,
		    const struct backing_page *page)
{
	struct ept_mapping m;
	int err = ept_lookup(&vm->vmx.ept, gpa, &m);

	if (err == -ENOENT)
		err = map_hole(vm, slot, gpa, access, page, m.size);
	else if (!err && access & FAULT_WRITE && !(m.prot & EPT_WRITE))
		err = map_writable(vm, slot, gpa, &m);
	else if (!err)
		count(&mem_spurious);
	return err < 0 ? err : 0;
}

/* Under the table lock: an APIC is there and nothing else, and no page of memory may be mapped. */
static bool is_apic(struct vm *vm, const struct vm_slot *slot, gpa_t gpa)
{
	if (slot->flags & SLOT_PRIVATE)
		return vm->apic_page.inhibited;
	return unlikely(vm->apic_page.covering) && apic_page_covered(vm, gpa);
}

/* --- faults ---------------------------------------------------------------------------------- */

/* In a read section. As vm_fault(). */
static int resolve(struct vm *vm, gpa_t gpa, unsigned int access, struct backing **missing,
		   u64 *offset)
{
	u64 seq = invalidate_seq(vm);
	struct backing_page page;
	struct vm_slot *slot;
	int err;

	race_point();
	slot = slot_find(vm, gpa);
	if (!slot)
		return -ENOENT;
	if (slot->invalid) {
		count(&mem_retries);
		return 0;
	}
	if (access & FAULT_WRITE && slot->flags & SLOT_READONLY)
		return -EPERM;
	if (access & FAULT_FETCH && slot->flags & SLOT_PRIVATE)
		return -ENOENT;
	*offset = ALIGN_DOWN(gpa - slot->base + slot->offset, PAGE_SIZE);
	err = backing_find(slot->backing, *offset, &page);
	if (err == -EAGAIN) {
		*missing = slot->backing;
		backing_get(slot->backing);
	}
	if (err)
		return err;
	race_point();
	spin_lock(&vm->vmx.lock);
	if (unlikely(invalidate_retry(vm, gpa, seq)))
		count(&mem_retries);
	else
		err = is_apic(vm, slot, gpa) ? -EACCES : map_page(vm, slot, gpa, access, &page);
	spin_unlock(&vm->vmx.lock);
	return err;
}

int vm_fault(struct vm *vm, gpa_t gpa, unsigned int access, struct backing **missing, u64 *offset)
{
	unsigned int phase;
	int err;

	if (!slots_read_try(vm, &phase))
		return -EINTR;
	err = resolve(vm, gpa, access, missing, offset);
	slots_read_end(vm, phase);
	return err;
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
		if (backing_look(slot->backing, *gpa - slot->base + slot->offset, &page)) {
			spin_lock(&vm->vmx.lock);
			if (!slot->invalid && !invalidate_retry(vm, *gpa, seq) &&
			    !is_apic(vm, slot, *gpa))
				err = map_page(vm, slot, *gpa, FAULT_READ, &page);
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
