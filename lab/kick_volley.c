/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `kick`: a storm. All other CPUs request one vCPU to leave, as fast as they can.
 *
 * Each kicker numbers its requests. When vcpu_run() has returned -EINTR the VMM has heard of all
 * numbers given so far; in between, a kicker waits until it has heard of its latest. A lost kick
 * would leave the vCPU in the guest, where nobody kicks it again: all kickers would wait, for
 * longer than they do.
 */
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/timer.h"
#include "lab/kick.h"

struct kicker {
	struct kick_storm *storm;
	struct thread *thread;
	u32 id;
};

static bool wait_answered(struct kick_target *t, u32 k, u64 nr)
{
	u64 start = ticks_now();

	while (atomic_load(&t->answered[k]) < nr) {
		if (ticks_now() - start > kick_limit(&t->setup) || atomic_load(&t->error))
			return false;
		cpu_relax();
	}
	return true;
}

/* Returns false when its latest request was lost. */
static bool kick_once(struct kick_storm *s, u32 k, u64 nr, struct rng *rng)
{
	struct kick_target *t = &s->target;

	atomic_store(&t->asked[k], nr);
	vcpu_request(t->vcpu, REQ_EXIT);
	atomic_fetch_add(&s->made, 1);
	if (nr < s->requests && rng_below(rng, KICK_WAIT_EVERY))
		return true;
	if (!wait_answered(t, k, nr))
		return false;
	if (rng_below(rng, 2))
		spin_ticks(rng_below(rng, s->max_pause));
	return true;
}

static void run_kicker(void *arg)
{
	struct kicker *k = arg;
	struct kick_storm *s = k->storm;
	struct rng rng;

	rng_init(&rng, run_options.seed, k->id);
	for (u64 i = 1; i <= s->requests && !atomic_load(&s->lost); i++)
		if (!kick_once(s, k->id, i, &rng))
			atomic_fetch_add(&s->lost, 1);
}

static u32 kick_from_everywhere(struct kick_storm *s)
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

void kick_storm_run(struct kick_storm *s)
{
	u64 start = ticks_now();

	s->kickers = kick_from_everywhere(s);
	s->ticks = ticks_now() - start;
}

void kick_storm_one(struct kick_storm *s, const struct kick_setup *setup,
		    void (*run)(struct kick_storm *s, const char *name))
{
	char name[96];

	fmt_print(name, sizeof(name), "a storm of requests loses none: %s, %s",
		  kick_transport_names[setup->transport], kick_state_names[setup->state]);
	if (!needs_cpus(2, name) || !kick_start(&s->target, setup, name))
		return;
	run(s, name);
	kick_end(&s->target);
}

/* --- what it came to -------------------------------------------------------------------------- */

bool kick_storm_answered(struct kick_storm *s)
{
	struct kick_target *t = &s->target;
	bool heard = true;

	for (u32 k = 0; k < nr_cpus; k++)
		heard &= atomic_load(&t->answered[k]) == atomic_load(&t->asked[k]);
	return !atomic_load(&s->lost) && heard && !atomic_load(&t->error);
}

void kick_storm_report(struct kick_storm *s, struct metric_param *p)
{
	const struct kick_setup *setup = &s->target.setup;
	u64 made = atomic_load(&s->made);

	p[0] = (struct metric_param){ .key = "transport",
				      .word = kick_transport_names[setup->transport] };
	p[1] = (struct metric_param){ .key = "state", .word = kick_state_names[setup->state] };
	p[2] = (struct metric_param){ .key = "kickers", .value = s->kickers };
	metric_value("kick.requests", "count", made, p, KICK_STORM_PARAMS);
	metric_value("kick.left", "count", atomic_load(&s->target.left), p, KICK_STORM_PARAMS);
	metric_value("kick.storm", "ticks", s->ticks / max_u64(made, 1), p, KICK_STORM_PARAMS);
}
