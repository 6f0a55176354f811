/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `nmi`: NMIs at every instruction of the run loop.
 *
 * A vCPU on another CPU either spins in its guest or exits all the time, always with interrupts
 * disabled; this CPU asks it to leave vcpu_run(), waits until it has, and asks again after a
 * pseudo-random pause. A request that is published but whose NMI gets lost would leave the vCPU in
 * the guest for ever: the bounded wait reports it.
 */
#include "hv/host/ktap.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/random.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "lab/experiment.h"
#include "lab/tiny.h"

#include "hv/host/errno.h"

#define MAX_KICKS  1000000
#define KEPT	   4096
#define MAX_PAUSE  400	   /* ticks between two kicks: longer than a round trip */
#define LOST_AFTER 1000000 /* ticks without an answer */

static const struct param_spec nmi_spec[] = {
	PARAM_U64("n", 1, MAX_KICKS, 2000, "kicks of each kind"),
};

struct target {
	struct tiny tiny;
	_Atomic u64 left; /* times vcpu_run() was left */
	_Atomic bool over;
	_Atomic int error;
};

static u64 samples[KEPT];

static void run_target(void *arg)
{
	struct target *t = arg;
	int err;

	do {
		err = vcpu_run(t->tiny.vcpu);
		if (err != -EINTR)
			atomic_store(&t->error, err ? err : -EIO);
		atomic_fetch_add(&t->left, 1);
	} while (!atomic_load(&t->over) && !atomic_load(&t->error));
	vcpu_unload(t->tiny.vcpu);
}

/* Returns the ticks until the vCPU had left, 0 when it did not. */
static u64 kick_once(struct target *t, u64 nr)
{
	u64 start = ticks_now(), now;

	vcpu_request(t->tiny.vcpu, REQ_EXIT);
	do {
		now = ticks_now();
		if (atomic_load(&t->left) > nr)
			return now - start;
	} while (now - start < LOST_AFTER && !atomic_load(&t->error));
	return 0;
}

static u64 kick_many(struct target *t, u64 n, unsigned int *kept)
{
	struct rng rng;
	u64 lost = 0;

	rng_init(&rng, run_options.seed, 0);
	for (u64 i = 0; i < n && !lost; i++) {
		u64 ticks = kick_once(t, i);

		lost += !ticks;
		if (*kept < KEPT)
			samples[(*kept)++] = ticks;
		spin_ticks(rng_below(&rng, MAX_PAUSE));
	}
	return lost;
}

static void storm(struct tiny_code code, u64 n, const char *word, const char *what)
{
	const struct metric_param p[] = { { .key = "guest", .word = word },
					  { .key = "cpus", .value = nr_cpus } };
	struct target t = { .over = false };
	struct thread *thread;
	unsigned int kept = 0;
	u64 lost;

	if (tiny_create(&t.tiny, code, 0) || thread_create(&thread, 1, "target", run_target, &t)) {
		ktap_result(false, "a vCPU can be created on CPU 1");
		tiny_destroy(&t.tiny);
		return;
	}
	lost = kick_many(&t, n, &kept);
	atomic_store(&t.over, true);
	vm_stop(t.tiny.vm);
	thread_join(thread);
	ktap_result(!lost && !atomic_load(&t.error), "none of %llu kicks is lost: %s",
		    (unsigned long long)n, what);
	metric_samples("nmi.leave", "ticks", samples, kept, p, ARRAY_SIZE(p));
	tiny_destroy(&t.tiny);
}

static void run_nmi(const struct param_values *params)
{
	u64 n = param_number(params, "n");

	if (nr_cpus < 2) {
		ktap_skip("needs 2 CPUs", "kicks from one CPU to another");
		return;
	}
	storm(TINY_SPIN, n, "spins", "the guest spins with interrupts disabled");
	storm(TINY_EXITS, n, "exits", "the guest exits all the time");
}

EXPERIMENT(nmi)
= {
	.name = "nmi",
	.shows = "NMIs at every instruction around VM entry: no kick is lost",
	.flags = EXP_NEEDS_VMX,
	.spec = nmi_spec,
	.nr_spec = ARRAY_SIZE(nmi_spec),
	.run = run_nmi,
};
