/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Requests and kicks against running and halted vCPUs: each is answered, whenever it comes.
 *
 * Kicker 0 and 1 kick the same vCPU, so that kicks meet each other; kicker 2 has one for itself, so
 * that no other kick makes up for one that was lost; and that vCPU's guest never exits by itself.
 * Each asks, waits for the answer, asks again. An answer is what the vCPU's thread or its guest
 * does: a request taken, vcpu_run() left, an interrupt or NMI handled exactly once.
 */
#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "tests/stress/guests.h"

#define KICKERS 3
#define ROUNDS	500

struct kicker {
	unsigned int nr;
	struct guest *g;
	struct thread *thread;
	u64 posted;
};

static _Atomic bool over;

static bool left(struct guest *g, int err)
{
	stress_check(err == -EINTR, "vCPU %u leaves with %d, reason %u", g->vcpu->id, err,
		     g->vcpu->run.reason);
	return !atomic_load(&over);
}

static void ask_to_look(struct kicker *k)
{
	vcpu_request(k->g->vcpu, REQ_LOOK);
	wait_until(!(atomic_load(&k->g->vcpu->requests) & REQ_LOOK),
		   "vCPU %u does not take a request", k->g->vcpu->id);
}

static void ask_to_leave(struct kicker *k)
{
	u64 before = atomic_load(&k->g->leaves);

	vcpu_request(k->g->vcpu, REQ_EXIT);
	wait_until(atomic_load(&k->g->leaves) != before, "vCPU %u does not leave", k->g->vcpu->id);
}

static void post(struct kicker *k)
{
	lapic_post(k->g->vcpu, (u8)(GUEST_VECTOR + k->nr));
	k->posted++;
	wait_until(atomic_load(&k->g->taken[k->nr]) == k->posted,
		   "vCPU %u has taken %llu of %llu interrupts of kicker %u", k->g->vcpu->id,
		   (unsigned long long)atomic_load(&k->g->taken[k->nr]),
		   (unsigned long long)k->posted, k->nr);
}

static void post_nmi(struct kicker *k)
{
	u64 before = atomic_load(&k->g->nmis);

	lapic_post_nmi(k->g->vcpu);
	wait_until(atomic_load(&k->g->nmis) == before + 1, "vCPU %u does not take an NMI once",
		   k->g->vcpu->id);
}

static void kick(void *arg)
{
	struct kicker *k = arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		switch (stress_random(4)) {
		case 0: ask_to_look(k); break;
		case 1: ask_to_leave(k); break;
		case 2:
			if (k->nr) {
				post_nmi(k);
				break;
			}
			/* fallthrough */
		default: post(k);
		}
		if (!stress_random(2))
			spin_ticks(stress_random(100));
	}
}

static void run(void)
{
	struct guest guests[2] = { { .left = left, .halts = true, .exits = true },
				   { .left = left } };
	struct kicker kickers[KICKERS];
	struct vm *vm;

	atomic_store(&over, false);
	guests_choose_apic();
	stress_check(!vm_create(&vm), "a VM cannot be created");
	vm_expect_events(vm);
	for (unsigned int i = 0; i < 2; i++) {
		guest_create(&guests[i], vm);
		guest_start(&guests[i], i ? "vCPU 1" : "vCPU 0");
	}
	for (unsigned int i = 0; i < KICKERS; i++) {
		kickers[i] = (struct kicker){ .nr = i, .g = &guests[i == 2] };
		kickers[i].thread = stress_spawn("kicker", kick, &kickers[i]);
	}
	for (unsigned int i = 0; i < KICKERS; i++)
		stress_wait(kickers[i].thread);
	atomic_store(&over, true);
	vm_stop(vm);
	for (unsigned int i = 0; i < 2; i++)
		guest_end(&guests[i]);
	for (unsigned int i = 0; i < KICKERS; i++)
		stress_check(atomic_load(&kickers[i].g->taken[i]) == kickers[i].posted,
			     "an interrupt of kicker %u came twice", i);
	vm_destroy(vm);
}

const struct stress_test stress_test = {
	.name = "kick", .run = run, .threads = 1 + 2 + KICKERS, .seeds = 30, .free_runs = 40
};
