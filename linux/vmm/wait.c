/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `wait` on KVM: how a VMM hears that there is something for a vCPU that it does not
 * run.
 *
 * wait.wake: from the ioctl that posts an event to a keeper that sleeps on another CPU, until that
 * keeper's thread has returned from the call it slept in.
 * wait.taken: until the guest has taken the event and the vCPU is out again: what the way costs as
 * a whole, its further ioctls included. Blocking in KVM_RUN, the baseline, has only this one.
 * wait.spin: one round of a VMM that waits for events and does not let its vCPU take them.
 * wait.lost: of many events, each at any moment, alone or together with what takes the vCPU out.
 */
#include "linux/vmm/wait.h"

#include "hv/host/metric.h"
#include "hv/host/random.h"
#include "hv/vm/lapic.h"

#define MAX_SAMPLES 1000
#define MAX_PAUSE   6000 /* ticks: about as long as the way from the guest to a sleep */
#define MANY_LOST   200	 /* so many events must show the posted flag's loss */

static const struct param_spec wait_spec[] = {
	PARAM_U64("events", 1, 100000000, 1000, "events for each variant"),
	PARAM_U64("samples", 1, MAX_SAMPLES, 200, "measured wake-ups of each variant"),
	PARAM_ENUM("variant", 0, "how the VMM waits", "all", "posted", "sequence", "mpstate",
		   "run"),
};

static u64 wake[MAX_SAMPLES], taken[MAX_SAMPLES], spin[MAX_SAMPLES];

/* --- what it costs ---------------------------------------------------------------------------- */

static bool wait_until_changed(struct keeper *k, _Atomic u64 *count, u64 old)
{
	u64 end = ticks_now() + tsc_hz;

	while (atomic_load(count) == old) {
		if (ticks_now() > end || atomic_load(&k->error))
			return false;
		cpu_relax();
	}
	return true;
}

/* Posted when its thread sleeps: it is in the call, and there long enough for its CPU to be idle.
 */
static bool sample(struct keeper *k, unsigned int n)
{
	u64 start, wakes, rounds;

	if (!(atomic_load(&k->stay) & 1) &&
	    !wait_until_changed(k, &k->stay, atomic_load(&k->stay) & ~1ull))
		return false;
	spin_ticks(30000);
	wakes = atomic_load(&k->wakes);
	rounds = atomic_load(&k->rounds);
	start = keeper_post(k);
	if ((k->way != WAY_RUN && !wait_until_changed(k, &k->wakes, wakes)) ||
	    !wait_until_changed(k, &k->rounds, rounds))
		return false;
	wake[n] = atomic_load(&k->woken) - start;
	taken[n] = atomic_load(&k->out) - start;
	return keeper_settle(k, NULL);
}

static void report(enum wait_way way, const char *metric, u64 *samples, unsigned int n)
{
	const struct metric_param p[] = { { .key = "variant", .word = wait_way_name[way] },
					  { .key = "cpus", .value = nr_cpus },
					  { .key = "knob", .word = "break_poll" } };

	metric_samples(metric, "ticks", samples, n, p, way == WAY_POSTED ? 3 : 2);
}

/* The exits behind wait.taken. */
static void report_exits(struct keeper *k, unsigned int n)
{
	const struct metric_param p[] = { { .key = "of", .word = "wait.taken" },
					  { .key = "ops", .value = n },
					  { .key = "variant", .word = wait_way_name[k->way] } };

	metric_value("kvm.exits", "count", k->exits, p, ARRAY_SIZE(p));
}

static void measure_wake(enum wait_way way, unsigned int samples)
{
	const char *name = wait_way_name[way];
	unsigned int n = 0;
	struct keeper k;

	if (!needs_cpus(2, "an event wakes a keeper that sleeps") ||
	    !ward_create(&k, way, WAIT_LEAVES))
		return;
	if (keeper_start(&k, 1)) {
		while (n < samples && sample(&k, n))
			n++;
		ktap_result(n == samples && !atomic_load(&k.error),
			    "%s: an event wakes a keeper that sleeps", name);
		keeper_stop(&k);
		if (n) {
			if (way != WAY_RUN)
				report(way, "wait.wake", wake, n);
			report(way, "wait.taken", taken, n);
			report_exits(&k, n);
		}
	}
	ward_destroy(&k);
}

/* An event that the VMM does not let the vCPU take is reported by every call. */
static void measure_spin(enum wait_way way, unsigned int samples)
{
	bool ok = true;
	struct keeper k;

	if (way == WAY_RUN || !ward_create(&k, way, WAIT_LEAVES))
		return;
	if (way == WAY_MPSTATE)
		vcpu_set_mp_state(k.vcpu, MP_HALTED_USERSPACE);
	lapic_post(k.vcpu, WAIT_VECTOR);
	for (unsigned int i = 0; i < samples; i++) {
		u64 start = ticks_now();

		if (way == WAY_MPSTATE)
			ok &= !vcpu_run(k.vcpu) && k.vcpu->run.reason == RUN_EXIT_RUNNABLE;
		else
			ok &= !keeper_wait_once(&k);
		spin[i] = ticks_now() - start;
	}
	ktap_result(ok && ward_pending(&k) && !atomic_load(&k.box->interrupts),
		    "%s: an event that the vCPU does not take is reported again and again",
		    wait_way_name[way]);
	report(way, "wait.spin", spin, samples);
	ward_destroy(&k);
}

/* --- whether one is lost ---------------------------------------------------------------------- */

static void post_somehow(struct keeper *k, struct rng *rng)
{
	spin_ticks(rng_below(rng, MAX_PAUSE));
	switch (rng_below(rng, 4)) {
	case 0: keeper_post(k); break;
	case 1:
		keeper_post(k);
		vcpu_request(k->vcpu, REQ_EXIT);
		break;
	case 2:
		keeper_post(k);
		spin_ticks(rng_below(rng, MAX_PAUSE));
		vcpu_request(k->vcpu, REQ_EXIT);
		break;
	case 3:
		vcpu_request(k->vcpu, REQ_EXIT);
		spin_ticks(rng_below(rng, MAX_PAUSE));
		keeper_post(k);
		break;
	}
}

static void judge(struct keeper *k, u64 events, u64 lost, bool stuck)
{
	const char *name = wait_way_name[k->way];
	bool once = !atomic_load(&k->error) && atomic_load(&k->box->interrupts) == k->posted;
	unsigned long long l = lost, n = events;

	ktap_result(!stuck && once, "%s: the guest takes each of %llu events once%s", name, n,
		    k->way == WAY_POSTED ? ", those included that are lost and repeated" : "");
	if (k->way != WAY_POSTED)
		ktap_result(!lost,
			    "%s: no event is lost between a check and a sleep, nor "
			    "between the last look and the entry",
			    name);
	else if (events >= MANY_LOST)
		ktap_result(lost, "break_poll: the posted flag loses wakeups: %llu of %llu events",
			    l, n);
	else
		ktap_note("break_poll: the posted flag has lost %llu of %llu wakeups", l, n);
}

static void stress(enum wait_way way, u64 events)
{
	const struct metric_param p[] = { { .key = "variant", .word = wait_way_name[way] },
					  { .key = "cpus", .value = nr_cpus },
					  { .key = "knob", .word = "break_poll" } };
	unsigned int nr = way == WAY_POSTED ? 3 : 2;
	bool stuck = false;
	struct keeper k;
	struct rng rng;
	u64 lost = 0;

	if (!needs_cpus(2, "events at any moment") || !ward_create(&k, way, WAIT_HALTS))
		return;
	rng_init(&rng, run_options.seed, way);
	if (keeper_start(&k, 1)) {
		for (u64 i = 0; i < events && !stuck; i++) {
			post_somehow(&k, &rng);
			stuck = !keeper_settle(&k, &lost);
		}
		judge(&k, events, lost, stuck);
		metric_value("wait.events", "count", events, p, nr);
		metric_value("wait.lost", "count", lost, p, nr);
		metric_value("wait.wakes", "count", atomic_load(&k.wakes), p, nr);
		metric_value("wait.spurious", "count", atomic_load(&k.spurious), p, nr);
		keeper_stop(&k);
	}
	ward_destroy(&k);
}

static void run_wait(const struct param_values *params)
{
	u64 only = param_number(params, "variant"), samples = param_number(params, "samples");

	for (enum wait_way way = 0; way < NR_WAIT_WAYS; way++) {
		if (only && only != way + 1)
			continue;
		if (!wait_way_supported(way, wait_way_name[way]))
			continue;
		measure_wake(way, (unsigned int)samples);
		measure_spin(way, (unsigned int)samples);
		if (way != WAY_RUN)
			stress(way, param_number(params, "events"));
	}
}

EXPERIMENT(wait)
= {
	.name = "wait",
	.shows =
		"how a VMM hears of a vCPU's events: the flag that loses wakeups, and two ways without",
	.spec = wait_spec,
	.nr_spec = ARRAY_SIZE(wait_spec),
	.run = run_wait,
};
