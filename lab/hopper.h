/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Moves a running guest between two VMs, all of its vCPUs at once, again and again: for vmm_run().
 * Both VMs show the same memory; what a guest does not find in the other one has been lost with the
 * state of a vCPU.
 */
#ifndef LAB_HOPPER_H
#define LAB_HOPPER_H

#include "hv/host/random.h"
#include "hv/host/timer.h"
#include "hv/vm/vcpu_state.h"
#include "lab/vmm.h"

#define HOP_SAMPLES 256

struct hopper {
	/* The caller's, zeroed but for these. */
	u64 every;	  /* ticks between two moves, on average */
	u64 max;	  /* moves; 0: no limit */
	bool choose_apic; /* the second VM's: vm_set_apic(apic) */
	u8 apic;	  /* enum vmx_apic_rung */

	/* What came of it. */
	u64 hops;
	u64 changed; /* states that were not what had been set when they were read again */
	struct vcpu_state_report refused;
	u64 get[HOP_SAMPLES], set[HOP_SAMPLES]; /* ticks, of vCPU 0; the first .hops of them */
	u64 bytes;				/* the largest state that was moved */

	/* Its own. */
	struct vm *vm[2];
	u32 at; /* in which of them the guest is */
	u32 nr;
	struct board *board;
	struct timer timer;
	struct rng rng;
	_Atomic bool wanted;
	_Atomic u32 arrived, phase;
	struct wait_queue gathered;
	struct vcpu_state *state[VM_MAX_VCPUS], *again;
};

/** hopper_use - have @config's guest moved by @h. */
void hopper_use(struct hopper *h, struct vmm_config *config);

/** hopper_end - after vmm_run(), which has used it or not. */
void hopper_end(struct hopper *h);

#endif
