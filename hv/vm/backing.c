/* SPDX-License-Identifier: GPL-2.0-only */
/* Backings: making them and finding pages in them. See hv/vm/backing.h. */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/print.h"
#include "hv/vm/backing_internal.h"

/* What the largest small object can say about blocks: 512 GiB. */
#define MAX_SIZE (KMALLOC_MAX / sizeof(backing_word) * BLOCK_SIZE)

/* --- life ------------------------------------------------------------------------------------ */

static void free_split(struct split_page *pages)
{
	for (unsigned int i = 0; i < BLOCK_PAGES; i++) {
		u64 w = word_load(&pages[i].word);

		if (w & WORD_HERE)
			page_free(phys_to_virt(w & WORD_ADDRESS), 0);
	}
	split_free(pages);
}

static void free_memory(struct backing *b)
{
	for (u64 off = 0; off < b->size; off += BLOCK_SIZE) {
		u64 w = word_load(block_at(b, off));

		if (w & WORD_SPLIT)
			free_split(split_at(w, 0));
		else if (w & WORD_GIANT && IS_ALIGNED(off, GIANT_SIZE))
			page_free(phys_to_virt(w & WORD_ADDRESS), GIANT_ORDER);
		else if (w & WORD_HERE && !(w & WORD_GIANT))
			page_free(phys_to_virt(w & WORD_ADDRESS), block_order(b, off));
	}
}

static bool reserve_giant(struct backing *b, u64 off)
{
	void *p = page_alloc(GIANT_ORDER, 0);

	for (u64 i = 0; p && i < GIANT_SIZE; i += BLOCK_SIZE)
		word_store(block_at(b, off + i), (virt_to_phys(p) + i) | WORD_HERE | WORD_GIANT);
	return p;
}

static int reserve(struct backing *b)
{
	if (b->size / PAGE_SIZE > page_nr_free())
		return -ENOMEM; /* found out before the machine is out of memory */
	for (u64 off = 0; off < b->size;) {
		void *p;

		if (b->giant && IS_ALIGNED(off, GIANT_SIZE) && b->size - off >= GIANT_SIZE &&
		    reserve_giant(b, off)) {
			off += GIANT_SIZE;
			continue;
		}
		p = page_alloc(block_order(b, off), 0);
		if (!p)
			return -ENOMEM;
		word_store(block_at(b, off), virt_to_phys(p) | WORD_HERE);
		off += BLOCK_SIZE;
	}
	return 0;
}

/* Every page missing, and with the memory that is reserved for it. */
static int make_missing(struct backing *b)
{
	for (u64 off = 0; off < b->size; off += BLOCK_SIZE) {
		struct split_page *pages = split_alloc();
		u64 n = min_u64(b->size - off, BLOCK_SIZE) / PAGE_SIZE;

		if (!pages)
			return -ENOMEM;
		block_split(b, off, pages);
		for (u64 i = 0; i < n; i++)
			word_store(&pages[i].word, word_load(&pages[i].word) | WORD_MISSING);
	}
	return 0;
}

static void init(struct backing *b, u64 size)
{
	atomic_init(&b->refs, 1);
	b->size = size;
	spin_lock_init(&b->lock);
	list_init(&b->views);
	wait_queue_init(&b->moved);
	for (unsigned int i = 0; i < ARRIVAL_QUEUES; i++)
		wait_queue_init(&b->arrived[i]);
	b->first_wanted = b->last_wanted = NO_PAGE;
}

static void destroy(struct backing *b)
{
	if (b->block)
		free_memory(b);
	kfree((void *)b->block);
	kfree((void *)b->giant);
	kfree(b);
}

int backing_create(struct backing **out, u64 size, unsigned int flags)
{
	struct backing *b;
	int err = 0;

	if (!size || !IS_ALIGNED(size, PAGE_SIZE) || size > MAX_SIZE ||
	    flags & ~(unsigned int)(BACKING_RESERVE | BACKING_1G | BACKING_MISSING) ||
	    (flags & BACKING_1G && flags & BACKING_MISSING))
		return -EINVAL;
	b = kzalloc(sizeof(*b));
	if (!b)
		return -ENOMEM;
	init(b, size);
	b->block = kzalloc((size + BLOCK_SIZE - 1) / BLOCK_SIZE * sizeof(*b->block));
	if (flags & BACKING_1G && size >= GIANT_SIZE)
		b->giant = kzalloc(size / GIANT_SIZE * sizeof(*b->giant));
	if (!b->block || (!b->giant && flags & BACKING_1G && size >= GIANT_SIZE))
		err = -ENOMEM;
	else if (flags)
		err = reserve(b);
	if (!err && flags & BACKING_MISSING)
		err = make_missing(b);
	b->keeps_frames = flags & BACKING_MISSING;
	if (err)
		destroy(b);
	else
		*out = b;
	return err;
}

void backing_get(struct backing *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
}

void backing_put(struct backing *b)
{
	if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
		return;
	BUG_ON(!list_empty(&b->views) || b->queue);
	destroy(b);
}

u64 backing_size(const struct backing *b)
{
	return b->size;
}

/* --- finding --------------------------------------------------------------------------------- */

bool backing_look(struct backing *b, u64 offset, struct backing_page *out)
{
	return !backing_peek(b, offset, out);
}

int backing_find(struct backing *b, u64 offset, struct backing_page *out)
{
	int err;
	u64 word;

	BUG_ON(offset >= b->size || !IS_ALIGNED(offset, PAGE_SIZE));
	while ((err = backing_peek(b, offset, out)) == -ENOENT) {
		spin_lock(&b->lock);
		word = block_settled(b, offset);
		if (!(word & WORD_SPLIT))
			err = block_ready(b, offset);
		else
			err = page_ready(split_at(word, offset));
		spin_unlock(&b->lock);
		if (err)
			break;
	}
	return err;
}

static int populate_split(struct backing *b, u64 word, u64 offset)
{
	u64 end = min_u64(ALIGN_DOWN(offset, BLOCK_SIZE) + BLOCK_SIZE, b->size);
	int err = 0;

	for (; offset < end && !err; offset += PAGE_SIZE) {
		spin_lock(&b->lock);
		err = page_ready(split_at(word, offset));
		spin_unlock(&b->lock);
	}
	return err;
}

int backing_populate(struct backing *b)
{
	int err = 0;
	u64 word;

	for (u64 off = 0; off < b->size && !err; off += BLOCK_SIZE) {
		spin_lock(&b->lock);
		word = block_settled(b, off);
		if (!(word & WORD_SPLIT))
			err = block_ready(b, off);
		spin_unlock(&b->lock);
		if (word & WORD_SPLIT)
			err = populate_split(b, word, off);
	}
	return err;
}
