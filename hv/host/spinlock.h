/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A ticket lock. Root mode runs with interrupts off, so there is no irqsave variant; NMI handlers
 * take no lock. A holder that never lets go is reported with its CPU after a bounded spin.
 */
#ifndef HV_HOST_SPINLOCK_H
#define HV_HOST_SPINLOCK_H

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

/** spin_lock - take the lock, waiting for it. Not for NMI context; panics when the wait is endless.
 */
void spin_lock(struct spinlock *l);

/** spin_trylock - take the lock if nobody has it; true on success. */
bool spin_trylock(struct spinlock *l);

/** spin_unlock - let go of a lock that this CPU holds. */
void spin_unlock(struct spinlock *l);

/** spin_is_locked - whether anybody holds it, for assertions. */
bool spin_is_locked(struct spinlock *l);

#endif
