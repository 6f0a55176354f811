/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages that are not there: who wants one, who brings one.
 *
 * The queue of wanted pages is linked through what is kept of each page, so that wanting one needs
 * no memory. A page is in it, and is handed out, once: WANTED, then ARRIVING, however many threads
 * want it meanwhile.
 *
 * No wake-up is lost: who sleeps puts itself on the wait queue and then looks at the word or at the
 * queue of pages, under the lock; who wakes writes them under the lock first. wait_queue_active()
 * asks for a full fence after that.
 */
#include "hv/host/chaos.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "hv/vm/backing_internal.h"

static struct split_page *page_of(struct backing *b, u32 number)
{
	u64 offset = (u64)number * PAGE_SIZE;

	return split_at(word_load(block_at(b, offset)), offset);
}

/* The page at an offset if it is missing, or arriving; else NULL. */
static struct split_page *missing_page(struct backing *b, u64 offset)
{
	u64 word = word_load(block_at(b, offset));
	struct split_page *p;

	if (!(word & WORD_SPLIT))
		return NULL;
	p = split_at(word, offset);
	return word_load(&p->word) & WORD_MISSING ? p : NULL;
}

/* --- the queue of wanted pages: lock held ---------------------------------------------------- */

bool page_want(struct backing *b, struct split_page *p, u64 offset)
{
	u32 number = (u32)(offset / PAGE_SIZE);

	if (word_load(&p->word) & (WORD_WANTED | WORD_ARRIVING))
		return false;
	p->prev = b->last_wanted;
	p->next = NO_PAGE;
	if (p->prev == NO_PAGE)
		b->first_wanted = number;
	else
		page_of(b, p->prev)->next = number;
	b->last_wanted = number;
	word_store(&p->word, WORD_MISSING | WORD_WANTED);
	return true;
}

static void unqueue(struct backing *b, struct split_page *p)
{
	if (p->prev == NO_PAGE)
		b->first_wanted = p->next;
	else
		page_of(b, p->prev)->next = p->next;
	if (p->next == NO_PAGE)
		b->last_wanted = p->prev;
	else
		page_of(b, p->next)->prev = p->prev;
}

/* Hand out the first. @more: there are others. */
static bool take_wanted(struct backing *b, u64 *offset, bool *more)
{
	u32 number;

	spin_lock(&b->lock);
	number = b->first_wanted;
	if (number != NO_PAGE) {
		struct split_page *p = page_of(b, number);

		unqueue(b, p);
		word_store(&p->word, WORD_MISSING | WORD_ARRIVING);
		*offset = (u64)number * PAGE_SIZE;
	}
	*more = b->first_wanted != NO_PAGE;
	spin_unlock(&b->lock);
	return number != NO_PAGE;
}

/* --- who brings pages ------------------------------------------------------------------------ */

void page_wanted(struct backing *b)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (wait_queue_active(&b->wanted))
		wake_one(&b->wanted);
}

int backing_next_fetch(struct backing *b, u64 *offset, u64 deadline)
{
	struct waiter w;
	bool more;

	for (;;) {
		wait_prepare(&b->wanted, &w);
		race_point();
		if (take_wanted(b, offset, &more))
			break;
		if (wait_sleep_until(&w, deadline))
			return -ETIMEDOUT;
	}
	wait_finish(&b->wanted, &w);
	/* While this thread was on the wait queue it may have been woken for another page too. */
	if (more)
		page_wanted(b);
	return 0;
}

static struct wait_queue *arrivals(struct backing *b, u64 offset)
{
	return &b->arrived[offset / PAGE_SIZE % ARRIVAL_QUEUES];
}

int backing_fill(struct backing *b, u64 offset, const void *data)
{
	struct split_page *p;
	void *page;

	if (!range_ok(b, offset, PAGE_SIZE))
		return -EINVAL;
	page = page_alloc(0, 0);
	if (!page)
		return -ENOMEM;
	memcpy(page, data, PAGE_SIZE);
	race_point();
	spin_lock(&b->lock);
	p = missing_page(b, offset);
	if (p) {
		if (word_load(&p->word) & WORD_WANTED)
			unqueue(b, p);
		word_store(&p->word, virt_to_phys(page) | WORD_READY);
	}
	spin_unlock(&b->lock);
	if (!p) {
		page_free(page, 0);
		return -EEXIST;
	}
	race_point();
	atomic_thread_fence(memory_order_seq_cst);
	if (wait_queue_active(arrivals(b, offset)))
		wake_all(arrivals(b, offset));
	return 0;
}

/* --- who wants pages ------------------------------------------------------------------------- */

/* A page that has arrived may be gone again before its waiter has looked: then it is wanted anew.
 */
static bool still_missing(struct backing *b, u64 offset)
{
	struct split_page *p;
	bool wanted;

	spin_lock(&b->lock);
	p = missing_page(b, offset);
	wanted = p && page_want(b, p, offset);
	spin_unlock(&b->lock);
	if (wanted)
		page_wanted(b);
	return p;
}

int backing_wait(struct backing *b, u64 offset, struct wait_queue *also, bool (*stop)(void *arg),
		 void *arg)
{
	struct wait_queue *q = arrivals(b, offset);
	struct waiter w, second;
	bool stopped, missing;

	do {
		wait_prepare(q, &w);
		if (also)
			wait_prepare_also(also, &second, &w);
		race_point();
		stopped = stop && stop(arg);
		missing = !stopped && still_missing(b, offset);
		if (missing)
			wait_sleep(&w);
		if (also)
			wait_finish(also, &second);
	} while (missing);
	wait_finish(q, &w);
	return stopped ? -EINTR : 0;
}
