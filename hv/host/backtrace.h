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

/** read_safe - read 8 bytes that may not be mapped. Returns 0, or -EFAULT. Any context. */
int read_safe(const u64 *p, u64 *v);

#endif
