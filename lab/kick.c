/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `kick`: getting a vCPU's attention, and what it costs.
 *
 * Its parts: latencies by transport and by where the kick finds the vCPU; storms from several CPUs;
 * events that are delivered under fire; and what has to hold for a kick at any moment.
 */
#include "lab/kick.h"

static const struct param_spec kick_spec[] = {
	PARAM_ENUM("transport", 0, "how vCPUs are kicked", "all", "nmi", "ipi", "timer"),
	PARAM_ENUM("state", 0, "where the measured kicks find the vCPU", "all", "guest", "open",
		   "halted", "vmm", "entering"),
	PARAM_U64("samples", 1, KICK_MAX_SAMPLES, 200, "measured kicks of each kind"),
	PARAM_U64("requests", 8, 10000000, 1000, "requests by each CPU in a storm"),
	PARAM_U64("events", 1, 1000000, 200, "interrupts and NMIs delivered under fire"),
	PARAM_U64("ticks", 100, 1000000, 2000, "transport timer: guest ticks between two looks"),
};

static void run_kick(const struct param_values *params)
{
	const struct kick_params p = {
		.samples = param_number(params, "samples"),
		.requests = param_number(params, "requests"),
		.events = param_number(params, "events"),
		.timer_ticks = param_number(params, "ticks"),
		.transport = (int)param_number(params, "transport") - 1,
		.state = (int)param_number(params, "state") - 1,
	};

	kick_measure(&p);
	kick_storms(&p);
	kick_events(&p);
	kick_rules(&p);
}

EXPERIMENT(kick)
= {
	.name = "kick",
	.shows =
		"what a kick costs by transport and vCPU state, and that no request or event is lost",
	.flags = EXP_NEEDS_VMX,
	.spec = kick_spec,
	.nr_spec = ARRAY_SIZE(kick_spec),
	.run = run_kick,
};
