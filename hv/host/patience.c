/* SPDX-License-Identifier: GPL-2.0-only */
/* See hv/host/patience.h. */
#include "hv/host/patience.h"

#include "hv/host/x86.h"

#define CPUID_HYPERVISOR BIT(31) /* leaf 1, ECX */
#define TRIES		 8
#define CPUID_TICKS	 50 /* an exit by itself, where the limits come from; see exits.floor */

u64 patience_factor = 1;

void patience_init(void)
{
	u64 least = UINT64_MAX;

	if (!(cpuid(1, 0).ecx & CPUID_HYPERVISOR))
		return;
	for (unsigned int i = 0; i < TRIES; i++) {
		u64 start = rdtsc(), ticks;

		cpuid(1, 0);
		ticks = rdtsc() - start;
		least = ticks < least ? ticks : least;
	}
	if (least > CPUID_TICKS)
		patience_factor = least / CPUID_TICKS;
}
