/* SPDX-License-Identifier: GPL-2.0-only */
/* Stepping over the instruction that caused an exit. */
#include "hv/host/x86.h"
#include "vmx/exit_reasons.h"
#include "vmx/internal.h"

#define PENDING_BS BIT(14)

static void advance_rip(u64 len)
{
	vmcs_write(GUEST_RIP, vmcs_read(GUEST_RIP) + len);
}

static __always_inline void skip(struct vmx_vcpu *v, u64 len)
{
	u64 state = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);
	u64 rflags = vmcs_read(GUEST_RFLAGS);

	advance_rip(len);
	if (state & (INTR_STATE_STI | INTR_STATE_MOV_SS))
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO,
			   state & ~(INTR_STATE_STI | INTR_STATE_MOV_SS));
	if (rflags & RFLAGS_RF)
		vmcs_write(GUEST_RFLAGS, rflags & ~RFLAGS_RF);
	v->stepping = rflags & RFLAGS_TF;
	v->requested = v->requested && vmx_apic_requested();
	vmx_update_careful(v);
	if (v->stepping)
		vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS,
			   vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS) | PENDING_BS);
}

void vmx_skip_instruction(struct vmx_vcpu *v)
{
	skip(v, vmcs_read(VM_EXIT_INSTRUCTION_LEN));
}

unsigned int vmx_instruction_len(struct vmx_vcpu *v)
{
	return (unsigned int)vmcs_read(VM_EXIT_INSTRUCTION_LEN);
}

void vmx_skip_bytes(struct vmx_vcpu *v, unsigned int len)
{
	skip(v, len);
}

/*
 * CPUID is the exit that is measured everywhere, and under nested virtualization every access to
 * the VMCS is an exit of its own. So RFLAGS.TF is read only once the guest has been seen
 * single-stepping
 * (#DB exits), and a shadow left behind is ended when it matters: before an injection, while the
 * CPU has an interrupt to deliver by itself, or when it refuses the entry because of the shadow.
 */
void vmx_skip_quickly(struct vmx_vcpu *v)
{
	if (unlikely(v->careful))
		vmx_skip_instruction(v);
	else
		advance_rip(vmcs_read(VM_EXIT_INSTRUCTION_LEN));
}

void vmx_end_quick_shadow(struct vmx_vcpu *v)
{
	const u64 quick = BIT(EXIT_REASON_CPUID) | BIT(EXIT_REASON_IO_INSTRUCTION) |
			  BIT(EXIT_REASON_MSR_READ) | BIT(EXIT_REASON_MSR_WRITE);
	u64 last = vmcs_read(VM_EXIT_REASON);

	if (v->enter == vmx_launch_restored)
		return;
	if (last < 64 && (quick >> last & 1))
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
