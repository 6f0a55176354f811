/* SPDX-License-Identifier: GPL-2.0-only */
/* One set of slots: a tree by address, and a table by id. */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/vm/slots_internal.h"

static int compare(const struct slot_node *a, const struct slot_node *b)
{
	return a->base < b->base ? -1 : a->base > b->base;
}

RB_GENERATE_STATIC(slot_tree, slot_node, link, compare)

/* --- nodes ----------------------------------------------------------------------------------- */

static void push(struct slot_node **list, struct slot_node *n)
{
	n->next = *list;
	*list = n;
}

static struct slot_node *pop(struct slot_node **list)
{
	struct slot_node *n = *list;

	if (n)
		*list = n->next;
	return n;
}

int slot_set_reserve(struct slot_set *set, u32 nr)
{
	while (set->nr_nodes < nr) {
		struct slot_node *n = kzalloc(sizeof(*n));

		if (!n)
			return -ENOMEM;
		push(&set->spare, n);
		set->nr_nodes++;
	}
	return 0;
}

void slot_set_free(struct slot_set *set)
{
	struct slot_node *n;

	if (!set)
		return;
	slot_set_settle(set);
	while ((n = pop(&set->spare)))
		kfree(n);
	kfree(set);
}

/* --- changes --------------------------------------------------------------------------------- */

/* There are one or two in the list after most changes. */
static struct slot_node *find_hollow(struct slot_set *set, gpa_t base)
{
	struct slot_node *n = set->hollow;

	while (n && (n->base != base || n->slot))
		n = n->next;
	return n;
}

struct slot_node *slot_set_place(struct slot_set *set, gpa_t base)
{
	struct slot_node *n = find_hollow(set, base);

	if (!n) {
		n = pop(&set->spare);
		n->base = base;
		RB_INSERT(slot_tree, &set->tree, n);
	}
	return n;
}

static noinline void take_out(struct slot_set *set, struct slot_node *n)
{
	RB_REMOVE(slot_tree, &set->tree, n);
	push(&set->spare, n);
}

void slot_set_settle(struct slot_set *set)
{
	struct slot_node *n;

	while ((n = pop(&set->hollow))) {
		n->listed = false;
		if (!n->slot)
			take_out(set, n);
	}
}

/* --- looking --------------------------------------------------------------------------------- */

struct vm_slot *slot_set_below(struct slot_set *set, gpa_t gpa)
{
	struct slot_node *n = RB_ROOT(&set->tree), *found = NULL;

	while (n) {
		if (n->base <= gpa) {
			found = n;
			n = RB_RIGHT(n, link);
		} else {
			n = RB_LEFT(n, link);
		}
	}
	while (found && unlikely(!found->slot))
		found = RB_PREV(slot_tree, &set->tree, found);
	return found ? found->slot : NULL;
}

struct vm_slot *slot_set_above(struct slot_set *set, gpa_t gpa)
{
	struct slot_node *n = RB_ROOT(&set->tree), *found = NULL;

	while (n) {
		if (n->base >= gpa) {
			found = n;
			n = RB_LEFT(n, link);
		} else {
			n = RB_RIGHT(n, link);
		}
	}
	while (found && unlikely(!found->slot))
		found = RB_NEXT(slot_tree, &set->tree, found);
	return found ? found->slot : NULL;
}
