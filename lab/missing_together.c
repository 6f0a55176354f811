/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `missing`: several vCPUs and one page, each reports it, and all go on. */
#include "hv/host/print.h"
#include "hv/vm/pause.h"
#include "lab/missing.h"

struct missing_vm missing_crowd;
static struct missing_vm *const m = &missing_crowd;
static _Atomic u32 arrived, brought;
static _Atomic bool go_on;

/* --- one page -------------------------------------------------------------------------------- */

void missing_hold_back(struct missing_vcpu *v, u64 offset)
{
	atomic_fetch_add(&arrived, 1);
	while (!atomic_load(&go_on) && !vm_is_held(v->m->vm))
		cpu_relax();
}

/* The same, and then everybody brings it. */
static void all_bring(struct missing_vcpu *v, u64 offset)
{
	missing_hold_back(v, offset);
	if (!missing_bring(v->m, offset))
		atomic_fetch_add(&brought, 1);
}

bool missing_all_arrived(struct missing_vm *vm)
{
	return atomic_load(&arrived) == vm->config.vcpus;
}

bool missing_meet(enum missing_way way, void (*fault)(struct missing_vcpu *, u64),
		  bool (*met)(struct missing_vm *))
{
	const struct missing_config c = { .way = way,
					  .vcpus = (u32)min_u64(nr_cpus - 1, MISSING_MAX_VCPUS),
					  .pages = 1,
					  .first_cpu = 1,
					  .fault = fault };

	atomic_store(&arrived, 0);
	atomic_store(&brought, 0);
	atomic_store(&go_on, false);
	if (!missing_run(m, &c))
		return false;
	missing_begin(m, MISSING_WRITE, 1, 0);
	return missing_until(m, met);
}

void missing_go_on(void)
{
	atomic_store(&go_on, true);
}

bool missing_part(bool ok)
{
	missing_go_on();
	ok = ok && missing_finish(m);
	missing_begin(m, MISSING_VERIFY, 1, 0);
	return ok && missing_finish(m) && missing_intact(m);
}

static void test_exits(enum missing_way way)
{
	const char *name = missing_way_name[way];
	bool ok = missing_meet(way, missing_hold_back, missing_all_arrived);
	u32 n = m->config.vcpus;

	ok = missing_part(ok && !missing_bring(m, 0)) && missing_exits(m) == n;
	ktap_result(ok, "%s: %u vCPUs on one page: each has one exit; bringing it once is enough",
		    name, n);
	missing_destroy(m);
	ok = missing_part(missing_meet(way, all_bring, missing_all_arrived)) &&
	     atomic_load(&brought) == 1;
	ktap_result(ok,
		    "%s: of %u threads that bring a page at once one does, and no write is lost",
		    name, n);
	missing_destroy(m);
}

void missing_test_together(const struct missing_options *o)
{
	if (!needs_cpus(2, "vCPUs together at one page"))
		return;
	for (enum missing_way way = WAY_EXIT; way < NR_MISSING_WAYS; way++)
		if (o->ways & BIT(way))
			test_exits(way);
}
