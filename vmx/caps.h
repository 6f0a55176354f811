/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What this CPU's VMX can do, from the capability MSRs; and the rule that turns wishes into control
 * words. All of it is arithmetic on MSR values, so it runs on the host too.
 */
#ifndef VMX_CAPS_H
#define VMX_CAPS_H

#include "hv/host/types.h"

enum vmx_control_word {
	CTL_PIN,
	CTL_CPU,
	CTL_CPU2,
	CTL_EXIT,
	CTL_ENTRY,
	NR_CTL,
};

struct vmx_control_range {
	u32 must_be_1; /* bits that have to be set */
	u32 may_be_1;  /* bits that may be set */
};

struct vmx_caps {
	u64 basic;    /* IA32_VMX_BASIC */
	u64 misc;     /* IA32_VMX_MISC */
	u64 ept_vpid; /* IA32_VMX_EPT_VPID_CAP, 0 without EPT and VPID */
	u64 vmfunc;   /* IA32_VMX_VMFUNC: VM functions that may be enabled, 0 without */
	/* A bit that is 1 in fixed0 must be 1, one that is 0 in fixed1 must be 0. */
	u64 cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	u32 revision;	    /* of the VMXON region and the VMCS */
	bool true_controls; /* the TRUE capability MSRs are there */
	struct vmx_control_range ctl[NR_CTL];
	unsigned int preempt_shift; /* preemption timer counts TSC >> this */
	unsigned int phys_bits;	    /* physical-address width, bits */
	unsigned int lin_bits;	    /* linear-address width: 57 if CR4.LA57 may be set, else 48 */
};

/**
 * vmx_caps_read - fill in @caps
 * @caps: out; all zero on failure
 * @read: reads an MSR: 0 or -EFAULT when there is none. Called only for MSRs that the CPU says it
 *	  has: some #GP on the others.
 * @cpuid_vmx: CPUID.1:ECX.VMX
 * @phys_bits: physical-address width in bits, 32..52 (CPUID 0x80000008)
 *
 * Returns 0; -ENODEV without VMX; -EIO when an MSR that must be there cannot be read; -ERANGE for a
 * @phys_bits that no 64-bit CPU has.
 */
int vmx_caps_read(struct vmx_caps *caps, int (*read)(u32 msr, u64 *v), bool cpuid_vmx,
		  unsigned int phys_bits);

/**
 * vmx_control - the value of a control word
 * @caps: capabilities
 * @word: which word
 * @need: bits without which we cannot run
 * @want: bits to set if the CPU has them
 * @out: the value
 *
 * Bits that must be 1 are set. Returns 0, or -EOPNOTSUPP with @out = the needed bits that are
 * missing. Pure; vmx_control_name() has the words for a missing bit.
 */
int vmx_control(const struct vmx_caps *caps, enum vmx_control_word word, u32 need, u32 want,
		u32 *out);

/** vmx_can - whether all of @bits of a control word may be set. */
bool vmx_can(const struct vmx_caps *caps, enum vmx_control_word word, u32 bits);

/**
 * vmx_control_name - a control bit in words
 * @word, @bit: 0..31
 *
 * Returns e.g. "unrestricted guest (secondary control bit 7)" in a static table; for a bit without
 * a name "secondary control bit 29"; for a @bit out of range "?".
 */
const char *vmx_control_name(enum vmx_control_word word, unsigned int bit);

enum feature_control_state {
	FC_READY,      /* locked with VMX on: nothing to do */
	FC_UNLOCKED,   /* ours to set: VMX outside SMX, and lock */
	FC_LOCKED_OFF, /* locked without VMX: disabled by firmware */
};

/**
 * vmx_feature_control - what a value of IA32_FEATURE_CONTROL means
 * @v: the value read; the MSR exists whenever CPUID says VMX
 * @write: out, only for FC_UNLOCKED: the value to write; a locked register must not be written
 * (#GP)
 *
 * Every CPU has its own register: ask on each.
 */
enum feature_control_state vmx_feature_control(u64 v, u64 *write);

#endif
