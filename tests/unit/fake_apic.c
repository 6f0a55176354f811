/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * APIC virtualization for fake_vmx.c: the calls of vmx/vmx.h, and what a CPU with virtual-interrupt
 * delivery does to the virtual-APIC page. The ladder itself is the real one (vmx/apic_rungs.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/percpu.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "tests/unit/fake_vmx.h"
#include "vmx/apic_rungs.h"
#include "vmx/controls.h"

enum { TPR = 0x80, PPR = 0xa0, ISR = 0x100, IRR = 0x200 };

void fake_set_apic_best(enum vmx_apic_rung rung)
{
	vmx_caps.ctl[CTL_CPU].may_be_1 = vmx_apic_controls(CTL_CPU, rung);
	vmx_caps.ctl[CTL_CPU2].may_be_1 = vmx_apic_controls(CTL_CPU2, rung);
}

static struct fake_vcpu *loaded(struct vmx_vcpu *v)
{
	if (!vmx_is_loaded(v))
		fail_msg("vCPU %u is used on a CPU that has not loaded it", v->vpid);
	return v->vmcs;
}

static struct fake_vcpu *delivering(struct vmx_vcpu *v)
{
	if (!vmx_apic_delivers(v))
		fail_msg("vCPU %u has no virtual-interrupt delivery", v->vpid);
	return loaded(v);
}

/* --- the calls ------------------------------------------------------------------------------- */

void vmx_apic_init(struct vmx_vcpu *v, enum vmx_apic_rung rung, u8 *regs)
{
	struct fake_vcpu *f = loaded(v);

	assert_in_range(rung, VMX_APIC_EMULATE, vmx_apic_best());
	assert_int_equal((uintptr_t)regs % PAGE_SIZE, 0);
	assert_null(v->apic_regs);
	v->apic_rung = (u8)rung;
	v->apic_mode = VMX_APIC_MEMORY;
	v->apic_regs = regs;
	v->cpu2_controls = vmx_apic_mode_controls(rung, VMX_APIC_MEMORY);
	f->apic.owes_flush = vmx_apic_uses_page(v);
}

void vmx_apic_set_mode(struct vmx_vcpu *v, enum vmx_apic_mode mode)
{
	struct fake_vcpu *f = loaded(v);
	bool used = vmx_apic_uses_page(v);

	assert_non_null(v->apic_regs);
	v->apic_mode = (u8)mode;
	v->tpr_threshold = 0;
	v->cpu2_controls = vmx_apic_mode_controls(v->apic_rung, mode);
	f->apic.modes++;
	if (vmx_apic_uses_page(v) && !used)
		f->apic.owes_flush = true;
}

void vmx_apic_set_page(struct vmx_vcpu *v, hpa_t hpa)
{
	struct fake_vcpu *f = loaded(v);

	if (v->apic_rung < VMX_APIC_ACCESS)
		fail_msg("vCPU %u has no APIC-access address", v->vpid);
	assert_int_equal(hpa % PAGE_SIZE, 0);
	f->apic.page = hpa;
	f->apic.pages++;
}

hpa_t vmx_apic_get_page(struct vmx_vcpu *v)
{
	return loaded(v)->apic.page;
}

void vmx_apic_flush(struct vmx_vcpu *v)
{
	struct fake_vcpu *f = loaded(v);

	v->flushed_gen = atomic_load(v->flush_gen);
	f->apic.flushes++;
	f->apic.owes_flush = false;
}

void vmx_apic_set_threshold(struct vmx_vcpu *v, u8 threshold)
{
	loaded(v);
	assert_in_range(threshold, 0, 15);
	if (v->apic_rung < VMX_APIC_TPR || vmx_apic_delivers(v))
		fail_msg("vCPU %u has no TPR threshold", v->vpid);
	v->tpr_threshold = threshold;
}

void vmx_apic_set_requested(struct vmx_vcpu *v, u8 vector)
{
	delivering(v)->apic.requested = vector;
}

void vmx_apic_set_in_service(struct vmx_vcpu *v, u8 vector)
{
	delivering(v)->apic.in_service = vector;
}

void vmx_apic_set_eoi_exits(struct vmx_vcpu *v, const u64 vectors[4])
{
	memcpy(delivering(v)->apic.eoi_exits, vectors, sizeof(u64[4]));
}

/* --- what the CPU does ----------------------------------------------------------------------- */

static u8 *vector_byte(struct vmx_vcpu *v, unsigned int array, u8 vector)
{
	return &v->apic_regs[array + vector / 32 * 16 + vector % 32 / 8];
}

/* 0: none. */
static u8 highest(struct vmx_vcpu *v, unsigned int array)
{
	unsigned int vector = 255;

	while (vector && !(*vector_byte(v, array, (u8)vector) & 1u << vector % 8))
		vector--;
	return (u8)vector;
}

static void update_ppr(struct vmx_vcpu *v, u8 in_service)
{
	u8 tpr = v->apic_regs[TPR];

	v->apic_regs[PPR] = tpr >> 4 >= in_service >> 4 ? tpr : in_service & 0xf0;
}

/* Virtual-interrupt delivery, if there is one to deliver. */
static void evaluate(struct vmx_vcpu *v)
{
	struct fake_vcpu *f = v->vmcs;
	u8 vector = f->apic.requested;

	if (vector >> 4 <= v->apic_regs[PPR] >> 4 || f->shadow || !(f->reg[REG_RFLAGS] & RFLAGS_IF))
		return;
	if (f->intr_window || (f->nmi_window && !f->nmi_blocked))
		return; /* their exits come first */
	*vector_byte(v, IRR, vector) &= (u8) ~(1u << vector % 8);
	*vector_byte(v, ISR, vector) |= (u8)(1u << vector % 8);
	f->apic.in_service = vector;
	f->apic.requested = highest(v, IRR);
	v->apic_regs[PPR] = vector & 0xf0;
	f->reg[REG_RFLAGS] &= ~RFLAGS_IF;
	assert_in_range(f->nr_delivered, 0, FAKE_EVENTS - 1);
	f->delivered[f->nr_delivered++] =
		(struct vm_event){ .vector = vector, .type = EVENT_EXTERNAL };
}

/* The CPU takes RVI and SVI as they are; what they have to be follows from the page. */
static void enter_delivering(struct vmx_vcpu *v, struct fake_vcpu *f)
{
	if (f->apic.requested != highest(v, IRR))
		fail_msg("vCPU %u is entered with RVI %u, in IRR is %u", v->vpid, f->apic.requested,
			 highest(v, IRR));
	if (f->apic.in_service != highest(v, ISR))
		fail_msg("vCPU %u is entered with SVI %u, in ISR is %u", v->vpid,
			 f->apic.in_service, highest(v, ISR));
	update_ppr(v, f->apic.in_service);
	evaluate(v);
}

bool fake_apic_entry(struct vmx_vcpu *v)
{
	struct fake_vcpu *f = loaded(v);

	if (!v->apic_regs)
		return true;
	if (f->apic.owes_flush)
		fail_msg("vCPU %u is entered without a flush since its access page is in use",
			 v->vpid);
	if (vmx_apic_delivers(v)) {
		enter_delivering(v, f);
		return true;
	}
	if (v->apic_rung < VMX_APIC_TPR || v->tpr_threshold <= v->apic_regs[TPR] >> 4)
		return true;
	if (!vmx_apic_uses_page(v))
		fail_msg("vCPU %u: the CPU refuses a TPR threshold above the TPR", v->vpid);
	return false;
}

bool fake_guest_tpr(struct vcpu *vcpu, u8 tpr)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	struct fake_vcpu *f = loaded(v);

	if (v->apic_rung < VMX_APIC_TPR)
		fail_msg("vCPU %u has no TPR shadow", v->vpid);
	v->apic_regs[TPR] = tpr;
	if (!vmx_apic_delivers(v))
		return tpr >> 4 < v->tpr_threshold;
	update_ppr(v, f->apic.in_service);
	evaluate(v);
	return false;
}

bool fake_guest_eoi(struct vcpu *vcpu, u8 *vector)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	struct fake_vcpu *f = delivering(v);
	u8 ended = f->apic.in_service;

	*vector_byte(v, ISR, ended) &= (u8) ~(1u << ended % 8);
	f->apic.in_service = highest(v, ISR);
	update_ppr(v, f->apic.in_service);
	*vector = ended;
	if (f->apic.eoi_exits[ended / 64] & BIT(ended % 64))
		return true;
	evaluate(v);
	return false;
}

void fake_guest_self_ipi(struct vcpu *vcpu, u8 vector)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	struct fake_vcpu *f = delivering(v);

	*vector_byte(v, IRR, vector) |= (u8)(1u << vector % 8);
	if (vector > f->apic.requested)
		f->apic.requested = vector;
	evaluate(v);
}
