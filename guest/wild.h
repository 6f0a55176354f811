/* SPDX-License-Identifier: GPL-2.0-only */
/* Parts of the wild program: what a guest survives when its hypervisor is right. */
#ifndef GUEST_WILD_H
#define GUEST_WILD_H

#include "hv/host/types.h"

/* Values that control registers, MSRs and debug registers must refuse. */
void wild_combos(void);

/* Reads and writes of all sizes at an address where no RAM is. */
void wild_hole(u64 address);

/* @n random VMCALLs, MSR accesses, port accesses, control register writes. */
void wild_vmcalls(u64 n, u64 seed);
void wild_msrs(u64 n, u64 seed);
void wild_ports(u64 n, u64 seed);
void wild_crs(u64 n, u64 seed);

/*
 * Random accesses to the local APIC, @n on each CPU: those that a guest survives; and any, random
 * code among them, by one CPU.
 */
void wild_apic(u64 n, u64 seed);
void wild_apic_any(u64 n, u64 seed);

#endif
