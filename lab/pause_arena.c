/* SPDX-License-Identifier: GPL-2.0-only */
/* The VM that experiment `pause` works on, whoever runs it: see lab/pause_arena.h. */
#include "lab/pause_arena.h"

#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/string.h"

/* --- a vCPU's thread ------------------------------------------------------------------------- */

static void handle_missing(struct runner *r)
{
	gpa_t gpa = r->vcpu->run.mmio.gpa;

	if (gpa < ARENA_BASE || gpa >= ARENA_BASE + arena_size(r->arena)) {
		atomic_store(&r->strange, gpa);
		r->what = "touched an address that it does not know";
		atomic_store(&r->error, -EFAULT);
		return;
	}
	atomic_fetch_add(&r->missing, 1);
	if (r->vcpu->run.mmio.fetch)
		atomic_fetch_add(&r->missing_fetch, 1);
	arena_emulate(r);
}

static void handle_exit(struct runner *r)
{
	if (r->vcpu->run.reason == RUN_EXIT_MMIO) {
		handle_missing(r);
		return;
	}
	atomic_store(&r->strange, r->vcpu->run.reason);
	r->what = r->vcpu->run.reason == RUN_EXIT_ERROR ? r->vcpu->run.error.what
							: "left for a strange reason";
	atomic_store(&r->error, -EIO);
}

static void spin_parked(struct runner *r)
{
	u64 end = ticks_now() + arena_spin;

	while (atomic_load(&r->park) && ticks_now() < end)
		cpu_relax();
}

static void stay_parked(struct runner *r)
{
	struct waiter w;

	atomic_store(&r->parked, true);
	if (arena_spin)
		spin_parked(r);
	for (;;) {
		wait_prepare(&r->arena->parked, &w);
		if (!atomic_load(&r->park))
			break;
		wait_sleep(&w);
	}
	wait_finish(&r->arena->parked, &w);
	atomic_store(&r->parked, false);
}

static void run_vcpu(void *arg)
{
	struct runner *r = arg;
	const struct arena_config *c = &r->arena->config;
	bool over = false;

	while (!over && !atomic_load(&r->error)) {
		int err;

		if (c->between)
			c->between(r->vcpu, c->arg);
		err = vcpu_run(r->vcpu);
		if (!err) {
			handle_exit(r);
		} else if (err == -EINTR) {
			atomic_fetch_add(&r->left, 1);
			if (atomic_load(&r->park))
				stay_parked(r);
			over = vm_wait_resumed(r->arena->vm);
		} else {
			r->what = "cannot run";
			atomic_store(&r->error, err);
		}
	}
	vcpu_unload(r->vcpu);
	atomic_store(&r->ended, true);
}

/* --- the whole ------------------------------------------------------------------------------- */

int arena_add(struct arena *a)
{
	struct runner *r = &a->runner[a->nr];
	int err = a->nr < ARRAY_SIZE(a->runner) ? tiny_add(&a->tiny) : -ENOSPC;

	if (err)
		return err;
	r->arena = a;
	r->vcpu = a->vm->vcpu[a->nr];
	r->box = (struct box *)(void *)(a->ram + tiny_box_gpa(a->nr));
	a->nr++;
	arena_prepare(r);
	return 0;
}

static int create_vm(struct arena *a)
{
	int err = tiny_create_many(&a->tiny, a->config.code, 0);

	if (err)
		return err;
	a->vm = a->tiny.vm;
	err = arena_setup(a);
	return err ? err : tiny_map_ram(&a->tiny, &a->ram);
}

int arena_create(struct arena *a, const struct arena_config *c)
{
	int err;

	memset(a, 0, sizeof(*a));
	a->config = *c;
	if (!c->code.start)
		a->config.code = PAUSE_TOUCH;
	if (!c->mib)
		a->config.mib = 4;
	wait_queue_init(&a->parked);
	err = create_vm(a);
	if (!err)
		err = arena_create_memory(a);
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
		err = thread_create(&a->runner[i].thread, 1 + (a->first_cpu + i) % (nr_cpus - 1),
				    name, run_vcpu, &a->runner[i]);
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

void arena_let_go(struct arena *a)
{
	for (u32 i = 0; i < a->nr; i++)
		atomic_store(&a->runner[i].park, false);
	wake_all(&a->parked);
}

void arena_destroy(struct arena *a)
{
	if (a->vm) {
		vm_stop(a->vm);
		arena_let_go(a);
		for (u32 i = 0; i < a->nr; i++)
			if (a->runner[i].thread)
				thread_join(a->runner[i].thread);
		tiny_destroy(&a->tiny);
	}
	arena_destroy_memory(a);
	a->vm = NULL;
}

/* --- what the guests do ---------------------------------------------------------------------- */

bool arena_all_in(struct arena *a)
{
	u32 before[ARRAY_SIZE(a->runner)];

	for (u32 i = 0; i < a->nr; i++)
		before[i] = atomic_load(&a->runner[i].box->beats);
	for (u32 i = 0; i < a->nr; i++) {
		struct runner *r = &a->runner[i];

		if (!ARENA_WAIT(atomic_load(&r->box->beats) != before[i] || atomic_load(&r->error)))
			return false;
	}
	return true;
}

static u64 all_beats(struct arena *a)
{
	u64 sum = 0;

	for (u32 i = 0; i < a->nr; i++)
		sum += atomic_load(&a->runner[i].box->beats);
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
		struct box *b = a->runner[i].box;

		atomic_store(&b->base, (u32)ARENA_BASE + i * 64);
		atomic_store(&b->stride, stride);
		atomic_store(&b->count, count);
	}
}

void arena_go(struct arena *a)
{
	for (u32 i = 0; i < a->nr; i++)
		atomic_fetch_add(&a->runner[i].box->go, 1);
}

bool arena_wait_done(struct arena *a)
{
	for (u32 i = 0; i < a->nr; i++) {
		struct runner *r = &a->runner[i];

		if (!ARENA_WAIT(atomic_load(&r->box->done) == atomic_load(&r->box->go) ||
				atomic_load(&r->error)))
			return false;
	}
	return true;
}

bool arena_free_run(struct arena *a, bool on)
{
	for (u32 i = 0; i < a->nr; i++)
		atomic_store(&a->runner[i].box->free, on);
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

u64 arena_missing_fetch(struct arena *a)
{
	u64 sum = 0;

	for (u32 i = 0; i < a->nr; i++)
		sum += atomic_load(&a->runner[i].missing_fetch);
	return sum;
}

static bool places_intact(struct arena *a, u32 i)
{
	struct box *b = a->runner[i].box;
	u32 rounds = atomic_load(&b->rounds), found;

	for (u32 n = 0; n < b->count; n++) {
		gpa_t gpa = b->base + (u64)n * b->stride;
		int err = vm_read(a->vm, gpa, &found, sizeof(found));

		if (!err && found == rounds)
			continue;
		ktap_note("vCPU %u wrote %u to %#llx, now %u (%s)", i, rounds,
			  (unsigned long long)gpa, found, errno_name(err));
		return false;
	}
	return true;
}

bool arena_intact(struct arena *a)
{
	bool ok = true;

	for (u32 i = 0; i < a->nr; i++) {
		struct runner *r = &a->runner[i];

		if (atomic_load(&r->error))
			ktap_note("vCPU %u %s (%#llx): %s", i, r->what,
				  (unsigned long long)atomic_load(&r->strange),
				  errno_name(atomic_load(&r->error)));
		if (atomic_load(&r->box->errors))
			ktap_note("vCPU %u found %u places changed", i,
				  atomic_load(&r->box->errors));
		ok &= !atomic_load(&r->error) && !atomic_load(&r->box->errors);
		ok = ok && places_intact(a, i);
	}
	return ok;
}
