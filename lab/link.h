/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A modelled link between two ends of one machine: it takes its time, it is busy, and it can break.
 *
 * A message is sent when the link is free, occupies it for bytes / bandwidth, and arrives one
 * latency after that. Urgent messages are sent before others, so one of them waits for the rest of
 * at most one other; among themselves they keep their order. Each direction has a link of its own,
 * or both share one.
 *
 * There is no thread behind it: what has happened up to now is worked out whenever somebody asks,
 * and who waits sleeps until the tick at which something will happen. A message carries its
 * contents in a buffer, or names them where they are, as a device does that reads them by DMA.
 *
 * When the link breaks, what is on it or waits for it is lost, and both ends hear of it at once:
 * from then on everything returns -EPIPE.
 */
#ifndef LAB_LINK_H
#define LAB_LINK_H

#include "hv/host/list.h"
#include "hv/host/spinlock.h"
#include "hv/host/thread.h"
#include "hv/host/types.h"

#define LINK_HEADER   32 /* bytes that each message has beside its contents */
#define LINK_MESSAGES 96

enum link_end { LINK_A, LINK_B, LINK_ENDS };

struct link_message {
	struct list node;
	u32 kind; /* the user's */
	u64 where;
	u32 bytes;	  /* of contents */
	const void *data; /* .buffer, or what stays as it is until it has arrived */
	void *buffer;	  /* PAGE_SIZE */
	/* The link's own. */
	enum link_end to;
	bool urgent;
	u64 queued, arrives;
};

struct link_config {
	u64 latency;   /* ticks */
	u64 bandwidth; /* bytes per 1,000 ticks */
	bool shared;   /* both directions share it */
};

/* One way, or both if they share it. */
struct link_channel {
	struct list urgent, others; /* not sent yet */
	u64 free_at;
};

struct link {
	struct link_config config;
	struct spinlock lock;
	struct link_channel channel[LINK_ENDS]; /* by where it leads to; or all in the first */
	struct list arriving[LINK_ENDS];	/* sent, in their order */
	struct list unused;
	struct wait_queue event[LINK_ENDS]; /* woken when something new will happen there */
	struct wait_queue freed;	    /* woken when a message is unused again */
	bool broken;
	u64 left[2]; /* messages to LINK_B, others and urgent, until it breaks; 0: it does not */
	u64 messages, bytes;
	struct link_message message[LINK_MESSAGES];
};

/** link_create - 0, -ENOMEM. Thread context. */
int link_create(struct link *l, const struct link_config *config);

/** link_destroy - when nobody uses it any more; @l may be all zero. */
void link_destroy(struct link *l);

/**
 * link_message - an unused message, or NULL
 *
 * .data is its buffer. It is given back by link_send(), or link_put(). Any thread.
 */
struct link_message *link_message(struct link *l);

/** link_message_wait - the same, asleep until there is one. @deadline: absolute TSC: then NULL.
 * Thread context. */
struct link_message *link_message_wait(struct link *l, u64 deadline);

void link_put(struct link *l, struct link_message *m);

/**
 * link_send - put a message on its way
 * @m: with .kind, .where, .bytes and .data
 * @to: the end that gets it
 *
 * Does not wait. Returns 0, or -EPIPE (the link is broken; the message is given back). That a
 * message was taken does not say that it will arrive. Any thread.
 */
int link_send(struct link *l, struct link_message *m, enum link_end to, bool urgent);

/**
 * link_receive - what has arrived at @end
 *
 * Does not wait. Returns 0, with *@out NULL when there is nothing yet; -EPIPE when there will be
 * nothing any more. link_put() it after use.
 */
int link_receive(struct link *l, enum link_end end, struct link_message **out);

/**
 * link_idle - whether nothing that is not urgent waits to be sent to @to
 * @when: out, if so: now; else when that can have changed: ~0: when @to has taken what is there
 */
bool link_idle(struct link *l, enum link_end to, u64 *when);

/**
 * link_wait - sleep until something has arrived at @end
 * @deadline: absolute TSC: not longer than this
 *
 * May return early: look again. Also when the link breaks, or somebody wakes link->event[end].
 */
void link_wait(struct link *l, enum link_end end, u64 deadline);

/** link_break - now. */
void link_break(struct link *l);

/** link_break_after - as soon as @n messages of that kind have been sent to LINK_B and another one
 * would be; counted from now. */
void link_break_after(struct link *l, bool urgent, u64 n);

/** link_is_broken - whether it is. */
bool link_is_broken(struct link *l);

#endif
