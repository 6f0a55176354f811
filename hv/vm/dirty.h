/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The dirty log of a slot: which of its 4 KiB pages were written since the log was last read.
 *
 * With PML (page-modification logging) the CPU writes the address of each page that becomes dirty
 * to a buffer of the vCPU's; without, pages are write-protected and the fault is the record. The
 * hypervisor's own writes (vm_write()) are recorded too. Page-table pages that the guest's own
 * walks write (accessed and dirty bits) are recorded in both ways only when second-level accessed
 * and dirty flags are on, which the write-protecting way therefore needs too.
 *
 * A slot change that moves, resizes, splits or merges a slot carries its log over. With a slot that
 * is deleted goes what was not read of its log: hold the VM around reading and deleting.
 */
#ifndef HV_VM_DIRTY_H
#define HV_VM_DIRTY_H

#include "hv/host/types.h"

struct vm;
struct vm_slot;
struct vcpu;

enum dirty_how { DIRTY_WRITE_PROTECT, DIRTY_PML };

/** vm_set_dirty - choose how dirty pages are logged. Before the first vcpu_run(). 0, -EOPNOTSUPP
 * (no PML, or no accessed and dirty flags). The default is PML when the CPU has it. */
int vm_set_dirty(struct vm *vm, enum dirty_how how);

/**
 * vm_dirty_read - read and clear the dirty log of a slot
 * @id: the slot
 * @bitmap: one bit per page, room for slot size / 4 KiB bits rounded up to 64
 * @n: out, may be NULL: how many were set
 *
 * A page that is written after its bit was read is in the next log: never in neither. Goes through
 * the readers' gate, so a pause holds it off. Returns 0, -ENOENT, -EINVAL (the slot has no log),
 * -ETIMEDOUT or -ENOMEM with nothing cleared. Thread context, in no read section. Takes
 * vm->change_mutex.
 */
int vm_dirty_read(struct vm *vm, u32 id, u64 *bitmap, u64 *n);

/**
 * vm_dirty_read_last - the same for a VM that will not run any more, or whose log nobody will read
 *
 * Nothing is armed for a next time, so it takes no longer than to read the bits. The caller holds
 * the VM. Should it run again after all, switch SLOT_LOG_DIRTY off and on to log anew.
 */
int vm_dirty_read_last(struct vm *vm, u32 id, u64 *bitmap, u64 *n);

/** dirty_mark - a page of the slot was written. Any thread; in a read section. After the write, or
 * under the table lock before the page becomes writable. */
void dirty_mark(struct vm_slot *slot, gpa_t gpa);

/**
 * dirty_drain - move what PML has logged for @vcpu into the logs
 *
 * For REQ_DIRTY and the exit for a full buffer. In the vCPU's thread, loaded, in no read section.
 * While the VM is held by another thread it does nothing but ask for REQ_DIRTY again.
 */
void dirty_drain(struct vcpu *vcpu);

/** dirty_retire - the same for the last time, when @vcpu is destroyed: .gone is set, it is loaded
 * nowhere else. Waits at the readers' gate. */
void dirty_retire(struct vcpu *vcpu);

/* --- for slot changes: under vm->change_mutex ------------------------------------------------- */

/* Whether this VM's CPUs can keep a dirty log at all. */
bool dirty_possible(const struct vm *vm);

/* A log for @slot, empty: 0, -ENOMEM. And no log any more. */
int dirty_attach(struct vm_slot *slot);
void dirty_detach(struct vm_slot *slot);

/* Add what the log of @from says of pages of the backing that @to shows too. Slots without a log
 * are left alone. Nobody marks @from any more. */
void dirty_carry(struct vm_slot *to, const struct vm_slot *from);

/* Move what PML has logged for all vCPUs up to now into the logs. 0, -ETIMEDOUT. */
int dirty_collect(struct vm *vm, u64 deadline);

#endif
