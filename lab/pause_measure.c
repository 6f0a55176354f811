/* SPDX-License-Identifier: GPL-2.0-only */
/* The figures of experiment `pause`, see lab/pause_bench.h: the ways of this hypervisor. */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "lab/pause.h"

#define MAX_GAP	   patient(1000) /* ticks between the two calls of a live change */
#define LARGE_MIB  1024
#define MANY_SLOTS 256

#define PARTS_OF_CYCLE                                                                             \
	(BIT(PART_CYCLE) | BIT(PART_HOLD_KICK) | BIT(PART_HOLD_EVICT) | BIT(PART_HOLD_DRAIN) |     \
	 BIT(PART_RESTART))
#define PARTS_OF_ALL                                                                               \
	(BIT(PART_REPLACE) | BIT(PART_ZAP) | BIT(PART_FLUSH) | BIT(PART_DRAIN) | BIT(PART_FREE) |  \
	 BIT(PART_REFAULT) | BIT(PART_REFAULT_PAGE) | BIT(PART_TOTAL))

/* Parts that a way does not have would be rows of zeroes. */
static const u64 parts_of[NR_WAYS] = {
	[WAY_LIVE] = PARTS_OF_ALL,
	[WAY_ONE_BY_ONE] = PARTS_OF_ALL | BIT(PART_EVICT),
	[WAY_PAUSED] = PARTS_OF_ALL | BIT(PART_EVICT) | BIT(PART_RESUME),
	[WAY_ATOMIC] = PARTS_OF_ALL,
};

const char *const pause_way_names[] = {
	[WAY_LIVE] = "live",
	[WAY_ONE_BY_ONE] = "one-by-one",
	[WAY_PAUSED] = "paused",
	[WAY_ATOMIC] = "atomic",
};

_Static_assert(NR_WAYS == PAUSE_MAX_WAYS, "all ways unless told otherwise");

static u64 since(u64 start)
{
	return ticks_now() - start;
}

/* --- pause and resume ------------------------------------------------------------------------ */

static bool pause_once(struct pause_bench *b, u32 way)
{
	struct vm_hold hold = { .vm = NULL };
	struct pause_report r;
	u64 start, resumed;
	int err;

	if (!arena_all_in(&pause_arena))
		return false;
	start = ticks_now();
	err = vm_pause(pause_arena.vm, &hold, 0, &r);
	if (err)
		return false;
	vm_resume(&hold);
	resumed = ticks_now();
	if (!arena_all_in(&pause_arena))
		return false;
	pause_samples[PART_CYCLE][pause_kept] = resumed - start;
	pause_samples[PART_HOLD_KICK][pause_kept] = r.kick;
	pause_samples[PART_HOLD_EVICT][pause_kept] = r.evict;
	pause_samples[PART_HOLD_DRAIN][pause_kept] = r.drain;
	pause_samples[PART_RESTART][pause_kept] = since(resumed);
	return true;
}

static void measure_cycle(struct pause_bench *b)
{
	const struct metric_param p = { .key = "vcpus", .value = b->config.vcpus };
	bool ok = pause_repeat(b, WAY_PAUSED, pause_once);

	ktap_result(ok, "%u busy vCPUs can be paused and resumed again and again", b->config.vcpus);
	pause_report_parts(b, WAY_PAUSED, PARTS_OF_CYCLE, &p, 1);
}

/* --- replacing the slot ---------------------------------------------------------------------- */

static int replace(u32 way, const struct slot_change list[2], struct slot_report *r)
{
	static const enum slot_way ways[NR_WAYS] = {
		[WAY_LIVE] = SLOTS_LIVE,
		[WAY_ONE_BY_ONE] = SLOTS_LIVE,
		[WAY_PAUSED] = SLOTS_PAUSED,
		[WAY_ATOMIC] = SLOTS_ATOMIC,
	};
	bool stopped = true;
	int err;

	if (way == WAY_ONE_BY_ONE) {
		u64 start = ticks_now();

		stopped = arena_stop_one_by_one(&pause_arena);
		pause_samples[PART_EVICT][pause_kept] = since(start);
	}
	err = stopped ? vm_change_slots(pause_arena.vm, list, 2, ways[way], r) : -ETIMEDOUT;
	if (way == WAY_ONE_BY_ONE)
		arena_let_go(&pause_arena);
	if (way == WAY_PAUSED)
		pause_samples[PART_EVICT][pause_kept] = r->pause;
	return err;
}

static bool replace_once(struct pause_bench *b, u32 way)
{
	struct slot_change list[2];
	struct slot_report r;
	u64 start;
	int err;

	arena_recreate(&pause_arena, list);
	if (!arena_all_in(&pause_arena))
		return false;
	start = ticks_now();
	err = replace(way, list, &r);
	pause_samples[PART_REPLACE][pause_kept] = since(start);
	if (err) {
		ktap_note("%s: %s", errno_name(err), r.why);
		return false;
	}
	if (!pause_touch(b, start))
		return false;
	pause_samples[PART_ZAP][pause_kept] = r.zap;
	pause_samples[PART_FLUSH][pause_kept] = r.flush;
	pause_samples[PART_DRAIN][pause_kept] = r.drain;
	pause_samples[PART_FREE][pause_kept] = r.free;
	pause_samples[PART_RESUME][pause_kept] = r.resume;
	return true;
}

/* As KVM has it made: two calls, and between them whatever the VMM and its host are doing. */
static int replace_in_two_calls(const struct slot_change list[2], struct rng *rng)
{
	int err = vm_change_slots(pause_arena.vm, &list[0], 1, SLOTS_LIVE, NULL);

	spin_ticks(rng_below(rng, MAX_GAP));
	return err ? err : vm_change_slots(pause_arena.vm, &list[1], 1, SLOTS_LIVE, NULL);
}

static int change(struct pause_bench *b, u32 way, struct rng *rng)
{
	struct slot_change list[2];
	struct slot_report r;

	arena_recreate(&pause_arena, list);
	return way == WAY_LIVE ? replace_in_two_calls(list, rng) : replace(way, list, &r);
}

static void measure_way(struct pause_bench *b, u32 way)
{
	struct metric_param p[PAUSE_WAY_PARAMS];
	unsigned int n = pause_way_params(b, way, p);
	bool ok = pause_repeat(b, way, replace_once);

	ktap_result(ok, "a slot of %llu MiB among %u others can be replaced under %u vCPUs: %s",
		    (unsigned long long)b->config.mib, b->config.others, b->config.vcpus,
		    pause_way_names[way]);
	pause_report_parts(b, way, parts_of[way], p, n);
	if (ok && b->o->touch)
		pause_count_missing(b, way, way == WAY_LIVE, change);
}

/* --- configurations -------------------------------------------------------------------------- */

static struct pause_bench bench_of(const struct pause_options *o, u64 mib, u32 others)
{
	return (struct pause_bench){
		.o = o,
		.config = { .vcpus = o->vcpus,
			    .mib = mib,
			    .others = others,
			    .zap = o->zap,
			    .memory = o->memory },
	};
}

static void measure_config(struct pause_bench *b, u64 ways, bool cycle)
{
	if (!pause_begin(b))
		return;
	if (cycle)
		measure_cycle(b);
	for (unsigned int way = 0; way < NR_WAYS; way++)
		if (ways & BIT(way))
			measure_way(b, way);
	ktap_result(arena_intact(&pause_arena),
		    "memory contents survive every change of a slot of %llu MiB among %u others",
		    (unsigned long long)b->config.mib, b->config.others);
	arena_destroy(&pause_arena);
}

/* The same in translations of 4 KiB. */
static void measure_small_pages(const struct pause_options *o, const struct pause_bench *large)
{
	static struct pause_bench b;
	enum pause_way way = WAY_PAUSED;
	u64 pause, change;

	b = bench_of(o, min_u64(large->config.mib, PAUSE_SMALL_PAGES_MIB), large->config.others);
	b.config.small_pages = true;
	measure_config(&b, BIT(way), false);
	pause = large->p50[way][PART_CYCLE];
	change = large->p50[way][PART_REPLACE] - large->p50[way][PART_EVICT] -
		 large->p50[way][PART_RESUME];
	ktap_note("is pausing the long pole, or the rebuild? With %u busy vCPUs:", o->vcpus);
	ktap_note("pausing and resuming takes %llu ticks, the change itself %llu,",
		  (unsigned long long)pause, (unsigned long long)change);
	ktap_note("building %u translations of 2 MiB again %llu, %u of 4 KiB %llu", large->places,
		  (unsigned long long)large->p50[way][PART_REFAULT], b.places,
		  (unsigned long long)b.p50[way][PART_REFAULT]);
	if (pause)
		ktap_note("the rebuild is %llu %% of a pause with large pages, %llu %% with small",
			  (unsigned long long)(large->p50[way][PART_REFAULT] * 100 / pause),
			  (unsigned long long)(b.p50[way][PART_REFAULT] * 100 / pause));
}

void pause_measure(const struct pause_options *o)
{
	u64 steady = o->ways & (BIT(WAY_PAUSED) | BIT(WAY_ATOMIC));
	static struct pause_bench b, other;

	b = bench_of(o, o->mib, o->others);
	measure_config(&b, o->ways, true);
	if (!o->only_given && steady) {
		other = bench_of(o, LARGE_MIB, o->others);
		measure_config(&other, steady, false);
		other = bench_of(o, o->mib, MANY_SLOTS);
		measure_config(&other, steady, false);
	}
	if (o->touch && (o->ways & BIT(WAY_PAUSED)))
		measure_small_pages(o, &b);
}
