/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One step from a set of slots to the next, while vCPUs run and others read.
 *
 *	1  edit the inactive set
 *	2  invalidate_begin(): from now on no fault maps anything in the ranges concerned
 *	3  with SLOTS_LIVE: mark the slots that go invalid, wait for the readers
 *	4  take the translations away that will not mean the same; flush
 *	5  publish the set; wait for the readers that may still be in the old one
 *	6  carry the dirty logs over; the same edit in the set that was active
 *	7  invalidate_end()
 *
 * Translations go before the slots do. A vCPU that touches the range between 4 and 5 finds the old
 * slot, and an invalidation in progress, and tries again; so when the new slots appear no vCPU can
 * use an old translation beside one that has found a new slot, and what can fail has been done.
 *
 * Were the slots published first, without the invalidation around it all, a reader that has found
 * the old slot could map its page after the zap; in this order step 2 and the question under the
 * table lock (hv/vm/invalidate.h) keep it from that, and a reader that still has an old slot when
 * step 7 is over finds the sequence changed. The wait in step 5 is what lets an old slot be freed,
 * and its dirty log be read for the last time: nobody marks it any more.
 */
#include "hv/host/chaos.h"
#include "hv/host/errno.h"
#include "hv/host/panic.h"
#include "hv/host/print.h"
#include "hv/host/timer.h"
#include "hv/host/trace.h"
#include "hv/vm/internal.h"
#include "hv/vm/slots_internal.h"

/* --- sets ------------------------------------------------------------------------------------ */

static inline void remove_two(struct slot_set *set, struct vm_slot *const slots[2])
{
	if (slots[0])
		slot_set_remove(set, slots[0]);
	if (unlikely(slots[1]))
		slot_set_remove(set, slots[1]);
}

static inline void insert_two(struct slot_set *set, struct vm_slot *const slots[2])
{
	if (slots[0])
		slot_set_insert(set, slots[0]);
	if (unlikely(slots[1]))
		slot_set_insert(set, slots[1]);
}

void slots_edit_one(struct slot_set *set, const struct slot_edit *e)
{
	remove_two(set, e->out);
	insert_two(set, e->in);
}

void slots_edit(struct slot_set *set, const struct slot_step *s)
{
	bool out = s->parts & SLOTS_OUT, in = s->parts & SLOTS_IN;

	for (unsigned int i = 0; i < s->n && !s->back; i++) {
		if (out)
			remove_two(set, s->edit[i].out);
		if (in)
			insert_two(set, s->edit[i].in);
	}
	for (unsigned int i = s->n; s->back && i--;) {
		if (in)
			remove_two(set, s->edit[i].in);
		if (out)
			insert_two(set, s->edit[i].out);
	}
}

/* The usual step is one edit, whole. */
static inline void edit_set(struct slot_set *set, const struct slot_step *s)
{
	if (likely(s->n == 1 && s->parts == SLOTS_BOTH && !s->back))
		slots_edit_one(set, s->edit);
	else
		slots_edit(set, s);
}

/* --- readers --------------------------------------------------------------------------------- */

static int drain(struct slot_work *w)
{
	u64 start = ticks_now();
	u32 cpu;
	int err = readers_wait(w->vm, start + tsc_hz, &cpu);

	w->report->drain += ticks_now() - start;
	return err ? slot_refuse(w->report, err, "a thread on CPU %u does not leave the slots", cpu)
		   : 0;
}

static void activate(struct vm *vm, struct slot_set *set)
{
	race_point();
	atomic_store_explicit(&vm->slots.active, set, memory_order_seq_cst);
	atomic_fetch_add_explicit(&vm->slots.generation, 1, memory_order_seq_cst);
	if (unlikely(vm->traced))
		trace("slots: publish", atomic_load(&vm->slots.generation), set->nr);
	race_point();
}

/*
 * Sections are short and never sleep. One that has not ended after a second is given the time of a
 * second attempt, back in the old slots; then this is, like an endless wait for a spinlock, a bug.
 */
static int publish(struct slot_work *w, const struct slot_step *s, struct slot_set *new,
		   struct slot_set *old)
{
	int err;

	activate(w->vm, new);
	err = drain(w);
	if (likely(!err))
		return 0;
	if (!s->back)
		activate(w->vm, old);
	if (drain(w))
		panic("slots: %s", w->report->why);
	return s->back ? 0 : err;
}

static void mark(const struct slot_step *s, bool invalid)
{
	for (unsigned int i = 0; i < 2; i++)
		if (s->edit->out[i])
			atomic_store(&s->edit->out[i]->invalid, invalid);
}

/* --- translations ---------------------------------------------------------------------------- */

/* The part of the address space that the step concerns. */
static void begin(struct vm *vm, const struct slot_step *s)
{
	gpa_t start = ~0ull, end = 0;

	for (unsigned int i = 0; i < s->n; i++) {
		start = min_u64(start, s->edit[i].start);
		end = max_u64(end, s->edit[i].end);
	}
	if (vm->slots.zap == ZAP_ALL) {
		start = 0;
		end = vm->vmx.ept.limit;
	}
	invalidate_begin(vm, start, end - start);
}

static int unmap_slots(struct vm *vm, struct vm_slot *const slots[2])
{
	int r = 0, any = 0;

	for (unsigned int i = 0; i < 2 && r >= 0; i++) {
		r = slots[i] ? ept_unmap(&vm->vmx.ept, slots[i]->base, slots[i]->size) : 0;
		any |= r > 0;
	}
	return r < 0 ? r : any;
}

/*
 * Whether an edit takes translations away. Then there is a flush, also when none was found:
 * somebody else (a page that moves, vm_drop_page()) may have taken them away and not have flushed
 * yet.
 */
static bool takes_away(const struct slot_step *s, const struct slot_edit *e)
{
	if (unlikely(s->back))
		return s->parts & SLOTS_IN;
	if (s->parts != SLOTS_BOTH)
		return s->parts & SLOTS_OUT;
	return e->effect != EFFECT_NONE;
}

/* Returns as ept_unmap(). */
static int zap_edit(struct vm *vm, const struct slot_step *s, const struct slot_edit *e)
{
	struct ept *ept = &vm->vmx.ept;
	int r;

	if (e->effect == EFFECT_LOG && !s->back && s->parts == SLOTS_BOTH)
		return ept_log_dirty(ept, e->gpa, e->len, (enum ept_log)vm->dirty_how);
	if (vm->slots.zap == ZAP_ALL)
		return ept_unmap(ept, 0, ept->limit);
	if (!s->back && s->parts == SLOTS_BOTH)
		return ept_unmap(ept, e->gpa, e->len);
	r = unmap_slots(vm, s->back ? e->in : e->out);
	/* Taking everything away splits nothing, and so cannot fail. */
	return r < 0 && s->back ? ept_unmap(ept, 0, ept->limit) : r;
}

/* Take the translations away. Returns an error, with @any and @tables what has to be flushed. */
static int zap(struct slot_work *w, const struct slot_step *s, bool *any,
	       struct ept_unlinked **tables)
{
	struct vm *vm = w->vm;
	u64 start = ticks_now();
	int r = 0;

	spin_lock(&vm->vmx.lock);
	for (unsigned int i = 0; i < s->n && r >= 0; i++) {
		if (!takes_away(s, &s->edit[i]))
			continue;
		r = zap_edit(vm, s, &s->edit[i]);
		*any = true;
	}
	*tables = ept_detach_unlinked(&vm->vmx.ept);
	spin_unlock(&vm->vmx.lock);
	w->report->zap += ticks_now() - start;
	if (unlikely(vm->traced))
		trace("slots: zapped", *any, 0);
	return r < 0 ? slot_refuse(w->report, r, "no memory to split a large page") : 0;
}

static int flush(struct slot_work *w, struct ept_unlinked *tables)
{
	struct vm *vm = w->vm;
	u64 start = ticks_now(), flushed;
	int err = vm_flush(vm, start + tsc_hz);

	flushed = ticks_now();
	w->report->flush += flushed - start;
	if (unlikely(vm->traced))
		trace("slots: flushed", (u64)err, 0);
	if (tables) {
		race_point();
		vm_free_tables(vm, tables, !err);
		w->report->free += ticks_now() - flushed;
	}
	return err ? slot_refuse(w->report, err, "a vCPU does not leave the guest") : 0;
}

/*
 * What PML has logged under an address that is about to mean nothing, or something else, belongs to
 * the log of the old slot, to go with it or to be carried over. Nothing more can be logged there:
 * the zap has been flushed. Where a log is switched on the translations have stayed: log_again().
 */
static int collect(struct slot_work *w)
{
	if (likely(!w->logged) || w->vm->dirty_how != DIRTY_PML)
		return 0;
	if (dirty_collect(w->vm, ticks_now() + tsc_hz))
		return slot_refuse(w->report, -ETIMEDOUT, "a vCPU does not leave the guest");
	return 0;
}

static int zap_and_flush(struct slot_work *w, const struct slot_step *s)
{
	struct ept_unlinked *tables;
	bool any = false;
	int err, late = 0;

	race_point();
	err = zap(w, s, &any, &tables);
	if (any || tables) {
		race_point();
		late = flush(w, tables);
		if (!err && !late)
			err = collect(w);
	}
	race_point();
	return err ? err : late;
}

/*
 * A log that is switched on. A page that a vCPU has written between the arming and the publishing
 * may have been logged, and taken out of PML's buffer, when no slot had a log for it; it is dirty,
 * so nothing would log it again. Now there is a slot: arm them all once more. What was large has
 * been split, and nothing was mapped since, so this cannot fail.
 */
static void log_again(struct slot_work *w, const struct slot_step *s)
{
	struct vm *vm = w->vm;
	bool any = false;

	for (unsigned int i = 0; i < s->n; i++) {
		const struct slot_edit *e = &s->edit[i];

		if (e->effect != EFFECT_LOG || s->back || s->parts != SLOTS_BOTH)
			continue;
		spin_lock(&vm->vmx.lock);
		any |= ept_log_dirty(&vm->vmx.ept, e->gpa, e->len, (enum ept_log)vm->dirty_how) > 0;
		spin_unlock(&vm->vmx.lock);
	}
	if (any && vm_flush(vm, ticks_now() + tsc_hz))
		w->late = true;
}

static void carry(const struct slot_step *s)
{
	if (!(s->parts & SLOTS_IN) && !s->back)
		return;
	for (unsigned int i = 0; i < s->n; i++) {
		struct slot_edit *e = &s->edit[s->back ? s->n - 1 - i : i];

		for (unsigned int k = 0; k < 4; k++) {
			struct vm_slot *out = e->out[k & 1], *in = e->in[k >> 1];

			if (out && in)
				dirty_carry(s->back ? out : in, s->back ? in : out);
		}
	}
}

/* --- the step -------------------------------------------------------------------------------- */

int slots_step(struct slot_work *w, const struct slot_step *s, bool live, bool edited)
{
	struct slot_set *new = slots_inactive(w->vm), *old = atomic_load(&w->vm->slots.active);
	const struct slot_step undo = { s->edit, s->n, s->parts, !s->back, false };
	int err = 0;

	if (!edited)
		edit_set(new, s);
	if (!s->more)
		slot_set_settle(new);
	begin(w->vm, s);
	race_point();
	if (live) {
		mark(s, true);
		err = drain(w);
	}
	if (!err)
		err = zap_and_flush(w, s);
	if (unlikely(err) && s->back) {
		w->late = true;
		err = 0;
	}
	if (!err)
		err = publish(w, s, new, old);
	if (unlikely(err)) {
		slots_edit(new, &undo);
		if (live)
			mark(s, false);
	} else {
		if (unlikely(w->logged)) {
			carry(s);
			log_again(w, s);
		}
		edit_set(old, s);
		if (!s->more)
			slot_set_settle(old);
		if (s->back)
			mark(s, false);
	}
	race_point();
	invalidate_end(w->vm);
	/* The generation, advanced with the new set, comes before this. */
	atomic_thread_fence(memory_order_seq_cst);
	if (unlikely(atomic_load_explicit(&w->vm->fetches.sleepers, memory_order_relaxed)))
		missing_wake(w->vm);
	return err;
}
