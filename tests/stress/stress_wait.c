/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Waiting for a vCPU's events: an event is never slept through.
 *
 * A guest that has nothing to do leaves to its VMM, which waits, in vcpu_wait() or in vcpu_run()
 * with MP_HALTED_USERSPACE, and runs it again when there is an event. Posters send interrupts, each
 * when the guest has taken its last; so a wake-up that is lost ends everything, and is noticed.
 * Other threads wait for the same vCPUs: while an event is there that no entry has seen, each of
 * them has to say so before the VMM goes on.
 *
 * Every fourth seed uses the flag of the RFC instead (WAIT_POSTED), and that one has to be seen to
 * lose wake-ups: a wait that ends by its deadline with an event pending.
 */
#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "tests/stress/guests.h"

#define VCPUS	2
#define POSTERS 3 /* 0 and 1: to the first vCPU; 2: to the second */
#define POLLERS 2
#define EVENTS	120
#define NO_RAM	GIB(1)

struct poster {
	unsigned int nr;
	struct guest *g;
	struct thread *thread;
};

struct poller {
	struct thread *thread;
	_Atomic u64 saw[VCPUS]; /* times it was told of an event */
};

static struct guest guests[VCPUS];
static struct poster posters[POSTERS];
static struct poller pollers[POLLERS];
static _Atomic bool over;
static bool posted_variant;
static _Atomic u64 lost;
static u64 posted_runs;

/* Nothing to do: an access that only the VMM can answer. */
static int idle_now_and_then(struct guest *g)
{
	u64 value;

	return stress_random(8) ? HW_GOES_ON : hw_read(hw_of(g->vcpu), NO_RAM, &value);
}

/* In the vCPU's thread: one that is pending, or on its way into the guest. */
static bool has_event(struct vcpu *vcpu)
{
	return lapic_above(vcpu, 0) || hw_of(vcpu)->has_queued;
}

/* All pollers hear of an event as long as it is unseen. */
static void let_pollers_see(struct guest *g)
{
	for (unsigned int i = 0; i < POLLERS; i++) {
		u64 before = atomic_load(&pollers[i].saw[g->vcpu->id]);

		wait_until(atomic_load(&pollers[i].saw[g->vcpu->id]) != before,
			   "waiter %u sleeps through an event of vCPU %u", i, g->vcpu->id);
	}
}

static void wait_for_event(struct guest *g)
{
	struct vcpu_wait w = { .vcpu = g->vcpu };
	u64 deadline = ticks_now() + tsc_hz / (posted_variant ? 200 : 2);
	int ready = vcpu_wait(&w, 1, deadline);

	if (ready == -ETIMEDOUT && posted_variant) {
		atomic_fetch_add(&lost, has_event(g->vcpu));
		return;
	}
	if (ready == -ETIMEDOUT && atomic_load(&over))
		return;
	stress_check(ready == 1 && w.ready == WAIT_EVENT, "vcpu_wait() for vCPU %u: %d, ready %u%s",
		     g->vcpu->id, ready, w.ready, has_event(g->vcpu) ? "; it has an event" : "");
	if (!posted_variant && !atomic_load(&over) && !stress_random(2))
		let_pollers_see(g);
}

static bool left(struct guest *g, int err)
{
	struct vcpu *vcpu = g->vcpu;

	if (atomic_load(&over))
		return false;
	if (!err && vcpu->run.reason == RUN_EXIT_RUNNABLE) {
		stress_check(has_event(vcpu), "vCPU %u is runnable without an event", vcpu->id);
		vcpu_set_mp_state(vcpu, MP_RUNNABLE);
		return true;
	}
	stress_check(err == -EINTR || (!err && vcpu->run.reason == RUN_EXIT_MMIO),
		     "vCPU %u leaves with %d, reason %u", vcpu->id, err, vcpu->run.reason);
	/* A guest in a handler is not idle, whatever it left for. */
	if (g->eoi || vcpu_get_mp_state(vcpu) == MP_HALTED_USERSPACE)
		return true;
	if (!posted_variant && !stress_random(2))
		vcpu_set_mp_state(vcpu, MP_HALTED_USERSPACE);
	else
		wait_for_event(g);
	return true;
}

/*
 * Wait until the guest has taken the n-th interrupt. In every other run it is made to leave
 * meanwhile, at any moment, a few times; not for ever, or that would bring about what a wake-up
 * should have.
 */
static void wait_until_taken(struct poster *p, u64 n)
{
	u64 end = ticks_now() + tsc_hz;
	unsigned int leaves = stress_run.seed / 4 % 2 ? (unsigned int)stress_random(6) : 0;

	while (atomic_load(&p->g->taken[p->nr]) != n) {
		stress_check(ticks_now() < end,
			     "vCPU %u sleeps with interrupt %llu of poster %u pending",
			     p->g->vcpu->id, (unsigned long long)n, p->nr);
		if (leaves && !stress_random(2)) {
			vcpu_request(p->g->vcpu, REQ_EXIT);
			leaves--;
		}
		cpu_relax();
	}
}

static void post(void *arg)
{
	struct poster *p = arg;

	for (u64 n = 1; n <= EVENTS; n++) {
		lapic_post(p->g->vcpu, (u8)(GUEST_VECTOR + p->nr));
		wait_until_taken(p, n);
		/* About as long as the guest takes to find out that it has nothing to do. */
		for (u64 i = stress_random(100); i; i--)
			stress_point();
	}
}

/* For both vCPUs at once, until they are gone. */
static void poll(void *arg)
{
	struct poller *p = arg;
	struct vcpu_wait set[VCPUS];
	bool gone = false;

	while (!gone) {
		for (unsigned int i = 0; i < VCPUS; i++)
			set[i] = (struct vcpu_wait){ .vcpu = guests[i].vcpu };
		stress_check(vcpu_wait(set, VCPUS, ~0ull) > 0, "a wait without end has ended");
		for (unsigned int i = 0; i < VCPUS; i++) {
			if (set[i].ready & WAIT_EVENT)
				atomic_fetch_add(&p->saw[i], 1);
			gone |= set[i].ready & WAIT_GONE;
		}
		cpu_relax();
	}
}

static void start(struct vm *vm)
{
	for (unsigned int i = 0; i < VCPUS; i++) {
		guests[i] = (struct guest){ .work = idle_now_and_then,
					    .left = left,
					    .signals = stress_run.seed / 4 % 2 };
		guest_create(&guests[i], vm);
	}
	for (unsigned int i = 0; i < POLLERS; i++) {
		pollers[i] = (struct poller){ .thread = NULL };
		pollers[i].thread = stress_spawn("waiter", poll, &pollers[i]);
	}
	for (unsigned int i = 0; i < VCPUS; i++)
		guest_start(&guests[i], i ? "vCPU 1" : "vCPU 0");
	for (unsigned int i = 0; i < POSTERS; i++) {
		posters[i] = (struct poster){ .nr = i, .g = &guests[i == 2] };
		posters[i].thread = stress_spawn("poster", post, &posters[i]);
	}
}

static void run(void)
{
	struct vm *vm;

	posted_variant = stress_run.seed % 4 == 3;
	atomic_store(&over, false);
	guests_choose_apic();
	stress_check(!vm_create(&vm), "a VM cannot be created");
	vm_expect_events(vm);
	vm_set_wait(vm, posted_variant ? WAIT_POSTED : WAIT_SEQUENCE);
	start(vm);
	for (unsigned int i = 0; i < POSTERS; i++)
		stress_wait(posters[i].thread);
	atomic_store(&over, true);
	vm_stop(vm);
	for (unsigned int i = 0; i < VCPUS; i++) {
		lapic_post(guests[i].vcpu, GUEST_VECTOR);
		guest_end(&guests[i]);
	}
	/* The waiters' vCPUs go away under them. */
	for (unsigned int i = 0; i < VCPUS; i++)
		vcpu_destroy(guests[i].vcpu);
	for (unsigned int i = 0; i < POLLERS; i++)
		stress_wait(pollers[i].thread);
	vm_destroy(vm);
	posted_runs += posted_variant;
}

static void after(void)
{
	stress_check(atomic_load(&lost) || posted_runs < 4,
		     "the posted flag has lost nothing in %llu runs",
		     (unsigned long long)posted_runs);
}

const struct stress_test stress_test = { .name = "wait",
					 .run = run,
					 .after = after,
					 .threads = 1 + VCPUS + POSTERS + POLLERS,
					 .seeds = 60,
					 .free_runs = 40 };
