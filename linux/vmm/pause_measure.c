/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The figures of experiment `pause` on KVM.
 *
 * A sample begins with every vCPU in the guest. The slot is replaced, and then every vCPU touches
 * all of it once: beside the same round with nothing to fault in, that is the price of building the
 * translations again. KVM has no report of a change: what is seen is what the calls take. Deleting
 * waits for readers twice, and zaps all translations between; creating waits for them once. So
 * pause.create is a reader drain and little else, and pause.delete less twice that the zap.
 */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/random.h"
#include "linux/vmm/pause.h"

#define KEPT		512
#define MIN_SAMPLES	3
#define MAX_GAP		1000 /* ticks between the two calls of a live change */
#define LARGE_PLACES	8    /* of 2 MiB each: host memory is finite */
#define MAX_PLACES	1024 /* translations to build again, for a vCPU to touch in one round */
#define LARGE_MIB	256
#define SMALL_PAGES_MIB 4
#define MANY_SLOTS	32

enum part {
	PART_CYCLE,	   /* holding and resuming alone */
	PART_HOLD,	   /* thereof: until every vCPU was out */
	PART_RESTART,	   /* from the resume until every vCPU executes guest code */
	PART_REPLACE,	   /* the change, with what stops the vCPUs */
	PART_EVICT,	   /* thereof: stopping the vCPUs */
	PART_DELETE,	   /* KVM_SET_USER_MEMORY_REGION with size 0 */
	PART_CREATE,	   /* the same with a size */
	PART_RESUME,	   /* letting them go */
	PART_REFAULT,	   /* a round afterwards, less a round with nothing to fault in */
	PART_REFAULT_PAGE, /* the same per translation */
	PART_TOTAL,	   /* from the call until every vCPU has made its round */
	NR_PARTS,
};

static const char *const part_names[NR_PARTS] = {
	[PART_CYCLE] = "pause.cycle",	      [PART_HOLD] = "pause.evict",
	[PART_RESTART] = "pause.restart",     [PART_REPLACE] = "pause.replace",
	[PART_EVICT] = "pause.replace_evict", [PART_DELETE] = "pause.delete",
	[PART_CREATE] = "pause.create",	      [PART_RESUME] = "pause.replace_resume",
	[PART_REFAULT] = "pause.refault",     [PART_REFAULT_PAGE] = "pause.refault_page",
	[PART_TOTAL] = "pause.total",
};

/* One configuration, and what was measured on it. */
struct bench {
	const struct pause_options *o;
	struct arena_config config;
	u32 places;
	u64 round; /* ticks of a round with nothing to fault in */
	u64 p50[NR_PARTS];
};

static struct arena arena;
static u64 samples[NR_PARTS][KEPT];
static unsigned int kept;

static u64 since(u64 start)
{
	return ticks_now() - start;
}

static unsigned int bench_params(const struct bench *b, struct metric_param *p)
{
	unsigned int n = 0;

	p[n++] = (struct metric_param){ .key = "way", .word = pause_way_names[b->config.way] };
	p[n++] = (struct metric_param){ .key = "vcpus", .value = b->config.vcpus };
	p[n++] = (struct metric_param){ .key = "mib", .value = b->config.mib };
	p[n++] = (struct metric_param){ .key = "slots", .value = b->config.others };
	p[n++] = (struct metric_param){ .key = "places", .value = b->o->touch ? b->places : 0 };
	p[n++] = (struct metric_param){ .key = "zap", .word = "all" };
	p[n++] = (struct metric_param){ .key = "populate", .word = "no" };
	return n;
}

static void report_parts(struct bench *b, unsigned int first, unsigned int last,
			 const struct metric_param *p, unsigned int n)
{
	for (unsigned int i = first; i <= last && kept; i++) {
		bool stops = b->config.way != WAY_LIVE;

		if ((i == PART_EVICT || i == PART_RESUME) && !stops)
			continue;
		if ((i == PART_REFAULT || i == PART_REFAULT_PAGE) && !b->o->touch)
			continue;
		metric_samples(part_names[i], "ticks", samples[i], kept, p, n);
		b->p50[i] = samples[i][kept / 2];
	}
}

static void report_exits(const char *of, u64 exits, const struct bench *b)
{
	const struct metric_param p[] = {
		{ .key = "of", .word = of },
		{ .key = "ops", .value = kept },
		{ .key = "way", .word = pause_way_names[b->config.way] },
		{ .key = "vcpus", .value = b->config.vcpus },
		{ .key = "mib", .value = b->config.mib },
		{ .key = "slots", .value = b->config.others },
		{ .key = "places", .value = b->o->touch ? b->places : 0 },
	};

	metric_value("kvm.exits", "count", exits, p, ARRAY_SIZE(p));
}

/* --- pause and resume ------------------------------------------------------------------------- */

static bool pause_once(void)
{
	u64 start, held, resumed;

	if (!arena_all_in(&arena))
		return false;
	start = ticks_now();
	if (arena_hold(&arena))
		return false;
	held = ticks_now();
	if (arena_resume(&arena))
		return false;
	resumed = ticks_now();
	if (!arena_all_in(&arena))
		return false;
	samples[PART_CYCLE][kept] = resumed - start;
	samples[PART_HOLD][kept] = held - start;
	samples[PART_RESTART][kept] = since(resumed);
	kept++;
	return true;
}

static void measure_cycle(struct bench *b)
{
	const struct metric_param p[] = {
		{ .key = "way", .word = pause_way_names[b->config.way] },
		{ .key = "vcpus", .value = b->config.vcpus },
	};
	u64 end = ticks_now() + b->o->ticks, exits = arena_exits(&arena);
	bool ok = true;

	kept = 0;
	while (ok && kept < KEPT && (ticks_now() < end || kept < MIN_SAMPLES))
		ok = pause_once();
	ktap_result(ok, "%u busy vCPUs can be paused and resumed again and again: %s",
		    b->config.vcpus, pause_way_names[b->config.way]);
	report_parts(b, PART_CYCLE, PART_RESTART, p, ARRAY_SIZE(p));
	report_exits("pause.cycle", arena_exits(&arena) - exits, b);
}

/* --- replacing the slot ----------------------------------------------------------------------- */

/* One round by everybody. Returns its ticks, 0 when it does not end. */
static u64 make_round(void)
{
	u64 start = ticks_now();

	arena_go(&arena);
	return arena_wait_done(&arena) ? since(start) : 0;
}

static int replace(void)
{
	u64 start = ticks_now(), part;
	int err;

	err = arena_hold(&arena);
	if (err)
		return err;
	part = ticks_now();
	samples[PART_EVICT][kept] = part - start;
	err = arena_delete(&arena);
	samples[PART_DELETE][kept] = since(part);
	part = ticks_now();
	if (!err)
		err = arena_insert(&arena);
	samples[PART_CREATE][kept] = since(part);
	part = ticks_now();
	if (!err)
		err = arena_resume(&arena);
	samples[PART_RESUME][kept] = since(part);
	samples[PART_REPLACE][kept] = since(start);
	return err;
}

static bool replace_once(struct bench *b)
{
	u64 start, refault = 0;
	int err;

	if (!arena_all_in(&arena))
		return false;
	start = ticks_now();
	err = replace();
	if (err) {
		ktap_note("%s", errno_name(err));
		return false;
	}
	if (b->o->touch) {
		refault = make_round();
		if (!refault)
			return false;
	}
	samples[PART_TOTAL][kept] = since(start);
	refault -= min_u64(refault, b->round);
	samples[PART_REFAULT][kept] = refault;
	samples[PART_REFAULT_PAGE][kept] = refault / b->places;
	kept++;
	return true;
}

/* Two calls, and between them whatever the VMM and its host are doing. */
static int replace_with_gap(struct rng *rng)
{
	int err = arena_hold(&arena), end;

	if (err)
		return err;
	err = arena_delete(&arena);
	spin_ticks(rng_below(rng, MAX_GAP));
	if (!err)
		err = arena_insert(&arena);
	end = arena_resume(&arena);
	return err ? err : end;
}

/* Changes under vCPUs that touch all the time; @missing: how many accesses found no slot. */
static int count_missing(struct bench *b, u64 *changes, u64 *missing)
{
	u64 before = arena_missing(&arena), end = ticks_now() + b->o->ticks;
	struct rng rng;
	int err = 0;

	*changes = 0;
	rng_init(&rng, run_options.seed, 7);
	arena_free_run(&arena, true);
	while (!err && (ticks_now() < end || *changes < MIN_SAMPLES)) {
		err = arena_all_in(&arena) ? replace_with_gap(&rng) : -ETIMEDOUT;
		*changes += !err;
	}
	if (!arena_free_run(&arena, false))
		err = -ETIMEDOUT;
	*missing = arena_missing(&arena) - before;
	return err;
}

static void report_missing(struct bench *b, const struct metric_param *p, unsigned int n)
{
	u64 changes, missing;
	int err;

	kept = 0;
	err = count_missing(b, &changes, &missing);
	if (b->config.way == WAY_LIVE)
		ktap_result(!err && missing,
			    "live changes are seen to fail: accesses find no slot");
	else
		ktap_result(!err && !missing, "%s: no access ever finds no slot",
			    pause_way_names[b->config.way]);
	if (err)
		ktap_note("%s", errno_name(err));
	metric_value("pause.changes", "count", changes, p, n);
	metric_value("pause.missing", "count", missing, p, n);
}

static void measure_way(struct bench *b)
{
	struct metric_param p[METRIC_MAX_PARAMS];
	unsigned int n = bench_params(b, p);
	u64 end = ticks_now() + b->o->ticks, exits = arena_exits(&arena);
	bool ok = true;

	kept = 0;
	while (ok && kept < KEPT && (ticks_now() < end || kept < MIN_SAMPLES))
		ok = replace_once(b);
	ktap_result(ok, "a slot of %llu MiB among %u others can be replaced under %u vCPUs: %s",
		    (unsigned long long)b->config.mib, b->config.others, b->config.vcpus,
		    pause_way_names[b->config.way]);
	report_parts(b, PART_REPLACE, PART_TOTAL, p, n);
	report_exits("pause.replace", arena_exits(&arena) - exits, b);
	if (ok && b->o->touch)
		report_missing(b, p, n);
}

/* --- configurations --------------------------------------------------------------------------- */

/* Where the guests touch: once per translation, as far as memory goes. */
static void choose_places(struct bench *b)
{
	u64 size = MIB(b->config.mib), each = b->config.small_pages ? PAGE_SIZE : MIB(2);
	u64 most = b->config.small_pages ? MAX_PLACES : LARGE_PLACES;

	b->places = (u32)min_u64(size > each ? size / each : 1, most);
	arena_places(&arena, b->places, (u32)ALIGN_DOWN(size / b->places, PAGE_SIZE));
}

/* The first round allocates memory, the second maps nothing. */
static bool first_rounds(struct bench *b)
{
	if (!arena_all_in(&arena))
		return false;
	if (!b->o->touch)
		return true;
	if (!make_round())
		return false;
	b->round = make_round();
	return b->round;
}

static bool bench_begin(struct bench *b)
{
	int err = arena_create(&arena, &b->config);

	if (!err)
		err = arena_start(&arena, 0);
	if (!err) {
		choose_places(b);
		err = first_rounds(b) ? 0 : -ETIMEDOUT;
	}
	if (!err)
		return true;
	ktap_result(false, "%u busy vCPUs can be started beside a slot of %llu MiB",
		    b->config.vcpus, (unsigned long long)b->config.mib);
	ktap_note("%s", errno_name(err));
	arena_destroy(&arena);
	return false;
}

static void measure_config(struct bench *b, bool cycle)
{
	if (!bench_begin(b))
		return;
	if (cycle && b->config.way != WAY_LIVE)
		measure_cycle(b);
	measure_way(b);
	ktap_result(
		arena_intact(&arena),
		"memory contents survive every change of a slot of %llu MiB among %u others: %s",
		(unsigned long long)b->config.mib, b->config.others,
		pause_way_names[b->config.way]);
	arena_destroy(&arena);
}

static struct bench bench_of(const struct pause_options *o, enum pause_way way, u64 mib, u32 others)
{
	return (struct bench){
		.o = o,
		.config = { .way = way, .vcpus = o->vcpus, .mib = mib, .others = others },
	};
}

/* The bet: the pause against the change and what it makes necessary. */
static void compare_parts(const struct bench *large, const struct bench *small)
{
	u64 pause = large->p50[PART_EVICT] + large->p50[PART_RESUME];
	u64 change = large->p50[PART_DELETE] + large->p50[PART_CREATE];

	ktap_note("is pausing the long pole, or the rebuild? %u busy vCPUs, %s:",
		  large->config.vcpus, pause_way_names[large->config.way]);
	ktap_note("stopping and letting go takes %llu ticks, the change itself %llu,",
		  (unsigned long long)pause, (unsigned long long)change);
	ktap_note("building %u translations of 2 MiB again %llu, %u of 4 KiB %llu", large->places,
		  (unsigned long long)large->p50[PART_REFAULT], small->places,
		  (unsigned long long)small->p50[PART_REFAULT]);
}

static void measure_one(const struct pause_options *o, enum pause_way way)
{
	struct bench large = bench_of(o, way, o->mib, o->others);
	struct bench small = bench_of(o, way, min_u64(o->mib, SMALL_PAGES_MIB), o->others);
	struct bench other;

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
