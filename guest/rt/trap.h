/* SPDX-License-Identifier: GPL-2.0-only */
/* Exceptions and interrupts of a guest: handlers, and "run this and tell me which fault came". */
#ifndef GUEST_RT_TRAP_H
#define GUEST_RT_TRAP_H

#include "hv/host/trap_stubs.h"
#include "hv/host/types.h"

/* What the entry stubs leave on the stack. */
#define NO_FAULT (-1)

struct fault {
	int vector; /* or NO_FAULT */
	u64 error;
	u64 rip;
	u64 cr2;
};

/**
 * try_call - run fn(arg) and catch the first exception in it
 * @f: filled in; may be NULL
 *
 * After an exception fn does not continue. Interrupts and NMIs are not caught, nor is what a
 * handler of trap_handle() took. May be nested. Returns the vector, or NO_FAULT.
 */
int try_call(void (*fn)(void *arg), void *arg, struct fault *f);

/**
 * trap_handle - call @fn for @vector on every CPU
 * @fn: returns true to resume at frame->rip; false to go on as if there were no handler.
 *	NULL removes the handler.
 */
void trap_handle(u8 vector, bool (*fn)(struct trap_frame *frame));

/** trap_name - "#GP" and so on, "interrupt" for 32 and above, "no fault" for NO_FAULT. */
const char *trap_name(int vector);

#endif
