/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `guests`: the embedded guest programs run to their end, on one CPU and on several. */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/percpu.h"
#include "lab/experiment.h"
#include "lab/vmm.h"

static const struct param_spec guests_spec[] = {
	PARAM_U64("cpus", 1, VM_MAX_VCPUS, 2,
		  "vCPUs, pinned to different CPUs where there are any"),
	PARAM_U64("mem", 8, 3072, 32, "guest memory in MiB"),
};

static const struct {
	const char *name, *append, *shared; /* the latter where vCPUs share CPUs */
	bool smp;
} programs[] = {
	{ "hello", "", "", true },
	{ "memory", "", "", true },
	{ "fpu", "", "", false },
	{ "events", "", "", false },
	{ "apic", "do=check", "do=check shared=1", true },
};

static void run_program(unsigned int i, u32 vcpus, u64 ram)
{
	struct vmm_config config;
	struct vmm_result result = { .status = 0 };
	int err = vmm_embedded(&config, programs[i].name,
			       vcpus > nr_cpus ? programs[i].shared : programs[i].append);

	if (!err) {
		config.cpus = vcpus;
		config.ram = ram;
		err = vmm_run(&config, &result);
	}
	ktap_result(!err && !result.status, "%s with %u vCPUs", programs[i].name, vcpus);
	if (err || result.status) {
		ktap_note("%s: %s (status %d)", programs[i].name,
			  err == -ENOENT ? "not part of the image" : result.why,
			  err ? err : result.status);
		return;
	}
	if (vcpus > 1)
		ktap_expect_eq(result.cpus_used, vcpus < nr_cpus ? vcpus : nr_cpus,
			       "its vCPUs ran on as many CPUs as there are");
}

static void run_guests(const struct param_values *params)
{
	u32 vcpus = (u32)param_number(params, "cpus");
	u64 ram = MIB(param_number(params, "mem"));

	for (unsigned int i = 0; i < ARRAY_SIZE(programs); i++) {
		run_program(i, 1, ram);
		if (programs[i].smp && vcpus > 1)
			run_program(i, vcpus, ram);
	}
}

EXPERIMENT(guests)
= {
	.name = "guests",
	.shows = "whole guests (hello, memory, fpu, events, apic) on one CPU and on several",
	.flags = EXP_NEEDS_VMX,
	.spec = guests_spec,
	.nr_spec = ARRAY_SIZE(guests_spec),
	.run = run_guests,
};
