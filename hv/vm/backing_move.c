/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Taking pages away under a running guest: moving them to other frames, making them missing.
 *
 *	plan	 new frames, tables for blocks that become single pages: all that can fail early
 *	begin	 in every VM that shows the range: from here on nobody installs a translation of it,
 *		 and the hypervisor's own accesses wait (hv/vm/memory.c)
 *	zap	 the translations that there are
 *	flush	 until no CPU uses one
 *	copy, exchange
 *	end	 who waited looks again and finds the new frame
 *	free	 the old ones
 *
 * What is begun is wider than what is moved: a fault on a page beside the range may be about to
 * install a leaf of 2 MiB or 1 GiB that covers it, and asks about its own page only. So begin takes
 * the whole blocks, and the whole GiB of a block that is part of one.
 */
#include "hv/host/chaos.h"
#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "hv/host/trace.h"
#include "hv/vm/backing_internal.h"
#include "hv/vm/internal.h"

/* --- begin, zap, flush, end ------------------------------------------------------------------ */

/* The part of [from, to) that a view shows. */
static bool shows(const struct backing_view *v, u64 from, u64 to, gpa_t *gpa, u64 *len)
{
	from = max_u64(from, v->offset);
	to = min_u64(to, v->offset + v->size);
	if (from >= to)
		return false;
	*gpa = v->gpa + (from - v->offset);
	*len = to - from;
	return true;
}

/* What a leaf that covers a part of the range can cover. */
static void widen(struct backing *b, u64 *from, u64 *to)
{
	u64 first = word_load(block_at(b, *from)), last = word_load(block_at(b, *to - 1));

	*from = ALIGN_DOWN(*from, first & WORD_GIANT ? GIANT_SIZE : BLOCK_SIZE);
	*to = ALIGN_UP(*to, last & WORD_GIANT ? GIANT_SIZE : BLOCK_SIZE);
}

static struct backing_view *affected_view(struct list *node)
{
	return list_entry(node, struct backing_view, affected);
}

/* The list of views holds still: see backing_view.c. */
static void begin(struct move *m)
{
	u64 from = m->from, to = m->to, len;
	struct list *pos, *next;
	gpa_t gpa;

	widen(m->b, &from, &to);
	list_init(&m->views);
	list_for_each (pos, next, &m->b->views) {
		struct backing_view *v = list_entry(pos, struct backing_view, node);

		if (!shows(v, from, to, &gpa, &len))
			continue;
		list_add_tail(&m->views, &v->affected);
		invalidate_begin(v->vm, gpa, len);
	}
}

static void end(struct move *m)
{
	struct list *pos, *next;

	list_for_each (pos, next, &m->views)
		invalidate_end(affected_view(pos)->vm);
}

static int zap(struct move *m)
{
	struct list *pos, *next;
	int err = 0;

	list_for_each (pos, next, &m->views) {
		struct backing_view *v = affected_view(pos);
		gpa_t gpa;
		u64 len;
		int r;

		if (!shows(v, m->from, m->to, &gpa, &len))
			continue;
		spin_lock(&v->vm->vmx.lock);
		r = ept_unmap(&v->vm->vmx.ept, gpa, len);
		spin_unlock(&v->vm->vmx.lock);
		if (r < 0)
			err = r;
	}
	return err;
}

static int flush_vm(struct vm *vm)
{
	struct ept_unlinked *tables;

	spin_lock(&vm->vmx.lock);
	tables = ept_detach_unlinked(&vm->vmx.ept);
	spin_unlock(&vm->vmx.lock);
	return vm_flush_and_free(vm, tables, ticks_now() + tsc_hz);
}

/*
 * Each VM once, and also if nothing was mapped: somebody else may have zapped the same range and
 * not flushed yet.
 */
static int flush(struct move *m)
{
	struct list *pos, *next;
	int err = 0, r;

	list_for_each (pos, next, &m->views) {
		struct list *first = m->views.next;

		if (apic_page_owes_flush(affected_view(pos)->vm, affected_view(pos)->gpa,
					 affected_view(pos)->size))
			continue;
		while (affected_view(first)->vm != affected_view(pos)->vm)
			first = first->next;
		if (first != pos)
			continue;
		r = flush_vm(affected_view(pos)->vm);
		if (r)
			err = r;
	}
	return err;
}

/* --- the whole ------------------------------------------------------------------------------- */

/* For the timeline of a VM that is traced. */
static void mark(struct move *m, const char *what)
{
	struct list *pos, *next;

	list_for_each (pos, next, &m->views)
		if (unlikely(affected_view(pos)->vm->traced))
			trace(what, 0, 0);
}

static int take_away(struct move *m)
{
	int err;

	begin(m);
	if (m->hide)
		userfault_set_bits(m->hide, m->from, m->to - m->from);
	race_point();
	err = zap(m);
	race_point();
	/* If one could not be zapped others were, and their tables wait for a flush. */
	if (flush(m) && !err)
		err = -ETIMEDOUT;
	mark(m, "move: flushed");
	race_point();
	if (!err && !m->hide)
		move_exchange(m);
	race_point();
	end(m);
	mark(m, "move: copied, ended");
	return err;
}

/* One at a time, and beside no access of the owner's: see backing_access.c. */
static void start(struct backing *b)
{
	struct waiter w;

	backing_lock_settled(b);
	atomic_store_explicit(&b->moving, true, memory_order_seq_cst);
	spin_unlock(&b->lock);
	for (;;) {
		wait_prepare(&b->moved, &w);
		race_point();
		if (!atomic_load_explicit(&b->accesses, memory_order_seq_cst))
			break;
		wait_sleep(&w);
	}
	wait_finish(&b->moved, &w);
}

static void next_may(struct backing *b)
{
	spin_lock(&b->lock);
	atomic_store_explicit(&b->moving, false, memory_order_release);
	spin_unlock(&b->lock);
	wake_all(&b->moved);
}

static int run_move(struct move *m, u64 len)
{
	int err;

	if (!range_ok(m->b, m->from, len))
		return -EINVAL;
	m->to = m->from + len;
	start(m->b);
	err = m->hide ? 0 : move_plan(m);
	if (!err)
		err = take_away(m);
	next_may(m->b);
	move_free(m);
	return err;
}

int backing_move(struct backing *b, u64 offset, u64 len, int fill)
{
	struct move m = { .b = b, .from = offset, .fill = fill };

	if (fill < NO_FILL || fill > 0xff)
		return -EINVAL;
	return run_move(&m, len);
}

int backing_punch(struct backing *b, u64 offset, u64 len)
{
	struct move m = { .b = b, .from = offset, .fill = NO_FILL, .punch = true };

	return run_move(&m, len);
}

int backing_hide(struct backing *b, u64 offset, u64 len, struct userfault *u)
{
	struct move m = { .b = b, .from = offset, .fill = NO_FILL, .hide = u };

	return run_move(&m, len);
}
