/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `pause` on KVM: one CPU keeps changing slots while all others run vCPUs that busy-wait
 * or touch the slot. Is pausing them the long pole, or what the change itself costs?
 *
 * The slot is replaced (deleted and created again) in each of these ways:
 *   live            as it is: vCPUs run on and can hit the hole; that must be seen
 *   signal          all vCPU threads are sent a signal, and waited for
 *   immediate_exit  the same with the flag in the page shared with KVM
 *   kick_all        the VM is held: KVM_KICK_ALL_RUNNING_VCPUS
 *
 * Around the figures: what a hold promises, each promise a result of its own.
 */
#include "linux/vmm/pause.h"

#define MAX_MIB (1024 + 512) /* up to where the other slots begin */

static const struct param_spec pause_spec[] = {
	PARAM_U64("vcpus", 0, MAX_CPUS - 1, 0, "busy vCPUs, one per CPU; 0: on every CPU but one"),
	PARAM_U64("mib", 1, MAX_MIB, 4, "MiB of the slot that is changed"),
	PARAM_U64("slots", 1, KVM_MAX_REGIONS - 3, 1, "other slots of the VM"),
	PARAM_U64("ticks", 1000, 1000000000, 3000000, "how long each configuration runs"),
	PARAM_ENUM("way", 0, "how the slot is replaced", "all", "live", "signal", "immediate_exit",
		   "kick_all"),
	PARAM_BOOL("touch", 1, "the vCPUs touch the slot; else they only busy-wait"),
	PARAM_ENUM("do", 0, "the figures, the promises, or both", "all", "measure", "check"),
};

static void run_pause(const struct param_values *v)
{
	enum { ALL, MEASURE, CHECK } what = (int)param_number(v, "do");
	struct pause_options o;

	if (!pause_read_options(v, &o))
		return;
	o.zap = ZAP_ALL; /* as KVM does it */
	if (what != MEASURE)
		pause_rules();
	if (what != CHECK)
		pause_measure(&o);
}

EXPERIMENT(pause)
= {
	.name = "pause",
	.shows = "slots changed under busy vCPUs, live and in several ways paused: what breaks, "
		 "what it costs",
	.flags = EXP_NEEDS_VMX,
	.spec = pause_spec,
	.nr_spec = ARRAY_SIZE(pause_spec),
	.run = run_pause,
};
