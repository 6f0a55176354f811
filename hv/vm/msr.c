/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's MSRs, by a policy table. Those that the hardware switches (vmx/msr_bitmap.c) do not
 * arrive here; an MSR that is not listed does not exist: #GP, as on a processor without it.
 */
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"

COUNTER(msr_unknown, "msr.unknown", "guest accesses to MSRs that do not exist: #GP");

COUNTER(apic_msr_exits, "apic.msr_exits", "accesses to x2APIC MSRs");

#define X2APIC_FIRST  0x800
#define X2APIC_LAST   0x8ff
#define MISC_CHANGING 0x1ull /* the guest may switch fast strings */
#define DEBUGCTL_MAY  0x3ull /* LBR, BTF */

static int read_zero(struct vcpu *vcpu, u32 msr, u64 *v)
{
	*v = 0;
	return 0;
}

/* A microcode update that nobody will load: the guest may only clear the signature. */
static int write_ignored(struct vcpu *vcpu, u32 msr, u64 v)
{
	return 0;
}

static int write_tsc(struct vcpu *vcpu, u32 msr, u64 v)
{
	vmx_set(&vcpu->vmx, REG_TSC_OFFSET, v - ticks_now());
	lapic_timer_tsc_changed(vcpu);
	return 0;
}

static int read_misc(struct vcpu *vcpu, u32 msr, u64 *v)
{
	*v = vcpu->misc_enable;
	return 0;
}

static int write_misc(struct vcpu *vcpu, u32 msr, u64 v)
{
	if ((v ^ vcpu->misc_enable) & ~MISC_CHANGING)
		return -EFAULT;
	vcpu->misc_enable = v;
	return 0;
}

static int read_debugctl(struct vcpu *vcpu, u32 msr, u64 *v)
{
	*v = vmx_get(&vcpu->vmx, REG_DEBUGCTL);
	return 0;
}

static int write_debugctl(struct vcpu *vcpu, u32 msr, u64 v)
{
	if (v & ~DEBUGCTL_MAY)
		return -EFAULT;
	vmx_set(&vcpu->vmx, REG_DEBUGCTL, v);
	return 0;
}

/* They return 0; -EFAULT for #GP; a write also 1: it is done, and is the VMM's business too. */
static const struct msr_policy {
	u32 first, last;
	int (*read)(struct vcpu *vcpu, u32 msr, u64 *v);
	int (*write)(struct vcpu *vcpu, u32 msr, u64 v);
} policy[] = {
	{ MSR_TSC, MSR_TSC, NULL, write_tsc }, /* reads do not exit */
	{ MSR_APIC_BASE, MSR_APIC_BASE, lapic_read, lapic_write },
	{ MSR_BIOS_SIGN_ID, MSR_BIOS_SIGN_ID, read_zero, write_ignored },
	{ MSR_MISC_ENABLE, MSR_MISC_ENABLE, read_misc, write_misc },
	{ MSR_DEBUGCTL, MSR_DEBUGCTL, read_debugctl, write_debugctl },
	{ MSR_TSC_DEADLINE, MSR_TSC_DEADLINE, lapic_read, lapic_write },
};

static const struct msr_policy *find(u32 msr)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(policy); i++)
		if (msr >= policy[i].first && msr <= policy[i].last)
			return &policy[i];
	return NULL;
}

/* The frequent ones need no search: EOI, TPR and ICR, where the CPU does not virtualize them. */
static bool is_x2apic(u32 msr)
{
	return msr - X2APIC_FIRST <= X2APIC_LAST - X2APIC_FIRST;
}

static int read_msr(struct vcpu *vcpu, u32 msr, u64 *v)
{
	const struct msr_policy *p;

	if (likely(is_x2apic(msr))) {
		count(&apic_msr_exits);
		return lapic_read(vcpu, msr, v);
	}
	p = find(msr);
	return p && p->read ? p->read(vcpu, msr, v) : -EFAULT;
}

static int write_msr(struct vcpu *vcpu, u32 msr, u64 v)
{
	const struct msr_policy *p;

	if (likely(is_x2apic(msr))) {
		count(&apic_msr_exits);
		return lapic_write(vcpu, msr, v);
	}
	p = find(msr);
	return p && p->write ? p->write(vcpu, msr, v) : -EFAULT;
}

static noinline int refuse(struct vcpu *vcpu)
{
	count(&msr_unknown);
	return vcpu_inject_error(vcpu, EXC_GP, 0);
}

int vcpu_handle_rdmsr(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	u64 value;

	if (read_msr(vcpu, (u32)v->gpr[GPR_RCX], &value))
		return refuse(vcpu);
	v->gpr[GPR_RAX] = (u32)value;
	v->gpr[GPR_RDX] = value >> 32;
	vmx_skip_quickly(v);
	return RESUME_GUEST;
}

int vcpu_handle_wrmsr(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	u64 value = v->gpr[GPR_RDX] << 32 | (u32)v->gpr[GPR_RAX];
	int ret = write_msr(vcpu, (u32)v->gpr[GPR_RCX], value);

	if (unlikely(ret < 0))
		return refuse(vcpu);
	vmx_skip_quickly(v);
	return ret ? 0 : RESUME_GUEST;
}
