/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `nmi`: a kick at any moment around VM entry, and none is lost.
 *
 * A vCPU on another CPU runs a guest with interrupts disabled; this CPU asks it to leave
 * vcpu_run(), waits until it has, and asks again after a pseudo-random pause, while it is on its
 * way back in. A request that is published but whose NMI gets lost leaves the vCPU in the guest:
 * its heartbeat would bring it out much later than LOST_AFTER.
 *
 * The windows in which an NMI could be lost are a few instructions wide, and a guest that exits by
 * itself would hide the loss. So the guest that counts is the one that spins, and it is kicked a
 * second time with entries that dawdle in the windows.
 */
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/metric.h"
#include "hv/host/patience.h"
#include "hv/host/percpu.h"
#include "hv/host/random.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "lab/dawdle.h"
#include "lab/experiment.h"
#include "lab/tiny.h"

#define MAX_KICKS  1000000
#define KEPT	   4096
/* Ticks between two kicks on top of their way: as long as an entry that dawdles. */
#define MAX_PAUSE  (8 * (u64)dawdle_rounds())
/* Ticks without an answer; the heartbeat is at least 4 times as long. */
#define LOST_AFTER patient(20000)

static const struct param_spec nmi_spec[] = {
	PARAM_U64("n", 1, MAX_KICKS, 2000, "kicks of each kind"),
};

struct storm {
	struct tiny_code code;
	u32 dawdle;
	const char *word, *what;
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

/* Returns the ticks until the vCPU had left, 0 when it did not in time. */
static u64 kick_once(struct target *t, u64 nr, u64 limit)
{
	u64 start = ticks_now(), now;

	vcpu_request(t->tiny.vcpu, REQ_EXIT);
	do {
		now = ticks_now();
		if (atomic_load(&t->left) > nr)
			return now - start;
	} while (now - start < limit && !atomic_load(&t->error));
	return 0;
}

/* The first kick also waits for the target's thread to start. Returns the number lost. */
static u64 kick_many(struct target *t, u64 n, unsigned int *kept)
{
	struct rng rng;
	u64 lost = !kick_once(t, 0, tsc_hz);

	rng_init(&rng, run_options.seed, 0);
	for (u64 i = 1; i <= n && !lost; i++) {
		u64 ticks;

		spin_ticks(rng_below(&rng, MAX_PAUSE));
		ticks = kick_once(t, i, LOST_AFTER);
		lost += !ticks;
		if (*kept < KEPT)
			samples[(*kept)++] = ticks;
	}
	return lost;
}

static void report(const struct storm *s, struct target *t, u64 n, u64 lost, u64 barred,
		   unsigned int kept)
{
	const struct metric_param p[] = { { .key = "guest", .word = s->word },
					  { .key = "dawdle", .value = s->dawdle },
					  { .key = "cpus", .value = nr_cpus } };

	ktap_result(!lost && !atomic_load(&t->error), "none of %llu kicks is lost: %s",
		    (unsigned long long)n, s->what);
	if (s->dawdle)
		ktap_result(barred, "kicks arrived in the windows and stopped the entry");
	metric_samples("nmi.leave", "ticks", samples, kept, p, ARRAY_SIZE(p));
	metric_value("nmi.barred", "count", barred, p, ARRAY_SIZE(p));
}

static void run_storm(const struct storm *s, u64 n)
{
	struct target t = { .over = false };
	u64 lost, barred = vm_entries_barred();
	struct thread *thread;
	unsigned int kept = 0;

	if (tiny_create(&t.tiny, s->code, 0) ||
	    thread_create(&thread, 1, "target", run_target, &t)) {
		ktap_result(false, "a vCPU can be created on CPU 1");
		tiny_destroy(&t.tiny);
		return;
	}
	vcpu_dawdle(t.tiny.vcpu, s->dawdle);
	lost = kick_many(&t, n, &kept);
	atomic_store(&t.over, true);
	vm_stop(t.tiny.vm);
	thread_join(thread);
	report(s, &t, n, lost, vm_entries_barred() - barred, kept);
	tiny_destroy(&t.tiny);
}

static void run_nmi(const struct param_values *params)
{
	const struct storm storms[] = {
		{ TINY_SPIN, 0, "spins", "the guest spins with interrupts disabled" },
		{ TINY_EXITS, 0, "exits", "the guest exits all the time" },
		{ TINY_SPIN, dawdle_rounds(), "spins", "the guest spins, and every entry dawdles" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(storms); i++) {
		if (nr_cpus < 2)
			ktap_skip("needs 2 CPUs", "%s", storms[i].what);
		else
			run_storm(&storms[i], param_number(params, "n"));
	}
}

EXPERIMENT(nmi)
= {
	.name = "nmi",
	.shows = "kicks at any moment around VM entry, also where they could be lost: none is",
	.flags = EXP_NEEDS_VMX,
	.spec = nmi_spec,
	.nr_spec = ARRAY_SIZE(nmi_spec),
	.run = run_nmi,
};
