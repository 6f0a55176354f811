/* SPDX-License-Identifier: GPL-2.0-only */
/* Entry checks on the host-state area. */
#include "hv/host/x86.h"
#include "vmx/check_internal.h"

static void check_control_registers(struct vmcs_check *c)
{
	u64 cr0 = vmcs_get(c, HOST_CR0), cr4 = vmcs_get(c, HOST_CR4);

	vmcs_rule_fixed(c, HOST_CR0, c->caps->cr0_fixed0, c->caps->cr0_fixed1);
	vmcs_rule_fixed(c, HOST_CR4, c->caps->cr4_fixed0, c->caps->cr4_fixed1);
	VMCS_RULE(c, !(cr4 & CR4_BIT_CET) || cr0 & CR0_WP, HOST_CR4, "CR4.CET needs CR0.WP");
	vmcs_rule_cr3(c, HOST_CR3);
}

/* A 64-bit host: the entry is made in IA-32e mode, and so must the exit be. */
static void check_address_space(struct vmcs_check *c)
{
	bool la57 = vmcs_get(c, HOST_CR4) & CR4_LA57;
	s64 high = (s64)vmcs_get(c, HOST_RIP) >> (la57 ? 56 : 47);

	VMCS_RULE(c, vmcs_ctl(c, CTL_EXIT, EXIT_HOST_64), VM_EXIT_CONTROLS,
		  "a 64-bit host needs host address-space size");
	VMCS_RULE(c, vmcs_get(c, HOST_CR4) & CR4_PAE, HOST_CR4, "a 64-bit host needs CR4.PAE");
	VMCS_RULE(c, high == 0 || high == -1, HOST_RIP,
		  "the address must be canonical in the host's paging mode");
}

static void check_msrs(struct vmcs_check *c)
{
	u64 efer = vmcs_get(c, HOST_IA32_EFER), lme_lma = EFER_LME | EFER_LMA;

	vmcs_rule_canonical(c, HOST_IA32_SYSENTER_ESP);
	vmcs_rule_canonical(c, HOST_IA32_SYSENTER_EIP);
	if (vmcs_ctl(c, CTL_EXIT, EXIT_LOAD_PAT))
		vmcs_rule_pat(c, HOST_IA32_PAT);
	if (vmcs_ctl(c, CTL_EXIT, EXIT_LOAD_EFER)) {
		vmcs_rule_efer(c, HOST_IA32_EFER);
		VMCS_RULE(c, (efer & lme_lma) == lme_lma, HOST_IA32_EFER,
			  "a 64-bit host needs EFER.LME and EFER.LMA");
	}
}

static void check_segments(struct vmcs_check *c)
{
	static const u32 selectors[] = { HOST_ES_SELECTOR, HOST_CS_SELECTOR, HOST_SS_SELECTOR,
					 HOST_DS_SELECTOR, HOST_FS_SELECTOR, HOST_GS_SELECTOR,
					 HOST_TR_SELECTOR };
	static const u32 bases[] = { HOST_FS_BASE, HOST_GS_BASE, HOST_TR_BASE, HOST_GDTR_BASE,
				     HOST_IDTR_BASE };

	for (size_t i = 0; i < ARRAY_SIZE(selectors); i++)
		VMCS_RULE(c, !(vmcs_get(c, selectors[i]) & 7), selectors[i],
			  "RPL and TI of a host selector must be 0");
	VMCS_RULE(c, vmcs_get(c, HOST_CS_SELECTOR) != 0, HOST_CS_SELECTOR,
		  "the host's CS must not be the null selector");
	VMCS_RULE(c, vmcs_get(c, HOST_TR_SELECTOR) != 0, HOST_TR_SELECTOR,
		  "the host's TR must not be the null selector");
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++)
		vmcs_rule_canonical(c, bases[i]);
}

void vmcs_check_host(struct vmcs_check *c)
{
	check_control_registers(c);
	check_address_space(c);
	check_msrs(c);
	check_segments(c);
}
