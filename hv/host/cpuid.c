/* SPDX-License-Identifier: GPL-2.0-only */
/* See hv/host/cpuid.h. */
#include "hv/host/cpuid.h"
#include "hv/host/x86.h"

void host_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
	struct cpuid_regs r = cpuid(leaf, subleaf);

	out[0] = r.eax;
	out[1] = r.ebx;
	out[2] = r.ecx;
	out[3] = r.edx;
}
