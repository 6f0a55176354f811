/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ladder of APIC virtualization as arithmetic: which controls a rung consists of, which of them
 * are on in which mode of the guest's APIC. No hardware: host tests link it as it is.
 */
#include "vmx/apic_rungs.h"
#include "vmx/controls.h"

/* What each rung adds to the one below it. */
static const struct {
	const char *name;
	enum vmx_control_word word;
	u32 control;
} rungs[NR_VMX_APIC_RUNGS] = {
	[VMX_APIC_EMULATE] = { "emulate", CTL_CPU, 0 },
	[VMX_APIC_TPR] = { "tpr", CTL_CPU, CPU_TPR_SHADOW },
	[VMX_APIC_ACCESS] = { "access", CTL_CPU2, CPU2_APIC_ACCESS },
	[VMX_APIC_REGISTER] = { "register", CTL_CPU2, CPU2_APIC_REGISTER },
	[VMX_APIC_DELIVERY] = { "delivery", CTL_CPU2, CPU2_VIRT_INTR_DELIVERY },
	[VMX_APIC_X2APIC] = { "x2apic", CTL_CPU2, CPU2_X2APIC },
};

const char *vmx_apic_rung_name(enum vmx_apic_rung rung)
{
	return rungs[rung].name;
}

u32 vmx_apic_controls(enum vmx_control_word word, enum vmx_apic_rung rung)
{
	u32 controls = 0;

	for (unsigned int r = 0; r <= rung; r++)
		controls |= rungs[r].word == word ? rungs[r].control : 0;
	return controls;
}

const char *vmx_apic_missing(enum vmx_apic_rung rung)
{
	for (unsigned int r = 0; r <= rung; r++) {
		if (!vmx_can(&vmx_caps, rungs[r].word, rungs[r].control))
			return vmx_control_name(rungs[r].word,
						(unsigned int)__builtin_ctz(rungs[r].control));
	}
	return NULL;
}

enum vmx_apic_rung vmx_apic_best(void)
{
	enum vmx_apic_rung best = VMX_APIC_EMULATE;

	while (best + 1 < NR_VMX_APIC_RUNGS && !vmx_apic_missing(best + 1))
		best++;
	return best;
}

/*
 * In x2APIC mode the CPU can only virtualize all of it or, by delivering alone, spare the exits for
 * windows: there EOI is an exit. An APIC at another address is one that no control knows of. The
 * TPR shadow is in the primary word and stays on in all modes: CR8 is the TPR in each of them.
 */
u32 vmx_apic_mode_controls(enum vmx_apic_rung rung, enum vmx_apic_mode mode)
{
	u32 on = 0;

	switch (mode) {
	case VMX_APIC_DISABLED: break;
	case VMX_APIC_MEMORY:
		on = CPU2_APIC_ACCESS | CPU2_APIC_REGISTER | CPU2_VIRT_INTR_DELIVERY;
		break;
	case VMX_APIC_ELSEWHERE: on = CPU2_VIRT_INTR_DELIVERY; break;
	case VMX_APIC_MSRS:
		on = CPU2_VIRT_INTR_DELIVERY;
		if (rung >= VMX_APIC_X2APIC)
			on |= CPU2_X2APIC | CPU2_APIC_REGISTER;
		break;
	}
	return on & vmx_apic_controls(CTL_CPU2, rung);
}

_Static_assert(VMX_APIC_ACCESS_ON == CPU2_APIC_ACCESS, "vmx.h names the control");
_Static_assert(VMX_APIC_DELIVERY_ON == CPU2_VIRT_INTR_DELIVERY, "vmx.h names the control");
