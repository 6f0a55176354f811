/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A local APIC's state, out of one and into another (hv/vm/vcpu_state.h). The registers are the
 * same on every rung, and so is what is posted; what the CPU keeps of them besides (the vectors
 * requested and in service, EOI exits, the threshold) follows from them.
 */
#include "hv/vm/lapic_internal.h"
#include "hv/vm/vcpu_state.h"

#define ALL_PENDING (LAPIC_NMI | LAPIC_INIT | LAPIC_SIPI | LAPIC_NMI_TWICE)
#define NO_VECTORS  0xffffu /* below 16 there are none */

/* The level of a vector is stored before it is posted. */
void lapic_get_state(struct vcpu *vcpu, struct lapic_state *s)
{
	struct lapic *l = &vcpu->lapic;

	s->base = atomic_load_explicit(&l->base, memory_order_relaxed);
	s->pending = atomic_load(&l->pending);
	s->sipi_page = atomic_load(&l->sipi_page);
	for (unsigned int i = 0; i < ARRAY_SIZE(s->posted); i++) {
		s->posted[i] = atomic_load(&l->posted[i]);
		s->level[i] = atomic_load(&l->level[i]);
	}
	s->errors = atomic_load(&l->errors);
	s->chosen = atomic_load(&l->chosen);
	for (unsigned int n = 0; n < NR_LAPIC_REGS; n++)
		s->reg[n] = reg_get(l, n * 16);
	/* Those that cannot be read hold nothing, whatever the CPU has stored there. */
	s->reg[LAPIC_EOI / 16] = s->reg[LAPIC_SELF_IPI / 16] = 0;
	s->reg[LAPIC_TPR / 16] &= 0xff;
	s->icr_high = reg_get(l, LAPIC_ICR + 4);
	s->unused = 0;
	lapic_timer_get_state(vcpu, s);
}

static const char *check_vectors(const struct lapic_state *s)
{
	u32 low = s->reg[LAPIC_ISR / 16] | s->reg[LAPIC_TMR / 16] | s->reg[LAPIC_IRR / 16];

	return (low | s->posted[0] | s->level[0]) & NO_VECTORS ? "an interrupt below vector 16"
							       : NULL;
}

/* In x2APIC mode they are given. */
static bool ids_are_right(struct vcpu *vcpu, const struct lapic_state *s)
{
	u32 id = s->reg[LAPIC_ID / 16], ldr = s->reg[LAPIC_LDR / 16];

	if (s->base & LAPIC_BASE_EXTD)
		return id == vcpu->id && ldr == lapic_x2apic_ldr(vcpu) && !s->reg[LAPIC_ICR2 / 16];
	return !((id | ldr) & (BIT(XAPIC_ID_SHIFT) - 1)) && !s->icr_high;
}

const char *lapic_check_state(struct vcpu *vcpu, const struct lapic_state *s)
{
	const char *bad = check_vectors(s);

	if (bad)
		return bad;
	if (!lapic_base_is_valid(vcpu, s->base))
		return "IA32_APIC_BASE is one that this guest cannot have";
	if (!lapic_registers_may_be(s->reg))
		return "reserved bits of an APIC register";
	if (!ids_are_right(vcpu, s))
		return "the ID, LDR or ICR of another APIC or of another mode";
	if ((s->pending & ~ALL_PENDING) ||
	    (s->pending & (LAPIC_NMI | LAPIC_NMI_TWICE)) == LAPIC_NMI_TWICE)
		return "a pending event of the local APIC that does not exist";
	if (s->sipi_page > 0xff || (s->errors & ~LAPIC_ERRORS) || s->unused)
		return "reserved bits of the local APIC's state";
	return lapic_timer_check_state(s);
}

/* The base has been taken over already; the guest's TSC too. */
void lapic_set_state(struct vcpu *vcpu, const struct lapic_state *s)
{
	struct lapic *l = &vcpu->lapic;

	for (unsigned int n = 0; n < NR_LAPIC_REGS; n++)
		reg_set(l, n * 16, s->reg[n]);
	reg_set(l, LAPIC_ICR + 4, s->icr_high);
	for (unsigned int i = 0; i < ARRAY_SIZE(s->posted); i++) {
		atomic_store(&l->level[i], s->level[i]);
		atomic_store(&l->posted[i], s->posted[i]);
	}
	atomic_store(&l->errors, s->errors);
	atomic_store(&l->chosen, s->chosen);
	atomic_store(&l->sipi_page, s->sipi_page);
	atomic_store(&l->pending, s->pending);
	if (!lapic_is_x2(l) && s->reg[LAPIC_ID / 16] != vcpu->id << XAPIC_ID_SHIFT)
		atomic_store(&vcpu->vm->apic_ids_changed, true);
	if (!vmx_apic_delivers(&vcpu->vmx) && vcpu->vm->apic_rung >= VMX_APIC_TPR)
		vmx_apic_set_threshold(&vcpu->vmx, 0);
	lapic_timer_set_state(vcpu, s);
	lapic_tell_cpu(vcpu);
}
