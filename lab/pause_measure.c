/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The figures of experiment `pause`.
 *
 * A sample begins with every vCPU in the guest. The slot is replaced, and then every vCPU touches
 * all of it once: beside the same round with nothing to fault in, that is the price of building the
 * translations again.
 */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/mem.h"
#include "hv/host/metric.h"
#include "hv/host/random.h"
#include "lab/pause.h"

#define KEPT		512
#define MIN_SAMPLES	3
#define MAX_GAP		patient(1000) /* ticks between the two calls of a live change */
#define LARGE_PLACES	8    /* of 2 MiB each, when memory comes on demand: host memory is finite */
#define MAX_PLACES	1024 /* translations to build again, for a vCPU to touch in one round */
#define LARGE_MIB	1024
#define SMALL_PAGES_MIB 4
#define MANY_SLOTS	256

enum part {
	PART_CYCLE,	 /* vm_pause() and vm_resume() alone */
	PART_HOLD_KICK,	 /* thereof: until the kicks were sent */
	PART_HOLD_EVICT, /* until every vCPU was outside */
	PART_HOLD_DRAIN, /* until no reader was in the slots */
	PART_RESTART,	 /* from vm_resume() until every vCPU executes guest code */
	PART_REPLACE,	 /* the change, from its call to its return */
	PART_EVICT,	 /* thereof: stopping the vCPUs */
	PART_ZAP,
	PART_FLUSH,
	PART_DRAIN,
	PART_FREE,
	PART_RESUME,
	PART_REFAULT,	   /* a round afterwards, less a round with nothing to fault in */
	PART_REFAULT_PAGE, /* the same per translation */
	PART_TOTAL,	   /* from the call until every vCPU has made its round */
	NR_PARTS,
};

static const char *const part_names[NR_PARTS] = {
	[PART_CYCLE] = "pause.cycle",	      [PART_HOLD_KICK] = "pause.kick",
	[PART_HOLD_EVICT] = "pause.evict",    [PART_HOLD_DRAIN] = "pause.drain",
	[PART_RESTART] = "pause.restart",     [PART_REPLACE] = "pause.replace",
	[PART_EVICT] = "pause.replace_evict", [PART_ZAP] = "pause.zap",
	[PART_FLUSH] = "pause.flush",	      [PART_DRAIN] = "pause.replace_drain",
	[PART_FREE] = "pause.free",	      [PART_RESUME] = "pause.replace_resume",
	[PART_REFAULT] = "pause.refault",     [PART_REFAULT_PAGE] = "pause.refault_page",
	[PART_TOTAL] = "pause.total",
};

static const char *const way_names[NR_WAYS] = {
	[WAY_LIVE] = "live",
	[WAY_ONE_BY_ONE] = "one-by-one",
	[WAY_PAUSED] = "paused",
	[WAY_ATOMIC] = "atomic",
};

/* One configuration: a VM, and what was measured on it. */
struct bench {
	const struct pause_options *o;
	struct arena_config config;
	u32 places;
	u64 round; /* ticks of a round with nothing to fault in */
	u64 p50[NR_WAYS][NR_PARTS];
};

static struct arena arena;
static u64 samples[NR_PARTS][KEPT];
static unsigned int kept;

static u64 since(u64 start)
{
	return ticks_now() - start;
}

/* --- pause and resume ------------------------------------------------------------------------ */

static bool pause_once(struct arena *a)
{
	struct vm_hold hold = { .vm = NULL };
	struct pause_report r;
	u64 start, resumed;
	int err;

	if (!arena_all_in(a))
		return false;
	start = ticks_now();
	err = vm_pause(a->vm, &hold, 0, &r);
	if (err)
		return false;
	vm_resume(&hold);
	resumed = ticks_now();
	if (!arena_all_in(a))
		return false;
	samples[PART_CYCLE][kept] = resumed - start;
	samples[PART_HOLD_KICK][kept] = r.kick;
	samples[PART_HOLD_EVICT][kept] = r.evict;
	samples[PART_HOLD_DRAIN][kept] = r.drain;
	samples[PART_RESTART][kept] = since(resumed);
	kept++;
	return true;
}

static void measure_cycle(struct bench *b)
{
	const struct metric_param p = { .key = "vcpus", .value = b->config.vcpus };
	u64 end = ticks_now() + b->o->ticks;
	bool ok = true;

	kept = 0;
	while (ok && kept < KEPT && (ticks_now() < end || kept < MIN_SAMPLES))
		ok = pause_once(&arena);
	ktap_result(ok, "%u busy vCPUs can be paused and resumed again and again", b->config.vcpus);
	for (unsigned int i = PART_CYCLE; i <= PART_RESTART && kept; i++) {
		metric_samples(part_names[i], "ticks", samples[i], kept, &p, 1);
		b->p50[WAY_PAUSED][i] = samples[i][kept / 2];
	}
}

/* --- replacing the slot ---------------------------------------------------------------------- */

static int replace(struct arena *a, enum pause_way way, const struct slot_change list[2],
		   struct slot_report *r)
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

		stopped = arena_stop_one_by_one(a);
		samples[PART_EVICT][kept] = since(start);
	}
	err = stopped ? vm_change_slots(a->vm, list, 2, ways[way], r) : -ETIMEDOUT;
	if (way == WAY_ONE_BY_ONE)
		arena_let_go(a);
	if (way == WAY_PAUSED)
		samples[PART_EVICT][kept] = r->pause;
	return err;
}

/* One round by everybody. Returns its ticks, 0 when it does not end. */
static u64 make_round(struct arena *a)
{
	u64 start = ticks_now();

	arena_go(a);
	return arena_wait_done(a) ? since(start) : 0;
}

static bool replace_once(struct bench *b, enum pause_way way)
{
	u64 start, refault = 0;
	struct slot_change list[2];
	struct slot_report r;
	int err;

	arena_recreate(&arena, list);
	if (!arena_all_in(&arena))
		return false;
	start = ticks_now();
	err = replace(&arena, way, list, &r);
	samples[PART_REPLACE][kept] = since(start);
	if (err) {
		ktap_note("%s: %s", errno_name(err), r.why);
		return false;
	}
	if (b->o->touch) {
		refault = make_round(&arena);
		if (!refault)
			return false;
	}
	samples[PART_TOTAL][kept] = since(start);
	samples[PART_ZAP][kept] = r.zap;
	samples[PART_FLUSH][kept] = r.flush;
	samples[PART_DRAIN][kept] = r.drain;
	samples[PART_FREE][kept] = r.free;
	samples[PART_RESUME][kept] = r.resume;
	refault -= min_u64(refault, b->round);
	samples[PART_REFAULT][kept] = refault;
	samples[PART_REFAULT_PAGE][kept] = refault / b->places;
	kept++;
	return true;
}

/* Parts that a way does not have would be rows of zeroes. */
static bool has_part(const struct bench *b, enum pause_way way, unsigned int part)
{
	switch (part) {
	case PART_EVICT: return way == WAY_PAUSED || way == WAY_ONE_BY_ONE;
	case PART_RESUME: return way == WAY_PAUSED;
	case PART_REFAULT:
	case PART_REFAULT_PAGE: return b->o->touch;
	default: return true;
	}
}

static unsigned int bench_params(const struct bench *b, enum pause_way way, struct metric_param *p)
{
	static const char *const memory[] = { "no", "yes", "1g" };
	const struct arena_config *c = &b->config;
	unsigned int n = 0;

	p[n++] = (struct metric_param){ .key = "way", .word = way_names[way] };
	p[n++] = (struct metric_param){ .key = "vcpus", .value = c->vcpus };
	p[n++] = (struct metric_param){ .key = "mib", .value = c->mib };
	p[n++] = (struct metric_param){ .key = "slots", .value = c->others };
	p[n++] = (struct metric_param){ .key = "places", .value = b->o->touch ? b->places : 0 };
	p[n++] = (struct metric_param){ .key = "zap", .word = c->zap ? "all" : "range" };
	p[n++] = (struct metric_param){ .key = "populate", .word = memory[c->memory] };
	return n;
}

/* As KVM has it made: two calls, and between them whatever the VMM and its host are doing. */
static int replace_in_two_calls(const struct slot_change list[2], struct rng *rng)
{
	int err = vm_change_slots(arena.vm, &list[0], 1, SLOTS_LIVE, NULL);

	spin_ticks(rng_below(rng, MAX_GAP));
	return err ? err : vm_change_slots(arena.vm, &list[1], 1, SLOTS_LIVE, NULL);
}

/* Changes under vCPUs that touch all the time; @missing: how many accesses found no slot. */
static int count_missing(struct bench *b, enum pause_way way, u64 *changes, u64 *missing)
{
	u64 before = arena_missing(&arena), end = ticks_now() + b->o->ticks;
	struct slot_change list[2];
	struct slot_report r;
	struct rng rng;
	int err = 0;

	*changes = 0;
	arena_recreate(&arena, list);
	rng_init(&rng, run_options.seed, 7);
	arena_free_run(&arena, true);
	while (!err && (ticks_now() < end || *changes < MIN_SAMPLES)) {
		if (!arena_all_in(&arena))
			err = -ETIMEDOUT;
		else if (way == WAY_LIVE)
			err = replace_in_two_calls(list, &rng);
		else
			err = replace(&arena, way, list, &r);
		*changes += !err;
	}
	if (!arena_free_run(&arena, false))
		err = -ETIMEDOUT;
	*missing = arena_missing(&arena) - before;
	return err;
}

static void report_missing(struct bench *b, enum pause_way way, const struct metric_param *p,
			   unsigned int n)
{
	u64 changes, missing;
	int err;

	kept = 0;
	err = count_missing(b, way, &changes, &missing);
	if (way == WAY_LIVE)
		ktap_result(!err && missing,
			    "live changes are seen to fail: accesses find no slot");
	else
		ktap_result(!err && !missing, "%s: no access ever finds no slot", way_names[way]);
	if (err)
		ktap_note("%s", errno_name(err));
	metric_value("pause.changes", "count", changes, p, n);
	metric_value("pause.missing", "count", missing, p, n);
}

static void measure_way(struct bench *b, enum pause_way way)
{
	struct metric_param p[METRIC_MAX_PARAMS];
	unsigned int n = bench_params(b, way, p);
	u64 end = ticks_now() + b->o->ticks;
	bool ok = true;

	kept = 0;
	while (ok && kept < KEPT && (ticks_now() < end || kept < MIN_SAMPLES))
		ok = replace_once(b, way);
	ktap_result(ok, "a slot of %llu MiB among %u others can be replaced under %u vCPUs: %s",
		    (unsigned long long)b->config.mib, b->config.others, b->config.vcpus,
		    way_names[way]);
	for (unsigned int i = PART_REPLACE; i < NR_PARTS && kept; i++) {
		if (!has_part(b, way, i))
			continue;
		metric_samples(part_names[i], "ticks", samples[i], kept, p, n);
		b->p50[way][i] = samples[i][kept / 2];
	}
	if (ok && b->o->touch)
		report_missing(b, way, p, n);
}

/* --- configurations -------------------------------------------------------------------------- */

/* Where the guests touch: once per translation, as far as memory goes. */
static void choose_places(struct bench *b)
{
	u64 size = MIB(b->config.mib), each = b->config.small_pages ? EPT_SIZE_4K : EPT_SIZE_2M;
	u64 most = b->config.memory == MEMORY_ON_DEMAND && !b->config.small_pages ? LARGE_PLACES
										  : MAX_PLACES;

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
	if (!make_round(&arena))
		return false;
	b->round = make_round(&arena);
	return b->round;
}

static bool bench_begin(struct bench *b, const struct pause_options *o, u64 mib, u32 others)
{
	int err;

	b->o = o;
	b->config.vcpus = o->vcpus;
	b->config.mib = mib;
	b->config.others = others;
	b->config.zap = o->zap;
	b->config.memory = o->memory;
	err = arena_create(&arena, &b->config);
	if (err == -ENOMEM && o->memory != MEMORY_ON_DEMAND) {
		ktap_skip("too little host memory", "a slot of %llu MiB is changed",
			  (unsigned long long)mib);
		return false;
	}
	if (!err)
		err = arena_start(&arena, 0);
	if (!err) {
		choose_places(b);
		err = first_rounds(b) ? 0 : -ETIMEDOUT;
	}
	if (!err)
		return true;
	ktap_result(false, "%u busy vCPUs can be started beside a slot of %llu MiB", o->vcpus,
		    (unsigned long long)mib);
	ktap_note("%s", errno_name(err));
	arena_destroy(&arena);
	return false;
}

static void bench_end(struct bench *b)
{
	ktap_result(arena_intact(&arena),
		    "memory contents survive every change of a slot of %llu MiB among %u others",
		    (unsigned long long)b->config.mib, b->config.others);
	arena_destroy(&arena);
}

static void measure_config(struct bench *b, u64 mib, u32 others, u64 ways, bool cycle)
{
	if (!bench_begin(b, b->o, mib, others))
		return;
	if (cycle)
		measure_cycle(b);
	for (unsigned int way = 0; way < NR_WAYS; way++)
		if (ways & BIT(way))
			measure_way(b, way);
	bench_end(b);
}

/* The same in translations of 4 KiB. */
static void measure_small_pages(const struct pause_options *o, const struct bench *large)
{
	static struct bench b;
	enum pause_way way = WAY_PAUSED;
	u64 pause, change;

	b = (struct bench){ .o = o, .config = { .small_pages = true } };
	measure_config(&b, min_u64(large->config.mib, SMALL_PAGES_MIB), large->config.others,
		       BIT(way), false);
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
	static struct bench b;
	u64 steady = o->ways & (BIT(WAY_PAUSED) | BIT(WAY_ATOMIC));

	b = (struct bench){ .o = o };
	measure_config(&b, o->mib, o->others, o->ways, true);
	if (!o->only_given && steady) {
		static struct bench other;

		other = (struct bench){ .o = o };
		measure_config(&other, LARGE_MIB, o->others, steady, false);
		other = (struct bench){ .o = o };
		measure_config(&other, o->mib, MANY_SLOTS, steady, false);
	}
	if (o->touch && (o->ways & BIT(WAY_PAUSED)))
		measure_small_pages(o, &b);
}
