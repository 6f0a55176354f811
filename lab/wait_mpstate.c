/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `wait`: MP_HALTED_USERSPACE and MP_INACTIVE_VTL, the states in which vcpu_run() waits
 * for an event and then returns instead of running the guest.
 */
#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "lab/wait.h"

/* What of a vCPU must not change while it waits. */
struct snapshot {
	struct vcpu_regs regs;
	u32 beats;
	enum vcpu_mp_state state;
};

static bool take(struct ward *w, struct snapshot *s)
{
	int err = vcpu_get_regs(w->vcpu[0], &s->regs);

	s->beats = atomic_load(&w->box[0]->beats);
	s->state = vcpu_get_mp_state(w->vcpu[0]);
	vcpu_unload(w->vcpu[0]);
	return !err;
}

static bool unchanged(struct ward *w, const struct snapshot *s)
{
	struct snapshot now;

	return take(w, &now) && !memcmp(&now.regs, &s->regs, sizeof(now.regs)) &&
	       now.beats == s->beats && now.state == s->state;
}

/* A warm vCPU in @state, about to wait. */
static bool begin(struct ward *w, enum vcpu_mp_state state, u32 what)
{
	if (!ward_create(w, WAY_MPSTATE, 1, what))
		return false;
	if (!ward_warm_up(w, 0)) {
		ktap_result(false, "the guest comes to its first exit");
		ward_destroy(w);
		return false;
	}
	/* Complete the I/O it left for: what follows begins between two instructions. */
	vcpu_request(w->vcpu[0], REQ_EXIT);
	vcpu_run(w->vcpu[0]);
	vcpu_set_mp_state(w->vcpu[0], state);
	vcpu_unload(w->vcpu[0]);
	return true;
}

static bool is_runnable(struct call *c)
{
	return !c->ret && c->vcpu->run.reason == RUN_EXIT_RUNNABLE;
}

/* The call returns in time because there is an event. Joins it in any case. */
static bool ends_runnable(struct call *c)
{
	bool ended = call_returned(c, SOON);

	if (!ended) {
		ktap_note("the call that waits had to be ended");
		vcpu_request(c->vcpu, REQ_EXIT);
	}
	call_join(c);
	return ended && is_runnable(c);
}

/* Let it run, and whether the guest has taken exactly one interrupt. */
static bool takes_it(struct ward *w)
{
	vcpu_set_mp_state(w->vcpu[0], MP_RUNNABLE);
	return ward_run_until_out(w, 0) && atomic_load(&w->box[0]->interrupts) == 1 &&
	       !ward_pending(w->vcpu[0]);
}

static void test_event(enum vcpu_mp_state state, const char *name)
{
	struct snapshot s;
	struct ward w;
	struct call c;
	bool ok;

	if (!begin(&w, state, WAIT_LEAVES))
		return;
	c = (struct call){ .fn = call_run, .vcpu = w.vcpu[0] };
	ok = take(&w, &s) && call_start(&c) && call_asleep(&c);
	lapic_post(w.vcpu[0], WAIT_VECTOR);
	ok &= ends_runnable(&c) && unchanged(&w, &s) && ward_pending(w.vcpu[0]);
	ktap_result(ok,
		    "%s: an event makes vcpu_run() return, not one guest instruction has run, "
		    "the event is pending",
		    name);
	ktap_result(vcpu_poll(w.vcpu[0]) == WAIT_EVENT, "%s: and a poll reports it too", name);
	ktap_result(takes_it(&w), "%s: made runnable, the guest takes it, once", name);
	ward_destroy(&w);
}

static void test_pending(enum vcpu_mp_state state, const char *name)
{
	struct snapshot s;
	struct ward w;
	bool ok;

	if (!begin(&w, state, WAIT_LEAVES))
		return;
	lapic_post(w.vcpu[0], WAIT_VECTOR);
	ok = take(&w, &s) && !vcpu_run(w.vcpu[0]);
	vcpu_unload(w.vcpu[0]);
	ktap_result(ok && w.vcpu[0]->run.reason == RUN_EXIT_RUNNABLE && unchanged(&w, &s),
		    "%s: an event that is pending when it is run: it returns at once", name);
	ktap_result(takes_it(&w), "%s: and the event is taken afterwards", name);
	ward_destroy(&w);
}

/* Whether an interrupt ends the wait of a vCPU; if not, an NMI has to. */
static bool interrupt_ends(struct ward *w, u8 vector, bool *nmi_ends)
{
	struct call c = { .fn = call_run, .vcpu = w->vcpu[0] };
	bool ends = call_start(&c) && call_asleep(&c);

	lapic_post(w->vcpu[0], vector);
	ends &= call_returned(&c, NOT_AT_ALL);
	lapic_post_nmi(w->vcpu[0]);
	*nmi_ends = ends_runnable(&c);
	return ends;
}

static void test_if(enum vcpu_mp_state state, const char *name, bool want)
{
	struct ward w;
	bool ends, nmi;

	if (!begin(&w, state, WAIT_LEAVES | WAIT_MASKED))
		return;
	ends = interrupt_ends(&w, WAIT_VECTOR, &nmi);
	ktap_result(ends == want && nmi, "%s: with RFLAGS.IF clear an interrupt %s it, an NMI does",
		    name, want ? "ends" : "does not end");
	ward_destroy(&w);
}

/* A task priority as high as the lower of two vectors: which of them ends the wait? */
static bool ends_above_priority(enum vcpu_mp_state state, u8 vector, bool *ended, bool *nmi)
{
	struct ward w;
	bool set;

	*ended = *nmi = false;
	if (!begin(&w, MP_RUNNABLE, WAIT_WRITES))
		return false;
	set = ward_write_msr(&w, 0, MSR_X2APIC_TPR, WAIT_LOW_VECTOR | 0xf);
	vcpu_set_mp_state(w.vcpu[0], state);
	*ended = interrupt_ends(&w, vector, nmi);
	ward_destroy(&w);
	return set;
}

static void test_tpr(enum vcpu_mp_state state, const char *name)
{
	bool ended, nmi;

	ktap_result(ends_above_priority(state, WAIT_LOW_VECTOR, &ended, &nmi) && !ended && nmi,
		    "%s: a vector that the task priority masks does not end it, an NMI does", name);
	ktap_result(ends_above_priority(state, WAIT_VECTOR, &ended, &nmi) && ended,
		    "%s: one above it does", name);
}

/* Everything that is not for it: it must go on waiting. Then the request to leave. */
static void test_kick(enum vcpu_mp_state state, const char *name)
{
	struct vm_hold hold = { .vm = NULL };
	struct snapshot s;
	struct ward w;
	struct call c;
	bool ok;

	if (!begin(&w, state, WAIT_LEAVES))
		return;
	c = (struct call){ .fn = call_run, .vcpu = w.vcpu[0] };
	ok = take(&w, &s) && call_start(&c) && call_asleep(&c);
	vcpu_request(w.vcpu[0], REQ_LOOK);
	vcpu_kick(w.vcpu[0]);
	ok &= !vm_flush(w.vm, ticks_now() + tsc_hz) && !call_returned(&c, NOT_AT_ALL);
	ktap_result(ok, "%s: a kick without an event, a look and a flush do not end it", name);
	vcpu_request(w.vcpu[0], REQ_EXIT);
	ok = call_returned(&c, SOON) && c.ret == -EINTR;
	call_join(&c);
	ktap_result(ok && unchanged(&w, &s),
		    "%s: a request to leave: -EINTR, registers and state kept", name);
	ok = call_start(&c) && call_asleep(&c) && !vm_pause(w.vm, &hold, 0, NULL);
	ok &= call_returned(&c, SOON) && c.ret == -EINTR;
	call_join(&c);
	ok &= !vm_resume(&hold);
	ktap_result(ok && unchanged(&w, &s), "%s: a pause: -EINTR, registers and state kept", name);
	ok = call_start(&c) && call_asleep(&c);
	lapic_post(w.vcpu[0], WAIT_VECTOR);
	ktap_result(ok && ends_runnable(&c) && takes_it(&w),
		    "%s: run again it waits again, and the next event ends it", name);
	ward_destroy(&w);
}

/* The state of one is given to another, of another VM, which has the same memory. */
static void test_restore(void)
{
	struct snapshot s;
	struct ward old, new;
	struct call c;
	bool ok = false;

	if (!begin(&old, MP_HALTED_USERSPACE, WAIT_LEAVES))
		return;
	c = (struct call){ .fn = call_run, .vcpu = old.vcpu[0] };
	if (call_start(&c) && call_asleep(&c)) {
		vcpu_request(old.vcpu[0], REQ_EXIT);
		call_join(&c);
		ok = c.ret == -EINTR && take(&old, &s);
	}
	ward_destroy(&old);
	if (!begin(&new, MP_RUNNABLE, WAIT_LEAVES))
		return;
	ok &= !vcpu_set_regs(new.vcpu[0], &s.regs);
	vcpu_set_mp_state(new.vcpu[0], s.state);
	vcpu_unload(new.vcpu[0]);
	c = (struct call){ .fn = call_run, .vcpu = new.vcpu[0] };
	ok &= call_start(&c) && call_asleep(&c);
	lapic_post(new.vcpu[0], WAIT_VECTOR);
	ok &= ends_runnable(&c) && unchanged(&new, &s);
	ktap_result(ok, "saved while it waits and restored elsewhere, it waits there, and wakes");
	ktap_result(takes_it(&new), "and goes on where it was saved");
	ward_destroy(&new);
}

void wait_test_mpstate(void)
{
	static const struct {
		enum vcpu_mp_state state;
		const char *name;
		bool if_ignored;
	} states[] = {
		{ MP_HALTED_USERSPACE, "halted, for the VMM", false },
		{ MP_INACTIVE_VTL, "inactive VTL", true },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(states); i++) {
		test_event(states[i].state, states[i].name);
		test_pending(states[i].state, states[i].name);
		test_if(states[i].state, states[i].name, states[i].if_ignored);
		test_tpr(states[i].state, states[i].name);
		test_kick(states[i].state, states[i].name);
	}
	test_restore();
}
