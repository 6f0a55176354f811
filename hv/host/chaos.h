/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Chaos: pseudo-random delays at the named race points, so that rare interleavings are visited.
 *
 * Every place where two threads can meet has a race_point() between the steps whose order matters.
 * Without chaos=SEED on the command line it is one test of a flag that is never set.
 */
#ifndef HV_HOST_CHAOS_H
#define HV_HOST_CHAOS_H

#include "hv/host/types.h"

#define CHAOS_MAX_DELAY 2000 /* ticks */

extern bool chaos_enabled;

/** chaos_init - switch it on. @seed: any. Boot CPU, before threads use it; again restarts. */
void chaos_init(u64 seed);

/** chaos_off - switch it off again. */
void chaos_off(void);

/* Wait at one visit out of four, up to CHAOS_MAX_DELAY ticks. Interrupts off; any context but NMI.
 */
void chaos_delay(void);

static __always_inline void race_point(void)
{
	if (unlikely(chaos_enabled))
		chaos_delay();
}

#endif
