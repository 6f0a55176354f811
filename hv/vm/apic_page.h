/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The APIC-access page: a page of guest-physical memory that is none. What the guest reads or
 * writes there the CPU turns into an access to the virtual APIC, if two things agree: the
 * second-level translation of 0xfee00000, which all vCPUs share, and APIC_ACCESS_ADDR in the VMCS
 * of each. Where they do not agree, the guest sees and writes raw memory, without an exit.
 *
 * The page is an ordinary movable page of a backing, in a private slot; nobody pins it. When it is
 * moved every vCPU has to reload its APIC_ACCESS_ADDR before it enters the guest again. The race is
 * told in hv/vm/apic_page.c.
 *
 * It is mapped only while every vCPU's APIC is one that it serves: in xAPIC mode and at the default
 * address. Otherwise the page is inhibited, and accesses are second-level faults that are decoded:
 * a vCPU with another mode must not find the page's raw bytes where its memory has a hole.
 */
#ifndef HV_VM_APIC_PAGE_H
#define HV_VM_APIC_PAGE_H

#include "hv/host/types.h"

struct backing;
struct vcpu;
struct vm;

/* How a vCPU reloads. All but the first of each are there to be compared, or to be seen failing. */
enum apic_reload {
	RELOAD_RETRY,
	RELOAD_NORETRY,	 /* as before the fix: whatever is found is good */
	RELOAD_REVERSED, /* the frame is looked up before the sequence is read */
};
enum apic_stall {
	STALL_REREQUEST, /* the request is set again, and bars the entry that is then tried */
	STALL_BAIL,	 /* the handler says so, and no entry is tried */
};
enum apic_flush {
	FLUSH_ZAP,    /* whoever takes the translation away flushes: once per zap */
	FLUSH_BOTH,   /* and each vCPU once more, with its reload */
	FLUSH_RELOAD, /* only the latter */
};

struct vm_apic_page {
	struct backing *backing; /* NULL: there is no vCPU yet */
	u32 inhibited;		 /* vCPUs that it does not serve; under vmx.lock */
	_Atomic u32 covering; /* vCPUs whose APIC is at another address; written under vmx.lock */
	enum apic_reload reload;
	enum apic_stall stall;
	enum apic_flush flush;
	/*
	 * FLUSH_RELOAD: how many zaps were not flushed, and the flush generation that would do
	 * after the last one. An entry that has neither of the two is counted
	 * (apic.unflushed_entries) in the loop that looks.
	 */
	_Atomic u64 owed, owed_gen;
};

/**
 * vm_set_apic - which rung the vCPUs of a VM use, before its first vCPU
 * @rung: enum vmx_apic_rung
 *
 * Without it: what `apic=` says, or the best this CPU has. Returns 0, -EOPNOTSUPP
 * (vmx_apic_missing() says what is missing), -EBUSY (there is a vCPU).
 */
int vm_set_apic(struct vm *vm, unsigned int rung);

/** vm_default_apic - the rung of VMs to come: `apic=`. Errors as vm_set_apic(). */
int vm_default_apic(unsigned int rung);

/** vm_set_apic_policy - how vCPUs reload. Before the first vcpu_run(). */
void vm_set_apic_policy(struct vm *vm, enum apic_reload reload, enum apic_stall stall,
			enum apic_flush flush);

/**
 * vm_move_apic_page - migrate the page to another frame, while guests run
 * @fill: what the old frame is filled with, -1: nothing
 *
 * Errors as backing_move(); -ENOENT when the VM has none, or none any more. Thread context.
 */
int vm_move_apic_page(struct vm *vm, int fill);

/**
 * vm_delete_apic_page - delete the private slot: accesses are second-level faults from then on
 *
 * Returns 0, -ENOENT, or an error of vm_change_slots(). Thread context. The VM keeps the page, in
 * its frame.
 */
int vm_delete_apic_page(struct vm *vm);

/** vm_apic_page_frame - the frame that the private slot shows now; 0 without. For tests. */
hpa_t vm_apic_page_frame(struct vm *vm);

/* --- for hv/vm -------------------------------------------------------------------------------- */

void apic_page_init(struct vm *vm);

/** apic_page_create - the slot, with the VM's first vCPU. Returns 0, or an error of
 * backing_create() or of a slot change: -EEXIST when the VM has RAM where the APIC is.
 * vm->change_mutex held. */
int apic_page_create(struct vm *vm);
void apic_page_destroy(struct vm *vm);

/**
 * apic_page_inhibit, apic_page_allow - a vCPU's APIC is (is again) one that the page does not serve
 * (that it serves)
 *
 * By the vCPU's own thread, outside the guest, around its change of mode: inhibit before the mode
 * changes, allow after. inhibit returns when no CPU can use the translation any more: 0, or
 * -ETIMEDOUT.
 */
int apic_page_inhibit(struct vm *vm);
int apic_page_allow(struct vm *vm);

/**
 * apic_page_cover, apic_page_uncover - a vCPU's APIC has come to @gpa, an address of its own; has
 * left it
 *
 * RAM that is there is not mapped meanwhile, for any vCPU. Context as above; cover after the base
 * is stored. Returns 0, -ENOMEM, -ETIMEDOUT.
 */
int apic_page_cover(struct vm *vm, gpa_t gpa);
void apic_page_uncover(struct vm *vm, gpa_t gpa);

/** apic_page_covered - whether some vCPU's APIC is in the page of @gpa. Any thread. */
bool apic_page_covered(struct vm *vm, gpa_t gpa);

/** apic_page_owes_flush - FLUSH_RELOAD: whether the flush after a zap of this range is left to the
 * reloads, and so owed. */
bool apic_page_owes_flush(struct vm *vm, gpa_t gpa, u64 len);

/** apic_page_invalidated - [gpa, gpa + len) is being invalidated: if that is the page, every vCPU
 * has to reload before it enters again. Inside invalidate_begin(). */
void apic_page_invalidated(struct vm *vm, gpa_t gpa, u64 len);

/** apic_page_watch - count it if this entry is one that must not be (see the counters in the
 * source). Outside the guest, after the last look at requests. */
void apic_page_watch(struct vcpu *vcpu);

/**
 * apic_page_reload - REQ_APIC_PAGE: write APIC_ACCESS_ADDR if that is what the page is and stays
 *
 * Returns false when an invalidation is in progress, or has been: to be done again. Nothing is
 * written where the vCPU does not use the page, or the slot is gone. In the vCPU's thread, loaded.
 */
bool apic_page_reload(struct vcpu *vcpu);

#endif
