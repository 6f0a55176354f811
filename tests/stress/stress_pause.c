/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Holding a VM: several holders, readers of the slots, vCPUs that are created during a hold, vCPUs
 * that sleep in HLT or wait for a page, and a second VM that has to notice nothing.
 *
 * A holder says so from when vm_pause() has returned until it calls vm_resume(). Whoever executes a
 * step of a guest of that VM, or is in a read section, while somebody says so has found a hole.
 * That the VM goes on is seen from its vCPUs' progress after each hold.
 */
#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "hv/vm/backing.h"
#include "tests/stress/guests.h"

#define HOLDERS	  2
#define MAX_VCPUS 5
#define FIRST	  2 /* vCPUs from the beginning; the others come later */
#define ROUNDS	  40
#define RAM_PAGES 4
#define RAM_SIZE  (RAM_PAGES * PAGE_SIZE)
#define KEPT_PAGE (RAM_SIZE - PAGE_SIZE) /* never missing */

struct machine {
	struct vm *vm;
	struct guest guests[MAX_VCPUS];
	_Atomic u32 nr_guests;
	_Atomic u32 held; /* by how many, as they say themselves */
};

static struct machine held, other;
static _Atomic bool over;
static struct backing *missing;

static struct machine *machine_of(struct guest *g)
{
	return g->arg;
}

static void expect_not_held(struct guest *g)
{
	stress_check(!atomic_load(&machine_of(g)->held), "vCPU %u runs while its VM is held",
		     g->vcpu->id);
}

/* Touches its pages, of which one is missing now and then. */
static int touch(struct guest *g)
{
	u64 value;
	int exit;

	expect_not_held(g);
	exit = hw_read(hw_of(g->vcpu), stress_random(RAM_PAGES) * PAGE_SIZE, &value);
	if (exit == HW_GOES_ON)
		expect_not_held(g);
	return exit;
}

/* Exits only when it is made to. */
static int spin(struct guest *g)
{
	expect_not_held(g);
	return HW_GOES_ON;
}

static bool left(struct guest *g, int err)
{
	stress_check(err == -EINTR, "vCPU %u leaves with %d, reason %u", g->vcpu->id, err,
		     g->vcpu->run.reason);
	err = vm_wait_resumed(machine_of(g)->vm);
	stress_check(!err || err == -ESHUTDOWN, "vm_wait_resumed(): %d", err);
	return !err;
}

static void add_guest(struct machine *m)
{
	u32 n = atomic_load(&m->nr_guests);
	struct guest *g = &m->guests[n];

	*g = (struct guest){ .work = n ? touch : spin, .left = left, .arg = m, .halts = n == 1 };
	guest_create(g, m->vm);
	atomic_store(&m->nr_guests, n + 1);
	guest_start(g, "vCPU");
}

static u64 steps(struct machine *m, u32 n)
{
	return atomic_load_explicit(&m->guests[n].steps, memory_order_relaxed);
}

/*
 * What a holder does meanwhile: it may use the slots itself. Threads that slept in vcpu_run(), in
 * HLT or for a page, come out too.
 */
static void hold_for_a_while(struct machine *m)
{
	u64 before[MAX_VCPUS], value = 0;
	u32 n = atomic_load(&m->nr_guests);

	for (u32 i = 0; i < n; i++)
		before[i] = steps(m, i);
	spin_ticks(stress_random(2000));
	stress_check(!vm_read(m->vm, KEPT_PAGE, &value, sizeof(value)),
		     "a holder cannot read memory");
	for (u32 i = 0; i < n; i++) {
		wait_until(!atomic_load(&m->guests[i].inside),
			   "vCPU %u stays in vcpu_run() while its VM is held", i);
		stress_check(steps(m, i) == before[i], "vCPU %u has run while its VM was held", i);
	}
}

/* The first vCPU is never halted, so it has to get on; the last resume may be somebody else's. */
static void expect_progress(struct machine *m)
{
	u64 before = steps(m, 0);

	wait_until(steps(m, 0) != before || atomic_load(&m->held),
		   "nobody goes on after the last resume");
}

static void hold(void *arg)
{
	struct machine *m = &held;
	struct vm_hold h = { .vm = NULL };
	struct pause_report report;
	int err;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		err = vm_pause(m->vm, &h, 0, &report);
		stress_check(!err, "vm_pause(): %d: %s", err, report.why);
		atomic_fetch_add(&m->held, 1);
		stress_check(vm_pause(m->vm, &h, 0, NULL) == -EBUSY, "a token holds twice");
		hold_for_a_while(m);
		atomic_fetch_sub(&m->held, 1);
		stress_check(!vm_resume(&h) && vm_resume(&h) == -EINVAL, "vm_resume()");
		expect_progress(m);
		spin_ticks(stress_random(500));
	}
}

/* As a thread that reads the dirty log, or writes as a device does. */
static void read(void *arg)
{
	struct machine *m = &held;

	while (!atomic_load(&over)) {
		unsigned int phase = slots_read_begin(m->vm);

		for (u64 i = stress_random(stress_random(8) ? 20 : 1000); i; i--) {
			stress_check(!atomic_load(&m->held), "a reader is in while the VM is held");
			stress_point();
		}
		slots_read_end(m->vm, phase);
		stress_point();
	}
}

/* Those who wake sleeping vCPUs do not do so during a hold: the pause has to. */
static void wait_while_held(void)
{
	while (atomic_load(&held.held))
		cpu_relax();
}

/* Pages go missing, and are brought after some time; with every second seed none does. */
static void page(void *arg)
{
	u8 contents[PAGE_SIZE] = { 0 };
	struct fetch f;

	while (stress_run.seed % 2 && !atomic_load(&over)) {
		int err =
			backing_punch(missing, stress_random(RAM_PAGES - 1) * PAGE_SIZE, PAGE_SIZE);

		stress_check(!err, "backing_punch(): %d", err);
		if (vm_next_fetch(held.vm, &f, ticks_now() + 500))
			continue;
		spin_ticks(stress_random(500));
		wait_while_held();
		err = backing_fill(f.backing, f.offset, contents);
		stress_check(!err, "backing_fill(): %d", err);
		backing_put(f.backing);
	}
}

/* Wakes those that halt, and creates the ones that come later, whether the VM is held or not. */
static void events(void *arg)
{
	while (!atomic_load(&over)) {
		wait_while_held();
		lapic_post(held.guests[1].vcpu, GUEST_VECTOR);
		spin_ticks(200);
		if (atomic_load(&held.nr_guests) < MAX_VCPUS && !stress_random(8))
			add_guest(&held);
	}
}

static void make(struct machine *m, u32 vcpus, struct backing *b)
{
	const struct slot_change ram = { .op = SLOT_CREATE, .size = RAM_SIZE, .backing = b };

	*m = (struct machine){ .vm = NULL };
	stress_check(!vm_create(&m->vm), "a VM cannot be created");
	stress_check(!vm_change_slots(m->vm, &ram, 1, SLOTS_ATOMIC, NULL), "no memory");
	vm_expect_events(m->vm);
	while (vcpus--)
		add_guest(m);
}

static void end(struct machine *m)
{
	vm_stop(m->vm);
	for (u32 i = 0; i < m->nr_guests; i++)
		guest_end(&m->guests[i]);
	vm_destroy(m->vm);
}

static void run(void)
{
	void (*const work_of[])(void *) = { read, page, events };
	struct thread *holders[HOLDERS], *others[ARRAY_SIZE(work_of)];

	atomic_store(&over, false);
	stress_check(!backing_create(&missing, RAM_SIZE, 0), "no backing");
	guests_choose_apic();
	make(&held, FIRST, missing);
	make(&other, 1, missing);
	for (unsigned int i = 0; i < ARRAY_SIZE(work_of); i++)
		others[i] =
			stress_spawn(i ? i > 1 ? "events" : "pager" : "reader", work_of[i], NULL);
	for (unsigned int i = 0; i < HOLDERS; i++)
		holders[i] = stress_spawn("holder", hold, NULL);
	for (unsigned int i = 0; i < HOLDERS; i++)
		stress_wait(holders[i]);
	atomic_store(&over, true);
	for (unsigned int i = 0; i < ARRAY_SIZE(work_of); i++)
		stress_wait(others[i]);
	end(&held);
	end(&other);
	backing_put(missing);
}

const struct stress_test stress_test = { .name = "pause",
					 .run = run,
					 .threads = 1 + HOLDERS + MAX_VCPUS + 1 + 3,
					 .seeds = 60,
					 .free_runs = 40 };
