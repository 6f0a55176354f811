/* SPDX-License-Identifier: GPL-2.0-only */
/* See hv/vm/pause.h. */
#include "hv/host/chaos.h"
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/timer.h"
#include "hv/host/trace.h"
#include "hv/vm/internal.h"

COUNTER(pauses, "pause.pauses", "times a VM was held");
COUNTER(pause_late, "pause.timeouts", "pauses given up because somebody did not let go");

/* A VM that is held for a moment only is waited for without going to sleep. */
#define SPIN_BEFORE_SLEEP 2000 /* ticks */

static void add_holder(struct vm *vm, struct vm_hold *hold)
{
	hold->vm = vm;
	hold->thread = thread_current();
	spin_lock(&vm->hold_lock);
	list_add_tail(&vm->holders, &hold->node);
	/* The full fence between raising the hold and looking at modes and sections. */
	atomic_fetch_add_explicit(&vm->hold, 1, memory_order_seq_cst);
	spin_unlock(&vm->hold_lock);
}

static void remove_holder(struct vm *vm, struct vm_hold *hold)
{
	bool last;

	spin_lock(&vm->hold_lock);
	list_del(&hold->node);
	last = list_empty(&vm->holders);
	atomic_fetch_sub_explicit(&vm->hold, 1, memory_order_seq_cst);
	spin_unlock(&vm->hold_lock);
	hold->vm = NULL;
	if (last && wait_queue_active(&vm->resumed))
		wake_all(&vm->resumed);
}

bool vm_is_held(struct vm *vm)
{
	return atomic_load_explicit(&vm->hold, memory_order_seq_cst);
}

/* Looks at the holders: how many there are, and whether the caller is one. */
static bool has_holders(struct vm *vm, bool *me)
{
	struct thread *self = thread_current();
	struct list *pos, *next;
	bool any;

	*me = false;
	spin_lock(&vm->hold_lock);
	any = !list_empty(&vm->holders);
	list_for_each (pos, next, &vm->holders)
		*me |= list_entry(pos, struct vm_hold, node)->thread == self;
	spin_unlock(&vm->hold_lock);
	return any;
}

bool vm_held_by_me(struct vm *vm)
{
	bool me;

	has_holders(vm, &me);
	return me;
}

/* A VM that was stopped for good has its hold raised too, but that does not concern readers. */
bool gate_closed(struct vm *vm)
{
	bool me;

	return has_holders(vm, &me) && !me;
}

static const char *mode_name(u32 mode)
{
	static const char *const names[] = {
		[OUTSIDE_GUEST_MODE] = "outside the guest",
		[IN_GUEST_MODE] = "in the guest and was not kicked",
		[EXITING_GUEST_MODE] = "in the guest and does not react to the kick",
	};

	return mode < ARRAY_SIZE(names) ? names[mode] : "in no mode that exists";
}

int wait_evicted(struct vm *vm, u64 deadline, char *why, size_t size)
{
	u32 nr = atomic_load_explicit(&vm->nr_vcpus, memory_order_acquire);

	for (u32 i = 0; i < nr; i++) {
		struct vcpu *v = vm->vcpu[i];

		while (atomic_load_explicit(&v->mode, memory_order_acquire) != OUTSIDE_GUEST_MODE) {
			if (ticks_now() > deadline) {
				fmt_print(why, size, "vCPU %u on CPU %u is %s", i,
					  atomic_load(&v->cpu), mode_name(atomic_load(&v->mode)));
				return -ETIMEDOUT;
			}
			cpu_relax();
		}
	}
	return 0;
}

static int wait_drained(struct vm *vm, u64 deadline, char *why, size_t size)
{
	u32 cpu;

	while (!readers_drained(vm, &cpu)) {
		if (ticks_now() > deadline) {
			fmt_print(why, size, "a thread on CPU %u does not leave the slots", cpu);
			return -ETIMEDOUT;
		}
		cpu_relax();
	}
	return 0;
}

/*
 * A vCPU that reads the hold as 0 in its last look has stored IN_GUEST before, with a full fence in
 * between, so vm_kick_all() sees it in the guest and kicks it. One that is created later finds the
 * hold raised. After the wait for OUTSIDE nobody can come in again: every later look sees the hold.
 */
static int stop_all(struct vm *vm, u64 start, u64 deadline, struct pause_report *r)
{
	u64 kicked, evicted;
	int err;

	race_point();
	vm_kick_all(vm, true);
	kicked = ticks_now();
	r->kick = kicked - start;
	if (unlikely(vm->traced))
		trace("pause: kicked", 0, 0);
	err = wait_evicted(vm, deadline, r->why, sizeof(r->why));
	if (err)
		return err;
	evicted = ticks_now();
	r->evict = evicted - kicked;
	if (unlikely(vm->traced))
		trace("pause: evicted", 0, 0);
	race_point();
	err = wait_drained(vm, deadline, r->why, sizeof(r->why));
	r->drain = ticks_now() - evicted;
	return err;
}

int vm_pause(struct vm *vm, struct vm_hold *hold, u64 timeout, struct pause_report *report)
{
	struct pause_report unused;
	u64 start = ticks_now();
	int err;

	if (!report)
		report = &unused;
	report->kick = report->evict = report->drain = 0;
	report->why[0] = '\0';
	if (hold->vm)
		return -EBUSY;
	if (unlikely(vm->traced))
		trace("pause: begin", atomic_load(&vm->hold), 0);
	count(&pauses);
	add_holder(vm, hold);
	err = stop_all(vm, start, start + (timeout ? timeout : tsc_hz), report);
	if (unlikely(err)) {
		count(&pause_late);
		remove_holder(vm, hold);
	}
	if (unlikely(vm->traced))
		trace("pause: held", (u64)err, atomic_load(&vm->hold));
	return err;
}

int vm_resume(struct vm_hold *hold)
{
	struct vm *vm = hold->vm;

	if (!vm)
		return -EINVAL;
	if (unlikely(vm->traced))
		trace("pause: resume", atomic_load(&vm->hold), 0);
	remove_holder(vm, hold);
	return 0;
}

/* Never released: the VM is over. */
void vm_stop(struct vm *vm)
{
	trace("vm: stop", vm->nr_vcpus, 0);
	spin_lock(&vm->hold_lock);
	atomic_store_explicit(&vm->stopped, true, memory_order_release);
	atomic_fetch_add_explicit(&vm->hold, 1, memory_order_seq_cst);
	spin_unlock(&vm->hold_lock);
	vm_kick_all(vm, true);
	wake_all(&vm->resumed);
}

static bool is_stopped(struct vm *vm)
{
	return atomic_load_explicit(&vm->stopped, memory_order_acquire);
}

static void wait_while(struct vm *vm, bool (*held)(struct vm *vm))
{
	u64 end = ticks_now() + SPIN_BEFORE_SLEEP;
	struct waiter w;

	while (vm_is_held(vm) && !is_stopped(vm) && ticks_now() < end &&
	       !atomic_load(&this_cpu()->nr_runnable))
		cpu_relax();
	for (;;) {
		wait_prepare(&vm->resumed, &w);
		if (!held(vm))
			break;
		wait_sleep(&w);
	}
	wait_finish(&vm->resumed, &w);
}

static bool held_for_now(struct vm *vm)
{
	return vm_is_held(vm) && !is_stopped(vm);
}

int vm_wait_resumed(struct vm *vm)
{
	wait_while(vm, held_for_now);
	return is_stopped(vm) ? -ESHUTDOWN : 0;
}

void gate_wait(struct vm *vm)
{
	wait_while(vm, gate_closed);
}
