/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Small objects: pages cut into equal pieces ("slabs"), a header with a bitmap at their start. An
 * object is therefore never page-aligned, and what is page-aligned is a block of whole pages.
 */
#include "hv/host/list.h"
#include "hv/host/mem.h"
#include "hv/host/print.h"
#include "hv/host/spinlock.h"
#include "hv/host/string.h"

#define SLAB_MAGIC   0x51ab0b7e
#define SLAB_HEADER  64
#define POISON_BYTE  0xd7
#define POISON_WORD  0xd7d7d7d7d7d7d7d7ull
#define BITMAP_WORDS 2

struct slab {
	struct list node; /* in its class's list while an object is free */
	u32 magic;
	u16 class;
	u16 nr_free;
	u64 free[BITMAP_WORDS];	   /* bit n: object n is free */
	u64 touched[BITMAP_WORDS]; /* bit n: object n was handed out before, so it is poisoned now
				    */
};

_Static_assert(sizeof(struct slab) <= SLAB_HEADER, "the first object starts behind the header");

/* Sizes that divide what is left of a page without much waste; multiples of 16. */
static const u16 sizes[] = { 32, 64, 96, 128, 192, 256, 336, 496, 672, 1008, 2016 };

_Static_assert((PAGE_SIZE - SLAB_HEADER) / 32 <= BITMAP_WORDS * 64, "a bit for each object");

static struct list partial[ARRAY_SIZE(sizes)]; /* slabs with a free object */
static bool ready;
static struct spinlock lock = SPINLOCK_INIT;

static unsigned int slab_capacity(unsigned int class)
{
	return (unsigned int)(PAGE_SIZE - SLAB_HEADER) / sizes[class];
}

static void *object_at(struct slab *s, unsigned int index)
{
	return (char *)s + SLAB_HEADER + (size_t)index * sizes[s->class];
}

static void init_once(void)
{
	if (ready)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		list_init(&partial[i]);
	ready = true;
}

static struct slab *slab_create(unsigned int class)
{
	unsigned int n = slab_capacity(class);
	struct slab *s = page_alloc(0, 0);

	if (!s)
		return NULL;
	memset(s, 0, SLAB_HEADER);
	s->magic = SLAB_MAGIC;
	s->class = (u16) class;
	s->nr_free = (u16)n;
	for (unsigned int i = 0; i < n; i++)
		s->free[i / 64] |= BIT(i % 64);
	list_add_head(&partial[class], &s->node);
	return s;
}

static unsigned int slab_take(struct slab *s, bool *poisoned)
{
	unsigned int word = s->free[0] ? 0 : 1;
	unsigned int bit = (unsigned int)__builtin_ctzll(s->free[word]);

	s->free[word] &= ~BIT(bit);
	*poisoned = s->touched[word] & BIT(bit);
	s->touched[word] |= BIT(bit);
	if (--s->nr_free == 0)
		list_del(&s->node);
	return word * 64 + bit;
}

static void check_poison(const void *object, size_t size)
{
	const u64 *w = object;

	for (size_t i = 0; i < size / 8; i++) {
		if (w[i] != POISON_WORD)
			panic("object %p of %lu bytes: written to after it was freed, offset %#lx",
			      object, size, i * 8);
	}
}

static void *small_alloc(unsigned int class)
{
	struct slab *s;
	bool poisoned;
	void *object;

	spin_lock(&lock);
	init_once();
	s = list_empty(&partial[class]) ? slab_create(class)
					: list_entry(partial[class].next, struct slab, node);
	if (!s) {
		spin_unlock(&lock);
		return NULL;
	}
	object = object_at(s, slab_take(s, &poisoned));
	spin_unlock(&lock);
	if (poisoned)
		check_poison(object, sizes[class]);
	memset(object, 0, sizes[class]);
	return object;
}

void *kzalloc(size_t size)
{
	if (!size || size > KMALLOC_MAX)
		return NULL;
	for (unsigned int class = 0; class < ARRAY_SIZE(sizes); class ++) {
		if (size <= sizes[class])
			return small_alloc(class);
	}
	return page_alloc(page_order(size), PAGE_ZERO);
}

/* The object's number in its slab; panics when it is none. */
static unsigned int object_index(const struct slab *s, const void *p)
{
	size_t offset = (size_t)((const char *)p - (const char *)s) - SLAB_HEADER;

	if (s->magic != SLAB_MAGIC || s->class >= ARRAY_SIZE(sizes) ||
	    (uintptr_t)p % PAGE_SIZE < SLAB_HEADER || offset % sizes[s->class] ||
	    offset / sizes[s->class] >= slab_capacity(s->class))
		panic("kfree(%p): not an object from kzalloc()", p);
	return (unsigned int)(offset / sizes[s->class]);
}

void kfree(void *p)
{
	struct slab *s = (struct slab *)ALIGN_DOWN((uintptr_t)p, PAGE_SIZE);
	unsigned int index;

	if (!p)
		return;
	if ((void *)s == p) {
		page_free(p, page_block_order(p));
		return;
	}
	spin_lock(&lock);
	index = object_index(s, p);
	if (s->free[index / 64] & BIT(index % 64))
		panic("kfree(%p): it is free already", p);
	memset(p, POISON_BYTE, sizes[s->class]);
	s->free[index / 64] |= BIT(index % 64);
	if (s->nr_free++ == 0)
		list_add_tail(&partial[s->class], &s->node);
	/* Give an empty page back, unless its class would start from nothing next time. */
	if (s->nr_free == slab_capacity(s->class) &&
	    (s->node.next != &partial[s->class] || s->node.prev != &partial[s->class])) {
		list_del(&s->node);
		s->magic = 0;
	} else {
		s = NULL;
	}
	spin_unlock(&lock);
	page_free(s, 0);
}
