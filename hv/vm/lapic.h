/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of a local APIC that starting and waking CPUs needs, in x2APIC mode: IPIs of all
 * delivery modes but SMI, IRR, ISR, EOI and TPR. The timer, the LVT and the memory-mapped mode are
 * listed in docs/limits.md.
 */
#ifndef HV_VM_LAPIC_H
#define HV_VM_LAPIC_H

#include "hv/host/types.h"

struct vcpu;

enum lapic_pending { LAPIC_NMI = 1, LAPIC_INIT = 2, LAPIC_SIPI = 4 };

struct lapic {
	u64 base; /* IA32_APIC_BASE; own thread */
	u8 tpr;	  /* own thread */
	u32 svr;
	u64 icr;	     /* as last written; own thread */
	u64 isr[4];	     /* own thread */
	_Atomic u64 irr[4];  /* any thread */
	_Atomic u32 pending; /* enum lapic_pending; any thread */
	_Atomic u32 sipi_page;
};

void lapic_reset(struct vcpu *vcpu);

/**
 * lapic_read, lapic_write - IA32_APIC_BASE and the x2APIC MSRs
 *
 * Return 0, or -EFAULT for #GP. In the vCPU's thread.
 */
int lapic_read(struct vcpu *vcpu, u32 msr, u64 *v);
int lapic_write(struct vcpu *vcpu, u32 msr, u64 v);

/** lapic_post - deliver a fixed interrupt to @vcpu from any thread. @vector: 16..255. */
void lapic_post(struct vcpu *vcpu, u8 vector);

/** lapic_post_nmi - deliver an NMI from any thread. */
void lapic_post_nmi(struct vcpu *vcpu);

/** lapic_highest - the vector that may be delivered now by priority, or -1. */
int lapic_highest(struct vcpu *vcpu);

/**
 * lapic_priority, lapic_above - the two halves of lapic_highest(), for one who asks again and again
 *
 * The priority class of what the vCPU does; whether there is a vector above it. The first only
 * changes when the vCPU runs.
 */
u8 lapic_priority(struct vcpu *vcpu);
bool lapic_above(struct vcpu *vcpu, u8 priority);

/** lapic_accept - move @vector from IRR to ISR: it is being injected. */
void lapic_accept(struct vcpu *vcpu, u8 vector);

#endif
