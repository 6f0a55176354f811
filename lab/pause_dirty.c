/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `pause`: reading a slot's dirty log and then deleting the slot. Pages that are written
 * in between are in no log; a hold around both closes the gap.
 *
 * The judge is memory itself: each page holds counts that its writers advance, so a page has been
 * written exactly if they are not what they were at the last look. A look is taken with the VM
 * held.
 */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/mem.h"
#include "hv/host/percpu.h"
#include "hv/host/random.h"
#include "hv/host/string.h"
#include "lab/pause.h"

#define PAGES	 256 /* of 4 KiB, a power of two: 1 MiB */
#define WORDS	 (PAGES / 64)
#define ROUNDS	 8
#define READS	 4	       /* of the log in a round, beside the writers */
#define ATTEMPTS 100	       /* to see pages lost */
#define MAX_GAP	 patient(3000) /* ticks that the guests write before the log is read */
#define GAP	 patient(500)  /* ticks between the log and the deletion */

static struct arena arena;
static u32 seen[PAGES][MAX_CPUS]; /* the counts at the last look */
static struct rng rng;

struct tally {
	u64 log[WORDS]; /* all that was read since the last look */
	u32 written, lost;
};

static int read_log(struct tally *t)
{
	u64 more[WORDS];
	int err = vm_dirty_read(arena.vm, ARENA_SLOT, more, NULL);

	for (unsigned int i = 0; i < WORDS && !err; i++)
		t->log[i] |= more[i];
	return err;
}

static bool was_written(u32 page, const u8 *p)
{
	bool written = false;

	for (u32 i = 0; i < arena.nr; i++) {
		u32 count;

		memcpy(&count, p + i * 64, sizeof(count));
		written |= count != seen[page][i];
		seen[page][i] = count;
	}
	return written;
}

/* The VM is held, so memory does not move either. */
static int look(struct tally *t)
{
	int err = read_log(t);

	for (u32 page = 0; page < PAGES && !err; page++) {
		struct backing_page p;
		bool written;

		err = backing_find(arena.mem, arena.offset + page * PAGE_SIZE, &p);
		written = !err && was_written(page, phys_to_virt(p.hpa));
		t->written += written;
		t->lost += written && !(t->log[page / 64] & BIT(page % 64));
	}
	memset(t->log, 0, sizeof(t->log));
	return err;
}

static int hold_and_look(struct tally *t)
{
	struct vm_hold h = { .vm = NULL };
	int err = vm_pause(arena.vm, &h, 0, NULL);

	if (!err)
		err = look(t);
	vm_resume(&h);
	return err;
}

static int replace(void)
{
	struct slot_change list[2];

	arena_recreate(&arena, list);
	return vm_change_slots(arena.vm, list, 2, SLOTS_LIVE, NULL);
}

/* --- three ways to come by the log ----------------------------------------------------------- */

static int read_beside(struct tally *t)
{
	int err = 0;

	for (unsigned int i = 0; i < READS && !err; i++) {
		spin_ticks(rng_below(&rng, MAX_GAP));
		err = read_log(t);
	}
	return err ? err : hold_and_look(t);
}

static int read_then_replace(struct tally *t)
{
	int err = read_log(t);

	spin_ticks(GAP);
	if (!err)
		err = replace();
	return err ? err : hold_and_look(t);
}

static int read_and_replace_held(struct tally *t)
{
	struct vm_hold h = { .vm = NULL };
	int err = vm_pause(arena.vm, &h, 0, NULL);

	if (!err)
		err = read_log(t);
	spin_ticks(GAP);
	if (!err)
		err = replace();
	if (!err)
		err = look(t);
	vm_resume(&h);
	return err;
}

/* @rounds of one of them; with @until_lost fewer if they suffice. Returns an error. */
static int repeat(int (*way)(struct tally *t), unsigned int rounds, bool until_lost,
		  struct tally *t)
{
	int err = 0;

	*t = (struct tally){ .lost = 0 };
	for (unsigned int i = 0; i < rounds && !err && !(until_lost && t->lost); i++) {
		if (!arena_all_in(&arena))
			return -EIO;
		spin_ticks(rng_below(&rng, MAX_GAP));
		err = way(t);
	}
	if (err)
		ktap_note("%s", errno_name(err));
	return err;
}

static void test_ways(const char *how)
{
	struct tally t;
	int err = repeat(read_beside, ROUNDS, false, &t);

	ktap_result(!err && t.written && !t.lost,
		    "a dirty log that is read again and again beside writers loses no page: %s",
		    how);
	ktap_note("%u pages written, %u lost", t.written, t.lost);
	err = repeat(read_then_replace, ATTEMPTS, true, &t);
	ktap_result(!err && t.lost,
		    "a log read before its slot is deleted is seen to lose pages: %s", how);
	ktap_note("%u pages written, %u lost", t.written, t.lost);
	err = repeat(read_and_replace_held, ROUNDS, false, &t);
	ktap_result(!err && t.written && !t.lost,
		    "with a hold around log and deletion no page is lost: %s", how);
	ktap_note("%u pages written, %u lost", t.written, t.lost);
}

static void test_how(enum dirty_how dirty, const char *how, const char *needs)
{
	const struct arena_config c = { .vcpus = nr_cpus - 1,
					.code = PAUSE_WRITE,
					.mib = PAGES * PAGE_SIZE / MIB(1),
					.flags = SLOT_LOG_DIRTY,
					.dirty = dirty };
	int err = arena_create(&arena, &c);

	if (err == -EOPNOTSUPP) {
		ktap_skip(needs, "a dirty log loses no page: %s", how);
		return;
	}
	if (!err) {
		arena_places(&arena, PAGES, PAGE_SIZE);
		for (u32 i = 0; i < arena.nr; i++)
			atomic_store(&arena.runner[i].box->seed, (u32)rng_next(&rng));
		err = arena_start(&arena, 0);
	}
	memset(seen, 0, sizeof(seen));
	if (err)
		ktap_result(false, "a VM with a dirty log can be created: %s", how);
	else
		test_ways(how);
	arena_destroy(&arena);
}

void pause_test_dirty(void)
{
	rng_init(&rng, run_options.seed, 4);
	test_how(DIRTY_PML, "PML", "needs page-modification logging");
	test_how(DIRTY_WRITE_PROTECT, "write protection", "needs EPT accessed and dirty flags");
}
