/* SPDX-License-Identifier: GPL-2.0-only */
/* Entry checks on the VMX controls: execution, exit and entry controls and what they point to. */
#include "vmx/check_internal.h"

static void check_reserved(struct vmcs_check *c)
{
	const struct vmx_control_range *ctl = c->caps->ctl;

	vmcs_rule_fixed(c, PIN_BASED_VM_EXEC_CONTROL, ctl[CTL_PIN].must_be_1,
			ctl[CTL_PIN].may_be_1);
	vmcs_rule_fixed(c, CPU_BASED_VM_EXEC_CONTROL, ctl[CTL_CPU].must_be_1,
			ctl[CTL_CPU].may_be_1);
	if (vmcs_ctl(c, CTL_CPU, CPU_SECONDARY))
		vmcs_rule_fixed(c, SECONDARY_VM_EXEC_CONTROL, ctl[CTL_CPU2].must_be_1,
				ctl[CTL_CPU2].may_be_1);
	vmcs_rule_fixed(c, VM_EXIT_CONTROLS, ctl[CTL_EXIT].must_be_1, ctl[CTL_EXIT].may_be_1);
	vmcs_rule_fixed(c, VM_ENTRY_CONTROLS, ctl[CTL_ENTRY].must_be_1, ctl[CTL_ENTRY].may_be_1);
}

/* @a implies @b: a control that is of no use, or of harm, without another. */
#define NEEDS(c, word_a, a, word_b, b, field, words)                                               \
	VMCS_RULE(c, !vmcs_ctl(c, word_a, a) || vmcs_ctl(c, word_b, b), field, words)

static void check_interrupt_controls(struct vmcs_check *c)
{
	NEEDS(c, CTL_PIN, PIN_VIRTUAL_NMIS, CTL_PIN, PIN_NMI, PIN_BASED_VM_EXEC_CONTROL,
	      "virtual NMIs needs NMI exiting");
	NEEDS(c, CTL_CPU, CPU_NMI_WINDOW, CTL_PIN, PIN_VIRTUAL_NMIS, CPU_BASED_VM_EXEC_CONTROL,
	      "NMI-window exiting needs virtual NMIs");
	NEEDS(c, CTL_CPU2, CPU2_VIRT_INTR_DELIVERY, CTL_PIN, PIN_EXT_INTR,
	      SECONDARY_VM_EXEC_CONTROL,
	      "virtual-interrupt delivery needs external-interrupt exiting");
	NEEDS(c, CTL_PIN, PIN_POSTED_INTR, CTL_CPU2, CPU2_VIRT_INTR_DELIVERY,
	      PIN_BASED_VM_EXEC_CONTROL,
	      "process posted interrupts needs virtual-interrupt delivery");
	NEEDS(c, CTL_PIN, PIN_POSTED_INTR, CTL_EXIT, EXIT_ACK_INTR, PIN_BASED_VM_EXEC_CONTROL,
	      "process posted interrupts needs acknowledge interrupt on exit");
	if (!vmcs_ctl(c, CTL_PIN, PIN_POSTED_INTR))
		return;
	VMCS_RULE(c, vmcs_get(c, POSTED_INTR_NV) <= 0xff, POSTED_INTR_NV,
		  "the notification vector must be in 0..255");
	VMCS_RULE(c, IS_ALIGNED(vmcs_get(c, POSTED_INTR_DESC_ADDR), 64), POSTED_INTR_DESC_ADDR,
		  "the posted-interrupt descriptor must be 64-byte aligned");
	VMCS_RULE(c, !(vmcs_get(c, POSTED_INTR_DESC_ADDR) & vmcs_beyond_phys(c)),
		  POSTED_INTR_DESC_ADDR, "the address must not exceed the physical-address width");
}

/* The task priority in the virtual-APIC page is compared with the threshold in some set-ups. */
static void check_tpr_threshold(struct vmcs_check *c)
{
	u64 page = vmcs_get(c, VIRTUAL_APIC_PAGE_ADDR);
	u64 threshold = vmcs_get(c, TPR_THRESHOLD);
	const u8 *vtpr;

	if (vmcs_ctl(c, CTL_CPU2, CPU2_VIRT_INTR_DELIVERY))
		return;
	VMCS_RULE(c, threshold <= 0xf, TPR_THRESHOLD, "bits 31:4 must be 0");
	if (vmcs_ctl(c, CTL_CPU2, CPU2_APIC_ACCESS) || !c->r->mem)
		return;
	vtpr = c->r->mem(c->r->ctx, page + 0x80, 1);
	if (vtpr)
		VMCS_RULE(c, (threshold & 0xf) <= *vtpr >> 4, TPR_THRESHOLD,
			  "the threshold must not exceed the priority class in VTPR");
}

static void check_apic(struct vmcs_check *c)
{
	if (vmcs_ctl(c, CTL_CPU, CPU_TPR_SHADOW)) {
		vmcs_rule_page(c, VIRTUAL_APIC_PAGE_ADDR);
		check_tpr_threshold(c);
	}
	NEEDS(c, CTL_CPU2, CPU2_X2APIC, CTL_CPU, CPU_TPR_SHADOW, SECONDARY_VM_EXEC_CONTROL,
	      "virtualize x2APIC mode needs use TPR shadow");
	NEEDS(c, CTL_CPU2, CPU2_APIC_REGISTER, CTL_CPU, CPU_TPR_SHADOW, SECONDARY_VM_EXEC_CONTROL,
	      "APIC-register virtualization needs use TPR shadow");
	NEEDS(c, CTL_CPU2, CPU2_VIRT_INTR_DELIVERY, CTL_CPU, CPU_TPR_SHADOW,
	      SECONDARY_VM_EXEC_CONTROL, "virtual-interrupt delivery needs use TPR shadow");
	VMCS_RULE(c, !vmcs_ctl(c, CTL_CPU2, CPU2_X2APIC | CPU2_APIC_ACCESS),
		  SECONDARY_VM_EXEC_CONTROL,
		  "virtualize x2APIC mode excludes virtualize APIC accesses");
	if (vmcs_ctl(c, CTL_CPU2, CPU2_APIC_ACCESS))
		vmcs_rule_page(c, APIC_ACCESS_ADDR);
}

static void check_eptp(struct vmcs_check *c)
{
	u64 eptp = vmcs_get(c, EPT_POINTER), cap = c->caps->ept_vpid;
	u64 type = eptp & EPTP_MEMTYPE, walk = eptp & EPTP_WALK;

	VMCS_RULE(c, (type == EPTP_UC && cap & EPT_CAP_UC) || (type == EPTP_WB && cap & EPT_CAP_WB),
		  EPT_POINTER, "the memory type must be one the CPU supports (0 UC, 6 WB)");
	VMCS_RULE(c,
		  (walk == EPTP_WALK_4 && cap & EPT_CAP_WALK_4) ||
			  (walk == EPTP_WALK_5 && cap & EPT_CAP_WALK_5),
		  EPT_POINTER, "bits 5:3 must be a walk length the CPU supports, less 1");
	VMCS_RULE(c, !(eptp & EPTP_AD) || cap & EPT_CAP_AD, EPT_POINTER,
		  "bit 6 must be 0 on a CPU without accessed and dirty flags for EPT");
	VMCS_RULE(c, !(eptp & EPTP_SHADOW_STACK) || cap & EPT_CAP_SHADOW_STACK, EPT_POINTER,
		  "bit 7 must be 0 on a CPU without supervisor shadow-stack control");
	VMCS_RULE(c, !(eptp & 0xf00), EPT_POINTER, "bits 11:8 must be 0");
	VMCS_RULE(c, !(eptp & vmcs_beyond_phys(c)), EPT_POINTER,
		  "the address must not exceed the physical-address width");
}

static void check_ept(struct vmcs_check *c)
{
	if (vmcs_ctl(c, CTL_CPU2, CPU2_EPT))
		check_eptp(c);
	NEEDS(c, CTL_CPU2, CPU2_UNRESTRICTED_GUEST, CTL_CPU2, CPU2_EPT, SECONDARY_VM_EXEC_CONTROL,
	      "unrestricted guest needs enable EPT");
	NEEDS(c, CTL_CPU2, CPU2_MODE_BASED_EXEC, CTL_CPU2, CPU2_EPT, SECONDARY_VM_EXEC_CONTROL,
	      "mode-based execute control needs enable EPT");
	NEEDS(c, CTL_CPU2, CPU2_SUB_PAGE_WRITE, CTL_CPU2, CPU2_EPT, SECONDARY_VM_EXEC_CONTROL,
	      "sub-page write permissions needs enable EPT");
	NEEDS(c, CTL_CPU2, CPU2_PML, CTL_CPU2, CPU2_EPT, SECONDARY_VM_EXEC_CONTROL,
	      "enable PML needs enable EPT");
	NEEDS(c, CTL_CPU2, CPU2_PT_GUEST_PHYS, CTL_CPU2, CPU2_EPT, SECONDARY_VM_EXEC_CONTROL,
	      "Intel PT uses guest physical addresses needs enable EPT");
	NEEDS(c, CTL_CPU2, CPU2_PT_GUEST_PHYS, CTL_ENTRY, ENTRY_LOAD_RTIT,
	      SECONDARY_VM_EXEC_CONTROL,
	      "Intel PT uses guest physical addresses needs load IA32_RTIT_CTL on entry");
	NEEDS(c, CTL_CPU2, CPU2_PT_GUEST_PHYS, CTL_EXIT, EXIT_CLEAR_RTIT, SECONDARY_VM_EXEC_CONTROL,
	      "Intel PT uses guest physical addresses needs clear IA32_RTIT_CTL on exit");
	if (vmcs_ctl(c, CTL_CPU2, CPU2_PML))
		vmcs_rule_page(c, PML_ADDRESS);
	if (vmcs_ctl(c, CTL_CPU2, CPU2_EPT_VE))
		vmcs_rule_page(c, VE_INFORMATION_ADDRESS);
	if (vmcs_ctl(c, CTL_CPU2, CPU2_VPID))
		VMCS_RULE(c, vmcs_get(c, VIRTUAL_PROCESSOR_ID) != 0, VIRTUAL_PROCESSOR_ID,
			  "VPID 0 is the host's: a guest needs another one");
}

static void check_vm_functions(struct vmcs_check *c)
{
	u64 functions = vmcs_get(c, VM_FUNCTION_CONTROL);

	if (!vmcs_ctl(c, CTL_CPU2, CPU2_VMFUNC))
		return;
	vmcs_rule_fixed(c, VM_FUNCTION_CONTROL, 0, c->caps->vmfunc);
	if (!(functions & c->caps->vmfunc & VMFUNC_EPTP_SWITCHING))
		return;
	VMCS_RULE(c, vmcs_ctl(c, CTL_CPU2, CPU2_EPT), VM_FUNCTION_CONTROL,
		  "EPTP switching needs enable EPT");
	vmcs_rule_page(c, EPTP_LIST_ADDRESS);
}

static void check_bitmaps(struct vmcs_check *c)
{
	if (vmcs_ctl(c, CTL_CPU, CPU_IO_BITMAPS)) {
		vmcs_rule_page(c, IO_BITMAP_A);
		vmcs_rule_page(c, IO_BITMAP_B);
	}
	if (vmcs_ctl(c, CTL_CPU, CPU_MSR_BITMAPS))
		vmcs_rule_page(c, MSR_BITMAP);
	if (vmcs_ctl(c, CTL_CPU2, CPU2_VMCS_SHADOWING)) {
		vmcs_rule_page(c, VMREAD_BITMAP);
		vmcs_rule_page(c, VMWRITE_BITMAP);
	}
}

/* A list of 16-byte entries; an empty one may have any address. */
static void check_msr_list(struct vmcs_check *c, u32 addr_field, u32 count_field)
{
	u64 addr = vmcs_get(c, addr_field), count = vmcs_get(c, count_field);
	u64 last = addr + count * 16 - 1;

	if (!count)
		return;
	VMCS_RULE(c, count <= VMX_MISC_MSR_LIST_MAX(c->caps->misc), count_field,
		  "the list must not be longer than this CPU recommends");
	VMCS_RULE(c, IS_ALIGNED(addr, 16), addr_field, "the address must be 16-byte aligned");
	VMCS_RULE(c, last >= addr && !((addr | last) & vmcs_beyond_phys(c)), addr_field,
		  "the list must not reach beyond the physical-address width");
}

static void check_exit_and_entry(struct vmcs_check *c)
{
	NEEDS(c, CTL_EXIT, EXIT_SAVE_PREEMPTION_TIMER, CTL_PIN, PIN_PREEMPTION_TIMER,
	      VM_EXIT_CONTROLS, "save VMX-preemption timer value needs the timer activated");
	check_msr_list(c, VM_EXIT_MSR_STORE_ADDR, VM_EXIT_MSR_STORE_COUNT);
	check_msr_list(c, VM_EXIT_MSR_LOAD_ADDR, VM_EXIT_MSR_LOAD_COUNT);
	check_msr_list(c, VM_ENTRY_MSR_LOAD_ADDR, VM_ENTRY_MSR_LOAD_COUNT);
	VMCS_RULE(c, !vmcs_ctl(c, CTL_ENTRY, ENTRY_SMM), VM_ENTRY_CONTROLS,
		  "entry to SMM is for entries from SMM only");
	VMCS_RULE(c, !vmcs_ctl(c, CTL_ENTRY, ENTRY_DEACTIVATE_DM), VM_ENTRY_CONTROLS,
		  "deactivate dual-monitor treatment is for entries from SMM only");
}

void vmcs_check_controls(struct vmcs_check *c)
{
	check_reserved(c);
	VMCS_RULE(c, vmcs_get(c, CR3_TARGET_COUNT) <= VMX_MISC_CR3_TARGETS(c->caps->misc),
		  CR3_TARGET_COUNT, "there must not be more CR3 targets than this CPU has");
	check_bitmaps(c);
	check_interrupt_controls(c);
	check_apic(c);
	check_ept(c);
	check_vm_functions(c);
	check_exit_and_entry(c);
}
