/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading the capability MSRs, and turning wishes into control words. */
#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "vmx/caps.h"
#include "vmx/controls.h"

#define MSR_VMX_BASIC		    0x480
#define MSR_VMX_PINBASED_CTLS	    0x481
#define MSR_VMX_PROCBASED_CTLS	    0x482
#define MSR_VMX_EXIT_CTLS	    0x483
#define MSR_VMX_ENTRY_CTLS	    0x484
#define MSR_VMX_MISC		    0x485
#define MSR_VMX_CR0_FIXED0	    0x486
#define MSR_VMX_CR0_FIXED1	    0x487
#define MSR_VMX_CR4_FIXED0	    0x488
#define MSR_VMX_CR4_FIXED1	    0x489
#define MSR_VMX_PROCBASED_CTLS2	    0x48b
#define MSR_VMX_EPT_VPID_CAP	    0x48c
#define MSR_VMX_TRUE_PINBASED_CTLS  0x48d
#define MSR_VMX_TRUE_PROCBASED_CTLS 0x48e
#define MSR_VMX_TRUE_EXIT_CTLS	    0x48f
#define MSR_VMX_TRUE_ENTRY_CTLS	    0x490
#define MSR_VMX_VMFUNC		    0x491

#define FEATURE_CONTROL_LOCKED	    BIT(0)
#define FEATURE_CONTROL_VMX_NON_SMX BIT(2)

typedef int msr_reader(u32 msr, u64 *v);

/* The MSRs that every CPU with VMX has, and where their values go. */
static int read_mandatory(struct vmx_caps *caps, msr_reader *read)
{
	const struct {
		u32 msr;
		u64 *v;
	} msrs[] = {
		{ MSR_VMX_BASIC, &caps->basic },
		{ MSR_VMX_MISC, &caps->misc },
		{ MSR_VMX_CR0_FIXED0, &caps->cr0_fixed0 },
		{ MSR_VMX_CR0_FIXED1, &caps->cr0_fixed1 },
		{ MSR_VMX_CR4_FIXED0, &caps->cr4_fixed0 },
		{ MSR_VMX_CR4_FIXED1, &caps->cr4_fixed1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++) {
		if (read(msrs[i].msr, msrs[i].v))
			return -EIO;
	}
	return 0;
}

static int read_range(struct vmx_control_range *range, msr_reader *read, u32 msr)
{
	u64 v;

	if (read(msr, &v))
		return -EIO;
	range->must_be_1 = (u32)v;
	range->may_be_1 = (u32)(v >> 32);
	return 0;
}

/*
 * Without the TRUE MSRs a range is narrower: bits that early CPUs wanted to be 1 (the "default1"
 * class) then have to be 1.
 */
static int read_ranges(struct vmx_caps *caps, msr_reader *read)
{
	static const struct {
		enum vmx_control_word word;
		u32 msr, true_msr;
	} words[] = {
		{ CTL_PIN, MSR_VMX_PINBASED_CTLS, MSR_VMX_TRUE_PINBASED_CTLS },
		{ CTL_CPU, MSR_VMX_PROCBASED_CTLS, MSR_VMX_TRUE_PROCBASED_CTLS },
		{ CTL_EXIT, MSR_VMX_EXIT_CTLS, MSR_VMX_TRUE_EXIT_CTLS },
		{ CTL_ENTRY, MSR_VMX_ENTRY_CTLS, MSR_VMX_TRUE_ENTRY_CTLS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		u32 msr = caps->true_controls ? words[i].true_msr : words[i].msr;

		if (read_range(&caps->ctl[words[i].word], read, msr))
			return -EIO;
	}
	return 0;
}

/* The MSRs that exist only when a control says so; each step decides about the next. */
static int read_optional(struct vmx_caps *caps, msr_reader *read)
{
	if (!vmx_can(caps, CTL_CPU, CPU_SECONDARY))
		return 0;
	if (read_range(&caps->ctl[CTL_CPU2], read, MSR_VMX_PROCBASED_CTLS2))
		return -EIO;
	if ((vmx_can(caps, CTL_CPU2, CPU2_EPT) || vmx_can(caps, CTL_CPU2, CPU2_VPID)) &&
	    read(MSR_VMX_EPT_VPID_CAP, &caps->ept_vpid))
		return -EIO;
	if (vmx_can(caps, CTL_CPU2, CPU2_VMFUNC) && read(MSR_VMX_VMFUNC, &caps->vmfunc))
		return -EIO;
	return 0;
}

static int read_all(struct vmx_caps *caps, msr_reader *read)
{
	if (read_mandatory(caps, read))
		return -EIO;
	caps->revision = (u32)(caps->basic & VMX_BASIC_REVISION);
	caps->true_controls = caps->basic & VMX_BASIC_TRUE_CONTROLS;
	caps->preempt_shift = caps->misc & VMX_MISC_PREEMPT_SHIFT;
	caps->lin_bits = caps->cr4_fixed1 & CR4_LA57 ? 57 : 48;
	if (read_ranges(caps, read))
		return -EIO;
	return read_optional(caps, read);
}

int vmx_caps_read(struct vmx_caps *caps, int (*read)(u32 msr, u64 *v), bool cpuid_vmx,
		  unsigned int phys_bits)
{
	int err;

	memset(caps, 0, sizeof(*caps));
	if (!cpuid_vmx)
		return -ENODEV;
	if (phys_bits < 32 || phys_bits > 52)
		return -ERANGE;
	caps->phys_bits = phys_bits;
	err = read_all(caps, read);
	if (err)
		memset(caps, 0, sizeof(*caps));
	return err;
}

int vmx_control(const struct vmx_caps *caps, enum vmx_control_word word, u32 need, u32 want,
		u32 *out)
{
	const struct vmx_control_range *range = &caps->ctl[word];
	u32 missing = need & ~range->may_be_1;

	if (missing) {
		*out = missing;
		return -EOPNOTSUPP;
	}
	*out = ((need | want) & range->may_be_1) | range->must_be_1;
	return 0;
}

bool vmx_can(const struct vmx_caps *caps, enum vmx_control_word word, u32 bits)
{
	return (bits & ~caps->ctl[word].may_be_1) == 0;
}

enum feature_control_state vmx_feature_control(u64 v, u64 *write)
{
	if (v & FEATURE_CONTROL_LOCKED)
		return v & FEATURE_CONTROL_VMX_NON_SMX ? FC_READY : FC_LOCKED_OFF;
	*write = v | FEATURE_CONTROL_VMX_NON_SMX | FEATURE_CONTROL_LOCKED;
	return FC_UNLOCKED;
}
