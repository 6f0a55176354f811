/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entry checks on the guest's state outside the registers: activity, interruptibility, pending
 * debug exceptions, the VMCS link pointer, and the PDPTEs of PAE paging.
 */
#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "vmx/check_internal.h"

#define NO_LINK	     ~0ull
#define DEBUGCTL_BTF BIT(1)

static bool injects(const struct vmcs_check *c, u32 type)
{
	return c->event && (c->event & INTR_INFO_TYPE) == type;
}

static bool injects_exception(const struct vmcs_check *c, u32 vector)
{
	return injects(c, INTR_TYPE_EXCEPTION) && (c->event & INTR_INFO_VECTOR) == vector;
}

/* Which events reach a vCPU that executes no instructions. */
static void check_activity_event(struct vmcs_check *c, u64 activity)
{
	bool mc = injects_exception(c, EXC_MC), nmi = injects(c, INTR_TYPE_NMI);
	bool mtf = injects(c, INTR_TYPE_OTHER) && !(c->event & INTR_INFO_VECTOR);

	if (activity == ACTIVITY_HLT)
		VMCS_RULE(c,
			  nmi || mc || mtf || injects(c, INTR_TYPE_EXT) ||
				  injects_exception(c, EXC_DB),
			  GUEST_ACTIVITY_STATE,
			  "in HLT only an interrupt, NMI, #DB, #MC or MTF may be injected");
	if (activity == ACTIVITY_SHUTDOWN)
		VMCS_RULE(c, nmi || mc, GUEST_ACTIVITY_STATE,
			  "in shutdown only an NMI or #MC may be injected");
	if (activity == ACTIVITY_WAIT_SIPI)
		VMCS_RULE(c, false, GUEST_ACTIVITY_STATE,
			  "in wait-for-SIPI nothing may be injected");
}

static void check_activity(struct vmcs_check *c)
{
	static const u64 supported[] = { [ACTIVITY_HLT] = VMX_MISC_HLT,
					 [ACTIVITY_SHUTDOWN] = VMX_MISC_SHUTDOWN,
					 [ACTIVITY_WAIT_SIPI] = VMX_MISC_WAIT_SIPI };
	u64 activity = vmcs_get(c, GUEST_ACTIVITY_STATE);
	u64 blocking =
		vmcs_get(c, GUEST_INTERRUPTIBILITY_INFO) & (INTR_STATE_STI | INTR_STATE_MOV_SS);

	VMCS_RULE(c, activity <= ACTIVITY_WAIT_SIPI, GUEST_ACTIVITY_STATE,
		  "the activity state must be 0..3");
	if (activity == ACTIVITY_ACTIVE || activity > ACTIVITY_WAIT_SIPI)
		return;
	VMCS_RULE(c, c->caps->misc & supported[activity], GUEST_ACTIVITY_STATE,
		  "the activity state must be one this CPU supports");
	if (activity == ACTIVITY_HLT)
		VMCS_RULE(c, !(vmcs_get(c, GUEST_SS_AR_BYTES) & AR_DPL), GUEST_ACTIVITY_STATE,
			  "HLT needs DPL 0 in SS");
	VMCS_RULE(c, !blocking, GUEST_ACTIVITY_STATE,
		  "with blocking by STI or MOV SS the activity state must be active");
	if (c->event)
		check_activity_event(c, activity);
}

static void check_interruptibility(struct vmcs_check *c)
{
	u64 info = vmcs_get(c, GUEST_INTERRUPTIBILITY_INFO);
	bool sti = info & INTR_STATE_STI, mov_ss = info & INTR_STATE_MOV_SS;
	const u32 field = GUEST_INTERRUPTIBILITY_INFO;

	VMCS_RULE(c, !(info & ~0x1full), field, "bits 31:5 must be 0");
	VMCS_RULE(c, !(sti && mov_ss), field, "blocking by STI and by MOV SS exclude each other");
	VMCS_RULE(c, !sti || c->rflags & RFLAGS_IF, field, "blocking by STI needs RFLAGS.IF");
	VMCS_RULE(c, !(info & INTR_STATE_SMI), field, "blocking by SMI is for SMM only");
	VMCS_RULE(c, !(info & INTR_STATE_ENCLAVE) || vmx_can(c->caps, CTL_CPU2, CPU2_ENCLS), field,
		  "enclave interruption needs a CPU with SGX");
	VMCS_RULE(c, !(info & INTR_STATE_ENCLAVE) || !mov_ss, field,
		  "enclave interruption and blocking by MOV SS exclude each other");
	if (injects(c, INTR_TYPE_EXT))
		VMCS_RULE(c, !sti && !mov_ss, field,
			  "blocking by STI or MOV SS forbids injecting an external interrupt");
	if (injects(c, INTR_TYPE_NMI)) {
		VMCS_RULE(c, !mov_ss, field, "blocking by MOV SS forbids injecting an NMI");
		VMCS_RULE(c, !sti, field, "blocking by STI forbids injecting an NMI on some CPUs");
		VMCS_RULE(c, !vmcs_ctl(c, CTL_PIN, PIN_VIRTUAL_NMIS) || !(info & INTR_STATE_NMI),
			  field, "virtual-NMI blocking forbids injecting an NMI");
	}
}

/* A transaction's debug exception stands alone, with the enabled-breakpoint bit. */
static void check_pending_rtm(struct vmcs_check *c, u64 pending)
{
	const u64 may = PENDING_DBG_RTM | PENDING_DBG_ENABLED;

	VMCS_RULE(c, (pending & ~may) == 0 && pending & PENDING_DBG_ENABLED,
		  GUEST_PENDING_DBG_EXCEPTIONS,
		  "with RTM (bit 16) bit 12 must be 1 and all others 0");
	VMCS_RULE(c, !(vmcs_get(c, GUEST_INTERRUPTIBILITY_INFO) & INTR_STATE_MOV_SS),
		  GUEST_PENDING_DBG_EXCEPTIONS,
		  "RTM (bit 16) and blocking by MOV SS exclude each other");
}

/* An instruction that just blocked events, or HLT, was itself single-stepped if TF is on. */
static void check_pending_debug(struct vmcs_check *c)
{
	const u64 valid =
		PENDING_DBG_B0_B3 | PENDING_DBG_ENABLED | PENDING_DBG_BS | PENDING_DBG_RTM;
	u64 pending = vmcs_get(c, GUEST_PENDING_DBG_EXCEPTIONS);
	u64 blocking =
		vmcs_get(c, GUEST_INTERRUPTIBILITY_INFO) & (INTR_STATE_STI | INTR_STATE_MOV_SS);
	bool btf = vmcs_get(c, GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF;
	bool step = c->rflags & RFLAGS_TF && !btf, bs = pending & PENDING_DBG_BS;
	const u32 field = GUEST_PENDING_DBG_EXCEPTIONS;

	VMCS_RULE(c, !(pending & ~valid), field, "bits 63:17, 15, 13 and 11:4 must be 0");
	if (pending & PENDING_DBG_RTM) {
		check_pending_rtm(c, pending);
		return;
	}
	if (!blocking && vmcs_get(c, GUEST_ACTIVITY_STATE) != ACTIVITY_HLT)
		return;
	VMCS_RULE(c, bs || !step, field,
		  "BS must be 1 while events are blocked or in HLT, with TF = 1 and BTF = 0");
	VMCS_RULE(c, !bs || step, field,
		  "BS must be 0 while events are blocked or in HLT, with TF = 0 or BTF = 1");
}

static void check_link_pointer(struct vmcs_check *c)
{
	u64 link = vmcs_get(c, VMCS_LINK_POINTER);
	const void *p;
	u32 id;

	if (link == NO_LINK)
		return;
	vmcs_rule_page(c, VMCS_LINK_POINTER);
	p = c->r->mem ? c->r->mem(c->r->ctx, link, sizeof(id)) : NULL;
	if (!p)
		return;
	memcpy(&id, p, sizeof(id));
	VMCS_RULE_VALUE(c, (id & VMX_BASIC_REVISION) == c->caps->revision, VMCS_LINK_POINTER,
			"the linked VMCS must have this CPU's revision", id);
	VMCS_RULE_VALUE(c, id >> 31 == vmcs_ctl(c, CTL_CPU2, CPU2_VMCS_SHADOWING),
			VMCS_LINK_POINTER,
			"the linked VMCS must be a shadow if and only if VMCS shadowing is on", id);
}

/* With EPT the PDPTEs are VMCS fields, without they lie at the guest's CR3 in host memory. */
static bool read_pdpte(struct vmcs_check *c, unsigned int i, u32 *field, u64 *pdpte)
{
	const void *p;

	if (vmcs_ctl(c, CTL_CPU2, CPU2_EPT)) {
		*field = GUEST_PDPTR0 + 2 * i;
		*pdpte = vmcs_get(c, *field);
		return true;
	}
	*field = GUEST_CR3;
	p = c->r->mem ? c->r->mem(c->r->ctx, (vmcs_get(c, GUEST_CR3) & 0xffffffe0) + 8 * i, 8)
		      : NULL;
	if (p)
		memcpy(pdpte, p, sizeof(*pdpte));
	return p;
}

static void check_pdptes(struct vmcs_check *c)
{
	u64 reserved = vmcs_beyond_phys(c) | 0x1e6;

	if (c->ia32e || !(c->cr0 & CR0_PG) || !(c->cr4 & CR4_PAE))
		return;
	for (unsigned int i = 0; i < 4; i++) {
		u32 field;
		u64 pdpte;

		if (!read_pdpte(c, i, &field, &pdpte))
			return;
		VMCS_RULE_VALUE(c, !(pdpte & 1) || !(pdpte & reserved), field,
				"reserved bits of a present PDPTE must be 0", pdpte);
	}
}

void vmcs_check_nonregister(struct vmcs_check *c)
{
	check_activity(c);
	check_interruptibility(c);
	check_pending_debug(c);
	check_link_pointer(c);
	check_pdptes(c);
}
