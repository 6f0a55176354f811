/* SPDX-License-Identifier: GPL-2.0-only */
/* vCPUs with threads, as the programs need them. */
#ifndef TESTS_STRESS_GUESTS_H
#define TESTS_STRESS_GUESTS_H

#include "tests/stress/hw.h"
#include "tests/stress/stress.h"

#define GUEST_VECTOR 0x40 /* the first of those that guests count */
#define GUEST_COUNTS 16

struct guest {
	struct vcpu *vcpu;
	struct thread *thread;
	int (*work)(struct guest *g); /* HW_GOES_ON or an exit, as hw->step() */
	/* The VMM's part: vcpu_run() has returned @err; false ends the thread. */
	bool (*left)(struct guest *g, int err);
	void *arg;
	bool halts;   /* it executes HLT now and then */
	bool exits;   /* and CPUID: an exit that nobody asked for */
	bool signals; /* its thread is asked to leave, now and then, at an end of interrupt */

	_Atomic u64 steps;		 /* of guest code */
	_Atomic u64 taken[GUEST_COUNTS]; /* interrupts, by vector - GUEST_VECTOR */
	_Atomic u64 nmis, leaves;	 /* NMIs taken, returns of vcpu_run() */
	_Atomic bool inside;		 /* vcpu_run() */
	bool eoi;			 /* the handler has yet to write EOI */
};

/** guests_choose_apic - a rung of the ladder, by the run's seed. Before a VM is created. */
void guests_choose_apic(void);

/** guest_create - a vCPU that is runnable, its APIC started in x2APIC mode, with no thread yet. @g:
 * what it does; the rest zeroed. */
void guest_create(struct guest *g, struct vm *vm);

/** guest_start - a thread that runs it until left() says no. */
void guest_start(struct guest *g, const char *name);

/** guest_end - wait for the thread's end. */
void guest_end(struct guest *g);

/** wait_until - a loop with a deadline: @what did not happen in time. */
#define wait_until(cond, ...)                                                                      \
	do {                                                                                       \
		u64 end_ = ticks_now() + tsc_hz;                                                   \
		while (!(cond)) {                                                                  \
			stress_check(ticks_now() < end_, __VA_ARGS__);                             \
			cpu_relax();                                                               \
		}                                                                                  \
	} while (0)

#endif
