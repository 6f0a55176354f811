/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `wait`: no expiry of a timer is lost or early, whatever its vCPU does at that moment.
 *
 * The timer is the VMM's (a synthetic one): on this CPU, it posts an interrupt. Or it is that of
 * the guest's local APIC, which posts it on the CPU that the vCPU is loaded on. The vCPU, on
 * another CPU, is in the guest, blocked in HLT, or waited for in one of the ways of lab/wait.h.
 *
 * There is no switch between a timer in hardware and one in software here: the guest's timer is a
 * host timer all the time. What it does is move to another CPU, with its vCPU.
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

/* --- the timer of the guest's local APIC ------------------------------------------------------ */

#define TWICE (4 * MAX_TIME) /* ticks in which a second interrupt of the last would have come */

/* The guest arms it again whenever it expires, @left times in all. */
static void set_alarms(struct wait_box *box, u32 left)
{
	atomic_store(&box->random, (u32)run_options.seed);
	atomic_store(&box->alarms, left);
}

static bool all_alarms(struct wait_box *box, u32 n)
{
	return atomic_load(&box->expiries) == n && !atomic_load(&box->early);
}

static void note_alarms(struct wait_box *box)
{
	ktap_note("%u interrupts, %u of them early, %u alarms not armed yet",
		  atomic_load(&box->expiries), atomic_load(&box->early), atomic_load(&box->alarms));
}

static void test_local(enum wait_way way, u32 what, const char *name)
{
	struct keeper k;
	struct ward w;
	bool all;

	if (!ward_create(&w, way, 1, what))
		return;
	set_alarms(w.box[0], EXPIRIES);
	if (keeper_start(&k, &w, 0, way, 1)) {
		WAIT_FOR(atomic_load(&w.box[0]->expiries) >= EXPIRIES, EXPIRIES * SOON);
		spin_ticks(TWICE);
		all = all_alarms(w.box[0], EXPIRIES) && !atomic_load(&k.error);
		ktap_result(all,
			    "none of %u expiries of the local APIC's timer is lost, early or "
			    "twice: %s",
			    EXPIRIES, name);
		if (!all)
			note_alarms(w.box[0]);
		keeper_stop(&k);
	}
	ward_destroy(&w);
}

/* Until its next OUT on this CPU or another. While it is loaded nowhere its timer stands still. */
static bool run_there(struct ward *w, bool there)
{
	struct call c = { .fn = call_run, .vcpu = w->vcpu[0] };

	if (!there)
		return ward_run_until_out(w, 0);
	if (!call_start(&c))
		return false;
	call_join(&c);
	return !c.ret && w->vcpu[0]->run.reason == RUN_EXIT_IO;
}

static void test_moves(void)
{
	u64 end = ticks_now() + EXPIRIES * SOON;
	bool ok = true, there = false;
	struct rng rng;
	struct ward w;

	if (!ward_create(&w, WAY_SEQUENCE, 1, WAIT_WORKS))
		return;
	rng_init(&rng, run_options.seed, 0);
	set_alarms(w.box[0], EXPIRIES);
	while (ok && atomic_load(&w.box[0]->expiries) < EXPIRIES && ticks_now() < end) {
		ok = run_there(&w, there);
		there = !there;
		spin_ticks(rng_below(&rng, MAX_TIME / 4));
	}
	spin_ticks(TWICE);
	ok = ok && run_there(&w, there) && all_alarms(w.box[0], EXPIRIES);
	ktap_result(ok, "nor of %u while it moves to and fro between two CPUs with its vCPU",
		    EXPIRIES);
	if (!ok)
		note_alarms(w.box[0]);
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
	test_local(WAY_SEQUENCE, WAIT_EXITS, "the vCPU runs");
	test_local(WAY_SEQUENCE, WAIT_HALTS, "the vCPU is in HLT");
	test_local(WAY_POSTED, WAIT_LEAVES, "its VMM waits with the posted flag");
	test_local(WAY_SEQUENCE, WAIT_LEAVES, "its VMM waits with the event sequence");
	test_local(WAY_MPSTATE, WAIT_LEAVES, "its VMM waits in vcpu_run()");
	test_moves();
}
