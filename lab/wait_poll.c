/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `wait`: what vcpu_wait() reports, and what it does not. One thread, one vCPU. */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "lab/wait.h"

/* A warm vCPU whose guest leaves by itself, with nothing unseen. */
static bool begin(struct ward *w, enum wait_way way, u32 what)
{
	if (!ward_create(w, way, 1, what))
		return false;
	if (ward_warm_up(w, 0))
		return true;
	ktap_result(false, "the guest comes to its first exit");
	ward_destroy(w);
	return false;
}

static int poll_now(struct vcpu *vcpu)
{
	struct vcpu_wait set = { .vcpu = vcpu };

	return vcpu_wait(&set, 1, 0);
}

static void test_event_first(enum wait_way way)
{
	const char *name = wait_way_name[way];
	struct ward w;
	bool before, during, after;

	if (!begin(&w, way, WAIT_LEAVES))
		return;
	before = poll_now(w.vcpu[0]) == -ETIMEDOUT;
	lapic_post(w.vcpu[0], WAIT_VECTOR);
	during = poll_now(w.vcpu[0]) == 1;
	ktap_result(before && during, "%s: an event before the poll: ready at once", name);
	after = ward_run_until_out(&w, 0) && poll_now(w.vcpu[0]) == -ETIMEDOUT;
	ktap_result(after && atomic_load(&w.box[0]->interrupts) == 1,
		    "%s: an event that the guest has taken is not reported again", name);
	ward_destroy(&w);
}

static void test_deadline(void)
{
	struct vcpu_wait set = { NULL, 0 };
	struct ward w;
	u64 deadline;
	int ret;

	if (!begin(&w, WAY_SEQUENCE, WAIT_LEAVES))
		return;
	set.vcpu = w.vcpu[0];
	deadline = ticks_now() + 20000;
	ret = vcpu_wait(&set, 1, deadline);
	ktap_result(ret == -ETIMEDOUT && !set.ready && ticks_now() >= deadline,
		    "a wait with a deadline ends with it, not before");
	ward_destroy(&w);
}

/* Ask for everything that is no event. Returns whether each of them left the vCPU unready. */
static bool unrelated_requests(struct ward *w)
{
	struct vm_hold hold = { .vm = NULL };
	struct vcpu *v = w->vcpu[0];
	bool quiet = true;

	vcpu_request(v, REQ_LOOK);
	quiet &= poll_now(v) == -ETIMEDOUT;
	vcpu_request(v, REQ_DIRTY);
	quiet &= poll_now(v) == -ETIMEDOUT;
	quiet &= !vm_flush(w->vm, ticks_now() + tsc_hz) && poll_now(v) == -ETIMEDOUT;
	quiet &= !vm_pause(w->vm, &hold, 0, NULL) && poll_now(v) == -ETIMEDOUT;
	quiet &= !vm_resume(&hold) && poll_now(v) == -ETIMEDOUT;
	vcpu_request(v, REQ_EXIT);
	quiet &= poll_now(v) == -ETIMEDOUT;
	quiet &= vcpu_run(v) == -EINTR && poll_now(v) == -ETIMEDOUT;
	vcpu_unload(v);
	return quiet;
}

static void test_unrelated(void)
{
	struct ward w;

	if (!begin(&w, WAY_SEQUENCE, WAIT_LEAVES))
		return;
	ktap_result(unrelated_requests(&w),
		    "sequence: requests that are no events (look, dirty log, "
		    "flush, pause, leave) do not report ready");
	ward_destroy(&w);
	if (!begin(&w, WAY_POSTED, WAIT_LEAVES))
		return;
	ktap_result(!unrelated_requests(&w), "posted: they do, whenever they kick");
	ward_destroy(&w);
}

/* The request to leave wins, and the event that came with it must not be called seen. */
static void test_leaving(void)
{
	struct ward w;
	bool out, taken;

	if (!begin(&w, WAY_SEQUENCE, WAIT_LEAVES))
		return;
	lapic_post(w.vcpu[0], WAIT_VECTOR);
	vcpu_request(w.vcpu[0], REQ_EXIT);
	out = vcpu_run(w.vcpu[0]) == -EINTR && ward_pending(w.vcpu[0]);
	ktap_result(out && poll_now(w.vcpu[0]) == 1,
		    "an event that came with a request to leave is still to be reported");
	taken = ward_run_until_out(&w, 0) && atomic_load(&w.box[0]->interrupts) == 1;
	ktap_result(taken && poll_now(w.vcpu[0]) == -ETIMEDOUT, "and is taken by the next run");
	ward_destroy(&w);
}

/*
 * A poll says that there is something for the guest. As long as the guest does not take it, because
 * it has interrupts disabled, that stays true; to let it run is all that a VMM can do.
 */
static void test_disabled(void)
{
	bool first, again;
	struct ward w;

	if (!begin(&w, WAY_SEQUENCE, WAIT_LEAVES | WAIT_MASKED))
		return;
	lapic_post(w.vcpu[0], WAIT_VECTOR);
	first = poll_now(w.vcpu[0]) == 1;
	again = ward_run_until_out(&w, 0) && poll_now(w.vcpu[0]) == 1;
	ktap_result(
		first && again && ward_pending(w.vcpu[0]),
		"sequence: an interrupt that the guest has disabled is reported until it takes it");
	ward_destroy(&w);
}

/* One that its task priority masks is none for it, once that was found out. */
static void test_masked(void)
{
	bool first, again;
	struct ward w;

	if (!begin(&w, WAY_SEQUENCE, WAIT_WRITES))
		return;
	first = ward_write_msr(&w, 0, MSR_X2APIC_TPR, WAIT_VECTOR | 0xf) &&
		poll_now(w.vcpu[0]) == -ETIMEDOUT;
	lapic_post(w.vcpu[0], WAIT_VECTOR);
	first &= poll_now(w.vcpu[0]) == 1;
	again = ward_run_until_out(&w, 0) && poll_now(w.vcpu[0]) == 1;
	ktap_result(
		first && !again && ward_pending(w.vcpu[0]),
		"sequence: one that its task priority masks is reported until a run has seen that");
	ward_destroy(&w);
}

static void test_running(void)
{
	unsigned int ready = 0, taken = 0;
	struct keeper k;
	struct ward w;

	if (!needs_cpus(2, "a vCPU that runs can be polled") ||
	    !ward_create(&w, WAY_SEQUENCE, 1, WAIT_EXITS))
		return;
	if (keeper_start(&k, &w, 0, WAY_SEQUENCE, 1)) {
		keeper_post(&k);
		keeper_settle(&k, NULL); /* from here on it is in the guest */
		for (unsigned int i = 0; i < 200; i++) {
			struct vcpu_wait set = { .vcpu = k.vcpu };

			keeper_post(&k);
			ready += vcpu_wait(&set, 1, ticks_now() + i) == 1;
			taken += keeper_settle(&k, NULL);
		}
		ktap_result(taken == 200 && !atomic_load(&k.error),
			    "a vCPU that runs can be polled: it misses none of 200 events");
		ktap_note("the poll was before the guest %u times", ready);
		keeper_stop(&k);
	}
	ward_destroy(&w);
}

/* Returns whether the call ends with what it has to say about one that is gone. */
static bool told_gone(struct call *c, unsigned int which)
{
	bool told = call_returned(c, SOON) && c->ret == 1 && c->set[which].ready == WAIT_GONE;

	call_join(c);
	return told;
}

static void destroy_under_wait(bool *vcpu, bool *vm)
{
	struct call c = { .fn = call_wait, .n = 2 };
	struct ward w;

	*vcpu = *vm = false;
	if (!ward_create(&w, WAY_SEQUENCE, 2, WAIT_LEAVES))
		return;
	c.set[0].vcpu = w.vcpu[0];
	c.set[1].vcpu = w.vcpu[1];
	if (call_start(&c) && call_asleep(&c)) {
		vcpu_destroy(w.vcpu[1]);
		*vcpu = told_gone(&c, 1) && !c.set[0].ready;
	}
	c.n = 1;
	if (call_start(&c) && call_asleep(&c)) {
		ward_destroy(&w);
		*vm = told_gone(&c, 0);
	}
}

static void test_destroy(void)
{
	bool vcpu, vm;
	u64 used;

	destroy_under_wait(&vcpu, &vm); /* what is kept for the next time is allocated now */
	used = page_nr_used();
	destroy_under_wait(&vcpu, &vm);
	ktap_result(vcpu, "who waits for a vCPU that is destroyed is told that it is gone");
	ktap_result(vm, "destroying a VM sends home who waits for its vCPUs, and then frees it");
	ktap_expect_eq(page_nr_used(), used, "and every page of it");
}

void wait_test_poll(void)
{
	test_event_first(WAY_POSTED);
	test_event_first(WAY_SEQUENCE);
	test_deadline();
	test_unrelated();
	test_leaving();
	test_disabled();
	test_masked();
	test_running();
	test_destroy();
}
