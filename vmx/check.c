/* SPDX-License-Identifier: GPL-2.0-only */
/* The entry checks as a whole, and the rules that several fields have in common. */
#include "hv/host/print.h"
#include "hv/host/x86.h"
#include "vmx/check_internal.h"

u64 vmcs_get(const struct vmcs_check *c, u32 field)
{
	if (c->r->guest && (field & VMCS_AREA) == VMCS_AREA_GUEST)
		return c->r->guest[vmcs_guest_index(field)];
	if (!c->r->guest && !vmcs_field_exists(c->caps, field))
		return 0;
	return c->r->read(c->r->ctx, field);
}

void vmcs_violated_value(struct vmcs_check *c, u32 field, const char *rule, u64 value)
{
	c->violations++;
	c->report(c->arg, rule, vmcs_field_name(field), value);
}

void vmcs_violated(struct vmcs_check *c, u32 field, const char *rule)
{
	vmcs_violated_value(c, field, rule, vmcs_get(c, field));
}

/* The address of a 4 KiB structure. */
void vmcs_rule_page(struct vmcs_check *c, u32 field)
{
	u64 pa = vmcs_get(c, field);

	VMCS_RULE(c, IS_ALIGNED(pa, PAGE_SIZE), field, "the address must be 4 KiB aligned");
	VMCS_RULE(c, !(pa & vmcs_beyond_phys(c)), field,
		  "the address must not exceed the physical-address width");
}

void vmcs_rule_canonical(struct vmcs_check *c, u32 field)
{
	s64 high = (s64)vmcs_get(c, field) >> (c->caps->lin_bits - 1);

	VMCS_RULE(c, high == 0 || high == -1, field, "the address must be canonical");
}

void vmcs_rule_pat(struct vmcs_check *c, u32 field)
{
	const u32 types = BIT(0) | BIT(1) | BIT(4) | BIT(5) | BIT(6) | BIT(7);
	u64 pat = vmcs_get(c, field);
	bool ok = true;

	for (unsigned int i = 0; i < 8; i++) {
		u8 type = (u8)(pat >> 8 * i);

		ok = ok && type < 8 && (types & BIT(type));
	}
	VMCS_RULE(c, ok, field, "each byte of PAT must be a memory type (0, 1, 4, 5, 6 or 7)");
}

void vmcs_rule_efer(struct vmcs_check *c, u32 field)
{
	VMCS_RULE(c, !(vmcs_get(c, field) & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)), field,
		  "reserved bits of EFER must be 0");
}

/* With linear-address masking, bits 62:61 turn it on; all others above the width are reserved. */
void vmcs_rule_cr3(struct vmcs_check *c, u32 field)
{
	u64 lam = c->caps->cr4_fixed1 & CR4_BIT_LAM_SUP ? BIT(61) | BIT(62) : 0;

	VMCS_RULE(c, !(vmcs_get(c, field) & vmcs_beyond_phys(c) & ~lam), field,
		  "CR3 must not set bits beyond the physical-address width");
}

/* The control word a field is, or NR_CTL. */
static enum vmx_control_word control_word(u32 field)
{
	switch (field) {
	case PIN_BASED_VM_EXEC_CONTROL: return CTL_PIN;
	case CPU_BASED_VM_EXEC_CONTROL: return CTL_CPU;
	case SECONDARY_VM_EXEC_CONTROL: return CTL_CPU2;
	case VM_EXIT_CONTROLS: return CTL_EXIT;
	case VM_ENTRY_CONTROLS: return CTL_ENTRY;
	default: return NR_CTL;
	}
}

/* One violation for each bit that has the wrong value, with the bit's name for a control word. */
static void wrong_bits(struct vmcs_check *c, u32 field, u64 bits, const char *must)
{
	enum vmx_control_word word = control_word(field);
	char rule[112];

	if (!bits)
		return;
	for (unsigned int bit = 0; bit < 64; bit++) {
		if (!(bits & BIT(bit)))
			continue;
		if (word == NR_CTL)
			fmt_print(rule, sizeof(rule), "bit %u %s", bit, must);
		else
			fmt_print(rule, sizeof(rule), "%s %s", vmx_control_name(word, bit), must);
		vmcs_violated(c, field, rule);
	}
}

void vmcs_rule_fixed(struct vmcs_check *c, u32 field, u64 must_be_1, u64 may_be_1)
{
	u64 v = vmcs_get(c, field);

	VMCS_RULE_WORDS("must be 1 on this CPU");
	wrong_bits(c, field, must_be_1 & ~v, "must be 1 on this CPU");
	VMCS_RULE_WORDS("must be 0 on this CPU");
	wrong_bits(c, field, v & ~may_be_1, "must be 0 on this CPU");
}

static void read_controls(struct vmcs_check *c)
{
	static const u32 fields[NR_CTL] = {
		[CTL_PIN] = PIN_BASED_VM_EXEC_CONTROL,	[CTL_CPU] = CPU_BASED_VM_EXEC_CONTROL,
		[CTL_CPU2] = SECONDARY_VM_EXEC_CONTROL, [CTL_EXIT] = VM_EXIT_CONTROLS,
		[CTL_ENTRY] = VM_ENTRY_CONTROLS,
	};

	for (unsigned int word = 0; word < NR_CTL; word++)
		c->ctl[word] = (u32)vmcs_get(c, fields[word]) & c->caps->ctl[word].may_be_1;
	if (!vmcs_ctl(c, CTL_CPU, CPU_SECONDARY))
		c->ctl[CTL_CPU2] = 0;
}

/* RFLAGS.VM counts as virtual-8086 mode only where it is legal, so that one mistake is one line. */
static void read_guest(struct vmcs_check *c)
{
	u32 event = (u32)vmcs_get(c, VM_ENTRY_INTR_INFO);

	c->cr0 = vmcs_get(c, GUEST_CR0);
	c->cr4 = vmcs_get(c, GUEST_CR4);
	c->rflags = vmcs_get(c, GUEST_RFLAGS);
	c->ia32e = vmcs_ctl(c, CTL_ENTRY, ENTRY_IA32E_GUEST);
	c->unrestricted = vmcs_ctl(c, CTL_CPU2, CPU2_UNRESTRICTED_GUEST);
	c->v8086 = (c->rflags & RFLAGS_VM) && !c->ia32e && (c->cr0 & CR0_PE);
	c->event = event & INTR_INFO_VALID ? event : 0;
}

unsigned int vmcs_check(const struct vmx_caps *caps, const struct vmcs_reader *r,
			enum vmcs_area areas, vmcs_report *report, void *arg)
{
	struct vmcs_check c = { .caps = caps, .r = r, .report = report, .arg = arg };

	read_controls(&c);
	read_guest(&c);
	if (areas & AREA_CONTROLS)
		vmcs_check_controls(&c);
	if (areas & (AREA_CONTROLS | AREA_EVENT))
		vmcs_check_event(&c);
	if (areas & AREA_HOST)
		vmcs_check_host(&c);
	if (areas & AREA_GUEST) {
		vmcs_check_guest(&c);
		vmcs_check_segments(&c);
		vmcs_check_nonregister(&c);
	}
	return c.violations;
}
