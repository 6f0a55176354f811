/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Registers that the hypervisor itself does not use: extended state, debug registers, CR2, the
 * SYSCALL MSRs. The guest's values stay in the CPU across exits; they are exchanged only when
 * another vCPU is loaded. This keeps them off the exit path.
 */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "vmx/internal.h"
#include "vmx/save.h"

#define DR6_RESET   0xffff0ff0ull
#define DR6_HIDDEN  (BIT(16) | BIT(11)) /* 1 where there is no RTM, no bus-lock detection */
#define FCW_RESET   0x037full
#define MXCSR_RESET 0x1f80u

enum { NR_LAZY_MSRS = 6 };

static const u32 lazy_msr[NR_LAZY_MSRS] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_KERNEL_GS_BASE, MSR_TSC_AUX,
};

struct vmx_lazy {
	u64 msr[NR_LAZY_MSRS];
	u64 dr[4];
	u64 dr6;
	u64 cr2;
	u64 xcr0;
	u8 *xstate; /* FXSAVE or XSAVE format, vmx_config.xsave_size bytes */
};

/* TSC_AUX is the last and exists only with RDTSCP. */
static unsigned int nr_msrs(void)
{
	return vmx_config.rdtscp ? NR_LAZY_MSRS : NR_LAZY_MSRS - 1;
}

int vmx_lazy_alloc(struct vmx_vcpu *v)
{
	v->lazy = kzalloc(sizeof(*v->lazy));
	if (!v->lazy)
		return -ENOMEM;
	v->lazy->xstate = page_alloc(page_order(vmx_config.xsave_size), PAGE_ZERO);
	if (v->lazy->xstate)
		return 0;
	kfree(v->lazy);
	v->lazy = NULL;
	return -ENOMEM;
}

void vmx_lazy_free(struct vmx_vcpu *v)
{
	if (!v->lazy)
		return;
	page_free(v->lazy->xstate, page_order(vmx_config.xsave_size));
	kfree(v->lazy);
	v->lazy = NULL;
}

void vmx_lazy_reset(struct vmx_vcpu *v)
{
	struct vmx_lazy *l = v->lazy;
	u8 *xstate = l->xstate;

	memset(xstate, 0, vmx_config.xsave_size);
	memset(l, 0, sizeof(*l));
	l->xstate = xstate;
	l->dr6 = DR6_RESET;
	l->xcr0 = 1;
	/* An all-zero XSAVE header means initial state, but FXRSTOR and MXCSR take what is there.
	 */
	*(u16 *)(xstate + 0) = FCW_RESET;
	*(u32 *)(xstate + 24) = MXCSR_RESET;
}

static void xstate_save(u8 *area)
{
	u64 m = vmx_config.xcr0_mask;

	if (!m) {
		__asm__ volatile("fxsave64 %0" : "=m"(*(u8(*)[512])area));
		return;
	}
	xsetbv(0, m);
	__asm__ volatile("xsave64 (%0)" ::"r"(area), "a"((u32)m), "d"((u32)(m >> 32)) : "memory");
}

static void xstate_restore(const u8 *area)
{
	u64 m = vmx_config.xcr0_mask;

	if (!m) {
		__asm__ volatile("fxrstor64 %0" ::"m"(*(const u8(*)[512])area));
		return;
	}
	xsetbv(0, m);
	__asm__ volatile("xrstor64 (%0)" ::"r"(area), "a"((u32)m), "d"((u32)(m >> 32)) : "memory");
}

void vmx_lazy_save(struct vmx_vcpu *v)
{
	struct vmx_lazy *l = v->lazy;

	for (unsigned int i = 0; i < nr_msrs(); i++)
		l->msr[i] = rdmsr(lazy_msr[i]);
	l->dr[0] = read_dr0();
	l->dr[1] = read_dr1();
	l->dr[2] = read_dr2();
	l->dr[3] = read_dr3();
	l->dr6 = read_dr6();
	l->cr2 = read_cr2();
	if (vmx_config.xcr0_mask)
		l->xcr0 = xgetbv(0);
	xstate_save(l->xstate);
}

void vmx_lazy_restore(struct vmx_vcpu *v)
{
	struct vmx_lazy *l = v->lazy;

	for (unsigned int i = 0; i < nr_msrs(); i++)
		wrmsr(lazy_msr[i], l->msr[i]);
	write_dr0(l->dr[0]);
	write_dr1(l->dr[1]);
	write_dr2(l->dr[2]);
	write_dr3(l->dr[3]);
	write_dr6(l->dr6);
	write_cr2(l->cr2);
	xstate_restore(l->xstate);
	if (vmx_config.xcr0_mask)
		xsetbv(0, l->xcr0);
}

int vmx_lazy_export(struct vmx_vcpu *v, struct vmx_state *s)
{
	struct vmx_lazy *l = v->lazy;

	vmx_lazy_save(v);
	if (vmx_config.xcr0_mask)
		xsetbv(0, l->xcr0);
	memcpy(&s->star, l->msr, sizeof(l->msr));
	memcpy(s->dr, l->dr, sizeof(s->dr));
	s->dr6 = l->dr6 | DR6_HIDDEN;
	s->cr2 = l->cr2;
	s->xcr0 = l->xcr0;
	s->xstate_bytes = vmx_xstate_bytes(l->xstate);
	if (s->xstate_bytes > VMX_XSTATE_MAX)
		return -EOPNOTSUPP;
	memcpy(s->xstate, l->xstate, s->xstate_bytes);
	return 0;
}

void vmx_lazy_import(struct vmx_vcpu *v, const struct vmx_state *s)
{
	struct vmx_lazy *l = v->lazy;

	memcpy(l->msr, &s->star, sizeof(l->msr));
	memcpy(l->dr, s->dr, sizeof(l->dr));
	l->dr6 = s->dr6;
	l->cr2 = s->cr2;
	l->xcr0 = s->xcr0;
	memcpy(l->xstate, s->xstate, s->xstate_bytes);
	vmx_lazy_restore(v);
}

_Static_assert(offsetof(struct vmx_state, tsc_aux) ==
		       offsetof(struct vmx_state, star) + 8 * (NR_LAZY_MSRS - 1),
	       "in the order of lazy_msr[]");

/*
 * The area is free while the vCPU is loaded: whoever loads another saves all of it first. Both of
 * FXSAVE's and XSAVE's layouts have the XMM registers in the same place.
 */
#define XMM_OFFSET 160

void vmx_get_xmm(struct vmx_vcpu *v, unsigned int n, u8 value[16])
{
	u8 *area = v->lazy->xstate;

	__asm__ volatile("fxsave64 %0" : "=m"(*(u8(*)[512])area));
	memcpy(value, area + XMM_OFFSET + 16 * n, 16);
}

void vmx_set_xmm(struct vmx_vcpu *v, unsigned int n, const u8 value[16])
{
	u8 *area = v->lazy->xstate;

	__asm__ volatile("fxsave64 %0" : "=m"(*(u8(*)[512])area));
	memcpy(area + XMM_OFFSET + 16 * n, value, 16);
	__asm__ volatile("fxrstor64 %0" ::"m"(*(const u8(*)[512])area));
}

u64 vmx_get_xcr0(struct vmx_vcpu *v)
{
	return vmx_config.xcr0_mask ? xgetbv(0) : 1;
}

void vmx_set_xcr0(struct vmx_vcpu *v, u64 value)
{
	xsetbv(0, value);
}
