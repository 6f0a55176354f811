/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * APIC virtualization in the VMCS: the controls of a rung and a mode, the addresses of the two
 * pages, and what the CPU has to be told of the virtual APIC's state. Source: Intel SDM, volume on
 * system programming, chapter on APIC virtualization and virtual interrupts.
 *
 * There are two pages, which are easily confused. The virtual-APIC page holds this vCPU's
 * registers; the CPU finds it by VIRTUAL_APIC_PAGE_ADDR, and no guest-physical address leads to it.
 * The APIC-access page is what the guest's accesses hit, and holds nothing: an access whose
 * translation ends in the frame that APIC_ACCESS_ADDR names is carried out on the virtual-APIC
 * page, or is an exit. The comparison is all that makes it one: see hv/vm/apic_page.c.
 */
#include "hv/host/mem.h"
#include "vmx/apic_rungs.h"
#include "vmx/internal.h"

#define APIC_CONTROLS                                                                              \
	((u32)(CPU2_APIC_ACCESS | CPU2_X2APIC | CPU2_APIC_REGISTER | CPU2_VIRT_INTR_DELIVERY))
#define CR8_EXITING ((u32)(CPU_CR8_LOAD | CPU_CR8_STORE))

/* GUEST_INTR_STATUS */
#define STATUS_RVI 0x00ffu
#define STATUS_SVI 0xff00u

static void update_controls(struct vmx_vcpu *v)
{
	u32 on = vmx_apic_mode_controls(v->apic_rung, v->apic_mode);
	u32 changed = (v->cpu2_controls & APIC_CONTROLS) ^ on;

	if (!changed)
		return;
	v->cpu2_controls ^= changed;
	vmcs_write(SECONDARY_VM_EXEC_CONTROL, v->cpu2_controls);
	if (changed & CPU2_X2APIC)
		vmcs_write(MSR_BITMAP,
			   on & CPU2_X2APIC ? vmx_config.msr_bitmap_x2apic : vmx_config.msr_bitmap);
}

/* CR8 is the TPR in the page, unless this CPU insists on exits for it. */
static void use_tpr_shadow(struct vmx_vcpu *v)
{
	u32 exiting = CR8_EXITING & ~vmx_caps.ctl[CTL_CPU].must_be_1;

	v->cpu_controls = (v->cpu_controls & ~exiting) | (u32)CPU_TPR_SHADOW;
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, v->cpu_controls);
	vmcs_write(VIRTUAL_APIC_PAGE_ADDR, virt_to_phys(v->apic_regs));
	vmcs_write(TPR_THRESHOLD, 0);
}

void vmx_apic_init(struct vmx_vcpu *v, enum vmx_apic_rung rung, u8 *regs)
{
	static const u64 none[4];

	v->apic_rung = (u8)rung;
	v->apic_mode = VMX_APIC_MEMORY;
	v->apic_regs = regs;
	v->tpr_threshold = 0;
	if (rung >= VMX_APIC_TPR)
		use_tpr_shadow(v);
	if (rung >= VMX_APIC_ACCESS)
		vmx_apic_set_page(v, 0);
	if (rung >= VMX_APIC_DELIVERY) {
		vmcs_write(GUEST_INTR_STATUS, 0);
		vmx_apic_set_eoi_exits(v, none);
	}
	update_controls(v);
}

/*
 * A threshold is only looked at where the CPU does not deliver, but then it is: one left from the
 * mode before, and above the TPR of now, would be an entry that is refused.
 */
void vmx_apic_set_mode(struct vmx_vcpu *v, enum vmx_apic_mode mode)
{
	v->apic_mode = (u8)mode;
	v->requested = false;
	vmx_apic_set_threshold(v, 0);
	update_controls(v);
}

void vmx_apic_set_page(struct vmx_vcpu *v, hpa_t hpa)
{
	vmcs_write(APIC_ACCESS_ADDR, hpa);
}

hpa_t vmx_apic_get_page(struct vmx_vcpu *v)
{
	return vmcs_read(APIC_ACCESS_ADDR);
}

void vmx_apic_flush(struct vmx_vcpu *v)
{
	vmx_flush_translations(v);
}

void vmx_apic_set_threshold(struct vmx_vcpu *v, u8 threshold)
{
	if (threshold == v->tpr_threshold)
		return;
	v->tpr_threshold = threshold;
	vmcs_write(TPR_THRESHOLD, threshold);
}

static void set_status(u32 which, u32 value)
{
	u32 old = (u32)vmcs_read(GUEST_INTR_STATUS), new = (old & ~which) | value;

	if (new != old)
		vmcs_write(GUEST_INTR_STATUS, new);
}

/*
 * An instruction that exits in the shadow of STI or MOV SS ends it (vmx_skip_quickly()): from here
 * on that matters, until the CPU has delivered the vector. One that the guest sends itself without
 * an exit we do not know of, and it may come one instruction late.
 */
void vmx_apic_set_requested(struct vmx_vcpu *v, u8 vector)
{
	if (vector)
		vmx_end_quick_shadow(v);
	set_status(STATUS_RVI, vector);
	v->requested = vector;
	vmx_update_careful(v);
}

bool vmx_apic_requested(void)
{
	return vmcs_read(GUEST_INTR_STATUS) & STATUS_RVI;
}

void vmx_apic_set_in_service(struct vmx_vcpu *v, u8 vector)
{
	set_status(STATUS_SVI, (u32)vector << 8);
}

void vmx_apic_set_eoi_exits(struct vmx_vcpu *v, const u64 vectors[4])
{
	for (u32 i = 0; i < 4; i++)
		vmcs_write(EOI_EXIT_BITMAP0 + 2 * i, vectors[i]);
}
