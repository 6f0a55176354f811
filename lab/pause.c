/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `pause`: one CPU keeps changing slots while all others run vCPUs that busy-wait or
 * touch the slot. Is pausing them the long pole, or what the change itself costs?
 *
 * The slot is replaced (deleted and created again) in each of these ways:
 *   live        as KVM does it: vCPUs run on and can hit the hole; that must be seen
 *   one-by-one  the VMM asks each vCPU in turn to leave, changes, and lets them go
 *   paused      the VM is held for the whole list
 *   atomic      one swap of the slots; nobody is held
 *
 * Around the figures: what a hold promises, each promise a result of its own.
 */
#include "lab/pause.h"

#define MAX_MIB (1024 + 512) /* up to where the other slots begin, and space for a move */

static const struct param_spec pause_spec[] = {
	PARAM_U64("vcpus", 0, MAX_CPUS - 1, 0, "busy vCPUs, one per CPU; 0: on every CPU but one"),
	PARAM_U64("mib", 1, MAX_MIB, 4, "MiB of the slot that is changed"),
	PARAM_U64("slots", 1, VM_MAX_SLOTS - 3, 1, "other slots of the VM"),
	PARAM_U64("ticks", 1000, 1000000000, 150000, "how long each configuration runs"),
	PARAM_ENUM("way", 0, "how the slot is replaced", "all", "live", "one-by-one", "paused",
		   "atomic"),
	PARAM_ENUM("zap", 0, "translations that a change takes away", "range", "all"),
	PARAM_BOOL("touch", 1, "the vCPUs touch the slot; else they only busy-wait"),
	PARAM_ENUM("populate", 0, "the slot's memory: on demand, all at once, in blocks of 1 GiB",
		   "no", "yes", "1g"),
	PARAM_ENUM("do", 0, "the figures, the promises, or both", "all", "measure", "check"),
	PARAM_BOOL("trace", 0, "print the trace of one replacement, for a timeline, and no more"),
};

static void run_pause(const struct param_values *v)
{
	enum { ALL, MEASURE, CHECK } what = (int)param_number(v, "do");
	struct pause_options o;

	if (!pause_read_options(v, &o))
		return;
	o.zap = param_number(v, "zap") ? ZAP_ALL : ZAP_RANGE;
	o.memory = (enum arena_memory)param_number(v, "populate");
	if (param_number(v, "trace")) {
		pause_trace(&o);
		return;
	}
	if (what != MEASURE) {
		pause_test_holds();
		pause_test_races();
		pause_test_changes();
		pause_test_dirty();
		pause_test_readers();
		pause_test_events();
	}
	if (what != CHECK)
		pause_measure(&o);
}

EXPERIMENT(pause)
= {
	.name = "pause",
	.shows =
		"slots changed under busy vCPUs, live, paused and at once: what breaks, what it costs",
	.flags = EXP_NEEDS_VMX,
	.spec = pause_spec,
	.nr_spec = ARRAY_SIZE(pause_spec),
	.run = run_pause,
};
