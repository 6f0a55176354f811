/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A ticket lock. Root mode runs with interrupts off, so there is no irqsave variant; NMI handlers
 * take no lock. A holder that never lets go is reported with its CPU after a bounded spin.
 */
#ifndef HV_HOST_SPINLOCK_H
#define HV_HOST_SPINLOCK_H

#include "hv/host/relax.h"
#include "hv/host/types.h"

struct spinlock {
	_Atomic u32 next;
	_Atomic u32 owner;
	_Atomic int cpu; /* the holder, or -1: for the diagnosis only */
};

#define SPINLOCK_INIT                                                                              \
	{                                                                                          \
		0, 0, -1                                                                           \
	}

static inline void spin_lock_init(struct spinlock *l)
{
	atomic_init(&l->next, 0);
	atomic_init(&l->owner, 0);
	atomic_init(&l->cpu, -1);
}

/* The CPU's number, from its per-CPU data; hv/host/percpu.h would include this file. */
#define SPIN_CPU_ID 8

/** spin_wait - the slow half of spin_lock(): somebody else's turn. Panics when it is endless. */
void spin_wait(struct spinlock *l, u32 ticket);

/** spin_lock - take the lock, waiting for it. Not for NMI context, nor before percpu_init_boot().
 */
#if __STDC_HOSTED__
void spin_lock(struct spinlock *l);
#else
static inline void spin_lock(struct spinlock *l)
{
	u32 ticket = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);
	int cpu;

	if (unlikely(atomic_load_explicit(&l->owner, memory_order_acquire) != ticket))
		spin_wait(l, ticket);
	__asm__("mov %%gs:%c1, %0" : "=r"(cpu) : "i"(SPIN_CPU_ID));
	atomic_store_explicit(&l->cpu, cpu, memory_order_relaxed);
}
#endif

/** spin_trylock - take the lock if nobody has it; true on success. */
bool spin_trylock(struct spinlock *l);

/** spin_unlock - let go of a lock that this CPU holds. */
#if __STDC_HOSTED__
void spin_unlock(struct spinlock *l);
#else
static inline void spin_unlock(struct spinlock *l)
{
	u32 ticket = atomic_load_explicit(&l->owner, memory_order_relaxed);

	atomic_store_explicit(&l->cpu, -1, memory_order_relaxed);
	atomic_store_explicit(&l->owner, ticket + 1, memory_order_release);
}
#endif

/**
 * spin_is_locked - whether anybody holds it
 *
 * When not, everything that the last holder did while it had it is visible.
 */
#if __STDC_HOSTED__
bool spin_is_locked(struct spinlock *l);
#else
static inline bool spin_is_locked(struct spinlock *l)
{
	return atomic_load_explicit(&l->owner, memory_order_acquire) !=
	       atomic_load_explicit(&l->next, memory_order_relaxed);
}
#endif

#endif
