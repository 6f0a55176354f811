/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a move does to the pages themselves: new frames and tables are allocated before anything is
 * touched, then contents are copied and words exchanged, then the old frames are freed.
 *
 * Frames are chained through their own memory.
 */
#include "hv/host/chaos.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "hv/vm/backing_internal.h"

/* A frame that belongs to nobody but the move. */
struct frame {
	struct frame *next;
	u64 offset; /* what it is for, or: */
	unsigned int order;
};

/* What is to be done to one block. */
struct plan {
	struct plan *next;
	u64 from, to;		  /* the part of the range in this block */
	struct split_page *table; /* it becomes single pages */
	void *block;		  /* or is moved as a whole, to here */
	struct frame *pages;	  /* or single pages are, each to one of these */
};

/* --- plan ------------------------------------------------------------------------------------ */

static struct frame *frame_alloc(struct frame *next, u64 offset)
{
	struct frame *f = page_alloc(0, 0);

	if (f)
		*f = (struct frame){ .next = next, .offset = offset };
	return f;
}

static void free_frames(struct frame *f)
{
	struct frame *next;

	for (; f; f = next) {
		next = f->next;
		page_free(f, f->order);
	}
}

void move_free(struct move *m)
{
	struct plan *next;

	free_frames(m->old);
	for (struct plan *p = m->plans; p; p = next) {
		next = p->next;
		if (p->table)
			split_free(p->table);
		page_free(p->block, BLOCK_ORDER);
		free_frames(p->pages);
		kfree(p);
	}
}

static int plan_pages(struct plan *p)
{
	for (u64 off = p->from; off < p->to; off += PAGE_SIZE) {
		struct frame *f = frame_alloc(p->pages, off);

		if (!f)
			return -ENOMEM;
		p->pages = f;
	}
	return 0;
}

static int plan_split_pages(struct plan *p, u64 word)
{
	for (u64 off = p->from; off < p->to; off += PAGE_SIZE) {
		u64 page = word_load(&split_at(word, off)->word);
		struct frame *f;

		if (page & WORD_MISSING)
			return -EAGAIN;
		if (!(page & WORD_ZEROED))
			continue; /* nobody has touched it */
		f = frame_alloc(p->pages, off);
		if (!f)
			return -ENOMEM;
		p->pages = f;
	}
	return 0;
}

/* The block's @word is what it was under the lock; only a move makes it less than it is. */
static int plan_move(struct plan *p, u64 word)
{
	if (word & WORD_SPLIT)
		return plan_split_pages(p, word);
	if (!(word & WORD_ZEROED))
		return 0;
	if (p->to - p->from == BLOCK_SIZE) {
		p->block = page_alloc(BLOCK_ORDER, 0);
		return p->block ? 0 : -ENOMEM;
	}
	p->table = split_alloc();
	return p->table ? plan_pages(p) : -ENOMEM;
}

static int plan_punch(struct plan *p, u64 word)
{
	if (!(word & WORD_SPLIT))
		p->table = split_alloc();
	return p->table || word & WORD_SPLIT ? 0 : -ENOMEM;
}

int move_plan(struct move *m)
{
	int err = 0;
	u64 word;

	for (u64 off = m->from, end; off < m->to && !err; off = end) {
		struct plan *p = kzalloc(sizeof(*p));

		if (!p)
			return -ENOMEM;
		end = min_u64(ALIGN_DOWN(off, BLOCK_SIZE) + BLOCK_SIZE, m->to);
		p->from = off;
		p->to = end;
		p->next = m->plans;
		m->plans = p;
		spin_lock(&m->b->lock);
		word = block_settled(m->b, off);
		spin_unlock(&m->b->lock);
		err = m->punch ? plan_punch(p, word) : plan_move(p, word);
	}
	return err;
}

/* --- copy, exchange -------------------------------------------------------------------------- */

static void give_up(struct move *m, u64 word, unsigned int order)
{
	struct frame *f = phys_to_virt(word & WORD_ADDRESS);

	if (m->fill != NO_FILL)
		memset(f, m->fill, PAGE_SIZE << order);
	f->order = order;
	f->next = m->old;
	m->old = f;
}

/* No frame of a planned page changes beside this move, so copies need no lock. */
static void exchange_block(struct move *m, struct plan *p)
{
	backing_word *w = block_at(m->b, p->from);
	u64 old = word_load(w);

	memcpy(p->block, phys_to_virt(old & WORD_ADDRESS), BLOCK_SIZE);
	race_point();
	spin_lock(&m->b->lock);
	giant_split(m->b, p->from);
	word_store(w, virt_to_phys(p->block) | WORD_READY);
	spin_unlock(&m->b->lock);
	p->block = NULL;
	give_up(m, old, BLOCK_ORDER);
}

static void exchange_pages(struct move *m, struct plan *p)
{
	u64 table = word_load(block_at(m->b, p->from));
	struct frame *f;

	while ((f = p->pages)) {
		backing_word *w = &split_at(table, f->offset)->word;
		u64 old = word_load(w);

		p->pages = f->next;
		memcpy(f, phys_to_virt(old & WORD_ADDRESS), PAGE_SIZE);
		race_point();
		spin_lock(&m->b->lock);
		word_store(w, virt_to_phys(f) | WORD_READY);
		spin_unlock(&m->b->lock);
		give_up(m, old, 0);
	}
}

/* All of a block at once: its memory need not be cut into pages. */
static void punch_block(struct move *m, struct plan *p)
{
	u64 old = block_settled(m->b, p->from);

	giant_split(m->b, p->from);
	for (unsigned int i = 0; i < BLOCK_PAGES; i++)
		atomic_init(&p->table[i].word, WORD_MISSING);
	word_store(block_at(m->b, p->from), (uintptr_t)p->table | WORD_SPLIT);
	p->table = NULL;
	if (old & WORD_HERE)
		give_up(m, old, block_order(m->b, p->from));
}

/* Pages that are missing already stay as they are, in the queue or on their way. */
static void punch_pages(struct move *m, struct plan *p)
{
	u64 table = word_load(block_at(m->b, p->from));

	for (u64 off = p->from; off < p->to; off += PAGE_SIZE) {
		backing_word *w = &split_at(table, off)->word;
		u64 old = word_load(w);

		if (old & WORD_MISSING)
			continue;
		if (m->b->keeps_frames) {
			word_store(w, (old & WORD_ADDRESS) | WORD_HERE | WORD_MISSING);
			continue;
		}
		word_store(w, WORD_MISSING);
		if (old & WORD_HERE)
			give_up(m, old, 0);
	}
}

static bool whole(const struct backing *b, const struct plan *p)
{
	u64 block = ALIGN_DOWN(p->from, BLOCK_SIZE);

	return p->from == block && p->to == min_u64(block + BLOCK_SIZE, b->size);
}

static void exchange(struct move *m, struct plan *p)
{
	bool cut;

	if (p->block) {
		exchange_block(m, p);
		return;
	}
	spin_lock(&m->b->lock);
	cut = p->table && !(m->punch && whole(m->b, p));
	if (cut) {
		block_settled(m->b, p->from);
		block_split(m->b, p->from, p->table);
		p->table = NULL;
	}
	if (p->table)
		punch_block(m, p);
	else if (m->punch)
		punch_pages(m, p);
	spin_unlock(&m->b->lock);
	exchange_pages(m, p);
}

void move_exchange(struct move *m)
{
	for (struct plan *p = m->plans; p; p = p->next)
		exchange(m, p);
}
