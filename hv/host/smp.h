/* SPDX-License-Identifier: GPL-2.0-only */
/* Bringing the other CPUs up, and stopping them. */
#ifndef HV_HOST_SMP_H
#define HV_HOST_SMP_H

#include "hv/host/types.h"

/**
 * smp_init - start every CPU of the MADT through the trampoline page
 * @page: physical address of a free page below 1 MiB for the trampoline, 0 if there is none
 *
 * Each comes up with its own stack, GDT, TSS and per-CPU data and enters its idle loop. CPUs that
 * do not answer within 100 ms are reported by APIC id and left out. Without a MADT all CPUs are
 * started by one broadcast and counted as they answer. Boot CPU, once. Returns the number of CPUs
 * online (1 without a page), or -ENOMEM.
 */
int smp_init(hpa_t page);

/**
 * smp_stop_others - halt all other CPUs for good (panic, end of run)
 *
 * By NMI, so it works whatever they do. Waits until they have stopped, some milliseconds at most.
 * When two CPUs call it, the second is stopped by the first. Any context.
 */
void smp_stop_others(void);

/** smp_stop_self - what a CPU does that is told to stop. */
noreturn void smp_stop_self(void);

/* Set by smp_stop_others(); looked at wherever an NMI is handled. */
extern _Atomic bool smp_stopping;

#endif
