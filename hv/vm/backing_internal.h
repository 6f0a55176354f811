/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside a backing.
 *
 * Each block of 2 MiB has a word, and a block that has been split has 512 more, one for each page:
 *
 *	0 (empty)   nothing there yet: zeroes when it is touched
 *	address     | HERE, | ZEROED as soon as it was touched
 *	pages       | SPLIT: a block whose pages are looked up there; it stays split
 *	MISSING     a page that somebody has to bring; | WANTED while it is in the queue of those
 *		    that are waited for, | ARRIVING from when it was handed out; | address | HERE
 *		    when it has memory nevertheless, | STAGED when that has contents to be published
 *
 * A lookup reads the words and takes no lock. A word is written under backing->lock, after what it
 * points to; but a missing page that is neither WANTED nor ARRIVING may be filled without
 * (backing_fill.c). BUSY marks a block that is being zeroed, or a missing page that is being
 *filled, which takes too long to hold a lock: its memory is left to whoever set it.
 *
 * An empty page may become one that is here at any time. Everything that takes a page away, or
 * replaces it, belongs to the one move at a time (hv/vm/backing_move.c).
 */
#ifndef HV_VM_BACKING_INTERNAL_H
#define HV_VM_BACKING_INTERNAL_H

#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/spinlock.h"
#include "hv/host/thread.h"
#include "hv/vm/backing.h"
#include "hv/vm/fetch.h"

#define BLOCK_ORDER 9
#define BLOCK_SIZE  (PAGE_SIZE << BLOCK_ORDER)
#define BLOCK_PAGES (1u << BLOCK_ORDER)
#ifndef GIANT_ORDER /* a unit test has smaller ones */
#define GIANT_ORDER 18
#endif
#define GIANT_SIZE   (PAGE_SIZE << GIANT_ORDER)
#define GIANT_BLOCKS (GIANT_SIZE / BLOCK_SIZE)

#define WORD_HERE     BIT(0)
#define WORD_ZEROED   BIT(1)
#define WORD_BUSY     BIT(2)
#define WORD_SPLIT    BIT(3)
#define WORD_GIANT    BIT(4) /* part of 1 GiB that was allocated as one */
#define WORD_MISSING  BIT(5)
#define WORD_WANTED   BIT(6)
#define WORD_ARRIVING BIT(7)
#define WORD_STAGED   BIT(8)
#define WORD_READY    (WORD_HERE | WORD_ZEROED)
#define WORD_ADDRESS  PAGE_MASK

#define NO_PAGE	       (~0u)
#define ARRIVAL_QUEUES 16

typedef _Atomic u64 backing_word;

/* A page of a split block. The links are those of the queue of wanted pages: page numbers. */
struct split_page {
	backing_word word;
	u32 prev, next;
};

#define SPLIT_ORDER 1
_Static_assert(BLOCK_PAGES * sizeof(struct split_page) == PAGE_SIZE << SPLIT_ORDER,
	       "the pages of a split block fill what is allocated for them");

struct backing {
	_Atomic u32 refs;
	u64 size, nr_blocks;
	backing_word *block;
	_Atomic u32 *giant; /* BACKING_1G: for each GiB, how many of its blocks are zeroed */

	struct spinlock lock;	 /* writes of words; the queue of wanted pages; views, moving */
	struct list views;	 /* struct backing_view */
	bool keeps_frames;	 /* BACKING_MISSING */
	_Atomic bool moving;	 /* written under the lock */
	_Atomic u32 accesses;	 /* threads in backing_read() or backing_write() */
	struct wait_queue moved; /* woken when moving becomes false, and when the last one leaves */

	u32 first_wanted, last_wanted; /* page numbers, NO_PAGE: none */
	struct fetch_queue *queue;     /* where it is linked while there are some, or NULL */
	struct list in_queue;	       /* under queue->lock too */
	struct wait_queue arrived[ARRIVAL_QUEUES];
};

static inline u64 word_load(backing_word *w)
{
	return atomic_load_explicit(w, memory_order_acquire);
}

/* Lock held. Releases what the word points to. */
static inline void word_store(backing_word *w, u64 value)
{
	atomic_store_explicit(w, value, memory_order_release);
}

/* One step for a page that is missing: others may be doing the same without the lock. */
static inline bool word_replace(backing_word *w, u64 old, u64 value)
{
	return atomic_compare_exchange_strong_explicit(w, &old, value, memory_order_acq_rel,
						       memory_order_relaxed);
}

static inline backing_word *block_at(struct backing *b, u64 offset)
{
	return &b->block[offset / BLOCK_SIZE];
}

static inline struct split_page *split_at(u64 block_word, u64 offset)
{
	struct split_page *pages = (struct split_page *)(uintptr_t)(block_word & WORD_ADDRESS);

	return &pages[offset / PAGE_SIZE % BLOCK_PAGES];
}

/* The last block may be smaller than the others. */
static inline unsigned int block_order(const struct backing *b, u64 offset)
{
	u64 left = b->size - ALIGN_DOWN(offset, BLOCK_SIZE);

	return left >= BLOCK_SIZE ? BLOCK_ORDER : page_order(left);
}

static inline bool range_ok(const struct backing *b, u64 offset, u64 len)
{
	return IS_ALIGNED(offset | len, PAGE_SIZE) && len && offset < b->size &&
	       len <= b->size - offset;
}

/* How much lies in one piece around a page of a block that is ready. */
static inline u64 block_span(struct backing *b, u64 word, u64 offset)
{
	if (unlikely(word & WORD_GIANT) &&
	    atomic_load_explicit(&b->giant[offset / GIANT_SIZE], memory_order_acquire) ==
		    GIANT_BLOCKS)
		return GIANT_SIZE;
	return block_order(b, offset) == BLOCK_ORDER ? BLOCK_SIZE : PAGE_SIZE;
}

/* As backing_find(), for what is there, or missing; else -ENOENT. */
static inline int backing_peek(struct backing *b, u64 offset, struct backing_page *out)
{
	u64 word = word_load(block_at(b, offset));

	if (!(word & WORD_SPLIT)) {
		out->hpa = (word & WORD_ADDRESS) + offset % BLOCK_SIZE;
		out->span = block_span(b, word, offset);
		return (word & WORD_READY) == WORD_READY ? 0 : -ENOENT;
	}
	word = word_load(&split_at(word, offset)->word);
	out->hpa = word & WORD_ADDRESS;
	out->span = PAGE_SIZE;
	if (likely((word & WORD_READY) == WORD_READY))
		return 0;
	return word & WORD_MISSING ? -EAGAIN : -ENOENT;
}

static inline int backing_get_page(struct backing *b, u64 offset, struct backing_page *out)
{
	int err = backing_peek(b, offset, out);

	return unlikely(err == -ENOENT) ? backing_find(b, offset, out) : err;
}

/* backing_view.c: take the lock when no move is under way, asleep until then. */
void backing_lock_settled(struct backing *b);

/*
 * backing_block.c: with the lock held. The first two let go of it for a while: while somebody is
 * BUSY with the block.
 */
u64 block_settled(struct backing *b, u64 offset); /* its word, once nobody is busy with it */
int block_ready(struct backing *b, u64 offset);	  /* settled, not split: allocate, zero; -ENOMEM */
int page_ready(struct split_page *p);		  /* of a split block: allocate, zero; -ENOMEM */
void giant_split(struct backing *b, u64 offset);  /* into blocks, if it is one still */
void block_split(struct backing *b, u64 offset, struct split_page *pages); /* settled, not split */

struct split_page *split_alloc(void); /* all empty */
void split_free(struct split_page *pages);

/* The page at an offset if it is missing, or arriving; else NULL. */
static inline struct split_page *missing_page(struct backing *b, u64 offset)
{
	u64 word = word_load(block_at(b, offset));
	struct split_page *p;

	if (!(word & WORD_SPLIT))
		return NULL;
	p = split_at(word, offset);
	return word_load(&p->word) & WORD_MISSING ? p : NULL;
}

/* backing_fetch.c: take it out of the queue of wanted pages, if it is WANTED; its word is the
 * caller's. Lock held. */
void page_unqueue(struct backing *b, struct split_page *p);

/* Hand the first wanted page to a handler of @q. Returns whether there was one. Takes the lock. */
bool backing_take_wanted(struct backing *b, struct fetch_queue *q, u64 *offset);

/* A view of @q's VM has gone: leave it if that was the last. Lock held. */
void backing_leave_queue(struct backing *b, struct fetch_queue *q);

/* backing_fill.c: where those sleep who wait for the page at an offset. */
static inline struct wait_queue *arrivals(struct backing *b, u64 offset)
{
	return &b->arrived[offset / PAGE_SIZE % ARRIVAL_QUEUES];
}

/* fetch.c: link and unlink a backing, whose lock is held; wake a handler. */
void fetch_link(struct fetch_queue *q, struct backing *b);
void fetch_unlink(struct backing *b);
void fetch_wake(struct fetch_queue *q);

/*
 * A move, or a punch: backing_move.c says in which order what is done; backing_plan.c what is to be
 * done to the pages, and does it.
 */
struct plan;
struct userfault;
struct frame;

#define NO_FILL (-1)

struct move {
	struct backing *b;
	u64 from, to; /* the range */
	bool punch;
	struct userfault *hide; /* set its bits; nothing happens to the pages themselves */
	int fill;		/* what old frames are filled with, or NO_FILL */
	struct list views;	/* that show it: struct backing_view.affected */
	struct plan *plans;
	struct frame *old; /* frames that were replaced */
};

int move_plan(struct move *m);	    /* what can fail: 0, -ENOMEM, -EAGAIN (a page is missing) */
void move_exchange(struct move *m); /* nobody has a translation of the range, or gets one */
void move_free(struct move *m);	    /* what the move did not use, and what it replaced */

/* backing_move.c: userfault_set(); userfault.c: what it does while nobody has a translation. */
int backing_hide(struct backing *b, u64 offset, u64 len, struct userfault *u);
void userfault_set_bits(struct userfault *u, u64 offset, u64 len);

#endif
