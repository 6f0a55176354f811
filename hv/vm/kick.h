/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Requests and kicks: how another thread gets a vCPU's attention.
 *
 * Entry (hv/vm/run.c): mode = IN_GUEST; full fence; look at requests and hold; if any, mode =
 * OUTSIDE and handle, else enter. Kick: publish the request or event; full fence; if mode is
 * IN_GUEST, move it to EXITING and send the kick; wake the vCPU's thread if it sleeps. Whichever
 * fence comes first, either the entry sees the request or the kicker sees IN_GUEST: never neither.
 *
 * Legal transitions of mode, and who makes them:
 *   OUTSIDE  -> IN_GUEST   the vCPU's thread, before its last look
 *   IN_GUEST -> EXITING    a kicker, by compare-and-exchange: one kick is sent, not many
 *   IN_GUEST, EXITING -> OUTSIDE  the vCPU's thread, after the exit or when it does not enter
 */
#ifndef HV_VM_KICK_H
#define HV_VM_KICK_H

#include "hv/host/types.h"

struct vm;
struct vcpu;

enum kick_transport {
	KICK_NMI,   /* exits the guest whatever its IF is: the default */
	KICK_IPI,   /* an ordinary interrupt; Bochs does not exit for it while guest IF = 0 */
	KICK_TIMER, /* nothing is sent: the preemption timer brings the vCPU out every timer_ticks
		     */
};

/**
 * vm_set_kick - choose how the vCPUs of a VM are kicked
 * @timer_ticks: for KICK_TIMER: guest ticks between two looks, 100..2^31
 *
 * Before the first vcpu_run(). Returns 0; -EOPNOTSUPP (no preemption timer); -EINVAL.
 */
int vm_set_kick(struct vm *vm, enum kick_transport t, u64 timer_ticks);

/** vcpu_request - set a request and kick. Any thread. @req: enum vcpu_request. */
void vcpu_request(struct vcpu *vcpu, u32 req);

/** vcpu_kick - make it look again: out of the guest or out of its sleep. Any context but NMI. */
void vcpu_kick(struct vcpu *vcpu);

/**
 * vcpu_event - an event for @vcpu has been made visible: have it looked at
 *
 * Advances the event sequence, sets REQ_EVENT, kicks, wakes who waits for the vCPU's events. Any
 * thread, the vCPU's own included; any context but NMI.
 */
void vcpu_event(struct vcpu *vcpu);

/**
 * vm_kick_all - make every vCPU that is in the guest leave it, in one broadcast
 *
 * vCPUs that sleep are woken when @wake. The caller has published why. Any context but NMI.
 */
void vm_kick_all(struct vm *vm, bool wake);

/**
 * vm_flush - forget translations: no vCPU uses one that was removed before the call
 * @deadline: absolute TSC
 *
 * Advances the flush generation, kicks, waits until each vCPU is outside the guest or has flushed.
 * Returns 0 or -ETIMEDOUT (said on the console: which vCPU and why). Thread context; spinlocks may
 * not be held.
 */
int vm_flush(struct vm *vm, u64 deadline);

#endif
