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
	{ X2APIC_FIRST, X2APIC_LAST, lapic_read, lapic_write },
};

static const struct msr_policy *find(u32 msr)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(policy); i++)
		if (msr >= policy[i].first && msr <= policy[i].last)
			return &policy[i];
	return NULL;
}

static int refuse(struct vcpu *vcpu)
{
	count(&msr_unknown);
	return vcpu_inject_error(vcpu, EXC_GP, 0);
}

int vcpu_handle_rdmsr(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	u32 msr = (u32)v->gpr[GPR_RCX];
	const struct msr_policy *p = find(msr);
	u64 value;

	if (!p || !p->read || p->read(vcpu, msr, &value))
		return refuse(vcpu);
	v->gpr[GPR_RAX] = (u32)value;
	v->gpr[GPR_RDX] = value >> 32;
	vmx_skip_instruction(v);
	return RESUME_GUEST;
}

int vcpu_handle_wrmsr(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	u32 msr = (u32)v->gpr[GPR_RCX];
	const struct msr_policy *p = find(msr);
	u64 value = v->gpr[GPR_RDX] << 32 | (u32)v->gpr[GPR_RAX];

	if (!p || !p->write || p->write(vcpu, msr, value))
		return refuse(vcpu);
	vmx_skip_instruction(v);
	return RESUME_GUEST;
}
