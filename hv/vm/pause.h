/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pause: hold all vCPUs of one VM outside the guest, and everybody else away from its slots.
 *
 * Counted holders: the VM goes on when the last of them resumes it. A pause raises the hold, makes
 * it visible to every entry and every reader with a full fence, kicks all vCPUs that are in the
 * guest in one broadcast, and waits until each is outside and no read section of the slots is open.
 * While the VM is held, vcpu_run() returns -EINTR at once without having run the guest, sleeping
 * vCPUs (halted, or waiting for a page) come out with -EINTR too, and read sections of other
 * threads wait. Another VM notices nothing.
 *
 * From the KVM list: "KVM: allow blocking and resuming all running vcpus" (E. G. Esposito, 2022),
 * with what its review asked for: per VM, counted, all users of the slots, interruptible page-ins.
 */
#ifndef HV_VM_PAUSE_H
#define HV_VM_PAUSE_H

#include "hv/host/list.h"
#include "hv/host/types.h"

struct vm;
struct thread;

/* A holder: the caller's, from vm_pause() to vm_resume(). Zeroed before its first use. */
struct vm_hold {
	struct vm *vm; /* NULL: holds nothing */
	struct thread *thread;
	struct list node;
};

/* Where a pause spent its time, in ticks; and on failure who was late. */
struct pause_report {
	u64 kick;  /* until the kicks were sent */
	u64 evict; /* from then until every vCPU was outside the guest */
	u64 drain; /* from then until no read section was open */
	char why[96];
};

/**
 * vm_pause - hold the VM
 * @hold: the caller's token, not in use (a token in use: -EBUSY)
 * @timeout: ticks until it gives up; 0: one second
 * @report: may be NULL
 *
 * On return no vCPU executes guest code and nobody but the threads of other holders is in a read
 * section, until vm_resume(). The thread that pauses may itself read and write the VM's memory and
 * change slots. Returns 0; -EBUSY; -ETIMEDOUT, with nothing held, when a vCPU does not leave the
 * guest or a reader does not end: report->why says which and why. Thread context, outside
 * vcpu_run() and read sections, no spinlock held. Any number of threads at once.
 */
int vm_pause(struct vm *vm, struct vm_hold *hold, u64 timeout, struct pause_report *report);

/**
 * vm_resume - let go of a hold; the last one lets the VM go on
 *
 * Wakes the threads in vm_wait_resumed() and at the readers' gate. Returns 0; -EINVAL when @hold
 * holds nothing. Any thread.
 */
int vm_resume(struct vm_hold *hold);

/**
 * vm_wait_resumed - wait until nobody holds the VM: what a VMM does after -EINTR
 *
 * Spins for a short while, then sleeps. Returns 0, or -ESHUTDOWN when the VM has been stopped for
 * good. Thread context.
 */
int vm_wait_resumed(struct vm *vm);

/** vm_is_held - whether somebody holds (or has stopped) the VM. */
bool vm_is_held(struct vm *vm);

/** vm_held_by_me - whether the calling thread is among the holders. */
bool vm_held_by_me(struct vm *vm);

#endif
