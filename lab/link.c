/* SPDX-License-Identifier: GPL-2.0-only */
/* See lab/link.h. */
#include "lab/link.h"

#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "hv/host/timer.h"

int link_create(struct link *l, const struct link_config *config)
{
	memset(l, 0, sizeof(*l));
	l->config = *config;
	spin_lock_init(&l->lock);
	list_init(&l->unused);
	wait_queue_init(&l->freed);
	for (unsigned int e = 0; e < LINK_ENDS; e++) {
		list_init(&l->channel[e].urgent);
		list_init(&l->channel[e].others);
		list_init(&l->arriving[e]);
		wait_queue_init(&l->event[e]);
	}
	for (unsigned int i = 0; i < LINK_MESSAGES; i++) {
		struct link_message *m = &l->message[i];

		m->buffer = page_alloc(0, 0);
		if (!m->buffer) {
			link_destroy(l);
			return -ENOMEM;
		}
		list_add_tail(&l->unused, &m->node);
	}
	return 0;
}

void link_destroy(struct link *l)
{
	for (unsigned int i = 0; i < LINK_MESSAGES; i++) {
		page_free(l->message[i].buffer, 0);
		l->message[i].buffer = NULL;
	}
}

/* --- what has happened up to now: lock held --------------------------------------------------- */

static struct link_channel *channel_to(struct link *l, enum link_end to)
{
	return &l->channel[l->config.shared ? 0 : to];
}

static struct link_message *first_of(const struct list *l)
{
	return list_empty(l) ? NULL : list_entry(l->next, struct link_message, node);
}

static void drop_all(struct link *l, struct list *from)
{
	while (!list_empty(from)) {
		struct link_message *m = first_of(from);

		list_del(&m->node);
		list_add_tail(&l->unused, &m->node);
	}
}

static void drop_unsent(struct link *l)
{
	for (unsigned int e = 0; e < LINK_ENDS; e++) {
		drop_all(l, &l->channel[e].urgent);
		drop_all(l, &l->channel[e].others);
	}
}

/* At tick @when: what has arrived by then can still be received. */
static void break_at(struct link *l, u64 when)
{
	struct list *pos, *next;

	l->broken = true;
	drop_unsent(l);
	for (unsigned int e = 0; e < LINK_ENDS; e++) {
		list_for_each (pos, next, &l->arriving[e]) {
			struct link_message *m = list_entry(pos, struct link_message, node);

			if (m->arrives <= when)
				continue;
			list_del(&m->node);
			list_add_tail(&l->unused, &m->node);
		}
	}
}

/* Whether this one is one too many. */
static bool breaks(struct link *l, const struct link_message *m)
{
	u64 *left = &l->left[m->urgent];

	return m->to == LINK_B && *left && !--*left;
}

static void start(struct link *l, struct link_channel *c, struct link_message *m)
{
	u64 when = max_u64(c->free_at, m->queued), bytes = m->bytes + LINK_HEADER;

	list_del(&m->node);
	if (breaks(l, m)) {
		list_add_tail(&l->unused, &m->node);
		break_at(l, when);
		return;
	}
	c->free_at = when + bytes * 1000 / l->config.bandwidth;
	m->arrives = c->free_at + l->config.latency;
	l->messages++;
	l->bytes += bytes;
	list_add_tail(&l->arriving[m->to], &m->node);
}

/*
 * What goes next when the link becomes free is an urgent message if there is one at that moment.
 * Nothing that was queued later is here yet, for everybody who queues comes here first.
 */
static void advance(struct link *l, struct link_channel *c, u64 now)
{
	while (c->free_at <= now) {
		struct link_message *urgent = first_of(&c->urgent), *other = first_of(&c->others);

		/* One that came before the urgent one, when the link was free. */
		if (urgent && other && other->queued < urgent->queued &&
		    c->free_at < urgent->queued)
			urgent = NULL;
		if (!urgent && !other)
			return;
		start(l, c, urgent ? urgent : other);
	}
}

static void advance_all(struct link *l)
{
	u64 now = ticks_now();

	for (unsigned int e = 0; e < LINK_ENDS; e++)
		advance(l, &l->channel[e], now);
}

/* --- for its users ---------------------------------------------------------------------------- */

struct link_message *link_message(struct link *l)
{
	struct link_message *m;

	spin_lock(&l->lock);
	m = first_of(&l->unused);
	if (m)
		list_del(&m->node);
	spin_unlock(&l->lock);
	if (m) {
		m->data = m->buffer;
		m->bytes = 0;
	}
	return m;
}

/* Not by looking again and again: who gives one back may be a thread of this CPU. */
struct link_message *link_message_wait(struct link *l, u64 deadline)
{
	struct link_message *m = link_message(l);
	struct waiter w;
	int err = 0;

	while (!m && !err) {
		wait_prepare(&l->freed, &w);
		m = link_message(l);
		if (m)
			wait_finish(&l->freed, &w);
		else
			err = wait_sleep_until(&w, deadline);
	}
	return m;
}

void link_put(struct link *l, struct link_message *m)
{
	spin_lock(&l->lock);
	list_add_head(&l->unused, &m->node);
	spin_unlock(&l->lock);
	/* The lock, which who waits takes before it sleeps, orders the two. */
	if (wait_queue_active(&l->freed))
		wake_one(&l->freed);
}

static void wake_ends(struct link *l)
{
	for (unsigned int e = 0; e < LINK_ENDS; e++)
		wake_all(&l->event[e]);
	wake_all(&l->freed);
}

int link_send(struct link *l, struct link_message *m, enum link_end to, bool urgent)
{
	struct link_channel *c = channel_to(l, to);
	bool refused, broken, news;

	m->to = to;
	m->urgent = urgent;
	spin_lock(&l->lock);
	advance_all(l);
	m->queued = ticks_now();
	refused = l->broken;
	if (refused) {
		list_add_head(&l->unused, &m->node);
	} else {
		list_add_tail(urgent ? &c->urgent : &c->others, &m->node);
		advance(l, c, m->queued);
	}
	broken = l->broken;
	/* Who waits for another one, which comes first, will find it then. */
	news = list_empty(&l->arriving[to]) || l->arriving[to].next == &m->node;
	spin_unlock(&l->lock);
	if (broken)
		wake_ends(l);
	else if (news && wait_queue_active(&l->event[to]))
		wake_all(&l->event[to]);
	return refused ? -EPIPE : 0;
}

int link_receive(struct link *l, enum link_end end, struct link_message **out)
{
	struct link_message *m;
	bool broken;

	spin_lock(&l->lock);
	advance_all(l);
	m = first_of(&l->arriving[end]);
	if (m && m->arrives > ticks_now())
		m = NULL;
	if (m)
		list_del(&m->node);
	broken = l->broken;
	spin_unlock(&l->lock);
	*out = m;
	/* Who sends may have waited for this end to keep up. */
	if (m && !m->urgent && wait_queue_active(&l->event[!end]))
		wake_all(&l->event[!end]);
	return !m && broken ? -EPIPE : 0;
}

bool link_idle(struct link *l, enum link_end to, u64 *when)
{
	struct link_channel *c = channel_to(l, to);
	const struct link_message *m;
	bool idle, behind;

	spin_lock(&l->lock);
	advance_all(l);
	m = first_of(&l->arriving[to]);
	behind = m && m->arrives <= ticks_now() && !l->broken;
	idle = list_empty(&c->others) && !behind;
	*when = behind ? UINT64_MAX : idle ? ticks_now() : c->free_at;
	spin_unlock(&l->lock);
	return idle;
}

void link_wait(struct link *l, enum link_end end, u64 deadline)
{
	struct link_channel *c = channel_to(l, end);
	struct link_message *m;
	struct waiter w;
	bool broken;

	wait_prepare(&l->event[end], &w);
	spin_lock(&l->lock);
	advance_all(l);
	m = first_of(&l->arriving[end]);
	if (m)
		deadline = min_u64(deadline, m->arrives);
	else if (!list_empty(&c->urgent) || !list_empty(&c->others))
		deadline = min_u64(deadline, c->free_at);
	broken = l->broken;
	spin_unlock(&l->lock);
	if (!broken)
		wait_sleep_until(&w, deadline);
	wait_finish(&l->event[end], &w);
	if (broken)
		thread_yield();
}

void link_break(struct link *l)
{
	spin_lock(&l->lock);
	advance_all(l);
	if (!l->broken)
		break_at(l, ticks_now());
	spin_unlock(&l->lock);
	wake_ends(l);
}

void link_break_after(struct link *l, bool urgent, u64 n)
{
	spin_lock(&l->lock);
	advance_all(l);
	l->left[urgent] = n + 1;
	spin_unlock(&l->lock);
}

bool link_is_broken(struct link *l)
{
	bool broken;

	spin_lock(&l->lock);
	advance_all(l);
	broken = l->broken;
	spin_unlock(&l->lock);
	return broken;
}
