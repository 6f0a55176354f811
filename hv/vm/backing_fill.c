/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bringing pages that are missing.
 *
 * The race: two threads fill the same page, because two vCPUs have reported it, say. Each copies
 * into the memory that will be the page. Let the first one publish it and a guest write to it: the
 * copy of the second, if it is not done yet, then takes the guest's bytes back. So a page is
 * claimed (BUSY) before anything is copied; and who finds it claimed waits until the other is done,
 * which takes no longer than its copy, and then finds it present.
 *
 * The lock is for what belongs to the word besides: the queue it is in and the threads that wait.
 * A page that nobody wants has neither, so it is claimed and published without, each by one
 * compare-and-exchange, and there is nobody to wake: who waits has first, under the lock, seen it
 * missing and made it wanted, in one step too, and so comes before the publication, which then
 * fails and is done under the lock, or after it, and finds the page.
 */
#include "hv/host/chaos.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "hv/vm/backing_internal.h"

/* Claim the page. Returns NULL when it is present. */
static struct split_page *claim(struct backing *b, u64 offset)
{
	struct split_page *p;
	u64 word;

	spin_lock(&b->lock);
	while ((p = missing_page(b, offset))) {
		word = word_load(&p->word);
		if (word & WORD_MISSING && !(word & WORD_BUSY) &&
		    word_replace(&p->word, word, word | WORD_BUSY))
			break;
		spin_unlock(&b->lock);
		while (word_load(&p->word) & WORD_BUSY)
			cpu_relax();
		spin_lock(&b->lock);
	}
	spin_unlock(&b->lock);
	return p;
}

/* Claimed: copy into the memory it has, or gets. Returns that, or NULL. */
static void *copy(struct split_page *p, const void *data)
{
	u64 word = word_load(&p->word);
	void *page = word & WORD_HERE ? phys_to_virt(word & WORD_ADDRESS) : page_alloc(0, 0);

	if (page)
		memcpy(page, data, PAGE_SIZE);
	return page;
}

/* After the lock was let go of: the word was written with it. */
static void wake_arrivals(struct backing *b, u64 offset)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (wait_queue_active(arrivals(b, offset)))
		wake_all(arrivals(b, offset));
}

static void make_present(struct backing *b, struct split_page *p, hpa_t hpa)
{
	page_unqueue(b, p);
	word_store(&p->word, hpa | WORD_READY);
}

static void make_staged(struct split_page *p, hpa_t hpa)
{
	u64 keep = word_load(&p->word) & (WORD_MISSING | WORD_WANTED | WORD_ARRIVING);

	word_store(&p->word, hpa | WORD_HERE | WORD_STAGED | keep);
}

/* Claimed: publish what is in @page, or what becomes of it; and wake. */
static int publish_claimed(struct backing *b, u64 offset, struct split_page *p, void *page,
			   bool stage)
{
	spin_lock(&b->lock);
	if (unlikely(!page))
		word_store(&p->word, word_load(&p->word) & ~WORD_BUSY);
	else if (stage)
		make_staged(p, virt_to_phys(page));
	else
		make_present(b, p, virt_to_phys(page));
	spin_unlock(&b->lock);
	if (!page)
		return -ENOMEM;
	race_point();
	if (!stage)
		wake_arrivals(b, offset);
	return 0;
}

static noinline int bring(struct backing *b, u64 offset, const void *data, bool stage)
{
	struct split_page *p;
	void *page;

	if (!range_ok(b, offset, PAGE_SIZE))
		return -EINVAL;
	p = claim(b, offset);
	if (!p)
		return -EEXIST;
	race_point();
	page = copy(p, data);
	race_point();
	return publish_claimed(b, offset, p, page, stage);
}

/* Has memory, is in no queue, nobody waits. */
#define WORD_QUIET (WORD_HERE | WORD_MISSING)

int backing_fill(struct backing *b, u64 offset, const void *data)
{
	struct split_page *p;
	void *page;
	u64 word;

	if (unlikely(!IS_ALIGNED(offset, PAGE_SIZE) || offset >= b->size))
		return -EINVAL;
	p = missing_page(b, offset);
	if (unlikely(!p))
		return -EEXIST;
	word = word_load(&p->word);
	if (unlikely((word & ~WORD_ADDRESS) != WORD_QUIET ||
		     !word_replace(&p->word, word, word | WORD_BUSY)))
		return bring(b, offset, data, false);
	page = phys_to_virt(word & WORD_ADDRESS);
	race_point();
	memcpy(page, data, PAGE_SIZE);
	race_point();
	if (likely(word_replace(&p->word, word | WORD_BUSY, (word & WORD_ADDRESS) | WORD_READY)))
		return 0;
	return publish_claimed(b, offset, p, page, false);
}

int backing_stage(struct backing *b, u64 offset, const void *data)
{
	return bring(b, offset, data, true);
}

static bool publish(struct backing *b, u64 offset)
{
	struct split_page *p;
	u64 word = 0;

	spin_lock(&b->lock);
	p = missing_page(b, offset);
	if (p)
		word = word_load(&p->word) & (WORD_STAGED | WORD_BUSY);
	if (word == WORD_STAGED)
		make_present(b, p, word_load(&p->word) & WORD_ADDRESS);
	spin_unlock(&b->lock);
	if (word == WORD_STAGED)
		wake_arrivals(b, offset);
	return word == WORD_STAGED;
}

int backing_publish(struct backing *b, u64 offset, u64 pages)
{
	int n = 0;

	if (!IS_ALIGNED(offset, 64 * PAGE_SIZE) || offset >= b->size)
		return -EINVAL;
	if ((b->size - offset) / PAGE_SIZE < 64 && pages >> (b->size - offset) / PAGE_SIZE)
		return -EINVAL;
	for (; pages; pages &= pages - 1)
		n += publish(b, offset + (u64)__builtin_ctzll(pages) * PAGE_SIZE);
	return n;
}
