/* SPDX-License-Identifier: GPL-2.0-only */
/* What the guest runs on, from CPUID and fw_cfg. */
#ifndef GUEST_RT_PLATFORM_H
#define GUEST_RT_PLATFORM_H

#include "hv/host/types.h"

struct platform {
	char hypervisor[13]; /* signature of leaf 0x40000000, "none" without one */
	char brand[49];	     /* the CPU's name, or its vendor when it has no name */
	bool hypervised;     /* CPUID says there is a hypervisor */
	bool tcg;	     /* it is QEMU's interpreter, which is laxer than a CPU in places */
	bool has_apic;
	bool has_x2apic;
	bool has_xsave;
	u32 nr_cpus; /* from fw_cfg; 1 where there is no fw_cfg */
};

extern struct platform platform;

/**
 * platform_init - fill in. Boot CPU.
 *
 * Masks the PICs and turns CR4.OSXSAVE on when there is XSAVE.
 */
void platform_init(void);

/** platform_init_cpu - the part that each other CPU does. */
void platform_init_cpu(void);

#endif
