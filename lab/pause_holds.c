/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `pause`: who is held by a pause, from when until when, and what it leaves alone. */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/random.h"
#include "hv/host/string.h"
#include "lab/dawdle.h"
#include "lab/pause.h"

#define FREEZE	  patient(2000) /* ticks that a held VM is watched */
#define CYCLES	  50
#define REFUSALS  100
#define MAX_GAP	  patient(800)	  /* ticks from a resume to the next pause */
#define TOO_SHORT patient(20000)  /* ticks in which a vCPU that is not kicked does not leave */
#define LOOKS_UP  patient(300000) /* ticks until it does */
#define ATTEMPTS  5

static struct arena arena;

static bool pause(struct vm *vm, struct vm_hold *hold)
{
	struct pause_report r;
	int err = vm_pause(vm, hold, 0, &r);

	if (err)
		ktap_note("vm_pause: %s: %s", errno_name(err), r.why);
	return !err;
}

/* --- in the guest, and on the way in --------------------------------------------------------- */

/* Pauses at any moment; each finds the guests' counters standing still, and lets them go on. */
static bool freeze_often(struct arena *a, bool wait_for_all)
{
	struct vm_hold hold = { .vm = NULL };
	struct rng rng;

	rng_init(&rng, run_options.seed, 1);
	for (unsigned int i = 0; i < CYCLES; i++) {
		bool frozen;

		if (wait_for_all && !arena_all_in(a))
			return false;
		spin_ticks(rng_below(&rng, MAX_GAP));
		if (!pause(a->vm, &hold))
			return false;
		frozen = arena_frozen(a, FREEZE);
		vm_resume(&hold);
		if (!frozen)
			return false;
	}
	return arena_all_in(a);
}

static void test_frozen(void)
{
	const struct arena_config c = { .vcpus = nr_cpus - 1 };

	if (!arena_run(&arena, &c))
		return;
	ktap_result(arena_all_in(&arena) && freeze_often(&arena, true),
		    "from the return of a pause to the resume no guest instruction is executed");
	ktap_result(freeze_often(&arena, false),
		    "the same when vCPUs are on their way back in from the resume before");
	arena_destroy(&arena);
}

static void test_dawdling(void)
{
	const struct arena_config c = { .vcpus = nr_cpus - 1 };
	u64 barred = vm_entries_barred();
	bool ok;

	if (arena_create(&arena, &c)) {
		ktap_result(false, "a VM whose entries dawdle can be created");
		return;
	}
	for (u32 i = 0; i < arena.nr; i++)
		vcpu_dawdle(arena.runner[i].vcpu, dawdle_rounds());
	ok = !arena_start(&arena, 0) && arena_all_in(&arena) && freeze_often(&arena, false);
	ktap_result(ok, "a pause between the last look and the entry still prevents the entry");
	ktap_result(vm_entries_barred() > barred, "some pauses did come just then");
	arena_destroy(&arena);
}

/* --- halted ---------------------------------------------------------------------------------- */

static bool is_halted(struct runner *r)
{
	return atomic_load(&r->vcpu->blocked) && wait_queue_active(&r->vcpu->wq);
}

/* vCPU 0 is busy and vCPU 1 halted, with interrupts that never come. */
static void test_halted(void)
{
	static const char name[] = "a pause brings vCPUs out of HLT as out of the guest";
	const struct arena_config c = { .vcpus = nr_cpus > 2 ? 2 : 1,
					.code = TINY_EVENTS,
					.outside_events = true };
	struct vm_hold hold = { .vm = NULL };
	struct runner *r;
	u64 left;
	bool ok;

	if (arena_create(&arena, &c)) {
		ktap_result(false, "%s", name);
		return;
	}
	r = &arena.runner[arena.nr - 1];
	atomic_store(&r->box->halt, 1);
	ok = !arena_start(&arena, 0) && ARENA_WAIT(is_halted(r));
	spin_ticks(FREEZE); /* from the queue it is a few steps to sleep */
	left = atomic_load(&r->left);
	ok = ok && pause(arena.vm, &hold) && ARENA_WAIT(atomic_load(&r->left) > left);
	ok = ok && arena_frozen(&arena, FREEZE) && !vm_resume(&hold);
	ktap_result(ok && ARENA_WAIT(is_halted(r)), "%s", name);
	ktap_result(ok && atomic_load(&r->vcpu->mode) == OUTSIDE_GUEST_MODE &&
			    atomic_load(&r->box->beats) == 1,
		    "a halted vCPU is halted still after the resume");
	ktap_skip("a halted vCPU's thread sleeps at once: there is no halt polling",
		  "a pause brings vCPUs out of halt polling");
	arena_destroy(&arena);
}

/* --- vcpu_run() while held ------------------------------------------------------------------- */

struct refusals {
	_Atomic bool over;
	bool done, ok, same;
	u64 ticks[REFUSALS];
};

/* In the vCPU's thread, which holds the VM itself, so that it can look at its registers. */
static void run_while_held(struct vcpu *vcpu, void *arg)
{
	struct refusals *f = arg;
	struct vm_hold hold = { .vm = NULL };
	struct vcpu_regs before, after;

	if (f->done || !arena.runner[0].left)
		return;
	f->done = true;
	f->ok = pause(vcpu->vm, &hold) && !vcpu_get_regs(vcpu, &before);
	for (unsigned int i = 0; i < REFUSALS; i++) {
		u64 start = ticks_now();

		f->ok &= vcpu_run(vcpu) == -EINTR;
		f->ticks[i] = ticks_now() - start;
	}
	f->ok &= !vcpu_get_regs(vcpu, &after);
	f->same = !memcmp(&before, &after, sizeof(before));
	vm_resume(&hold);
	atomic_store(&f->over, true);
}

static void test_refused(void)
{
	static struct refusals f;
	const struct arena_config c = { .vcpus = 1, .between = run_while_held, .arg = &f };

	f = (struct refusals){ .done = false };
	if (!arena_run(&arena, &c))
		return;
	arena_all_in(&arena);
	vcpu_request(arena.runner[0].vcpu, REQ_EXIT);
	ktap_result(ARENA_WAIT(atomic_load(&f.over)) && f.ok,
		    "vcpu_run() during a hold returns -EINTR, however often");
	ktap_result(f.same, "and leaves the guest's registers as they were");
	if (f.ok)
		metric_samples("pause.refused", "ticks", f.ticks, REFUSALS, NULL, 0);
	ktap_result(arena_all_in(&arena) && arena_intact(&arena), "afterwards the guest goes on");
	arena_destroy(&arena);
}

/* --- new vCPUs ------------------------------------------------------------------------------- */

static bool stays_out(u32 n)
{
	return !arena_start(&arena, n) && ARENA_WAIT(atomic_load(&arena.runner[n].left)) &&
	       arena_frozen(&arena, FREEZE) && !atomic_load(&arena.runner[n].box->beats);
}

static void test_new(void)
{
	const struct arena_config c = { .vcpus = 1 };
	struct vm_hold hold = { .vm = NULL };
	bool ok;

	if (arena_create(&arena, &c)) {
		ktap_result(false, "a VM can be created");
		return;
	}
	ok = pause(arena.vm, &hold) && stays_out(0);
	ktap_result(ok, "a vCPU that runs for the first time during a hold is held");
	ok = !arena_add(&arena) && stays_out(1);
	ktap_result(ok, "a vCPU that is created during a hold is held");
	vm_resume(&hold);
	ktap_result(arena_all_in(&arena), "after the resume both run");
	arena_destroy(&arena);
}

/* --- holders --------------------------------------------------------------------------------- */

static void test_counted(void)
{
	const struct arena_config c = { .vcpus = nr_cpus - 1 };
	struct vm_hold first = { .vm = NULL }, second = { .vm = NULL };
	bool ok;

	if (!arena_run(&arena, &c))
		return;
	ktap_expect_eq(vm_resume(&first), -EINVAL, "a resume without a pause is an error");
	ok = pause(arena.vm, &first) && pause(arena.vm, &second);
	ktap_expect_eq(vm_pause(arena.vm, &first, 0, NULL), -EBUSY,
		       "a token that holds cannot hold again");
	ok = ok && !vm_resume(&first) && arena_frozen(&arena, FREEZE) && vm_is_held(arena.vm);
	ktap_result(ok, "with two holders the first resume does not let the VM go on");
	ok = ok && !vm_resume(&second) && arena_all_in(&arena) && !vm_is_held(arena.vm);
	ktap_result(ok, "the last resume does");
	ktap_expect_eq(vm_resume(&second), -EINVAL, "a second resume with the token is an error");
	arena_destroy(&arena);
}

/* --- a pause that cannot end ----------------------------------------------------------------- */

/* Nothing is sent to it, and it looks up by itself long after the deadline. */
static bool pause_in_vain(struct pause_report *r)
{
	struct vm_hold hold = { .vm = NULL };

	for (unsigned int i = 0; i < ATTEMPTS; i++) {
		int err = arena_all_in(&arena) ? vm_pause(arena.vm, &hold, TOO_SHORT, r) : -EIO;

		if (err == -ETIMEDOUT)
			return !vm_is_held(arena.vm) && vm_resume(&hold) == -EINVAL;
		if (err)
			return false;
		vm_resume(&hold); /* it happened to be on its way out */
	}
	return false;
}

static void test_deadline(void)
{
	static const char name[] = "a pause gives up at its deadline and holds nothing then";
	const struct arena_config c = { .vcpus = 1 };
	struct pause_report r;
	int err = arena_create(&arena, &c);

	if (!err)
		err = vm_set_kick(arena.vm, KICK_TIMER, LOOKS_UP);
	if (err == -EOPNOTSUPP)
		ktap_skip("needs the VMX-preemption timer", "%s", name);
	if (err) {
		arena_destroy(&arena);
		return;
	}
	ktap_result(!arena_start(&arena, 0) && pause_in_vain(&r), "%s", name);
	ktap_result(!strncmp(r.why, "vCPU 0 on CPU 1 ", 16), "it names the vCPU and its CPU");
	ktap_note("%s", r.why);
	ktap_result(arena_all_in(&arena), "the guest goes on");
	arena_destroy(&arena);
}

void pause_test_holds(void)
{
	test_frozen();
	test_dawdling();
	test_halted();
	test_refused();
	test_new();
	test_counted();
	test_deadline();
}
