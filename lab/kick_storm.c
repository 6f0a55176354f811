/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `kick`: storms. All other CPUs request one vCPU to leave, as fast as they can.
 *
 * Each kicker numbers its requests. When vcpu_run() has returned -EINTR the VMM has heard of all
 * numbers given so far; in between, a kicker waits until it has heard of its latest. A lost kick
 * would leave the vCPU in the guest and in mode EXITING, in which nobody kicks it again: all
 * kickers would wait, until the heartbeat, which is longer than they do.
 */
#include "hv/host/counter.h"
#include "hv/host/ktap.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/timer.h"
#include "lab/kick.h"

#define WAIT_EVERY 8 /* requests, on average */
#define MAX_PAUSE                                                                                  \
	patient(1500) /* ticks after every other wait: the vCPU gets back to where it was */

struct storm {
	struct kick_target target;
	u64 requests;	  /* by each kicker */
	_Atomic u64 made; /* by all */
	_Atomic u64 lost; /* waits that were in vain */
};

struct kicker {
	struct storm *storm;
	struct thread *thread;
	u32 id;
};

static bool wait_answered(struct kick_target *t, u32 k, u64 nr)
{
	u64 start = ticks_now();

	while (atomic_load(&t->answered[k]) < nr)
		if (ticks_now() - start > kick_limit(&t->setup) || atomic_load(&t->error))
			return false;
	return true;
}

/* Returns false when its latest request was lost. */
static bool kick_once(struct storm *s, u32 k, u64 nr, struct rng *rng)
{
	struct kick_target *t = &s->target;

	atomic_store(&t->asked[k], nr);
	vcpu_request(t->vcpu, REQ_EXIT);
	atomic_fetch_add(&s->made, 1);
	if (nr < s->requests && rng_below(rng, WAIT_EVERY))
		return true;
	if (!wait_answered(t, k, nr))
		return false;
	if (rng_below(rng, 2))
		spin_ticks(rng_below(rng, MAX_PAUSE));
	return true;
}

static void run_kicker(void *arg)
{
	struct kicker *k = arg;
	struct storm *s = k->storm;
	struct rng rng;

	rng_init(&rng, run_options.seed, k->id);
	for (u64 i = 1; i <= s->requests && !atomic_load(&s->lost); i++)
		if (!kick_once(s, k->id, i, &rng))
			atomic_fetch_add(&s->lost, 1);
}

/* One on every CPU but the vCPU's, this one included. Returns how many. */
static u32 kick_from_everywhere(struct storm *s)
{
	struct kicker kicker[MAX_CPUS] = { { .storm = s } };
	u32 nr = 1;

	for (u32 cpu = 0; cpu < nr_cpus; cpu++) {
		struct kicker *k = &kicker[nr];

		if (cpu == KICK_TARGET_CPU || cpu == this_cpu_id())
			continue;
		*k = (struct kicker){ .storm = s, .id = nr };
		nr += !thread_create(&k->thread, cpu, "kicker", run_kicker, k);
	}
	run_kicker(&kicker[0]);
	for (u32 k = 1; k < nr; k++)
		thread_join(kicker[k].thread);
	return nr;
}

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

static void report(struct storm *s, struct tally *tally, unsigned int n, u32 kickers, u64 ticks)
{
	const struct metric_param p[] = {
		{ .key = "transport", .word = kick_transport_names[s->target.setup.transport] },
		{ .key = "state", .word = kick_state_names[s->target.setup.state] },
		{ .key = "kickers", .value = kickers },
	};
	u64 made = atomic_load(&s->made);

	metric_value("kick.requests", "count", made, p, ARRAY_SIZE(p));
	metric_value("kick.left", "count", atomic_load(&s->target.left), p, ARRAY_SIZE(p));
	for (unsigned int i = 0; i < n; i++)
		metric_value(tally[i].name, "count", tally[i].value, p, ARRAY_SIZE(p));
	metric_value("kick.storm", "ticks", ticks / max_u64(made, 1), p, ARRAY_SIZE(p));
}

/* Requests that come together leave once: kicks merge, or nothing needs to be sent. */
static void check(struct storm *s, const struct tally *sent, const char *name)
{
	struct kick_target *t = &s->target;
	bool heard = true;

	for (u32 k = 0; k < nr_cpus; k++)
		heard &= atomic_load(&t->answered[k]) == atomic_load(&t->asked[k]);
	ktap_result(!atomic_load(&s->lost) && heard && !atomic_load(&t->error), "%s", name);
	kick_note_error(t);
	ktap_result(sent->value < atomic_load(&s->made) &&
			    atomic_load(&t->left) <= atomic_load(&s->made),
		    "requests that come together are kicked for once: %s",
		    kick_state_names[t->setup.state]);
}

static void run_one(struct storm *s, const char *name)
{
	struct tally tally[] = {
		{ "kick.sent", 0 },
		{ "kick.merged", 0 },
		{ "kick.woke", 0 },
		{ "kick.erroneous", 0 },
	};
	struct rng rng;
	u32 kickers;
	u64 start;

	rng_init(&rng, run_options.seed, 0);
	kick_wait(&s->target, &rng);
	take_tally(tally, ARRAY_SIZE(tally));
	start = ticks_now();
	kickers = kick_from_everywhere(s);
	start = ticks_now() - start;
	take_tally(tally, ARRAY_SIZE(tally));
	check(s, &tally[0], name);
	report(s, tally, ARRAY_SIZE(tally), kickers, start);
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
	struct storm s = { .requests = p->requests };
	char name[96];

	/* Each of its waits is for the next look of the vCPU. */
	if (transport == KICK_TIMER)
		s.requests = max_u64(WAIT_EVERY, s.requests / 10);
	fmt_print(name, sizeof(name), "a storm of requests loses none: %s, %s",
		  kick_transport_names[transport], kick_state_names[state]);
	if (!needs_cpus(2, name) || !kick_start(&s.target, &setup, name))
		return;
	run_one(&s, name);
	kick_end(&s.target);
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
