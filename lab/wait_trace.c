/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `wait`: the trace of two events, for a timeline (tools/timeline.py). */
#include "hv/host/print.h"
#include "hv/host/trace.h"
#include "lab/wait.h"

static bool at_rest(struct keeper *k)
{
	bool asleep = WAIT_FOR((atomic_load(&k->stay) & 1) && keeper_asleep(k), SOON);

	spin_ticks(500);
	return asleep;
}

static void trace_two(struct keeper *k)
{
	u64 start;
	bool ok = at_rest(k);

	/* The first brings in all that only a first one needs. The picture begins with its end, in
	 * the guest. */
	keeper_post(k);
	ok &= keeper_settle(k, NULL);
	start = ticks_now();
	ok &= at_rest(k);
	for (unsigned int i = 0; i < 2; i++) {
		keeper_post(k);
		ok &= keeper_settle(k, NULL) && at_rest(k);
	}
	ktap_result(ok, "%s: two events are waited for and taken", wait_way_name[k->way]);
	trace_print(start, ticks_now());
	printk("# trace end\n");
}

void wait_trace(enum wait_way way)
{
	struct keeper k;
	struct ward w;

	if (!needs_cpus(2, "two events are waited for and taken") ||
	    !ward_create(&w, way, 1, WAIT_LEAVES))
		return;
	vm_set_traced(w.vm, true);
	if (keeper_start(&k, &w, 0, way, 1)) {
		trace_two(&k);
		keeper_stop(&k);
	}
	ward_destroy(&w);
}
