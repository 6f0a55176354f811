/* SPDX-License-Identifier: GPL-2.0-only */
/* The physical local APIC, as xAPIC or (when the firmware or more than 255 ids ask) x2APIC. */
#ifndef HV_HOST_APIC_H
#define HV_HOST_APIC_H

#include "hv/host/types.h"

enum host_vector {
	VECTOR_TIMER = 0xf0,
	VECTOR_RESCHED = 0xf1,
	VECTOR_KICK = 0xf2,
	VECTOR_SPURIOUS = 0xff,
};

/**
 * apic_init_cpu - enable this CPU's local APIC, mask LVT0/1 and the timer
 *
 * x2APIC is entered when CPUID offers it and the firmware already did or "x2apic" is on the
 * command line. Never clears IA32_APIC_BASE.EN (Bochs cannot set it again).
 */
void apic_init_cpu(void);

u32 apic_id(void);
void apic_eoi(void);

/* IPIs, by CPU number of ours (0..nr_cpus-1). Any context, NMI included. */
void apic_send_ipi(u32 cpu, u8 vector);
void apic_send_nmi(u32 cpu);

/**
 * apic_send_ipi_mask, apic_send_nmi_mask - the same to several CPUs
 * @mask: bit i: CPU i, which must be online; not 0. The caller's own CPU may be among them.
 *
 * One command for up to 8 CPUs (xAPIC, when there are no more than 8) or for each 16 whose APIC ids
 * share their upper bits (x2APIC); else one for each.
 */
void apic_send_ipi_mask(u64 mask, u8 vector);
void apic_send_nmi_mask(u64 mask);

/* INIT and STARTUP to an APIC id (start-up only). @page: physical page number below 1 MiB >> 12. */
void apic_send_init(u32 apic_id);
void apic_send_startup(u32 apic_id, u8 page);

/* The same to every CPU but this one, known or not. */
void apic_send_init_others(void);
void apic_send_startup_others(u8 page);

/* The timer, counting bus ticks; it interrupts with VECTOR_TIMER when it reaches 0. 0 stops it. */
void apic_timer_oneshot(u32 count);
u32 apic_timer_count(void);

#endif
