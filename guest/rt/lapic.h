/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's local APIC: through x2APIC MSRs when CPUID offers them, otherwise through MMIO. */
#ifndef GUEST_RT_LAPIC_H
#define GUEST_RT_LAPIC_H

#include "hv/host/types.h"

#define LAPIC_BASE 0xfee00000

/* Registers, by their MMIO offset. */
#define LAPIC_ID  0x020
#define LAPIC_EOI 0x0b0
#define LAPIC_SVR 0x0f0
#define LAPIC_IRR 0x200 /* eight registers, 0x10 apart */
#define LAPIC_ICR 0x300

#define SVR_ENABLE BIT(8)

#define ICR_FIXED	   0x00000
#define ICR_NMI		   0x00400
#define ICR_INIT	   0x00500
#define ICR_STARTUP	   0x00600
#define ICR_PENDING	   0x01000 /* xAPIC: not sent yet */
#define ICR_ASSERT	   0x04000
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
