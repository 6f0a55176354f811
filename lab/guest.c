/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `guest`: run the program that the boot loader brought along (./stillpoint guest). */
#include "hv/host/bootinfo.h"
#include "hv/host/machine.h"
#include "hv/host/mem.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "lab/experiment.h"
#include "lab/guest.h"
#include "lab/hopper.h"

static const struct param_spec guest_spec[] = {
	GUEST_PARAMS,
	PARAM_U64("hop", 0, 1000000000, 0,
		  "ticks between two moves of all its vCPUs to another VM, 0: none"),
	GUEST_SECONDS,
};

static const char *module_name(const struct boot_module *m)
{
	return m->cmdline[0] ? m->cmdline : "guest";
}

static void run_module(const struct param_values *params)
{
	struct vmm_config config = { .cpus = 0 };
	const struct boot_module *m = boot_info.module;
	static struct hopper hopper; /* large */
	struct vmm_result result;
	int err;

	if (!boot_info.nr_modules)
		machine_exit(RUN_USAGE, "guest: no program was given (boot module 0)");
	guest_read_params(params, &config);
	config.image.file = phys_to_virt(m[0].base);
	config.image.size = m[0].len;
	config.image.name = module_name(&m[0]);
	config.image.append = param_text(params, "append");
	for (unsigned int i = 1; i < boot_info.nr_modules; i++) {
		struct multiboot_module *out = &config.image.module[config.image.nr_modules++];

		out->data = phys_to_virt(m[i].base);
		out->size = m[i].len;
		out->cmdline = m[i].cmdline;
	}
	hopper.every = param_number(params, "hop");
	if (hopper.every && config.cpus > nr_cpus)
		machine_exit(RUN_USAGE, "guest: hop=: %u vCPUs need as many CPUs, and there are %u",
			     config.cpus, nr_cpus);
	if (hopper.every)
		hopper_use(&hopper, &config);
	err = vmm_run(&config, &result);
	if (hopper.every) {
		hopper_end(&hopper);
		printk("stillpoint: %llu moves, %llu of them inexact\n",
		       (unsigned long long)hopper.hops, (unsigned long long)hopper.changed);
	}
	guest_end(err, &result);
}

EXPERIMENT(guest)
= {
	.name = "guest",
	.shows = "runs a multiboot1 program given as a boot module, and ends with its status",
	.flags = EXP_NEEDS_VMX | EXP_ON_REQUEST | EXP_ENDS_RUN,
	.spec = guest_spec,
	.nr_spec = ARRAY_SIZE(guest_spec),
	.run = run_module,
};
