/* SPDX-License-Identifier: GPL-2.0-only */
/* Circular doubly linked lists, as in every kernel. */
#ifndef HV_HOST_LIST_H
#define HV_HOST_LIST_H

#include "hv/host/types.h"

struct list {
	struct list *prev, *next;
};

#define LIST_INIT(l)                                                                               \
	{                                                                                          \
		&(l), &(l)                                                                         \
	}

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

/* Link @n in front of @pos; with the head of a list as @pos that is its tail. */
static inline void list_add_before(struct list *pos, struct list *n)
{
	n->prev = pos->prev;
	n->next = pos;
	pos->prev->next = n;
	pos->prev = n;
}

static inline void list_add_tail(struct list *l, struct list *n)
{
	list_add_before(l, n);
}

static inline void list_add_head(struct list *l, struct list *n)
{
	list_add_before(l->next, n);
}

/* Unlink @n and leave it as an empty list, so that a second list_del() does no harm. */
static inline void list_del(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

#define list_entry(p, t, m) container_of(p, t, m)

/* @next is a second cursor, so that the body may delete @pos. */
#define list_for_each(pos, next_, head)                                                            \
	for ((pos) = (head)->next, (next_) = (pos)->next; (pos) != (head);                         \
	     (pos) = (next_), (next_) = (pos)->next)

#endif
