/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `entry`: a VM entry with one rule broken on purpose fails, the report names the field,
 * nothing else is harmed, and the repaired vCPU runs on.
 */
#include "hv/host/ktap.h"
#include "hv/host/machine.h"
#include "lab/experiment.h"
#include "lab/tiny.h"

static const struct param_spec entry_spec[] = {
	PARAM_BOOL("dump", 0, "print the whole VMCS for every failure"),
	PARAM_U64("stop", 0, 100, 0,
		  "end the run at this failure (1: the first), as a real one does"),
};

static void break_one(const char *field, struct tiny *t, bool dump, bool stop)
{
	int err = vcpu_run(t->vcpu);

	ktap_result(!err && t->vcpu->run.reason == RUN_EXIT_ENTRY_FAILED,
		    "an entry with a broken %s is refused", field);
	if (err || t->vcpu->run.reason != RUN_EXIT_ENTRY_FAILED)
		return;
	vcpu_report_entry_failure(t->vcpu, dump || stop);
	if (stop)
		machine_exit(RUN_ENTRY_FAILED, "VM entry with a broken %s", field);
	ktap_result(vcpu_blamed(field), "the report names %s", field);
	vcpu_repair_state(t->vcpu);
	err = vcpu_run(t->vcpu);
	ktap_result(!err && t->vcpu->run.reason == RUN_EXIT_HLT,
		    "repaired, the vCPU runs to its end");
}

static void run_entry(const struct param_values *params)
{
	bool dump = param_number(params, "dump");
	u64 stop = param_number(params, "stop");
	const char *field = "";

	for (unsigned int n = 0; field; n++) {
		struct tiny t;

		if (tiny_create(&t, TINY_CPUID, 1)) {
			ktap_result(false, "a tiny guest can be created");
			return;
		}
		field = vcpu_break_state(t.vcpu, n);
		if (field)
			break_one(field, &t, dump, stop == n + 1);
		vcpu_unload(t.vcpu);
		tiny_destroy(&t);
	}
}

EXPERIMENT(entry)
= {
	.name = "entry",
	.shows = "VM entries with one broken rule each: refused, and the rule is named",
	.flags = EXP_NEEDS_VMX,
	.spec = entry_spec,
	.nr_spec = ARRAY_SIZE(entry_spec),
	.run = run_entry,
};
