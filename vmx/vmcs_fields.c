/* SPDX-License-Identifier: GPL-2.0-only */
/* The VMCS field list as data, and which fields exist on which CPU. */
#include "vmx/caps.h"
#include "vmx/controls.h"
#include "vmx/vmcs_fields.h"

#define FIELD_INFO(name, encoding) { encoding, #name },
const struct vmcs_field_info vmcs_field_list[NR_VMCS_FIELDS] = { VMCS_FIELDS(FIELD_INFO) };

const char *vmcs_field_name(u32 field)
{
	for (size_t i = 0; i < NR_VMCS_FIELDS; i++) {
		if (vmcs_field_list[i].field == field)
			return vmcs_field_list[i].name;
	}
	return "?";
}

/*
 * Fields first..last exist if any of @bits may be 1 in @word. A field in two rows exists if one of
 * them says so; a field in none exists on every CPU.
 */
static const struct field_needs {
	u32 first, last;
	enum vmx_control_word word;
	u32 bits;
} needs[] = {
	{ POSTED_INTR_NV, POSTED_INTR_NV, CTL_PIN, PIN_POSTED_INTR },
	{ POSTED_INTR_DESC_ADDR, POSTED_INTR_DESC_ADDR, CTL_PIN, PIN_POSTED_INTR },
	{ VMX_PREEMPTION_TIMER_VALUE, VMX_PREEMPTION_TIMER_VALUE, CTL_PIN, PIN_PREEMPTION_TIMER },

	{ MSR_BITMAP, MSR_BITMAP, CTL_CPU, CPU_MSR_BITMAPS },
	{ VIRTUAL_APIC_PAGE_ADDR, VIRTUAL_APIC_PAGE_ADDR, CTL_CPU, CPU_TPR_SHADOW },
	{ TPR_THRESHOLD, TPR_THRESHOLD, CTL_CPU, CPU_TPR_SHADOW },
	{ SECONDARY_VM_EXEC_CONTROL, SECONDARY_VM_EXEC_CONTROL, CTL_CPU, CPU_SECONDARY },

	{ VIRTUAL_PROCESSOR_ID, VIRTUAL_PROCESSOR_ID, CTL_CPU2, CPU2_VPID },
	{ EPTP_INDEX, EPTP_INDEX, CTL_CPU2, CPU2_EPT_VE },
	{ GUEST_INTR_STATUS, GUEST_INTR_STATUS, CTL_CPU2, CPU2_VIRT_INTR_DELIVERY },
	{ GUEST_PML_INDEX, GUEST_PML_INDEX, CTL_CPU2, CPU2_PML },
	{ PML_ADDRESS, PML_ADDRESS, CTL_CPU2, CPU2_PML },
	{ APIC_ACCESS_ADDR, APIC_ACCESS_ADDR, CTL_CPU2, CPU2_APIC_ACCESS },
	{ VM_FUNCTION_CONTROL, VM_FUNCTION_CONTROL, CTL_CPU2, CPU2_VMFUNC },
	{ EPT_POINTER, EPT_POINTER, CTL_CPU2, CPU2_EPT },
	{ EOI_EXIT_BITMAP0, EOI_EXIT_BITMAP3, CTL_CPU2, CPU2_VIRT_INTR_DELIVERY },
	{ VMREAD_BITMAP, VMWRITE_BITMAP, CTL_CPU2, CPU2_VMCS_SHADOWING },
	{ VE_INFORMATION_ADDRESS, VE_INFORMATION_ADDRESS, CTL_CPU2, CPU2_EPT_VE },
	{ XSS_EXIT_BITMAP, XSS_EXIT_BITMAP, CTL_CPU2, CPU2_XSAVES },
	{ TSC_MULTIPLIER, TSC_MULTIPLIER, CTL_CPU2, CPU2_TSC_SCALING },
	{ GUEST_PHYSICAL_ADDRESS, GUEST_PHYSICAL_ADDRESS, CTL_CPU2, CPU2_EPT },
	{ GUEST_PDPTR0, GUEST_PDPTR3, CTL_CPU2, CPU2_EPT },
	{ PLE_GAP, PLE_WINDOW, CTL_CPU2, CPU2_PAUSE_LOOP },

	{ GUEST_IA32_PAT, GUEST_IA32_PAT, CTL_ENTRY, ENTRY_LOAD_PAT },
	{ GUEST_IA32_PAT, GUEST_IA32_PAT, CTL_EXIT, EXIT_SAVE_PAT },
	{ GUEST_IA32_EFER, GUEST_IA32_EFER, CTL_ENTRY, ENTRY_LOAD_EFER },
	{ GUEST_IA32_EFER, GUEST_IA32_EFER, CTL_EXIT, EXIT_SAVE_EFER },
	{ GUEST_IA32_PERF_GLOBAL_CTRL, GUEST_IA32_PERF_GLOBAL_CTRL, CTL_ENTRY,
	  ENTRY_LOAD_PERF_GLOBAL },
	{ GUEST_IA32_PERF_GLOBAL_CTRL, GUEST_IA32_PERF_GLOBAL_CTRL, CTL_EXIT,
	  EXIT_SAVE_PERF_GLOBAL },
	{ HOST_IA32_PAT, HOST_IA32_PAT, CTL_EXIT, EXIT_LOAD_PAT },
	{ HOST_IA32_EFER, HOST_IA32_EFER, CTL_EXIT, EXIT_LOAD_EFER },
	{ HOST_IA32_PERF_GLOBAL_CTRL, HOST_IA32_PERF_GLOBAL_CTRL, CTL_EXIT, EXIT_LOAD_PERF_GLOBAL },
};

static bool in_list(u32 field)
{
	for (size_t i = 0; i < NR_VMCS_FIELDS; i++) {
		if (vmcs_field_list[i].field == field)
			return true;
	}
	return false;
}

bool vmcs_field_exists(const struct vmx_caps *caps, u32 field)
{
	bool optional = false;

	if (!in_list(field))
		return false;
	if (field >= CR3_TARGET_VALUE0 && field <= CR3_TARGET_VALUE3)
		return (field - CR3_TARGET_VALUE0) / 2 < VMX_MISC_CR3_TARGETS(caps->misc);
	if (field == EPTP_LIST_ADDRESS)
		return caps->vmfunc & VMFUNC_EPTP_SWITCHING;
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
		if (field < needs[i].first || field > needs[i].last)
			continue;
		optional = true;
		if (vmx_can(caps, needs[i].word, needs[i].bits))
			return true;
	}
	return !optional;
}
