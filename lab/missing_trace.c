/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `missing`, trace=1: one missing page, step by step, for a timeline; alone, and when
 * two vCPUs want it at the same time.
 */
#include "hv/host/print.h"
#include "hv/host/trace.h"
#include "lab/missing.h"

#define WARM   2   /* pages before the one that is shown */
#define BEFORE 300 /* ticks that are shown before and after */
#define AFTER  300

static struct missing_vm m;

static void bring_traced(struct missing_vcpu *v, u64 offset)
{
	trace("bring: begin", offset, 0);
	trace(missing_bring(v->m, offset) ? "bring: was there" : "bring: end", offset, 0);
}

/* All vCPUs touch page @i. */
static bool touch(u32 i)
{
	for (u32 n = 0; n < m.config.vcpus; n++) {
		struct missing_box *b = m.v[n].box;

		atomic_store(&b->count, 1);
		atomic_store(&b->base, (u32)(MISSING_BASE + i * PAGE_SIZE));
		atomic_store(&b->value, MISSING_VALUE + i);
		atomic_store(&b->samples, (u32)(MISSING_SAMPLES + n * PAGE_SIZE));
	}
	trace("touch: asked for", i, 0);
	for (u32 n = 0; n < m.config.vcpus; n++)
		atomic_fetch_add(&m.v[n].box->go, 1);
	return missing_finish(&m) && missing_intact(&m);
}

static bool show(enum missing_way way, u32 vcpus)
{
	const struct missing_config c = { .way = way,
					  .vcpus = vcpus,
					  .pages = WARM + 1,
					  .first_cpu = 1,
					  .traced = true,
					  .fault = bring_traced };
	struct vm_hold rest = { .vm = NULL };
	u64 start = 0, end;
	bool ok = true;

	if (!missing_run(&m, &c))
		return false;
	if (way == WAY_QUEUE)
		ok = !missing_serve(&m, 0);
	for (u32 i = 0; i <= WARM && ok; i++) {
		spin_ticks(2 * BEFORE);
		start = ticks_now() - BEFORE;
		ok = touch(i);
	}
	spin_ticks(AFTER);
	trace("touch: done", 0, 0);
	end = ticks_now();
	if (ok && !vm_pause(m.vm, &rest, 0, NULL)) {
		ktap_note("a missing page, %s, %u vCPU%s", missing_way_name[way], vcpus,
			  vcpus > 1 ? "s" : "");
		trace_print(start, end);
		printk("# trace end\n");
		vm_resume(&rest);
	}
	missing_destroy(&m);
	return ok;
}

void missing_trace(const struct missing_options *o)
{
	u32 most = o->vcpus ? o->vcpus : 2;

	if (!needs_cpus(most + 1, "the trace of one missing page is printed"))
		return;
	for (enum missing_way way = 0; way < NR_MISSING_WAYS; way++)
		for (u32 n = 1; n <= most && o->ways & BIT(way); n += max_u64(most, 2) - 1)
			ktap_result(show(way, n), "the trace of one missing page is printed: %s",
				    missing_way_name[way]);
}
