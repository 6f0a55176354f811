/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `missing`: several vCPUs and one page; and vCPUs that wait for a page, or have
 * reported one, while their slot changes.
 */
#include "hv/host/errno.h"
#include "hv/host/print.h"
#include "lab/missing.h"

#define SETTLE 20000 /* ticks after which a second exit would have been seen */

static struct missing_vm m;
static _Atomic u32 arrived, brought;
static _Atomic bool go_on;

/* --- one page -------------------------------------------------------------------------------- */

/* Stay outside until told. */
static void hold_back(struct missing_vcpu *v, u64 offset)
{
	atomic_fetch_add(&arrived, 1);
	while (!atomic_load(&go_on) && !vm_is_held(v->m->vm))
		cpu_relax();
}

/* The same, and then everybody brings it. */
static void all_bring(struct missing_vcpu *v, u64 offset)
{
	hold_back(v, offset);
	if (!missing_bring(v->m, offset))
		atomic_fetch_add(&brought, 1);
}

static bool all_arrived(struct missing_vm *vm)
{
	return atomic_load(&arrived) == vm->config.vcpus;
}

static bool all_asleep(struct missing_vm *vm)
{
	bool all = true;

	for (u32 i = 0; i < vm->config.vcpus; i++)
		all &= atomic_load(&vm->v[i].vcpu->mode) == OUTSIDE_GUEST_MODE &&
		       wait_queue_active(&vm->v[i].vcpu->wq);
	return all;
}

/* All vCPUs write to one page, and come as far as that. */
static bool start(enum missing_way way, void (*fault)(struct missing_vcpu *, u64))
{
	const struct missing_config c = { .way = way,
					  .vcpus = (u32)min_u64(nr_cpus - 1, MISSING_MAX_VCPUS),
					  .pages = 1,
					  .first_cpu = 1,
					  .fault = fault };

	atomic_store(&arrived, 0);
	atomic_store(&brought, 0);
	atomic_store(&go_on, false);
	if (!missing_run(&m, &c))
		return false;
	missing_begin(&m, MISSING_WRITE, 1, 0);
	return missing_until(&m, way == WAY_QUEUE ? all_asleep : all_arrived);
}

/* They go on, and find in the page what they should. */
static bool end(bool ok)
{
	atomic_store(&go_on, true);
	ok = ok && missing_finish(&m);
	missing_begin(&m, MISSING_VERIFY, 1, 0);
	return ok && missing_finish(&m) && missing_intact(&m);
}

static void test_exits(enum missing_way way)
{
	const char *name = missing_way_name[way];
	bool ok = start(way, hold_back);
	u32 n = m.config.vcpus;

	ok = end(ok && !missing_bring(&m, 0)) && missing_exits(&m) == n;
	ktap_result(ok, "%s: %u vCPUs on one page: each has one exit; bringing it once is enough",
		    name, n);
	missing_destroy(&m);
	ok = end(start(way, all_bring)) && atomic_load(&brought) == 1;
	ktap_result(ok,
		    "%s: of %u threads that bring a page at once one does, and no write is lost",
		    name, n);
	missing_destroy(&m);
}

static bool is_wanted_once(void)
{
	struct fetch f, none;
	bool ok;

	if (vm_next_fetch(m.vm, &f, ticks_now() + MISSING_SOON))
		return false;
	ok = vm_next_fetch(m.vm, &none, ticks_now()) == -ETIMEDOUT;
	backing_put(f.backing);
	return ok && f.offset == 0;
}

static void test_sleepers(void)
{
	bool ok = start(WAY_QUEUE, NULL) && is_wanted_once() && !missing_bring(&m, 0);

	ktap_result(end(ok) && !missing_exits(&m),
		    "queue: %u vCPUs that wait for one page ask for it once, and all are woken",
		    m.config.vcpus);
	missing_destroy(&m);
}

/* --- a slot that changes --------------------------------------------------------------------- */

static bool change(enum slot_op op, u32 flags)
{
	struct slot_change c = missing_slot(&m, op, flags);

	return !vm_change_slots(m.vm, &c, 1, SLOTS_ATOMIC, NULL);
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
	bool ok = start(WAY_QUEUE, hold_back) && change(SLOT_FLAGS, SLOT_EXIT_ON_MISSING) &&
		  missing_until(&m, all_arrived);

	ktap_result(ok, "vCPUs that wait for a page exit when their slot gets the flag");
	ok &= change(SLOT_FLAGS, 0);
	atomic_store(&go_on, true);
	ok = ok && missing_until(&m, all_asleep);
	spin_ticks(SETTLE);
	ktap_result(
		ok && missing_exits(&m) == m.config.vcpus,
		"a page that was reported and whose slot has lost the flag is no exit any more");
	ok = ok && change(SLOT_DELETE, 0) && missing_until(&m, has_hole);
	ktap_result(ok, "when the slot goes, those that wait find that there is no memory");
	ok = ok && change(SLOT_CREATE, 0) && missing_until(&m, all_asleep) && !missing_bring(&m, 0);
	ktap_result(end(ok), "when it comes back they wait, and with the page they go on");
	missing_destroy(&m);
}

void missing_test_several(const struct missing_options *o)
{
	if (!needs_cpus(2, "vCPUs together at one page"))
		return;
	if (o->ways & BIT(WAY_QUEUE)) {
		test_sleepers();
		test_slot_changes();
	}
	for (enum missing_way way = WAY_EXIT; way < NR_MISSING_WAYS; way++)
		if (o->ways & BIT(way))
			test_exits(way);
}
