/* SPDX-License-Identifier: GPL-2.0-only */
/* CPUID of the physical CPU, as a call: for code that must stay free of inline assembly. */
#ifndef HV_HOST_CPUID_H
#define HV_HOST_CPUID_H

#include "hv/host/types.h"

/** host_cpuid - @out: EAX, EBX, ECX, EDX of the calling CPU. Any context. */
void host_cpuid(u32 leaf, u32 subleaf, u32 out[4]);

#endif
