/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages that are missing, in all three ways, beside everything that can get in the way: they are
 * brought by several threads, taken away and moved, slots lose their flag or go, VMs are held.
 *
 * Two VMs. The first shows pages that can be missing, in a slot that sleeps for them or exits, as
 * it is changed to; and pages that a bitmap hides. The second shows the former, and always sleeps.
 * Beside vCPUs a thread of each reads and writes as a device does.
 *
 * What a page contains says whether it may be found there (contents.h). An exit may only be made
 * if the page was missing and the slot had its flag at some time since the access began. Nobody
 * sleeps for a page that is there; and a pause, or a change of slots, has everybody out although
 * nobody brings pages meanwhile.
 */
#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "tests/stress/guests.h"
#include "tests/stress/pager.h"

#define VMS	2
#define VCPUS	3 /* the last is the second VM's */
#define USERS	(VCPUS + VMS)
#define PAGES	PAGER_PAGES
#define MISSING PAGER_MISSING
#define FILLERS 2
#define TAKES	60
#define CHANGES 12
#define PAUSES	12
#define HIGH	1 /* the slot that the rest is split off to */
#define BITMAP	2 /* the slot with the bitmap */

/* What there is beside vCPUs, devices and handlers: bits of the seed. */
enum with { WITH_FILLERS = 1, WITH_CHANGES = 2, WITH_PAUSES = 4, WITH_MOVES = 8 };

static struct vm *vms[VMS];
static struct guest guests[VCPUS];
static unsigned int with;
static _Atomic bool over, all_over;
/* Nobody brings a page, but vCPUs' threads those that they were told of. */
static _Atomic u32 frozen;
static _Atomic bool no_flag;		  /* the slot does not have its flag, for certain */
static _Atomic u32 flag_set;		  /* how often it got it */
static _Atomic u32 gone_begun, gone_done; /* times that the slot may not have been there */
static _Atomic u64 accesses[USERS];
/* Over all runs: that each of them happens. */
static _Atomic u64 exits, refused, handed_out;

static bool has(enum with what)
{
	return with & what;
}

static gpa_t base_of(unsigned int vm)
{
	return vm ? MIB(32) : MIB(16);
}

#define BITMAP_BASE MIB(4)

static gpa_t gpa_of(unsigned int vm, unsigned int page)
{
	return (page_is_hidden(page) ? BITMAP_BASE : base_of(vm)) + page_offset(page);
}

/* --- bringing pages -------------------------------------------------------------------------- */

static void wait_while_frozen(void)
{
	while (atomic_load(&frozen))
		cpu_relax();
}

/* Who brings what threads of a VM sleep for. */
static void handle(void *arg)
{
	struct vm *vm = arg;
	struct fetch f;

	while (!atomic_load(&all_over)) {
		if (vm_next_fetch(vm, &f, ticks_now() + 1000))
			continue;
		atomic_fetch_add(&handed_out, 1);
		stress_check(f.backing == pager.missing && f.offset < MISSING,
			     "a page that nobody has");
		spin_ticks(stress_random(300));
		wait_while_frozen();
		stress_check(page_fill((unsigned int)(f.offset / PAGE_SIZE)) ||
				     has(WITH_FILLERS | WITH_CHANGES),
			     "a page was handed out that somebody else has brought");
		backing_put(f.backing);
	}
}

static void fill_unasked(void *arg)
{
	while (!atomic_load(&over)) {
		unsigned int page = (unsigned int)stress_random(2 * PAGES);

		wait_while_frozen();
		if (arg && !page_is_hidden(page) && stress_random(2))
			page_stage(page);
		else
			page_bring(page);
		spin_ticks(stress_random(1000));
	}
}

/* --- taking them away ------------------------------------------------------------------------ */

static void take_all(void *arg)
{
	for (unsigned int i = 0; i < TAKES; i++) {
		unsigned int page = (unsigned int)stress_random(2 * PAGES);

		if (has(WITH_MOVES) && !stress_random(3))
			page_move(page);
		else if (page_is_hidden(page))
			page_hide(page);
		else
			page_punch(page, 1 + (unsigned int)stress_random(PAGES - page));
		spin_ticks(stress_random(1000));
	}
}

/* --- accesses -------------------------------------------------------------------------------- */

/* What is known before an access: whether it can lead to an exit. */
struct before {
	bool present, no_flag;
	u32 taken, flag_set;
	u32 gone_done;
};

struct user {
	unsigned int nr, vm;
	struct contents_access a;
	bool again; /* it was begun and not finished */
	struct before before;
};

static struct user users[USERS];

static void note(struct user *u)
{
	unsigned int page = u->a.page;

	u->before.taken = contents_taken(page);
	u->before.present = contents_present(page);
	u->before.no_flag = atomic_load(&no_flag);
	u->before.flag_set = atomic_load(&flag_set);
	u->before.gone_done = atomic_load(&gone_done);
}

static void begin(struct user *u)
{
	if (!u->again)
		contents_begin(&u->a, u->nr,
			       (unsigned int)stress_random(u->vm ? PAGES : 2 * PAGES));
	u->again = true;
	note(u);
}

static void end(struct user *u, u64 value)
{
	contents_end(&u->a, value);
	u->again = false;
	atomic_fetch_add(&accesses[u->nr], 1);
}

/* The slot was not there. */
static void lost(struct user *u)
{
	stress_check(!u->vm && !page_is_hidden(u->a.page) &&
			     atomic_load(&gone_begun) != u->before.gone_done,
		     "user %u misses the slot of page %u, and nothing has been changed", u->nr,
		     u->a.page);
	u->again = false;
}

/* An exit, or -EAGAIN, for the access that was begun. */
static void expect_missing(struct user *u)
{
	struct before *b = &u->before;

	stress_check(!b->present || contents_taken(u->a.page) != b->taken,
		     "user %u is told that page %u is missing, which is there", u->nr, u->a.page);
	if (page_is_hidden(u->a.page))
		return;
	stress_check(!u->vm && (!b->no_flag || atomic_load(&flag_set) != b->flag_set),
		     "user %u is told that page %u is missing, by a slot without the flag", u->nr,
		     u->a.page);
}

static int touch(struct guest *g)
{
	struct user *u = g->arg;
	u64 value = 0;
	gpa_t gpa;
	int exit;

	begin(u);
	gpa = gpa_of(u->vm, u->a.page) + u->a.offset;
	exit = u->a.write ? hw_write(hw_of(g->vcpu), gpa, u->a.value)
			  : hw_read(hw_of(g->vcpu), gpa, &value);
	if (exit == HW_GOES_ON)
		end(u, value);
	return exit;
}

static void resolve(struct user *u, const struct vcpu_run *run)
{
	unsigned int page = u->a.page;

	stress_check(run->memory_fault.gpa == gpa_of(u->vm, page) &&
			     run->memory_fault.size == PAGE_SIZE &&
			     run->memory_fault.flags == (u->a.write ? FAULT_WRITE : FAULT_READ),
		     "a fault at %#llx, size %llu, flags %#llx",
		     (unsigned long long)run->memory_fault.gpa,
		     (unsigned long long)run->memory_fault.size,
		     (unsigned long long)run->memory_fault.flags);
	expect_missing(u);
	if (stress_random(4))
		page_bring(page);
	note(u);
}

static bool left(struct guest *g, int err)
{
	struct vcpu_run *run = &g->vcpu->run;
	struct user *u = g->arg;

	if (!err && run->reason == RUN_EXIT_MEMORY_FAULT) {
		atomic_fetch_add(&exits, !page_is_hidden(u->a.page));
		resolve(u, run);
		return true;
	}
	if (!err && run->reason == RUN_EXIT_MMIO) {
		lost(u);
		return true;
	}
	stress_check(err == -EINTR && run->reason != RUN_EXIT_MEMORY_FAULT,
		     "vCPU %u leaves with %d, reason %u", g->vcpu->id, err, run->reason);
	err = vm_wait_resumed(vms[u->vm]);
	note(u);
	return !err;
}

/* All at once what nobody writes but who brings the page. */
static void check_whole(struct user *u)
{
	unsigned int page = u->a.page;
	u64 data[CONTENTS_MIDDLE / 8];
	u32 gone = contents_gone_count();

	if (!vm_read(vms[u->vm], gpa_of(u->vm, page) + CONTENTS_FROM, data, sizeof(data)))
		contents_whole(page, data, gone);
}

/* As a device does. */
static void access(void *arg)
{
	struct user *u = arg;

	while (!atomic_load(&over)) {
		struct vm *vm = vms[u->vm];
		u64 value = 0;
		gpa_t gpa;
		int err;

		begin(u);
		gpa = gpa_of(u->vm, u->a.page) + u->a.offset;
		err = u->a.write ? vm_write(vm, gpa, &u->a.value, 8) : vm_read(vm, gpa, &value, 8);
		stress_check(!err || err == -EAGAIN || err == -EFAULT, "an access: %d", err);
		if (!err) {
			end(u, value);
			check_whole(u);
		} else if (err == -EFAULT) {
			lost(u);
		} else {
			atomic_fetch_add(&refused, 1);
			expect_missing(u);
			if (stress_random(2))
				page_bring(u->a.page);
		}
		atomic_fetch_add(&accesses[u->nr], 1);
		spin_ticks(stress_random(100));
	}
}

/* --- changes --------------------------------------------------------------------------------- */

static u64 steps(unsigned int vcpu)
{
	return atomic_load(&guests[vcpu].steps) + atomic_load(&guests[vcpu].leaves);
}

/*
 * Nothing that a thread of the first VM sleeps for is left: each gets on, or is outside, without
 * any page being brought.
 */
static void expect_awake(const char *why)
{
	u64 before[USERS];

	for (unsigned int i = 0; i < VCPUS - 1; i++)
		before[i] = steps(i);
	before[VCPUS] = atomic_load(&accesses[VCPUS]);
	for (unsigned int i = 0; i < VCPUS - 1; i++)
		wait_until(!atomic_load(&guests[i].inside) || steps(i) != before[i],
			   "vCPU %u sleeps for a page after %s", i, why);
	wait_until(atomic_load(&accesses[VCPUS]) != before[VCPUS] || atomic_load(&over),
		   "a device sleeps for a page after %s", why);
}

/* With SLOTS_LIVE any change can be a hole meanwhile; so can the end of one that has left a hole.
 */
static void change(const struct slot_change *list, unsigned int n)
{
	bool leaves_hole = n == 1 && list->op == SLOT_DELETE;
	enum slot_way way = (enum slot_way)stress_random(3);
	struct slot_report report;
	int err;

	atomic_fetch_add(&gone_begun, way == SLOTS_LIVE || leaves_hole);
	err = vm_change_slots(vms[0], list, n, way, &report);
	stress_check(!err, "vm_change_slots(): %d: %s", err, report.why);
	if (!leaves_hole)
		atomic_store(&gone_done, atomic_load(&gone_begun));
}

static struct slot_change whole(u32 flags)
{
	return (struct slot_change){ .op = SLOT_CREATE,
				     .base = base_of(0),
				     .size = MISSING,
				     .backing = pager.missing,
				     .flags = flags };
}

static void set_flag(bool on)
{
	const struct slot_change c = { .op = SLOT_FLAGS, .flags = on ? SLOT_EXIT_ON_MISSING : 0 };

	if (on) {
		atomic_store(&no_flag, false);
		atomic_fetch_add(&flag_set, 1);
	}
	change(&c, 1);
	if (!on)
		atomic_store(&no_flag, true);
}

/* Away, then back. */
static void remove(u32 flags)
{
	const struct slot_change none = { .op = SLOT_DELETE }, back = whole(flags);

	change(&none, 1);
	expect_awake("its slot has gone");
	change(&back, 1);
}

static void replace(u32 flags)
{
	const struct slot_change list[] = { { .op = SLOT_DELETE }, whole(flags) };

	change(list, 2);
}

/* What changes nothing for a guest. */
static void reshape(void)
{
	const struct slot_change parted = { .op = SLOT_SPLIT, .other = HIGH, .size = MISSING / 2 };
	const struct slot_change merged = { .op = SLOT_MERGE, .other = HIGH };

	change(&parted, 1);
	spin_ticks(stress_random(1000));
	change(&merged, 1);
}

static void change_all(void *arg)
{
	bool flag = false;

	for (unsigned int i = 0; has(WITH_CHANGES) && i < CHANGES; i++) {
		switch (stress_random(4)) {
		case 0: replace(flag ? SLOT_EXIT_ON_MISSING : 0); break;
		case 1: reshape(); break;
		case 2:
			atomic_fetch_add(&frozen, 1);
			remove(flag ? SLOT_EXIT_ON_MISSING : 0);
			atomic_fetch_sub(&frozen, 1);
			break;
		default:
			flag = !flag;
			atomic_fetch_add(&frozen, flag);
			set_flag(flag);
			if (flag)
				expect_awake("its slot has got the flag");
			atomic_fetch_sub(&frozen, flag);
		}
		spin_ticks(stress_random(1500));
	}
}

static void hold_all(void *arg)
{
	struct vm_hold h = { .vm = NULL };
	struct pause_report report;

	for (unsigned int i = 0; has(WITH_PAUSES) && i < PAUSES; i++) {
		unsigned int vm = i % VMS;
		int err;

		atomic_fetch_add(&frozen, 1);
		err = vm_pause(vms[vm], &h, 0, &report);
		stress_check(!err, "vm_pause(): %d: %s", err, report.why);
		for (unsigned int v = 0; v < VCPUS; v++)
			wait_until((v == VCPUS - 1) != vm || !atomic_load(&guests[v].inside),
				   "vCPU %u stays in vcpu_run() while its VM is held", v);
		vm_resume(&h);
		atomic_fetch_sub(&frozen, 1);
		spin_ticks(stress_random(1500));
	}
}

/* --- the whole ------------------------------------------------------------------------------- */

static void make(void)
{
	struct slot_change first[] = { whole(0),
				       { .op = SLOT_CREATE,
					 .id = BITMAP,
					 .base = BITMAP_BASE,
					 .size = PAGER_HIDDEN,
					 .backing = pager.hidden,
					 .flags = SLOT_USERFAULT,
					 .userfault = pager.bitmap } };
	struct slot_change second = whole(0);

	second.base = base_of(1);
	for (unsigned int v = 0; v < VMS; v++)
		stress_check(!vm_create(&vms[v]), "a VM cannot be created");
	stress_check(!vm_change_slots(vms[0], first, 2, SLOTS_ATOMIC, NULL) &&
			     !vm_change_slots(vms[1], &second, 1, SLOTS_ATOMIC, NULL),
		     "no slot");
}

/* With nobody in the way any more everybody gets on. */
static void expect_progress(void)
{
	u64 before[USERS];

	for (unsigned int i = 0; i < USERS; i++)
		before[i] = atomic_load(&accesses[i]);
	for (unsigned int i = 0; i < USERS; i++)
		wait_until(atomic_load(&accesses[i]) >= before[i] + 10, "user %u does not get on",
			   i);
}

static void reset(void)
{
	with = (unsigned int)stress_random(16);
	contents_reset();
	atomic_store(&over, false);
	atomic_store(&all_over, false);
	atomic_store(&frozen, 0);
	atomic_store(&no_flag, true);
	atomic_store(&flag_set, 0);
	atomic_store(&gone_begun, 0);
	atomic_store(&gone_done, 0);
	for (unsigned int i = 0; i < USERS; i++) {
		users[i] = (struct user){ .nr = i, .vm = i == VCPUS - 1 || i == USERS - 1 };
		atomic_store(&accesses[i], 0);
	}
}

static void run(void)
{
	void (*const work_of[])(void *) = { take_all, change_all, hold_all };
	struct thread *work[ARRAY_SIZE(work_of)], *devices[VMS], *handlers[VMS], *fillers[FILLERS];

	reset();
	pager_make();
	make();
	for (unsigned int i = 0; i < VCPUS; i++) {
		guests[i] = (struct guest){ .work = touch, .left = left, .arg = &users[i] };
		guest_create(&guests[i], vms[users[i].vm]);
		guest_start(&guests[i], "vCPU");
	}
	for (unsigned int i = 0; i < VMS; i++) {
		devices[i] = stress_spawn("device", access, &users[VCPUS + i]);
		handlers[i] = stress_spawn("handler", handle, vms[i]);
	}
	for (unsigned int i = 0; has(WITH_FILLERS) && i < FILLERS; i++)
		fillers[i] = stress_spawn("filler", fill_unasked, i ? NULL : &users[0]);
	for (unsigned int i = 0; i < ARRAY_SIZE(work_of); i++)
		work[i] = stress_spawn("work", work_of[i], NULL);
	for (unsigned int i = 0; i < ARRAY_SIZE(work_of); i++)
		stress_wait(work[i]);
	expect_progress();
	atomic_store(&over, true);
	for (unsigned int i = 0; has(WITH_FILLERS) && i < FILLERS; i++)
		stress_wait(fillers[i]);
	for (unsigned int i = 0; i < VMS; i++)
		stress_wait(devices[i]);
	for (unsigned int i = 0; i < VMS; i++)
		vm_stop(vms[i]);
	for (unsigned int i = 0; i < VCPUS; i++)
		guest_end(&guests[i]);
	atomic_store(&all_over, true);
	for (unsigned int i = 0; i < VMS; i++)
		stress_wait(handlers[i]);
	contents_check_losers();
	for (unsigned int i = 0; i < VMS; i++)
		vm_destroy(vms[i]);
	pager_end();
}

static void after(void)
{
	stress_check(atomic_load(&exits) && atomic_load(&refused) && atomic_load(&handed_out) &&
			     atomic_load(&pager.in_vain) && atomic_load(&pager.published) &&
			     atomic_load(&pager.shown),
		     "something that is to be tested did not happen");
}

const struct stress_test stress_test = { .name = "missing",
					 .run = run,
					 .after = after,
					 .threads = 1 + VCPUS + 2 * VMS + FILLERS + 3,
					 .seeds = 60,
					 .free_runs = 40 };
