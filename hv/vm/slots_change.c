/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Applying a change list: what each item means, and the three ways. A list becomes edits, each a
 * few slots that go and a few that come; all slots that come are made, and the whole list is tried
 * in the inactive set, before anything happens that others can see. What remains are waits that can
 * time out, and large pages that cannot be split for lack of memory.
 */
#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "hv/vm/internal.h"
#include "hv/vm/slots_internal.h"

void slots_lock(struct vm *vm)
{
	for (;;) {
		mutex_lock(&vm->change_mutex);
		if (likely(!vm_is_held(vm)) || !gate_closed(vm))
			return;
		/* Who holds it may want the mutex. */
		mutex_unlock(&vm->change_mutex);
		gate_wait(vm);
	}
}

/* --- what an item means ---------------------------------------------------------------------- */

static struct slot_change shape_of(const struct vm_slot *s)
{
	return (struct slot_change){ .id = s->id,
				     .base = s->base,
				     .size = s->size,
				     .backing = s->backing,
				     .offset = s->offset,
				     .flags = s->flags,
				     .userfault = s->userfault };
}

static void edit_covers(struct slot_edit *e, const struct vm_slot *s)
{
	e->start = min_u64(e->start, s->base);
	e->end = max_u64(e->end, s->base + s->size);
}

static void set_effect(struct slot_edit *e, enum slot_effect effect, gpa_t gpa, u64 len)
{
	e->effect = effect;
	e->gpa = gpa;
	e->len = len;
}

static int edit_add(struct vm *vm, struct slot_edit *e, const struct slot_change *shape)
{
	struct vm_slot *s = slot_new(vm, shape);

	if (!s)
		return -ENOMEM;
	edit_covers(e, s);
	e->in[e->in[0] ? 1 : 0] = s;
	return 0;
}

static int edit_split(struct vm *vm, struct slot_edit *e, const struct slot_change *c)
{
	struct slot_change low = shape_of(e->out[0]), high = low;
	int err;

	low.size = c->size;
	high.id = c->other;
	high.base += c->size;
	high.offset += c->size;
	high.size -= c->size;
	err = edit_add(vm, e, &low);
	return err ? err : edit_add(vm, e, &high);
}

/* Rights that are gained come with the next fault; those that are lost have to be taken away. */
static enum slot_effect effect_of_flags(const struct vm_slot *s, const struct slot_change *to)
{
	u32 old = s->flags, new = to->flags;

	if (new & ~old & SLOT_READONLY || (to->userfault && to->userfault != s->userfault))
		return EFFECT_UNMAP;
	return new & ~old &SLOT_LOG_DIRTY ? EFFECT_LOG : EFFECT_NONE;
}

/* @c has been checked against @set. Returns 0 or -ENOMEM. */
static int edit_make(struct vm *vm, struct slot_set *set, const struct slot_change *c,
		     struct slot_edit *e)
{
	struct slot_change shape;
	struct vm_slot *s;

	*e = (struct slot_edit){ .op = c->op, .start = ~0ull };
	if (c->op == SLOT_CREATE)
		return edit_add(vm, e, c);
	s = e->out[0] = set->by_id[c->id];
	edit_covers(e, s);
	shape = shape_of(s);
	switch (c->op) {
	case SLOT_MOVE:
		shape.base = c->base;
		if (c->base != s->base)
			set_effect(e, EFFECT_UNMAP, s->base, s->size);
		break;
	case SLOT_RESIZE:
		shape.size = c->size;
		if (c->size < s->size)
			set_effect(e, EFFECT_UNMAP, s->base + c->size, s->size - c->size);
		break;
	case SLOT_FLAGS:
		shape.flags = c->flags;
		shape.userfault = c->userfault;
		set_effect(e, effect_of_flags(s, c), s->base, s->size);
		break;
	case SLOT_MERGE:
		e->out[1] = set->by_id[c->other];
		shape.size += e->out[1]->size;
		break;
	case SLOT_SPLIT: return edit_split(vm, e, c);
	default: set_effect(e, EFFECT_UNMAP, s->base, s->size); return 0; /* SLOT_DELETE */
	}
	return edit_add(vm, e, &shape);
}

static bool concerns_log(const struct slot_edit *e)
{
	return e->effect == EFFECT_LOG || (e->out[0] && e->out[0]->dirty);
}

static void edit_free(struct vm *vm, struct slot_edit *e, bool out, bool late)
{
	struct vm_slot **slots = out ? e->out : e->in;

	for (unsigned int i = 0; i < 2; i++) {
		if (slots[i] && late)
			slot_free_late(vm, slots[i]);
		else if (slots[i])
			slot_free(vm, slots[i]);
	}
}

/* --- the list -------------------------------------------------------------------------------- */

/*
 * A slot that is deleted and created again in the same place, with other memory perhaps. Made at
 * once, it is one edit, and what was checked of the old one's range need not be checked again. Not
 * with a dirty log, which within an edit would be carried over.
 */
static bool is_replacement(struct slot_set *set, const struct slot_change *c, unsigned int left)
{
	const struct vm_slot *s;

	if (left < 2 || c->op != SLOT_DELETE || c[1].op != SLOT_CREATE || c->id != c[1].id ||
	    c->id >= VM_MAX_SLOTS)
		return false;
	s = set->by_id[c->id];
	return s && !s->dirty && s->base == c[1].base && s->size == c[1].size &&
	       s->flags == c[1].flags && s->userfault == c[1].userfault &&
	       (!s->userfault || s->backing == c[1].backing);
}

static int make_replacement(struct slot_work *w, struct slot_set *set, const struct slot_change *c,
			    struct slot_edit *e)
{
	int err;

	w->report->item++;
	err = slot_check_memory(c, w->report);
	if (err)
		return err;
	*e = (struct slot_edit){ .op = SLOT_DELETE, .start = ~0ull };
	e->out[0] = set->by_id[c->id];
	set_effect(e, EFFECT_UNMAP, c->base, c->size);
	err = edit_add(w->vm, e, c);
	return err ? slot_refuse(w->report, err, "no memory for slot %u", c->id) : 0;
}

static int make_edit(struct slot_work *w, struct slot_set *set, const struct slot_change *c,
		     struct slot_edit *e)
{
	int err = slot_check(w->vm, set, c, w->report);

	if (err)
		return err;
	err = edit_make(w->vm, set, c, e);
	if (!err)
		return 0;
	edit_free(w->vm, e, false, false);
	return slot_refuse(w->report, err, "no memory for slot %u", c->id);
}

/* Everything as edits, made in the inactive set too; or an error and nothing. */
static int make_edits(struct slot_work *w, const struct slot_change *list, unsigned int n,
		      bool at_once)
{
	struct slot_set *set = slots_inactive(w->vm);
	struct slot_edit *edit = w->vm->slots.edit;
	int err = 0;

	w->n = 0;
	for (unsigned int i = 0; i < n; i++) {
		struct slot_edit *e = &edit[w->n];

		w->report->item = i;
		if (at_once && is_replacement(set, &list[i], n - i))
			err = make_replacement(w, set, &list[++i], e);
		else
			err = make_edit(w, set, &list[i], e);
		if (err)
			break;
		w->logged |= concerns_log(e);
		slots_edit_one(set, e);
		w->n++;
	}
	if (err)
		slots_edit(set, &(struct slot_step){ edit, w->n, SLOTS_BOTH, true, false });
	return err;
}

/* As one step; it has been made in the inactive set. */
static int apply_at_once(struct slot_work *w)
{
	const struct slot_step all = { w->vm->slots.edit, w->n, SLOTS_BOTH, false, false };

	w->report->item = 0;
	return slots_step(w, &all, false, true);
}

/*
 * The slots that an item of this kind changes are, for KVM, others: its users delete the one and
 * create the other.
 */
static bool in_pieces(const struct slot_edit *e)
{
	return e->op == SLOT_RESIZE || e->op == SLOT_SPLIT || e->op == SLOT_MERGE;
}

static int apply_one(struct slot_work *w, struct slot_edit *e, bool live, bool more)
{
	const struct slot_step both = { e, 1, SLOTS_BOTH, false, more };
	const struct slot_step out = { e, 1, SLOTS_OUT, false, true };
	const struct slot_step in = { e, 1, SLOTS_IN, false, more };
	bool mark = live && e->out[0] && e->op != SLOT_FLAGS;
	int err;

	if (!in_pieces(e))
		return slots_step(w, &both, mark, false);
	err = slots_step(w, &out, mark, false);
	if (err)
		return err;
	err = slots_step(w, &in, false, false);
	if (err)
		slots_step(w, &(struct slot_step){ e, 1, SLOTS_OUT, true, false }, false, false);
	return err;
}

static int apply_one_by_one(struct slot_work *w, bool live)
{
	struct slot_edit *edit = w->vm->slots.edit;
	int err = 0;

	slots_edit(slots_inactive(w->vm),
		   &(struct slot_step){ edit, w->n, SLOTS_BOTH, true, false });
	for (unsigned int i = 0; i < w->n && !err; i++) {
		w->report->item = i;
		err = apply_one(w, &edit[i], live, i + 1 < w->n);
	}
	for (unsigned int i = w->report->item; err && i--;)
		slots_step(w, &(struct slot_step){ &edit[i], 1, SLOTS_BOTH, true, false }, false,
			   false);
	return err;
}

static int apply_paused(struct slot_work *w)
{
	struct vm_hold hold = { .vm = NULL };
	struct pause_report pause;
	u64 start = ticks_now();
	int err = vm_pause(w->vm, &hold, 0, &pause);

	w->report->pause = ticks_now() - start;
	if (err) {
		slots_edit(slots_inactive(w->vm),
			   &(struct slot_step){ w->vm->slots.edit, w->n, SLOTS_BOTH, true, false });
		return slot_refuse(w->report, err, "%s", pause.why);
	}
	err = apply_one_by_one(w, false);
	start = ticks_now();
	vm_resume(&hold);
	w->report->resume = ticks_now() - start;
	return err;
}

static int change(struct slot_work *w, const struct slot_change *list, unsigned int n,
		  enum slot_way way)
{
	int err = make_edits(w, list, n, way == SLOTS_ATOMIC);
	bool made = !err;

	if (made && way == SLOTS_ATOMIC)
		err = apply_at_once(w);
	else if (made && way == SLOTS_PAUSED)
		err = apply_paused(w);
	else if (made)
		err = apply_one_by_one(w, true);
	slot_set_settle(slots_inactive(w->vm));
	for (unsigned int i = 0; i < w->n; i++)
		edit_free(w->vm, &w->vm->slots.edit[i], !err, w->late);
	return err;
}

static void report_init(struct slot_report *report)
{
	report->pause = report->resume = report->drain = report->zap = 0;
	report->flush = report->free = report->total = report->item = 0;
	report->why[0] = '\0';
}

int slots_change_private(struct vm *vm, const struct slot_change *c)
{
	struct slot_report report;
	struct slot_work w = { .vm = vm, .report = &report };
	int err;

	report_init(&report);
	vm->slots.changing_private = true;
	err = change(&w, c, 1, SLOTS_LIVE);
	vm->slots.changing_private = false;
	return err;
}

int vm_change_slots(struct vm *vm, const struct slot_change *list, unsigned int n,
		    enum slot_way way, struct slot_report *report)
{
	struct slot_report unused;
	struct slot_work w = { .vm = vm };
	u64 start;
	int err;

	if (!report)
		report = &unused;
	w.report = report;
	report_init(report);
	if (!n || n > SLOT_LIST_MAX)
		return slot_refuse(report, -EINVAL, "a list of %u items: 1 to %u can be", n,
				   SLOT_LIST_MAX);
	slots_lock(vm);
	start = ticks_now();
	err = change(&w, list, n, way);
	report->total = ticks_now() - start;
	mutex_unlock(&vm->change_mutex);
	return err;
}
