/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Slots that change beside vCPUs and readers: whoever reads finds what was there before the change
 * or what is there after it, and nothing that was replaced before he began.
 *
 * Version N of the memory is a backing of its own, whose pages say N and their number. A change
 * list replaces one version by the next, in one of the three ways, or splits, merges or resizes
 * slots, which nobody may notice. With SLOTS_PAUSED and SLOTS_ATOMIC no vCPU ever misses the slot;
 * with SLOTS_LIVE some have to: that is the failure that the other two are for.
 */
#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "hv/vm/backing.h"
#include "tests/stress/guests.h"

#define VCPUS	    2
#define READERS	    4
#define CHANGES	    40
#define PAGES	    4 /* that are looked at */
#define BASE	    MIB(4)
/* Slots: 0 is the memory, or its beginning; HIGH the rest of it; from APART on: pages that are not
 * changed, each with a second-level table to itself. */
#define HIGH	    1
#define APART	    2
#define NR_APART    60
#define APART_STAMP 0xa9a97

static struct vm *vm;
static struct guest guests[VCPUS];
static _Atomic bool over;
static _Atomic u64 begun, done;		  /* versions: the newest there may be, the oldest */
static _Atomic u64 live_begun, live_done; /* changes with SLOTS_LIVE */
static _Atomic u64 seen;		  /* the newest version that somebody has found */
static _Atomic u32 next_apart;
static u64 size, offset; /* of the slot */
static _Atomic u64 missed;

static gpa_t page(unsigned int i)
{
	return BASE + size / PAGES * i;
}

static u64 stamp(u64 version, unsigned int i)
{
	return version << 16 | i;
}

/* Once one has found a version nobody finds an older one. */
static u64 oldest_now(void)
{
	return max_u64(atomic_load(&done), atomic_load(&seen));
}

static void expect(u64 value, unsigned int i, u64 oldest, const char *who)
{
	u64 newest = atomic_load(&begun), before = atomic_load(&seen);

	stress_check((value & 0xffff) == i && value >> 16 >= oldest && value >> 16 <= newest,
		     "%s finds %#llx in page %u: versions %llu to %llu can be there", who,
		     (unsigned long long)value, i, (unsigned long long)oldest,
		     (unsigned long long)newest);
	while (before < value >> 16 && !atomic_compare_exchange_strong(&seen, &before, value >> 16))
		;
}

/* --- vCPUs and readers ----------------------------------------------------------------------- */

struct view {
	unsigned int page; /* that is being looked at */
	u64 live;	   /* live_done before */
	u64 oldest;	   /* oldest_now() before */
	bool again;	   /* the access was begun and not finished */
};

static struct view views[VCPUS];

static gpa_t apart(unsigned int i)
{
	return GIB(1) + MIB(2) * i + page(i % PAGES) - BASE;
}

/*
 * A page of those apart. When it is touched first it gets a new table: one that a change has just
 * unlinked, if that is free for others too early.
 */
static int look_apart(struct guest *g, unsigned int i)
{
	u64 value;
	int exit = hw_read(hw_of(g->vcpu), apart(i), &value);

	if (exit == HW_GOES_ON)
		stress_check(value == APART_STAMP, "a vCPU finds %#llx in page %u of those apart",
			     (unsigned long long)value, i);
	return exit;
}

/* An access that faults is begun once and tried again until it has a value. */
static int look(struct guest *g)
{
	struct view *v = &views[g->vcpu->id];
	u64 value;
	int exit;

	if (!v->again && !stress_random(64))
		atomic_fetch_add(&next_apart, 1);
	if (!v->again && !stress_random(16))
		return look_apart(g, atomic_load(&next_apart) % NR_APART);
	if (!v->again) {
		v->page = (unsigned int)stress_random(PAGES);
		v->live = atomic_load(&live_done);
		v->oldest = oldest_now();
	}
	exit = hw_read(hw_of(g->vcpu), page(v->page), &value);
	v->again = exit != HW_GOES_ON;
	if (!v->again)
		expect(value, v->page, v->oldest, "a vCPU");
	return exit;
}

static bool left(struct guest *g, int err)
{
	struct view *v = &views[g->vcpu->id];
	int held;

	if (!err && g->vcpu->run.reason == RUN_EXIT_MMIO) {
		stress_check(atomic_load(&live_begun) > v->live,
			     "vCPU %u misses the slot at %#llx, and nothing is changed live",
			     g->vcpu->id, (unsigned long long)g->vcpu->run.mmio.gpa);
		atomic_fetch_add(&missed, 1);
		v->again = false;
		return true;
	}
	stress_check(err == -EINTR, "vCPU %u leaves with %d, reason %u", g->vcpu->id, err,
		     g->vcpu->run.reason);
	held = vm_wait_resumed(vm);
	return !held;
}

static void read(void *arg)
{
	while (!atomic_load(&over)) {
		unsigned int i = (unsigned int)stress_random(PAGES);
		u64 live = atomic_load(&live_done), oldest = oldest_now(), value;
		int err = vm_read(vm, page(i), &value, sizeof(value));

		if (!err)
			expect(value, i, oldest, "a reader");
		else
			stress_check(err == -EFAULT && atomic_load(&live_begun) > live,
				     "a reader misses the slot: %d", err);
		spin_ticks(stress_random(50));
	}
}

/* A long section: what it has found stays what it is until the section ends. */
static void browse(void *arg)
{
	while (!atomic_load(&over)) {
		unsigned int phase = slots_read_begin(vm);
		const struct vm_slot *slot = slot_find(vm, BASE);
		u64 len = slot ? slot->size : 0;

		for (u64 i = stress_random(60); i; i--) {
			stress_point();
			stress_check(!slot || (slot->base == BASE && slot->size == len),
				     "a slot changes while a reader looks at it");
		}
		slots_read_end(vm, phase);
		for (u64 i = stress_random(60); i; i--)
			stress_point();
	}
}

/* --- changes --------------------------------------------------------------------------------- */

static struct backing *new_version(u64 version)
{
	struct backing_page p;
	struct backing *b;

	stress_check(!backing_create(&b, offset + size, 0) && !backing_populate(b), "no memory");
	for (unsigned int i = 0; i < PAGES; i++) {
		stress_check(!backing_find(b, offset + page(i) - BASE, &p), "no page");
		quiet_store(p.hpa, stamp(version, i));
	}
	return b;
}

static void change(const struct slot_change *list, unsigned int n, enum slot_way way)
{
	struct slot_report report;
	int err;

	atomic_fetch_add(&live_begun, way == SLOTS_LIVE);
	err = vm_change_slots(vm, list, n, way, &report);
	stress_check(!err, "vm_change_slots(): %d: %s", err, report.why);
	atomic_fetch_add(&live_done, way == SLOTS_LIVE);
}

static void replace(u64 version, bool split, enum slot_way way)
{
	struct backing *b = new_version(version);
	const struct slot_change both[] = {
		{ .op = SLOT_DELETE },
		{ .op = SLOT_DELETE, .id = HIGH },
		{ .op = SLOT_CREATE, .base = BASE, .size = size, .backing = b, .offset = offset },
	};
	const struct slot_change one[] = { both[0], both[2] };

	atomic_store(&begun, version);
	if (split)
		change(both, ARRAY_SIZE(both), way);
	else
		change(one, ARRAY_SIZE(one), way);
	atomic_store(&done, version);
	backing_put(b);
}

/* What changes no translation; a list of several items that ends where it began, too. */
static void reshape(bool split, enum slot_way way)
{
	const struct slot_change parted = { .op = SLOT_SPLIT, .other = HIGH, .size = size / 2 };
	const struct slot_change merged = { .op = SLOT_MERGE, .other = HIGH };
	const struct slot_change list[] = { merged, parted, merged };

	if (!split)
		change(&parted, 1, way);
	else if (stress_random(2))
		change(&merged, 1, way);
	else
		change(list, 3, way);
}

static void change_all(void)
{
	bool split = false;
	u64 version = 1;

	for (unsigned int i = 0; i < CHANGES; i++) {
		enum slot_way way = (enum slot_way)stress_random(3);

		if (stress_random(2)) {
			replace(++version, split, way);
			split = false;
		} else {
			reshape(split, way);
			split = slot_by_id(vm, HIGH);
		}
		spin_ticks(stress_random(1000));
	}
}

/* The first version, and the pages apart, which all show the same. */
static void make_slots(void)
{
	struct slot_change c[1 + NR_APART] = {
		{ .op = SLOT_CREATE, .base = BASE, .size = size, .offset = offset },
	};
	struct backing_page p;
	struct backing *b;

	stress_check(!backing_create(&b, PAGE_SIZE, 0) && !backing_find(b, 0, &p), "no memory");
	quiet_store(p.hpa, APART_STAMP);
	c[0].backing = new_version(1);
	for (unsigned int i = 0; i < NR_APART; i++)
		c[1 + i] = (struct slot_change){ .op = SLOT_CREATE,
						 .id = APART + i,
						 .base = apart(i),
						 .size = PAGE_SIZE,
						 .backing = b };
	change(c, ARRAY_SIZE(c), SLOTS_ATOMIC);
	backing_put(c[0].backing);
	backing_put(b);
}

static void run(void)
{
	struct thread *readers[READERS];

	/* A few pages; 2 MiB that are mapped as one; or 2 MiB in a table of single pages. */
	size = stress_run.seed % 4 ? MIB(2) : PAGES * PAGE_SIZE;
	offset = stress_run.seed % 4 > 1 ? PAGE_SIZE : 0;
	atomic_store(&over, false);
	atomic_store(&live_begun, 0);
	atomic_store(&live_done, 0);
	atomic_store(&begun, 1);
	atomic_store(&done, 1);
	atomic_store(&seen, 1);
	atomic_store(&next_apart, 0);
	stress_check(!vm_create(&vm), "a VM cannot be created");
	make_slots();
	for (unsigned int i = 0; i < VCPUS; i++) {
		views[i] = (struct view){ .again = false };
		guests[i] = (struct guest){ .work = look, .left = left };
		guest_create(&guests[i], vm);
		guest_start(&guests[i], "vCPU");
	}
	for (unsigned int i = 0; i < READERS; i++)
		readers[i] = stress_spawn("reader", i % 2 ? browse : read, NULL);
	change_all();
	atomic_store(&over, true);
	for (unsigned int i = 0; i < READERS; i++)
		stress_wait(readers[i]);
	vm_stop(vm);
	for (unsigned int i = 0; i < VCPUS; i++)
		guest_end(&guests[i]);
	vm_destroy(vm);
}

static void after(void)
{
	stress_check(atomic_load(&missed), "changes made live were not noticed by any vCPU");
}

const struct stress_test stress_test = { .name = "slots",
					 .run = run,
					 .after = after,
					 .threads = 1 + VCPUS + READERS,
					 .seeds = 60,
					 .free_runs = 40 };
