/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading and writing the local APIC's registers: as memory, as MSRs, and after the CPU has written
 * one itself. One table says what there is in which mode; what writing does is the same in all.
 */
#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "hv/vm/lapic_internal.h"

enum reg_access {
	NONE = 0,
	READ = 1,
	WRITE = 2,
	BOTH = READ | WRITE,
	OLD = 4, /* xAPIC mode: gone, but looking for it is not an error */
};

/*
 * Bits that are in neither set are reserved: a write as memory leaves them alone, a write as MSR is
 * a #GP. EOI and ESR take nothing; as memory they may be written with anything.
 */
static const struct reg {
	u32 written;   /* by the guest */
	u16 read_only; /* a write of them is ignored: delivery status, remote IRR */
	u8 xapic, x2apic;
} regs[NR_LAPIC_REGS] = {
	[LAPIC_ID / 16] = { 0xff000000, 0, BOTH, READ },
	[LAPIC_VERSION / 16] = { 0, 0, READ, READ },
	[LAPIC_TPR / 16] = { 0xff, 0, BOTH, BOTH },
	[LAPIC_APR / 16] = { 0, 0, OLD, NONE },
	[LAPIC_PPR / 16] = { 0, 0, READ, READ },
	[LAPIC_EOI / 16] = { 0, 0, BOTH, WRITE },
	[0xc0 / 16] = { 0, 0, OLD, NONE }, /* remote read */
	[LAPIC_LDR / 16] = { 0xff000000, 0, BOTH, READ },
	[LAPIC_DFR / 16] = { 0xf0000000, 0, BOTH, NONE },
	[LAPIC_SVR / 16] = { 0x1ff, 0, BOTH, BOTH },
	[LAPIC_ISR / 16 ... LAPIC_ESR / 16 - 1] = { 0, 0, READ, READ },
	[LAPIC_ESR / 16] = { 0, 0, BOTH, BOTH },
	[LAPIC_ICR / 16] = { 0xccfff, ICR_STATUS, BOTH, BOTH },
	[LAPIC_ICR2 / 16] = { 0xff000000, 0, BOTH, NONE },
	[LAPIC_LVT_TIMER / 16] = { 0x700ff, 0x1000, BOTH, BOTH },
	[LAPIC_LVT_THERMAL / 16] = { 0x107ff, 0x1000, BOTH, BOTH },
	[LAPIC_LVT_PMC / 16] = { 0x107ff, 0x1000, BOTH, BOTH },
	[LAPIC_LVT_LINT0 / 16] = { 0x1a7ff, 0x5000, BOTH, BOTH },
	[LAPIC_LVT_LINT1 / 16] = { 0x1a7ff, 0x5000, BOTH, BOTH },
	[LAPIC_LVT_ERROR / 16] = { 0x100ff, 0x1000, BOTH, BOTH },
	[LAPIC_TIMER_INITIAL / 16] = { ~0u, 0, BOTH, BOTH },
	[LAPIC_TIMER_CURRENT / 16] = { 0, 0, READ, READ },
	[LAPIC_TIMER_DIVIDE / 16] = { 0xb, 0, BOTH, BOTH },
	[LAPIC_SELF_IPI / 16] = { 0xff, 0, NONE, WRITE },
};

/* Whether bits can be set that no guest can write: by the CPU or by us. */
static bool may_be(unsigned int offset, u32 v)
{
	switch (offset) {
	case LAPIC_ID: /* in x2APIC mode these two are given */
	case LAPIC_LDR: return true;
	case LAPIC_VERSION: return v == LAPIC_VERSION_VALUE;
	case LAPIC_PPR: return v <= 0xff;
	case LAPIC_DFR: return (v & XAPIC_DFR_ONES) == XAPIC_DFR_ONES;
	case LAPIC_ESR: return !(v & ~LAPIC_ERRORS);
	default: return false;
	}
}

/* The arrays of vectors are anything. */
bool lapic_registers_may_be(const u32 reg[NR_LAPIC_REGS])
{
	for (unsigned int n = 0; n < NR_LAPIC_REGS; n++) {
		if (n == LAPIC_ISR / 16)
			n = LAPIC_ESR / 16;
		if (reg[n] & ~(regs[n].written | regs[n].read_only) && !may_be(n * 16, reg[n]))
			return false;
	}
	return reg[LAPIC_VERSION / 16] && reg[LAPIC_DFR / 16] && !reg[LAPIC_SELF_IPI / 16];
}

/* --- what writing does ------------------------------------------------------------------------ */

/* The entries of a disabled APIC are masked and cannot be unmasked. */
static void write_lvt(struct vcpu *vcpu, unsigned int offset, u32 v)
{
	struct lapic *l = &vcpu->lapic;

	if (!lapic_is_enabled(l))
		v |= LAPIC_LVT_MASKED;
	if (offset == LAPIC_LVT_TIMER)
		lapic_timer_write_lvt(vcpu, v);
	else
		reg_set(l, offset, v);
}

void lapic_mask_all(struct vcpu *vcpu)
{
	struct lapic *l = &vcpu->lapic;

	for (unsigned int o = LAPIC_LVT_TIMER; o <= LAPIC_LVT_ERROR; o += 16)
		write_lvt(vcpu, o, reg_get(l, o) | LAPIC_LVT_MASKED);
}

static void write_svr(struct vcpu *vcpu, u32 v)
{
	reg_set(&vcpu->lapic, LAPIC_SVR, v);
	if (!(v & LAPIC_SVR_ENABLE))
		lapic_mask_all(vcpu);
}

/* The errors found since the last write can be read from now on. */
static void write_esr(struct lapic *l)
{
	reg_set(l, LAPIC_ESR, atomic_exchange(&l->errors, 0));
}

static void write_id(struct vcpu *vcpu, u32 v)
{
	reg_set(&vcpu->lapic, LAPIC_ID, v);
	if (v >> XAPIC_ID_SHIFT != vcpu->id)
		atomic_store(&vcpu->vm->apic_ids_changed, true);
}

/* In the format of xAPIC mode. */
static void write_icr(struct vcpu *vcpu, u32 v)
{
	struct lapic *l = &vcpu->lapic;

	reg_set(l, LAPIC_ICR, v);
	lapic_send(vcpu, (u64)(reg_get(l, LAPIC_ICR2) >> XAPIC_ID_SHIFT) << 32 | v);
}

/* A register that can be written in the present mode. 0, or 1 as lapic_write(). */
static int write_reg(struct vcpu *vcpu, unsigned int offset, u32 v)
{
	struct lapic *l = &vcpu->lapic;

	v &= regs[offset / 16].written;
	switch (offset) {
	case LAPIC_ID: write_id(vcpu, v); return 0;
	case LAPIC_TPR: lapic_set_tpr(vcpu, (u8)v); return 0;
	case LAPIC_EOI: return lapic_end_of_interrupt(vcpu);
	case LAPIC_DFR: reg_set(l, offset, v | XAPIC_DFR_ONES); return 0;
	case LAPIC_SVR: write_svr(vcpu, v); return 0;
	case LAPIC_ESR: write_esr(l); return 0;
	case LAPIC_ICR: write_icr(vcpu, v); return 0;
	case LAPIC_LVT_TIMER ... LAPIC_LVT_ERROR: write_lvt(vcpu, offset, v); return 0;
	case LAPIC_TIMER_INITIAL: lapic_timer_write_initial(vcpu, v); return 0;
	case LAPIC_TIMER_DIVIDE: lapic_timer_write_divide(vcpu, v); return 0;
	case LAPIC_SELF_IPI: lapic_send(vcpu, ICR_SELF | v); return 0;
	default: reg_set(l, offset, v); return 0; /* LDR, ICR2 */
	}
}

static u32 read_reg(struct vcpu *vcpu, unsigned int offset)
{
	switch (offset) {
	case LAPIC_PPR: return lapic_ppr(vcpu);
	case LAPIC_TIMER_CURRENT: return lapic_timer_current(vcpu);
	case LAPIC_IRR ... LAPIC_ESR - 1: lapic_sync(vcpu); break;
	}
	return reg_get(&vcpu->lapic, offset);
}

/* --- as MSRs --------------------------------------------------------------------------------- */

static bool x2apic_has(struct vcpu *vcpu, u32 n, enum reg_access access)
{
	return n < NR_LAPIC_REGS && lapic_is_x2(&vcpu->lapic) && (regs[n].x2apic & access);
}

static int read_x2apic(struct vcpu *vcpu, u32 msr, u64 *v)
{
	u32 n = msr - X2APIC_MSR_FIRST, offset = n * 16;

	if (!x2apic_has(vcpu, n, READ))
		return -EFAULT;
	*v = read_reg(vcpu, offset);
	if (offset == LAPIC_ICR)
		*v |= (u64)reg_get(&vcpu->lapic, LAPIC_ICR + 4) << 32;
	return 0;
}

/* Software that knows the other mode writes the delivery status too. */
static int write_x2apic_icr(struct vcpu *vcpu, u64 v)
{
	const struct reg *r = &regs[LAPIC_ICR / 16];
	struct lapic *l = &vcpu->lapic;

	if ((u32)v & ~(r->written | r->read_only))
		return -EFAULT;
	v &= ~ICR_STATUS;
	reg_set(l, LAPIC_ICR, (u32)v);
	reg_set(l, LAPIC_ICR + 4, (u32)(v >> 32));
	lapic_send(vcpu, v);
	return 0;
}

/* What every interrupt needs comes first. */
static int write_x2apic(struct vcpu *vcpu, u32 msr, u64 v)
{
	u32 n = msr - X2APIC_MSR_FIRST;

	if (unlikely(!x2apic_has(vcpu, n, WRITE)))
		return -EFAULT;
	if (n == LAPIC_ICR / 16)
		return write_x2apic_icr(vcpu, v);
	if (unlikely(v & ~(u64)(regs[n].written | regs[n].read_only)))
		return -EFAULT;
	if (n == LAPIC_EOI / 16)
		return lapic_end_of_interrupt(vcpu);
	return write_reg(vcpu, n * 16, (u32)v);
}

int lapic_read(struct vcpu *vcpu, u32 msr, u64 *v)
{
	switch (msr) {
	case MSR_APIC_BASE:
		*v = atomic_load_explicit(&vcpu->lapic.base, memory_order_relaxed);
		return 0;
	case MSR_TSC_DEADLINE: *v = lapic_timer_read_deadline(vcpu); return 0;
	default: return read_x2apic(vcpu, msr, v);
	}
}

int lapic_write(struct vcpu *vcpu, u32 msr, u64 v)
{
	if (likely(msr - X2APIC_MSR_FIRST < NR_LAPIC_REGS))
		return write_x2apic(vcpu, msr, v);
	switch (msr) {
	case MSR_APIC_BASE: return lapic_write_base(vcpu, v);
	case MSR_TSC_DEADLINE: lapic_timer_write_deadline(vcpu, v); return 0;
	default: return -EFAULT;
	}
}

/* --- as memory ------------------------------------------------------------------------------- */

/* Whether the register can be accessed in this way; noted if it does not exist. */
static bool xapic_has(struct vcpu *vcpu, unsigned int offset, enum reg_access access)
{
	u8 has = offset / 16 < NR_LAPIC_REGS ? regs[offset / 16].xapic : NONE;

	if (!has)
		lapic_error(vcpu, ESR_REGISTER);
	return has & access;
}

static u32 read_xapic(struct vcpu *vcpu, unsigned int offset)
{
	return xapic_has(vcpu, offset, READ) ? read_reg(vcpu, offset) : 0;
}

/* Every register is the first four of sixteen bytes; the others read as 0. */
void lapic_mmio_read(struct vcpu *vcpu, u16 offset, unsigned int size, u8 *data)
{
	u32 value = 0;

	if (likely(size == 4 && offset % 16 == 0)) {
		value = read_xapic(vcpu, offset);
		memcpy(data, &value, sizeof(value));
		return;
	}
	for (unsigned int i = 0; i < size; i++) {
		unsigned int at = offset + i, byte = at % 16;

		if (byte < 4 && (!i || !byte))
			value = read_xapic(vcpu, at - byte);
		data[i] = byte < 4 ? (u8)(value >> byte * 8) : 0;
	}
}

/* Of the 32-bit words of one access at most one is a register. */
int lapic_mmio_write(struct vcpu *vcpu, u16 offset, unsigned int size, const u8 *data)
{
	unsigned int at = ALIGN_UP(offset, 16u);
	u32 v;

	if (offset % 4 || at + 4 > offset + size)
		return 0;
	data += at - offset;
	v = (u32)data[0] | (u32)data[1] << 8 | (u32)data[2] << 16 | (u32)data[3] << 24;
	return xapic_has(vcpu, at, WRITE) ? write_reg(vcpu, at, v) : 0;
}

/* --- after the CPU's own write ---------------------------------------------------------------- */

/*
 * The page has the guest's value, reserved bits and all; only what was written, which may be a
 * single byte, is not the register as it was. Registers that cannot be read show nothing.
 */
int lapic_written(struct vcpu *vcpu, u16 offset)
{
	struct lapic *l = &vcpu->lapic;
	unsigned int reg = ALIGN_DOWN(offset, 16u);
	u32 v = reg_get(l, reg);
	u8 has = lapic_is_x2(l) ? regs[reg / 16].x2apic : regs[reg / 16].xapic;

	if (reg == LAPIC_EOI || reg == LAPIC_SELF_IPI)
		reg_set(l, reg, 0);
	return has & WRITE ? write_reg(vcpu, reg, v) : 0;
}
