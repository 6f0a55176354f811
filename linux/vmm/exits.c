/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `exits` on KVM: the same guests measure the same kinds of exit. The floor and the
 * count of instructions on the path are the image's own: there is no way to ask KVM for them.
 *
 * exits.cpuid_loop is answered by the kernel, exits.pio_vmm by this program: one KVM_RUN each.
 */
#include "lab/exits.h"

#include "hv/host/metric.h"
#include "lab/experiment.h"
#include "linux/vmm/vmm.h"

#define OPS_PER_BATCH 16

static const struct param_spec exits_spec[] = {
	PARAM_U64("n", 16, 65536, 1600, "executions of each kind of exit"),
	PARAM_U64("batches", 1, EXITS_MAX_SAMPLES, 100, "batches of 16 exits for the loops"),
};

static u64 loop_exits; /* of the guest that ran last, by the kernel's count */

static int run_counted(struct vcpu *vcpu)
{
	int err = exits_run_to_halt(vcpu);

	loop_exits = vcpu_stat(vcpu, "exits");
	return err;
}

static void run_loop(struct tiny_code code, unsigned int batches, const char *metric,
		     const char *what)
{
	const struct metric_param p[] = {
		{ .key = "of", .word = metric },
		{ .key = "ops", .value = batches * OPS_PER_BATCH },
	};

	loop_exits = 0;
	exits_loop(code, run_counted, batches, metric, what);
	metric_value("kvm.exits", "count", loop_exits, p, ARRAY_SIZE(p));
}

static void run_exits(const struct param_values *params)
{
	unsigned int batches = (unsigned int)param_number(params, "batches");
	bool lapics;

	exits_kinds(param_number(params, "n"));
	lapics = vm_default_lapics(false); /* HLT is to be seen here */
	run_loop(TINY_CPUID, batches, "exits.cpuid_loop",
		 "the CPUID loop ends in HLT with nothing left to wake it");
	run_loop(TINY_IN, batches, "exits.pio_vmm", "the VMM answers every IN of the loop");
	vm_default_lapics(lapics);
}

EXPERIMENT(exits)
= {
	.name = "exits",
	.shows = "what each kind of VM exit costs",
	.flags = EXP_NEEDS_VMX,
	.spec = exits_spec,
	.nr_spec = ARRAY_SIZE(exits_spec),
	.run = run_exits,
};
