/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `guest`: what it does of its program, wherever that comes from. */
#ifndef LAB_GUEST_H
#define LAB_GUEST_H

#include "lab/params.h"
#include "lab/vmm.h"

/* Its parameters everywhere, and one more. */
#define GUEST_PARAMS                                                                               \
	PARAM_U64("mem", 2, 3072, 128, "guest memory in MiB"),                                     \
		PARAM_U64("cpus", 1, VM_MAX_VCPUS, 1, "vCPUs"),                                    \
		PARAM_TEXT("append", 0, 512, "", "the guest's command line"),                      \
		PARAM_BOOL("populate", 0, "zero and map all of its memory before it starts"),      \
		PARAM_BOOL("x2apic", 1, "the guest's local APICs have x2APIC mode")
#define GUEST_SECONDS                                                                              \
	PARAM_U64("seconds", 0, 1000000, 0, "time limit in seconds of the TSC, 0: none")

/** guest_read_params - into @config, whose image is the caller's business. */
void guest_read_params(const struct param_values *params, struct vmm_config *config);

/** guest_end - end the run with what vmm_run() has returned and filled in. */
_Noreturn void guest_end(int err, const struct vmm_result *result);

#endif
