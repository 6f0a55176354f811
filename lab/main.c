/* SPDX-License-Identifier: GPL-2.0-only */
/* The top of the image: reads the command line and runs the experiments it names. */
#include "lab/experiment.h"

#include "hv/host/bootinfo.h"
#include "hv/host/chaos.h"
#include "hv/host/console.h"
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/init.h"
#include "hv/host/ktap.h"
#include "hv/host/machine.h"
#include "hv/host/mem.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/timer.h"
#include "hv/vm/vm.h"

extern const struct experiment *const __experiments_start[], *const __experiments_end[];

struct run_options run_options;
const char *guests_missing;

static const struct param_spec global_spec[] = {
	PARAM_U64("seed", 0, UINT64_MAX, 1, "seed of every pseudo-random sequence"),
	PARAM_U64("chaos", 0, UINT64_MAX, 0,
		  "not 0: pseudo-random delays at the race points, by this seed"),
	PARAM_ENUM("apic", 0, "how much of a guest's local APIC the CPU virtualizes, at most",
		   "best", "emulate", "tpr", "access", "register", "delivery", "x2apic"),
	PARAM_BOOL("x2apic", 0, "run the host's local APICs in x2APIC mode"),
	PARAM_BOOL("serial", 0, "print to COM1 even where port 0xE9 works"),
	PARAM_ENUM("vmx", 0, "locked-off: as if firmware had disabled VMX", "auto", "locked-off"),
};

static struct params params;

static unsigned int nr_experiments(void)
{
	return (unsigned int)(__experiments_end - __experiments_start);
}

static const struct experiment *find(const char *name)
{
	for (unsigned int i = 0; i < nr_experiments(); i++)
		if (!strcmp(__experiments_start[i]->name, name))
			return __experiments_start[i];
	return NULL;
}

static void list_experiments(void)
{
	char line[160];

	for (unsigned int i = 0; i < nr_experiments(); i++) {
		const struct experiment *e = __experiments_start[i];

		printk("%-9s %s\n", e->name, e->shows);
		for (unsigned int p = 0; p < e->nr_spec; p++) {
			param_describe(&e->spec[p], line, sizeof(line));
			printk("%-9s   %s\n", "", line);
		}
	}
	machine_exit(RUN_OK, "%u experiments", nr_experiments());
}

/* What will be run: group numbers of the command line, or everything that does not ask to be named.
 */
struct plan {
	unsigned int nr;
	struct {
		const struct experiment *e;
		struct param_values values;
	} item[PARAMS_MAX_GROUPS];
};

static struct plan plan;

static void add(const struct experiment *e, unsigned int group)
{
	struct param_error err;

	if (params_read(&params, group, e->spec, e->nr_spec, &plan.item[plan.nr].values, &err))
		machine_exit(RUN_USAGE, "%s", err.text);
	plan.item[plan.nr++].e = e;
}

/* Defaults are what an empty group gives. */
static void plan_all(void)
{
	static struct params none;
	struct param_error err;

	params_parse(&none, "", NULL, 0, &err);
	for (unsigned int i = 0; i < nr_experiments() && plan.nr < PARAMS_MAX_GROUPS; i++) {
		const struct experiment *e = __experiments_start[i];

		if (e->flags & EXP_ON_REQUEST)
			continue;
		params_read(&none, 0, e->spec, e->nr_spec, &plan.item[plan.nr].values, &err);
		plan.item[plan.nr++].e = e;
	}
}

static void plan_named(void)
{
	for (unsigned int g = 1; g < params.nr_groups; g++) {
		const struct experiment *e = find(params.group[g].name);

		if (!e)
			machine_exit(RUN_USAGE,
				     "there is no experiment \"%s\"; \"list\" shows them",
				     params.group[g].name);
		if ((e->flags & EXP_ENDS_RUN) && params.nr_groups > 2)
			machine_exit(RUN_USAGE, "%s cannot be combined with other experiments",
				     e->name);
		add(e, g);
	}
}

static void read_command_line(void)
{
	struct param_values globals;
	struct param_error err;

	if (params_parse(&params, boot_info.cmdline, global_spec, ARRAY_SIZE(global_spec), &err) ||
	    params_read(&params, 0, global_spec, ARRAY_SIZE(global_spec), &globals, &err))
		machine_exit(RUN_USAGE, "%s", err.text);
	run_options.seed = param_number(&globals, "seed");
	run_options.chaos = param_number(&globals, "chaos");
	run_options.apic = (u32)param_number(&globals, "apic");
	if (run_options.chaos)
		chaos_init(run_options.chaos);
	if (param_number(&globals, "vmx"))
		vmx_pretend_locked_off();
	if (params.nr_groups == 2 && !strcmp(params.group[1].name, "list"))
		list_experiments();
	if (params.nr_groups > 1)
		plan_named();
	else
		plan_all();
}

static void choose_apic(void)
{
	unsigned int rung = run_options.apic - 1;

	if (run_options.apic && vm_default_apic(rung))
		machine_exit(RUN_USAGE, "apic=%s: this CPU has no %s", vmx_apic_rung_name(rung),
			     vmx_apic_missing(rung));
}

/*
 * Without VMX or EPT nothing that needs a guest can be shown: one line and a status of its own.
 * With EPT but without some control each such experiment is a SKIP that names the control.
 */
static void prepare_guests(void)
{
	bool needed = false;
	int err;

	for (unsigned int i = 0; i < plan.nr; i++)
		needed |= plan.item[i].e->flags & EXP_NEEDS_VMX;
	err = hv_init(&guests_missing);
	if (!err) {
		guests_missing = NULL;
		choose_apic();
	} else if (needed && err != -EOPNOTSUPP)
		machine_exit(RUN_NO_VMX, "%s", guests_missing);
}

static void run_plan(void)
{
	ktap_begin(plan.nr);
	for (unsigned int i = 0; i < plan.nr; i++) {
		const struct experiment *e = plan.item[i].e;

		if ((e->flags & EXP_NEEDS_VMX) && guests_missing) {
			if (e->flags & EXP_ENDS_RUN)
				machine_exit(RUN_NO_VMX, "%s", guests_missing);
			ktap_suite_skip(e->name, guests_missing);
			continue;
		}
		ktap_suite_begin(e->name);
		e->run(&plan.item[i].values);
		ktap_suite_end();
	}
}

void image_main(void *arg)
{
	u64 used;

	printk("# Stillpoint on %s: %u CPUs, %llu MiB free, booted by %s (%s), TSC %llu kHz by %s\n",
	       machine_name(), nr_cpus, (unsigned long long)(page_nr_free() >> 8), boot_info.loader,
	       boot_info.path, (unsigned long long)(tsc_hz / 1000), tsc_source);
	read_command_line();
	printk("# seed %llu\n", (unsigned long long)run_options.seed);
	if (run_options.chaos)
		printk("# chaos %llu\n", (unsigned long long)run_options.chaos);
	prepare_guests();
	used = page_nr_used() * PAGE_SIZE + boot_info.image_size;
	run_plan();
	metric_value("mem.host", "bytes", used,
		     &(struct metric_param){ .key = "cpus", .value = nr_cpus }, 1);
	if (atomic_load(&vm_first_guest_tick))
		metric_value("boot.first_guest", "ticks", atomic_load(&vm_first_guest_tick),
			     &(struct metric_param){ .key = "cpus", .value = nr_cpus }, 1);
	counters_print();
	machine_exit(ktap_failed() ? RUN_FAILED : RUN_OK, "%u passed, %u failed, %u skipped",
		     ktap_passed(), ktap_failed(), ktap_skipped());
}
