/* SPDX-License-Identifier: GPL-2.0-only */
/* splitmix64: a counter in odd steps, and a mixing function on top of it. */
#include "hv/host/random.h"

#define STEP 0x9e3779b97f4a7c15ull /* 2^64 divided by the golden ratio, odd */

static u64 mix(u64 z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

void rng_init(struct rng *r, u64 seed, u64 stream)
{
	/* Mixed, so that neighbouring streams do not walk through each other's numbers. */
	r->state = mix(seed + STEP) ^ mix(mix(stream + STEP));
}

u64 rng_next(struct rng *r)
{
	r->state += STEP;
	return mix(r->state);
}

u64 rng_below(struct rng *r, u64 n)
{
	u64 surplus = (0 - n) % n; /* 2^64 mod n */
	u64 v;

	/* The first 2^64 mod n values would make some results likelier than others. */
	do {
		v = rng_next(r);
	} while (v < surplus);
	return v % n;
}
