/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Physical memory: the direct map and the page allocator.
 *
 * All RAM is mapped at direct_map_base, read-write and no-execute. Pages come from a buddy
 * allocator (orders 0..PAGE_MAX_ORDER) fed with the boot memory map, below and above 4 GiB alike.
 * Freed memory is poisoned, and an allocation checks that the poison is intact, so a write after
 * free is reported with its address. Blocks up to 64 KiB are poisoned in full; of larger ones the
 * first 64 bytes of each page, which keeps giving back a big guest affordable. Memory that was
 * never handed out is not touched at all, except for the first 64 bytes of each free block.
 */
#ifndef HV_HOST_MEM_H
#define HV_HOST_MEM_H

#include "hv/host/types.h"

#define PAGE_MAX_ORDER 18 /* 1 GiB blocks, so that guests can have 1 GiB pages */

extern u64 direct_map_base; /* 0 in hosted builds, where "physical" is the process's own address */

static inline void *phys_to_virt(hpa_t pa)
{
	return (void *)(uintptr_t)(pa + direct_map_base);
}

/* Only for pointers into the direct map (what page_alloc() and phys_to_virt() returned). */
static inline hpa_t virt_to_phys(const void *va)
{
	return (hpa_t)(uintptr_t)va - direct_map_base;
}

enum page_flags {
	PAGE_ZERO = 1, /* hand out zeroed memory; otherwise the content is undefined */
};

/**
 * page_alloc - allocate 2^order physically contiguous pages, naturally aligned
 * @order: 0..PAGE_MAX_ORDER
 * @flags: enum page_flags
 *
 * Returns a direct-map pointer, or NULL when no block that large is free. Takes the allocator's
 * lock; not for NMI context.
 */
void *page_alloc(unsigned int order, unsigned int flags);

/**
 * page_free - give back what page_alloc() returned
 * @p: pointer from page_alloc(); NULL is ignored
 * @order: the order it was allocated with; a mismatch or a double free panics
 *
 * Takes the allocator's lock; not for NMI context.
 */
void page_free(void *p, unsigned int order);

/**
 * page_split - make several blocks of one, each to be given back by itself
 * @p: pointer from page_alloc()
 * @order: the order it was allocated with; a mismatch panics
 * @into: the order of the new blocks, 0..@order; the contents stay
 *
 * Context as page_free().
 */
void page_split(void *p, unsigned int order, unsigned int into);

/* Order of an allocated block, by its first byte; panics when @p is no such thing. */
unsigned int page_block_order(const void *p);

/* Order of the smallest block that holds @bytes (1 <= bytes <= PAGE_SIZE << PAGE_MAX_ORDER). */
unsigned int page_order(u64 bytes);

/* Pages free; pages handed out, the allocator's own bitmaps included. */
u64 page_nr_free(void);
u64 page_nr_used(void);

/**
 * page_add_range - give a range of RAM to the allocator (start-up only)
 * @base, @len: bytes; partial pages at either end are left out, and so is page 0
 *
 * The range must be in the direct map already. Its bitmaps (96 bytes per MiB) are put into the less
 * aligned end of it. A range that overlaps an earlier one, or is one too many, is reported and left
 * out.
 */
void page_add_range(hpa_t base, u64 len);

#define KMALLOC_MAX MIB(2)

/**
 * kzalloc, kfree - small zeroed objects (a thin layer over pages; up to 2 MiB, 16-byte aligned)
 *
 * kzalloc() returns NULL when memory is out or @size is 0 or too large. Freed objects are poisoned
 * like pages; a bad pointer or a double free panics. kfree(NULL) is allowed. Not for NMI context.
 */
void *kzalloc(size_t size);
void kfree(void *p);

#endif
