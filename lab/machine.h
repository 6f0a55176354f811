/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of experiment `machine`, and what they share. */
#ifndef LAB_MACHINE_H
#define LAB_MACHINE_H

#include "hv/host/types.h"

#define MACHINE_SAMPLES 512

/* For one metric at a time; it is sorted in place. */
extern u64 machine_samples[MACHINE_SAMPLES];

/**
 * machine_on_every_cpu - run a function in a thread on every CPU at once, and wait for all
 * @fn: gets the number of the CPU it runs on, and @arg
 *
 * Returns false when there is no memory for a thread.
 */
bool machine_on_every_cpu(void (*fn)(u32 cpu, void *arg), void *arg);

/**
 * machine_result - one result for all CPUs
 * @failed: bit n: CPU n failed; they are named
 */
void machine_result(u64 failed, const char *name);

/** machine_metric - the first @n of machine_samples[], in ticks, with the number of CPUs. */
void machine_metric(const char *name, unsigned int n);

void machine_test_cpus(void);	     /* lab/machine.c: CPUs, threads, wakes */
void machine_test_interrupts(u64 n); /* lab/machine_irq.c: IPIs and NMIs */
void machine_test_time(void);	     /* lab/machine_time.c: timers, deadlines, the TSC */
void machine_test_memory(void);	     /* lab/machine_memory.c: the allocators */
void machine_test_protection(void);  /* lab/machine_protect.c: who may do what with which page */
void machine_test_diagnosis(void);   /* lab/machine_trace.c: what a report is made of */

#endif
