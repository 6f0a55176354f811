/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `wait`: what it costs.
 *
 * wait.wake: from the call that posts an event to a keeper that sleeps on another CPU, until that
 * keeper's thread has returned from the call it slept in.
 * wait.spin: what one round costs a VMM that waits for events and does not let its vCPU take them.
 * All variants are level-triggered, so every call returns at once; nothing limits this but the VMM.
 */
#include "hv/host/metric.h"
#include "lab/wait.h"

#define SAMPLES 200

static u64 samples[SAMPLES];

static bool sample(struct keeper *k, u64 *ticks)
{
	u64 wakes, start;

	if (!WAIT_FOR((atomic_load(&k->stay) & 1) && keeper_asleep(k), SOON))
		return false;
	spin_ticks(500); /* its CPU has come to its HLT */
	wakes = atomic_load(&k->wakes);
	start = keeper_post(k);
	if (!WAIT_FOR(atomic_load(&k->wakes) != wakes, SOON))
		return false;
	*ticks = atomic_load(&k->woken) - start;
	return keeper_settle(k, NULL);
}

static void measure_wake(struct ward *w, enum wait_way way, const struct metric_param *p,
			 unsigned int nr)
{
	struct keeper k;
	unsigned int n = 0;

	if (!keeper_start(&k, w, 0, way, 1))
		return;
	while (n < SAMPLES && sample(&k, &samples[n]))
		n++;
	ktap_result(n == SAMPLES && !atomic_load(&k.error),
		    "%s: an event wakes a keeper that sleeps", wait_way_name[way]);
	keeper_stop(&k);
	if (n)
		metric_samples("wait.wake", "ticks", samples, n, p, nr);
}

/* One round: returns whether the call said at once that there is an event. */
static bool spin_once(struct vcpu *vcpu, enum wait_way way)
{
	struct vcpu_wait set = { .vcpu = vcpu };

	if (way != WAY_MPSTATE)
		return vcpu_wait(&set, 1, ~0ull) == 1;
	return !vcpu_run(vcpu) && vcpu->run.reason == RUN_EXIT_RUNNABLE;
}

static void measure_spin(struct ward *w, enum wait_way way, const struct metric_param *p,
			 unsigned int nr)
{
	struct vcpu *vcpu = w->vcpu[0];
	bool ok = true;

	if (way == WAY_MPSTATE)
		vcpu_set_mp_state(vcpu, MP_HALTED_USERSPACE);
	lapic_post(vcpu, WAIT_VECTOR);
	for (unsigned int i = 0; i < SAMPLES; i++) {
		u64 start = ticks_now();

		ok &= spin_once(vcpu, way);
		samples[i] = ticks_now() - start;
	}
	vcpu_unload(vcpu);
	ktap_result(ok && ward_pending(vcpu),
		    "%s: an event that the vCPU does not take is reported again and again",
		    wait_way_name[way]);
	metric_samples("wait.spin", "ticks", samples, SAMPLES, p, nr);
}

void wait_latency(enum wait_way way)
{
	const struct metric_param p[] = { { .key = "variant", .word = wait_way_name[way] },
					  { .key = "chaos", .value = run_options.chaos },
					  { .key = "cpus", .value = nr_cpus } };
	struct ward w;

	if (needs_cpus(2, "an event wakes a keeper that sleeps")) {
		if (ward_create(&w, way, 1, WAIT_LEAVES))
			measure_wake(&w, way, p, ARRAY_SIZE(p));
		ward_destroy(&w);
	}
	if (ward_create(&w, way, 1, WAIT_LEAVES) && ward_warm_up(&w, 0))
		measure_spin(&w, way, p, ARRAY_SIZE(p));
	ward_destroy(&w);
}
