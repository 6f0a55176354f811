/* SPDX-License-Identifier: GPL-2.0-only */
/* See hv/vm/lapic.h. Source: Intel SDM, volume on system programming, chapter on the APIC. */
#include "hv/host/errno.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"

#define APIC_BASE_BSP	  BIT(8)
#define APIC_BASE_EXTD	  BIT(10)
#define APIC_BASE_EN	  BIT(11)
#define APIC_BASE_DEFAULT 0xfee00000ull
#define APIC_VERSION	  0x00050014 /* integrated, six LVT entries */
#define SVR_RESET	  0xff
#define SVR_DEFINED	  0x1ffull /* EOI broadcasts cannot be suppressed: see APIC_VERSION */
/* The delivery status (bit 12) is gone in x2APIC mode, but writing it does no harm. */
#define ICR_RESERVED	  (0xfff00000ull | BIT(17) | BIT(16) | BIT(13))
#define ICR_STATUS	  BIT(12)

enum x2apic_msr {
	X2APIC_ID = 0x802,
	X2APIC_VERSION = 0x803,
	X2APIC_TPR = 0x808,
	X2APIC_PPR = 0x80a,
	X2APIC_EOI = 0x80b,
	X2APIC_LDR = 0x80d,
	X2APIC_SVR = 0x80f,
	X2APIC_ISR = 0x810,
	X2APIC_TMR = 0x818,
	X2APIC_IRR = 0x820,
	X2APIC_ESR = 0x828,
	X2APIC_ICR = 0x830,
	X2APIC_SELF_IPI = 0x83f,
};

enum delivery_mode { DM_FIXED = 0, DM_LOWEST = 1, DM_NMI = 4, DM_INIT = 5, DM_STARTUP = 6 };

void lapic_reset(struct vcpu *vcpu)
{
	struct lapic *l = &vcpu->lapic;

	l->base = APIC_BASE_DEFAULT | APIC_BASE_EN | (vcpu->id ? 0 : APIC_BASE_BSP);
	l->tpr = 0;
	l->svr = SVR_RESET;
	l->icr = 0;
	for (unsigned int i = 0; i < 4; i++) {
		l->isr[i] = 0;
		atomic_store(&l->irr[i], 0);
	}
}

static int highest_bit(const u64 word[4])
{
	for (int i = 3; i >= 0; i--)
		if (word[i])
			return i * 64 + 63 - __builtin_clzll(word[i]);
	return -1;
}

static int highest_irr(struct lapic *l)
{
	for (int i = 3; i >= 0; i--) {
		u64 word = atomic_load_explicit(&l->irr[i], memory_order_acquire);

		if (word)
			return i * 64 + 63 - __builtin_clzll(word);
	}
	return -1;
}

static u8 ppr(struct lapic *l)
{
	int isr = highest_bit(l->isr);

	return isr >= 0 && (isr & 0xf0) > (l->tpr & 0xf0) ? (u8)(isr & 0xf0) : l->tpr;
}

u8 lapic_priority(struct vcpu *vcpu)
{
	return ppr(&vcpu->lapic) & 0xf0;
}

bool lapic_above(struct vcpu *vcpu, u8 priority)
{
	int vector = highest_irr(&vcpu->lapic);

	return vector >= 0 && (vector & 0xf0) > priority;
}

int lapic_highest(struct vcpu *vcpu)
{
	int vector = highest_irr(&vcpu->lapic);

	return vector >= 0 && (vector & 0xf0) > (ppr(&vcpu->lapic) & 0xf0) ? vector : -1;
}

void lapic_accept(struct vcpu *vcpu, u8 vector)
{
	atomic_fetch_and(&vcpu->lapic.irr[vector / 64], ~BIT(vector % 64));
	vcpu->lapic.isr[vector / 64] |= BIT(vector % 64);
}

/* A vector stays in IRR, or a bit in pending, until the vCPU takes it: nothing here can be lost. */
void lapic_post(struct vcpu *vcpu, u8 vector)
{
	atomic_fetch_or(&vcpu->lapic.irr[vector / 64], BIT(vector % 64));
	vcpu_event(vcpu);
}

static void post(struct vcpu *vcpu, u32 what)
{
	atomic_fetch_or(&vcpu->lapic.pending, what);
	vcpu_event(vcpu);
}

void lapic_post_nmi(struct vcpu *vcpu)
{
	post(vcpu, LAPIC_NMI);
}

static void deliver(struct vcpu *to, u64 icr)
{
	u8 vector = (u8)icr;

	switch ((icr >> 8) & 7) {
	case DM_FIXED:
	case DM_LOWEST:
		if (vector >= 16)
			lapic_post(to, vector);
		break;
	case DM_NMI: lapic_post_nmi(to); break;
	case DM_INIT:
		if (icr & BIT(14)) /* de-assert does nothing */
			post(to, LAPIC_INIT);
		break;
	case DM_STARTUP:
		atomic_store(&to->lapic.sipi_page, vector);
		post(to, LAPIC_SIPI);
		break;
	}
}

static bool matches(struct vcpu *to, u64 icr)
{
	u32 dest = (u32)(icr >> 32);

	if (dest == ~0u)
		return true;
	if (!(icr & BIT(11)))
		return dest == to->id;
	/* logical x2APIC: cluster in bits 31:16, a bit per member below */
	return dest >> 16 == to->id >> 4 && (dest & BIT(to->id & 15));
}

static void send(struct vcpu *from, u64 icr)
{
	struct vm *vm = from->vm;
	bool lowest = ((icr >> 8) & 7) == DM_LOWEST;

	for (u32 i = 0; i < vm->nr_vcpus; i++) {
		struct vcpu *to = vm->vcpu[i];

		switch ((icr >> 18) & 3) {
		case 0:
			if (!matches(to, icr))
				continue;
			break;
		case 1:
			if (to != from)
				continue;
			break;
		case 2: break;
		case 3:
			if (to == from)
				continue;
		}
		deliver(to, icr);
		if (lowest)
			return;
	}
}

static void end_of_interrupt(struct vcpu *vcpu)
{
	int isr = highest_bit(vcpu->lapic.isr);

	if (isr >= 0)
		vcpu->lapic.isr[isr / 64] &= ~BIT(isr % 64);
	vcpu_request(vcpu, REQ_EVENT);
}

static int write_base(struct vcpu *vcpu, u64 v)
{
	u64 old = vcpu->lapic.base, mode = APIC_BASE_EN | APIC_BASE_EXTD;
	u64 known = APIC_BASE_BSP | mode | (BIT(vmx_caps.phys_bits) - PAGE_SIZE);

	if (v & ~known)
		return -EFAULT;
	if ((v & mode) == APIC_BASE_EXTD)
		return -EFAULT;
	/* x2APIC mode is entered from xAPIC mode and left only to "disabled". */
	if ((v & APIC_BASE_EXTD) && !(old & APIC_BASE_EN))
		return -EFAULT;
	if ((old & APIC_BASE_EXTD) && (v & mode) == APIC_BASE_EN)
		return -EFAULT;
	vcpu->lapic.base = v;
	return 0;
}

int lapic_read(struct vcpu *vcpu, u32 msr, u64 *v)
{
	struct lapic *l = &vcpu->lapic;

	if (msr == MSR_APIC_BASE) {
		*v = l->base;
		return 0;
	}
	if (!(l->base & APIC_BASE_EXTD))
		return -EFAULT;
	switch (msr) {
	case X2APIC_ID: *v = vcpu->id; return 0;
	case X2APIC_VERSION: *v = APIC_VERSION; return 0;
	case X2APIC_TPR: *v = l->tpr; return 0;
	case X2APIC_PPR: *v = ppr(l); return 0;
	case X2APIC_LDR: *v = (u64)(vcpu->id >> 4) << 16 | BIT(vcpu->id & 15); return 0;
	case X2APIC_SVR: *v = l->svr; return 0;
	case X2APIC_ESR: *v = 0; return 0;
	case X2APIC_ICR: *v = l->icr; return 0;
	case X2APIC_ISR ... X2APIC_ISR + 7:
		*v = (u32)(l->isr[(msr & 7) / 2] >> 32 * (msr & 1));
		return 0;
	case X2APIC_TMR ... X2APIC_TMR + 7: *v = 0; return 0;
	case X2APIC_IRR ... X2APIC_IRR + 7:
		*v = (u32)(atomic_load(&l->irr[(msr & 7) / 2]) >> 32 * (msr & 1));
		return 0;
	default: return -EFAULT;
	}
}

int lapic_write(struct vcpu *vcpu, u32 msr, u64 v)
{
	struct lapic *l = &vcpu->lapic;

	if (msr == MSR_APIC_BASE)
		return write_base(vcpu, v);
	if (!(l->base & APIC_BASE_EXTD))
		return -EFAULT;
	switch (msr) {
	case X2APIC_TPR:
		if (v > 0xff)
			return -EFAULT;
		l->tpr = (u8)v;
		vcpu_request(vcpu, REQ_EVENT);
		return 0;
	case X2APIC_EOI:
		if (v)
			return -EFAULT;
		end_of_interrupt(vcpu);
		return 0;
	case X2APIC_SVR:
		if (v & ~SVR_DEFINED)
			return -EFAULT;
		l->svr = (u32)v;
		return 0;
	case X2APIC_ESR: return v ? -EFAULT : 0;
	case X2APIC_ICR:
		if (v & ICR_RESERVED)
			return -EFAULT;
		l->icr = v & ~ICR_STATUS;
		send(vcpu, v);
		return 0;
	case X2APIC_SELF_IPI:
		if (v > 0xff)
			return -EFAULT;
		deliver(vcpu, v);
		return 0;
	default: return -EFAULT;
	}
}
