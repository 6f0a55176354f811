/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Waiting for a vCPU's events from outside vcpu_run(): what poll() on a vCPU would be.
 *
 * A VMM that has taken a vCPU out of the guest and wants to know when there is something for it to
 * do waits here; for several vCPUs at once, and several threads may wait for the same vCPU. It is
 * level-triggered: "ready" means that the vCPU's event sequence has advanced beyond what an entry
 * has seen, where seen is what the sequence was before the vCPU's thread last looked at its pending
 * events on the way into the guest. The deliverer makes the event visible, then advances the
 * sequence, then reads whether somebody waits; the waiter queues itself, then reads the sequence.
 *
 * An event that the guest could not take when it was looked at, because its interrupts or NMIs were
 * off, has not been seen in this sense: a vCPU that leaves with one is ready at once. A vector that
 * was masked by its priority has; when the guest unmasks it, it is looked at again. Where the CPU
 * delivers interrupts by itself (VMX_APIC_DELIVERY) both are so until it has delivered the vector.
 *
 * Source: "[RFC 13/33] KVM: Allow polling vCPUs for events" (N. Saenz Julienne, 2023), whose flag
 * `kicked` is WAIT_POSTED here, and M. Levitsky's answer to it, which is MP_HALTED_USERSPACE.
 */
#ifndef HV_VM_WAIT_H
#define HV_VM_WAIT_H

#include "hv/host/types.h"

struct vm;
struct vcpu;

enum wait_variant {
	WAIT_SEQUENCE, /* event sequence against what an entry has seen: loses nothing */
	WAIT_POSTED,   /* the flag of the RFC: set by a kick, cleared right before entry */
};

enum wait_ready {
	WAIT_EVENT = 1, /* the vCPU has an event that no entry has seen */
	WAIT_GONE = 2,	/* the vCPU was destroyed */
};

struct vcpu_wait {
	struct vcpu *vcpu;
	u32 ready; /* out: enum wait_ready */
};

/** vm_set_wait - choose the variant of a VM. Before the first vcpu_run(). */
void vm_set_wait(struct vm *vm, enum wait_variant v);

/**
 * vcpu_wait - wait until one of the vCPUs is ready
 * @set: the vCPUs; @n: 1..VM_MAX_VCPUS
 * @deadline: absolute TSC; 0: look, do not wait; ~0: no deadline
 *
 * Returns how many are ready (their .ready is set), or -ETIMEDOUT. May be called for a vCPU that is
 * running. Thread context.
 */
int vcpu_wait(struct vcpu_wait *set, unsigned int n, u64 deadline);

/**
 * vcpu_poll - whether one vCPU is ready, now: the check of vcpu_wait() alone
 *
 * Returns enum wait_ready bits. Any context.
 */
u32 vcpu_poll(struct vcpu *vcpu);

#endif
