/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `kick`: which storms (lab/kick_volley.c) are run here, and what they have to show. */
#include "hv/host/counter.h"
#include "hv/host/ktap.h"
#include "hv/host/metric.h"
#include "lab/kick.h"

#define MAX_PAUSE patient(1500) /* ticks, see struct kick_storm */

/* --- what it came to -------------------------------------------------------------------------- */

struct tally {
	const char *name; /* of the counter, and of the metric */
	u64 value;
};

/* The second call leaves the difference. */
static void take_tally(struct tally *tally, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		tally[i].value = counter_named(tally[i].name) - tally[i].value;
}

static void report(struct kick_storm *s, struct tally *tally, unsigned int n)
{
	struct metric_param p[KICK_STORM_PARAMS];

	kick_storm_report(s, p);
	for (unsigned int i = 0; i < n; i++)
		metric_value(tally[i].name, "count", tally[i].value, p, ARRAY_SIZE(p));
}

/* Requests that come together leave once: kicks merge, or nothing needs to be sent. */
static void check(struct kick_storm *s, const struct tally *sent, const char *name)
{
	struct kick_target *t = &s->target;

	ktap_result(kick_storm_answered(s), "%s", name);
	kick_note_error(t);
	ktap_result(sent->value < atomic_load(&s->made) &&
			    atomic_load(&t->left) <= atomic_load(&s->made),
		    "requests that come together are kicked for once: %s",
		    kick_state_names[t->setup.state]);
}

static void run_one(struct kick_storm *s, const char *name)
{
	struct tally tally[] = {
		{ "kick.sent", 0 },
		{ "kick.merged", 0 },
		{ "kick.woke", 0 },
		{ "kick.erroneous", 0 },
	};
	struct rng rng;

	rng_init(&rng, run_options.seed, 0);
	kick_wait(&s->target, &rng);
	take_tally(tally, ARRAY_SIZE(tally));
	kick_storm_run(s);
	take_tally(tally, ARRAY_SIZE(tally));
	check(s, &tally[0], name);
	report(s, tally, ARRAY_SIZE(tally));
}

static void run_storm(const struct kick_params *p, enum kick_transport transport,
		      enum kick_state state)
{
	/* A guest that exits by itself would hide a loss at its entries. */
	bool entering = state == STATE_ENTERING;
	const struct kick_setup setup = { .transport = transport,
					  .timer_ticks = p->timer_ticks,
					  .state = state,
					  .code = entering ? TINY_BEAT : (struct tiny_code){ 0 } };
	struct kick_storm s = { .requests = p->requests, .max_pause = MAX_PAUSE };

	/* Each of its waits is for the next look of the vCPU. */
	if (transport == KICK_TIMER)
		s.requests = max_u64(KICK_WAIT_EVERY, s.requests / 10);
	kick_storm_one(&s, &setup, run_one);
}

void kick_storms(const struct kick_params *p)
{
	static const struct {
		enum kick_transport transport;
		enum kick_state state;
	} storms[] = {
		{ KICK_NMI, STATE_GUEST },    { KICK_NMI, STATE_OPEN }, { KICK_NMI, STATE_HALTED },
		{ KICK_NMI, STATE_ENTERING }, { KICK_IPI, STATE_OPEN }, { KICK_TIMER, STATE_GUEST },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(storms); i++)
		if ((p->transport < 0 || p->transport == (int)storms[i].transport) &&
		    (p->state < 0 || p->state == (int)storms[i].state))
			run_storm(p, storms[i].transport, storms[i].state);
}
