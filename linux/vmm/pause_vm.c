/* SPDX-License-Identifier: GPL-2.0-only */
/* The VM that experiment `pause` works on, what KVM makes of it: see lab/pause_arena.h. */
#include "linux/vmm/pause.h"

#include <sys/mman.h>

#include "hv/host/errno.h"
#include "hv/host/string.h"

const u64 arena_spin = 0; /* a thread of Linux sleeps at once */
const u64 arena_seconds = 20;

/* --- memory ----------------------------------------------------------------------------------- */

int arena_create_memory(struct arena *a)
{
	const struct arena_config *c = &a->config;
	int err;

	a->hva = vm_map_anonymous(arena_size(a));
	if (!a->hva)
		return -ENOMEM;
	madvise(a->hva, arena_size(a), c->small_pages ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	err = arena_insert(a);
	for (u32 i = 1; i < c->others && !err; i++)
		err = vm_set_region(a->vm, ARENA_SPARE + i, ARENA_OTHER + i * 2 * PAGE_SIZE,
				    PAGE_SIZE, a->hva, 0);
	return err;
}

void arena_destroy_memory(struct arena *a)
{
	if (a->hva)
		munmap(a->hva, arena_size(a));
	a->hva = NULL;
}

/* The VMM is asked to emulate RAM, and does: the guest is to find in memory what it wrote. */
void arena_emulate(struct runner *r)
{
	struct kvm_run *run = kvm_vcpu(r->vcpu)->kvm_run;
	u8 *p = r->arena->hva + (run->mmio.phys_addr - ARENA_BASE);

	if (run->mmio.is_write)
		memcpy(p, run->mmio.data, run->mmio.len);
	else
		memcpy(run->mmio.data, p, run->mmio.len);
}

/* --- the VM ----------------------------------------------------------------------------------- */

int arena_setup(struct arena *a)
{
	return 0;
}

void arena_prepare(struct runner *r)
{
	bool by_signal = r->arena->config.way == WAY_SIGNAL;

	vcpu_set_kick(r->vcpu, by_signal ? KVM_KICK_SIGNAL : KVM_KICK_IMMEDIATE);
}

u64 arena_exits(struct arena *a)
{
	u64 sum = 0;

	for (u32 i = 0; i < a->nr; i++)
		sum += vcpu_stat(a->runner[i].vcpu, "exits");
	return sum;
}

/* --- stopping them ---------------------------------------------------------------------------- */

/* What a VMM does today: ask all, then wait for each. */
static int park_all(struct arena *a)
{
	for (u32 i = 0; i < a->nr; i++) {
		atomic_store(&a->runner[i].park, true);
		vcpu_request(a->runner[i].vcpu, REQ_EXIT);
	}
	for (u32 i = 0; i < a->nr; i++)
		if (!ARENA_WAIT(atomic_load(&a->runner[i].parked)))
			return -ETIMEDOUT;
	return 0;
}

int arena_hold(struct arena *a)
{
	switch (a->config.way) {
	case WAY_SIGNAL:
	case WAY_IMMEDIATE: return park_all(a);
	case WAY_KICK_ALL: return vm_ioctl(a->vm, KVM_KICK_ALL_RUNNING_VCPUS, NULL);
	default: return 0;
	}
}

int arena_resume(struct arena *a)
{
	switch (a->config.way) {
	case WAY_SIGNAL:
	case WAY_IMMEDIATE: arena_let_go(a); return 0;
	case WAY_KICK_ALL: return vm_ioctl(a->vm, KVM_RESUME_ALL_KICKED_VCPUS, NULL);
	default: return 0;
	}
}

int arena_delete(struct arena *a)
{
	return vm_set_region(a->vm, ARENA_SLOT, ARENA_BASE, 0, a->hva, 0);
}

int arena_insert(struct arena *a)
{
	return vm_set_region(a->vm, ARENA_SLOT, ARENA_BASE, arena_size(a), a->hva, 0);
}
