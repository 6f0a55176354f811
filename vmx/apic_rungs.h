/* SPDX-License-Identifier: GPL-2.0-only */
/* The ladder of vmx/vmx.h (enum vmx_apic_rung) in control bits. Pure; any context. */
#ifndef VMX_APIC_RUNGS_H
#define VMX_APIC_RUNGS_H

#include "vmx/vmx.h"

/** vmx_apic_controls - the bits of a control word that @rung and those below it consist of. */
u32 vmx_apic_controls(enum vmx_control_word word, enum vmx_apic_rung rung);

/** vmx_apic_mode_controls - those of the secondary word that are on in @mode. */
u32 vmx_apic_mode_controls(enum vmx_apic_rung rung, enum vmx_apic_mode mode);

#endif
