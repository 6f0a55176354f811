/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `wait`: the holes of the posted flag that need no luck to be hit, and the same steps
 * with the event sequence. The one that needs luck, an event between the last look at requests and
 * the clearing of the flag, is for lab/wait_stress.c with chaos.
 *
 * The first: kvm_vcpu_kick() returns early when it has woken a vCPU that was blocked inside
 * KVM_RUN, so its pollers hear nothing.
 *   1. vCPU V is blocked in HLT; W waits for V's events
 *   2. an event for V: the kick wakes V's thread, and returns early; W sleeps on
 *   3. before V's thread runs, V is taken out of KVM_RUN (a signal; here, a pause)
 *   4. V's thread comes out with -EINTR: the event is pending, nobody runs V, W sleeps for ever
 * That V's thread does not run between 2 and 3 is arranged by keeping its CPU busy.
 */
#include "hv/host/errno.h"
#include "lab/wait.h"

#define HALTED_CPU 1

struct busy {
	struct thread *thread;
	_Atomic bool on, off;
};

static void keep_busy(void *arg)
{
	struct busy *b = arg;

	atomic_store(&b->on, true);
	while (!atomic_load(&b->off))
		cpu_relax();
}

/* Step 2 to 4. Returns whether they went as told above. */
static bool wake_and_take_out(struct ward *w, struct call *halted)
{
	struct vm_hold hold = { .vm = NULL };
	struct busy busy = { .on = false };
	bool ok;

	if (thread_create(&busy.thread, HALTED_CPU, "busy", keep_busy, &busy))
		return false;
	ok = WAIT_FOR(atomic_load(&busy.on), SOON);
	lapic_post(w->vcpu[0], WAIT_VECTOR);
	ok &= !vm_pause(w->vm, &hold, 0, NULL);
	atomic_store(&busy.off, true);
	thread_join(busy.thread);
	ok &= call_returned(halted, SOON) && halted->ret == -EINTR;
	ok &= !vm_resume(&hold);
	return ok && ward_pending(w->vcpu[0]);
}

/* The waiter is a thread of this CPU, so that the busy one does not keep it from running. */
struct waiting {
	struct vcpu *vcpu;
	struct thread *thread;
	_Atomic bool woken;
};

static void wait_here(void *arg)
{
	struct waiting *t = arg;
	struct vcpu_wait set = { .vcpu = t->vcpu };

	vcpu_wait(&set, 1, ~0ull);
	atomic_store(&t->woken, true);
}

static bool event_reaches_waiter(struct ward *w, struct call *halted, bool *as_told)
{
	struct waiting waiting = { .vcpu = w->vcpu[0] };
	bool woken;

	if (thread_create(&waiting.thread, 0, "waiter", wait_here, &waiting)) {
		*as_told = false;
		return false;
	}
	*as_told = WAIT_FOR(wait_queue_active(&w->vcpu[0]->pollers), SOON);
	*as_told &= wake_and_take_out(w, halted);
	woken = WAIT_FOR(atomic_load(&waiting.woken), NOT_AT_ALL);
	vcpu_event(w->vcpu[0]);
	thread_join(waiting.thread);
	return woken;
}

static void test_blocked(enum wait_way way)
{
	struct call halted = { .fn = call_run };
	bool reached, as_told;
	struct ward w;

	if (!ward_create(&w, way, 1, WAIT_HALTS))
		return;
	halted.vcpu = w.vcpu[0];
	if (call_start(&halted) && call_asleep(&halted)) {
		reached = event_reaches_waiter(&w, &halted, &as_told);
		ktap_result(
			as_told && reached == (way == WAY_SEQUENCE),
			way == WAY_SEQUENCE
				? "sequence: an event that wakes a vCPU in HLT reaches the waiter too"
				: "posted: an event that wakes a vCPU in HLT does not reach the "
				  "waiter: lost when the vCPU is taken out at once");
		call_join(&halted);
	}
	ward_destroy(&w);
}

/* Requests that are sent to all vCPUs at once take another way in KVM, past the flag. */
static void test_broadcast(void)
{
	u32 before, after;
	struct ward w;

	if (!ward_create(&w, WAY_POSTED, 1, WAIT_LEAVES))
		return;
	vm_kick_all(w.vm, true);
	before = vcpu_poll(w.vcpu[0]);
	vcpu_kick(w.vcpu[0]);
	after = vcpu_poll(w.vcpu[0]);
	ktap_result(!before && after == WAIT_EVENT,
		    "posted: the flag is about kicks, not events: one "
		    "of all vCPUs leaves it alone, an idle one sets it");
	ward_destroy(&w);
}

void wait_test_holes(void)
{
	if (needs_cpus(2, "an event that wakes a vCPU in HLT")) {
		test_blocked(WAY_POSTED);
		test_blocked(WAY_SEQUENCE);
	}
	test_broadcast();
}
