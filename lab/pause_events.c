/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `pause`: what happens to a VM while it is held. Interrupts, NMIs and timers that come
 * meanwhile are delivered after the resume, once each; a vCPU that sleeps until a page is brought
 * is woken by the pause and sleeps on after the resume.
 */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/percpu.h"
#include "hv/host/random.h"
#include "hv/host/string.h"
#include "lab/pause.h"

#define HOLDS	    30
#define MAX_GAP	    patient(1000)
#define SETTLE	    patient(20000) /* ticks after which a second delivery would have been seen */
#define TIMER_AFTER patient(3000)
#define TIMER	    (TINY_NR_VECTORS - 1) /* the vector that only the timer posts */

static struct arena arena;

/* --- interrupts and timers ------------------------------------------------------------------- */

/* What every counter of every vCPU has to say; the last is NMIs. */
static u32 expected[MAX_CPUS][TINY_NR_VECTORS + 1];

static u32 received(u32 vcpu, u32 n)
{
	struct box *b = arena.runner[vcpu].box;

	return atomic_load(n < TINY_NR_VECTORS ? &b->received[n] : &b->nmis);
}

static bool all_received(void)
{
	for (u32 i = 0; i < arena.nr; i++)
		for (u32 n = 0; n <= TINY_NR_VECTORS; n++)
			if (received(i, n) != expected[i][n])
				return false;
	return true;
}

static bool none_received(const u32 before[])
{
	for (u32 i = 0; i < arena.nr; i++)
		for (u32 n = 0; n <= TINY_NR_VECTORS; n++)
			if (received(i, n) != before[i * (TINY_NR_VECTORS + 1) + n])
				return false;
	return true;
}

static void snapshot(u32 out[])
{
	for (u32 i = 0; i < arena.nr; i++)
		for (u32 n = 0; n <= TINY_NR_VECTORS; n++)
			out[i * (TINY_NR_VECTORS + 1) + n] = received(i, n);
}

/* Some of the vectors and perhaps an NMI to each; the timer's is left to it. */
static void post_some(struct rng *rng)
{
	for (u32 i = 0; i < arena.nr; i++) {
		u64 which = rng_next(rng);

		for (u32 n = 0; n < TIMER; n++) {
			if (!(which & BIT(n)))
				continue;
			lapic_post(arena.runner[i].vcpu, (u8)(TINY_VECTOR + n));
			expected[i][n]++;
		}
		if (which & BIT(TINY_NR_VECTORS)) {
			lapic_post_nmi(arena.runner[i].vcpu);
			expected[i][TINY_NR_VECTORS]++;
		}
	}
}

/* A timer of the VMM's, for vCPU 0. */
struct virtual_timer {
	struct timer timer; /* first: what the timer's function is given */
	_Atomic bool fired;
};

static void fire(struct timer *t)
{
	struct virtual_timer *v = container_of(t, struct virtual_timer, timer);

	lapic_post(arena.runner[0].vcpu, TINY_VECTOR + TIMER);
	atomic_store(&v->fired, true);
}

/* Sleep until it has: timers fire in this CPU's idle loop. */
static void sleep_until(u64 deadline)
{
	struct wait_queue nobody;
	struct waiter w;

	wait_queue_init(&nobody);
	wait_prepare(&nobody, &w);
	wait_sleep_until(&w, deadline);
}

/* Returns whether nothing arrived while held, and all of it once afterwards. */
static bool hold_once(struct rng *rng, bool *timer_fired)
{
	static u32 before[MAX_CPUS * (TINY_NR_VECTORS + 1)];
	struct virtual_timer v = { .fired = false };
	struct vm_hold hold = { .vm = NULL };
	bool still;

	if (vm_pause(arena.vm, &hold, 0, NULL))
		return false;
	snapshot(before);
	timer_init(&v.timer, fire);
	timer_arm(&v.timer, ticks_now() + TIMER_AFTER);
	post_some(rng);
	sleep_until(ticks_now() + 2 * TIMER_AFTER);
	*timer_fired = atomic_load(&v.fired);
	timer_cancel(&v.timer);
	expected[0][TIMER] += *timer_fired;
	still = none_received(before);
	vm_resume(&hold);
	return still && ARENA_WAIT(all_received());
}

static void test_arrivals(bool halted, const char *how)
{
	const struct arena_config c = { .vcpus = nr_cpus - 1,
					.code = TINY_EVENTS,
					.outside_events = true };
	bool ok = true, fired = false;
	struct rng rng;

	memset(expected, 0, sizeof(expected));
	rng_init(&rng, run_options.seed, 6);
	if (!arena_run(&arena, &c))
		return;
	ok = arena_all_in(&arena);
	for (u32 i = 0; i < arena.nr; i++)
		atomic_store(&arena.runner[i].box->halt, halted);
	for (unsigned int i = 0; i < HOLDS && ok; i++) {
		bool one = false;

		spin_ticks(rng_below(&rng, MAX_GAP));
		ok = hold_once(&rng, &one);
		fired |= one;
	}
	spin_ticks(SETTLE);
	ktap_result(
		ok && all_received(),
		"interrupts and NMIs that come during a hold are delivered after it, once each: "
		"%s",
		how);
	ktap_result(ok && fired, "so is the interrupt of a timer that expires meanwhile: %s", how);
	for (u32 i = 0; i < arena.nr; i++)
		for (u32 n = 0; n <= TINY_NR_VECTORS; n++)
			if (received(i, n) != expected[i][n])
				ktap_note("vCPU %u, %u: %u delivered, %u sent", i, n,
					  received(i, n), expected[i][n]);
	arena_destroy(&arena);
}

/* --- a page that is not there ---------------------------------------------------------------- */

/* Bring the page that is waited for. */
static bool bring(u32 content)
{
	static u32 page[PAGE_SIZE / sizeof(u32)];
	struct fetch f;
	int err;

	page[0] = content;
	if (vm_next_fetch(arena.vm, &f, ticks_now() + tsc_hz))
		return false;
	err = backing_fill(f.backing, f.offset, page);
	backing_put(f.backing);
	return !err;
}

static bool is_outside(struct runner *r, u64 left)
{
	return atomic_load(&r->left) > left;
}

static void test_fetch(void)
{
	const struct arena_config c = { .vcpus = 1 };
	struct vm_hold hold = { .vm = NULL };
	struct runner *r = &arena.runner[0];
	struct fetch none;
	u64 left;
	bool ok;

	if (!arena_run(&arena, &c))
		return;
	arena_places(&arena, 1, (u32)PAGE_SIZE);
	arena_go(&arena);
	ok = arena_wait_done(&arena) && !backing_punch(arena.mem, arena.offset, PAGE_SIZE);
	arena_go(&arena);
	/* Its thread sleeps when the page has been asked for and is still asked for after a while.
	 */
	ok = ok && ARENA_WAIT(atomic_load(&r->vcpu->mode) == OUTSIDE_GUEST_MODE &&
			      wait_queue_active(&r->vcpu->wq));
	left = atomic_load(&r->left);
	ktap_result(ok && !vm_pause(arena.vm, &hold, 0, NULL) && ARENA_WAIT(is_outside(r, left)),
		    "a pause wakes a vCPU that waits for a page: it leaves vcpu_run()");
	vm_resume(&hold);
	ok = ok && ARENA_WAIT(wait_queue_active(&r->vcpu->wq)) &&
	     atomic_load(&r->box->done) != atomic_load(&r->box->go);
	ktap_result(ok, "after the resume it waits again");
	ok = ok && bring(1) && arena_wait_done(&arena) && arena_intact(&arena);
	ktap_result(ok && vm_next_fetch(arena.vm, &none, ticks_now()) == -ETIMEDOUT,
		    "the page is asked for once, and with its arrival the guest goes on");
	arena_destroy(&arena);
}

void pause_test_events(void)
{
	test_arrivals(false, "running");
	test_arrivals(true, "halted");
	test_fetch();
}
