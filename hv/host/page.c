/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The page allocator: a buddy system whose free lists live in the free pages themselves.
 *
 * What must not be forged by whoever had a page before lives in three bits per page outside of it:
 * "a block starts here", "that block is free" and "this page holds poison". Blocks tile a zone
 * without gaps, so a block's size is the distance to the next start, and a free with the wrong
 * order or a second free is seen for what it is.
 */
#include "hv/host/mem.h"

#include "hv/host/bootinfo.h"
#include "hv/host/list.h"
#include "hv/host/print.h"
#include "hv/host/spinlock.h"
#include "hv/host/string.h"

#define MAX_ZONES      (BOOT_MAX_RANGES + BOOT_MAX_MODULES + 8)
#define POISON_FULL    0xdeadf2eedeadf2eeull /* every word of the page; no canonical address */
#define POISON_SPARSE  0xdead5ba2dead5ba2ull /* the first POISON_BYTES of the page */
#define POISON_BYTES   64
#define FULL_MAX_ORDER 4 /* up to 64 KiB are poisoned in full */
#define BLOCK_MAGIC    0x5b10cf2ee5b10cf2ull

/* The state of 64 pages. */
struct page_word {
	u64 head;   /* a block starts at the page */
	u64 free;   /* ... and it is free */
	u64 poison; /* the page was freed and poisoned, and is still free */
};

/* A contiguous range of RAM. */
struct zone {
	hfn_t first, end; /* pages handed out: first <= pfn < end */
	hfn_t origin;	  /* page of bit 0: first, rounded down to 64 */
	struct page_word *words;
};

/* At the start of a free block. */
struct free_block {
	struct list node;
	u64 covered; /* the poison word that this header overwrites, 0 if there was none */
	u64 order;
	u64 check; /* of the fields above but the links */
};

_Static_assert(sizeof(struct free_block) <= POISON_BYTES, "a header must not outgrow the poison");

u64 direct_map_base;

static struct zone zones[MAX_ZONES]; /* the largest first */
static unsigned int nr_zones;
static struct list free_lists[PAGE_MAX_ORDER + 1];
static u32 free_orders; /* bit n: free_lists[n] is not empty */
static struct spinlock page_lock = SPINLOCK_INIT;
static _Atomic u64 nr_free, nr_used;

/* --- bits ------------------------------------------------------------------------------------ */

static struct page_word *word_of(const struct zone *z, hfn_t pfn)
{
	return &z->words[(pfn - z->origin) / 64];
}

static u64 bit_of(const struct zone *z, hfn_t pfn)
{
	return BIT((pfn - z->origin) % 64);
}

static bool is_head(const struct zone *z, hfn_t pfn)
{
	return word_of(z, pfn)->head & bit_of(z, pfn);
}

static bool is_free_head(const struct zone *z, hfn_t pfn)
{
	return word_of(z, pfn)->free & bit_of(z, pfn);
}

/* Set the poison bits of a naturally aligned block. */
static void poison_mark(const struct zone *z, hfn_t pfn, u64 pages)
{
	struct page_word *w = word_of(z, pfn);

	if (pages < 64) {
		w->poison |= (BIT(pages) - 1) * bit_of(z, pfn);
		return;
	}
	for (u64 i = 0; i < pages / 64; i++)
		w[i].poison = ~0ull;
}

/* Read and clear the poison bits of up to 64 pages, naturally aligned. */
static u64 poison_take(const struct zone *z, hfn_t pfn, u64 pages)
{
	struct page_word *w = word_of(z, pfn);
	u64 mask = pages < 64 ? (BIT(pages) - 1) * bit_of(z, pfn) : ~0ull;
	u64 found = w->poison & mask;

	w->poison &= ~mask;
	return found / bit_of(z, pfn);
}

/* Pages from a block's start to the next one. */
static u64 block_pages(const struct zone *z, hfn_t pfn)
{
	hfn_t next = pfn + 1;

	while (next < z->end) {
		u64 heads = word_of(z, next)->head & ~(bit_of(z, next) - 1);

		next = ALIGN_DOWN(next, 64);
		if (heads)
			return next + (u64)__builtin_ctzll(heads) - pfn;
		next += 64;
	}
	return z->end - pfn;
}

static struct zone *zone_find(hfn_t pfn)
{
	for (unsigned int i = 0; i < nr_zones; i++) {
		if (pfn >= zones[i].first && pfn < zones[i].end)
			return &zones[i];
	}
	return NULL;
}

static void *pfn_to_virt(hfn_t pfn)
{
	return phys_to_virt(pfn << PAGE_SHIFT);
}

/* --- free blocks ----------------------------------------------------------------------------- */

static u64 block_check(const struct free_block *b)
{
	return BLOCK_MAGIC ^ virt_to_phys(b) ^ b->covered ^ b->order;
}

/* With the string instruction: where instructions are what is counted a word costs one. */
static void fill(void *p, u64 v, size_t bytes)
{
	size_t n = bytes / sizeof(v);

	__asm__ volatile("rep stosq" : "+D"(p), "+c"(n) : "a"(v) : "memory");
}

/* Make a block free: its pages belong to nobody and no bit of them but poison is set. */
static void block_link(struct zone *z, hfn_t pfn, unsigned int order)
{
	struct free_block *b = pfn_to_virt(pfn);
	u64 covered = word_of(z, pfn)->poison & bit_of(z, pfn) ? *(u64 *)b : 0;

	b->covered = covered;
	b->order = order;
	b->check = block_check(b);
	/* First in, first out: the longer a page rests, the more stray writes it catches. */
	list_add_tail(&free_lists[order], &b->node);
	free_orders |= 1u << order;
	word_of(z, pfn)->head |= bit_of(z, pfn);
	word_of(z, pfn)->free |= bit_of(z, pfn);
}

static unsigned int block_order(struct free_block *b)
{
	if (b->check != block_check(b) || b->order > PAGE_MAX_ORDER ||
	    b->node.next->prev != &b->node || b->node.prev->next != &b->node)
		panic("free page %#lx: its header was overwritten after it was freed",
		      virt_to_phys(b));
	return (unsigned int)b->order;
}

/* Take a block off its list and put back what its header covered. The head bit stays. */
static void block_unlink(struct zone *z, hfn_t pfn)
{
	struct free_block *b = pfn_to_virt(pfn);
	unsigned int order = block_order(b);

	list_del(&b->node);
	if (list_empty(&free_lists[order]))
		free_orders &= ~(1u << order);
	word_of(z, pfn)->free &= ~bit_of(z, pfn);
	fill(b, b->covered, POISON_BYTES);
}

static void block_insert(struct zone *z, hfn_t pfn, unsigned int order)
{
	while (order < PAGE_MAX_ORDER) {
		hfn_t pages = 1ull << order, buddy = pfn ^ pages;

		if (buddy < z->first || buddy + pages > z->end || !is_free_head(z, buddy) ||
		    block_order(pfn_to_virt(buddy)) != order)
			break;
		block_unlink(z, buddy);
		word_of(z, buddy)->head &= ~bit_of(z, buddy);
		word_of(z, pfn)->head &= ~bit_of(z, pfn);
		pfn &= ~pages;
		order++;
	}
	block_link(z, pfn, order);
}

/* --- poison ---------------------------------------------------------------------------------- */

static void poison_write(hfn_t pfn, unsigned int order)
{
	char *p = pfn_to_virt(pfn);

	if (order <= FULL_MAX_ORDER) {
		fill(p, POISON_FULL, PAGE_SIZE << order);
		return;
	}
	for (u64 i = 0; i < 1ull << order; i++)
		fill(p + i * PAGE_SIZE, POISON_SPARSE, POISON_BYTES);
}

static void poison_check(hfn_t pfn)
{
	const u64 *p = pfn_to_virt(pfn);
	size_t n = (*p == POISON_FULL ? PAGE_SIZE : POISON_BYTES) / 8;
	u64 want = *p == POISON_FULL ? POISON_FULL : POISON_SPARSE;
	const u64 *end = p;
	bool intact;

	/* Ends at the first word that differs. See fill(). */
	__asm__ volatile("repe scasq" : "+D"(end), "+c"(n), "=@ccz"(intact) : "a"(want) : "memory");
	if (intact)
		return;
	end--;
	panic("free page %#lx: written to after it was freed, offset %#lx holds %#lx",
	      (pfn << PAGE_SHIFT), (end - p) * 8, *end);
}

/*
 * Check the poisoned pages of a block that was just taken. @mask: poison bits of its first 64
 * pages, read under the lock since a small block shares its word; the words of a larger one are its
 * own.
 */
static void poison_check_block(struct zone *z, hfn_t pfn, u64 pages, u64 mask)
{
	for (u64 i = 0;;) {
		for (; mask; mask &= mask - 1)
			poison_check(pfn + i + (u64)__builtin_ctzll(mask));
		i += 64;
		if (i >= pages)
			return;
		mask = poison_take(z, pfn + i, 64);
	}
}

/* --- the interface --------------------------------------------------------------------------- */

void *page_alloc(unsigned int order, unsigned int flags)
{
	u64 pages = 1ull << order, mask;
	unsigned int have;
	struct zone *z;
	u32 candidates;
	hfn_t pfn;
	void *p;

	BUG_ON(order > PAGE_MAX_ORDER);
	spin_lock(&page_lock);
	candidates = free_orders >> order;
	if (!candidates) {
		spin_unlock(&page_lock);
		return NULL;
	}
	/* The smallest block that is large enough, so that large ones survive. */
	have = order + (unsigned int)__builtin_ctz(candidates);
	p = list_entry(free_lists[have].next, struct free_block, node);
	pfn = virt_to_phys(p) >> PAGE_SHIFT;
	z = zone_find(pfn);
	block_unlink(z, pfn);
	while (have > order) {
		have--;
		block_link(z, pfn + (1ull << have), have);
	}
	mask = poison_take(z, pfn, min_u64(pages, 64));
	spin_unlock(&page_lock);

	atomic_fetch_sub_explicit(&nr_free, pages, memory_order_relaxed);
	atomic_fetch_add_explicit(&nr_used, pages, memory_order_relaxed);
	poison_check_block(z, pfn, pages, mask);
	if (flags & PAGE_ZERO)
		memset(p, 0, PAGE_SIZE << order);
	return p;
}

/* Panic unless an allocated block starts at @p; returns its zone. @what: the function called. */
static struct zone *check_allocated(const char *what, const void *p)
{
	hfn_t pfn = virt_to_phys(p) >> PAGE_SHIFT;
	struct zone *z = zone_find(pfn);

	if (!z || !IS_ALIGNED((uintptr_t)p, PAGE_SIZE))
		panic("%s(%p): not a page of the allocator", what, p);
	if (is_head(z, pfn) && !is_free_head(z, pfn))
		return z;
	/* Free, inside a free block that it was merged into, or inside an allocated one. */
	while (!is_head(z, pfn))
		pfn--;
	if (is_free_head(z, pfn))
		panic("%s(%p): it is free already", what, p);
	panic("%s(%p): inside a block allocated at %p", what, p, pfn_to_virt(pfn));
}

static unsigned int allocated_order(const char *what, const void *p)
{
	struct zone *z;
	u64 pages;

	spin_lock(&page_lock);
	z = check_allocated(what, p);
	pages = block_pages(z, virt_to_phys(p) >> PAGE_SHIFT);
	spin_unlock(&page_lock);
	return (unsigned int)__builtin_ctzll(pages);
}

unsigned int page_block_order(const void *p)
{
	return allocated_order(__func__, p);
}

static void check_order(const char *what, const void *p, unsigned int order)
{
	unsigned int real = allocated_order(what, p);

	if (real != order)
		panic("%s(%p, %u): it was allocated with order %u", what, p, order, real);
}

/* An allocated block is nothing but a head bit: its first page's. */
void page_split(void *p, unsigned int order, unsigned int into)
{
	hfn_t pfn = virt_to_phys(p) >> PAGE_SHIFT;
	struct zone *z;

	BUG_ON(into > order);
	check_order(__func__, p, order);
	spin_lock(&page_lock);
	z = check_allocated(__func__, p);
	for (u64 i = 0; i < 1ull << order; i += 1ull << into)
		word_of(z, pfn + i)->head |= bit_of(z, pfn + i);
	spin_unlock(&page_lock);
}

void page_free(void *p, unsigned int order)
{
	hfn_t pfn = virt_to_phys(p) >> PAGE_SHIFT;
	u64 pages = 1ull << order;
	struct zone *z;

	if (!p)
		return;
	check_order(__func__, p, order);
	/* Still the caller's: filled without the lock, since a large block takes long. */
	poison_write(pfn, order);

	spin_lock(&page_lock);
	z = check_allocated(__func__, p);
	poison_mark(z, pfn, pages);
	block_insert(z, pfn, order);
	spin_unlock(&page_lock);
	atomic_fetch_add_explicit(&nr_free, pages, memory_order_relaxed);
	atomic_fetch_sub_explicit(&nr_used, pages, memory_order_relaxed);
}

unsigned int page_order(u64 bytes)
{
	u64 pages = (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;

	return pages <= 1 ? 0 : 64 - (unsigned int)__builtin_clzll(pages - 1);
}

u64 page_nr_free(void)
{
	return atomic_load_explicit(&nr_free, memory_order_relaxed);
}

u64 page_nr_used(void)
{
	return atomic_load_explicit(&nr_used, memory_order_relaxed);
}

/* --- start-up -------------------------------------------------------------------------------- */

/* Give the bitmaps of [first, end) a place at the end with the worse alignment, and the rest to @z.
 */
static bool zone_init(struct zone *z, hfn_t first, hfn_t end)
{
	u64 nr_words = (end - ALIGN_DOWN(first, 64) + 63) / 64;
	u64 meta = (nr_words * sizeof(*z->words) + PAGE_SIZE - 1) >> PAGE_SHIFT;

	if (meta >= end - first)
		return false;
	/* Their lowest set bit tells the alignments apart. */
	if ((first & -first) > (end & -end)) {
		end -= meta;
		z->words = pfn_to_virt(end);
	} else {
		z->words = pfn_to_virt(first);
		first += meta;
	}
	z->first = first;
	z->end = end;
	z->origin = ALIGN_DOWN(first, 64);
	memset(z->words, 0, nr_words * sizeof(*z->words));
	atomic_fetch_add_explicit(&nr_used, meta, memory_order_relaxed);
	return true;
}

static void zone_fill(struct zone *z)
{
	for (hfn_t pfn = z->first; pfn < z->end;) {
		u64 align = pfn & -pfn;
		unsigned int order = 63 - (unsigned int)__builtin_clzll(z->end - pfn);

		if (align < 1ull << order)
			order = (unsigned int)__builtin_ctzll(align);
		if (order > PAGE_MAX_ORDER)
			order = PAGE_MAX_ORDER;
		block_link(z, pfn, order);
		pfn += 1ull << order;
	}
	atomic_fetch_add_explicit(&nr_free, z->end - z->first, memory_order_relaxed);
}

static bool zone_acceptable(hfn_t first, hfn_t end)
{
	const char *why = nr_zones == MAX_ZONES ? "one range too many" : NULL;

	for (unsigned int i = 0; i < nr_zones; i++) {
		if (first < zones[i].end && end > zones[i].first)
			why = "overlaps another range";
	}
	if (why)
		printk("memory: %#lx-%#lx left out: %s\n", first << PAGE_SHIFT, end << PAGE_SHIFT,
		       why);
	return !why;
}

void page_add_range(hpa_t base, u64 len)
{
	hfn_t first = (base + PAGE_SIZE - 1) >> PAGE_SHIFT;
	hfn_t end = (base + len) >> PAGE_SHIFT;
	unsigned int i = nr_zones;
	struct zone z;

	if (!first)
		first = 1;
	if (first >= end || !zone_acceptable(first, end) || !zone_init(&z, first, end))
		return;
	if (!nr_zones) {
		for (unsigned int o = 0; o <= PAGE_MAX_ORDER; o++)
			list_init(&free_lists[o]);
	}
	for (; i && zones[i - 1].end - zones[i - 1].first < z.end - z.first; i--)
		zones[i] = zones[i - 1];
	zones[i] = z;
	nr_zones++;
	zone_fill(&zones[i]);
}
