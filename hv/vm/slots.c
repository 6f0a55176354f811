/* SPDX-License-Identifier: GPL-2.0-only */
/* The slots of a VM: finding one, making and freeing one. See hv/vm/slots.h. */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/vm/slots_internal.h"
#include "hv/vm/userfault.h"

/*
 * A slot that is replaced needs a new object and frees one. Freed memory is poisoned and checked,
 * which takes as long as the rest of the change, so a few objects are kept. On hosted builds
 * none is: the sanitizers are to see every free.
 */
#define SLOT_SPARES 4

int slots_init(struct vm *vm)
{
	struct vm_slots *s = &vm->slots;

	s->edit = kzalloc(SLOT_LIST_MAX * sizeof(*s->edit));
	for (unsigned int i = 0; i < 2; i++) {
		s->set[i] = kzalloc(sizeof(*s->set[i]));
		if (s->set[i])
			s->set[i]->index = i;
	}
	if (!s->edit || !s->set[0] || !s->set[1]) {
		slots_destroy(vm);
		return -ENOMEM;
	}
	atomic_store(&s->active, s->set[0]);
	return 0;
}

/* The same slots are in both sets. */
static void free_all(struct vm *vm)
{
	struct slot_set *const *set = vm->slots.set;
	struct vm_slot *slot;

	while ((slot = slot_set_above(set[0], 0))) {
		for (unsigned int i = 0; i < 2; i++) {
			slot_set_remove(set[i], slot);
			slot_set_settle(set[i]);
		}
		slot_free(vm, slot);
	}
}

static struct slot_object *pop(struct slot_object **list)
{
	struct slot_object *o = *list;

	if (o)
		*list = o->next;
	return o;
}

void slots_destroy(struct vm *vm)
{
	struct vm_slots *s = &vm->slots;
	struct slot_object *o;

	if (atomic_load(&s->active))
		free_all(vm);
	while ((o = pop(&s->late)))
		slot_free(vm, &o->slot);
	while ((o = pop(&s->spare)))
		kfree(o);
	for (unsigned int i = 0; i < 2; i++)
		slot_set_free(s->set[i]);
	kfree(s->edit);
}

static struct slot_object *object_get(struct vm *vm)
{
	struct vm_slots *s = &vm->slots;
	struct slot_object *o = pop(&s->spare);

	if (o) {
		s->nr_spare--;
		return o;
	}
	if (slot_set_reserve(s->set[0], s->nr_objects + 1) ||
	    slot_set_reserve(s->set[1], s->nr_objects + 1))
		return NULL;
	o = kzalloc(sizeof(*o));
	s->nr_objects += !!o;
	return o;
}

static void object_put(struct vm *vm, struct slot_object *o)
{
	if (__STDC_HOSTED__ || vm->slots.nr_spare == SLOT_SPARES) {
		vm->slots.nr_objects--;
		kfree(o);
		return;
	}
	vm->slots.nr_spare++;
	o->next = vm->slots.spare;
	vm->slots.spare = o;
}

struct vm_slot *slot_new(struct vm *vm, const struct slot_change *shape)
{
	struct slot_object *o = object_get(vm);
	struct vm_slot *s;

	if (!o)
		return NULL;
	s = &o->slot;
	s->base = shape->base;
	s->size = shape->size;
	s->backing = shape->backing;
	s->offset = shape->offset;
	s->id = shape->id;
	s->flags = shape->flags;
	atomic_init(&s->invalid, false);
	s->dirty = NULL;
	s->userfault = shape->userfault;
	s->hidden = s->userfault ? userfault_bits(s->userfault) : NULL;
	if (s->flags & SLOT_LOG_DIRTY && dirty_attach(s)) {
		object_put(vm, o);
		return NULL;
	}
	backing_get(s->backing);
	if (s->userfault)
		userfault_get(s->userfault);
	backing_attach(s->backing, &s->view, vm, s->base, s->offset, s->size);
	return s;
}

void slot_free(struct vm *vm, struct vm_slot *slot)
{
	struct backing *b = slot->backing;

	backing_detach(b, &slot->view);
	dirty_detach(slot);
	if (slot->userfault)
		userfault_put(slot->userfault);
	object_put(vm, container_of(slot, struct slot_object, slot));
	backing_put(b);
}

void slot_free_late(struct vm *vm, struct vm_slot *slot)
{
	struct slot_object *o = container_of(slot, struct slot_object, slot);

	o->next = vm->slots.late;
	vm->slots.late = o;
}

/*
 * Sequentially consistent, as the count of the reader is that came before it: a change that has not
 * seen the reader counted has published before this load.
 */
static struct slot_set *active(struct vm *vm)
{
	return atomic_load_explicit(&vm->slots.active, memory_order_seq_cst);
}

struct vm_slot *slot_find(struct vm *vm, gpa_t gpa)
{
	struct vm_slot *s = slot_set_below(active(vm), gpa);

	return s && gpa - s->base < s->size ? s : NULL;
}

struct vm_slot *slot_by_id(struct vm *vm, u32 id)
{
	return id < VM_MAX_SLOTS ? active(vm)->by_id[id] : NULL;
}

struct vm_slot *slot_private(struct vm *vm)
{
	return active(vm)->by_id[SLOT_ID_APIC];
}

struct vm_slot *slot_next(struct vm *vm, gpa_t gpa)
{
	return slot_set_above(active(vm), gpa);
}

u32 slots_count(struct vm *vm)
{
	const struct slot_set *set = active(vm);

	return set->nr - !!set->by_id[SLOT_ID_APIC];
}
