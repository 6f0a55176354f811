/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who shows a backing. The list changes only while no move is under way, so a move walks it without
 * the lock, and everything on it stays alive meanwhile.
 *
 * Order of locks: a VM's change_mutex, then this wait, then backing->lock; a move takes no mutex of
 * a VM, so that it can be waited for by who holds one.
 */
#include "hv/host/chaos.h"
#include "hv/vm/backing_internal.h"
#include "hv/vm/vm.h"

static bool lock_unless_moving(struct backing *b)
{
	spin_lock(&b->lock);
	if (likely(!atomic_load_explicit(&b->moving, memory_order_relaxed)))
		return true;
	spin_unlock(&b->lock);
	return false;
}

static noinline void wait_settled(struct backing *b)
{
	struct waiter w;

	while (!lock_unless_moving(b)) {
		race_point();
		wait_prepare(&b->moved, &w);
		race_point();
		if (lock_unless_moving(b)) {
			wait_finish(&b->moved, &w);
			return;
		}
		wait_sleep(&w);
	}
}

static inline void lock_settled(struct backing *b)
{
	if (unlikely(!lock_unless_moving(b)))
		wait_settled(b);
}

void backing_lock_settled(struct backing *b)
{
	lock_settled(b);
}

void backing_attach(struct backing *b, struct backing_view *v, struct vm *vm, gpa_t gpa, u64 offset,
		    u64 size)
{
	v->vm = vm;
	v->gpa = gpa;
	v->offset = offset;
	v->size = size;
	lock_settled(b);
	list_add_tail(&b->views, &v->node);
	spin_unlock(&b->lock);
}

void backing_detach(struct backing *b, struct backing_view *v)
{
	lock_settled(b);
	list_del(&v->node);
	backing_leave_queue(b, &v->vm->fetches);
	spin_unlock(&b->lock);
}
