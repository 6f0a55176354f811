/* SPDX-License-Identifier: GPL-2.0-only */
/* The list of armed timers, free of hardware. */
#include "hv/host/timer.h"

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	*t = (struct timer){ .fn = fn };
	list_init(&t->node);
}

void timer_queue_add(struct list *queue, struct timer *t)
{
	struct list *pos = queue;

	/* From the end: most timers are armed for later than those before them. */
	while (pos->prev != queue &&
	       list_entry(pos->prev, struct timer, node)->deadline > t->deadline)
		pos = pos->prev;
	list_add_before(pos, &t->node);
}

void timer_queue_take_due(struct list *queue, u64 now, struct list *due)
{
	while (!list_empty(queue)) {
		struct timer *t = list_entry(queue->next, struct timer, node);

		if (t->deadline > now)
			return;
		list_del(&t->node);
		list_add_tail(due, &t->node);
	}
}
