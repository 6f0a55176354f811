/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `apic`: the local APIC, on every rung of what the CPU virtualizes of it, and the page
 * that has to be remapped under it.
 *
 *   ladder  what an IPI and each kind of access cost, by rung and mode
 *   storm   IPIs fly between vCPUs while another thread migrates the APIC-access page
 *   check   the rules that a reload has to keep, each by itself; what happens without them
 *   events  level-triggered interrupts, and CPUs that are started by IPIs
 */
#include "hv/host/print.h"
#include "lab/apic.h"

static const struct param_spec apic_spec[] = {
	PARAM_U64("ipis", 1, 100000000, 400, "IPIs in a storm, of all vCPUs together"),
	PARAM_U64("migrations", 0, 100000000, 100, "migrations of the page in a storm"),
	PARAM_U64("vcpus", 0, APIC_MAX_VCPUS, 0, "in a storm; 0: one for every CPU but one"),
	PARAM_ENUM("mode", 0, "of the local APICs", "all", "xapic", "x2apic", "mixed"),
	PARAM_ENUM("rung", 0, "what the CPU does of them", "all", "emulate", "tpr", "access",
		   "register", "delivery", "x2apic"),
	PARAM_ENUM("variant", 0, "a storm's reloads: retried when they raced, or not", "retry",
		   "noretry"),
	PARAM_ENUM("stall", 0, "how a vCPU in a storm waits for a migration's end", "rerequest",
		   "bail"),
	PARAM_ENUM("flush", 0, "who flushes in a storm", "zap", "both", "reload"),
	PARAM_ENUM("do", 0, "which part", "all", "ladder", "storm", "check", "events"),
	PARAM_BOOL("trace", 0, "print the trace of one retry, for a timeline, and no more"),
};

const char *const apic_flush_name[] = {
	[FLUSH_ZAP] = "zap", [FLUSH_BOTH] = "both", [FLUSH_RELOAD] = "reload"
};
const char *const apic_stall_name[] = { [STALL_REREQUEST] = "rerequest", [STALL_BAIL] = "bail" };

bool apic_has_page(const char *name)
{
	char why[96];

	if (vmx_apic_best() >= VMX_APIC_ACCESS)
		return true;
	fmt_print(why, sizeof(why), "needs \"%s\"", vmx_apic_missing(VMX_APIC_ACCESS));
	ktap_skip(why, "%s", name);
	return false;
}

/* The rungs that can be had. A rung that was asked for and is not there is a SKIP that says why. */
static bool choose_rungs(struct apic_options *o, u64 asked)
{
	char why[96];

	o->rungs = BIT(vmx_apic_best() + 1) - 1;
	if (!asked)
		return true;
	o->one_rung = true;
	if (o->rungs & BIT(asked - 1)) {
		o->rungs = (u32)BIT(asked - 1);
		return true;
	}
	fmt_print(why, sizeof(why), "needs \"%s\"", vmx_apic_missing((u32)asked - 1));
	ktap_skip(why, "local APICs on rung %s", vmx_apic_rung_name((u32)asked - 1));
	return false;
}

static void run_apic(const struct param_values *v)
{
	enum { ALL, LADDER, STORM, CHECK, EVENTS } what = (int)param_number(v, "do");
	struct apic_options o;

	apic_read_options(v, &o);
	o.stall = (enum apic_stall)param_number(v, "stall");
	if (!choose_rungs(&o, param_number(v, "rung")))
		return;
	if (param_number(v, "trace")) {
		apic_trace(&o);
		return;
	}
	if (what == ALL || what == LADDER)
		apic_ladder(&o);
	if (what == ALL || what == STORM)
		apic_storms(&o);
	if (what == ALL || what == CHECK) {
		apic_test_retry();
		apic_test_moves();
		apic_test_modes();
		apic_test_flush();
	}
	if (what == ALL || what == EVENTS)
		apic_test_events(&o);
}

EXPERIMENT(apic)
= {
	.name = "apic",
	.shows =
		"the local APIC on each rung of virtualization, and the page that moves under its IPIs",
	.flags = EXP_NEEDS_VMX,
	.spec = apic_spec,
	.nr_spec = ARRAY_SIZE(apic_spec),
	.run = run_apic,
};
