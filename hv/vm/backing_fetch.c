/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages that are wanted.
 *
 * The queue of wanted pages is linked through what is kept of each page, so that wanting one needs
 * no memory. A page is in it, and is handed out, once: WANTED, then ARRIVING, however many threads
 * want it meanwhile. The backing, as long as it has such pages, is in the queue of a VM
 * (hv/vm/fetch.h).
 *
 * No wake-up is lost: who sleeps puts itself on the wait queue and then looks at the word or at the
 * queue of pages, under the lock; who wakes writes them under the lock first. wait_queue_active()
 * asks for a full fence after that.
 */
#include "hv/host/chaos.h"
#include "hv/host/errno.h"
#include "hv/vm/backing_internal.h"
#include "hv/vm/vm.h"

static struct split_page *page_of(struct backing *b, u32 number)
{
	u64 offset = (u64)number * PAGE_SIZE;

	return split_at(word_load(block_at(b, offset)), offset);
}

/* --- the queue of wanted pages: lock held ---------------------------------------------------- */

static void page_queue(struct backing *b, struct split_page *p, u64 offset)
{
	u32 number = (u32)(offset / PAGE_SIZE);

	p->prev = b->last_wanted;
	p->next = NO_PAGE;
	if (p->prev == NO_PAGE)
		b->first_wanted = number;
	else
		page_of(b, p->prev)->next = number;
	b->last_wanted = number;
}

void page_unqueue(struct backing *b, struct split_page *p)
{
	if (!(word_load(&p->word) & WORD_WANTED))
		return;
	if (p->prev == NO_PAGE)
		b->first_wanted = p->next;
	else
		page_of(b, p->prev)->next = p->next;
	if (p->next == NO_PAGE)
		b->last_wanted = p->prev;
	else
		page_of(b, p->next)->prev = p->prev;
	/* The next one to be wanted may be another VM's. */
	if (b->first_wanted == NO_PAGE && b->queue)
		fetch_unlink(b);
}

bool backing_take_wanted(struct backing *b, struct fetch_queue *q, u64 *offset)
{
	bool mine;

	spin_lock(&b->lock);
	/* It may have left this queue since it was found there. */
	mine = b->queue == q;
	if (mine) {
		struct split_page *p = page_of(b, b->first_wanted);

		*offset = (u64)b->first_wanted * PAGE_SIZE;
		page_unqueue(b, p);
		/* At no time neither: see backing_fill(). */
		word_store(&p->word, (word_load(&p->word) & ~WORD_WANTED) | WORD_ARRIVING);
	}
	spin_unlock(&b->lock);
	return mine;
}

/* Lock held. One that has lost its slot meanwhile must not be linked: nobody would unlink it. */
static bool is_shown_by(struct backing *b, const struct fetch_queue *q)
{
	struct list *pos, *next;

	list_for_each (pos, next, &b->views)
		if (&list_entry(pos, struct backing_view, node)->vm->fetches == q)
			return true;
	return false;
}

void backing_leave_queue(struct backing *b, struct fetch_queue *q)
{
	struct fetch_queue *other;

	if (b->queue != q || is_shown_by(b, q))
		return;
	fetch_unlink(b);
	if (list_empty(&b->views))
		return;
	other = &list_entry(b->views.next, struct backing_view, node)->vm->fetches;
	fetch_link(other, b);
	/* With the lock: that VM stays as long as its view does. */
	fetch_wake(other);
}

/* --- who wants pages ------------------------------------------------------------------------- */

/* Lock held. Returns whether the page is missing; *@newly: and has been queued just now. */
static bool make_wanted(struct backing *b, u64 offset, bool *newly)
{
	struct split_page *p;
	u64 word;

	*newly = false;
	while ((p = missing_page(b, offset))) {
		word = word_load(&p->word);
		if (word & (WORD_WANTED | WORD_ARRIVING))
			return true;
		/* It may be being published, without the lock. */
		if (word & WORD_MISSING && word_replace(&p->word, word, word | WORD_WANTED)) {
			page_queue(b, p, offset);
			*newly = true;
			return true;
		}
	}
	return false;
}

/*
 * Whether the page is missing; then it is, or is made, wanted, or is on its way. One that has
 * arrived may be gone again before its waiter has looked: then it is wanted anew.
 */
static bool want(struct backing *b, u64 offset, struct fetch_queue *q)
{
	bool missing, wake;

	spin_lock(&b->lock);
	missing = make_wanted(b, offset, &wake);
	/* Also for what was wanted by a VM that has gone. */
	if (b->first_wanted != NO_PAGE && !b->queue && is_shown_by(b, q)) {
		fetch_link(q, b);
		wake = true;
	}
	if (wake && b->queue != q) {
		if (b->queue)
			fetch_wake(b->queue);
		wake = false;
	}
	spin_unlock(&b->lock);
	if (wake)
		fetch_wake(q);
	return missing;
}

int backing_wait(struct backing *b, u64 offset, struct fetch_queue *q, struct wait_queue *also,
		 bool (*stop)(void *arg), void *arg)
{
	struct wait_queue *arrived = arrivals(b, offset);
	struct waiter w, second;
	bool stopped, missing;

	do {
		wait_prepare(arrived, &w);
		if (also)
			wait_prepare_also(also, &second, &w);
		race_point();
		stopped = stop && stop(arg);
		missing = !stopped && want(b, offset, q);
		if (missing)
			wait_sleep(&w);
		if (also)
			wait_finish(also, &second);
	} while (missing);
	wait_finish(arrived, &w);
	return stopped ? -EINTR : 0;
}
