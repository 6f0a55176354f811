/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hv/host/mem.h for stress programs. Each frame has a word that says whether it belongs to
 * somebody: written when it is allocated and freed, read by whoever uses it, a guest included, and
 * by nothing but plain accesses. So a use after the end is an error even when the contents happen
 * to be right, and one that is merely not ordered before the end by anything is a data race that
 * the sanitizer reports.
 */
#include <stdlib.h>
#include <string.h>

#include "hv/host/mem.h"
#include "hv/host/print.h"
#include "tests/stress/arena.h"
#include "tests/stress/stress.h"

enum owner { NOBODY, SOMEBODY };

static u8 owner[ARENA_SIZE / PAGE_SIZE];
/* Who gets a frame comes after who gave it back; the arena's own lock is none for the sanitizer. */
static _Atomic u8 handed_over[ARENA_SIZE / PAGE_SIZE];
static _Atomic u64 live;

u64 frames_live(void)
{
	return atomic_load(&live);
}

void frame_use(hpa_t hpa, const char *what)
{
	stress_check(hpa < ARENA_SIZE, "%s at %#llx, which is no memory", what,
		     (unsigned long long)hpa);
	stress_check(owner[hpa / PAGE_SIZE] == SOMEBODY, "%s at %#llx, which has been freed", what,
		     (unsigned long long)hpa);
}

void *page_alloc(unsigned int order, unsigned int flags)
{
	void *p = arena_get(order);
	u64 frame, n = 1ull << order;

	stress_point();
	if (!p)
		return NULL;
	frame = virt_to_phys(p) / PAGE_SIZE;
	for (u64 i = 0; i < n; i++) {
		atomic_load_explicit(&handed_over[frame + i], memory_order_acquire);
		stress_check(owner[frame + i] == NOBODY, "a frame is handed out twice");
		owner[frame + i] = SOMEBODY;
	}
	atomic_fetch_add(&live, n);
	if (flags & PAGE_ZERO)
		memset(p, 0, n * PAGE_SIZE);
	return p;
}

void page_free(void *p, unsigned int order)
{
	u64 frame, n = 1ull << order;

	if (!p)
		return;
	stress_point();
	frame = virt_to_phys(p) / PAGE_SIZE;
	for (u64 i = 0; i < n; i++) {
		stress_check(owner[frame + i] == SOMEBODY, "a frame is freed twice");
		owner[frame + i] = NOBODY;
		atomic_store_explicit(&handed_over[frame + i], 1, memory_order_release);
	}
	atomic_fetch_sub(&live, n);
	arena_put(p, order);
}

/* Blocks are not put together again, so there is nothing to be done. */
void page_split(void *p, unsigned int order, unsigned int into)
{
}

unsigned int page_order(u64 bytes)
{
	unsigned int order = 0;

	while (PAGE_SIZE << order < bytes)
		order++;
	return order;
}

u64 page_nr_free(void)
{
	return ARENA_SIZE / PAGE_SIZE - frames_live();
}

void *kzalloc(size_t size)
{
	stress_point();
	return memset(aligned_alloc(64, ALIGN_UP(size, 64)), 0, size);
}

void kfree(void *p)
{
	stress_point();
	free(p);
}
