/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See vmx/save.h. Most of a state are fields of the VMCS that have a place of their own in struct
 * vmx_state; consecutive ones are a run. What is a field with a twist is done by hand.
 */
#include "vmx/save.h"

#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "vmx/internal.h"

/* The encoding of a field says how wide it is; a run's places are as wide. */
enum field_width { WIDTH_16, WIDTH_64, WIDTH_32, WIDTH_NATURAL };

static enum field_width width_of(u32 field)
{
	return field >> 13 & 3;
}

/* X(name, first field, first place, how many); the last is for PAE paging only. */
#define RUNS(X)                                                                                    \
	X(SELECTOR, GUEST_ES_SELECTOR, selector, NR_VSEGS)                                         \
	X(LIMIT, GUEST_ES_LIMIT, limit, NR_TABLES)                                                 \
	X(ACCESS, GUEST_ES_AR_BYTES, access, NR_VSEGS)                                             \
	X(BLOCKING, GUEST_INTERRUPTIBILITY_INFO, blocking, 1)                                      \
	X(SYSENTER_CS, GUEST_SYSENTER_CS, sysenter_cs, 1)                                          \
	X(DEBUGCTL, GUEST_IA32_DEBUGCTL, debugctl, 2)                                              \
	X(CR3, GUEST_CR3, cr3, 1)                                                                  \
	X(BASE, GUEST_ES_BASE, base, NR_TABLES)                                                    \
	X(DR7, GUEST_DR7, dr7, 1)                                                                  \
	X(RSP, GUEST_RSP, gpr[GPR_RSP], 1)                                                         \
	X(RIP, GUEST_RIP, rip, 5)                                                                  \
	X(PDPTE, GUEST_PDPTR0, pdpte, 4)

#define RUN_NAME(name, field, place, nr) RUN_##name,
enum { RUNS(RUN_NAME) NR_RUNS, NR_COMMON = RUN_PDPTE };

#define RUN(name, field, place, nr) { field, offsetof(struct vmx_state, place), nr },
static const struct run {
	u16 field, offset, nr;
} runs[NR_RUNS] = { RUNS(RUN) };

_Static_assert(GUEST_GDTR_LIMIT == GUEST_ES_LIMIT + 2 * TABLE_GDT &&
		       GUEST_IDTR_LIMIT == GUEST_ES_LIMIT + 2 * TABLE_IDT &&
		       GUEST_GDTR_BASE == GUEST_ES_BASE + 2 * TABLE_GDT &&
		       GUEST_IDTR_BASE == GUEST_ES_BASE + 2 * TABLE_IDT,
	       "the tables' registers come after the segments'");
_Static_assert(GUEST_IA32_PAT == GUEST_IA32_DEBUGCTL + 2 &&
		       offsetof(struct vmx_state, pat) == offsetof(struct vmx_state, debugctl) + 8,
	       "DEBUGCTL, PAT");
_Static_assert(GUEST_RFLAGS == GUEST_RIP + 2 && GUEST_PENDING_DBG_EXCEPTIONS == GUEST_RIP + 4 &&
		       GUEST_SYSENTER_ESP == GUEST_RIP + 6 && GUEST_SYSENTER_EIP == GUEST_RIP + 8 &&
		       offsetof(struct vmx_state, sysenter_eip) ==
			       offsetof(struct vmx_state, rip) + 4 * 8,
	       "RIP, RFLAGS, pending debug exceptions, SYSENTER_ESP, SYSENTER_EIP");
_Static_assert(BLOCKING_STI == INTR_STATE_STI && BLOCKING_MOV_SS == INTR_STATE_MOV_SS &&
		       BLOCKING_NMI == INTR_STATE_NMI,
	       "as in the VMCS");

static void save_run(const struct run *r, struct vmx_state *s)
{
	void *to = (u8 *)s + r->offset;

	switch (width_of(r->field)) {
	case WIDTH_16:
		for (u32 i = 0; i < r->nr; i++)
			((u16 *)to)[i] = (u16)vmcs_read(r->field + 2 * i);
		break;
	case WIDTH_32:
		for (u32 i = 0; i < r->nr; i++)
			((u32 *)to)[i] = (u32)vmcs_read(r->field + 2 * i);
		break;
	default:
		for (u32 i = 0; i < r->nr; i++)
			((u64 *)to)[i] = vmcs_read(r->field + 2 * i);
	}
}

static void restore_run(const struct run *r, const struct vmx_state *s)
{
	const void *from = (const u8 *)s + r->offset;

	switch (width_of(r->field)) {
	case WIDTH_16:
		for (u32 i = 0; i < r->nr; i++)
			vmcs_write(r->field + 2 * i, ((const u16 *)from)[i]);
		break;
	case WIDTH_32:
		for (u32 i = 0; i < r->nr; i++)
			vmcs_write(r->field + 2 * i, ((const u32 *)from)[i]);
		break;
	default:
		for (u32 i = 0; i < r->nr; i++)
			vmcs_write(r->field + 2 * i, ((const u64 *)from)[i]);
	}
}

void vmx_state_fields(const struct vmx_state *s, u64 field[VMCS_GUEST_FIELDS])
{
	for (const struct run *r = runs; r < runs + NR_RUNS; r++) {
		u64 *to = field + vmcs_guest_index(r->field);
		const void *from = (const u8 *)s + r->offset;

		switch (width_of(r->field)) {
		case WIDTH_16:
			for (u32 i = 0; i < r->nr; i++)
				to[i] = ((const u16 *)from)[i];
			break;
		case WIDTH_32:
			for (u32 i = 0; i < r->nr; i++)
				to[i] = ((const u32 *)from)[i];
			break;
		default: memcpy(to, from, r->nr * sizeof(*to));
		}
	}
}

bool vmx_state_has_pdptes(const struct vmx_state *s)
{
	return (s->cr0 & CR0_PG) && (s->cr4 & CR4_PAE) && !(s->efer & EFER_LMA);
}

/* What an event is queued with. */
static void save_event(struct vmx_state *s)
{
	u32 info = (u32)vmcs_read(VM_ENTRY_INTR_INFO);

	s->event = s->event_error = s->event_len = 0;
	if (!(info & INTR_INFO_VALID))
		return;
	s->event = info;
	if (info & INTR_INFO_ERROR)
		s->event_error = (u32)vmcs_read(VM_ENTRY_EXCEPTION_ERROR_CODE);
	if (vmx_event_has_length(info))
		s->event_len = (u32)vmcs_read(VM_ENTRY_INSTRUCTION_LEN);
}

static void restore_event(const struct vmx_state *s)
{
	vmcs_write(VM_ENTRY_INTR_INFO, s->event);
	if (!s->event)
		return;
	vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, s->event_error);
	vmcs_write(VM_ENTRY_INSTRUCTION_LEN, s->event_len);
}

/*
 * Two things are not as the guest would see them, and are put right: a shadow that has ended
 * (vmx_skip_quickly()), and a RIP beyond 4 GiB that a refused entry would wrap (vmx/enter.c).
 */
int vmx_save(struct vmx_vcpu *v, struct vmx_state *s)
{
	vmx_end_quick_shadow(v);
	memcpy(s->gpr, v->gpr, sizeof(s->gpr));
	for (u32 n = 0; n < NR_COMMON; n++)
		save_run(&runs[n], s);
	if (!(s->access[VSEG_CS] & AR_L))
		s->rip = (u32)s->rip;
	s->cr0 = vmx_get(v, REG_CR0);
	s->cr4 = vmx_get(v, REG_CR4);
	s->efer = vmx_get(v, REG_EFER);
	if (vmx_state_has_pdptes(s))
		save_run(&runs[RUN_PDPTE], s);
	else
		memset(s->pdpte, 0, sizeof(s->pdpte));
	save_event(s);
	return vmx_lazy_export(v, s);
}

/* RSP is the VMCS' alone. */
void vmx_restore(struct vmx_vcpu *v, const struct vmx_state *s)
{
	memcpy(v->gpr, s->gpr, sizeof(v->gpr));
	v->gpr[GPR_RSP] = 0;
	for (u32 n = 0; n < NR_COMMON; n++)
		restore_run(&runs[n], s);
	vmx_set(v, REG_CR0, s->cr0);
	vmx_set(v, REG_CR4, s->cr4);
	vmx_set(v, REG_EFER, s->efer);
	if (vmx_state_has_pdptes(s))
		restore_run(&runs[RUN_PDPTE], s);
	restore_event(s);
	vmx_lazy_import(v, s);
	v->stepping = true; /* perhaps: the next instruction that is skipped tells */
	v->requested = false;
	vmx_set_windows(v, false, false);
	vmx_update_careful(v);
	vmx_make_launchable(v, vmx_launch_restored);
	vmx_flush_guest(v);
}
