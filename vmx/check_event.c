/* SPDX-License-Identifier: GPL-2.0-only */
/* Entry checks on the event to inject: VM_ENTRY_INTR_INFO and the two fields beside it. */
#include "hv/host/x86.h"
#include "vmx/check_internal.h"

#define EXC_CP 21 /* control protection */

/* The exceptions that push an error code; #CP exists where CR4.CET may be set. */
static bool has_error_code(const struct vmcs_check *c, u32 vector)
{
	const u64 always = BIT(EXC_DF) | BIT(EXC_TS) | BIT(EXC_NP) | BIT(EXC_SS) | BIT(EXC_GP) |
			   BIT(EXC_PF) | BIT(EXC_AC);

	if (vector == EXC_CP)
		return c->caps->cr4_fixed1 & CR4_BIT_CET;
	return vector < 32 && (always & BIT(vector));
}

static void check_vector(struct vmcs_check *c)
{
	u32 type = c->event & INTR_INFO_TYPE, vector = c->event & INTR_INFO_VECTOR;

	VMCS_RULE(c, type != 1u << 8, VM_ENTRY_INTR_INFO, "event type 1 is reserved");
	if (type == INTR_TYPE_NMI)
		VMCS_RULE(c, vector == EXC_NMI, VM_ENTRY_INTR_INFO, "an NMI must have vector 2");
	if (type == INTR_TYPE_EXCEPTION)
		VMCS_RULE(c, vector < 32, VM_ENTRY_INTR_INFO,
			  "a hardware exception must have a vector below 32");
	if (type == INTR_TYPE_OTHER) {
		VMCS_RULE(c, vmx_can(c->caps, CTL_CPU, CPU_MONITOR_TRAP_FLAG), VM_ENTRY_INTR_INFO,
			  "event type 7 is reserved on a CPU without the monitor trap flag");
		VMCS_RULE(c, vector == 0, VM_ENTRY_INTR_INFO,
			  "an event of type 7 must have vector 0 (pending MTF exit)");
	}
	VMCS_RULE(c, !(c->event & 0x7ffff000), VM_ENTRY_INTR_INFO, "bits 30:12 must be 0");
}

/* Whether an error code goes with the event is not free, except on CPUs that say so. */
static void check_error_code(struct vmcs_check *c)
{
	bool exception = (c->event & INTR_INFO_TYPE) == INTR_TYPE_EXCEPTION;
	bool pe = c->cr0 & CR0_PE || !c->unrestricted;
	u32 vector = c->event & INTR_INFO_VECTOR;
	bool any = c->caps->basic & VMX_BASIC_ANY_ERRCODE;

	if (c->event & INTR_INFO_ERROR) {
		VMCS_RULE(c, exception, VM_ENTRY_INTR_INFO,
			  "only a hardware exception may have an error code");
		VMCS_RULE(c, pe, VM_ENTRY_INTR_INFO,
			  "an exception in real mode must not have an error code");
		VMCS_RULE(c, any || !exception || has_error_code(c, vector), VM_ENTRY_INTR_INFO,
			  "this exception must not have an error code");
		VMCS_RULE(c, !(vmcs_get(c, VM_ENTRY_EXCEPTION_ERROR_CODE) & 0xffff0000),
			  VM_ENTRY_EXCEPTION_ERROR_CODE, "bits 31:16 of the error code must be 0");
	} else {
		VMCS_RULE(c, any || !pe || !exception || !has_error_code(c, vector),
			  VM_ENTRY_INTR_INFO, "this exception must have an error code");
	}
}

void vmcs_check_event(struct vmcs_check *c)
{
	u32 type = c->event & INTR_INFO_TYPE;
	u64 len = vmcs_get(c, VM_ENTRY_INSTRUCTION_LEN);

	if (!c->event)
		return;
	check_vector(c);
	check_error_code(c);
	if (type != INTR_TYPE_SOFT_INT && type != INTR_TYPE_PRIV_SOFT && type != INTR_TYPE_SOFT_EXC)
		return;
	VMCS_RULE(c, len <= 15, VM_ENTRY_INSTRUCTION_LEN,
		  "the instruction length of a software event must be at most 15");
	VMCS_RULE(c, len != 0 || c->caps->misc & VMX_MISC_ZERO_LEN_INJECT, VM_ENTRY_INSTRUCTION_LEN,
		  "the instruction length of a software event must not be 0 on this CPU");
}
