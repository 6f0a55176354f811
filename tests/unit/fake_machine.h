/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What hv/vm needs of hv/host beside tests/unit/fake_host.h: CPUs that take turns when the test
 * says so, time that stands still, pages that the sanitizer watches, a host's CPUID. There is one
 * thread: when it would sleep, the test plays the others.
 */
#ifndef TESTS_UNIT_FAKE_MACHINE_H
#define TESTS_UNIT_FAKE_MACHINE_H

#include "hv/host/types.h"

#define FAKE_CPUS 4

struct fake_machine {
	u32 cpu;    /* this_cpu() */
	u32 thread; /* 0..FAKE_CPUS-1: which thread_current() is */
	u64 now;    /* the TSC */
	u64 xcr0;   /* of the one register that all CPUs share */

	unsigned int nmis[FAKE_CPUS]; /* sent to each CPU */
	unsigned int ipis[FAKE_CPUS]; /* kicks by ordinary interrupt */

	/* The thread sleeps: this has to wake it, or its deadline comes, or the test fails. */
	void (*on_block)(void);
	unsigned int blocks;
	void (*on_yield)(void); /* another thread's turn */
	unsigned int yields;
	void (*on_spin)(void); /* others go on while this CPU spins; time has passed already */
	bool no_threads;       /* thread_create() finds no memory */

	unsigned int irqs[256]; /* dispatched, by vector */
	unsigned int irq_windows;

	u64 pages_live; /* page_alloc()ed and not freed, in pages */
	u64 pages_free; /* what page_nr_free() says */

	u32 max_basic, max_extended; /* the highest CPUID leaves */
	u64 host_xcr0;		     /* the components of CPUID leaf 0xD */
	u64 xcr0_mask;		     /* those that vmx/ can switch for a guest */
	bool no_pkru_leaf;	     /* Bochs: the component is there, its leaf empty */
};

extern struct fake_machine fake_machine;

/** fake_machine_reset - FAKE_CPUS idle CPUs, CPU 0 is this one. Between tests. */
void fake_machine_reset(void);

/** fake_run_timers - fire the host timers that are due now, on their CPUs; returns how many. */
unsigned int fake_run_timers(void);

/** fake_page_fail - let the @n-th page_alloc() from now fail (1: the next); 0: none. */
void fake_page_fail(unsigned int n);

#endif
