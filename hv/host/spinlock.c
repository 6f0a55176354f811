/* SPDX-License-Identifier: GPL-2.0-only */
/* Ticket locks. */
#include "hv/host/spinlock.h"

#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/x86.h"

/*
 * Rounds of waiting before the holder is declared stuck: most of a second on hardware, while no
 * lock here is held for more than a few milliseconds.
 */
#define SPIN_LIMIT (1u << 24)

static noreturn void report_stuck(struct spinlock *l)
{
	panic("spinlock %p: CPU %d does not let go of it", (void *)l,
	      atomic_load_explicit(&l->cpu, memory_order_relaxed));
}

static void set_holder(struct spinlock *l, int cpu)
{
	atomic_store_explicit(&l->cpu, cpu, memory_order_relaxed);
}

void spin_wait(struct spinlock *l, u32 ticket)
{
	u32 rounds = 0;

	while (atomic_load_explicit(&l->owner, memory_order_acquire) != ticket) {
		cpu_relax();
		if (unlikely(++rounds == SPIN_LIMIT))
			report_stuck(l);
	}
}

#if __STDC_HOSTED__
void spin_lock(struct spinlock *l)
{
	u32 ticket = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);

	spin_wait(l, ticket);
	set_holder(l, (int)this_cpu_id());
}

void spin_unlock(struct spinlock *l)
{
	u32 ticket = atomic_load_explicit(&l->owner, memory_order_relaxed);

	set_holder(l, -1);
	atomic_store_explicit(&l->owner, ticket + 1, memory_order_release);
}
#else
_Static_assert(offsetof(struct cpu, id) == SPIN_CPU_ID, "spinlock.h knows where it is");
#endif

bool spin_trylock(struct spinlock *l)
{
	u32 ticket = atomic_load_explicit(&l->owner, memory_order_acquire);
	u32 next = ticket;

	/* Free means that the next ticket is the one being served. */
	if (!atomic_compare_exchange_strong_explicit(&l->next, &next, ticket + 1,
						     memory_order_acquire, memory_order_relaxed))
		return false;
	set_holder(l, (int)this_cpu_id());
	return true;
}

#if __STDC_HOSTED__
bool spin_is_locked(struct spinlock *l)
{
	return atomic_load_explicit(&l->owner, memory_order_acquire) !=
	       atomic_load_explicit(&l->next, memory_order_relaxed);
}
#endif
