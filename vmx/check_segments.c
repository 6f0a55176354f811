/* SPDX-License-Identifier: GPL-2.0-only */
/* Entry checks on the guest's segment registers. */
#include "hv/host/x86.h"
#include "vmx/check_internal.h"

#define AR_RESERVED_11_8 0xf00u
#define AR_RESERVED_HIGH 0xfffe0000u
#define SEL_RPL		 3u
#define SEL_TI		 4u

#define TYPE_ACCESSED 1u
#define TYPE_WRITABLE 2u /* of data; of code: readable */
#define TYPE_CODE     8u

/* One register; its fields follow from its place in the order of the encodings. */
struct seg {
	u32 sel_field, base_field, limit_field, ar_field;
	u32 sel, limit, ar, type, dpl;
	u64 base;
	bool usable;
};

static struct seg read_seg(const struct vmcs_check *c, enum vmcs_segment i)
{
	struct seg s = {
		.sel_field = SEG_FIELD(GUEST_ES_SELECTOR, i),
		.base_field = SEG_FIELD(GUEST_ES_BASE, i),
		.limit_field = SEG_FIELD(GUEST_ES_LIMIT, i),
		.ar_field = SEG_FIELD(GUEST_ES_AR_BYTES, i),
	};

	s.sel = (u32)vmcs_get(c, s.sel_field);
	s.base = vmcs_get(c, s.base_field);
	s.limit = (u32)vmcs_get(c, s.limit_field);
	s.ar = (u32)vmcs_get(c, s.ar_field);
	s.type = s.ar & AR_TYPE;
	s.dpl = (s.ar & AR_DPL) >> 5;
	s.usable = !(s.ar & AR_UNUSABLE);
	return s;
}

/* Virtual-8086 mode fixes everything but the selector. */
static void check_v8086(struct vmcs_check *c, const struct seg *s)
{
	VMCS_RULE(c, s->base == (u64)s->sel << 4, s->base_field,
		  "in virtual-8086 mode the base must be the selector times 16");
	VMCS_RULE(c, s->limit == 0xffff, s->limit_field,
		  "in virtual-8086 mode the limit must be 0xffff");
	VMCS_RULE(c, s->ar == 0xf3, s->ar_field,
		  "in virtual-8086 mode the access rights must be 0xf3");
}

/* What holds for the access rights of every register that is usable. */
static void check_common_rights(struct vmcs_check *c, const struct seg *s)
{
	bool g = s->ar & AR_G;

	VMCS_RULE(c, s->ar & AR_P, s->ar_field, "a usable segment must be present");
	VMCS_RULE(c, !(s->ar & AR_RESERVED_11_8), s->ar_field, "bits 11:8 must be 0");
	VMCS_RULE(c, !(s->ar & AR_RESERVED_HIGH), s->ar_field, "bits 31:17 must be 0");
	VMCS_RULE(c, !g || (s->limit & 0xfff) == 0xfff, s->ar_field,
		  "G must be 0 when a bit in 11:0 of the limit is 0");
	VMCS_RULE(c, g || !(s->limit >> 20), s->ar_field,
		  "G must be 1 when a bit in 31:20 of the limit is 1");
}

static void check_cs(struct vmcs_check *c, const struct seg *cs, const struct seg *ss)
{
	bool code = (cs->type & (TYPE_CODE | TYPE_ACCESSED)) == (TYPE_CODE | TYPE_ACCESSED);
	bool data = c->unrestricted && cs->type == (TYPE_WRITABLE | TYPE_ACCESSED);
	bool conforming = cs->type & 4;

	VMCS_RULE(c, code || data, cs->ar_field,
		  "CS must be accessed code (unrestricted guest: or type 3)");
	VMCS_RULE(c, cs->usable, cs->ar_field, "CS must be usable");
	VMCS_RULE(c, cs->ar & AR_S, cs->ar_field, "CS must be a code or data segment (S = 1)");
	if (data)
		VMCS_RULE(c, cs->dpl == 0, cs->ar_field, "CS of type 3 must have DPL 0");
	else if (code && !conforming)
		VMCS_RULE(c, cs->dpl == ss->dpl, cs->ar_field,
			  "DPL of a non-conforming CS must equal DPL of SS");
	else if (code)
		VMCS_RULE(c, cs->dpl <= ss->dpl, cs->ar_field,
			  "DPL of a conforming CS must not exceed DPL of SS");
	VMCS_RULE(c, !(c->ia32e && cs->ar & AR_L && cs->ar & AR_DB), cs->ar_field,
		  "64-bit CS (L = 1) must have D/B = 0");
	VMCS_RULE(c, !(cs->base >> 32), cs->base_field, "bits 63:32 of the base must be 0");
	check_common_rights(c, cs);
}

static void check_ss(struct vmcs_check *c, const struct seg *ss, const struct seg *cs)
{
	if (!c->unrestricted) {
		VMCS_RULE(c, (ss->sel & SEL_RPL) == (cs->sel & SEL_RPL), ss->sel_field,
			  "RPL of SS must equal RPL of CS");
		VMCS_RULE(c, ss->dpl == (ss->sel & SEL_RPL), ss->ar_field,
			  "DPL of SS must equal its RPL");
	}
	VMCS_RULE(c, cs->type != (TYPE_WRITABLE | TYPE_ACCESSED) || ss->dpl == 0, ss->ar_field,
		  "DPL of SS must be 0 when CS has type 3");
	VMCS_RULE(c, c->cr0 & CR0_PE || ss->dpl == 0, ss->ar_field,
		  "DPL of SS must be 0 in real mode");
	if (!ss->usable)
		return;
	VMCS_RULE(c, ss->type == 3 || ss->type == 7, ss->ar_field,
		  "SS must be accessed, writable data (type 3 or 7)");
	VMCS_RULE(c, ss->ar & AR_S, ss->ar_field, "SS must be a code or data segment (S = 1)");
	VMCS_RULE(c, !(ss->base >> 32), ss->base_field, "bits 63:32 of the base must be 0");
	check_common_rights(c, ss);
}

/* DS, ES, FS, GS */
static void check_data(struct vmcs_check *c, const struct seg *s, bool base_32)
{
	bool conforming = (s->type & (TYPE_CODE | 4)) == (TYPE_CODE | 4);

	if (!s->usable)
		return;
	VMCS_RULE(c, s->type & TYPE_ACCESSED, s->ar_field, "a usable segment must be accessed");
	VMCS_RULE(c, !(s->type & TYPE_CODE) || s->type & TYPE_WRITABLE, s->ar_field,
		  "code in a data register must be readable");
	VMCS_RULE(c, s->ar & AR_S, s->ar_field,
		  "a data register must hold a code or data segment (S = 1)");
	VMCS_RULE(c, c->unrestricted || conforming || s->dpl >= (s->sel & SEL_RPL), s->ar_field,
		  "DPL must not be below RPL");
	if (base_32)
		VMCS_RULE(c, !(s->base >> 32), s->base_field, "bits 63:32 of the base must be 0");
	check_common_rights(c, s);
}

static void check_tr(struct vmcs_check *c, const struct seg *tr)
{
	VMCS_RULE(c, !(tr->sel & SEL_TI), tr->sel_field, "TI of TR must be 0");
	vmcs_rule_canonical(c, tr->base_field);
	VMCS_RULE(c, tr->usable, tr->ar_field, "TR must be usable");
	VMCS_RULE(c, tr->type == 11 || (tr->type == 3 && !c->ia32e), tr->ar_field,
		  "TR must be a busy TSS (type 11; outside IA-32e mode also 3)");
	VMCS_RULE(c, !(tr->ar & AR_S), tr->ar_field, "TR must be a system segment (S = 0)");
	check_common_rights(c, tr);
}

static void check_ldtr(struct vmcs_check *c, const struct seg *ldtr)
{
	if (!ldtr->usable)
		return;
	VMCS_RULE(c, !(ldtr->sel & SEL_TI), ldtr->sel_field, "TI of LDTR must be 0");
	vmcs_rule_canonical(c, ldtr->base_field);
	VMCS_RULE(c, ldtr->type == 2, ldtr->ar_field, "LDTR must be an LDT (type 2)");
	VMCS_RULE(c, !(ldtr->ar & AR_S), ldtr->ar_field, "LDTR must be a system segment (S = 0)");
	check_common_rights(c, ldtr);
}

void vmcs_check_segments(struct vmcs_check *c)
{
	struct seg s[NR_SEG];

	for (unsigned int i = 0; i < NR_SEG; i++)
		s[i] = read_seg(c, (enum vmcs_segment)i);
	check_tr(c, &s[SEG_TR]);
	check_ldtr(c, &s[SEG_LDTR]);
	if (c->v8086) {
		for (unsigned int i = SEG_ES; i <= SEG_GS; i++)
			check_v8086(c, &s[i]);
		return;
	}
	vmcs_rule_canonical(c, s[SEG_FS].base_field);
	vmcs_rule_canonical(c, s[SEG_GS].base_field);
	check_cs(c, &s[SEG_CS], &s[SEG_SS]);
	check_ss(c, &s[SEG_SS], &s[SEG_CS]);
	check_data(c, &s[SEG_DS], true);
	check_data(c, &s[SEG_ES], true);
	check_data(c, &s[SEG_FS], false);
	check_data(c, &s[SEG_GS], false);
}
