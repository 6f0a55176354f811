/* SPDX-License-Identifier: GPL-2.0-only */
/* Exit reasons and VM-instruction errors in words. */
#include "vmx/check.h"
#include "vmx/exit_reasons.h"

#define REASON_WORDS(name, number, words) [number] = (words),
static const char *const reasons[] = { EXIT_REASONS(REASON_WORDS) };

/* Numbers that no CPU uses are left out. */
static const char *const errors[] = {
	[1] = "VMCALL in VMX root operation",
	[2] = "VMCLEAR with an invalid physical address",
	[3] = "VMCLEAR with the VMXON pointer",
	[4] = "VMLAUNCH with a VMCS that is not clear",
	[5] = "VMRESUME with a VMCS that was not launched",
	[6] = "VMRESUME after VMXOFF",
	[7] = "VM entry with an invalid control field",
	[8] = "VM entry with an invalid host-state field",
	[9] = "VMPTRLD with an invalid physical address",
	[10] = "VMPTRLD with the VMXON pointer",
	[11] = "VMPTRLD with an incorrect VMCS revision identifier",
	[12] = "VMREAD or VMWRITE of a VMCS field this CPU does not have",
	[13] = "VMWRITE to a read-only VMCS field",
	[15] = "VMXON in VMX root operation",
	[16] = "VM entry with an invalid executive-VMCS pointer",
	[17] = "VM entry with an executive VMCS that was not launched",
	[18] = "VM entry with an executive-VMCS pointer other than the VMXON pointer",
	[19] = "VMCALL with a VMCS that is not clear",
	[20] = "VMCALL with invalid VM-exit control fields",
	[22] = "VMCALL with an incorrect MSEG revision identifier",
	[23] = "VMXOFF under dual-monitor treatment of SMIs and SMM",
	[24] = "VMCALL with invalid SMM-monitor features",
	[25] = "VM entry with invalid execution controls in the executive VMCS",
	[26] = "VM entry with events blocked by MOV SS",
	[28] = "INVEPT or INVVPID with an invalid operand",
};

const char *vm_instruction_error(u32 error)
{
	if (error >= ARRAY_SIZE(errors) || !errors[error])
		return "?";
	return errors[error];
}

const char *exit_reason_name(u32 reason)
{
	reason &= EXIT_REASON_BASIC;
	if (reason >= ARRAY_SIZE(reasons) || !reasons[reason])
		return "?";
	return reasons[reason];
}
