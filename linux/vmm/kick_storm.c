/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `kick` on KVM: storms. All other CPUs request one vCPU to leave, as fast as they can,
 * and number their requests: the same game as in lab/kick_storm.c.
 *
 * A lost kick would leave the vCPU in the guest while its kickers wait for it to hear of their
 * latest request.
 */
#include "hv/host/ktap.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/timer.h"
#include "linux/vmm/kick.h"

#define WAIT_EVERY 8	/* requests, on average */
#define MAX_PAUSE  6000 /* ticks after every other wait: the vCPU gets back to where it was */

struct storm {
	struct target target;
	u64 requests;	  /* by each kicker */
	_Atomic u64 made; /* by all */
	_Atomic u64 lost; /* waits that were in vain */
};

struct kicker {
	struct storm *storm;
	struct thread *thread;
	u32 id;
};

static bool wait_answered(struct target *t, u32 k, u64 nr)
{
	u64 start = ticks_now();

	while (atomic_load(&t->answered[k]) < nr) {
		if (ticks_now() - start > target_limit() || atomic_load(&t->error))
			return false;
		cpu_relax();
	}
	return true;
}

/* Returns false when its latest request was lost. */
static bool kick_once(struct storm *s, u32 k, u64 nr, struct rng *rng)
{
	struct target *t = &s->target;

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

static void report_exits(const struct target *t, u64 ops, u64 exits)
{
	const struct metric_param p[] = {
		{ .key = "of", .word = "kick.storm" },
		{ .key = "ops", .value = ops },
		{ .key = "transport", .word = transport_names[t->transport] },
		{ .key = "state", .word = where_names[t->where] },
	};

	metric_value("kvm.exits", "count", exits, p, ARRAY_SIZE(p));
}

static void report(struct storm *s, u32 kickers, u64 ticks, u64 exits)
{
	const struct metric_param p[] = {
		{ .key = "transport", .word = transport_names[s->target.transport] },
		{ .key = "state", .word = where_names[s->target.where] },
		{ .key = "kickers", .value = kickers },
	};
	u64 made = atomic_load(&s->made);

	metric_value("kick.requests", "count", made, p, ARRAY_SIZE(p));
	metric_value("kick.left", "count", atomic_load(&s->target.left), p, ARRAY_SIZE(p));
	metric_value("kick.storm", "ticks", ticks / max_u64(made, 1), p, ARRAY_SIZE(p));
	report_exits(&s->target, made, exits);
}

static void check(struct storm *s, const char *name)
{
	struct target *t = &s->target;
	bool heard = true;

	for (u32 k = 0; k < nr_cpus; k++)
		heard &= atomic_load(&t->answered[k]) == atomic_load(&t->asked[k]);
	ktap_result(!atomic_load(&s->lost) && heard && !atomic_load(&t->error), "%s", name);
	target_note_error(t);
	ktap_result(atomic_load(&t->left) <= atomic_load(&s->made),
		    "requests that come together are answered at once: %s, %s",
		    transport_names[t->transport], where_names[t->where]);
}

static void run_one(struct storm *s, const char *name)
{
	u64 exits = vcpu_stat(s->target.vcpu, "exits"), start;
	struct rng rng;
	u32 kickers;

	rng_init(&rng, run_options.seed, 0);
	target_wait(&s->target, &rng);
	start = ticks_now();
	kickers = kick_from_everywhere(s);
	start = ticks_now() - start;
	check(s, name);
	report(s, kickers, start, vcpu_stat(s->target.vcpu, "exits") - exits);
}

static void run_storm(const struct kick_params *p, enum transport transport, enum where where)
{
	struct storm s = { .target = { .transport = transport, .where = where },
			   .requests = p->requests };
	char name[96];

	fmt_print(name, sizeof(name), "a storm of requests loses none: %s, %s",
		  transport_names[transport], where_names[where]);
	if (!target_can(where, p->where >= 0, name) ||
	    !target_start(&s.target, target_code(where), name))
		return;
	run_one(&s, name);
	target_end(&s.target);
}

void kick_storms(const struct kick_params *p)
{
	static const enum where places[] = { IN_OPEN, IN_HLT, IN_ENTRIES };

	for (int transport = 0; transport < BY_REQUEST; transport++)
		for (unsigned int i = 0; i < ARRAY_SIZE(places); i++)
			if ((p->transport < 0 || p->transport == transport) &&
			    (p->where < 0 || p->where == (int)places[i]))
				run_storm(p, (enum transport)transport, places[i]);
}
