/* SPDX-License-Identifier: GPL-2.0-only */
/* Events for the guest: exceptions we raise, exceptions we intercept, interrupts, NMI, INIT, SIPI.
 */
#include "hv/host/errno.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"

static int inject(struct vcpu *vcpu, const struct vm_event *e)
{
	if (vmx_inject(&vcpu->vmx, e) != -EPROTO)
		return RESUME_GUEST;
	vcpu->run.reason = RUN_EXIT_SHUTDOWN;
	return 0;
}

int vcpu_inject(struct vcpu *vcpu, u8 vector)
{
	const struct vm_event e = { .vector = vector, .type = EVENT_EXCEPTION };

	return inject(vcpu, &e);
}

int vcpu_inject_error(struct vcpu *vcpu, u8 vector, u32 error)
{
	const struct vm_event e = {
		.vector = vector, .type = EVENT_EXCEPTION, .has_error = true, .error = error
	};

	return inject(vcpu, &e);
}

/* The exit left RIP at the instruction: delivered as a fault, it would come again and again. */
static int inject_icebp(struct vcpu *vcpu, u8 insn_len)
{
	const struct vm_event e = { .vector = EXC_DB,
				    .type = EVENT_PRIV_SOFT,
				    .insn_len = insn_len };

	return inject(vcpu, &e);
}

/* #DB and #AC are intercepted only so that their delivery cannot loop inside the CPU. */
int vcpu_handle_exception(struct vcpu *vcpu)
{
	const struct vm_exit *e = &vcpu->vmx.exit;

	switch (e->exception.vector) {
	case EXC_DB:
		if (e->exception.insn_len)
			return inject_icebp(vcpu, e->exception.insn_len);
		if (vmx_inject_db(&vcpu->vmx, e->exception.payload) != -EPROTO)
			return RESUME_GUEST;
		vcpu->run.reason = RUN_EXIT_SHUTDOWN;
		return 0;
	case EXC_AC: return vcpu_inject_error(vcpu, EXC_AC, e->exception.error);
	default: return RESUME_GUEST; /* #MC: the host's handler has dealt with it */
	}
}

/* INIT and STARTUP leave PAT and the cache bits of CR0 as they were. */
static void reset_keeping(struct vcpu *vcpu, int sipi_page)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	u64 pat = vmx_get(v, REG_PAT), cr0 = vmx_get(v, REG_CR0) & (CR0_CD | CR0_NW);

	vcpu_reset(vcpu, sipi_page);
	vmx_set(v, REG_PAT, pat);
	vmx_set(v, REG_CR0, CR0_ET | cr0);
}

static void take_init(struct vcpu *vcpu)
{
	reset_keeping(vcpu, -1);
	lapic_signal_init(vcpu);
	vcpu->mp_state = vcpu->id ? MP_WAIT_SIPI : MP_RUNNABLE;
}

static void take_startup(struct vcpu *vcpu)
{
	if (vcpu->mp_state != MP_WAIT_SIPI)
		return; /* as the processor: SIPI is ignored elsewhere */
	reset_keeping(vcpu, (int)atomic_load(&vcpu->lapic.sipi_page));
	vcpu->mp_state = MP_RUNNABLE;
}

/*
 * A processor remembers one NMI while it cannot take it. Of two that have come since the last look
 * it would have taken the first at once, and remembered the other.
 */
static void take_nmi(struct vcpu *vcpu, bool *window)
{
	const struct vm_event nmi = { .vector = EXC_NMI, .type = EVENT_NMI };
	_Atomic u32 *pending = &vcpu->lapic.pending;
	u32 old = atomic_load(pending), taken;

	if (!vmx_can_inject_nmi(&vcpu->vmx)) {
		atomic_fetch_and(pending, ~(u32)LAPIC_NMI_TWICE);
		*window = true;
		return;
	}
	do {
		taken = old & LAPIC_NMI_TWICE ? LAPIC_NMI_TWICE : LAPIC_NMI;
	} while (!atomic_compare_exchange_weak(pending, &old, old & ~taken));
	*window = taken == LAPIC_NMI_TWICE;
	vmx_inject(&vcpu->vmx, &nmi);
	vcpu->mp_state = MP_RUNNABLE;
}

static void take_interrupt(struct vcpu *vcpu, u8 vector, bool *window)
{
	const struct vm_event intr = { .vector = vector, .type = EVENT_EXTERNAL };

	if (!vmx_can_inject_intr(&vcpu->vmx)) {
		*window = true;
		return;
	}
	lapic_accept(vcpu, vector);
	vmx_inject(&vcpu->vmx, &intr);
	vcpu->mp_state = MP_RUNNABLE;
}

/* A vector that only the task priority holds back: the CPU tells when the guest lowers that. */
static u8 threshold(struct vcpu *vcpu, u8 requested)
{
	return requested >> 4 <= lapic_get_tpr(vcpu) >> 4 ? requested >> 4 : 0;
}

static void take_vector(struct vcpu *vcpu, bool *window)
{
	int requested = lapic_sync(vcpu), vector = lapic_allowed(vcpu, requested);

	u8 limit = 0;

	if (vector >= 0)
		take_interrupt(vcpu, (u8)vector, window);
	else if (requested >= 0 && vcpu->vm->apic_rung >= VMX_APIC_TPR)
		limit = threshold(vcpu, (u8)requested);
	if (unlikely(limit != vcpu->vmx.tpr_threshold))
		vmx_apic_set_threshold(&vcpu->vmx, limit);
}

/*
 * Virtual-interrupt delivery: the CPU compares priorities, waits until the guest can take the
 * vector, and delivers it. But it does not end a HLT that exits.
 */
static void hand_over(struct vcpu *vcpu, bool *masked)
{
	int requested = lapic_sync(vcpu);

	vmx_apic_set_requested(&vcpu->vmx, requested < 0 ? 0 : (u8)requested);
	if (vcpu->mp_state != MP_HALTED || lapic_allowed(vcpu, requested) < 0)
		return;
	if (vmx_can_inject_intr(&vcpu->vmx))
		vcpu->mp_state = MP_RUNNABLE;
	else
		*masked = true;
}

/*
 * What cannot be delivered now stays pending and gets a window exit. A halted vCPU with interrupts
 * disabled is not woken by an interrupt: it stays in HLT without a window. Returns whether nothing
 * stayed for want of a window.
 */
static bool deliver(struct vcpu *vcpu)
{
	u32 pending = atomic_load(&vcpu->lapic.pending);
	bool nmi_window = false, intr_window = false;

	if (pending & LAPIC_INIT) {
		/* An NMI sent before INIT is gone with it; a SIPI sent after it is not. */
		atomic_fetch_and(&vcpu->lapic.pending,
				 ~(u32)(LAPIC_INIT | LAPIC_NMI | LAPIC_NMI_TWICE));
		take_init(vcpu);
	}
	if (atomic_load(&vcpu->lapic.pending) & LAPIC_SIPI) {
		atomic_fetch_and(&vcpu->lapic.pending, ~(u32)LAPIC_SIPI);
		take_startup(vcpu);
	}
	if (vcpu->mp_state == MP_WAIT_SIPI)
		return true;
	if (atomic_load(&vcpu->lapic.pending) & LAPIC_NMI)
		take_nmi(vcpu, &nmi_window);
	if (vmx_apic_delivers(&vcpu->vmx))
		hand_over(vcpu, &intr_window);
	else
		take_vector(vcpu, &intr_window);
	if (vcpu->mp_state == MP_RUNNABLE)
		vmx_set_windows(&vcpu->vmx, nmi_window, intr_window);
	return !nmi_window && !intr_window;
}

/*
 * Who waits for this vCPU's events (hv/vm/wait.h) is told how far we have looked: the sequence as
 * it was *before* the look. An event that comes during the look has a higher number, whether we
 * have found it or not. And one that the guest cannot take yet is not done with: should the vCPU
 * leave before the window opens, who waits has to hear of it.
 */
int vcpu_deliver_events(struct vcpu *vcpu)
{
	u64 seq = atomic_load_explicit(&vcpu->event_seq, memory_order_seq_cst);

	if (deliver(vcpu))
		atomic_store_explicit(&vcpu->seen_seq, seq, memory_order_release);
	return RESUME_GUEST;
}

void vcpu_would_take(struct vcpu *vcpu, bool idle, struct vcpu_takes *t)
{
	t->nmi = vmx_can_inject_nmi(&vcpu->vmx);
	t->interrupts = idle || vmx_can_inject_intr(&vcpu->vmx);
	t->above = lapic_priority(vcpu);
	t->already = vmx_event_waits(&vcpu->vmx) || (t->interrupts && lapic_above(vcpu, t->above));
}

bool vcpu_has_event(struct vcpu *vcpu, const struct vcpu_takes *t)
{
	u32 pending = atomic_load(&vcpu->lapic.pending);

	if ((pending & LAPIC_INIT) || t->already || ((pending & LAPIC_NMI) && t->nmi))
		return true;
	return t->interrupts && lapic_posted_above(vcpu, t->above);
}

/*
 * The vCPU leaves because it is asked to. An event that it has looked at but not taken counts as
 * unseen, and is looked at again: one that is queued for the entry that does not happen now, and
 * one that its priority has masked until an end of interrupt since that look.
 */
void vcpu_leave_events(struct vcpu *vcpu)
{
	struct vcpu_takes takes;

	if (!lapic_has_any(vcpu) && !atomic_load(&vcpu->lapic.pending) &&
	    !vmx_event_waits(&vcpu->vmx))
		return;
	/* What was handed over to the CPU and not delivered was not waited for with a window. */
	vcpu_would_take(vcpu, vmx_apic_delivers(&vcpu->vmx), &takes);
	if (!vcpu_has_event(vcpu, &takes))
		return;
	atomic_store_explicit(&vcpu->seen_seq, atomic_load(&vcpu->event_seq) - 1,
			      memory_order_seq_cst);
	atomic_fetch_or_explicit(&vcpu->requests, REQ_EVENT, memory_order_seq_cst);
	wait_wake(vcpu);
}
