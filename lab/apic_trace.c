/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `apic`, trace=1: one migration of the page and its reloads, step by step. */
#include "hv/host/print.h"
#include "hv/host/trace.h"
#include "lab/apic.h"

#define WARM   3   /* migrations before the one that is shown */
#define BEFORE 600 /* ticks that are shown before and after */
#define AFTER  900

static struct apic_vm a;

static bool all_run(void)
{
	bool run = true;

	for (u32 i = 0; i < a.config.vcpus; i++)
		run &= apic_runs(&a, i);
	return run;
}

/* Everybody reads registers, the migration, everybody reads again; then all is brought to rest. */
static bool show(const char *what)
{
	struct vm_hold rest = { .vm = NULL };
	u64 start = 0, end;
	bool ok = apic_watch(&a);

	for (unsigned int i = 0; i <= WARM && ok; i++) {
		ok &= all_run();
		spin_ticks(2 * BEFORE);
		start = ticks_now() - BEFORE;
		trace("migration: begin", 0, 0);
		ok = ok && !vm_move_apic_page(a.vm, SENTINEL);
		trace("migration: end", 0, 0);
	}
	spin_ticks(AFTER);
	end = ticks_now();
	if (!ok || vm_pause(a.vm, &rest, 0, NULL))
		return false;
	ktap_note("the APIC-access page migrates under %u vCPUs: %s", a.config.vcpus, what);
	trace_print(start, end);
	printk("# trace end\n");
	vm_resume(&rest);
	return true;
}

void apic_trace(const struct apic_options *o)
{
	static const char *const reload[] = {
		[RELOAD_RETRY] = "retry", [RELOAD_NORETRY] = "no retry"
	};
	const struct apic_config c = { .vcpus = o->vcpus,
				       .rung = vmx_apic_best(),
				       .first_cpu = 1,
				       .traced = true,
				       .reload = o->reload,
				       .stall = o->stall,
				       .flush = o->flush };
	static const char name[] = "the trace of one migration is printed";

	if (!needs_cpus(o->vcpus + 1, name) || !apic_has_page(name) || !apic_vm_run(&a, &c))
		return;
	ktap_result(show(reload[o->reload]), "%s", name);
	apic_vm_destroy(&a);
}
