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
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/timer.h"
#include "lab/kick.h"

#define NR_SLOW	    8		   /* samples where each takes as long as a heartbeat */
#define SLOW	    patient(20000) /* ticks */
#define FLOOR_LIMIT patient(50000) /* ticks */

u64 kick_samples[3][KICK_MAX_SAMPLES];

static const char *const state_words[] = {
	[STATE_GUEST] = "the guest spins with interrupts disabled",
	[STATE_OPEN] = "the guest spins with interrupts enabled",
	[STATE_HALTED] = "the guest is in HLT",
	[STATE_VMM] = "the vCPU is with its VMM",
	[STATE_ENTERING] = "the vCPU is entering its guest",
};

static const struct {
	const char *metric, *meaning;
} meanings[] = {
	{ "kick.oneway", "from the call until the vCPU is seen outside the guest" },
	{ "kick.roundtrip", "from the call until its thread is seen to have taken the request" },
	{ "kick.leave", "from the call until vcpu_run() has returned -EINTR" },
	{ "kick.floor", "a bare NMI, until the other CPU's handler is seen to have run" },
	{ "kick.erroneous", "kicks that found nothing to do" },
};

static void report(const struct kick_setup *s, const char *metric, u64 *samples, unsigned int n)
{
	const struct metric_param p[] = {
		{ .key = "transport", .word = kick_transport_names[s->transport] },
		{ .key = "state", .word = kick_state_names[s->state] },
		{ .key = "cpus", .value = nr_cpus },
	};

	metric_samples(metric, "ticks", samples, n, p, ARRAY_SIZE(p));
}

/* --- one kick --------------------------------------------------------------------------------- */

static u64 ask(struct kick_target *t, u32 request)
{
	u64 start = ticks_now();

	vcpu_request(t->vcpu, request);
	if (t->setup.state == STATE_VMM)
		atomic_store(&t->stay_out, false);
	return start;
}

/* The loops look as often as they can: their length is part of the figure. 0: not in time, where a
 * look takes four instructions or more. */
#define TICKS_UNTIL(start, limit, cond)                                                            \
	({                                                                                         \
		u64 tries_ = (limit) / 4;                                                          \
                                                                                                   \
		while (!(cond) && --tries_)                                                        \
			;                                                                          \
		tries_ ? ticks_now() - (start) : 0;                                                \
	})

static u64 sample_oneway(struct kick_target *t)
{
	u64 start = ask(t, REQ_LOOK), limit = kick_limit(&t->setup);
	u64 ticks = TICKS_UNTIL(start, limit,
				atomic_load_explicit(&t->vcpu->mode, memory_order_relaxed) !=
					EXITING_GUEST_MODE);

	/* The sample ends here, but not before the request is taken. */
	return TICKS_UNTIL(start, limit, !atomic_load(&t->vcpu->requests)) ? ticks : 0;
}

static u64 sample_roundtrip(struct kick_target *t)
{
	u64 start = ask(t, REQ_LOOK);

	return TICKS_UNTIL(
		start, kick_limit(&t->setup),
		!(atomic_load_explicit(&t->vcpu->requests, memory_order_relaxed) & REQ_LOOK));
}

static u64 sample_leave(struct kick_target *t)
{
	u64 before = atomic_load(&t->left), start = ask(t, REQ_EXIT);

	return TICKS_UNTIL(start, kick_limit(&t->setup),
			   atomic_load_explicit(&t->left, memory_order_relaxed) != before);
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
	{ "kick.leave", sample_leave, false },
};

/* Returns how many were answered in time. */
static unsigned int sample_many(struct kick_target *t, const struct kind *k, u64 *samples,
				unsigned int n, struct rng *rng)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (t->setup.state == STATE_VMM && !kick_keep_out(t))
			break;
		if (!kick_wait(t, rng))
			break;
		samples[i] = k->sample(t);
		if (!samples[i])
			break;
	}
	if (t->setup.state == STATE_VMM)
		kick_let_in(t);
	return i;
}

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
		taken[k] = sample_many(t, &kinds[k], kick_samples[k], n, &rng);
		ok = taken[k] == n;
	}
	ktap_result(ok && !atomic_load(&t->error), "%s", name);
	kick_note_error(t);
	for (unsigned int k = 0; k < ARRAY_SIZE(kinds); k++)
		if (taken[k])
			report(&t->setup, kinds[k].metric, kick_samples[k], taken[k]);
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
	struct kick_target t;
	char name[96];

	if (transport == KICK_IPI && state == STATE_GUEST)
		n = (unsigned int)min_u64(n, NR_SLOW);
	fmt_print(name, sizeof(name), "every kick is answered: %s, %s",
		  kick_transport_names[transport], state_words[state]);
	if (!needs_cpus(2, name) || !kick_start(&t, &s, name))
		return;
	measure_kinds(&t, n, name);
	kick_end(&t);
}

/* --- the floor -------------------------------------------------------------------------------- */

static void spin_until(void *arg)
{
	_Atomic bool *over = arg;

	while (!atomic_load(over))
		cpu_relax();
}

static u64 sample_floor(struct rng *rng)
{
	_Atomic u64 *nr_nmi = &cpus[KICK_TARGET_CPU]->nr_nmi;
	u64 before = atomic_load(nr_nmi), start;

	spin_ticks(1000 + rng_below(rng, 100)); /* the one before is over */
	start = ticks_now();
	apic_send_nmi(KICK_TARGET_CPU);
	return TICKS_UNTIL(start, FLOOR_LIMIT,
			   atomic_load_explicit(nr_nmi, memory_order_relaxed) != before);
}

static void measure_floor(unsigned int n)
{
	const struct metric_param p = { .key = "cpus", .value = nr_cpus };
	static const char name[] = "every bare NMI is answered";
	_Atomic bool over = false;
	unsigned int i = 0;
	struct thread *thread;
	struct rng rng;

	if (!needs_cpus(2, name))
		return;
	if (thread_create(&thread, KICK_TARGET_CPU, "floor", spin_until, &over)) {
		ktap_result(false, "there is memory for a thread");
		return;
	}
	rng_init(&rng, run_options.seed, NR_KICK_STATES);
	while (i < n && (kick_samples[0][i] = sample_floor(&rng)))
		i++;
	atomic_store(&over, true);
	thread_join(thread);
	ktap_result(i == n, "%s", name);
	if (i)
		metric_samples("kick.floor", "ticks", kick_samples[0], i, &p, 1);
}

void kick_measure(const struct kick_params *p)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(meanings); i++)
		ktap_note("%s: %s", meanings[i].metric, meanings[i].meaning);
	measure_floor((unsigned int)p->samples);
	for (int transport = KICK_NMI; transport <= KICK_TIMER; transport++)
		for (int state = 0; state < NR_KICK_STATES; state++)
			if ((p->transport < 0 || p->transport == transport) &&
			    (p->state < 0 || p->state == state))
				measure_one(p, (enum kick_transport)transport,
					    (enum kick_state)state);
}
