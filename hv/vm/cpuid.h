/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's CPUID: a table per vCPU, built once from what the host has and we can give, and
 * adjusted when the guest changes CR4 or XCR0. Features are listed, not passed on: a bit we do not
 * know is hidden.
 */
#ifndef HV_VM_CPUID_H
#define HV_VM_CPUID_H

#include "hv/host/types.h"

struct vcpu;

struct cpuid_entry {
	u32 eax, ebx, ecx, edx;
};

#define CPUID_BASIC	  0x00000000u
#define CPUID_HYPERVISOR  0x40000000u
#define CPUID_EXTENDED	  0x80000000u
#define CPUID_ROW	  16 /* leaves kept per range */
#define CPUID_MAX_SUBLEAF 24

struct cpuid_subleaf {
	u32 leaf, subleaf;
	struct cpuid_entry e;
};

struct vcpu_cpuid {
	struct cpuid_entry basic[CPUID_ROW];
	struct cpuid_entry extended[CPUID_ROW];
	struct cpuid_entry hypervisor[2];
	u32 has_subleaves; /* a bit per basic leaf; also for those beyond the last */
	u32 nr_subleaves;
	struct cpuid_subleaf subleaf[CPUID_MAX_SUBLEAF];
	struct cpuid_entry unknown; /* the last answer to a subleaf that is not kept */
};

/** vcpu_cpuid_init - build the table for @vcpu, and vcpu->cr4_may from it. */
void vcpu_cpuid_init(struct vcpu *vcpu);

/** vcpu_cpuid_update - after a change of CR4 (OSXSAVE, OSPKE) or XCR0 (area sizes). */
void vcpu_cpuid_update(struct vcpu *vcpu, u64 cr4);

/** vcpu_cpuid_other - vcpu_cpuid_find() for what its first lines do not answer. */
const struct cpuid_entry *vcpu_cpuid_other(struct vcpu_cpuid *c, u32 leaf, u32 subleaf);

/**
 * vcpu_cpuid_find - the answer to a leaf and subleaf, as the processor would choose it
 *
 * In the vCPU's thread; good until the next call.
 */
static inline const struct cpuid_entry *vcpu_cpuid_find(struct vcpu_cpuid *c, u32 leaf, u32 subleaf)
{
	if (likely(leaf < CPUID_ROW && !(c->has_subleaves >> leaf & 1)))
		return &c->basic[leaf];
	return vcpu_cpuid_other(c, leaf, subleaf);
}

#endif
