/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Invalidation: keeping those who install translations away from those who take them away.
 *
 *   begin: in_progress++ and widen the one range to cover this one too
 *   ...    the owner zaps, flushes and changes what the range means
 *   end:   seq++ (release), in_progress--
 *
 * Whoever installs a translation reads seq first, then finds out what to install, and under the
 * VM's table lock asks invalidate_retry(). An invalidation that is in progress, or that has begun
 * and ended in between, makes it start over: with the sequence read last it would not notice the
 * second kind.
 */
#ifndef HV_VM_INVALIDATE_H
#define HV_VM_INVALIDATE_H

#include "hv/host/types.h"

struct vm;

struct vm_invalidation {
	_Atomic u32 in_progress; /* written under vm->vmx.lock, like the range */
	gpa_t start, end;
	_Atomic u64 seq; /* written under the lock */
};

/** invalidate_begin - before [gpa, gpa + len) changes its meaning. Takes the table lock. */
void invalidate_begin(struct vm *vm, gpa_t gpa, u64 len);

/** invalidate_end - after it has, the zap and the flush included. Takes the table lock. */
void invalidate_end(struct vm *vm);

/** invalidate_seq - the sequence, read before the translation is found out. Any context. */
u64 invalidate_seq(struct vm *vm);

/** invalidate_retry - whether @gpa may have changed since @seq was read. Table lock held. */
bool invalidate_retry(struct vm *vm, gpa_t gpa, u64 seq);

#endif
