/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `missing`: vCPUs touch pages while one thread takes pages away and others bring them;
 * and vCPUs touch pages that are there while everything around them changes.
 *
 * Stale bytes. A page is brought with a generation in it, and taken away and brought again
 * with a higher one. After it has been brought its generation is also written to a table, the
 * floor: from then on nobody may read less from it. The guest reads the floor, then words of the
 * page, and each of these may not be below the one before.
 */
#include "hv/host/errno.h"
#include "hv/host/print.h"
#include "hv/host/random.h"
#include "hv/host/string.h"
#include "lab/missing.h"

#define PAGES	  8
#define MAX_GAP	  patient(2000) /* ticks between two pages that are taken away */
#define SHORT_GAP 400
#define CODE	  0x100	 /* where in each page there is code */
#define MINE	  0x200	 /* from here on each vCPU has a word that it writes */
#define TURN	  0x4000 /* ticks between two looks of one that has nothing to do */

extern const u8 missing_call_start[], missing_call_end[];

static struct missing_vm m;
static _Atomic bool over;
static _Atomic u64 brought;
static _Atomic int failed;

/* A page's generation. While it is busy nobody else brings the page or begins a new one. */
static struct {
	_Atomic bool busy;
	u32 generation;
	u8 data[PAGE_SIZE];
} page[PAGES];

static void lock(unsigned int i)
{
	while (atomic_exchange(&page[i].busy, true))
		thread_yield();
}

static void unlock(unsigned int i)
{
	atomic_store(&page[i].busy, false);
}

static _Atomic u32 *floor_of(unsigned int i)
{
	return (_Atomic u32 *)(void *)(m.ram + MISSING_FLOOR_AT) + i;
}

/* --- bringing and taking away ---------------------------------------------------------------- */

static void write_data(unsigned int i)
{
	u32 *word = (u32 *)(void *)page[i].data;

	/* Those that guests look at: at both ends and in the middle. */
	word[0] = word[512] = word[1023] = page[i].generation;
	memcpy(page[i].data + CODE, missing_call_start,
	       (size_t)(missing_call_end - missing_call_start));
}

/* Locked. -EEXIST: it is there. */
static int put(unsigned int i)
{
	u64 offset = i * PAGE_SIZE;
	int err;

	write_data(i);
	if (!m.hidden)
		return backing_fill(m.mem, offset, page[i].data);
	if (!userfault_hides(m.hidden, offset))
		return -EEXIST;
	err = backing_write(m.mem, offset, page[i].data, PAGE_SIZE);
	if (!err)
		userfault_clear_page(m.hidden, offset);
	return err;
}

static void bring(unsigned int i)
{
	int err;

	lock(i);
	err = put(i);
	if (!err) {
		atomic_store(floor_of(i), page[i].generation);
		atomic_fetch_add(&brought, 1);
	}
	unlock(i);
	if (err && err != -EEXIST)
		atomic_store(&failed, err);
}

/*
 * A hidden page may still be in use until the call returns: who brings it has to wait for that. A
 * page that becomes missing gets other memory, or waits by itself.
 */
static int take(unsigned int i)
{
	int err;

	lock(i);
	page[i].generation++;
	if (!m.hidden)
		unlock(i);
	err = missing_take(&m, i * PAGE_SIZE, PAGE_SIZE);
	if (m.hidden)
		unlock(i);
	return err;
}

static void bring_reported(struct missing_vcpu *v, u64 offset)
{
	bring((unsigned int)(offset / PAGE_SIZE));
}

/* Asked or not: what somebody waits for, and now and then any page. */
static void bring_all_the_time(void *arg)
{
	struct fetch f;
	struct rng rng;

	rng_init(&rng, run_options.seed, (u64)(uintptr_t)arg);
	while (!atomic_load(&over)) {
		u64 turn =
			ticks_now() + rng_below(&rng, m.config.way == WAY_QUEUE ? TURN : MAX_GAP);

		if (vm_next_fetch(m.vm, &f, turn)) {
			bring((unsigned int)rng_below(&rng, PAGES));
			continue;
		}
		bring((unsigned int)(f.offset / PAGE_SIZE));
		backing_put(f.backing);
	}
}

/* --- the guests ------------------------------------------------------------------------------ */

static bool begin(enum missing_way way, bool present, u32 vcpus, u32 call)
{
	const struct missing_config c = { .way = way,
					  .vcpus = vcpus,
					  .pages = PAGES,
					  .present = present,
					  .first_cpu = 1,
					  .fault = bring_reported };
	int err = missing_create(&m, &c);

	memset(page, 0, sizeof(page));
	atomic_store(&over, false);
	atomic_store(&brought, 0);
	atomic_store(&failed, 0);
	for (u32 i = 0; i < vcpus && !err; i++) {
		atomic_store(&m.v[i].box->floors, MISSING_FLOOR_AT);
		atomic_store(&m.v[i].box->call, call);
		atomic_store(&m.v[i].box->mine, MINE + 4 * i);
	}
	for (unsigned int i = 0; i < PAGES && present && !err; i++) {
		write_data(i);
		err = backing_write(m.mem, i * PAGE_SIZE, page[i].data, PAGE_SIZE);
	}
	if (!err)
		err = missing_start(&m);
	if (!missing_failed(way, err))
		return true;
	missing_destroy(&m);
	return false;
}

static void run_free(void)
{
	missing_begin(&m, MISSING_WATCH, PAGES, 0);
	missing_free_run(&m, true);
}

static void wait_a_moment(struct rng *rng)
{
	u64 end = ticks_now() + rng_below(rng, MAX_GAP);

	do {
		thread_yield();
	} while (ticks_now() < end);
}

static u32 looked[MISSING_MAX_VCPUS];

static bool moved(struct missing_vm *vm)
{
	bool all = true;

	for (u32 i = 0; i < vm->config.vcpus; i++)
		all &= atomic_load(&vm->v[i].box->beats) != looked[i];
	return all;
}

/* Whether every vCPU comes on, pages being brought. */
static bool get_on(void)
{
	for (u32 i = 0; i < m.config.vcpus; i++)
		looked[i] = atomic_load(&m.v[i].box->beats);
	return missing_until(&m, moved);
}

/* --- what makes a fault begin anew ----------------------------------------------------------- */

/* Where there is no slot for a moment there is no code to decode. */
static enum slot_way any_way(struct rng *rng)
{
	enum slot_way way = (enum slot_way)rng_below(rng, 3);

	return way == SLOTS_LIVE && atomic_load(&m.v[0].box->call) ? SLOTS_ATOMIC : way;
}

static int replace(struct rng *rng)
{
	struct slot_change list[2] = { { .op = SLOT_DELETE, .id = MISSING_SLOT },
				       missing_slot(&m, SLOT_CREATE, missing_flags(&m)) };

	return vm_change_slots(m.vm, list, 2, any_way(rng), NULL);
}

static int split_and_merge(struct rng *rng)
{
	struct slot_change list[2] = {
		{ .op = SLOT_SPLIT, .id = MISSING_SLOT, .other = 2, .size = PAGES / 2 * PAGE_SIZE },
		{ .op = SLOT_MERGE, .id = MISSING_SLOT, .other = 2 },
	};
	int err = vm_change_slots(m.vm, &list[0], 1, SLOTS_ATOMIC, NULL);

	wait_a_moment(rng);
	return err ? err : vm_change_slots(m.vm, &list[1], 1, SLOTS_ATOMIC, NULL);
}

/* With a dirty log beside its own flags, where there can be one, or without. */
static int log_dirty(struct rng *rng)
{
	u32 flags = rng_below(rng, 2) ? SLOT_LOG_DIRTY & vm_slot_flags(m.vm) : 0;
	struct slot_change c = missing_slot(&m, SLOT_FLAGS, missing_flags(&m) | flags);

	return vm_change_slots(m.vm, &c, 1, any_way(rng), NULL);
}

static int hold(struct rng *rng)
{
	struct vm_hold h = { .vm = NULL };
	int err = vm_pause(m.vm, &h, 0, NULL);

	spin_ticks(rng_below(rng, MAX_GAP));
	return err ? err : vm_resume(&h);
}

/* A page that is missing cannot be moved. */
static int disturb(struct rng *rng)
{
	u64 offset = rng_below(rng, PAGES) * PAGE_SIZE;
	int err;

	switch (rng_below(rng, 6)) {
	case 0: return replace(rng);
	case 5: return log_dirty(rng);
	case 1: return split_and_merge(rng);
	case 2: return hold(rng);
	case 3: return vm_drop_page(m.vm, MISSING_BASE + offset);
	default: err = backing_move(m.mem, offset, PAGE_SIZE, 0); return err == -EAGAIN ? 0 : err;
	}
}

/* --- storms ---------------------------------------------------------------------------------- */

/* Perhaps it is back at once, about when it is missed. */
static int take_one(struct rng *rng)
{
	unsigned int i = (unsigned int)rng_below(rng, PAGES);
	int err = take(i);

	if (rng_below(rng, 2)) {
		spin_ticks(rng_below(rng, SHORT_GAP));
		bring(i);
	}
	return err;
}

static int rage(u32 times, bool calm, struct rng *rng)
{
	int err = 0;

	run_free();
	for (u32 n = 0; n < times && !err; n++) {
		if (calm || !rng_below(rng, 4))
			err = disturb(rng);
		if (!err && !m.config.present)
			err = take_one(rng);
		if (n % 32 == 31 && !get_on())
			err = -ETIMEDOUT;
		wait_a_moment(rng);
	}
	if (!missing_free_run(&m, false))
		err = -ETIMEDOUT;
	if (err)
		ktap_note("%s", errno_name(err));
	return err ? err : atomic_load(&failed);
}

/*
 * Pages come and go, and what a fault has found changes. @calm: where that may never be an exit: in
 * a slot with a flag whose pages are all there, or in one without.
 */
static void storm(enum missing_way way, u32 times, bool calm)
{
	u32 vcpus = (u32)min_u64(nr_cpus > 2 ? nr_cpus - 2 : 1, MISSING_MAX_VCPUS);
	const char *name = missing_way_name[way];
	bool present = calm && way != WAY_QUEUE;
	struct thread *t = NULL;
	struct rng rng;
	u64 exits;
	bool ok;

	if (!begin(way, present, vcpus, calm ? 0 : CODE))
		return;
	rng_init(&rng, run_options.seed, 20 + 2 * way + calm);
	ok = present || !thread_create(&t, nr_cpus > 2 ? nr_cpus - 1 : 0, "bring",
				       bring_all_the_time, (void *)(uintptr_t)(30 + way));
	ok = ok && !rage(times, calm, &rng);
	exits = missing_exits(&m);
	if (calm) {
		ktap_result(ok && !exits && missing_intact(&m),
			    "%s: under moves, slot changes and pauses %s is ever reported missing",
			    name, present ? "no page that is there" : "nothing without a flag");
	} else {
		ktap_result(ok, "%s: pages come and go under %u vCPUs, and none is left behind",
			    name, vcpus);
		ktap_result(missing_intact(&m),
			    "%s: once a page has come nobody reads older bytes of it", name);
		ktap_note("%u pages taken, %llu brought, %llu exits", times,
			  (unsigned long long)atomic_load(&brought), (unsigned long long)exits);
	}
	atomic_store(&over, true);
	if (t)
		thread_join(t);
	missing_destroy(&m);
}

void missing_test_storms(const struct missing_options *o)
{
	if (!needs_cpus(2, "pages come and go under vCPUs"))
		return;
	for (enum missing_way way = 0; way < NR_MISSING_WAYS; way++)
		for (unsigned int calm = 0; calm < 2 && o->ways & BIT(way); calm++)
			storm(way, o->takes >> calm, calm);
}
