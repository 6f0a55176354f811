/* SPDX-License-Identifier: GPL-2.0-only */
/* The floor of experiment `exits`: see vmx_floor() in vmx/vmx.h. */
#include "vmx/exit_reasons.h"
#include "vmx/internal.h"

u64 vmx_floor_exit(struct vmx_vcpu *v, const u32 answer[4])
{
	if (unlikely(vmcs_read(VM_EXIT_REASON) != EXIT_REASON_CPUID))
		return 1;
	v->gpr[GPR_RAX] = answer[0];
	v->gpr[GPR_RBX] = answer[1];
	v->gpr[GPR_RCX] = answer[2];
	v->gpr[GPR_RDX] = answer[3];
	vmcs_write(GUEST_RIP, vmcs_read(GUEST_RIP) + vmcs_read(VM_EXIT_INSTRUCTION_LEN));
	return 0;
}

u32 vmx_floor(struct vmx_vcpu *v, const u32 answer[4])
{
	u32 reason;

	/* The first round trip goes the ordinary way: it launches the VMCS. */
	if (v->enter == vmx_launch_guest) {
		reason = vmx_enter(v);
		if (reason != VM_EXIT_CPUID)
			return reason;
		vmx_skip_quickly(v);
	}
	vmcs_write(HOST_RIP, (u64)(uintptr_t)vmx_exit_floor);
	vmx_floor_enter(v, answer);
	vmcs_write(HOST_RIP, (u64)(uintptr_t)vmx_exit);
	reason = (u32)vmcs_read(VM_EXIT_REASON);
	return reason < NR_EXIT_REASONS && !(vmx_translate[reason] & 0x80)
		       ? vmx_translate[reason]
		       : vmx_decode_exit(v, reason);
}
