/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU's thread that sleeps inside vcpu_run(): in HLT, waiting for SIPI, or in one of the states
 * in which its VMM wants to hear of events. (For a page that is not there: hv/vm/missing.c.)
 *
 * Every sleep is prepare, check, sleep on vcpu->wq; every request and every hold ends in a kick,
 * which wakes that queue. But for REQ_DIRTY: one that sleeps has time until it runs again.
 */
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/percpu.h"
#include "hv/host/trace.h"
#include "hv/vm/internal.h"

COUNTER(run_blocks, "run.blocks", "times a vCPU thread slept in vcpu_run()");

/*
 * Every event sets a request, so requests say whether anything happened since the last look. Where
 * the APIC-access page is matters only to one that enters the guest.
 */
bool vcpu_may_sleep(struct vcpu *vcpu)
{
	return !(atomic_load(&vcpu->requests) & ~(u32)REQ_APIC_PAGE) &&
	       !atomic_load(&vcpu->vm->hold);
}

/* It is told REQ_DIRTY without being woken, and has nothing to do for it before it runs again. */
static bool nothing_to_do(struct vcpu *vcpu)
{
	return !(atomic_load(&vcpu->requests) & ~(u32)(REQ_DIRTY | REQ_APIC_PAGE)) &&
	       !atomic_load(&vcpu->vm->hold);
}

/*
 * Nobody is left who could wake anybody: all vCPUs wait, none has a request pending, and no timer
 * of a local APIC runs. A request is made visible before its sender can block, and blocking takes
 * halt_lock, so the last one to block sees every request that was made.
 */
static bool all_blocked(struct vm *vm)
{
	bool all = true;

	for (u32 i = 0; i < vm->nr_vcpus && all; i++) {
		struct vcpu *v = vm->vcpu[i];

		/* The timer first: what it has posted before it stopped is seen then. */
		all = atomic_load(&v->gone) ||
		      (atomic_load(&v->blocked) && !lapic_timer_runs(v) && nothing_to_do(v));
	}
	return all && !vm->outside_events;
}

/* Returns true when this was the last vCPU that could have done something. */
static bool set_blocked(struct vcpu *vcpu, bool blocked)
{
	bool all;

	spin_lock(&vcpu->vm->halt_lock);
	atomic_store(&vcpu->blocked, blocked);
	all = blocked && all_blocked(vcpu->vm);
	spin_unlock(&vcpu->vm->halt_lock);
	return all;
}

/* Sleep until something is requested. Returns RESUME_GUEST or -EBUSY. */
static int sleep_once(struct vcpu *vcpu)
{
	struct waiter w;

	wait_prepare(&vcpu->wq, &w);
	if (vcpu_may_sleep(vcpu))
		wait_sleep(&w);
	else
		wait_finish(&vcpu->wq, &w);
	if (likely(vmx_is_loaded(&vcpu->vmx)))
		return RESUME_GUEST;
	return vmx_load(&vcpu->vmx) ? -EBUSY : RESUME_GUEST;
}

/* The same for one that only an event can wake. Returns 0 (RUN_EXIT_HLT) when none can come. */
static int sleep_blocked(struct vcpu *vcpu)
{
	int ret;

	if (set_blocked(vcpu, true)) {
		vcpu->run.reason = RUN_EXIT_HLT;
		ret = 0;
	} else {
		ret = sleep_once(vcpu);
	}
	set_blocked(vcpu, false);
	return ret;
}

/*
 * Take the requests, and carry out those that are quick; one to reload the APIC-access page that
 * comes too early stays. Returns them; REQ_EXIT alone when it
 * is among them: a vCPU that leaves has not looked at its events yet, and who waits for them is to
 * find them unseen.
 */
u32 vcpu_take_requests(struct vcpu *vcpu)
{
	u32 requests = atomic_exchange_explicit(&vcpu->requests, 0, memory_order_seq_cst);

	if (requests & REQ_DIRTY)
		dirty_drain(vcpu);
	if (requests & REQ_APIC_PAGE && !apic_page_reload(vcpu))
		atomic_fetch_or_explicit(&vcpu->requests, REQ_APIC_PAGE, memory_order_seq_cst);
	if (!(requests & REQ_EXIT))
		return requests;
	if (requests & REQ_EVENT)
		atomic_fetch_or_explicit(&vcpu->requests, REQ_EVENT, memory_order_relaxed);
	return REQ_EXIT;
}

/* After a sleep or before one: held, asked to leave, or events to look at. */
static int look_while_blocked(struct vcpu *vcpu)
{
	if (atomic_load(&vcpu->vm->hold) || (vcpu_take_requests(vcpu) & REQ_EXIT))
		return -EINTR;
	return vcpu_deliver_events(vcpu);
}

/* Wait in HLT or for SIPI until an event makes the vCPU runnable. Returns as sleep_blocked(), or
 * -EINTR. */
int vcpu_block(struct vcpu *vcpu, struct cpu *cpu)
{
	int ret = look_while_blocked(vcpu);

	trace("vcpu: block", vcpu->id, vcpu->mp_state);
	count(&run_blocks);
	atomic_store(&cpu->in_guest, 0);
	while (vcpu->mp_state != MP_RUNNABLE && ret == RESUME_GUEST) {
		ret = sleep_blocked(vcpu);
		if (ret == RESUME_GUEST)
			ret = look_while_blocked(vcpu);
	}
	trace("vcpu: wake", vcpu->id, vcpu->mp_state);
	atomic_store(&cpu->in_guest, 1);
	return ret;
}

/*
 * MP_HALTED_USERSPACE and MP_INACTIVE_VTL: wait as in HLT, but tell the VMM instead of running the
 * guest. The event stays pending, and unseen.
 */
int vcpu_block_for_vmm(struct vcpu *vcpu, struct cpu *cpu)
{
	struct vcpu_takes takes;
	int ret = RESUME_GUEST;
	u32 requests;

	if (unlikely(vcpu->vm->traced))
		trace("vcpu: block", vcpu->id, vcpu->mp_state);
	count(&run_blocks);
	vcpu_would_take(vcpu, vcpu->mp_state == MP_INACTIVE_VTL, &takes);
	atomic_store(&cpu->in_guest, 0);
	while (ret == RESUME_GUEST) {
		if (atomic_load(&vcpu->vm->hold)) {
			ret = -EINTR;
		} else if (vcpu_has_event(vcpu, &takes)) {
			/* The requests stay for the next run; it has to look at this one. */
			if (!(atomic_load(&vcpu->requests) & REQ_EVENT))
				atomic_fetch_or(&vcpu->requests, REQ_EVENT);
			vcpu->run.reason = RUN_EXIT_RUNNABLE;
			ret = 0;
		} else {
			requests = vcpu_take_requests(vcpu);
			if (requests & REQ_EXIT)
				ret = -EINTR;
			else if (!(requests & ~(u32)REQ_APIC_PAGE)) /* else: look again, an event
								       came with it */
				ret = sleep_once(vcpu);
		}
	}
	if (unlikely(vcpu->vm->traced))
		trace("vcpu: out", vcpu->id, (u64)ret);
	atomic_store(&cpu->in_guest, 1);
	return ret;
}
