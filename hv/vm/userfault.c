/* SPDX-License-Identifier: GPL-2.0-only */
/* Bitmaps that hide pages. See hv/vm/userfault.h. */
#include "hv/vm/userfault.h"

#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "hv/vm/backing_internal.h"

struct userfault {
	_Atomic u32 refs;
	unsigned int order; /* of the pages that the bits take */
	struct backing *b;
	_Atomic u64 *word; /* a bit for each page */
};

#define WORD_PAGES 64
#define WORD_SPAN  (WORD_PAGES * PAGE_SIZE)

static _Atomic u64 *word_of(const struct userfault *u, u64 offset)
{
	return &u->word[offset / WORD_SPAN];
}

static u64 bit_of(u64 offset)
{
	return BIT(offset / PAGE_SIZE % WORD_PAGES);
}

int userfault_create(struct userfault **out, struct backing *b, bool hidden)
{
	u64 bytes = (b->size + WORD_SPAN - 1) / WORD_SPAN * sizeof(u64);
	struct userfault *u = kzalloc(sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->order = page_order(bytes);
	u->word = u->order <= PAGE_MAX_ORDER ? page_alloc(u->order, PAGE_ZERO) : NULL;
	if (!u->word) {
		kfree(u);
		return -ENOMEM;
	}
	if (hidden)
		memset((void *)u->word, 0xff, bytes);
	atomic_init(&u->refs, 1);
	u->b = b;
	backing_get(b);
	*out = u;
	return 0;
}

void userfault_get(struct userfault *u)
{
	atomic_fetch_add_explicit(&u->refs, 1, memory_order_relaxed);
}

void userfault_put(struct userfault *u)
{
	if (atomic_fetch_sub_explicit(&u->refs, 1, memory_order_acq_rel) != 1)
		return;
	backing_put(u->b);
	page_free((void *)u->word, u->order);
	kfree(u);
}

struct backing *userfault_backing(const struct userfault *u)
{
	return u->b;
}

const _Atomic u64 *userfault_bits(const struct userfault *u)
{
	return u->word;
}

bool userfault_hides(const struct userfault *u, u64 offset)
{
	return atomic_load_explicit(word_of(u, offset), memory_order_acquire) & bit_of(offset);
}

bool userfault_hides_any(const struct userfault *u, u64 offset, u64 len)
{
	u64 any = 0;

	for (u64 end = offset + len; offset < end; offset += WORD_SPAN)
		any |= atomic_load_explicit(word_of(u, offset), memory_order_acquire);
	return any;
}

void userfault_clear(struct userfault *u, u64 offset, u64 pages)
{
	atomic_fetch_and_explicit(word_of(u, offset), ~pages, memory_order_release);
}

void userfault_clear_page(struct userfault *u, u64 offset)
{
	userfault_clear(u, offset, bit_of(offset));
}

void userfault_set_bits(struct userfault *u, u64 offset, u64 len)
{
	/* The table lock, which every installer takes after this, orders them. */
	for (u64 end = offset + len; offset < end; offset += PAGE_SIZE)
		atomic_fetch_or_explicit(word_of(u, offset), bit_of(offset), memory_order_relaxed);
}

int userfault_set(struct userfault *u, u64 offset, u64 len)
{
	return backing_hide(u->b, offset, len, u);
}
