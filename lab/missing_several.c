/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `missing`: several vCPUs that wait for one page in the queue; and vCPUs that wait
 * for a page, or have reported one, while their slot changes.
 */
#include "hv/host/errno.h"
#include "hv/host/print.h"
#include "lab/missing.h"

#define SETTLE patient(20000) /* ticks after which a second exit would have been seen */

static struct missing_vm *const m = &missing_crowd;

static bool all_asleep(struct missing_vm *vm)
{
	bool all = true;

	for (u32 i = 0; i < vm->config.vcpus; i++)
		all &= atomic_load(&vm->v[i].vcpu->mode) == OUTSIDE_GUEST_MODE &&
		       wait_queue_active(&vm->v[i].vcpu->wq);
	return all;
}

static bool is_wanted_once(void)
{
	struct fetch f, none;
	bool ok;

	if (vm_next_fetch(m->vm, &f, ticks_now() + MISSING_SOON))
		return false;
	ok = vm_next_fetch(m->vm, &none, ticks_now()) == -ETIMEDOUT;
	backing_put(f.backing);
	return ok && f.offset == 0;
}

static void test_sleepers(void)
{
	bool ok = missing_meet(WAY_QUEUE, NULL, all_asleep) && is_wanted_once() &&
		  !missing_bring(m, 0);

	ktap_result(missing_part(ok) && !missing_exits(m),
		    "queue: %u vCPUs that wait for one page ask for it once, and all are woken",
		    m->config.vcpus);
	missing_destroy(m);
}

/* --- a slot that changes --------------------------------------------------------------------- */

static bool change(enum slot_op op, u32 flags)
{
	struct slot_change c = missing_slot(m, op, flags);

	return !vm_change_slots(m->vm, &c, 1, SLOTS_ATOMIC, NULL);
}

static bool has_hole(struct missing_vm *vm)
{
	return atomic_load(&vm->v[0].holes);
}

/*
 * vCPUs sleep for a page. The slot gets a flag: they leave with an exit. The flag goes before they
 * run again: they sleep. The slot goes: there is no memory.
 */
static void test_slot_changes(void)
{
	bool ok = missing_meet(WAY_QUEUE, missing_hold_back, all_asleep) &&
		  change(SLOT_FLAGS, SLOT_EXIT_ON_MISSING) && missing_until(m, missing_all_arrived);

	ktap_result(ok, "vCPUs that wait for a page exit when their slot gets the flag");
	ok &= change(SLOT_FLAGS, 0);
	missing_go_on();
	ok = ok && missing_until(m, all_asleep);
	spin_ticks(SETTLE);
	ktap_result(
		ok && missing_exits(m) == m->config.vcpus,
		"a page that was reported and whose slot has lost the flag is no exit any more");
	ok = ok && change(SLOT_DELETE, 0) && missing_until(m, has_hole);
	ktap_result(ok, "when the slot goes, those that wait find that there is no memory");
	ok = ok && change(SLOT_CREATE, 0) && missing_until(m, all_asleep) && !missing_bring(m, 0);
	ktap_result(missing_part(ok), "when it comes back they wait, and with the page they go on");
	missing_destroy(m);
}

void missing_test_several(const struct missing_options *o)
{
	if (!needs_cpus(2, "vCPUs together at one page"))
		return;
	if (o->ways & BIT(WAY_QUEUE)) {
		test_sleepers();
		test_slot_changes();
	}
	missing_test_together(o);
}
