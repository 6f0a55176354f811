/* SPDX-License-Identifier: GPL-2.0-only */
/* stress: quiet */
/*
 * Frames of memory, and access to their contents, without the sanitizer: guests and the hypervisor
 * may use the same bytes at the same time, as they do on a real machine. That a frame is not used
 * after it was freed is what pages.c looks after.
 */
#include "tests/stress/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/stress/stress.h"

#define POISON 0x6b6b6b6b6b6b6b6bull

struct free_frame {
	struct free_frame *next;
};

u64 direct_map_base;

static u8 *arena;
static u64 used;
static struct free_frame *free_list[PAGE_MAX_ORDER + 1];
static u32 locked;

void arena_reset(void)
{
	if (!arena) {
		void *p = mmap(NULL, ARENA_SIZE + GIB(1), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p == MAP_FAILED)
			abort();
		arena = (u8 *)ALIGN_UP((uintptr_t)p, GIB(1));
		direct_map_base = (u64)(uintptr_t)arena;
	}
	used = PAGE_SIZE; /* physical page 0 is nobody's */
	for (unsigned int i = 0; i <= PAGE_MAX_ORDER; i++)
		free_list[i] = NULL;
}

static void lock(void)
{
	while (__atomic_exchange_n(&locked, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

static void unlock(void)
{
	__atomic_store_n(&locked, 0, __ATOMIC_RELEASE);
}

void *arena_get(unsigned int order)
{
	size_t size = PAGE_SIZE << order;
	struct free_frame *f;

	lock();
	f = free_list[order];
	if (f) {
		free_list[order] = f->next; /* the last that was freed: who still uses it is seen */
	} else {
		used = ALIGN_UP(used, size);
		f = used + size <= ARENA_SIZE ? (void *)(arena + used) : NULL;
		used += size;
	}
	unlock();
	return f;
}

void arena_put(void *p, unsigned int order)
{
	struct free_frame *f = p;

	for (u64 off = 0; off < PAGE_SIZE << order; off += PAGE_SIZE)
		for (unsigned int i = 0; i < 8; i++)
			((volatile u64 *)((u8 *)p + off))[i] = POISON;
	lock();
	f->next = free_list[order];
	free_list[order] = f;
	unlock();
}

u64 quiet_load(hpa_t hpa)
{
	return *(volatile u64 *)(arena + hpa);
}

void quiet_store(hpa_t hpa, u64 value)
{
	*(volatile u64 *)(arena + hpa) = value;
}
