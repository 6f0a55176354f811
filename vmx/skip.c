/* SPDX-License-Identifier: GPL-2.0-only */
/* Stepping over the instruction that caused an exit. */
#include "hv/host/x86.h"
#include "vmx/exit_reasons.h"
#include "vmx/internal.h"

#define PENDING_BS BIT(14)

static void advance_rip(void)
{
	vmcs_write(GUEST_RIP, vmcs_read(GUEST_RIP) + vmcs_read(VM_EXIT_INSTRUCTION_LEN));
}

void vmx_update_careful(struct vmx_vcpu *v)
{
	v->careful = v->stepping || (v->cpu_controls & (CPU_NMI_WINDOW | CPU_INTR_WINDOW));
}

void vmx_skip_instruction(struct vmx_vcpu *v)
{
	u64 state = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);
	u64 rflags = vmcs_read(GUEST_RFLAGS);

	advance_rip();
	if (state & (INTR_STATE_STI | INTR_STATE_MOV_SS))
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO,
			   state & ~(INTR_STATE_STI | INTR_STATE_MOV_SS));
	if (rflags & RFLAGS_RF)
		vmcs_write(GUEST_RFLAGS, rflags & ~RFLAGS_RF);
	v->stepping = rflags & RFLAGS_TF;
	vmx_update_careful(v);
	if (v->stepping)
		vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS,
			   vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS) | PENDING_BS);
}

/*
 * CPUID is the exit that is measured everywhere, and under nested virtualization every access to
 * the VMCS is an exit of its own. So RFLAGS.TF is read only once the guest has been seen
 * single-stepping
 * (#DB exits), and a shadow left behind is ended when it matters: before an injection, or
 * when the CPU refuses the entry because of it.
 */
void vmx_skip_quickly(struct vmx_vcpu *v)
{
	if (unlikely(v->careful))
		vmx_skip_instruction(v);
	else
		advance_rip();
}

void vmx_end_quick_shadow(struct vmx_vcpu *v)
{
	u64 last = vmcs_read(VM_EXIT_REASON);

	if (last == EXIT_REASON_CPUID || last == EXIT_REASON_IO_INSTRUCTION)
		vmx_end_shadow(v);
}

bool vmx_end_shadow(struct vmx_vcpu *v)
{
	u64 state = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);

	if (!(state & (INTR_STATE_STI | INTR_STATE_MOV_SS)))
		return false;
	vmcs_write(GUEST_INTERRUPTIBILITY_INFO, state & ~(INTR_STATE_STI | INTR_STATE_MOV_SS));
	if (vmcs_read(GUEST_RFLAGS) & RFLAGS_TF)
		vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS,
			   vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS) | PENDING_BS);
	return true;
}
