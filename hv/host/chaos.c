/* SPDX-License-Identifier: GPL-2.0-only */
/* See hv/host/chaos.h. */
#include "hv/host/chaos.h"

#include "hv/host/percpu.h"
#include "hv/host/random.h"
#include "hv/host/timer.h"

bool chaos_enabled;

/* A sequence per CPU: what one CPU draws does not depend on what the others do. */
static struct rng rng[MAX_CPUS];

void chaos_init(u64 seed)
{
	for (u32 i = 0; i < MAX_CPUS; i++)
		rng_init(&rng[i], seed, i);
	chaos_enabled = true;
}

void chaos_off(void)
{
	chaos_enabled = false;
}

void chaos_delay(void)
{
	struct rng *r = &rng[this_cpu()->id];

	if (!rng_below(r, 4))
		spin_ticks(rng_below(r, CHAOS_MAX_DELAY));
}
