/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files behind hv/vm/slots.h share: the two sets, and a change list once it is understood.
 */
#ifndef HV_VM_SLOTS_INTERNAL_H
#define HV_VM_SLOTS_INTERNAL_H

#include "hv/host/tree.h"
#include "hv/vm/vm.h"

/*
 * A place in the tree of one set. A slot that is taken out leaves its node behind as a hollow one,
 * which the next slot with the same base takes over: replacing a slot, the most frequent change,
 * then leaves the tree alone. slot_set_settle() takes hollow nodes out of the tree. The nodes are
 * the set's, not the slot's; each slot brings one along for each set.
 */
struct slot_node {
	RB_ENTRY(slot_node) link;
	gpa_t base;
	struct vm_slot *slot; /* NULL: hollow */
	bool listed;	      /* in .hollow */
	struct slot_node *next;
};

RB_HEAD(slot_tree, slot_node);

/* What a struct vm_slot of ours is part of: it can be in both sets at once. */
struct slot_object {
	struct vm_slot slot;
	struct slot_node *node[2];
	struct slot_object *next; /* in vm_slots.late or .spare */
};

struct slot_set {
	unsigned int index; /* which node of a slot it uses */
	u32 nr;
	struct slot_tree tree;
	u32 nr_nodes; /* as many as there are slots, in this set or not: inserting cannot fail */
	struct slot_node *spare;  /* not in the tree */
	struct slot_node *hollow; /* those that were hollow at some time since the last settling */
	struct vm_slot *by_id[VM_MAX_SLOTS + 1]; /* the last: SLOT_ID_APIC */
};

/* What becomes of the translations of a range. */
enum slot_effect {
	EFFECT_NONE,  /* they mean the same as before */
	EFFECT_UNMAP, /* they are taken away */
	EFFECT_LOG,   /* the next write to each page is to be noticed */
};

/* An item of a change list: slots that go, slots that come, and what changes its meaning. */
struct slot_edit {
	enum slot_op op;
	enum slot_effect effect;
	gpa_t gpa; /* of the effect */
	u64 len;
	gpa_t start, end; /* around all of it */
	struct vm_slot *out[2], *in[2];
};

/* --- slots.c --------------------------------------------------------------------------------- */

/* A slot as @shape says (all but .op and .other), with references of its own, in no set. NULL: no
 * memory. */
struct vm_slot *slot_new(struct vm *vm, const struct slot_change *shape);

/* No reader can find it any more. */
void slot_free(struct vm *vm, struct vm_slot *slot);

/* As slot_free(), but a CPU may still use its memory: when the VM ends. */
void slot_free_late(struct vm *vm, struct vm_slot *slot);

/* The private slot, or NULL. Context as slot_find(). */
struct vm_slot *slot_private(struct vm *vm);

/* --- slot_set.c ------------------------------------------------------------------------------ */

/* Have nodes for @nr slots. Returns 0 or -ENOMEM. */
int slot_set_reserve(struct slot_set *set, u32 nr);

/* A hollow node with this base, or a new one in the tree. */
struct slot_node *slot_set_place(struct slot_set *set, gpa_t base);

/* Take the hollow nodes out: before slots are freed. Readers pass over hollow nodes. */
void slot_set_settle(struct slot_set *set);

/* Changes, for a set that no reader sees. */
static inline void slot_set_insert(struct slot_set *set, struct vm_slot *slot)
{
	struct slot_object *o = container_of(slot, struct slot_object, slot);
	struct slot_node *n = set->hollow;

	if (!n || n->slot || n->base != slot->base)
		n = slot_set_place(set, slot->base);
	n->slot = slot;
	o->node[set->index] = n;
	set->by_id[slot->id] = slot;
	set->nr++;
}

static inline void slot_set_remove(struct slot_set *set, struct vm_slot *slot)
{
	struct slot_node *n = container_of(slot, struct slot_object, slot)->node[set->index];

	n->slot = NULL;
	if (!n->listed) {
		n->listed = true;
		n->next = set->hollow;
		set->hollow = n;
	}
	set->by_id[slot->id] = NULL;
	set->nr--;
}

/* Free the set, which is empty, and its nodes. NULL is ignored. */
void slot_set_free(struct slot_set *set);

/* The slot with the highest base that is not above @gpa, the lowest that is not below it; or NULL.
 */
struct vm_slot *slot_set_below(struct slot_set *set, gpa_t gpa);
struct vm_slot *slot_set_above(struct slot_set *set, gpa_t gpa);

/* --- slots_check.c --------------------------------------------------------------------------- */

/* Whether @c can be done to the slots of @set. Returns 0, or an error of vm_change_slots() with a
 * line in @report->why. */
int slot_check(struct vm *vm, struct slot_set *set, const struct slot_change *c,
	       struct slot_report *report);

/* The part of it that is about a slot's backing. */
int slot_check_memory(const struct slot_change *c, struct slot_report *report);

/* Put "item I: " and the rest into @report->why. Returns @err. */
int slot_refuse(struct slot_report *report, int err, const char *fmt, ...) __printf(3, 4);

/* --- slots_change.c -------------------------------------------------------------------------- */

/* Take vm->change_mutex, at a time when no other thread holds the VM. */
void slots_lock(struct vm *vm);

/* vm_change_slots() for one item that concerns the private slot. change_mutex held. */
int slots_change_private(struct vm *vm, const struct slot_change *c);

/* --- slots_step.c ---------------------------------------------------------------------------- */

/* A change list being applied. */
struct slot_work {
	struct vm *vm;
	struct slot_report *report;
	unsigned int n; /* edits in vm->slots.edit */
	bool logged;	/* a slot that goes has a dirty log, or is to have one */
	bool late;	/* undone without being sure that no CPU uses what came */
};

enum slot_parts { SLOTS_OUT = 1, SLOTS_IN = 2, SLOTS_BOTH = 3 };

/* What becomes visible at once: these edits, these parts of them, forward or back. */
struct slot_step {
	struct slot_edit *edit;
	unsigned int n;
	enum slot_parts parts;
	bool back;
	bool more; /* a step follows, which may fill what is hollow: settle the sets then */
};

/* The set that no reader sees. change_mutex held. */
static inline struct slot_set *slots_inactive(struct vm *vm)
{
	struct vm_slots *s = &vm->slots;

	return s->set[atomic_load_explicit(&s->active, memory_order_relaxed) == s->set[0]];
}

/* Carry out an edit, or a step, in one set. */
void slots_edit_one(struct slot_set *set, const struct slot_edit *e);
void slots_edit(struct slot_set *set, const struct slot_step *s);

/*
 * Make a step, in both sets, with all that belongs to it. @live: mark what goes as invalid first;
 * @edited: the inactive set has been edited already. Returns 0, or -ETIMEDOUT or -ENOMEM with a
 * line in the report and nothing having changed. A step back always succeeds, but may be ->late.
 */
int slots_step(struct slot_work *w, const struct slot_step *s, bool live, bool edited);

#endif
