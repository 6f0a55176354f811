/* SPDX-License-Identifier: GPL-2.0-only */
/* The figures of experiment `pause`, whoever runs the VM: see lab/pause_bench.h. */
#include "lab/pause_bench.h"

#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/percpu.h"

#define MIN_SAMPLES  3
#define LARGE_PLACES 8	  /* of 2 MiB each, when memory comes on demand: host memory is finite */
#define MAX_PLACES   1024 /* translations to build again, for a vCPU to touch in one round */

static const char *const part_names[NR_PAUSE_PARTS] = {
	[PART_CYCLE] = "pause.cycle",	      [PART_HOLD_KICK] = "pause.kick",
	[PART_HOLD_EVICT] = "pause.evict",    [PART_HOLD_DRAIN] = "pause.drain",
	[PART_RESTART] = "pause.restart",     [PART_REPLACE] = "pause.replace",
	[PART_EVICT] = "pause.replace_evict", [PART_ZAP] = "pause.zap",
	[PART_FLUSH] = "pause.flush",	      [PART_DRAIN] = "pause.replace_drain",
	[PART_FREE] = "pause.free",	      [PART_DELETE] = "pause.delete",
	[PART_CREATE] = "pause.create",	      [PART_RESUME] = "pause.replace_resume",
	[PART_REFAULT] = "pause.refault",     [PART_REFAULT_PAGE] = "pause.refault_page",
	[PART_TOTAL] = "pause.total",
};

struct arena pause_arena;
u64 pause_samples[NR_PAUSE_PARTS][PAUSE_KEPT];
unsigned int pause_kept;

bool pause_read_options(const struct param_values *v, struct pause_options *o)
{
	u64 way = param_number(v, "way");

	*o = (struct pause_options){
		.vcpus = (u32)param_number(v, "vcpus"),
		.mib = param_number(v, "mib"),
		.ticks = param_number(v, "ticks"),
		.others = (u32)param_number(v, "slots"),
		.only_given = param_given(v, "mib") || param_given(v, "slots"),
		.ways = way ? BIT(way - 1) : BIT(PAUSE_MAX_WAYS) - 1,
		.touch = param_number(v, "touch"),
	};
	if (!o->vcpus)
		o->vcpus = nr_cpus - 1;
	return needs_cpus(o->vcpus > 1 ? o->vcpus + 1 : 2,
			  "one CPU changes slots while others run vCPUs");
}

/* --- configurations -------------------------------------------------------------------------- */

/* One round by everybody. Returns its ticks, 0 when it does not end. */
static u64 make_round(void)
{
	u64 start = ticks_now();

	arena_go(&pause_arena);
	return arena_wait_done(&pause_arena) ? ticks_now() - start : 0;
}

/* Where the guests touch: once per translation, as far as memory goes. */
static void choose_places(struct pause_bench *b)
{
	u64 size = MIB(b->config.mib), each = b->config.small_pages ? PAGE_SIZE : MIB(2);
	u64 most = b->config.memory == MEMORY_ON_DEMAND && !b->config.small_pages ? LARGE_PLACES
										  : MAX_PLACES;

	b->places = (u32)min_u64(size > each ? size / each : 1, most);
	arena_places(&pause_arena, b->places, (u32)ALIGN_DOWN(size / b->places, PAGE_SIZE));
}

/* The first round allocates memory, the second maps nothing. */
static bool first_rounds(struct pause_bench *b)
{
	if (!arena_all_in(&pause_arena))
		return false;
	if (!b->o->touch)
		return true;
	if (!make_round())
		return false;
	b->round = make_round();
	return b->round;
}

bool pause_begin(struct pause_bench *b)
{
	int err = arena_create(&pause_arena, &b->config);

	if (err == -ENOMEM && b->config.memory != MEMORY_ON_DEMAND) {
		ktap_skip("too little host memory", "a slot of %llu MiB is changed",
			  (unsigned long long)b->config.mib);
		return false;
	}
	if (!err)
		err = arena_start(&pause_arena, 0);
	if (!err) {
		choose_places(b);
		err = first_rounds(b) ? 0 : -ETIMEDOUT;
	}
	if (!err)
		return true;
	ktap_result(false, "%u busy vCPUs can be started beside a slot of %llu MiB",
		    b->config.vcpus, (unsigned long long)b->config.mib);
	ktap_note("%s", errno_name(err));
	arena_destroy(&pause_arena);
	return false;
}

/* --- samples --------------------------------------------------------------------------------- */

bool pause_repeat(struct pause_bench *b, u32 way, bool (*once)(struct pause_bench *b, u32 way))
{
	u64 end = ticks_now() + b->o->ticks;
	bool ok = true;

	pause_kept = 0;
	while (ok && pause_kept < PAUSE_KEPT && (ticks_now() < end || pause_kept < MIN_SAMPLES)) {
		ok = once(b, way);
		pause_kept += ok;
	}
	return ok;
}

bool pause_touch(struct pause_bench *b, u64 start)
{
	u64 refault = 0;

	if (b->o->touch) {
		refault = make_round();
		if (!refault)
			return false;
	}
	pause_samples[PART_TOTAL][pause_kept] = ticks_now() - start;
	refault -= min_u64(refault, b->round);
	pause_samples[PART_REFAULT][pause_kept] = refault;
	pause_samples[PART_REFAULT_PAGE][pause_kept] = refault / b->places;
	return true;
}

unsigned int pause_way_params(const struct pause_bench *b, u32 way, struct metric_param *p)
{
	static const char *const memory[] = { "no", "yes", "1g" };
	const struct arena_config *c = &b->config;
	unsigned int n = 0;

	p[n++] = (struct metric_param){ .key = "way", .word = pause_way_names[way] };
	p[n++] = (struct metric_param){ .key = "vcpus", .value = c->vcpus };
	p[n++] = (struct metric_param){ .key = "mib", .value = c->mib };
	p[n++] = (struct metric_param){ .key = "slots", .value = c->others };
	p[n++] = (struct metric_param){ .key = "places", .value = b->o->touch ? b->places : 0 };
	p[n++] = (struct metric_param){ .key = "zap", .word = c->zap ? "all" : "range" };
	p[n++] = (struct metric_param){ .key = "populate", .word = memory[c->memory] };
	return n;
}

void pause_report_parts(struct pause_bench *b, u32 way, u64 parts, const struct metric_param *p,
			unsigned int n)
{
	if (!b->o->touch)
		parts &= ~(BIT(PART_REFAULT) | BIT(PART_REFAULT_PAGE));
	for (unsigned int i = 0; i < NR_PAUSE_PARTS && pause_kept; i++) {
		if (!(parts & BIT(i)))
			continue;
		metric_samples(part_names[i], "ticks", pause_samples[i], pause_kept, p, n);
		b->p50[way][i] = pause_samples[i][pause_kept / 2];
	}
}

/* --- accesses that find no slot -------------------------------------------------------------- */

static int change_often(struct pause_bench *b, u32 way, u64 *changes,
			int (*change)(struct pause_bench *b, u32 way, struct rng *rng))
{
	u64 end = ticks_now() + b->o->ticks;
	struct rng rng;
	int err = 0;

	rng_init(&rng, run_options.seed, 7);
	arena_free_run(&pause_arena, true);
	while (!err && (ticks_now() < end || *changes < MIN_SAMPLES)) {
		err = arena_all_in(&pause_arena) ? change(b, way, &rng) : -ETIMEDOUT;
		*changes += !err;
	}
	return arena_free_run(&pause_arena, false) ? err : -ETIMEDOUT;
}

void pause_count_missing(struct pause_bench *b, u32 way, bool live,
			 int (*change)(struct pause_bench *b, u32 way, struct rng *rng))
{
	struct metric_param p[PAUSE_WAY_PARAMS];
	unsigned int n = pause_way_params(b, way, p);
	u64 missing = arena_missing(&pause_arena), changes = 0;
	int err;

	pause_kept = 0;
	err = change_often(b, way, &changes, change);
	missing = arena_missing(&pause_arena) - missing;
	if (live)
		ktap_result(!err && missing,
			    "live changes are seen to fail: accesses find no slot");
	else
		ktap_result(!err && !missing, "%s: no access ever finds no slot",
			    pause_way_names[way]);
	if (err)
		ktap_note("%s", errno_name(err));
	metric_value("pause.changes", "count", changes, p, n);
	metric_value("pause.missing", "count", missing, p, n);
}
