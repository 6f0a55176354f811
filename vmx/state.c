/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading and writing a loaded vCPU's registers. */
#include "hv/host/x86.h"
#include "vmx/internal.h"

/* The registers that are simply a field. */
static const u16 field_of[] = {
	[REG_RIP] = GUEST_RIP,
	[REG_RSP] = GUEST_RSP,
	[REG_RFLAGS] = GUEST_RFLAGS,
	[REG_CR3] = GUEST_CR3,
	[REG_DR7] = GUEST_DR7,
	[REG_EFER] = GUEST_IA32_EFER,
	[REG_PAT] = GUEST_IA32_PAT,
	[REG_DEBUGCTL] = GUEST_IA32_DEBUGCTL,
	[REG_TSC_OFFSET] = TSC_OFFSET,
	[REG_GDT_BASE] = GUEST_GDTR_BASE,
	[REG_GDT_LIMIT] = GUEST_GDTR_LIMIT,
	[REG_IDT_BASE] = GUEST_IDTR_BASE,
	[REG_IDT_LIMIT] = GUEST_IDTR_LIMIT,
};

/* A control register as the guest sees it: owned bits from the register, the others' shadow. */
static u64 guest_view(enum vmcs_field reg, enum vmcs_field mask, enum vmcs_field shadow)
{
	u64 m = vmcs_read(mask);

	return (vmcs_read(reg) & ~m) | (vmcs_read(shadow) & m);
}

/*
 * The entry control "IA-32e mode guest" must equal EFER.LMA. With unrestricted guests the CPU keeps
 * it at every exit, so it only needs care when we change EFER ourselves.
 */
static void set_efer(u64 value)
{
	u64 entry = vmcs_read(VM_ENTRY_CONTROLS) & ~ENTRY_IA32E_GUEST;

	if (value & EFER_LMA)
		entry |= ENTRY_IA32E_GUEST;
	vmcs_write(VM_ENTRY_CONTROLS, entry);
	vmcs_write(GUEST_IA32_EFER, value);
}

u64 vmx_get(struct vmx_vcpu *v, enum vcpu_reg reg)
{
	switch (reg) {
	case REG_CR0: return guest_view(GUEST_CR0, CR0_GUEST_HOST_MASK, CR0_READ_SHADOW);
	case REG_CR4: return guest_view(GUEST_CR4, CR4_GUEST_HOST_MASK, CR4_READ_SHADOW);
	case REG_CR2: return read_cr2();
	default: return vmcs_read(field_of[reg]);
	}
}

void vmx_set(struct vmx_vcpu *v, enum vcpu_reg reg, u64 value)
{
	switch (reg) {
	case REG_CR0:
		/* NE is fixed in VMX operation; caching stays on whatever the guest thinks. */
		vmcs_write(GUEST_CR0, (value & ~(CR0_CD | CR0_NW)) | CR0_NE);
		vmcs_write(CR0_READ_SHADOW, value);
		break;
	case REG_CR4:
		vmcs_write(GUEST_CR4, value | CR4_VMXE);
		vmcs_write(CR4_READ_SHADOW, value);
		break;
	case REG_CR2: write_cr2(value); break;
	case REG_EFER: set_efer(value); break;
	default: vmcs_write(field_of[reg], value);
	}
}

/* The four fields of a segment lie at the same distance from ES' in each width group. */
void vmx_get_segment(struct vmx_vcpu *v, enum vcpu_seg seg, struct vm_segment *out)
{
	out->selector = (u16)vmcs_read(GUEST_ES_SELECTOR + 2 * seg);
	out->limit = (u32)vmcs_read(GUEST_ES_LIMIT + 2 * seg);
	out->access = (u32)vmcs_read(GUEST_ES_AR_BYTES + 2 * seg);
	out->base = vmcs_read(GUEST_ES_BASE + 2 * seg);
}

void vmx_set_segment(struct vmx_vcpu *v, enum vcpu_seg seg, const struct vm_segment *s)
{
	vmcs_write(GUEST_ES_SELECTOR + 2 * seg, s->selector);
	vmcs_write(GUEST_ES_LIMIT + 2 * seg, s->limit);
	vmcs_write(GUEST_ES_AR_BYTES + 2 * seg, s->access);
	vmcs_write(GUEST_ES_BASE + 2 * seg, s->base);
}

_Static_assert(GUEST_TR_SELECTOR == GUEST_ES_SELECTOR + 2 * VSEG_TR &&
		       GUEST_TR_LIMIT == GUEST_ES_LIMIT + 2 * VSEG_TR &&
		       GUEST_TR_AR_BYTES == GUEST_ES_AR_BYTES + 2 * VSEG_TR &&
		       GUEST_TR_BASE == GUEST_ES_BASE + 2 * VSEG_TR,
	       "segment fields are numbered in the order of enum vcpu_seg");

u64 vmx_get_gpr(struct vmx_vcpu *v, enum gpr r)
{
	return r == GPR_RSP ? vmcs_read(GUEST_RSP) : v->gpr[r];
}

void vmx_set_gpr(struct vmx_vcpu *v, enum gpr r, u64 value)
{
	if (r == GPR_RSP)
		vmcs_write(GUEST_RSP, value);
	else
		v->gpr[r] = value;
}

void vmx_set_pdptrs(struct vmx_vcpu *v, const u64 pdpte[4])
{
	vmcs_write(GUEST_PDPTR0, pdpte[0]);
	vmcs_write(GUEST_PDPTR1, pdpte[1]);
	vmcs_write(GUEST_PDPTR2, pdpte[2]);
	vmcs_write(GUEST_PDPTR3, pdpte[3]);
}
