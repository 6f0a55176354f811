/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's other CPUs. */
#ifndef GUEST_RT_SMP_H
#define GUEST_RT_SMP_H

#include "guest/rt/layout.h"
#include "hv/host/types.h"

extern u32 smp_nr_cpus; /* CPUs that run, 1 before smp_start() */

/**
 * smp_start - start all CPUs that the machine has (platform.nr_cpus), with INIT and STARTUP
 *
 * They are numbered in the order of their arrival. Ends the guest with a message when one does not
 * come. Boot CPU, once.
 */
void smp_start(void);

/** smp_run - run fn(arg) on every CPU, this one included, and wait for all. Boot CPU. */
void smp_run(void (*fn)(void *arg), void *arg);

/** smp_barrier - wait until every CPU is here. Only inside smp_run(). */
void smp_barrier(void);

#endif
