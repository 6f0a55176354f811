/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `pause`, trace=1: one replacement of a slot, step by step, for a timeline. */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/print.h"
#include "hv/host/trace.h"
#include "lab/pause.h"

#define PLACES 2
#define WARM   3    /* replacements before the one that is shown */
#define BEFORE 1000 /* ticks that are shown before and after */
#define AFTER  1500

static struct arena arena;

static const struct {
	const char *name;
	enum slot_way way;
} ways[NR_WAYS] = {
	[WAY_LIVE] = { "live", SLOTS_LIVE },
	[WAY_ONE_BY_ONE] = { "one by one", SLOTS_LIVE },
	[WAY_PAUSED] = { "paused", SLOTS_PAUSED },
	[WAY_ATOMIC] = { "atomic", SLOTS_ATOMIC },
};

static int replace(enum pause_way way)
{
	struct slot_change list[2];
	int err;

	arena_recreate(&arena, list);
	trace("change: begin", (u64)way, 0);
	if (way == WAY_ONE_BY_ONE && !arena_stop_one_by_one(&arena))
		return -ETIMEDOUT;
	err = vm_change_slots(arena.vm, list, ARRAY_SIZE(list), ways[way].way, NULL);
	trace("change: end", (u64)way, 0);
	arena_let_go(&arena);
	return err;
}

/* Everybody busy, the change, everybody busy again; then all is brought to rest and printed. */
static int show(enum pause_way way)
{
	struct vm_hold rest = { .vm = NULL };
	u64 start = 0, end;
	int err = 0;

	for (unsigned int i = 0; i <= WARM && !err; i++) {
		err = arena_all_in(&arena) ? 0 : -EIO;
		spin_ticks(BEFORE);
		start = ticks_now() - BEFORE;
		if (!err)
			err = replace(way);
	}
	if (!err && !arena_all_in(&arena))
		err = -EIO;
	spin_ticks(AFTER);
	end = ticks_now();
	if (!err)
		err = vm_pause(arena.vm, &rest, 0, NULL);
	if (err)
		return err;
	ktap_note("a slot replaced under %u vCPUs that touch it: %s", arena.nr, ways[way].name);
	trace_print(start, end);
	printk("# trace end\n");
	vm_resume(&rest);
	return 0;
}

void pause_trace(const struct pause_options *o)
{
	const struct arena_config c = {
		.vcpus = o->vcpus, .mib = o->mib, .others = o->others, .zap = o->zap, .traced = true
	};

	if (!arena_run(&arena, &c))
		return;
	arena_places(&arena, PLACES, (u32)(MIB(o->mib) / PLACES));
	if (o->touch)
		arena_free_run(&arena, true);
	for (unsigned int way = 0; way < NR_WAYS; way++) {
		int err;

		if (!(o->ways & BIT(way)))
			continue;
		err = show(way);
		ktap_result(!err, "the trace of one replacement is printed: %s", ways[way].name);
		if (err)
			ktap_note("%s", errno_name(err));
	}
	arena_destroy(&arena);
}
