/* SPDX-License-Identifier: GPL-2.0-only */
/* The VM that experiment `pause` works on: see linux/vmm/pause.h. */
#include "linux/vmm/pause.h"

#include <sys/mman.h>

#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/string.h"

extern const u8 pause_touch_start[], pause_touch_end[];

#define PAUSE_TOUCH ((struct tiny_code){ pause_touch_start, pause_touch_end })

const char *const pause_way_names[NR_WAYS] = {
	[WAY_LIVE] = "live",
	[WAY_SIGNAL] = "signal",
	[WAY_IMMEDIATE] = "immediate_exit",
	[WAY_KICK_ALL] = "kick_all",
};

/* --- a vCPU's thread -------------------------------------------------------------------------- */

static void fail(struct runner *r, const char *what, int err)
{
	r->what = what;
	atomic_store(&r->error, err);
}

/*
 * An access to the slot while it is not there. The VMM is asked to emulate RAM, and does: the guest
 * is to find in memory what it wrote.
 */
static void emulate_ram(struct runner *r)
{
	struct kvm_run *run = kvm_vcpu(r->vcpu)->kvm_run;
	u64 offset = run->mmio.phys_addr - ARENA_BASE;
	u8 *p = r->arena->hva + offset;

	if (offset >= r->arena->size) {
		fail(r, "touched an address that it does not know", -EFAULT);
		return;
	}
	atomic_fetch_add(&r->missing, 1);
	if (run->mmio.is_write)
		memcpy(p, run->mmio.data, run->mmio.len);
	else
		memcpy(run->mmio.data, p, run->mmio.len);
}

static void stay_parked(struct runner *r)
{
	struct waiter w;

	atomic_store(&r->parked, true);
	for (;;) {
		wait_prepare(&r->arena->parked, &w);
		if (!atomic_load(&r->park))
			break;
		wait_sleep(&w);
	}
	wait_finish(&r->arena->parked, &w);
	atomic_store(&r->parked, false);
}

static void handle_exit(struct runner *r)
{
	switch (r->vcpu->run.reason) {
	case RUN_EXIT_MMIO: emulate_ram(r); break;
	case RUN_EXIT_ERROR: fail(r, r->vcpu->run.error.what, -EIO); break;
	default: fail(r, "left for a strange reason", -EIO);
	}
}

static void run_vcpu(void *arg)
{
	struct runner *r = arg;

	while (!atomic_load(&r->arena->over) && !atomic_load(&r->error)) {
		int err = vcpu_run(r->vcpu);

		if (!err)
			handle_exit(r);
		else if (err != -EINTR)
			fail(r, "cannot run", err);
		else if (atomic_load(&r->park))
			stay_parked(r);
	}
}

/* --- the whole -------------------------------------------------------------------------------- */

int arena_add(struct arena *a)
{
	struct runner *r = &a->runner[a->nr];
	int err = a->nr < ARRAY_SIZE(a->runner) ? tiny_add(&a->tiny) : -ENOSPC;

	if (err)
		return err;
	r->arena = a;
	r->vcpu = a->vm->vcpu[a->nr];
	r->box = vm_hva(a->vm, tiny_box_gpa(a->nr));
	vcpu_set_kick(r->vcpu, a->way == WAY_SIGNAL ? KVM_KICK_SIGNAL : KVM_KICK_IMMEDIATE);
	a->nr++;
	return 0;
}

static int create_memory(struct arena *a, const struct arena_config *c)
{
	int err;

	a->hva = vm_map_anonymous(a->size);
	if (!a->hva)
		return -ENOMEM;
	madvise(a->hva, a->size, c->small_pages ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	err = arena_insert(a);
	for (u32 i = 1; i < c->others && !err; i++)
		err = vm_set_region(a->vm, ARENA_SPARE + i, ARENA_OTHER + i * 2 * PAGE_SIZE,
				    PAGE_SIZE, a->hva, 0);
	return err;
}

int arena_create(struct arena *a, const struct arena_config *c)
{
	int err;

	memset(a, 0, sizeof(*a));
	a->way = c->way;
	a->size = MIB(c->mib ? c->mib : 4);
	a->others = c->others ? c->others : 1;
	wait_queue_init(&a->parked);
	err = tiny_create_many(&a->tiny, c->code.start ? c->code : PAUSE_TOUCH, 0);
	if (err)
		return err;
	a->vm = a->tiny.vm;
	err = create_memory(a, c);
	while (!err && a->nr < c->vcpus)
		err = arena_add(a);
	if (err)
		arena_destroy(a);
	return err;
}

int arena_start(struct arena *a, u32 first)
{
	for (u32 i = first; i < a->nr; i++) {
		char name[16];
		int err;

		fmt_print(name, sizeof(name), "vcpu%u", i);
		err = thread_create(&a->runner[i].thread, 1 + i % (nr_cpus - 1), name, run_vcpu,
				    &a->runner[i]);
		if (err)
			return err;
	}
	return 0;
}

bool arena_run(struct arena *a, const struct arena_config *c)
{
	int err = arena_create(a, c);

	if (!err) {
		err = arena_start(a, 0);
		if (err)
			arena_destroy(a);
	}
	if (err) {
		ktap_result(false, "a VM with %u vCPUs can be created", c->vcpus);
		ktap_note("%s", errno_name(err));
	}
	return !err;
}

static void let_go(struct arena *a)
{
	for (u32 i = 0; i < a->nr; i++)
		atomic_store(&a->runner[i].park, false);
	wake_all(&a->parked);
}

void arena_destroy(struct arena *a)
{
	if (a->vm) {
		atomic_store(&a->over, true);
		let_go(a);
		for (u32 i = 0; i < a->nr; i++)
			vcpu_request(a->runner[i].vcpu, REQ_EXIT);
		for (u32 i = 0; i < a->nr; i++)
			if (a->runner[i].thread)
				thread_join(a->runner[i].thread);
		tiny_destroy(&a->tiny);
	}
	if (a->hva)
		munmap(a->hva, a->size);
	a->vm = NULL;
	a->hva = NULL;
}

/* --- what the guests do ----------------------------------------------------------------------- */

bool arena_all_in(struct arena *a)
{
	u32 before[ARRAY_SIZE(a->runner)];

	for (u32 i = 0; i < a->nr; i++)
		before[i] = atomic_load(box_word(&a->runner[i], TINY_BOX_COUNTER));
	for (u32 i = 0; i < a->nr; i++) {
		struct runner *r = &a->runner[i];

		if (!ARENA_WAIT(atomic_load(box_word(r, TINY_BOX_COUNTER)) != before[i] ||
				atomic_load(&r->error)))
			return false;
	}
	return true;
}

static u64 all_beats(struct arena *a)
{
	u64 sum = 0;

	for (u32 i = 0; i < a->nr; i++)
		sum += atomic_load(box_word(&a->runner[i], TINY_BOX_COUNTER));
	return sum;
}

bool arena_frozen(struct arena *a, u64 ticks)
{
	u64 before = all_beats(a);

	spin_ticks(ticks);
	return all_beats(a) == before;
}

void arena_places(struct arena *a, u32 count, u32 stride)
{
	for (u32 i = 0; i < a->nr; i++) {
		struct runner *r = &a->runner[i];

		atomic_store(box_word(r, TINY_BOX_BASE), (u32)ARENA_BASE + i * 64);
		atomic_store(box_word(r, TINY_BOX_STRIDE), stride);
		atomic_store(box_word(r, TINY_BOX_COUNT), count);
	}
}

void arena_go(struct arena *a)
{
	for (u32 i = 0; i < a->nr; i++)
		atomic_fetch_add(box_word(&a->runner[i], PAUSE_BOX_GO), 1);
}

bool arena_wait_done(struct arena *a)
{
	for (u32 i = 0; i < a->nr; i++) {
		struct runner *r = &a->runner[i];

		if (!ARENA_WAIT(atomic_load(box_word(r, PAUSE_BOX_DONE)) ==
					atomic_load(box_word(r, PAUSE_BOX_GO)) ||
				atomic_load(&r->error)))
			return false;
	}
	return true;
}

bool arena_free_run(struct arena *a, bool on)
{
	for (u32 i = 0; i < a->nr; i++)
		atomic_store(box_word(&a->runner[i], PAUSE_BOX_FREE), on);
	if (on)
		return true;
	arena_go(a);
	return arena_wait_done(a);
}

u64 arena_missing(struct arena *a)
{
	u64 sum = 0;

	for (u32 i = 0; i < a->nr; i++)
		sum += atomic_load(&a->runner[i].missing);
	return sum;
}

u64 arena_exits(struct arena *a)
{
	u64 sum = 0;

	for (u32 i = 0; i < a->nr; i++)
		sum += vcpu_stat(a->runner[i].vcpu, "exits");
	return sum;
}

static bool places_intact(struct arena *a, u32 i)
{
	struct runner *r = &a->runner[i];
	u32 rounds = atomic_load(box_word(r, PAUSE_BOX_ROUNDS));
	u32 count = atomic_load(box_word(r, TINY_BOX_COUNT));
	u32 stride = atomic_load(box_word(r, TINY_BOX_STRIDE));

	for (u32 n = 0; n < count; n++) {
		u32 found = *(u32 *)(a->hva + i * 64 + (u64)n * stride);

		if (found == rounds)
			continue;
		ktap_note("vCPU %u wrote %u to place %u, now %u", i, rounds, n, found);
		return false;
	}
	return true;
}

bool arena_intact(struct arena *a)
{
	bool ok = true;

	for (u32 i = 0; i < a->nr; i++) {
		struct runner *r = &a->runner[i];
		u32 errors = atomic_load(box_word(r, TINY_BOX_ERRORS));

		if (atomic_load(&r->error))
			ktap_note("vCPU %u %s: %s", i, r->what, errno_name(atomic_load(&r->error)));
		if (errors)
			ktap_note("vCPU %u found %u places changed", i, errors);
		ok &= !atomic_load(&r->error) && !errors;
		ok = ok && places_intact(a, i);
	}
	return ok;
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
	switch (a->way) {
	case WAY_SIGNAL:
	case WAY_IMMEDIATE: return park_all(a);
	case WAY_KICK_ALL: return vm_ioctl(a->vm, KVM_KICK_ALL_RUNNING_VCPUS, NULL);
	default: return 0;
	}
}

int arena_resume(struct arena *a)
{
	switch (a->way) {
	case WAY_SIGNAL:
	case WAY_IMMEDIATE: let_go(a); return 0;
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
	return vm_set_region(a->vm, ARENA_SLOT, ARENA_BASE, a->size, a->hva, 0);
}
