/* SPDX-License-Identifier: GPL-2.0-only */
/* The VM that experiment `pause` works on: see lab/pause.h. */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/mem.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "lab/pause.h"

#define SPIN_BEFORE_SLEEP 2000 /* ticks, as vm_wait_resumed() */

/* --- a vCPU's thread ------------------------------------------------------------------------- */

static void count_missing(struct runner *r)
{
	gpa_t gpa = r->vcpu->run.mmio.gpa;

	if (gpa < ARENA_BASE || gpa >= ARENA_BASE + MIB(r->arena->config.mib)) {
		atomic_store(&r->strange, gpa);
		r->what = "touched an address that it does not know";
		atomic_store(&r->error, -EFAULT);
		return;
	}
	atomic_fetch_add(&r->missing, 1);
	if (r->vcpu->run.mmio.fetch)
		atomic_fetch_add(&r->missing_fetch, 1);
}

static void handle_exit(struct runner *r)
{
	if (r->vcpu->run.reason == RUN_EXIT_MMIO) {
		count_missing(r);
		return;
	}
	atomic_store(&r->strange, r->vcpu->run.reason);
	r->what = r->vcpu->run.reason == RUN_EXIT_ERROR ? r->vcpu->run.error.what
							: "left for a strange reason";
	atomic_store(&r->error, -EIO);
}

static void stay_parked(struct runner *r)
{
	u64 end = ticks_now() + SPIN_BEFORE_SLEEP;
	struct waiter w;

	atomic_store(&r->parked, true);
	while (atomic_load(&r->park) && ticks_now() < end)
		cpu_relax();
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

/* --- memory ---------------------------------------------------------------------------------- */

/* The tiny guest's RAM is one block that nobody moves: like one with mmap(), the VMM may point to
 * it.
 */
static int find_boxes(struct arena *a)
{
	unsigned int phase = slots_read_begin(a->vm);
	struct vm_slot *low = slot_find(a->vm, TINY_BOXES);
	struct backing_page page;
	int err = backing_find(low->backing, low->offset + TINY_BOXES, &page);

	slots_read_end(a->vm, phase);
	for (u32 i = 0; i < ARRAY_SIZE(a->runner) && !err; i++)
		a->runner[i].box = phys_to_virt(page.hpa + tiny_box_gpa(i) - TINY_BOXES);
	return err;
}

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

static int create_memory(struct arena *a)
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

/* --- the whole ------------------------------------------------------------------------------- */

int arena_add(struct arena *a)
{
	struct runner *r = &a->runner[a->nr];
	int err = a->nr < ARRAY_SIZE(a->runner) ? tiny_add(&a->tiny) : -ENOSPC;

	if (err)
		return err;
	r->arena = a;
	r->vcpu = a->vm->vcpu[a->nr++];
	return 0;
}

static int create_vm(struct arena *a)
{
	const struct arena_config *c = &a->config;
	int err = tiny_create_many(&a->tiny, c->code, 0);

	if (err)
		return err;
	a->vm = a->tiny.vm;
	vm_set_traced(a->vm, c->traced);
	if (c->outside_events)
		vm_expect_events(a->vm);
	a->vm->slots.zap = c->zap;
	if (c->flags & SLOT_LOG_DIRTY)
		err = vm_set_dirty(a->vm, c->dirty);
	return err ? err : find_boxes(a);
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
		err = create_memory(a);
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
	if (a->mem)
		backing_put(a->mem);
	a->vm = NULL;
	a->mem = NULL;
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

void arena_let_go(struct arena *a)
{
	for (u32 i = 0; i < a->nr; i++)
		atomic_store(&a->runner[i].park, false);
	wake_all(&a->parked);
}
