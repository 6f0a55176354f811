/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages that are not there: what a slot says about them, reporting them, and sleeping for them.
 *
 * Every access finds its page the same way (fault_internal.h), a guest's fault (memory.c) as well
 * as the hypervisor's own (access.c), so there is one rule for all: an access is treated as if the
 * guest had made it.
 *
 * The race between a fault and everything that changes what the fault has found. That a page is
 * missing is found in a read section, after the invalidate sequence was read, and told only when no
 * invalidation is under way and the sequence has not moved since; so a report is of a page that was
 * missing, in a slot that said to report it, and not of one that was about to be moved or to lose
 * its slot. What happens after that the rerun finds: it begins anew.
 * A thread that sleeps for the page instead gets its answer from a slot that may go while it
 * sleeps. It notes the generation of the slots before it looks for the slot, and compares it again
 * after it has put itself on its wait queue; a change of slots publishes them, advances the
 * generation and then wakes who sleeps.
 */
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/percpu.h"
#include "hv/host/trace.h"
#include "hv/vm/internal.h"

COUNTER(run_fetches, "run.fetches", "times a vCPU thread slept until a page was there");

/* --- sleeping ----------------------------------------------------------------------------------
 */

struct sleeper {
	struct vm *vm;
	struct vcpu *vcpu; /* NULL: it is no vCPU's thread */
	bool (*wanted)(struct vcpu *vcpu);
	u32 generation;
};

static bool must_stop(void *arg)
{
	const struct sleeper *s = arg;

	return (s->vcpu && s->wanted(s->vcpu)) ||
	       atomic_load_explicit(&s->vm->slots.generation, memory_order_seq_cst) !=
		       s->generation;
}

int missing_wait(struct vm *vm, struct vcpu *vcpu, struct missing *m,
		 bool (*wanted)(struct vcpu *vcpu))
{
	struct sleeper s = { vm, vcpu, wanted, m->generation };
	struct fetch_queue *q = &vm->fetches;

	atomic_fetch_add_explicit(&q->sleepers, 1, memory_order_seq_cst);
	backing_wait(m->backing, m->offset, q, vcpu ? &vcpu->wq : &q->others, must_stop, &s);
	atomic_fetch_sub_explicit(&q->sleepers, 1, memory_order_release);
	backing_put(m->backing);
	return vcpu && wanted(vcpu) ? -EINTR : 0;
}

noinline void missing_wake(struct vm *vm)
{
	for (u32 i = 0; i < vm_nr_vcpus(vm); i++)
		if (wait_queue_active(&vm->vcpu[i]->wq))
			wake_all(&vm->vcpu[i]->wq);
	wake_all(&vm->fetches.others);
}

/* What else there is to do for a vCPU that is in no hurry. */
static bool has_work(struct vcpu *vcpu)
{
	return !vcpu_may_sleep(vcpu);
}

int vcpu_fetch(struct vcpu *vcpu, struct missing *m)
{
	struct cpu *cpu = this_cpu();

	trace("vcpu: fetch", vcpu->id, m->offset);
	count(&run_fetches);
	atomic_store(&cpu->in_guest, 0);
	missing_wait(vcpu->vm, vcpu, m, has_work);
	atomic_store(&cpu->in_guest, 1);
	return vmx_load(&vcpu->vmx) ? -EBUSY : RESUME_GUEST;
}
