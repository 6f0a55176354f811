/* SPDX-License-Identifier: GPL-2.0-only */
/* The VM that experiment `pause` works on, what this hypervisor makes of it: see lab/pause_arena.h.
 */
#include "lab/pause.h"

const u64 arena_spin = 2000; /* as vm_wait_resumed() */
const u64 arena_seconds = 1;

/* --- memory ---------------------------------------------------------------------------------- */

void arena_recreate(struct arena *a, struct slot_change list[2])
{
	list[0] = (struct slot_change){ .op = SLOT_DELETE, .id = ARENA_SLOT };
	list[1] = (struct slot_change){ .op = SLOT_CREATE,
					.id = ARENA_SLOT,
					.base = ARENA_BASE,
					.size = MIB(a->config.mib),
					.backing = a->mem,
					.offset = a->offset,
					.flags = a->config.flags };
}

/* The other slots all show the same page. */
static int create_others(struct arena *a)
{
	struct slot_change list[32];
	unsigned int n = 0;
	int err = 0;

	for (u32 i = 1; i < a->config.others && !err; i++) {
		list[n++] = (struct slot_change){ .op = SLOT_CREATE,
						  .id = ARENA_SPARE + i,
						  .base = ARENA_OTHER + i * 2 * PAGE_SIZE,
						  .size = PAGE_SIZE,
						  .backing = a->mem };
		if (n == ARRAY_SIZE(list) || i + 1 == a->config.others) {
			err = vm_change_slots(a->vm, list, n, SLOTS_ATOMIC, NULL);
			n = 0;
		}
	}
	return err;
}

int arena_create_memory(struct arena *a)
{
	static const unsigned int flags[] = {
		[MEMORY_ON_DEMAND] = 0,
		[MEMORY_ALL] = BACKING_RESERVE,
		[MEMORY_1G] = BACKING_1G,
	};
	struct slot_change list[2];
	int err;

	/* One page off: what looks like 2 MiB to the guest is never contiguous and aligned. */
	if (a->config.small_pages)
		a->offset = PAGE_SIZE;
	err = backing_create(&a->mem, MIB(a->config.mib) + a->offset, flags[a->config.memory]);
	if (!err && a->config.memory != MEMORY_ON_DEMAND)
		err = backing_populate(a->mem);
	if (err)
		return err;
	arena_recreate(a, list);
	err = vm_change_slots(a->vm, &list[1], 1, SLOTS_ATOMIC, NULL);
	return err ? err : create_others(a);
}

void arena_destroy_memory(struct arena *a)
{
	if (a->mem)
		backing_put(a->mem);
	a->mem = NULL;
}

/* The guest makes its access again. */
void arena_emulate(struct runner *r)
{
}

/* --- the VM ---------------------------------------------------------------------------------- */

int arena_setup(struct arena *a)
{
	const struct arena_config *c = &a->config;

	vm_set_traced(a->vm, c->traced);
	if (c->outside_events)
		vm_expect_events(a->vm);
	a->vm->slots.zap = c->zap;
	return c->flags & SLOT_LOG_DIRTY ? vm_set_dirty(a->vm, c->dirty) : 0;
}

/* Its thread kicks like all others. */
void arena_prepare(struct runner *r)
{
}

/* --- the VMM of today ------------------------------------------------------------------------ */

bool arena_stop_one_by_one(struct arena *a)
{
	for (u32 i = 0; i < a->nr; i++) {
		struct runner *r = &a->runner[i];

		atomic_store(&r->park, true);
		vcpu_request(r->vcpu, REQ_EXIT);
		if (!ARENA_WAIT(atomic_load(&r->parked)))
			return false;
	}
	return true;
}
