/* SPDX-License-Identifier: GPL-2.0-only */
/* See lab/dawdle.h. */
#include "lab/dawdle.h"

#include "hv/host/apic.h"
#include "hv/host/patience.h"
#include "hv/host/percpu.h"
#include "hv/host/timer.h"

#define ROUNDS	 100
#define SAMPLES	 8
#define ANSWERED patient(50000) /* ticks */

/* Ticks until CPU 1 is seen to have answered, or far too many. */
static u64 nmi_ticks(void)
{
	u64 before = atomic_load(&cpus[1]->nr_nmi), start = ticks_now();

	apic_send_nmi(1);
	while (atomic_load(&cpus[1]->nr_nmi) == before && ticks_now() - start < ANSWERED)
		;
	return ticks_now() - start;
}

u32 dawdle_rounds(void)
{
	static u32 rounds;
	u64 least = ANSWERED;

	if (patience_factor == 1 || nr_cpus < 2)
		return ROUNDS;
	if (rounds)
		return rounds;
	for (unsigned int i = 0; i < SAMPLES; i++)
		least = min_u64(least, nmi_ticks());
	rounds = (u32)max_u64(least, ROUNDS);
	return rounds;
}
