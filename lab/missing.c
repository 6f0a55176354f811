/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `missing`: memory whose pages are not there, and the three ways to hear of it.
 *
 *   queue   the vCPU's thread sleeps; a handler brings what the VM's queue says
 *   exit    the fault is an exit to the vCPU's own VMM thread, which brings the page
 *   bitmap  the same for pages that a bitmap hides
 *
 *   check   what each promises, and the races
 *   fault   what one missing page costs, and what pages that are there pay for it
 *   rate    demand paging by one vCPU and by many
 */
#include "lab/missing.h"

static const struct param_spec missing_spec[] = {
	PARAM_ENUM("way", 0, "how missing pages are heard of", "all", "queue", "exit", "bitmap"),
	MISSING_PARAMS,
	PARAM_U64("takes", 1, 10000000, 100, "pages taken away in a storm"),
	PARAM_ENUM("do", 0, "which part", "all", "check", "fault", "rate"),
	PARAM_BOOL("trace", 0, "print the trace of one missing page, for a timeline, and no more"),
};

static void run_missing(const struct param_values *v)
{
	enum { ALL, CHECK, FAULT, RATE } what = (int)param_number(v, "do");
	struct missing_options o;

	missing_read_options(v, BIT(NR_MISSING_WAYS) - 1, &o);
	o.takes = (u32)param_number(v, "takes");
	if (param_number(v, "trace")) {
		missing_trace(&o);
		return;
	}
	if (what == ALL || what == CHECK) {
		missing_test_rules(&o);
		missing_test_flags();
		missing_test_own(&o);
		missing_test_several(&o);
		missing_test_storms(&o);
	}
	if (what == ALL || what == FAULT) {
		ktap_note("the smallest handler of an exit in C: 51 ticks, on Bochs");
		missing_fault(&o);
	}
	if (what == ALL || what == RATE)
		missing_rate(&o);
}

EXPERIMENT(missing)
= {
	.name = "missing",
	.shows =
		"memory whose pages are missing: three ways to page, their promises, how they scale",
	.flags = EXP_NEEDS_VMX,
	.spec = missing_spec,
	.nr_spec = ARRAY_SIZE(missing_spec),
	.run = run_missing,
};
