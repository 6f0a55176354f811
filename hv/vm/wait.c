/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See hv/vm/wait.h.
 *
 * The race that the posted flag loses, with an event and a waiter W and the vCPU's thread V:
 *   1. V takes its last look at requests: nothing
 *   2. the deliverer makes the event visible, kicks, sets kicked, and wakes nobody: none waits yet
 *   3. V clears kicked and enters; the kick brings it straight out again
 *   4. V leaves vcpu_run(); W queues itself, sees kicked clear, and sleeps with the event pending
 * Nothing was wrong with the order of W. What is wrong is that "there was an event" is cleared by
 * somebody who did not look at events after it was set. Here V says what it has seen: the sequence
 * as it was before it looked at the pending events. An event whose number is higher has not been
 * seen, whatever happens to V, and W sees that number when it looks.
 */
#include "hv/host/chaos.h"
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/timer.h"
#include "hv/host/trace.h"
#include "hv/vm/internal.h"

COUNTER(wait_sleeps, "wait.sleeps", "times a thread slept in vcpu_wait()");
COUNTER(wait_wakes, "wait.wakes", "times an event found somebody waiting for it");

#define VM_ENDING BIT(31) /* in vm->nr_waiting: somebody waits for it to become 0 */

void vm_set_wait(struct vm *vm, enum wait_variant v)
{
	vm->wait = v;
	for (u32 i = 0; i < vm->nr_vcpus; i++)
		vcpu_choose_loop(vm->vcpu[i]);
}

/* The full fence is in the caller's last read-modify-write. */
void wait_wake(struct vcpu *vcpu)
{
	if (wait_queue_active(&vcpu->pollers) && wake_all(&vcpu->pollers))
		count(&wait_wakes);
}

/* The RFC's half of kvm_vcpu_kick(). */
void wait_kicked(struct vcpu *vcpu)
{
	u32 clear = 0;

	if (atomic_compare_exchange_strong(&vcpu->kicked, &clear, 1))
		wait_wake(vcpu);
}

/*
 * With virtual-interrupt delivery an interrupt is the CPU's once an entry has seen it. Without, one
 * that the guest cannot take yet would stay unseen until its window opens; there is no window here,
 * but the registers say whether it was taken. They are of another CPU perhaps, at this moment: then
 * a vCPU is taken for ready that has just taken its interrupt.
 */
static noinline bool is_handed_over(struct vcpu *vcpu)
{
	return vmx_apic_delivers(&vcpu->vmx) && lapic_above(vcpu, lapic_priority(vcpu));
}

u32 vcpu_poll(struct vcpu *vcpu)
{
	u32 gone = atomic_load_explicit(&vcpu->gone, memory_order_seq_cst) ? WAIT_GONE : 0;

	if (vcpu->vm->wait == WAIT_POSTED)
		return atomic_load_explicit(&vcpu->kicked, memory_order_seq_cst) ? gone | WAIT_EVENT
										 : gone;
	if (likely(atomic_load_explicit(&vcpu->event_seq, memory_order_seq_cst) !=
		   atomic_load_explicit(&vcpu->seen_seq, memory_order_seq_cst)))
		return gone | WAIT_EVENT;
	return is_handed_over(vcpu) ? gone | WAIT_EVENT : gone;
}

static int look(struct vcpu_wait *set, unsigned int n)
{
	int ready = 0;

	for (unsigned int i = 0; i < n; i++) {
		set[i].ready = vcpu_poll(set[i].vcpu);
		ready += !!set[i].ready;
	}
	return ready;
}

static int sleep_until(struct waiter *w, u64 deadline)
{
	count(&wait_sleeps);
	if (deadline != ~0ull)
		return wait_sleep_until(w, deadline);
	wait_sleep(w);
	return 0;
}

/*
 * One round of prepare, look, sleep, look. Returns how many are ready, 0 or -ETIMEDOUT; what came
 * with the deadline came in time.
 */
static int wait_once(struct vcpu_wait *set, struct waiter *w, unsigned int n, u64 deadline)
{
	unsigned int queued = 0;
	int ready, err = 0;

	wait_prepare(&set[0].vcpu->pollers, &w[0]);
	for (unsigned int i = 1; i < n; i++)
		wait_prepare_also(&set[i].vcpu->pollers, &w[i], &w[0]);
	race_point();
	ready = look(set, n);
	race_point();
	if (!ready) {
		err = sleep_until(&w[0], deadline); /* which takes it off its queue */
		queued = 1;
		ready = look(set, n);
	}
	for (; queued < n; queued++)
		wait_finish(&set[queued].vcpu->pollers, &w[queued]);
	return ready ? ready : err;
}

static int wait_many(struct vcpu_wait *set, unsigned int n, u64 deadline)
{
	struct waiter one, *w = &one;
	int ready;

	if (n > 1)
		w = kzalloc(n * sizeof(*w));
	if (!w)
		return -ENOMEM;
	do {
		ready = wait_once(set, w, n, deadline);
	} while (!ready);
	if (n > 1)
		kfree(w);
	return ready;
}

/* A VM goes only when nobody is in here with one of its vCPUs (vm_destroy()). */
static void stay(struct vcpu_wait *set, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		atomic_fetch_add_explicit(&set[i].vcpu->vm->nr_waiting, 1, memory_order_relaxed);
}

/*
 * The count and the mark of the destroyer are one word. Without the mark the subtraction is the
 * last use of the VM here. With it, the last one to leave wakes the destroyer, who goes on only
 * then.
 */
static void leave(struct vcpu_wait *set, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct vm *vm = set[i].vcpu->vm;

		if (unlikely(atomic_fetch_sub_explicit(&vm->nr_waiting, 1, memory_order_acq_rel) ==
			     (VM_ENDING | 1)))
			wake_all(&vm->no_waiters);
	}
}

int vcpu_wait(struct vcpu_wait *set, unsigned int n, u64 deadline)
{
	bool traced = set[0].vcpu->vm->traced;
	int ready;

	stay(set, n);
	ready = look(set, n);
	if (!ready && deadline) {
		if (unlikely(traced))
			trace("wait: sleep", set[0].vcpu->id, n);
		ready = wait_many(set, n, deadline);
		if (unlikely(traced))
			trace("wait: ready", set[0].vcpu->id, (u64)ready);
	}
	leave(set, n);
	return ready ? ready : -ETIMEDOUT;
}

void wait_end(struct vm *vm)
{
	struct waiter w;

	wait_prepare(&vm->no_waiters, &w);
	if (atomic_fetch_or_explicit(&vm->nr_waiting, VM_ENDING, memory_order_acq_rel))
		wait_sleep(&w);
	else
		wait_finish(&vm->no_waiters, &w);
}
