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

static void init(struct backing *b, u64 size)
{
	atomic_init(&b->refs, 1);
	b->size = size;
	spin_lock_init(&b->lock);
	list_init(&b->views);
	wait_queue_init(&b->moved);
	wait_queue_init(&b->wanted);
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
	    flags & ~(unsigned int)(BACKING_RESERVE | BACKING_1G))
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
	BUG_ON(!list_empty(&b->views));
	destroy(b);
}

u64 backing_size(const struct backing *b)
{
	return b->size;
}

/* --- finding --------------------------------------------------------------------------------- */

/* How much lies in one piece around a page of a block that is ready. */
static u64 span(struct backing *b, u64 word, u64 offset)
{
	if (word & WORD_GIANT && atomic_load_explicit(&b->giant[offset / GIANT_SIZE],
						      memory_order_acquire) == GIANT_BLOCKS)
		return GIANT_SIZE;
	return block_order(b, offset) == BLOCK_ORDER ? BLOCK_SIZE : PAGE_SIZE;
}

bool backing_look(struct backing *b, u64 offset, struct backing_page *out)
{
	u64 word = word_load(block_at(b, offset));

	if (likely((word & WORD_READY) == WORD_READY)) {
		out->hpa = (word & WORD_ADDRESS) + offset % BLOCK_SIZE;
		out->span = span(b, word, offset);
		return true;
	}
	if (!(word & WORD_SPLIT))
		return false;
	word = word_load(&split_at(word, offset)->word);
	out->hpa = word & WORD_ADDRESS;
	out->span = PAGE_SIZE;
	return (word & WORD_READY) == WORD_READY;
}

int backing_find(struct backing *b, u64 offset, struct backing_page *out)
{
	bool wanted = false;
	int err = 0;
	u64 word;

	BUG_ON(offset >= b->size || !IS_ALIGNED(offset, PAGE_SIZE));
	while (!backing_look(b, offset, out) && !err) {
		spin_lock(&b->lock);
		word = block_settled(b, offset);
		if (!(word & WORD_SPLIT)) {
			err = block_ready(b, offset);
		} else if (word_load(&split_at(word, offset)->word) & WORD_MISSING) {
			wanted = page_want(b, split_at(word, offset), offset);
			err = -EAGAIN;
		} else {
			err = page_ready(split_at(word, offset));
		}
		spin_unlock(&b->lock);
	}
	if (wanted)
		page_wanted(b);
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
