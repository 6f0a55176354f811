/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `wait`: no expiry of a timer is lost or early, whatever its vCPU does at that moment.
 *
 * The timer is the VMM's (a synthetic one): on this CPU, it posts an interrupt. The vCPU, on
 * another CPU, is in the guest, blocked in HLT, or waited for in one of the ways of lab/wait.h.
 */
#include "hv/host/random.h"
#include "lab/wait.h"

#define EXPIRIES 100
#define MAX_TIME 4000 /* ticks; the shortest are over before they are armed */

struct alarm {
	struct timer timer;
	struct keeper *keeper;
	_Atomic u64 fired; /* when; 0: not yet */
};

static void expire(struct timer *t)
{
	struct alarm *a = container_of(t, struct alarm, timer);

	atomic_store(&a->fired, ticks_now());
	keeper_post(a->keeper);
}

/* Returns whether it came, not before its time, and the guest took it. */
static bool one_alarm(struct alarm *a, u64 ticks)
{
	u64 deadline = ticks_now() + ticks;

	atomic_store(&a->fired, 0);
	timer_arm(&a->timer, deadline);
	return WAIT_FOR(atomic_load(&a->fired), SOON) && atomic_load(&a->fired) >= deadline &&
	       keeper_settle(a->keeper, NULL);
}

static void test_alarms(enum wait_way way, u32 what, const char *name)
{
	unsigned int good = 0;
	struct keeper k;
	struct alarm a;
	struct ward w;
	struct rng rng;

	if (!ward_create(&w, way, 1, what))
		return;
	rng_init(&rng, run_options.seed, what);
	if (keeper_start(&k, &w, 0, way, 1)) {
		a.keeper = &k;
		timer_init(&a.timer, expire);
		for (unsigned int i = 0; i < EXPIRIES; i++)
			good += one_alarm(&a, rng_below(&rng, MAX_TIME));
		ktap_result(good == EXPIRIES && atomic_load(&k.box->interrupts) == EXPIRIES,
			    "none of %u expiries is lost, early or twice: %s", EXPIRIES, name);
		keeper_stop(&k);
	}
	ward_destroy(&w);
}

void wait_test_timers(void)
{
	if (!needs_cpus(2, "no expiry of a timer is lost, early or twice"))
		return;
	test_alarms(WAY_SEQUENCE, WAIT_EXITS, "the vCPU runs");
	test_alarms(WAY_SEQUENCE, WAIT_HALTS, "the vCPU is in HLT");
	test_alarms(WAY_SEQUENCE, WAIT_LEAVES, "its VMM waits with the event sequence");
	test_alarms(WAY_MPSTATE, WAIT_LEAVES, "its VMM waits in vcpu_run()");
	ktap_skip("needs the timer of the guest's local APIC, which is not emulated",
		  "no expiry is lost when its timer changes between hardware and software");
}
