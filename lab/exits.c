/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `exits`: what a VM exit costs, seen by the guest.
 *
 * The embedded guest "exits" measures every kind. Beside it runs the floor: the same CPUID loop
 * answered by the smallest possible handler in C, and the count of instructions, VMREADs and
 * VMWRITEs that the real path executes.
 */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/mem.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/thread.h"
#include "lab/exits.h"
#include "lab/experiment.h"

#define COUNTED_BATCHES 4
#define MAX_ACCESSES	4 /* VMREADs and VMWRITEs on the CPUID path */

static const struct param_spec exits_spec[] = {
	PARAM_U64("n", 16, 65536, 1600, "executions of each kind of exit"),
	PARAM_U64("batches", 1, EXITS_MAX_SAMPLES, 100, "batches of 16 CPUIDs for the floor"),
};

static int run_floor_to_halt(struct vcpu *vcpu)
{
	static const u32 answer[4] = { 1, 2, 3, 4 };
	u32 reason;
	int err = vcpu_run_floor(vcpu, answer, &reason);

	if (err || reason == VM_EXIT_HLT)
		return err;
	ktap_note("the floor met exit %u instead of HLT", reason);
	return -EIO;
}

/* The instructions between exit and entry while the guest executes @batches of 16 CPUIDs. */
static int count_batches(unsigned int batches, struct vmx_path_count *c)
{
	struct tiny t;
	int err = tiny_create(&t, TINY_CPUID, batches);

	if (!err)
		err = vcpu_run_counted(t.vcpu, c);
	tiny_destroy(&t);
	return err;
}

/* Two runs of different length: what is not the path of one more CPUID cancels out. */
static void count_path(void)
{
	struct vmx_path_count few, many;
	u64 accesses, instructions;
	int err = count_batches(1, &few);

	if (!err)
		err = count_batches(1 + COUNTED_BATCHES, &many);
	ktap_result(!err && few.instructions, "the path from exit to entry can be single-stepped");
	if (err)
		return;
	accesses = many.vmreads + many.vmwrites - few.vmreads - few.vmwrites;
	accesses /= COUNTED_BATCHES * 16;
	instructions = (many.instructions - few.instructions) / (COUNTED_BATCHES * 16);
	ktap_result(accesses <= MAX_ACCESSES, "a CPUID exit takes at most %u VMREADs and VMWRITEs",
		    MAX_ACCESSES);
	metric_value("exits.cpuid_vmcs_accesses", "count", accesses, NULL, 0);
	metric_value("exits.cpuid_instructions", "count", instructions, NULL, 0);
}

/* What one more vCPU takes: its structures and its thread's stack. */
static void measure_memory(void)
{
	u64 before = page_nr_used(), with_one, with_two;
	struct tiny t;
	struct vcpu *second;

	if (tiny_create(&t, TINY_SPIN, 0))
		return;
	with_one = page_nr_used();
	if (!vcpu_create(&second, t.vm)) {
		with_two = page_nr_used();
		metric_value("mem.vcpu", "bytes",
			     (with_two - with_one) * PAGE_SIZE + THREAD_STACK_SIZE, NULL, 0);
	}
	tiny_destroy(&t);
	ktap_expect_eq(page_nr_used(), before, "destroying a VM frees every page of it");
}

static void run_exits(const struct param_values *params)
{
	unsigned int batches = (unsigned int)param_number(params, "batches");

	exits_kinds(param_number(params, "n"));
	exits_loop(TINY_CPUID, exits_run_to_halt, batches, "exits.cpuid_loop",
		   "the CPUID loop ends in HLT with nothing left to wake it");
	exits_loop(TINY_IN, exits_run_to_halt, batches, "exits.pio_vmm",
		   "the VMM answers every IN of the loop");
	exits_loop(TINY_CPUID, run_floor_to_halt, batches, "exits.floor",
		   "the floor answers every CPUID of the loop");
	count_path();
	measure_memory();
}

EXPERIMENT(exits)
= {
	.name = "exits",
	.shows = "what each kind of VM exit costs, beside the floor and the count of VMCS accesses",
	.flags = EXP_NEEDS_VMX,
	.spec = exits_spec,
	.nr_spec = ARRAY_SIZE(exits_spec),
	.run = run_exits,
};
