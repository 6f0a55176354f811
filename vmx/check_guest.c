/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entry checks on the guest's control registers, MSRs, RIP, RFLAGS and descriptor-table registers,
 * and on the MSRs that the entry loads from a list.
 */
#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "vmx/check_internal.h"

#define MSR_SMM_MONITOR_CTL 0x9b
#define DEBUGCTL_VALID	    0xffc3ull /* LBR, BTF, TR..RTM debug; bus-lock detection is not ours */
#define RFLAGS_RESERVED_0   (~(BIT(22) - 1) | BIT(15) | BIT(5) | BIT(3))

static void check_control_registers(struct vmcs_check *c)
{
	u64 free = c->unrestricted ? CR0_PE | CR0_PG : 0;

	vmcs_rule_fixed(c, GUEST_CR0, c->caps->cr0_fixed0 & ~free, c->caps->cr0_fixed1);
	VMCS_RULE(c, !(c->cr0 & CR0_PG) || c->cr0 & CR0_PE, GUEST_CR0, "CR0.PG needs CR0.PE");
	vmcs_rule_fixed(c, GUEST_CR4, c->caps->cr4_fixed0, c->caps->cr4_fixed1);
	VMCS_RULE(c, !(c->cr4 & CR4_BIT_CET) || c->cr0 & CR0_WP, GUEST_CR4, "CR4.CET needs CR0.WP");
	if (c->ia32e) {
		VMCS_RULE(c, c->cr0 & CR0_PG, GUEST_CR0, "IA-32e mode guest needs CR0.PG");
		VMCS_RULE(c, c->cr4 & CR4_PAE, GUEST_CR4, "IA-32e mode guest needs CR4.PAE");
	} else {
		VMCS_RULE(c, !(c->cr4 & CR4_PCIDE), GUEST_CR4, "CR4.PCIDE needs IA-32e mode guest");
	}
	vmcs_rule_cr3(c, GUEST_CR3);
}

static void check_efer(struct vmcs_check *c)
{
	u64 efer = vmcs_get(c, GUEST_IA32_EFER);
	bool lme = efer & EFER_LME, lma = efer & EFER_LMA;

	vmcs_rule_efer(c, GUEST_IA32_EFER);
	VMCS_RULE(c, lma == c->ia32e, GUEST_IA32_EFER, "EFER.LMA must equal IA-32e mode guest");
	VMCS_RULE(c, !(c->cr0 & CR0_PG) || lme == lma, GUEST_IA32_EFER,
		  "with CR0.PG set, EFER.LME must equal EFER.LMA");
}

static void check_msrs(struct vmcs_check *c)
{
	if (vmcs_ctl(c, CTL_ENTRY, ENTRY_LOAD_DEBUG)) {
		VMCS_RULE(c, !(vmcs_get(c, GUEST_IA32_DEBUGCTL) & ~DEBUGCTL_VALID),
			  GUEST_IA32_DEBUGCTL, "reserved bits of DEBUGCTL must be 0");
		VMCS_RULE(c, !(vmcs_get(c, GUEST_DR7) >> 32), GUEST_DR7,
			  "bits 63:32 of DR7 must be 0");
	}
	vmcs_rule_canonical(c, GUEST_SYSENTER_ESP);
	vmcs_rule_canonical(c, GUEST_SYSENTER_EIP);
	if (vmcs_ctl(c, CTL_ENTRY, ENTRY_LOAD_PAT))
		vmcs_rule_pat(c, GUEST_IA32_PAT);
	if (vmcs_ctl(c, CTL_ENTRY, ENTRY_LOAD_EFER))
		check_efer(c);
}

static void check_tables(struct vmcs_check *c)
{
	static const u32 limits[] = { GUEST_GDTR_LIMIT, GUEST_IDTR_LIMIT };

	vmcs_rule_canonical(c, GUEST_GDTR_BASE);
	vmcs_rule_canonical(c, GUEST_IDTR_BASE);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		VMCS_RULE(c, vmcs_get(c, limits[i]) <= 0xffff, limits[i],
			  "bits 31:16 of a descriptor-table limit must be 0");
}

/*
 * In 64-bit code only the bits that the CPU does not implement have to agree: it can enter with a
 * RIP that is not quite canonical (and will then fault).
 */
static void check_rip(struct vmcs_check *c)
{
	u64 rip = vmcs_get(c, GUEST_RIP);
	u64 high = rip >> c->caps->lin_bits;

	if (c->ia32e && vmcs_get(c, GUEST_CS_AR_BYTES) & AR_L)
		VMCS_RULE(c, high == 0 || high == ~0ull >> c->caps->lin_bits, GUEST_RIP,
			  "bits of RIP beyond the linear-address width must be equal");
	else
		VMCS_RULE(c, !(rip >> 32), GUEST_RIP,
			  "bits 63:32 of RIP must be 0 outside 64-bit code");
}

static void check_rflags(struct vmcs_check *c)
{
	bool ext_intr = c->event && (c->event & INTR_INFO_TYPE) == INTR_TYPE_EXT;

	VMCS_RULE(c, c->rflags & RFLAGS_FIXED, GUEST_RFLAGS, "RFLAGS bit 1 must be 1");
	VMCS_RULE(c, !(c->rflags & RFLAGS_RESERVED_0), GUEST_RFLAGS,
		  "RFLAGS bits 63:22, 15, 5 and 3 must be 0");
	if (c->rflags & RFLAGS_VM) {
		VMCS_RULE(c, !c->ia32e, GUEST_RFLAGS, "RFLAGS.VM must be 0 in IA-32e mode");
		VMCS_RULE(c, c->cr0 & CR0_PE, GUEST_RFLAGS, "RFLAGS.VM must be 0 in real mode");
	}
	VMCS_RULE(c, !ext_intr || c->rflags & RFLAGS_IF, GUEST_RFLAGS,
		  "injecting an external interrupt needs RFLAGS.IF");
}

struct msr_entry {
	u32 index;
	u32 reserved;
	u64 value;
};
_Static_assert(sizeof(struct msr_entry) == 16, "MSR list entry");

/* The entry loads these last; one it refuses ends the entry with its own exit reason. */
static void check_msr_load_list(struct vmcs_check *c)
{
	u64 addr = vmcs_get(c, VM_ENTRY_MSR_LOAD_ADDR), n = vmcs_get(c, VM_ENTRY_MSR_LOAD_COUNT);
	const u32 field = VM_ENTRY_MSR_LOAD_ADDR;
	struct msr_entry e;

	if (!c->r->mem || n > VMX_MISC_MSR_LIST_MAX(c->caps->misc))
		return;
	for (u64 i = 0; i < n; i++) {
		const void *p = c->r->mem(c->r->ctx, addr + i * sizeof(e), sizeof(e));

		if (!p)
			return;
		memcpy(&e, p, sizeof(e));
		VMCS_RULE_VALUE(c, e.index != MSR_FS_BASE && e.index != MSR_GS_BASE, field,
				"the list must not load FS_BASE or GS_BASE", e.index);
		VMCS_RULE_VALUE(c, e.index >> 8 != 8, field,
				"the list must not load x2APIC registers", e.index);
		VMCS_RULE_VALUE(c, e.index != MSR_SMM_MONITOR_CTL, field,
				"the list must not load SMM_MONITOR_CTL", e.index);
		VMCS_RULE_VALUE(c, !e.reserved, field, "bits 63:32 of a list entry must be 0",
				e.reserved);
	}
}

void vmcs_check_guest(struct vmcs_check *c)
{
	check_control_registers(c);
	check_msrs(c);
	check_tables(c);
	check_rip(c);
	check_rflags(c);
	check_msr_load_list(c);
}
