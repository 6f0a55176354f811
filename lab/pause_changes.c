/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `pause`: slots that are split, merged, resized and moved under vCPUs that touch them
 * and execute code in them. A change that is made as KVM's users must make it, of deletions and
 * creations, is seen to fail while vCPUs run on; held, or in one step, it never is.
 */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/percpu.h"
#include "lab/pause.h"

#define CHANGES	 6    /* of each kind that must not be seen */
#define ATTEMPTS 200  /* to see those that must */
#define PLACES	 2    /* one in each half */
#define CALL	 0x20 /* code, between the words of the first two vCPUs */
#define AWAY	 (ARENA_BASE + MIB(512))

static struct arena arena;

struct script {
	unsigned int n;
	struct slot_change list[8];
};

/* --- what is changed: there and back again --------------------------------------------------- */

static u64 whole(void)
{
	return MIB(arena.config.mib);
}

static void drop(struct script *s, u32 id)
{
	s->list[s->n++] = (struct slot_change){ .op = SLOT_DELETE, .id = id };
}

/* The part of the slot from @from on. */
static void create(struct script *s, u32 id, u64 from, u64 size)
{
	s->list[s->n++] = (struct slot_change){ .op = SLOT_CREATE,
						.id = id,
						.base = ARENA_BASE + from,
						.size = size,
						.backing = arena.mem,
						.offset = arena.offset + from };
}

static void one_step(struct script *s, struct slot_change c)
{
	s->list[s->n++] = c;
}

static void split(struct script *s)
{
	one_step(s, (struct slot_change){ .op = SLOT_SPLIT,
					  .id = ARENA_SLOT,
					  .other = ARENA_SPARE,
					  .size = whole() / 2 });
}

static void merge(struct script *s)
{
	one_step(s,
		 (struct slot_change){ .op = SLOT_MERGE, .id = ARENA_SLOT, .other = ARENA_SPARE });
}

static void split_in_pieces(struct script *s)
{
	drop(s, ARENA_SLOT);
	create(s, ARENA_SLOT, 0, whole() / 2);
	create(s, ARENA_SPARE, whole() / 2, whole() / 2);
}

static void merge_in_pieces(struct script *s)
{
	drop(s, ARENA_SLOT);
	drop(s, ARENA_SPARE);
	create(s, ARENA_SLOT, 0, whole());
}

static void resize(struct script *s)
{
	one_step(s,
		 (struct slot_change){ .op = SLOT_RESIZE, .id = ARENA_SLOT, .size = whole() / 2 });
	one_step(s, (struct slot_change){ .op = SLOT_RESIZE, .id = ARENA_SLOT, .size = whole() });
}

static void resize_in_pieces(struct script *s)
{
	drop(s, ARENA_SLOT);
	create(s, ARENA_SLOT, 0, whole() / 2);
	drop(s, ARENA_SLOT);
	create(s, ARENA_SLOT, 0, whole());
}

static void move(struct script *s)
{
	one_step(s, (struct slot_change){ .op = SLOT_MOVE, .id = ARENA_SLOT, .base = AWAY });
	one_step(s, (struct slot_change){ .op = SLOT_MOVE, .id = ARENA_SLOT, .base = ARENA_BASE });
}

static void move_in_pieces(struct script *s)
{
	drop(s, ARENA_SLOT);
	create(s, ARENA_SLOT, MIB(512), whole());
	s->list[s->n - 1].offset = arena.offset;
	drop(s, ARENA_SLOT);
	create(s, ARENA_SLOT, 0, whole());
}

/* Each is one change list; the second, if any, undoes the first. */
static const struct kind {
	const char *name;
	void (*there)(struct script *s);
	void (*back)(struct script *s);
	bool in_pieces; /* of deletions and creations: what KVM offers */
} kinds[] = {
	{ "split and merge", split, merge, false },
	{ "split and merge in pieces", split_in_pieces, merge_in_pieces, true },
	{ "shrink and grow", resize, NULL, false },
	{ "shrink and grow in pieces", resize_in_pieces, NULL, true },
	{ "move away and back", move, NULL, false },
	{ "move away and back in pieces", move_in_pieces, NULL, true },
};

/* --- how ------------------------------------------------------------------------------------- */

static int apply(void (*write)(struct script *s), enum slot_way way)
{
	struct script s = { .n = 0 };
	struct slot_report r;
	int err;

	write(&s);
	err = vm_change_slots(arena.vm, s.list, s.n, way, &r);
	if (err)
		ktap_note("%s: %s", errno_name(err), r.why);
	return err;
}

/* With all vCPUs at work before. @hold: by the caller, around all of it. */
static int change(const struct kind *k, enum slot_way way, bool hold)
{
	struct vm_hold h = { .vm = NULL };
	int err = arena_all_in(&arena) ? 0 : -EIO;

	if (!err && hold)
		err = vm_pause(arena.vm, &h, 0, NULL);
	if (!err)
		err = apply(k->there, way);
	/* Let them work on what it has become. */
	if (!err && k->back && !hold)
		err = arena_all_in(&arena) ? 0 : -EIO;
	if (!err && k->back)
		err = apply(k->back, way);
	if (h.vm)
		vm_resume(&h);
	return err;
}

/* --- what is seen ---------------------------------------------------------------------------- */

static bool arena_begin(void)
{
	const struct arena_config c = { .vcpus = nr_cpus - 1 };
	int err;

	if (!arena_run(&arena, &c))
		return false;
	arena_places(&arena, PLACES, (u32)(whole() / PLACES));
	err = vm_write(arena.vm, ARENA_BASE + CALL, pause_call_start,
		       (size_t)(pause_call_end - pause_call_start));
	for (u32 i = 0; i < arena.nr && !err; i++)
		atomic_store(&arena.runner[i].box->call, (u32)ARENA_BASE + CALL);
	if (!err && arena_free_run(&arena, true))
		return true;
	ktap_result(false, "guests can execute code in the slot");
	arena_destroy(&arena);
	return false;
}

static void see_live_fail(const struct kind *k)
{
	u64 before = arena_missing(&arena);
	int err = 0;

	for (unsigned int i = 0; i < ATTEMPTS && !err && arena_missing(&arena) == before; i++)
		err = change(k, SLOTS_LIVE, false);
	ktap_result(!err && arena_missing(&arena) > before,
		    "%s, live: vCPUs are seen to find no slot", k->name);
}

static void see_none(const struct kind *k, enum slot_way way, bool hold, const char *how)
{
	u64 before = arena_missing(&arena);
	int err = 0;

	for (unsigned int i = 0; i < CHANGES && !err; i++)
		err = change(k, way, hold);
	ktap_result(!err && arena_all_in(&arena) && arena_missing(&arena) == before,
		    "%s, %s: none does", k->name, how);
}

/* An instruction fetch is the worst: KVM has no way to go on. */
static void see_fetches_fail(void)
{
	const struct kind *k = &kinds[1];
	int err = 0;

	for (unsigned int i = 0; i < ATTEMPTS && !err && !arena_missing_fetch(&arena); i++)
		err = change(k, SLOTS_LIVE, false);
	ktap_result(!err && arena_missing_fetch(&arena),
		    "live changes are seen to take code away under the instruction pointer");
}

static void test_kinds(void)
{
	if (!arena_begin())
		return;
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct kind *k = &kinds[i];

		/* In one step only the sequence of two steps leaves a hole. */
		if (k->in_pieces || !k->back)
			see_live_fail(k);
		see_none(k, SLOTS_LIVE, true, "held by the caller");
		see_none(k, SLOTS_PAUSED, false, "paused");
		see_none(k, SLOTS_ATOMIC, false, "atomic");
	}
	see_fetches_fail();
	ktap_result(arena_free_run(&arena, false) && arena_intact(&arena),
		    "the guests find in memory what they wrote, through all of it");
	arena_destroy(&arena);
}

/* --- refused --------------------------------------------------------------------------------- */

/* The third item overlaps what the second has made. */
static int refuse(enum slot_way way, struct slot_report *r)
{
	struct script s = { .n = 0 };

	drop(&s, ARENA_SLOT);
	create(&s, ARENA_SLOT, 0, whole());
	create(&s, ARENA_SPARE, whole() / 2, whole() / 2);
	return vm_change_slots(arena.vm, s.list, s.n, way, r);
}

static void test_refused_by(enum slot_way way, bool hold, const char *how)
{
	u32 slots = slots_count(arena.vm);
	u64 before = arena_missing(&arena);
	struct vm_hold h = { .vm = NULL };
	struct slot_report r = { .item = 0 };
	bool ok = arena_all_in(&arena) && (!hold || !vm_pause(arena.vm, &h, 0, NULL));
	int err = ok ? refuse(way, &r) : 0;

	if (h.vm)
		vm_resume(&h);
	ok = err == -EEXIST && r.item == 2 && slots_count(arena.vm) == slots;
	ktap_result(ok && arena_all_in(&arena) && arena_missing(&arena) == before,
		    "a change list that is refused leaves the slots as they were: %s", how);
	if (!ok)
		ktap_note("%s, item %u: %s; %u slots, then %u", errno_name(err), r.item, r.why,
			  slots, slots_count(arena.vm));
}

static void test_refused(void)
{
	if (!arena_begin())
		return;
	test_refused_by(SLOTS_LIVE, true, "held by the caller");
	test_refused_by(SLOTS_PAUSED, false, "paused");
	test_refused_by(SLOTS_ATOMIC, false, "atomic");
	ktap_result(arena_free_run(&arena, false) && arena_intact(&arena), "and their memory too");
	arena_destroy(&arena);
}

void pause_test_changes(void)
{
	test_kinds();
	test_refused();
}
