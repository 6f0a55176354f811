/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `kick`: how long a kick takes, by transport and by where it finds the vCPU.
 * What is measured is said in the output, see meanings[].
 *
 * A vCPU outside the guest is sent nothing. For one that is in its VMM the time runs until the VMM,
 * which goes back at once, has entered vcpu_run() and the request was taken there.
 */
#include "hv/host/apic.h"
#include "hv/host/ktap.h"
#include "hv/host/percpu.h"
#include "hv/host/timer.h"
#include "lab/kick.h"

#define NR_SLOW	    8		   /* samples where each takes as long as a heartbeat */
#define SLOW	    patient(20000) /* ticks */
#define FLOOR_LIMIT patient(50000) /* ticks */

u64 kick_samples[3][KICK_MAX_SAMPLES];

static const struct {
	const char *metric, *meaning;
} meanings[] = {
	{ "kick.oneway", "from the call until the vCPU is seen outside the guest" },
	{ "kick.roundtrip", "from the call until its thread is seen to have taken the request" },
	{ "kick.leave", "from the call until vcpu_run() has returned -EINTR" },
	{ "kick.floor", "a bare NMI, until the other CPU's handler is seen to have run" },
	{ "kick.erroneous", "kicks that found nothing to do" },
};

/* --- one kick --------------------------------------------------------------------------------- */

static u64 sample_oneway(struct kick_target *t)
{
	u64 start = kick_ask(t, REQ_LOOK), limit = kick_limit(&t->setup);
	u64 ticks = KICK_TICKS_UNTIL(start, limit,
				     atomic_load_explicit(&t->vcpu->mode, memory_order_relaxed) !=
					     EXITING_GUEST_MODE);

	/* The sample ends here, but not before the request is taken. */
	return KICK_TICKS_UNTIL(start, limit, !atomic_load(&t->vcpu->requests)) ? ticks : 0;
}

static u64 sample_roundtrip(struct kick_target *t)
{
	u64 start = kick_ask(t, REQ_LOOK);

	return KICK_TICKS_UNTIL(
		start, kick_limit(&t->setup),
		!(atomic_load_explicit(&t->vcpu->requests, memory_order_relaxed) & REQ_LOOK));
}

/* --- many ------------------------------------------------------------------------------------- */

struct kind {
	const char *metric;
	u64 (*sample)(struct kick_target *t);
	bool sent; /* says something only where a kick is sent */
};

static const struct kind kinds[] = {
	{ "kick.oneway", sample_oneway, true },
	{ "kick.roundtrip", sample_roundtrip, false },
	{ "kick.leave", kick_sample_leave, false },
};

static bool is_sent(const struct kick_setup *s)
{
	return s->state != STATE_HALTED && s->state != STATE_VMM;
}

/* Bochs 2.7 for instance. The SDM has the exit whatever the guest's interrupt flag is. */
static void note_slow(const struct kick_setup *s, u64 fastest)
{
	if (s->transport == KICK_IPI && fastest > SLOW)
		ktap_note(
			"this machine does not exit for an interrupt while the guest has them "
			"disabled: the heartbeat takes it");
}

static void measure_kinds(struct kick_target *t, unsigned int n, const char *name)
{
	unsigned int taken[ARRAY_SIZE(kinds)] = { 0 };
	bool ok = true;
	struct rng rng;

	rng_init(&rng, run_options.seed, t->setup.state);
	for (unsigned int k = 0; k < ARRAY_SIZE(kinds) && ok; k++) {
		if (kinds[k].sent && !is_sent(&t->setup))
			continue;
		taken[k] = kick_sample(t, kinds[k].sample, kick_samples[k], n, &rng);
		ok = taken[k] == n;
	}
	ktap_result(ok && !atomic_load(&t->error), "%s", name);
	kick_note_error(t);
	for (unsigned int k = 0; k < ARRAY_SIZE(kinds); k++)
		if (taken[k])
			kick_report(&t->setup, kinds[k].metric, kick_samples[k], taken[k]);
	if (taken[1])
		note_slow(&t->setup, kick_samples[1][0]);
}

static void measure_one(const struct kick_params *p, enum kick_transport transport,
			enum kick_state state)
{
	struct kick_setup s = { .transport = transport,
				.timer_ticks = p->timer_ticks,
				.state = state };
	unsigned int n = (unsigned int)p->samples;

	if (transport == KICK_IPI && state == STATE_GUEST)
		n = (unsigned int)min_u64(n, NR_SLOW);
	kick_measure_one(&s, n, measure_kinds);
}

/* --- the floor -------------------------------------------------------------------------------- */

static u64 sample_floor(struct rng *rng)
{
	_Atomic u64 *nr_nmi = &cpus[KICK_TARGET_CPU]->nr_nmi;
	u64 before = atomic_load(nr_nmi), start;

	spin_ticks(1000 + rng_below(rng, 100)); /* the one before is over */
	start = ticks_now();
	apic_send_nmi(KICK_TARGET_CPU);
	return KICK_TICKS_UNTIL(start, FLOOR_LIMIT,
				atomic_load_explicit(nr_nmi, memory_order_relaxed) != before);
}

void kick_measure(const struct kick_params *p)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(meanings); i++)
		ktap_note("%s: %s", meanings[i].metric, meanings[i].meaning);
	kick_measure_floor("every bare NMI is answered", sample_floor, kick_samples[0],
			   (unsigned int)p->samples);
	for (int transport = KICK_NMI; transport <= KICK_TIMER; transport++)
		for (int state = 0; state < NR_KICK_STATES; state++)
			if ((p->transport < 0 || p->transport == transport) &&
			    (p->state < 0 || p->state == state))
				measure_one(p, (enum kick_transport)transport,
					    (enum kick_state)state);
}
