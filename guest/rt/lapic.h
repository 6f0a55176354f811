/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's local APIC: through x2APIC MSRs when CPUID offers them, otherwise through MMIO. */
#ifndef GUEST_RT_LAPIC_H
#define GUEST_RT_LAPIC_H

#include "hv/host/types.h"

#define LAPIC_BASE 0xfee00000

/* Registers, by their MMIO offset. */
#define LAPIC_ID	    0x020
#define LAPIC_VERSION	    0x030
#define LAPIC_TPR	    0x080
#define LAPIC_APR	    0x090
#define LAPIC_PPR	    0x0a0
#define LAPIC_EOI	    0x0b0
#define LAPIC_LDR	    0x0d0
#define LAPIC_DFR	    0x0e0
#define LAPIC_SVR	    0x0f0
#define LAPIC_ISR	    0x100 /* this one and the next two: eight registers, 0x10 apart */
#define LAPIC_TMR	    0x180
#define LAPIC_IRR	    0x200
#define LAPIC_ESR	    0x280
#define LAPIC_ICR	    0x300
#define LAPIC_LVT_TIMER	    0x320
#define LAPIC_LVT_THERMAL   0x330
#define LAPIC_LVT_PMC	    0x340
#define LAPIC_LVT_LINT0	    0x350
#define LAPIC_LVT_LINT1	    0x360
#define LAPIC_LVT_ERROR	    0x370
#define LAPIC_TIMER_INITIAL 0x380
#define LAPIC_TIMER_CURRENT 0x390
#define LAPIC_TIMER_DIVIDE  0x3e0
#define LAPIC_SELF_IPI	    0x3f0 /* x2APIC mode only */

#define MSR_X2APIC 0x800 /* + MMIO offset / 16 */

#define SVR_ENABLE BIT(8)

#define LVT_MASKED	 0x10000
#define LVT_PERIODIC	 0x20000
#define LVT_TSC_DEADLINE 0x40000

#define ICR_FIXED	   0x00000
#define ICR_LOWEST	   0x00100
#define ICR_NMI		   0x00400
#define ICR_INIT	   0x00500
#define ICR_STARTUP	   0x00600
#define ICR_LOGICAL	   0x00800
#define ICR_PENDING	   0x01000 /* xAPIC: not sent yet */
#define ICR_ASSERT	   0x04000
#define ICR_SELF	   0x40000
#define ICR_ALL		   0x80000
#define ICR_ALL_BUT_MYSELF 0xc0000

/**
 * lapic_init - choose the access mode and switch to it, on every CPU that uses its APIC
 *
 * Returns 0, -ENODEV when CPUID shows no APIC, -EACCES when x2APIC mode cannot be entered.
 */
int lapic_init(void);

/** lapic_read, lapic_write - a register. A refused x2APIC access gives -EFAULT. After lapic_init().
 */
int lapic_read(u32 reg, u32 *value);
int lapic_write(u32 reg, u32 value);

/** lapic_id - this CPU's APIC id. */
u32 lapic_id(void);

/** lapic_send - write the ICR. @dest: APIC id; @command: ICR bits 31:0. As lapic_write(). */
int lapic_send(u32 dest, u32 command);

#endif
