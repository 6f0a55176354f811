/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See lab/hopper.h. Three times all threads wait for each other: until every vCPU is outside, since
 * one that runs may still post to another whose state has been taken; and until every vCPU has its
 * state, since what was posted to one before is gone when it is set.
 */
#include "lab/hopper.h"

#include "hv/host/errno.h"
#include "hv/host/machine.h"
#include "hv/host/mem.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/vm/slots.h"
#include "lab/experiment.h"

#define LOOK_AGAIN 100000 /* ticks: whether the guest has ended meanwhile */

static bool has_ended(struct hopper *h)
{
	return ending_is_set(&h->board->ending);
}

/* --- when ------------------------------------------------------------------------------------ */

/* Interrupt context of CPU 0. */
static void fire(struct timer *t)
{
	struct hopper *h = container_of(t, struct hopper, timer);

	atomic_store(&h->wanted, true);
	for (u32 i = 0; i < h->nr; i++)
		vcpu_request(h->vm[h->at]->vcpu[i], REQ_EXIT);
}

static void arm(struct hopper *h)
{
	if (!h->max || h->hops < h->max)
		timer_arm(&h->timer, ticks_now() + h->every / 2 + rng_below(&h->rng, h->every));
}

/* --- one move -------------------------------------------------------------------------------- */

/* By the last one to arrive, after the states are set. */
static void land(struct hopper *h)
{
	h->at = !h->at;
	h->hops++;
	board_move(h->board, h->vm[h->at]);
	atomic_store(&h->wanted, false);
}

/* Wait for all others. Returns false when the guest has ended, and somebody will not come. */
static bool gather(struct hopper *h, void (*last)(struct hopper *h))
{
	u32 phase = atomic_load(&h->phase);
	struct waiter w;

	if (atomic_fetch_add(&h->arrived, 1) + 1 == h->nr) {
		if (last)
			last(h);
		atomic_store(&h->arrived, 0);
		atomic_fetch_add(&h->phase, 1);
		wake_all(&h->gathered);
		return true;
	}
	while (atomic_load(&h->phase) == phase) {
		if (has_ended(h))
			return false;
		wait_prepare(&h->gathered, &w);
		if (atomic_load(&h->phase) == phase)
			wait_sleep_until(&w, ticks_now() + LOOK_AGAIN);
		else
			wait_finish(&h->gathered, &w);
	}
	return true;
}

/* Of the registers only: the local APIC's timer may have expired since. */
static void compare(struct hopper *h, struct vcpu *vcpu, const struct vcpu_state *s)
{
	if (vcpu_get_state(vcpu, h->again) || vcpu_state_bytes(h->again) != vcpu_state_bytes(s) ||
	    memcmp(&h->again->cpu, &s->cpu,
		   vcpu_state_bytes(s) - offsetof(struct vcpu_state, cpu)) != 0)
		h->changed++;
}

static int move(struct hopper *h, struct vcpu *from, struct vcpu *to)
{
	struct vcpu_state *s = h->state[from->id];
	u64 start = ticks_now(), got, set;
	int err = vcpu_get_state(from, s);

	got = ticks_now();
	vcpu_unload(from);
	if (err) {
		fmt_print(h->refused.why, sizeof(h->refused.why), "not given: %s", errno_name(err));
		return err;
	}
	set = ticks_now();
	err = vcpu_set_state(to, s, &h->refused);
	if (err || from->id)
		return err;
	if (h->hops < HOP_SAMPLES) {
		h->get[h->hops] = got - start;
		h->set[h->hops] = ticks_now() - set;
	}
	h->bytes = max_u64(h->bytes, vcpu_state_bytes(s));
	compare(h, to, s);
	return 0;
}

static int turn(struct vcpu **vcpu, int err, void *arg)
{
	struct hopper *h = arg;
	struct vcpu *to;

	if ((err && err != -EINTR) || has_ended(h))
		return err;
	if (!atomic_load(&h->wanted))
		return 0; /* asked to leave for a move that it was in already */
	if (!gather(h, NULL))
		return -EINTR;
	to = h->vm[!h->at]->vcpu[(*vcpu)->id];
	err = move(h, *vcpu, to);
	if (err) {
		board_end(h->board, RUN_FAILED, "vCPU %u was not moved: %s", to->id,
			  h->refused.why);
		return -EINTR;
	}
	*vcpu = to;
	if (!gather(h, land))
		return -EINTR;
	if (!to->id)
		arm(h);
	return 0;
}

/* --- the second VM --------------------------------------------------------------------------- */

static int show_memory(struct vm *from, struct vm *to)
{
	struct slot_change list[8];
	unsigned int n = 0;
	struct vm_slot *s;
	gpa_t gpa = 0;

	mutex_lock(&from->change_mutex);
	for (; (s = slot_next(from, gpa)) && n < ARRAY_SIZE(list); gpa = s->base + s->size)
		if (!(s->flags & SLOT_PRIVATE))
			list[n++] = (struct slot_change){ .op = SLOT_CREATE,
							  .id = s->id,
							  .base = s->base,
							  .size = s->size,
							  .backing = s->backing,
							  .offset = s->offset,
							  .flags = s->flags };
	mutex_unlock(&from->change_mutex);
	return s ? -ENOSPC : vm_change_slots(to, list, n, SLOTS_LIVE, NULL);
}

static int create_vcpus(struct hopper *h)
{
	struct vcpu *unused;
	int err = 0;

	for (u32 i = 0; i < h->nr && !err; i++) {
		err = vcpu_create(&unused, h->vm[1]);
		h->state[i] = kzalloc(sizeof(*h->state[i]));
		if (!h->state[i])
			err = -ENOMEM;
	}
	return err;
}

static int ready(struct board *board, void *arg)
{
	struct hopper *h = arg;
	int err = vm_create(&h->vm[1]);

	h->board = board;
	h->vm[0] = board->vm;
	h->nr = vm_nr_vcpus(h->vm[0]);
	h->again = kzalloc(sizeof(*h->again));
	if (err || !h->again)
		return err ? err : -ENOMEM;
	if (h->vm[0]->no_x2apic)
		vm_hide_x2apic(h->vm[1]);
	if (h->choose_apic)
		err = vm_set_apic(h->vm[1], h->apic);
	if (!err)
		err = show_memory(h->vm[0], h->vm[1]);
	if (!err)
		err = create_vcpus(h);
	if (!err)
		arm(h);
	return err;
}

void hopper_use(struct hopper *h, struct vmm_config *config)
{
	wait_queue_init(&h->gathered);
	timer_init(&h->timer, fire);
	rng_init(&h->rng, run_options.seed, 0x686f70);
	config->ready = ready;
	config->turn = turn;
	config->arg = h;
}

void hopper_end(struct hopper *h)
{
	timer_cancel(&h->timer);
	for (u32 i = 0; i < h->nr; i++)
		kfree(h->state[i]);
	kfree(h->again);
	if (h->vm[1])
		vm_destroy(h->vm[1]);
}
