/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events for the guest: injection, what becomes of an event whose delivery was interrupted by a VM
 * exit, and how two exceptions combine. Source: Intel SDM, volume on system programming, "Interrupt
 * 8 - Double Fault Exception" and "VM-Entry Controls for Event Injection".
 */
#include "hv/host/errno.h"
#include "hv/host/irq.h"
#include "hv/host/machine.h"
#include "hv/host/x86.h"
#include "vmx/internal.h"

#define DR6_FIXED 0xffff0ff0ull
#define DR6_TRAPS 0xfull
#define DR7_GD	  BIT(13)

bool vmx_event_has_length(u64 info)
{
	u64 type = info & INTR_INFO_TYPE;

	return type == INTR_TYPE_SOFT_INT || type == INTR_TYPE_PRIV_SOFT ||
	       type == INTR_TYPE_SOFT_EXC;
}

/* The CPU clears the valid bit when it has delivered the event. */
bool vmx_event_queued(void)
{
	return vmcs_read(VM_ENTRY_INTR_INFO) & INTR_INFO_VALID;
}

/* In real mode there are no error codes, and the entry would refuse one. */
static void queue(struct vmx_vcpu *v, u64 info, u32 error, u64 insn_len)
{
	if ((info & INTR_INFO_ERROR) && !(vmcs_read(GUEST_CR0) & CR0_PE))
		info &= ~(u64)INTR_INFO_ERROR;
	vmcs_write(VM_ENTRY_INTR_INFO, info);
	if (info & INTR_INFO_ERROR)
		vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, error);
	if (vmx_event_has_length(info))
		vmcs_write(VM_ENTRY_INSTRUCTION_LEN, insn_len);
}

/*
 * Whether @info, an event of some other kind, can be told from what Bochs 2.7 leaves there while
 * the CPU delivers the interrupt in SVI by itself: it does not note that vector, and shows the last
 * event that went another way. An NMI that is being delivered blocks NMIs. Of the rest we know only
 * that interrupts are enabled when one is delivered, and hardly ever before its end of interrupt.
 */
static bool is_itself(u64 info)
{
	if ((info & INTR_INFO_TYPE) == INTR_TYPE_NMI)
		return vmcs_read(GUEST_INTERRUPTIBILITY_INFO) & INTR_STATE_NMI;
	return !(vmcs_read(GUEST_RFLAGS) & RFLAGS_IF);
}

/* What was being delivered: with virtual-interrupt delivery, on Bochs, the interrupt in SVI. */
static u64 interrupted_event(struct vmx_vcpu *v, u64 info)
{
	u64 svi;

	if (!vmx_apic_delivers(v) || machine_kind() != MACHINE_BOCHS)
		return info;
	if ((info & INTR_INFO_TYPE) != INTR_TYPE_EXT && is_itself(info))
		return info;
	svi = vmcs_read(GUEST_INTR_STATUS) >> 8;
	return svi ? INTR_INFO_VALID | INTR_TYPE_EXT | svi : info;
}

/*
 * The blocking ends in the VMCS. A VM entry in Bochs 2.7 (until bug #1456 was mended) can block
 * NMIs and not unblock them: in the CPU it stays, for whatever VMCS comes next, until a guest
 * executes an IRET. Under a hypervisor that guest can be us: the IRET ends it before we pass it on
 * to all of ours.
 */
static void unblock_nmi(void)
{
	vmcs_write(GUEST_INTERRUPTIBILITY_INFO,
		   vmcs_read(GUEST_INTERRUPTIBILITY_INFO) & ~INTR_STATE_NMI);
	nmi_iret();
}

/*
 * An exit in the middle of delivering an event leaves the event in IDT_VECTORING_INFO and nowhere
 * else: put it back into the entry field, so that the next entry delivers it. An NMI being
 * delivered already blocks NMIs; the injection wants to do that itself.
 */
void vmx_requeue_event(struct vmx_vcpu *v)
{
	u64 info = vmcs_read(IDT_VECTORING_INFO), error = 0;

	if (!(info & INTR_INFO_VALID))
		return;
	info = interrupted_event(v, info);
	info &= INTR_INFO_VALID | INTR_INFO_ERROR | INTR_INFO_TYPE | INTR_INFO_VECTOR;
	if (info & INTR_INFO_ERROR)
		error = vmcs_read(IDT_VECTORING_ERROR_CODE);
	if ((info & INTR_INFO_TYPE) == INTR_TYPE_NMI)
		unblock_nmi();
	queue(v, info, (u32)error,
	      vmx_event_has_length(info) ? vmcs_read(VM_EXIT_INSTRUCTION_LEN) : 0);
}

static bool is_contributory(u64 vector)
{
	return vector == EXC_DE || (vector >= EXC_TS && vector <= EXC_GP);
}

/* What delivering @second becomes while @first (a hardware exception) is being delivered. */
static int combine(u64 first, u64 second)
{
	if (first == EXC_DF)
		return is_contributory(second) || second == EXC_PF ? -EPROTO : (int)second;
	if ((is_contributory(first) && is_contributory(second)) ||
	    (first == EXC_PF && (second == EXC_PF || is_contributory(second))))
		return EXC_DF;
	return (int)second;
}

int vmx_inject(struct vmx_vcpu *v, const struct vm_event *e)
{
	u64 info = INTR_INFO_VALID | (u64)e->type << 8 | e->vector;
	u32 error = e->error;
	u64 rflags;

	if (e->has_error)
		info |= INTR_INFO_ERROR;
	if (vmx_event_queued()) {
		u64 old = vmcs_read(VM_ENTRY_INTR_INFO);
		u64 old_type = old & INTR_INFO_TYPE;
		int vector;

		if (e->type != EVENT_EXCEPTION)
			return -EBUSY;
		/* Delivering an interrupt raises its exception again; the interrupt comes only
		 * once. */
		if (old_type == INTR_TYPE_EXT || old_type == INTR_TYPE_NMI)
			return 0;
		if (old_type == INTR_TYPE_EXCEPTION) {
			vector = combine(old & INTR_INFO_VECTOR, e->vector);
			if (vector < 0)
				return vector;
			if (vector == EXC_DF && e->vector != EXC_DF) {
				info = INTR_INFO_VALID | INTR_TYPE_EXCEPTION | INTR_INFO_ERROR |
				       EXC_DF;
				error = 0;
			}
		}
	}
	/* A fault's frame has RF set, so that the instruction is not stopped at again. */
	if (e->type == EVENT_EXCEPTION && e->vector != EXC_DB) {
		rflags = vmcs_read(GUEST_RFLAGS);
		if (!(rflags & RFLAGS_RF))
			vmcs_write(GUEST_RFLAGS, rflags | RFLAGS_RF);
	}
	queue(v, info, error, e->insn_len);
	return 0;
}

int vmx_inject_db(struct vmx_vcpu *v, u64 dr6)
{
	const struct vm_event db = { .vector = EXC_DB, .type = EVENT_EXCEPTION };
	/* The payload has the polarity of the exit qualification: a set bit means the condition. */
	u64 bits = dr6 & (DR6_TRAPS | BIT(13) | BIT(14) | BIT(15));

	if (bits & BIT(14)) {
		v->stepping = true;
		vmx_update_careful(v);
	}
	write_dr6((read_dr6() & ~DR6_TRAPS) | DR6_FIXED | bits);
	vmcs_write(GUEST_DR7, vmcs_read(GUEST_DR7) & ~DR7_GD);
	vmcs_write(GUEST_IA32_DEBUGCTL, vmcs_read(GUEST_IA32_DEBUGCTL) & ~1ull);
	return vmx_inject(v, &db);
}

static u64 current_shadow(struct vmx_vcpu *v)
{
	vmx_end_quick_shadow(v);
	return vmcs_read(GUEST_INTERRUPTIBILITY_INFO);
}

bool vmx_event_waits(struct vmx_vcpu *v)
{
	return vmx_event_queued();
}

bool vmx_can_inject_nmi(struct vmx_vcpu *v)
{
	return !vmx_event_queued() &&
	       !(current_shadow(v) & (INTR_STATE_STI | INTR_STATE_MOV_SS | INTR_STATE_NMI));
}

bool vmx_can_inject_intr(struct vmx_vcpu *v)
{
	return !vmx_event_queued() && (vmcs_read(GUEST_RFLAGS) & RFLAGS_IF) &&
	       !(current_shadow(v) & (INTR_STATE_STI | INTR_STATE_MOV_SS));
}

void vmx_set_windows(struct vmx_vcpu *v, bool nmi, bool intr)
{
	u32 ctl = v->cpu_controls & ~(u32)(CPU_NMI_WINDOW | CPU_INTR_WINDOW);

	if (nmi)
		ctl |= (u32)CPU_NMI_WINDOW;
	if (intr)
		ctl |= (u32)CPU_INTR_WINDOW;
	if (ctl == v->cpu_controls)
		return;
	v->cpu_controls = ctl;
	vmx_update_careful(v);
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, ctl);
}
