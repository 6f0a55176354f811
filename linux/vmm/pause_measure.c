/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The figures of experiment `pause`, see lab/pause_bench.h: the ways that KVM has.
 *
 * It has no report of a change: what is seen is what the calls take. Deleting waits for readers
 * twice, and zaps all translations between; creating waits for them once. So pause.create is a
 * reader drain and little else, and pause.delete less twice that the zap.
 */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "linux/vmm/pause.h"

#define MAX_GAP	   1000 /* ticks between the two calls of a live change */
#define LARGE_MIB  256
#define MANY_SLOTS 32

#define PARTS_OF_CYCLE (BIT(PART_CYCLE) | BIT(PART_HOLD_EVICT) | BIT(PART_RESTART))
#define PARTS_OF_ALL                                                                               \
	(BIT(PART_REPLACE) | BIT(PART_DELETE) | BIT(PART_CREATE) | BIT(PART_REFAULT) |             \
	 BIT(PART_REFAULT_PAGE) | BIT(PART_TOTAL))
#define PARTS_OF_STOP (BIT(PART_EVICT) | BIT(PART_RESUME))

const char *const pause_way_names[] = {
	[WAY_LIVE] = "live",
	[WAY_SIGNAL] = "signal",
	[WAY_IMMEDIATE] = "immediate_exit",
	[WAY_KICK_ALL] = "kick_all",
};

_Static_assert(NR_WAYS == PAUSE_MAX_WAYS, "all ways unless told otherwise");

static u64 since(u64 start)
{
	return ticks_now() - start;
}

static void report_exits(const char *of, u64 exits, const struct pause_bench *b)
{
	const struct metric_param p[] = {
		{ .key = "of", .word = of },
		{ .key = "ops", .value = pause_kept },
		{ .key = "way", .word = pause_way_names[b->config.way] },
		{ .key = "vcpus", .value = b->config.vcpus },
		{ .key = "mib", .value = b->config.mib },
		{ .key = "slots", .value = b->config.others },
		{ .key = "places", .value = b->o->touch ? b->places : 0 },
	};

	metric_value("kvm.exits", "count", exits, p, ARRAY_SIZE(p));
}

/* --- pause and resume ------------------------------------------------------------------------- */

static bool pause_once(struct pause_bench *b, u32 way)
{
	u64 start, held, resumed;

	if (!arena_all_in(&pause_arena))
		return false;
	start = ticks_now();
	if (arena_hold(&pause_arena))
		return false;
	held = ticks_now();
	if (arena_resume(&pause_arena))
		return false;
	resumed = ticks_now();
	if (!arena_all_in(&pause_arena))
		return false;
	pause_samples[PART_CYCLE][pause_kept] = resumed - start;
	pause_samples[PART_HOLD_EVICT][pause_kept] = held - start;
	pause_samples[PART_RESTART][pause_kept] = since(resumed);
	return true;
}

static void measure_cycle(struct pause_bench *b, u32 way)
{
	const struct metric_param p[] = {
		{ .key = "way", .word = pause_way_names[way] },
		{ .key = "vcpus", .value = b->config.vcpus },
	};
	u64 exits = arena_exits(&pause_arena);
	bool ok = pause_repeat(b, way, pause_once);

	ktap_result(ok, "%u busy vCPUs can be paused and resumed again and again: %s",
		    b->config.vcpus, pause_way_names[way]);
	pause_report_parts(b, way, PARTS_OF_CYCLE, p, ARRAY_SIZE(p));
	report_exits("pause.cycle", arena_exits(&pause_arena) - exits, b);
}

/* --- replacing the slot ----------------------------------------------------------------------- */

static int replace(void)
{
	u64 start = ticks_now(), part;
	int err;

	err = arena_hold(&pause_arena);
	if (err)
		return err;
	part = ticks_now();
	pause_samples[PART_EVICT][pause_kept] = part - start;
	err = arena_delete(&pause_arena);
	pause_samples[PART_DELETE][pause_kept] = since(part);
	part = ticks_now();
	if (!err)
		err = arena_insert(&pause_arena);
	pause_samples[PART_CREATE][pause_kept] = since(part);
	part = ticks_now();
	if (!err)
		err = arena_resume(&pause_arena);
	pause_samples[PART_RESUME][pause_kept] = since(part);
	pause_samples[PART_REPLACE][pause_kept] = since(start);
	return err;
}

static bool replace_once(struct pause_bench *b, u32 way)
{
	u64 start;
	int err;

	if (!arena_all_in(&pause_arena))
		return false;
	start = ticks_now();
	err = replace();
	if (err) {
		ktap_note("%s", errno_name(err));
		return false;
	}
	return pause_touch(b, start);
}

/* Two calls, and between them whatever the VMM and its host are doing. */
static int replace_with_gap(struct pause_bench *b, u32 way, struct rng *rng)
{
	int err = arena_hold(&pause_arena), end;

	if (err)
		return err;
	err = arena_delete(&pause_arena);
	spin_ticks(rng_below(rng, MAX_GAP));
	if (!err)
		err = arena_insert(&pause_arena);
	end = arena_resume(&pause_arena);
	return err ? err : end;
}

static void measure_way(struct pause_bench *b, u32 way)
{
	struct metric_param p[PAUSE_WAY_PARAMS];
	unsigned int n = pause_way_params(b, way, p);
	u64 exits = arena_exits(&pause_arena);
	bool ok = pause_repeat(b, way, replace_once);

	ktap_result(ok, "a slot of %llu MiB among %u others can be replaced under %u vCPUs: %s",
		    (unsigned long long)b->config.mib, b->config.others, b->config.vcpus,
		    pause_way_names[way]);
	pause_report_parts(b, way, PARTS_OF_ALL | (way == WAY_LIVE ? 0 : PARTS_OF_STOP), p, n);
	report_exits("pause.replace", arena_exits(&pause_arena) - exits, b);
	if (ok && b->o->touch)
		pause_count_missing(b, way, way == WAY_LIVE, replace_with_gap);
}

/* --- configurations --------------------------------------------------------------------------- */

static void measure_config(struct pause_bench *b, bool cycle)
{
	enum pause_way way = b->config.way;

	if (!pause_begin(b))
		return;
	if (cycle && way != WAY_LIVE)
		measure_cycle(b, way);
	measure_way(b, way);
	ktap_result(
		arena_intact(&pause_arena),
		"memory contents survive every change of a slot of %llu MiB among %u others: %s",
		(unsigned long long)b->config.mib, b->config.others, pause_way_names[way]);
	arena_destroy(&pause_arena);
}

static struct pause_bench bench_of(const struct pause_options *o, enum pause_way way, u64 mib,
				   u32 others)
{
	return (struct pause_bench){
		.o = o,
		.config = { .way = way,
			    .vcpus = o->vcpus,
			    .mib = mib,
			    .others = others,
			    .zap = o->zap },
	};
}

/* The bet: the pause against the change and what it makes necessary. */
static void compare_parts(const struct pause_bench *large, const struct pause_bench *small)
{
	enum pause_way way = large->config.way;
	u64 pause = large->p50[way][PART_EVICT] + large->p50[way][PART_RESUME];
	u64 change = large->p50[way][PART_DELETE] + large->p50[way][PART_CREATE];

	ktap_note("is pausing the long pole, or the rebuild? %u busy vCPUs, %s:",
		  large->config.vcpus, pause_way_names[way]);
	ktap_note("stopping and letting go takes %llu ticks, the change itself %llu,",
		  (unsigned long long)pause, (unsigned long long)change);
	ktap_note("building %u translations of 2 MiB again %llu, %u of 4 KiB %llu", large->places,
		  (unsigned long long)large->p50[way][PART_REFAULT], small->places,
		  (unsigned long long)small->p50[way][PART_REFAULT]);
}

static void measure_one(const struct pause_options *o, enum pause_way way)
{
	struct pause_bench large = bench_of(o, way, o->mib, o->others);
	struct pause_bench small =
		bench_of(o, way, min_u64(o->mib, PAUSE_SMALL_PAGES_MIB), o->others);
	struct pause_bench other;

	measure_config(&large, true);
	if (!o->only_given && way == WAY_KICK_ALL) {
		other = bench_of(o, way, LARGE_MIB, o->others);
		measure_config(&other, false);
		other = bench_of(o, way, o->mib, MANY_SLOTS);
		measure_config(&other, false);
	}
	if (!o->touch || way == WAY_LIVE)
		return;
	small.config.small_pages = true;
	measure_config(&small, false);
	compare_parts(&large, &small);
}

void pause_measure(const struct pause_options *o)
{
	for (int way = 0; way < NR_WAYS; way++) {
		if (!(o->ways & BIT(way)))
			continue;
		if (way == WAY_KICK_ALL &&
		    !needs_cap(KVM_CAP_KICK_ALL_VCPUS, "busy vCPUs can be paused: kick_all"))
			continue;
		measure_one(o, (enum pause_way)way);
	}
}
