/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `pause`: the users of the slots that are not in vcpu_run(). Each works in a thread of
 * its own as fast as it can; while the VM is held it does nothing, and what it has begun is done.
 */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/random.h"
#include "hv/host/string.h"
#include "lab/pause.h"

#define CYCLES	  20
#define FREEZE	  patient(2000) /* ticks that a held VM is watched */
#define MAX_GAP	  patient(2000) /* ticks from one hold to the next */
#define RECORD	  256		/* bytes that the device writes at once */
#define PENDING	  0		/* offset in the slot: the event channel's word */
#define BUFFER	  0x1000
#define TOO_SHORT patient(20000)

static struct arena arena;

/* A thread that does one thing again and again. */
struct user {
	int (*work)(struct user *u);
	_Atomic u64 done; /* times */
	_Atomic int error;
	_Atomic bool over;
};

/* --- what they do ---------------------------------------------------------------------------- */

/* As kvm_xen_set_evtchn(): a bit in guest memory, then an interrupt. */
static int set_event_channel(struct user *u)
{
	u32 word = (u32)atomic_load(&u->done) + 1;
	int err = vm_write(arena.vm, ARENA_BASE + PENDING, &word, sizeof(word));

	lapic_post(arena.runner[0].vcpu, TINY_VECTOR);
	return err;
}

static int write_as_device(struct user *u)
{
	u8 record[RECORD];

	memset(record, (int)(atomic_load(&u->done) + 1), sizeof(record));
	return vm_write(arena.vm, ARENA_BASE + BUFFER, record, sizeof(record));
}

static int read_memory(struct user *u)
{
	u8 record[RECORD];

	return vm_read(arena.vm, ARENA_BASE + BUFFER, record, sizeof(record));
}

static int read_dirty_log(struct user *u)
{
	static u64 bitmap[MIB(4) / PAGE_SIZE / 64];

	return vm_dirty_read(arena.vm, ARENA_SLOT, bitmap, NULL);
}

/* In the vCPU's thread, as it must be; this one never runs its guest. */
static int get_registers(struct user *u)
{
	struct vcpu_regs regs;

	return vcpu_get_regs(arena.runner[0].vcpu, &regs);
}

static void use(void *arg)
{
	struct user *u = arg;

	while (!atomic_load(&u->over) && !atomic_load(&u->error)) {
		atomic_store(&u->error, u->work(u));
		atomic_fetch_add(&u->done, 1);
		thread_yield();
	}
	vcpu_unload(arena.runner[0].vcpu);
}

/* --- what a hold does to them ---------------------------------------------------------------- */

/* The device's record is all of one write. */
static bool record_is_whole(void)
{
	u8 record[RECORD];

	if (vm_read(arena.vm, ARENA_BASE + BUFFER, record, sizeof(record)))
		return false;
	for (unsigned int i = 1; i < RECORD; i++)
		if (record[i] != record[0])
			return false;
	return true;
}

/* Counts and memory stand still; the holder itself may look at memory and change the slots. */
static bool is_blocked(struct user *u)
{
	u8 before[RECORD], after[RECORD];
	u64 done = atomic_load(&u->done);
	int err = vm_read(arena.vm, ARENA_BASE + PENDING, before, sizeof(before));
	struct slot_change list[2];

	spin_ticks(FREEZE);
	arena_recreate(&arena, list);
	err |= vm_change_slots(arena.vm, list, ARRAY_SIZE(list), SLOTS_LIVE, NULL);
	err |= vm_read(arena.vm, ARENA_BASE + PENDING, after, sizeof(after));
	/* What was counted late, but done before, is one at most. */
	return !err && !memcmp(before, after, sizeof(before)) && record_is_whole() &&
	       atomic_load(&u->done) <= done + 1;
}

static bool hold_often(struct user *u)
{
	struct rng rng;

	rng_init(&rng, run_options.seed, 5);
	for (unsigned int i = 0; i < CYCLES; i++) {
		struct vm_hold hold = { .vm = NULL };
		u64 done = atomic_load(&u->done);
		bool blocked;

		if (!ARENA_WAIT(atomic_load(&u->done) > done) || atomic_load(&u->error))
			return false;
		spin_ticks(rng_below(&rng, MAX_GAP));
		if (vm_pause(arena.vm, &hold, 0, NULL))
			return false;
		blocked = is_blocked(u);
		vm_resume(&hold);
		if (!blocked)
			return false;
	}
	return !atomic_load(&u->error);
}

static void test_user(const char *name, int (*work)(struct user *u))
{
	struct user u = { .work = work };
	struct thread *t;

	if (thread_create(&t, 1, "user", use, &u)) {
		ktap_result(false, "there is memory for a thread");
		return;
	}
	ktap_result(hold_often(&u), "during a hold %s waits, and goes on afterwards", name);
	if (atomic_load(&u.error))
		ktap_note("%s", errno_name(atomic_load(&u.error)));
	atomic_store(&u.over, true);
	thread_join(t);
}

/* --- one that does not let go ---------------------------------------------------------------- */

struct reader {
	_Atomic bool in, leave;
};

static void stay_in_section(void *arg)
{
	struct reader *r = arg;
	unsigned int phase = slots_read_begin(arena.vm);

	atomic_store(&r->in, true);
	while (!atomic_load(&r->leave))
		cpu_relax();
	slots_read_end(arena.vm, phase);
}

/* A section is short by contract; a hold does not wait for ever for one that is not. */
static void test_stuck_reader(void)
{
	struct reader r = { .in = false };
	struct vm_hold hold = { .vm = NULL };
	struct pause_report report;
	struct thread *t;
	int err = 0;

	if (thread_create(&t, 1, "reader", stay_in_section, &r)) {
		ktap_result(false, "there is memory for a thread");
		return;
	}
	if (ARENA_WAIT(atomic_load(&r.in)))
		err = vm_pause(arena.vm, &hold, TOO_SHORT, &report);
	ktap_result(err == -ETIMEDOUT && !vm_is_held(arena.vm),
		    "a pause gives up at its deadline when a reader does not end");
	if (err == -ETIMEDOUT)
		ktap_note("%s", report.why);
	atomic_store(&r.leave, true);
	thread_join(t);
	err = vm_pause(arena.vm, &hold, 0, NULL);
	ktap_result(!err && !vm_resume(&hold), "once it has ended the VM can be held");
}

/*
 * One vCPU that does not run: its thread is whoever reads its registers. So the thread whose CPU it
 * is has the CPU to itself.
 */
void pause_test_readers(void)
{
	struct arena_config c = { .vcpus = 1, .flags = SLOT_LOG_DIRTY, .dirty = DIRTY_PML };
	bool logged = true;
	int err = arena_create(&arena, &c);

	if (err == -EOPNOTSUPP) {
		c.dirty = DIRTY_WRITE_PROTECT;
		err = arena_create(&arena, &c);
	}
	if (err == -EOPNOTSUPP) {
		c.flags = 0;
		logged = false;
		err = arena_create(&arena, &c);
	}
	if (err) {
		ktap_result(false, "a VM can be created");
		return;
	}
	test_user("a writer of event channels", set_event_channel);
	test_user("a device that writes guest memory", write_as_device);
	test_user("a reader of guest memory", read_memory);
	test_user("a reader of a vCPU's registers", get_registers);
	if (logged)
		test_user("a reader of the dirty log", read_dirty_log);
	else
		ktap_skip("needs EPT accessed and dirty flags",
			  "during a hold a reader of the dirty log waits");
	test_stuck_reader();
	arena_destroy(&arena);
}
