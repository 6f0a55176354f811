/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a state that comes from outside may be loaded. The rules of the VM entry are those of
 * vmx/check.h, read from the state instead of a VMCS; here are those that the entry does not know:
 * what would fault in root mode, and what a guest of ours cannot have set.
 */
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "vmx/check.h"
#include "vmx/internal.h"
#include "vmx/save.h"

#define CR0_GUEST                                                                                  \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
	 CR0_PG)
#define DEBUGCTL_GUEST 3ull	  /* LBR, BTF: hv/vm/msr.c */
#define MXCSR_RESERVED (~0xffffu) /* CPUs with VMX have denormals-are-zeroes */

/* A guest has no transactions and no bus-lock detection: bits 16 and 11 are as if there were none.
 */
#define DR6_CHANGING 0xe00full
#define DR6_OTHERS   0xffff0ff0ull
#define DR7_ALWAYS   BIT(10)
#define DR7_NEVER    (BIT(12) | BIT(14) | BIT(15))

/* XSAVE's standard format */
#define XSTATE_MXCSR  24
#define XSTATE_HEADER 512
#define XSTATE_LEGACY 576 /* with the header */

u32 vmx_xstate_bytes(const u8 *area)
{
	u64 used, end = XSTATE_LEGACY;

	if (!vmx_config.xcr0_mask)
		return XSTATE_HEADER;
	memcpy(&used, area + XSTATE_HEADER, sizeof(used));
	for (u32 i = 2; i < ARRAY_SIZE(vmx_config.xstate_end); i++)
		if (used & BIT(i))
			end = max_u64(end, vmx_config.xstate_end[i]);
	return (u32)end;
}

static const char *check_xstate(const struct vmx_state *s)
{
	u64 header[8];
	u32 mxcsr;

	if (s->xstate_bytes > VMX_XSTATE_MAX ||
	    s->xstate_bytes < (vmx_config.xcr0_mask ? XSTATE_LEGACY : XSTATE_HEADER))
		return "the size of the extended state";
	memcpy(&mxcsr, s->xstate + XSTATE_MXCSR, sizeof(mxcsr));
	if (mxcsr & MXCSR_RESERVED)
		return "reserved bits of MXCSR";
	if (vmx_config.xcr0_mask) {
		memcpy(header, s->xstate + XSTATE_HEADER, sizeof(header));
		if (header[0] & ~vmx_config.xcr0_mask)
			return "extended state that this CPU does not have";
		for (u32 i = 1; i < ARRAY_SIZE(header); i++)
			if (header[i])
				return "the format of the extended state";
	}
	return s->xstate_bytes == vmx_xstate_bytes(s->xstate)
		       ? NULL
		       : "the layout of the extended state: not this CPU's";
}

static const char *check_lazy(const struct vmx_state *s)
{
	if ((s->dr6 & ~DR6_CHANGING) != DR6_OTHERS)
		return "bits of DR6 that a guest does not have";
	if (!vmx_is_canonical(s->lstar) || !vmx_is_canonical(s->cstar) ||
	    !vmx_is_canonical(s->kernel_gs_base))
		return "LSTAR, CSTAR and KERNEL_GS_BASE must be canonical";
	if (s->sfmask >> 32)
		return "bits 63:32 of SFMASK must be 0";
	if (vmx_config.rdtscp ? s->tsc_aux >> 32 : s->tsc_aux)
		return "bits of TSC_AUX that this CPU does not have";
	return check_xstate(s);
}

static const char *check_guest(const struct vmx_state *s, u64 cr4_may)
{
	if ((s->cr0 & ~CR0_GUEST) || !(s->cr0 & CR0_ET))
		return "reserved bits of CR0";
	if ((s->cr0 & CR0_NW) && !(s->cr0 & CR0_CD))
		return "CR0.NW needs CR0.CD";
	if (s->cr4 & ~cr4_may)
		return "bits of CR4 that this guest does not have";
	if (s->debugctl & ~DEBUGCTL_GUEST)
		return "bits of DEBUGCTL that a guest does not have";
	if ((s->dr7 & (DR7_ALWAYS | DR7_NEVER)) != DR7_ALWAYS)
		return "bits of DR7 that a guest does not have";
	if (s->blocking & ~(u32)(BLOCKING_STI | BLOCKING_MOV_SS | BLOCKING_NMI))
		return "a kind of blocking that a guest does not have";
	if (!vmx_state_has_pdptes(s) && (s->pdpte[0] | s->pdpte[1] | s->pdpte[2] | s->pdpte[3]))
		return "PDPTEs without PAE paging";
	if (s->event && !(s->event & INTR_INFO_VALID))
		return "an event that is none";
	if ((s->event & INTR_INFO_TYPE) == INTR_TYPE_OTHER)
		return "an event of a type that is not used";
	if (s->event_error && !(s->event & INTR_INFO_ERROR))
		return "an error code without an event";
	if (s->event_len && !vmx_event_has_length(s->event))
		return "the length of an instruction without an event";
	return NULL;
}

/* What the VMCS would hold for the guest. */
static void fill_guest(u64 guest[VMCS_GUEST_FIELDS], const struct vmx_state *s)
{
	vmx_state_fields(s, guest);
	guest[vmcs_guest_index(GUEST_CR0)] = (s->cr0 & ~(CR0_NW | CR0_CD)) | CR0_NE;
	guest[vmcs_guest_index(GUEST_CR4)] = s->cr4 | CR4_VMXE;
	guest[vmcs_guest_index(GUEST_IA32_EFER)] = s->efer;
	guest[vmcs_guest_index(GUEST_ACTIVITY_STATE)] = ACTIVITY_ACTIVE;
	guest[vmcs_guest_index(VMCS_LINK_POINTER)] = ~0ull;
}

/* And the rest, as our VMCSs have it. */
static u64 read_control(void *ctx, u32 field)
{
	const struct vmx_state *s = ctx;

	switch (field) {
	case PIN_BASED_VM_EXEC_CONTROL: return vmx_config.pin;
	case CPU_BASED_VM_EXEC_CONTROL: return vmx_config.cpu;
	case SECONDARY_VM_EXEC_CONTROL: return vmx_config.cpu2;
	case VM_EXIT_CONTROLS: return vmx_config.exit;
	case VM_ENTRY_CONTROLS:
		return vmx_config.entry | (s->efer & EFER_LMA ? ENTRY_IA32E_GUEST : 0);
	case VM_ENTRY_INTR_INFO: return s->event;
	case VM_ENTRY_EXCEPTION_ERROR_CODE: return s->event_error;
	case VM_ENTRY_INSTRUCTION_LEN: return s->event_len;
	default: return 0;
	}
}

struct refusal {
	char *why;
	size_t size;
};

/* The first rule that is broken. */
static void refuse(void *arg, const char *rule, const char *field, u64 value)
{
	struct refusal *r = arg;

	if (r->size)
		fmt_print(r->why, r->size, "%s: %s = %#llx", rule, field,
			  (unsigned long long)value);
	r->size = 0;
}

bool vmx_may_restore(const struct vmx_state *s, u64 cr4_may, char *why, size_t size)
{
	struct refusal refusal = { why, size };
	u64 guest[VMCS_GUEST_FIELDS];
	const struct vmcs_reader r = { .read = read_control, .ctx = (void *)s, .guest = guest };
	const char *bad = check_guest(s, cr4_may);

	if (!bad)
		bad = check_lazy(s);
	if (bad) {
		fmt_print(why, size, "%s", bad);
		return false;
	}
	if (likely(vmx_state_is_plain(s)))
		return true;
	fill_guest(guest, s);
	return !vmcs_check(&vmx_caps, &r, AREA_EVENT | AREA_GUEST, refuse, &refusal);
}
