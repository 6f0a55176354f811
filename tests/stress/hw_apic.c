/* SPDX-License-Identifier: GPL-2.0-only */
/* See hw.h. APIC virtualization: the calls of vmx/vmx.h, and what a CPU does by itself. */
#include <string.h>

#include "hv/host/x86.h"
#include "tests/stress/hw_internal.h"
#include "tests/stress/stress.h"
#include "vmx/apic_rungs.h"
#include "vmx/controls.h"

enum { TPR = 0x80, PPR = 0xa0, ISR = 0x100, IRR = 0x200 };
enum { MSR_X2APIC_TPR = 0x808, MSR_X2APIC_EOI = 0x80b };

void hw_set_apic(enum vmx_apic_rung rung)
{
	vmx_caps.ctl[CTL_CPU].may_be_1 = vmx_apic_controls(CTL_CPU, rung);
	vmx_caps.ctl[CTL_CPU2].may_be_1 = vmx_apic_controls(CTL_CPU2, rung);
}

static struct hw_vcpu *loaded(struct vmx_vcpu *v)
{
	stress_check(vmx_is_loaded(v), "a vCPU is used on a CPU that has not loaded it");
	return v->vmcs;
}

static struct hw_vcpu *delivering(struct vmx_vcpu *v)
{
	stress_check(vmx_apic_delivers(v), "vCPU %u has no virtual-interrupt delivery", v->vpid);
	return loaded(v);
}

/* --- the calls ------------------------------------------------------------------------------- */

void vmx_apic_init(struct vmx_vcpu *v, enum vmx_apic_rung rung, u8 *regs)
{
	loaded(v);
	stress_check(rung <= vmx_apic_best(), "the machine has no rung %u", rung);
	v->apic_rung = (u8)rung;
	v->apic_mode = VMX_APIC_MEMORY;
	v->apic_regs = regs;
	v->cpu2_controls = vmx_apic_mode_controls(rung, VMX_APIC_MEMORY);
}

void vmx_apic_set_mode(struct vmx_vcpu *v, enum vmx_apic_mode mode)
{
	loaded(v);
	v->apic_mode = (u8)mode;
	v->tpr_threshold = 0;
	v->cpu2_controls = vmx_apic_mode_controls(v->apic_rung, mode);
}

void vmx_apic_set_page(struct vmx_vcpu *v, hpa_t hpa)
{
	struct hw_vcpu *h = loaded(v);

	stress_check(v->apic_rung >= VMX_APIC_ACCESS, "vCPU %u has no APIC-access address",
		     v->vpid);
	h->apic_page = hpa;
}

hpa_t vmx_apic_get_page(struct vmx_vcpu *v)
{
	return loaded(v)->apic_page;
}

void vmx_apic_flush(struct vmx_vcpu *v)
{
	struct hw_vcpu *h = loaded(v);

	h->apic_flushes++;
	hw_flush(h);
}

void vmx_apic_set_threshold(struct vmx_vcpu *v, u8 threshold)
{
	loaded(v);
	stress_check(v->apic_rung >= VMX_APIC_TPR && !vmx_apic_delivers(v),
		     "vCPU %u has no TPR threshold", v->vpid);
	v->tpr_threshold = threshold;
}

void vmx_apic_set_requested(struct vmx_vcpu *v, u8 vector)
{
	delivering(v)->requested = vector;
}

void vmx_apic_set_in_service(struct vmx_vcpu *v, u8 vector)
{
	delivering(v)->in_service = vector;
}

void vmx_apic_set_eoi_exits(struct vmx_vcpu *v, const u64 vectors[4])
{
	memcpy(delivering(v)->eoi_exits, vectors, sizeof(u64[4]));
}

/* --- what the CPU does ----------------------------------------------------------------------- */

/*
 * Other threads look at the page while the guest runs (lapic_above()), so all accesses are atomic,
 * as a CPU's are.
 */
static u8 get(struct hw_vcpu *h, unsigned int offset)
{
	return __atomic_load_n(&h->vmx->apic_regs[offset], __ATOMIC_RELAXED);
}

static void set(struct hw_vcpu *h, unsigned int offset, u8 value)
{
	__atomic_store_n(&h->vmx->apic_regs[offset], value, __ATOMIC_RELAXED);
}

static unsigned int vector_offset(unsigned int array, u8 vector)
{
	return array + vector / 32 * 16u + vector % 32 / 8u;
}

static bool has_vector(struct hw_vcpu *h, unsigned int array, u8 vector)
{
	return get(h, vector_offset(array, vector)) & 1u << vector % 8;
}

static void change_vector(struct hw_vcpu *h, unsigned int array, u8 vector, bool on)
{
	unsigned int offset = vector_offset(array, vector);
	u8 bit = (u8)(1u << vector % 8), others = get(h, offset) & (u8)~bit;

	set(h, offset, on ? others | bit : others);
}

static u8 highest(struct hw_vcpu *h, unsigned int array)
{
	unsigned int vector = 255;

	while (vector && !has_vector(h, array, (u8)vector))
		vector--;
	return (u8)vector;
}

static void update_ppr(struct hw_vcpu *h)
{
	u8 tpr = get(h, TPR);

	set(h, PPR, tpr >> 4 >= h->in_service >> 4 ? tpr : h->in_service & 0xf0);
}

bool hw_apic_entry(struct hw_vcpu *h)
{
	struct vmx_vcpu *v = h->vmx;

	if (!v->apic_regs)
		return true;
	if (vmx_apic_delivers(v)) {
		stress_check(h->requested == highest(h, IRR),
			     "vCPU %u is entered with RVI %u, in IRR is %u", v->vpid, h->requested,
			     highest(h, IRR));
		stress_check(h->in_service == highest(h, ISR),
			     "vCPU %u is entered with SVI %u, in ISR is %u", v->vpid, h->in_service,
			     highest(h, ISR));
		update_ppr(h);
		return true;
	}
	if (v->apic_rung < VMX_APIC_TPR || v->tpr_threshold <= get(h, TPR) >> 4)
		return true;
	stress_check(vmx_apic_uses_page(v), "vCPU %u: the CPU refuses a threshold above the TPR",
		     v->vpid);
	return false;
}

u8 hw_apic_deliver(struct hw_vcpu *h)
{
	u8 vector = h->requested;

	if (!h->vmx->apic_regs || !vmx_apic_delivers(h->vmx) || vector >> 4 <= get(h, PPR) >> 4 ||
	    !(h->reg[REG_RFLAGS] & RFLAGS_IF))
		return 0;
	change_vector(h, IRR, vector, false);
	change_vector(h, ISR, vector, true);
	h->in_service = vector;
	h->requested = highest(h, IRR);
	set(h, PPR, vector & 0xf0);
	return vector;
}

int hw_eoi(struct hw_vcpu *h)
{
	u8 ended = h->in_service;

	if (!(h->vmx->cpu2_controls & CPU2_X2APIC))
		return hw_wrmsr(h, MSR_X2APIC_EOI, 0);
	change_vector(h, ISR, ended, false);
	h->in_service = highest(h, ISR);
	update_ppr(h);
	if (!(h->eoi_exits[ended / 64] & BIT(ended % 64)))
		return HW_GOES_ON;
	h->vmx->exit.vector = ended;
	return VM_EXIT_EOI;
}

int hw_tpr(struct hw_vcpu *h, u8 tpr)
{
	if (h->vmx->apic_rung < VMX_APIC_TPR)
		return hw_wrmsr(h, MSR_X2APIC_TPR, tpr);
	set(h, TPR, tpr);
	if (!vmx_apic_delivers(h->vmx))
		return tpr >> 4 < h->vmx->tpr_threshold ? VM_EXIT_TPR : HW_GOES_ON;
	update_ppr(h);
	return HW_GOES_ON;
}

bool hw_apic_access(struct hw_vcpu *h, hpa_t hpa, bool write)
{
	struct vm_exit *e = &h->vmx->exit;

	if (!vmx_apic_uses_page(h->vmx) || ALIGN_DOWN(hpa, PAGE_SIZE) != h->apic_page)
		return false;
	e->apic.offset = hpa % PAGE_SIZE;
	e->apic.kind = write ? APIC_ACCESS_WRITE : APIC_ACCESS_READ;
	return true;
}
