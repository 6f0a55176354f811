/* SPDX-License-Identifier: GPL-2.0-only */
/* See guests.h. */
#include "tests/stress/guests.h"

#include "hv/host/errno.h"
#include "hv/host/x86.h"

static void take_event(struct hw_vcpu *hw, const struct vm_event *e)
{
	struct guest *g = hw->arg;

	if (e->type == EVENT_NMI) {
		atomic_fetch_add(&g->nmis, 1);
		return;
	}
	stress_check(e->vector >= GUEST_VECTOR && e->vector < GUEST_VECTOR + GUEST_COUNTS,
		     "vCPU %u gets interrupt %u", g->vcpu->id, e->vector);
	stress_check(!g->eoi, "vCPU %u gets an interrupt before its EOI", g->vcpu->id);
	g->eoi = true;
	atomic_fetch_add(&g->taken[e->vector - GUEST_VECTOR], 1);
}

static int step(struct hw_vcpu *hw)
{
	struct guest *g = hw->arg;

	atomic_fetch_add_explicit(&g->steps, 1, memory_order_relaxed);
	if (hw->nmi_blocked && !stress_random(4))
		hw->nmi_blocked = false; /* its handler's IRET */
	if (g->eoi) {
		g->eoi = false;
		if (g->signals && !stress_random(4))
			vcpu_request(g->vcpu, REQ_EXIT);
		return hw_eoi(hw);
	}
	switch (stress_random(32)) {
	case 0: return g->exits ? VM_EXIT_CPUID : HW_GOES_ON;
	case 1: return g->halts && !hw->nmi_blocked ? VM_EXIT_HLT : HW_GOES_ON;
	default: return g->work ? g->work(g) : HW_GOES_ON;
	}
}

void guests_choose_apic(void)
{
	static const enum vmx_apic_rung rungs[] = { VMX_APIC_EMULATE, VMX_APIC_DELIVERY,
						    VMX_APIC_X2APIC, VMX_APIC_TPR };

	hw_set_apic(rungs[stress_run.seed % 5 % 4]);
}

void guest_create(struct guest *g, struct vm *vm)
{
	struct hw_vcpu *hw;

	stress_check(!vcpu_create(&g->vcpu, vm), "a vCPU cannot be created");
	vcpu_set_mp_state(g->vcpu, MP_RUNNABLE);
	stress_check(!lapic_start(g->vcpu, LAPIC_X2APIC), "its APIC cannot be started");
	hw = hw_of(g->vcpu);
	hw->arg = g;
	hw->step = step;
	hw->event = take_event;
}

static void run(void *arg)
{
	struct guest *g = arg;
	int err;

	do {
		atomic_store(&g->inside, true);
		err = vcpu_run(g->vcpu);
		atomic_store(&g->inside, false);
		atomic_fetch_add(&g->leaves, 1);
	} while (g->left(g, err));
	vcpu_unload(g->vcpu);
}

void guest_start(struct guest *g, const char *name)
{
	g->thread = stress_spawn(name, run, g);
}

void guest_end(struct guest *g)
{
	stress_wait(g->thread);
}
