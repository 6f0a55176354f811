/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of experiment `wait` on KVM: a VM with one vCPU whose guest counts the events that it
 * takes, and a thread of a VMM that keeps this vCPU, waits for its events and runs it then.
 */
#ifndef LINUX_VMM_WAIT_H
#define LINUX_VMM_WAIT_H

#include "hv/host/ktap.h"
#include "hv/host/percpu.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "lab/experiment.h"
#include "lab/needs.h"
#include "lab/wait_box.h"
#include "linux/vmm/vmm.h"

/* How a VMM hears of the events of a vCPU that it does not run. */
enum wait_way {
	WAY_POSTED,   /* poll() with kvm.break_poll=1: the RFC's flag */
	WAY_SEQUENCE, /* poll() */
	WAY_MPSTATE,  /* KVM_RUN in KVM_MP_STATE_HALTED_USERSPACE */
	WAY_RUN,      /* KVM_RUN in KVM_MP_STATE_HALTED: it does not hear of it, the guest does */
	NR_WAIT_WAYS,
};

extern const char *const wait_way_name[NR_WAIT_WAYS];

/* The box in guest memory: the start of struct wait_box (lab/wait.h), by lab/wait_box.h. */
struct wait_counts {
	_Atomic u32 beats, interrupts, nmis, starts;
	_Atomic u32 done; /* interrupts whose handler is at its end */
};

_Static_assert(offsetof(struct wait_counts, interrupts) == BOX_INTERRUPTS, "as in wait_box.h");
_Static_assert(offsetof(struct wait_counts, done) == BOX_DONE, "as in wait_box.h");

struct keeper {
	enum wait_way way;
	bool halts; /* the guest does, and never leaves by itself */
	struct vm *vm;
	struct vcpu *vcpu;
	struct wait_counts *box;
	struct thread *thread;
	_Atomic u64 stay;     /* odd: inside the call that waits */
	_Atomic u64 wakes;    /* times that call said: there is an event */
	_Atomic u64 woken;    /* when, for the last time */
	_Atomic u64 out;      /* when the vCPU was out of the guest after that, with rounds */
	_Atomic u64 rounds;   /* times that it was run until it was out */
	_Atomic u64 spurious; /* wakes, and the guest had taken all there was */
	_Atomic bool over, nudged;
	_Atomic int error;
	u32 posted; /* events so far; by the one thread that posts */
	u64 exits;  /* after keeper_stop(): VM exits in its time */
};

/** wait_way_supported - or a SKIP of @name that says what this kernel lacks. */
bool wait_way_supported(enum wait_way way, const char *name);

/** ward_create - the VM, its guest at its first exit, if it has any. False: one failed result. */
bool ward_create(struct keeper *k, enum wait_way way, u32 what);

/** ward_destroy - harmless on a zeroed one. */
void ward_destroy(struct keeper *k);

/** ward_ready - what poll() says of the vCPU, now. */
bool ward_ready(struct keeper *k);

/** ward_pending - whether the interrupt is in the vCPU's local APIC. Nobody runs it. */
bool ward_pending(struct keeper *k);

/** keeper_wait_once - the call that waits: returns 0 when there is an event, or a negative errno.
 */
int keeper_wait_once(struct keeper *k);

/** keeper_start - a thread on @cpu for a ward. False: one failed result. */
bool keeper_start(struct keeper *k, u32 cpu);

/** keeper_stop - make it end, and join its thread. */
void keeper_stop(struct keeper *k);

/** keeper_post - one event for the guest. Returns when the post began. */
u64 keeper_post(struct keeper *k);

/**
 * keeper_settle - wait until the guest has taken all that was posted
 * @lost: advanced when an event was lost (then it is repaired); may be NULL
 *
 * False: it has not, for a long time, or the keeper has failed.
 */
bool keeper_settle(struct keeper *k, u64 *lost);

#endif
