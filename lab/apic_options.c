/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `apic`: the modes, and what a run asks for, whoever runs the VM. */
#include "lab/apic.h"

#include "lab/params.h"

const struct apic_mode_name apic_modes[NR_APIC_MODES] = {
	{ "xapic", ALL_XAPIC },
	{ "x2apic", ALL_X2APIC },
	{ "mixed", HALF_HALF },
};

void apic_read_options(const struct param_values *v, struct apic_options *o)
{
	u64 mode = param_number(v, "mode");

	*o = (struct apic_options){
		.ipis = param_number(v, "ipis"),
		.migrations = param_number(v, "migrations"),
		.vcpus = (u32)param_number(v, "vcpus"),
		.modes = mode ? (u32)BIT(mode - 1) : BIT(NR_APIC_MODES) - 1,
		.reload = (enum apic_reload)param_number(v, "variant"),
		.flush = (enum apic_flush)param_number(v, "flush"),
	};
	if (!o->vcpus)
		o->vcpus = (u32)min_u64(max_u64(nr_cpus, 2) - 1, APIC_MAX_VCPUS);
}
