/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Second-level faults: mapping a page when it is touched, or telling that it is missing.
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
 *
 * What every fault goes through is written for few instructions: what is rare is out of line.
 */
#include "hv/host/counter.h"
#include "hv/host/trace.h"
#include "hv/vm/fault_internal.h"

COUNTER(mem_faults, "memory.faults", "second-level faults that mapped a page of RAM");
COUNTER(mem_spurious, "memory.spurious", "second-level faults that found the page mapped already");
COUNTER(mem_unprotected, "memory.unprotected", "second-level faults that made a page writable");
COUNTER(mem_retries, "memory.retries", "second-level faults while slots or backing were changing");
COUNTER(mem_exits, "memory.exits", "memory-fault exits: a page was missing");

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

/* No leaf may cover a page that is hidden. A bit that is set meanwhile is an invalidation. */
static bool hides_any(const struct vm_slot *slot, gpa_t gpa, u64 size)
{
	return slot->flags & SLOT_USERFAULT &&
	       userfault_hides_any(slot->userfault,
				   ALIGN_DOWN(gpa, size) - slot->base + slot->offset, size);
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
	if (hole < size || slot->flags & SLOT_USERFAULT || !fits(slot, gpa, page, size))
		size = EPT_SIZE_2M;
	if (hole < size || !fits(slot, gpa, page, size) || hides_any(slot, gpa, size))
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

noinline int fault_map(struct vm *vm, struct vm_slot *slot, gpa_t gpa, unsigned int access,
		       const struct backing_page *page, struct ept_hint *hint)
{
	struct ept_mapping m;
	int err = ept_lookup(&vm->vmx.ept, gpa, &m);

	if (hint && m.size == EPT_SIZE_4K)
		ept_hint_at(hint, gpa);
	if (err == -ENOENT)
		err = map_hole(vm, slot, gpa, access, page, m.size);
	else if (!err && access & FAULT_WRITE && !(m.prot & EPT_WRITE))
		err = map_writable(vm, slot, gpa, &m);
	else if (!err)
		count(&mem_spurious);
	return err < 0 ? err : 0;
}

/*
 * The usual case by itself: a page that is not mapped, in a table that is there. Where a large leaf
 * could be, there mostly is no table, and it is not looked for.
 */
static __always_inline int map_page(struct vm *vm, struct vm_slot *slot, gpa_t gpa,
				    unsigned int access, const struct backing_page *page,
				    struct ept_hint *hint)
{
	if (slot->flags & SLOT_LOG_DIRTY || (page->span != PAGE_SIZE && !ept_hinted(hint, gpa)) ||
	    unlikely(ept_map_page(&vm->vmx.ept, gpa, page->hpa, leaf_rights(vm, slot, access),
				  hint)))
		return fault_map(vm, slot, gpa, access, page, hint);
	count(&mem_faults);
	return 0;
}

/*
 * An APIC is there and nothing else, and no page of memory may be mapped. Under the table lock,
 * unless nothing is to be mapped.
 */
static inline bool is_apic(struct vm *vm, const struct vm_slot *slot, gpa_t gpa)
{
	if (unlikely(slot->flags & SLOT_PRIVATE))
		return vm->apic_page.inhibited;
	return unlikely(vm->apic_page.covering) && apic_page_covered(vm, gpa);
}

bool fault_is_apic(struct vm *vm, const struct vm_slot *slot, gpa_t gpa)
{
	return is_apic(vm, slot, gpa);
}

/* --- one fault -------------------------------------------------------------------------------- */

static __always_inline int tell_missing(struct vm *vm, const struct vm_slot *slot, gpa_t gpa,
					u64 seq, struct missing *m)
{
	if (unlikely(is_apic(vm, slot, gpa)))
		return -EACCES;
	if (likely(slot_missing(vm, slot, gpa, seq, m)))
		return -EAGAIN;
	count(&mem_retries);
	return 0;
}

/* In a read section. As vm_fault(). */
static __always_inline int resolve(struct vm *vm, struct vm_slot *slot, gpa_t gpa,
				   unsigned int access, u64 seq, struct ept_hint *hint,
				   struct missing *m)
{
	struct backing_page page;
	int err;

	if (!slot)
		return -ENOENT;
	if (unlikely(atomic_load_explicit(&slot->invalid, memory_order_relaxed))) {
		count(&mem_retries);
		return 0;
	}
	if (access & FAULT_WRITE && slot->flags & SLOT_READONLY)
		return -EPERM;
	if (access & FAULT_FETCH && slot->flags & SLOT_PRIVATE)
		return -ENOENT;
	err = slot_page(slot, gpa, &page);
	race_point();
	if (err)
		return err == -EAGAIN ? tell_missing(vm, slot, gpa, seq, m) : err;
	spin_lock(&vm->vmx.lock);
	if (unlikely(seq_retry(vm, gpa, seq)))
		count(&mem_retries);
	else if (unlikely(is_apic(vm, slot, gpa)))
		err = -EACCES;
	else
		err = map_page(vm, slot, gpa, access, &page, hint);
	spin_unlock(&vm->vmx.lock);
	return err;
}

int vm_fault(struct vm *vm, gpa_t gpa, unsigned int access, struct missing *m)
{
	struct ept_hint hint = { 0 };
	unsigned int phase;
	u64 seq;
	int err;

	if (!section_try(vm, &phase))
		return -EINTR;
	seq = seq_read(vm);
	m->generation = slots_generation(vm);
	race_point();
	err = resolve(vm, slot_find(vm, gpa), gpa, access, seq, &hint, m);
	section_end(vm, phase);
	return err;
}

/* --- by a vCPU's own thread ------------------------------------------------------------------- */

static noinline struct vm_slot *find_slot(struct vcpu *vcpu, gpa_t gpa, u32 generation)
{
	vcpu->fault.slot = slot_find(vcpu->vm, gpa);
	vcpu->fault.generation = generation;
	return vcpu->fault.slot;
}

/*
 * As vm_fault() for the access to vcpu->missing. The slot of the last fault is that of this one
 * when it covers it and no slots have been published since: then it is in the active set still, and
 * who takes it out waits for this section.
 */
static __always_inline int fault(struct vcpu *vcpu, struct missing *m)
{
	struct vm_slot *slot = vcpu->fault.slot;
	gpa_t gpa = vcpu->missing.gpa;
	struct vm *vm = vcpu->vm;
	unsigned int phase;
	u64 seq;
	int err;

	if (!section_try(vm, &phase))
		return -EINTR;
	seq = seq_read(vm);
	m->generation = slots_generation(vm);
	race_point();
	if (unlikely(!slot || vcpu->fault.generation != m->generation ||
		     gpa - slot->base >= slot->size))
		slot = find_slot(vcpu, gpa, m->generation);
	err = resolve(vm, slot, gpa, vcpu->missing.access, seq, &vcpu->fault.table, m);
	section_end(vm, phase);
	return err;
}

static __always_inline int report(struct vcpu *vcpu)
{
	struct vcpu_run *run = &vcpu->run;

	count(&mem_exits);
	if (unlikely(vcpu->vm->traced))
		trace("vcpu: memory fault", vcpu->id, vcpu->missing.gpa);
	run->reason = RUN_EXIT_MEMORY_FAULT;
	run->memory_fault.flags = vcpu->missing.access;
	run->memory_fault.gpa = ALIGN_DOWN(vcpu->missing.gpa, PAGE_SIZE);
	run->memory_fault.size = PAGE_SIZE;
	vcpu->pending = PENDING_FAULT;
	return 0;
}

int vcpu_report_missing(struct vcpu *vcpu)
{
	return report(vcpu);
}

/* No page of RAM was mapped for the guest's access. */
static noinline int handle_failed(struct vcpu *vcpu, int err)
{
	const struct vm_exit *e = &vcpu->vmx.exit;

	switch (err) {
	case -EINTR: return RESUME_GUEST; /* the loop sees the hold */
	case -ENOENT:
	case -EACCES:
		return e->mem.fetch ? vcpu_mmio(vcpu, false)
				    : vcpu_emulate_mmio(vcpu, e->mem.gpa, err == -EACCES);
	case -EPERM:
		return unlikely(lapic_covers(vcpu, e->mem.gpa))
			       ? vcpu_emulate_mmio(vcpu, e->mem.gpa, true)
			       : vcpu_mmio(vcpu, true);
	default: return vcpu_exit_error(vcpu, "no memory for a page or its second-level tables");
	}
}

int vcpu_handle_memory(struct vcpu *vcpu)
{
	struct missing m;
	int err;

	vcpu->missing.gpa = vcpu->vmx.exit.mem.gpa;
	vcpu->missing.access = vcpu->vmx.exit.mem.access;
	err = fault(vcpu, &m);
	if (likely(!err))
		return RESUME_GUEST;
	if (unlikely(err != -EAGAIN))
		return handle_failed(vcpu, err);
	return m.exit ? report(vcpu) : vcpu_fetch(vcpu, &m);
}

/*
 * The VMM has brought the page, or has not. To ask before the guest does saves it a second fault.
 * Whatever else there is to say about the access is left to that fault, and so is everything when
 * something is requested: an INIT, say, must not wait for the page.
 */
int vcpu_rerun_fault(struct vcpu *vcpu)
{
	struct missing m = { .exit = false };
	int err;

	vcpu->pending = PENDING_NONE;
	vcpu->run.reason = RUN_EXIT_NONE;
	if (unlikely(atomic_load_explicit(&vcpu->requests, memory_order_relaxed)))
		return RESUME_GUEST;
	err = fault(vcpu, &m);
	if (likely(err != -EAGAIN))
		return RESUME_GUEST;
	if (m.exit)
		return report(vcpu);
	backing_put(m.backing);
	return RESUME_GUEST;
}
