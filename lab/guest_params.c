/* SPDX-License-Identifier: GPL-2.0-only */
/* See lab/guest.h. */
#include "lab/guest.h"

#include "hv/host/machine.h"

void guest_read_params(const struct param_values *params, struct vmm_config *config)
{
	config->ram = MIB(param_number(params, "mem"));
	config->cpus = (u32)param_number(params, "cpus");
	config->populate = param_number(params, "populate");
	config->hide_x2apic = !param_number(params, "x2apic");
	config->seconds = param_number(params, "seconds");
}

void guest_end(int err, const struct vmm_result *result)
{
	machine_exit(err ? RUN_USAGE : result->status, "guest: %s", result->why);
}
