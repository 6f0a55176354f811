/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `pause`: holders against each other, and one VM beside another. */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/percpu.h"
#include "hv/host/random.h"
#include "lab/pause.h"

#define HOLDS	   100		/* of each of two threads */
#define WATCH	   patient(300) /* ticks that each looks at the counters while it holds */
#define MAX_GAP	   patient(1500)
#define OTHER_RUNS patient(50000) /* ticks that a VM is held while the other one runs */

static struct arena arena, other;

/* --- two threads that pause ------------------------------------------------------------------ */

struct pauser {
	struct arena *arena;
	u64 stream; /* of pseudo-random numbers */
	u64 held;   /* pauses that worked */
	u64 broken; /* holds during which the guest moved */
};

/* Lets the other threads of this CPU run, too. */
static void sleep_ticks(u64 ticks)
{
	struct wait_queue nobody;
	struct waiter w;

	wait_queue_init(&nobody);
	wait_prepare(&nobody, &w);
	wait_sleep_until(&w, ticks_now() + ticks);
}

static void pause_again_and_again(void *arg)
{
	struct pauser *p = arg;
	struct vm_hold hold = { .vm = NULL };
	struct rng rng;

	rng_init(&rng, run_options.seed, p->stream);
	for (unsigned int i = 0; i < HOLDS; i++) {
		if (vm_pause(p->arena->vm, &hold, 0, NULL))
			continue;
		p->held++;
		p->broken += !arena_frozen(p->arena, rng_below(&rng, WATCH));
		vm_resume(&hold);
		sleep_ticks(rng_below(&rng, MAX_GAP));
	}
}

static void test_two_threads(void)
{
	const struct arena_config c = { .vcpus = nr_cpus > 2 ? nr_cpus - 2 : 1 };
	struct pauser near = { .arena = &arena, .stream = 2 };
	struct pauser far = { .arena = &arena, .stream = 3 };
	struct thread *t;

	if (!arena_run(&arena, &c))
		return;
	arena_all_in(&arena);
	if (thread_create(&t, nr_cpus - 1, "pauser", pause_again_and_again, &far)) {
		ktap_result(false, "there is memory for a thread");
	} else {
		pause_again_and_again(&near);
		thread_join(t);
		ktap_result(near.held == HOLDS && far.held == HOLDS,
			    "two threads can pause a VM %u times each", HOLDS);
		ktap_result(!near.broken && !far.broken,
			    "a resume that races a new pause never lets the VM go on under it");
	}
	ktap_result(!vm_is_held(arena.vm) && arena_all_in(&arena), "after all of them it goes on");
	arena_destroy(&arena);
}

/* --- two VMs --------------------------------------------------------------------------------- */

static u32 beats(struct arena *a)
{
	return atomic_load(&a->runner[0].box->beats);
}

/* While @held is held: how far does @runs come, and is a pause of it as quick as ever? */
static void run_beside(struct arena *held, struct arena *runs)
{
	struct vm_hold hold = { .vm = NULL }, second = { .vm = NULL };
	u64 left = atomic_load(&runs->runner[0].left);
	u32 alone, beside;
	bool ok;

	beside = beats(runs);
	spin_ticks(OTHER_RUNS);
	alone = beats(runs) - beside;
	ok = !vm_pause(held->vm, &hold, 0, NULL) && arena_all_in(runs);
	beside = beats(runs);
	spin_ticks(OTHER_RUNS);
	beside = beats(runs) - beside;
	ktap_result(ok && beside && atomic_load(&runs->runner[0].left) == left,
		    "while one VM is held the other one runs on, undisturbed");
	ktap_note("in %u ticks it beats %u times, and %u times while neither is held",
		  (unsigned int)OTHER_RUNS, beside, alone);
	ok = ok && !vm_pause(runs->vm, &second, 0, NULL) && arena_frozen(runs, WATCH) &&
	     !vm_resume(&second) && arena_all_in(runs);
	ktap_result(ok, "and can be held and resumed meanwhile");
	ktap_result(arena_frozen(held, WATCH) && !vm_resume(&hold) && arena_all_in(held),
		    "which does not let the first one go on");
}

static void test_two_vms(void)
{
	static const char name[] = "two VMs run side by side";
	const struct arena_config c = { .vcpus = 1 };

	if (!arena_run(&arena, &c))
		return;
	/* On the next CPU when there is one, else they share it. */
	if (arena_create(&other, &c)) {
		ktap_result(false, "%s", name);
	} else {
		other.first_cpu = nr_cpus > 2;
		ktap_result(!arena_start(&other, 0) && arena_all_in(&other) && arena_all_in(&arena),
			    "%s", name);
		run_beside(&arena, &other);
		arena_destroy(&other);
	}
	arena_destroy(&arena);
}

void pause_test_races(void)
{
	test_two_threads();
	test_two_vms();
}
