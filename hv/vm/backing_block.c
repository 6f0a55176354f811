/* SPDX-License-Identifier: GPL-2.0-only */
/* The blocks of a backing: giving them memory, zeroing and splitting them. */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "hv/vm/backing_internal.h"

u64 block_settled(struct backing *b, u64 offset)
{
	backing_word *w = block_at(b, offset);

	while (word_load(w) & WORD_BUSY) {
		spin_unlock(&b->lock);
		while (word_load(w) & WORD_BUSY)
			cpu_relax();
		spin_lock(&b->lock);
	}
	return word_load(w);
}

/* Without the lock: nobody else touches a block that is BUSY. Returns the memory, or 0. */
static hpa_t make_ready(u64 word, unsigned int order)
{
	void *p = word & WORD_HERE ? phys_to_virt(word & WORD_ADDRESS) : page_alloc(order, 0);

	if (!p)
		return 0;
	memset(p, 0, PAGE_SIZE << order);
	return virt_to_phys(p);
}

int block_ready(struct backing *b, u64 offset)
{
	backing_word *w = block_at(b, offset);
	u64 word = word_load(w);
	hpa_t hpa;

	if ((word & WORD_READY) == WORD_READY)
		return 0;
	word_store(w, word | WORD_BUSY);
	spin_unlock(&b->lock);
	hpa = make_ready(word, block_order(b, offset));
	spin_lock(&b->lock);
	if (!hpa) {
		word_store(w, word);
		return -ENOMEM;
	}
	/* Read again: a move elsewhere in its GiB may have split that. */
	word = word_load(w) & WORD_GIANT;
	word_store(w, hpa | WORD_READY | word);
	if (word)
		atomic_fetch_add_explicit(&b->giant[offset / GIANT_SIZE], 1, memory_order_release);
	return 0;
}

int page_ready(struct split_page *p)
{
	u64 word = word_load(&p->word);
	void *page;

	if (word & (WORD_MISSING | WORD_ZEROED))
		return 0;
	if (word & WORD_HERE) {
		page = phys_to_virt(word & WORD_ADDRESS);
		memset(page, 0, PAGE_SIZE);
	} else {
		page = page_alloc(0, PAGE_ZERO);
	}
	if (!page)
		return -ENOMEM;
	word_store(&p->word, virt_to_phys(page) | WORD_READY);
	return 0;
}

struct split_page *split_alloc(void)
{
	return page_alloc(SPLIT_ORDER, PAGE_ZERO);
}

void split_free(struct split_page *pages)
{
	page_free(pages, SPLIT_ORDER);
}

void giant_split(struct backing *b, u64 offset)
{
	backing_word *w = block_at(b, ALIGN_DOWN(offset, GIANT_SIZE));

	if (!(word_load(block_at(b, offset)) & WORD_GIANT))
		return;
	page_split(phys_to_virt(word_load(w) & WORD_ADDRESS), GIANT_ORDER, BLOCK_ORDER);
	for (u64 i = 0; i < GIANT_BLOCKS; i++)
		word_store(&w[i], word_load(&w[i]) & ~WORD_GIANT);
}

void block_split(struct backing *b, u64 offset, struct split_page *pages)
{
	unsigned int order = block_order(b, offset);
	backing_word *w = block_at(b, offset);
	u64 word;

	giant_split(b, offset);
	word = word_load(w);
	if (word & WORD_HERE) {
		page_split(phys_to_virt(word & WORD_ADDRESS), order, 0);
		for (u64 i = 0; i < 1ull << order; i++)
			atomic_init(&pages[i].word, word + i * PAGE_SIZE);
	}
	word_store(w, (uintptr_t)pages | WORD_SPLIT);
}
