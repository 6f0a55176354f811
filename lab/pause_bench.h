/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The figures of experiment `pause`, on this hypervisor and on KVM (linux/vmm): what both measure,
 * and how.
 *
 * A sample begins with every vCPU in the guest. The slot is replaced, and then every vCPU touches
 * all of it once: beside the same round with nothing to fault in, that is the price of building the
 * translations again.
 */
#ifndef LAB_PAUSE_BENCH_H
#define LAB_PAUSE_BENCH_H

#include "hv/host/metric.h"
#include "hv/host/random.h"
#include "lab/params.h"
#include "lab/pause_arena.h"

#define PAUSE_KEPT	      512 /* samples */
#define PAUSE_SMALL_PAGES_MIB 4

struct pause_options {
	u32 vcpus;
	u64 mib, ticks;
	u32 others;
	bool only_given; /* the sizes that were asked for, no others */
	u64 ways;	 /* bit per row of pause_way_names */
	bool touch;
	enum slot_zap zap;
	enum arena_memory memory;
};

enum pause_part {
	PART_CYCLE,	 /* holding and resuming alone */
	PART_HOLD_KICK,	 /* thereof: until the kicks were sent */
	PART_HOLD_EVICT, /* until every vCPU was outside */
	PART_HOLD_DRAIN, /* until no reader was in the slots */
	PART_RESTART,	 /* from the resume until every vCPU executes guest code */
	PART_REPLACE,	 /* the change, with what stops the vCPUs */
	PART_EVICT,	 /* thereof: stopping the vCPUs */
	PART_ZAP,
	PART_FLUSH,
	PART_DRAIN,
	PART_FREE,
	PART_DELETE, /* KVM_SET_USER_MEMORY_REGION with size 0 */
	PART_CREATE, /* the same with a size */
	PART_RESUME,
	PART_REFAULT,	   /* a round afterwards, less a round with nothing to fault in */
	PART_REFAULT_PAGE, /* the same per translation */
	PART_TOTAL,	   /* from the call until every vCPU has made its round */
	NR_PAUSE_PARTS,
};

#define PAUSE_MAX_WAYS	 4
#define PAUSE_WAY_PARAMS 7

/* One configuration, and what was measured on it. */
struct pause_bench {
	const struct pause_options *o;
	struct arena_config config;
	u32 places;
	u64 round; /* ticks of a round with nothing to fault in */
	u64 p50[PAUSE_MAX_WAYS][NR_PAUSE_PARTS];
};

/* The one that is being measured: its VM, and the samples taken so far. */
extern struct arena pause_arena;
extern u64 pause_samples[NR_PAUSE_PARTS][PAUSE_KEPT];
extern unsigned int pause_kept;

extern const char *const pause_way_names[]; /* whose ways they are has this */

/** pause_read_options - those that there are everywhere. False: too few CPUs, which was a SKIP. */
bool pause_read_options(const struct param_values *v, struct pause_options *o);

/** pause_begin - make the VM, choose what its guests touch, let them do so. A failed result, or a
 * SKIP for too little memory, when that does not work. */
bool pause_begin(struct pause_bench *b);

/** pause_repeat - as often as the time allows, pause_kept counting. @once: false when it fails. */
bool pause_repeat(struct pause_bench *b, u32 way, bool (*once)(struct pause_bench *b, u32 way));

/**
 * pause_touch - after a change that began at @start: the round, if rounds were asked for
 *
 * Takes PART_TOTAL, PART_REFAULT, PART_REFAULT_PAGE. False: the round did not end.
 */
bool pause_touch(struct pause_bench *b, u64 start);

/** pause_way_params - what the figures of a way say of it. Returns PAUSE_WAY_PARAMS. */
unsigned int pause_way_params(const struct pause_bench *b, u32 way, struct metric_param *p);

/** pause_report_parts - the samples of @parts, a bit each; b->p50 gets the medians. */
void pause_report_parts(struct pause_bench *b, u32 way, u64 parts, const struct metric_param *p,
			unsigned int n);

/**
 * pause_count_missing - changes under vCPUs that touch all the time: how many accesses find no slot
 * @change: one change; an errno
 * @live: there are to be such accesses; else there are to be none
 *
 * Two figures and a result.
 */
void pause_count_missing(struct pause_bench *b, u32 way, bool live,
			 int (*change)(struct pause_bench *b, u32 way, struct rng *rng));

#endif
