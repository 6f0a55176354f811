/* SPDX-License-Identifier: GPL-2.0-only */
/* Pseudo-random numbers that depend on the run's seed and on nothing else. */
#ifndef HV_HOST_RANDOM_H
#define HV_HOST_RANDOM_H

#include "hv/host/types.h"

struct rng {
	u64 state;
};

/** rng_init - start a sequence. @stream tells sequences with the same seed apart (a CPU, a vCPU).
 */
void rng_init(struct rng *r, u64 seed, u64 stream);

/** rng_next - the next 64 bits (splitmix64). */
u64 rng_next(struct rng *r);

/** rng_below - uniform in 0..@n-1, @n at least 1. */
u64 rng_below(struct rng *r, u64 n);

#endif
