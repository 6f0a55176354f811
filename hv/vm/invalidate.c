/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See hv/vm/invalidate.h.
 *
 * The race. A vCPU faults, finds that its page is frame A, and is about to map it. Meanwhile the
 * owner moves the page to frame B: it zaps (nothing is mapped yet), copies, and frees A. Now the
 * vCPU maps A, and from then on it reads and writes a page that is somebody else's. With the
 * sequence read before the lookup there are two cases: the move has not ended when the vCPU asks
 * under the lock, and in_progress says so; or it has ended since, and the sequence has changed. Had
 * the sequence been read after the lookup, a move that began and ended between the two would go
 * unnoticed.
 */
#include "hv/host/print.h"
#include "hv/vm/apic_page.h"
#include "hv/vm/internal.h"

void invalidate_begin(struct vm *vm, gpa_t gpa, u64 len)
{
	struct vm_invalidation *i = &vm->invalidation;

	spin_lock(&vm->vmx.lock);
	/* Several may be under way; one range that covers all of them errs on the safe side. */
	if (!atomic_load_explicit(&i->in_progress, memory_order_relaxed)) {
		i->start = gpa;
		i->end = gpa + len;
	} else {
		i->start = min_u64(i->start, gpa);
		i->end = max_u64(i->end, gpa + len);
	}
	atomic_fetch_add_explicit(&i->in_progress, 1, memory_order_relaxed);
	spin_unlock(&vm->vmx.lock);
	apic_page_invalidated(vm, gpa, len);
}

void invalidate_end(struct vm *vm)
{
	struct vm_invalidation *i = &vm->invalidation;

	spin_lock(&vm->vmx.lock);
	/* Ordered before what follows: who sees the new page sees the new sequence. */
	atomic_fetch_add_explicit(&i->seq, 1, memory_order_release);
	BUG_ON(!atomic_load_explicit(&i->in_progress, memory_order_relaxed));
	atomic_fetch_sub_explicit(&i->in_progress, 1, memory_order_release);
	spin_unlock(&vm->vmx.lock);
}

u64 invalidate_seq(struct vm *vm)
{
	return seq_read(vm);
}

bool invalidate_retry(struct vm *vm, gpa_t gpa, u64 seq)
{
	return seq_retry(vm, gpa, seq);
}
