/* SPDX-License-Identifier: GPL-2.0-only */
/* See hv/vm/kick.h. */
#include "hv/host/apic.h"
#include "hv/host/chaos.h"
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/print.h"
#include "hv/host/timer.h"
#include "hv/host/trace.h"
#include "hv/vm/internal.h"

COUNTER(kicks_sent, "kick.sent", "kicks sent to a vCPU in the guest");
COUNTER(kicks_merged, "kick.merged", "kicks that found the vCPU on its way out already");
COUNTER(kicks_woke, "kick.woke", "kicks that woke a vCPU's thread");

int vm_set_kick(struct vm *vm, enum kick_transport t, u64 timer_ticks)
{
	if (t == KICK_TIMER && (timer_ticks < 100 || timer_ticks > BIT(31)))
		return -EINVAL;
	if (t == KICK_TIMER && !vmx_heartbeat())
		return -EOPNOTSUPP;
	vm->kick = t;
	vm->kick_timer = t == KICK_TIMER ? timer_ticks : 0;
	for (u32 i = 0; i < vm->nr_vcpus && t == KICK_TIMER; i++)
		vmx_set_heartbeat(&vm->vcpu[i]->vmx, timer_ticks);
	return 0;
}

/* Several CPUs at once: one command, where the interrupt controller can. */
static void send(struct vm *vm, u64 cpu_mask)
{
	switch (vm->kick) {
	case KICK_NMI: apic_send_nmi_mask(cpu_mask); break;
	case KICK_IPI: apic_send_ipi_mask(cpu_mask, VECTOR_KICK); break;
	case KICK_TIMER: break; /* it looks by itself before long */
	}
}

/*
 * If it is in the guest, make it leave: returns its CPU as a mask, for the caller to send the kick
 * to. The compare-and-exchange lets one of several kickers send; its being a read-modify-write is
 * the full fence between what the caller has published and reading mode.
 */
static u64 evict(struct vcpu *vcpu, u32 *mode)
{
	*mode = IN_GUEST_MODE;
	if (!atomic_compare_exchange_strong_explicit(&vcpu->mode, mode, EXITING_GUEST_MODE,
						     memory_order_seq_cst, memory_order_seq_cst))
		return 0;
	/* Stored before IN_GUEST was, so it is the CPU that this stay is on. */
	return BIT(atomic_load_explicit(&vcpu->cpu, memory_order_relaxed));
}

/* Its thread may sleep in HLT, or for a page. */
static bool wake_thread(struct vcpu *vcpu)
{
	if (!wait_queue_active(&vcpu->wq) || !wake_all(&vcpu->wq))
		return false;
	count(&kicks_woke);
	return true;
}

void vcpu_kick(struct vcpu *vcpu)
{
	u64 mask;
	u32 mode;

	race_point();
	mask = evict(vcpu, &mode);
	if (mask) {
		count(&kicks_sent);
		send(vcpu->vm, mask);
	} else if (mode == EXITING_GUEST_MODE) {
		count(&kicks_merged);
	} else if (wake_thread(vcpu) && vcpu->vm->wait == WAIT_POSTED) {
		return; /* as kvm_vcpu_kick(): its waiters hear nothing */
	}
	if (unlikely(vcpu->vm->wait == WAIT_POSTED))
		wait_kicked(vcpu);
}

void vm_kick_all(struct vm *vm, bool wake)
{
	u32 nr = atomic_load_explicit(&vm->nr_vcpus, memory_order_seq_cst);
	u64 mask = 0, one;
	u32 mode;

	for (u32 i = 0; i < nr; i++) {
		one = evict(vm->vcpu[i], &mode);
		mask |= one;
		if (one)
			count(&kicks_sent);
		else if (wake && mode == OUTSIDE_GUEST_MODE)
			wake_thread(vm->vcpu[i]);
	}
	if (mask)
		send(vm, mask);
}

void vcpu_request(struct vcpu *vcpu, u32 req)
{
	atomic_fetch_or_explicit(&vcpu->requests, req, memory_order_seq_cst);
	vcpu_kick(vcpu);
}

/*
 * The event is visible. Advancing the sequence comes before the request: when the vCPU's thread has
 * taken the request it finds the sequence advanced, and the event. Both come before the look at who
 * waits (hv/vm/wait.c).
 */
void vcpu_event(struct vcpu *vcpu)
{
	race_point();
	atomic_fetch_add_explicit(&vcpu->event_seq, 1, memory_order_seq_cst);
	if (unlikely(vcpu->vm->traced))
		trace("event: posted", vcpu->id, 0);
	race_point();
	vcpu_request(vcpu, REQ_EVENT);
	if (likely(vcpu->vm->wait == WAIT_SEQUENCE))
		wait_wake(vcpu);
}

/*
 * Translations were taken out of the tables. A vCPU that is outside compares its generation with
 * the VM's among the last instructions before it enters and flushes when it is behind; one that is
 * in the guest is kicked out to do so. One that has entered after the generation was advanced has
 * flushed; it may be inside again, and need not be waited for. Unless it has to reload the address
 * of the APIC-access page (hv/vm/apic_page.c): then it may have entered, and flushed on its way,
 * after its last look at the requests.
 */
static bool has_let_go(struct vcpu *vcpu, u64 gen)
{
	if (atomic_load_explicit(&vcpu->mode, memory_order_seq_cst) == OUTSIDE_GUEST_MODE)
		return true;
	return __atomic_load_n(&vcpu->vmx.flushed_gen, __ATOMIC_ACQUIRE) >= gen &&
	       !(atomic_load_explicit(&vcpu->requests, memory_order_seq_cst) & REQ_APIC_PAGE);
}

int vm_flush(struct vm *vm, u64 deadline)
{
	u64 gen;
	u32 nr;

	race_point();
	gen = vmx_vm_stale(&vm->vmx);
	race_point();
	vm_kick_all(vm, false);
	nr = atomic_load_explicit(&vm->nr_vcpus, memory_order_acquire);
	for (u32 i = 0; i < nr; i++) {
		struct vcpu *v = vm->vcpu[i];

		while (!has_let_go(v, gen)) {
			if (ticks_now() > deadline) {
				printk("# vCPU %u on CPU %u does not leave the guest (mode %u)\n",
				       i, atomic_load(&v->cpu), atomic_load(&v->mode));
				return -ETIMEDOUT;
			}
			cpu_relax();
		}
	}
	return 0;
}
