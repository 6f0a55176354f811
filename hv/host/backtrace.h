/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses as function names, and who called whom. */
#ifndef HV_HOST_BACKTRACE_H
#define HV_HOST_BACKTRACE_H

#include "hv/host/types.h"

/**
 * ksym_lookup - the function that contains a code address
 * @addr: any address
 * @offset: bytes from the function's start
 *
 * Returns its name, or NULL when @addr is outside the image's text. Any context.
 */
const char *ksym_lookup(u64 addr, u64 *offset);

/**
 * backtrace_print - print the chain of callers, innermost first
 * @rip: where the chain starts; 0: only callers
 * @rbp: frame pointer there
 *
 * Reads the stack with care: a broken chain ends it. Any context.
 */
void backtrace_print(u64 rip, u64 rbp);

/**
 * backtrace_step - one step up the chain of callers
 * @rbp: frame pointer, becomes the caller's; 0 at the end of the chain
 * @ret: where the function with that frame returns to
 *
 * Returns false at the end. A broken chain ends it too, and is said on the console. Any context.
 */
bool backtrace_step(u64 *rbp, u64 *ret);

/** read_safe, write_safe - 8 bytes that may not be accessible. Return 0, or -EFAULT. Any context.
 */
int read_safe(const u64 *p, u64 *v);
int write_safe(u64 *p, u64 v);

/**
 * call_safe - call a function that may not be executable
 * @code: takes and returns nothing
 *
 * Returns 0, or -EFAULT when the fetch of its first instruction faults: only where the CPU has
 * no-execute pages, since others do not tell a fetch from a read. Not for NMI context.
 */
int call_safe(const void *code);

#endif
