/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a guest's state is one that needs no second look: protected mode, nothing blocked,
 * nothing to inject, segments as programs have them. Nearly all are, and who moves a guest waits
 * for this. What is not plain is not wrong: vmx/check.h then says rule by rule what the entry does.
 */
#include "hv/host/x86.h"
#include "vmx/internal.h"
#include "vmx/save.h"

#define AR_RESERVED    0xfffe0f00u
#define AR_TYPE_S_P    (AR_TYPE | AR_S | AR_P)
#define SELECTOR_TI    4u
#define RFLAGS_PLAIN   0x257fd7ull /* all but VM, VIF and VIP, and what is reserved */
#define PAT_BYTES(bit) (0x0101010101010101ull << (bit))

bool vmx_is_canonical(u64 address)
{
	s64 high = (s64)address >> (vmx_caps.lin_bits - 1);

	return high == 0 || high == -1;
}

/* Granularity and reserved bits; the type is one of @types (a bit each), with S as in @s. */
static bool is_segment(const struct vmx_state *s, enum vcpu_seg seg, u32 types, u32 system)
{
	u32 ar = s->access[seg], limit = s->limit[seg];
	bool fits = ar & AR_G ? (limit & 0xfff) == 0xfff : !(limit >> 20);

	return fits && !(ar & (AR_RESERVED | AR_UNUSABLE)) &&
	       (ar & (AR_S | AR_P)) == (system | AR_P) && (types >> (ar & AR_TYPE) & 1);
}

static bool is_data(const struct vmx_state *s, enum vcpu_seg seg, u32 types)
{
	return (s->access[seg] & AR_UNUSABLE) || is_segment(s, seg, types, AR_S);
}

/* Accessed; code in a data register is readable. */
static bool are_segments(const struct vmx_state *s)
{
	const u32 code = BIT(9) | BIT(11), stack = BIT(3) | BIT(7);
	const u32 data = BIT(1) | BIT(3) | BIT(5) | BIT(7) | BIT(11) | BIT(15);
	u32 cs = s->access[VSEG_CS];

	if (!is_segment(s, VSEG_CS, code, AR_S) || ((cs ^ s->access[VSEG_SS]) & AR_DPL) ||
	    (cs & (AR_L | AR_DB)) == (AR_L | AR_DB) || !is_data(s, VSEG_SS, stack))
		return false;
	if (!is_data(s, VSEG_DS, data) || !is_data(s, VSEG_ES, data) ||
	    !is_data(s, VSEG_FS, data) || !is_data(s, VSEG_GS, data))
		return false;
	return is_segment(s, VSEG_TR, BIT(11), 0) && !(s->selector[VSEG_TR] & SELECTOR_TI) &&
	       ((s->access[VSEG_LDTR] & AR_UNUSABLE) ||
		(is_segment(s, VSEG_LDTR, BIT(2), 0) && !(s->selector[VSEG_LDTR] & SELECTOR_TI)));
}

static bool are_addresses(const struct vmx_state *s)
{
	u64 low = s->base[VSEG_CS] | s->base[VSEG_SS] | s->base[VSEG_DS] | s->base[VSEG_ES];

	for (unsigned int i = VSEG_FS; i < NR_TABLES; i++)
		if (!vmx_is_canonical(s->base[i]))
			return false;
	if (!((s->efer & EFER_LMA) && (s->access[VSEG_CS] & AR_L)))
		low |= s->rip;
	return !(low >> 32) && !((s->limit[TABLE_GDT] | s->limit[TABLE_IDT]) >> 16) &&
	       vmx_is_canonical(s->rip) && vmx_is_canonical(s->sysenter_esp) &&
	       vmx_is_canonical(s->sysenter_eip) && !(s->cr3 >> vmx_caps.phys_bits);
}

static bool are_control_registers(const struct vmx_state *s)
{
	u64 cr0 = (s->cr0 & ~(CR0_CD | CR0_NW)) | CR0_NE, cr4 = s->cr4 | CR4_VMXE;
	bool paging = s->cr0 & CR0_PG, lma = s->efer & EFER_LMA, lme = s->efer & EFER_LME;

	if ((vmx_caps.cr0_fixed0 & ~(cr0 | CR0_PG)) || (cr0 & ~vmx_caps.cr0_fixed1) ||
	    (vmx_caps.cr4_fixed0 & ~cr4) || (cr4 & ~vmx_caps.cr4_fixed1) || !(cr0 & CR0_PE))
		return false;
	if ((s->efer & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) || (paging && lma != lme))
		return false;
	return lma ? paging && (cr4 & CR4_PAE) : !(cr4 & CR4_PCIDE);
}

/* Memory types are 0, 1, 4, 5, 6 and 7: bit 1 only with bit 2. */
static bool is_pat(u64 pat)
{
	return !(pat & ~(PAT_BYTES(0) | PAT_BYTES(1) | PAT_BYTES(2))) &&
	       !(pat & ~(pat >> 1) & PAT_BYTES(1));
}

bool vmx_state_is_plain(const struct vmx_state *s)
{
	return !s->event && !s->pending_debug && !(s->blocking & ~(u32)BLOCKING_NMI) &&
	       (s->rflags & ~RFLAGS_PLAIN) == 0 && (s->rflags & RFLAGS_FIXED) && !(s->dr7 >> 32) &&
	       is_pat(s->pat) && are_control_registers(s) && are_addresses(s) && are_segments(s) &&
	       !vmx_state_has_pdptes(s);
}
