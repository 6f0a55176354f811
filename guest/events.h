/* SPDX-License-Identifier: GPL-2.0-only */
/* Parts of the events program. */
#ifndef GUEST_EVENTS_H
#define GUEST_EVENTS_H

#include "guest/rt/trap.h"
#include "hv/host/types.h"

#define VECTOR_SOFTWARE 0x90 /* of event_int_n */
#define VECTOR_EXTERNAL 0x91

/* What arrived since arrivals_reset(), on CPU 0. */
struct arrivals {
	unsigned int count;
	u64 rip, rsp, error, cr2; /* of the last one */
};

extern volatile struct arrivals arrivals;

/*
 * arrivals_expect - count @vector in arrivals from now on
 * @resume: where to continue, or 0 for the interrupted RIP (traps and interrupts)
 */
void arrivals_expect(u8 vector, u64 resume);

/* Stop counting @vector. */
void arrivals_end(u8 vector);

/** take_stack - the top of a stack of two pages, never touched and dropped. */
u64 take_stack(void);

/** events_check_delivery - events whose delivery itself needs memory that was never touched */
void events_check_delivery(void);

/** events_check_gates - gates that are absent, and double faults */
void events_check_gates(void);

/** events_check_step - one debug exception per instruction under RFLAGS.TF */
void events_check_step(void);

/** events_check_interrupts - interrupts and NMIs from the local APIC to itself */
void events_check_interrupts(void);

#endif
