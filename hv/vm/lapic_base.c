/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IA32_APIC_BASE: which mode the local APIC is in, and where its registers are. Source: Intel SDM,
 * "Local APIC Status and Location", "x2APIC State Transitions".
 *
 *	disabled <-> xAPIC -> x2APIC -> disabled
 *
 * A disabled APIC is in the state after RESET. Its address may be changed at any time; it is only
 * used in xAPIC mode.
 */
#include "hv/host/errno.h"
#include "hv/host/x86.h"
#include "hv/vm/apic_page.h"
#include "hv/vm/lapic_internal.h"

#define BASE_MODE (LAPIC_BASE_EN | LAPIC_BASE_EXTD)

static u64 get_base(struct vcpu *vcpu)
{
	return atomic_load_explicit(&vcpu->lapic.base, memory_order_relaxed);
}

static enum lapic_mode mode_of(u64 base)
{
	if (!(base & LAPIC_BASE_EN))
		return LAPIC_DISABLED;
	return base & LAPIC_BASE_EXTD ? LAPIC_X2APIC : LAPIC_XAPIC;
}

static gpa_t address_of(u64 base)
{
	return base & (BIT(vmx_caps.phys_bits) - PAGE_SIZE);
}

static enum vmx_apic_mode vmx_mode_of(u64 base)
{
	switch (mode_of(base)) {
	case LAPIC_X2APIC: return VMX_APIC_MSRS;
	case LAPIC_XAPIC:
		return address_of(base) == LAPIC_DEFAULT_BASE ? VMX_APIC_MEMORY
							      : VMX_APIC_ELSEWHERE;
	default: return VMX_APIC_DISABLED;
	}
}

enum lapic_mode lapic_mode(struct vcpu *vcpu)
{
	return mode_of(get_base(vcpu));
}

bool lapic_covers(struct vcpu *vcpu, gpa_t gpa)
{
	u64 base = atomic_load_explicit(&vcpu->lapic.base, memory_order_acquire);

	return mode_of(base) == LAPIC_XAPIC && address_of(base) == ALIGN_DOWN(gpa, PAGE_SIZE);
}

/* --- what a switch does to the registers ------------------------------------------------------ */

/* A cluster of sixteen, and a bit in it. */
u32 lapic_x2apic_ldr(struct vcpu *vcpu)
{
	return (vcpu->id >> 4) << 16 | 1u << (vcpu->id & 15);
}

/* In x2APIC mode both are given. */
void lapic_set_ids(struct vcpu *vcpu)
{
	struct lapic *l = &vcpu->lapic;
	bool x2 = lapic_is_x2(l);

	reg_set(l, LAPIC_ID, x2 ? vcpu->id : vcpu->id << XAPIC_ID_SHIFT);
	reg_set(l, LAPIC_LDR, x2 ? lapic_x2apic_ldr(vcpu) : 0);
}

/*
 * From xAPIC to x2APIC mode all else stays; the destination in ICR is not one of that mode. DFR is
 * not there, and is found reset when the way has led back through "disabled".
 */
static void convert(struct vcpu *vcpu, enum lapic_mode from, enum lapic_mode to)
{
	struct lapic *l = &vcpu->lapic;

	if (from == to)
		return;
	if (to == LAPIC_DISABLED)
		lapic_reset_registers(vcpu);
	if (to == LAPIC_X2APIC)
		reg_set(l, LAPIC_ICR2, 0);
	lapic_set_ids(vcpu);
}

/* --- the switch ------------------------------------------------------------------------------ */

/* After the new base has been stored. What this CPU has cached of the access page is from a time in
 * which it meant nothing to this vCPU. Its address: see apic_page_allow(). */
static void switch_cpu(struct vcpu *vcpu, enum vmx_apic_mode mode)
{
	vmx_apic_set_mode(&vcpu->vmx, mode);
	if (vmx_apic_uses_page(&vcpu->vmx))
		vmx_apic_flush(&vcpu->vmx);
	lapic_tell_cpu(vcpu);
}

/*
 * The access page is taken away before the vCPU stops virtualizing accesses to it, and comes back
 * after it has started: in between there is nothing there but exits. RAM at another address is
 * taken away once everybody can see that it is covered, and comes back when it is not.
 *
 * Returns 0 or -ETIMEDOUT: a vCPU did not leave the guest.
 */
static int change_base(struct vcpu *vcpu, u64 base)
{
	u64 old = get_base(vcpu);
	enum vmx_apic_mode from = vmx_mode_of(old), to = vmx_mode_of(base);
	bool moved = address_of(old) != address_of(base);
	struct vm *vm = vcpu->vm;
	int err = 0;

	if (from == VMX_APIC_MEMORY && to != VMX_APIC_MEMORY)
		err = apic_page_inhibit(vm);
	if (err)
		return err;
	atomic_store_explicit(&vcpu->lapic.base, base, memory_order_seq_cst);
	convert(vcpu, mode_of(old), mode_of(base));
	if (from != to)
		switch_cpu(vcpu, to);
	if (from == VMX_APIC_ELSEWHERE && (to != from || moved))
		apic_page_uncover(vm, address_of(old));
	if (to == VMX_APIC_ELSEWHERE && (to != from || moved))
		err = apic_page_cover(vm, address_of(base));
	if (to == VMX_APIC_MEMORY && from != VMX_APIC_MEMORY)
		err = apic_page_allow(vm);
	vcpu_cpuid_update(vcpu, vmx_get(&vcpu->vmx, REG_CR4));
	return err;
}

/* Whether there is such a mode; but for the boot processor's bit. */
static bool exists(struct vcpu *vcpu, u64 base)
{
	u64 known = LAPIC_BASE_BSP | BASE_MODE | (BIT(vmx_caps.phys_bits) - PAGE_SIZE);

	if (vcpu->vm->no_x2apic)
		known &= ~LAPIC_BASE_EXTD;
	return !(base & ~known) && (base & BASE_MODE) != LAPIC_BASE_EXTD;
}

static bool may_write(struct vcpu *vcpu, u64 old, u64 v)
{
	if (!exists(vcpu, v))
		return false;
	/* x2APIC mode is entered from xAPIC mode and left only to "disabled". */
	if (mode_of(v) == LAPIC_X2APIC)
		return mode_of(old) != LAPIC_DISABLED;
	return mode_of(v) == LAPIC_DISABLED || mode_of(old) != LAPIC_X2APIC;
}

/* Which vCPU is the boot processor was settled at RESET: the bit stays, whatever is written. */
int lapic_write_base(struct vcpu *vcpu, u64 v)
{
	u64 old = get_base(vcpu);

	if (!may_write(vcpu, old, v))
		return -EFAULT;
	v = (v & ~LAPIC_BASE_BSP) | (old & LAPIC_BASE_BSP);
	if (v == old || !change_base(vcpu, v))
		return 0;
	vcpu_exit_error(vcpu, "a change of the APIC's mode that another vCPU does not let happen");
	return 1;
}

/* --- from another APIC ------------------------------------------------------------------------ */

bool lapic_base_is_valid(struct vcpu *vcpu, u64 base)
{
	return exists(vcpu, base) && !((base ^ get_base(vcpu)) & LAPIC_BASE_BSP);
}

/* By any way, also one that no guest can go. The registers come afterwards. */
int lapic_adopt_base(struct vcpu *vcpu, u64 base)
{
	return base == get_base(vcpu) ? 0 : change_base(vcpu, base);
}

/* --- without firmware ------------------------------------------------------------------------- */

static int start(struct vcpu *vcpu, enum lapic_mode mode)
{
	u64 off = LAPIC_DEFAULT_BASE | (get_base(vcpu) & LAPIC_BASE_BSP), on = off | LAPIC_BASE_EN;
	int err = 0;

	if (lapic_mode(vcpu) == LAPIC_X2APIC && mode == LAPIC_XAPIC)
		err = change_base(vcpu, off);
	if (mode == LAPIC_X2APIC)
		on |= LAPIC_BASE_EXTD;
	if (!err && on != get_base(vcpu))
		err = change_base(vcpu, on);
	if (err)
		return err;
	lapic_mask_all(vcpu);
	reg_set(&vcpu->lapic, LAPIC_SVR, LAPIC_SVR_RESET | LAPIC_SVR_ENABLE);
	return 0;
}

int lapic_start(struct vcpu *vcpu, enum lapic_mode mode)
{
	bool loaded = vcpu->vmx.cpu >= 0;
	int err;

	if (mode == LAPIC_X2APIC && vcpu->vm->no_x2apic)
		return -EOPNOTSUPP;
	err = vmx_load(&vcpu->vmx);
	if (err)
		return err;
	err = start(vcpu, mode);
	if (!loaded)
		vcpu_unload(vcpu);
	return err;
}
