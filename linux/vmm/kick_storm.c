/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `kick` on KVM: which storms (lab/kick_volley.c) are run, and what they have to show.
 */
#include "hv/host/ktap.h"
#include "hv/host/metric.h"
#include "linux/vmm/kick.h"

#define MAX_PAUSE 6000 /* ticks, see struct kick_storm */

static void report_exits(const struct kick_setup *s, u64 ops, u64 exits)
{
	const struct metric_param p[] = {
		{ .key = "of", .word = "kick.storm" },
		{ .key = "ops", .value = ops },
		{ .key = "transport", .word = kick_transport_names[s->transport] },
		{ .key = "state", .word = kick_state_names[s->state] },
	};

	metric_value("kvm.exits", "count", exits, p, ARRAY_SIZE(p));
}

static void report(struct kick_storm *s, u64 exits)
{
	struct metric_param p[KICK_STORM_PARAMS];

	kick_storm_report(s, p);
	report_exits(&s->target.setup, atomic_load(&s->made), exits);
}

static void check(struct kick_storm *s, const char *name)
{
	struct kick_target *t = &s->target;

	ktap_result(kick_storm_answered(s), "%s", name);
	kick_note_error(t);
	ktap_result(atomic_load(&t->left) <= atomic_load(&s->made),
		    "requests that come together are answered at once: %s, %s",
		    kick_transport_names[t->setup.transport], kick_state_names[t->setup.state]);
}

static void run_one(struct kick_storm *s, const char *name)
{
	u64 exits = vcpu_stat(s->target.vcpu, "exits");
	struct rng rng;

	rng_init(&rng, run_options.seed, 0);
	kick_wait(&s->target, &rng);
	kick_storm_run(s);
	check(s, name);
	report(s, vcpu_stat(s->target.vcpu, "exits") - exits);
}

static void run_storm(const struct kick_params *p, u32 transport, enum kick_state state)
{
	const struct kick_setup setup = kick_setup_of(p, transport, state);
	struct kick_storm s = { .requests = p->requests, .max_pause = MAX_PAUSE };

	kick_storm_one(&s, &setup, run_one);
}

void kick_storms(const struct kick_params *p)
{
	static const enum kick_state states[] = { STATE_OPEN, STATE_HALTED, STATE_ENTERING };

	for (int transport = 0; transport < BY_REQUEST; transport++)
		for (unsigned int i = 0; i < ARRAY_SIZE(states); i++)
			if ((p->transport < 0 || p->transport == transport) &&
			    (p->state < 0 || p->state == (int)states[i]))
				run_storm(p, (u32)transport, states[i]);
}
