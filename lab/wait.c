/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `wait`: how a VMM hears that there is something for a vCPU that it has taken out of
 * the guest.
 *
 * Three ways to do it (lab/wait.h): the flag that was posted to the KVM list, the same call with an
 * event sequence, and a state in which vcpu_run() waits. For each: many events at any moment, and
 * whether one is lost; what a wakeup costs. And the rules that each has to keep, as tests.
 */
#include "lab/wait.h"

static const struct param_spec wait_spec[] = {
	PARAM_U64("events", 1, 100000000, 2000, "events for each variant"),
	PARAM_U64("vcpus", 0, WARD_MAX, 0, "vCPUs that wait; 0: one for every CPU but the first"),
	PARAM_ENUM("variant", 0, "how the VMM waits", "all", "posted", "sequence", "mpstate"),
	PARAM_BOOL("trace", 0, "print the trace of one event, for a timeline, and nothing else"),
};

static void run_way(enum wait_way way, u64 events, u32 vcpus)
{
	if (nr_cpus < 2)
		ktap_skip("needs 2 CPUs", "%s: events at any moment", wait_way_name[way]);
	else
		wait_stress(way, events, vcpus);
}

static void run_rules(void)
{
	wait_test_poll();
	wait_test_sources();
	wait_test_several();
	wait_test_mpstate();
	wait_test_holes();
	wait_test_timers();
}

static void run_wait(const struct param_values *params)
{
	u64 only = param_number(params, "variant"), vcpus = param_number(params, "vcpus");

	if (!vcpus)
		vcpus = min_u64(max_u64(nr_cpus, 2) - 1, WARD_MAX);
	for (enum wait_way way = 0; way < NR_WAIT_WAYS; way++) {
		if (only && only != way + 1)
			continue;
		if (param_number(params, "trace")) {
			wait_trace(way);
			continue;
		}
		run_way(way, param_number(params, "events"), (u32)vcpus);
		wait_latency(way);
	}
	if (!only && !param_number(params, "trace"))
		run_rules();
}

EXPERIMENT(wait)
= {
	.name = "wait",
	.shows =
		"how a VMM hears of a vCPU's events: the flag that loses wakeups, and two ways without",
	.flags = EXP_NEEDS_VMX,
	.spec = wait_spec,
	.nr_spec = ARRAY_SIZE(wait_spec),
	.run = run_wait,
};
