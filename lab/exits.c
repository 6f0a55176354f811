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
#include "lab/experiment.h"
#include "lab/tiny.h"
#include "lab/vmm.h"

#include "hv/host/print.h"

#define MAX_SAMPLES   1024
#define COUNTED_EXITS 64
#define MAX_ACCESSES  4 /* VMREADs and VMWRITEs on the CPUID path */

static const struct param_spec exits_spec[] = {
	PARAM_U64("n", 16, 65536, 1600, "executions of each kind of exit"),
	PARAM_U64("batches", 1, MAX_SAMPLES, 100, "batches of 16 CPUIDs for the floor"),
};

static u64 samples[MAX_SAMPLES];

static void metric_now(const char *name, unsigned int n)
{
	const struct metric_param p = { .key = "cpus", .value = nr_cpus };

	metric_samples(name, "ticks", samples, n, &p, 1);
}

/* Fetch what tiny_cpuid has stored. */
static int read_samples(struct tiny *t, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		u32 v;
		int err = vm_read(t->vm, TINY_SAMPLES + i * sizeof(v), &v, sizeof(v));

		if (err)
			return err;
		samples[i] = v;
	}
	return 0;
}

/* The loop through the ordinary run loop, to compare with the floor like for like. */
static void measure_path(unsigned int batches)
{
	struct tiny t;
	int err = tiny_create(&t, TINY_CPUID, batches);

	if (!err)
		err = vcpu_run(t.vcpu);
	ktap_result(!err && t.vcpu->run.reason == RUN_EXIT_HLT,
		    "the CPUID loop ends in HLT with nothing left to wake it");
	if (!err && !read_samples(&t, batches))
		metric_now("exits.cpuid_loop", batches);
	tiny_destroy(&t);
}

/* The shortest VMM: it answers every IN at once. */
static int answer_ports(struct vcpu *vcpu)
{
	int err;

	while (!(err = vcpu_run(vcpu)) && vcpu->run.reason == RUN_EXIT_IO)
		vcpu->run.io.data = 0;
	return err;
}

static void measure_vmm(unsigned int batches)
{
	struct tiny t;
	int err = tiny_create(&t, TINY_IN, batches);

	if (!err)
		err = answer_ports(t.vcpu);
	ktap_result(!err && t.vcpu->run.reason == RUN_EXIT_HLT,
		    "the VMM answers every IN of the loop");
	if (!err && !read_samples(&t, batches))
		metric_now("exits.pio_vmm", batches);
	tiny_destroy(&t);
}

static void measure_floor(unsigned int batches)
{
	static const u32 answer[4] = { 1, 2, 3, 4 };
	struct tiny t;
	int err = tiny_create(&t, TINY_CPUID, batches);
	u32 reason = VM_EXIT_OTHER;

	if (!err)
		err = vcpu_run_floor(t.vcpu, answer, &reason);
	ktap_result(!err && reason == VM_EXIT_HLT, "the floor answers every CPUID of the loop");
	if (!err && !read_samples(&t, batches))
		metric_now("exits.floor", batches);
	tiny_destroy(&t);
}

static void count_path(void)
{
	struct vmx_path_count c;
	u64 accesses, instructions;
	struct tiny t;
	int err = tiny_create(&t, TINY_CPUID, COUNTED_EXITS / 16);

	if (!err)
		err = vcpu_run_counted(t.vcpu, &c);
	ktap_result(!err && c.instructions, "the path from exit to entry can be single-stepped");
	tiny_destroy(&t);
	if (err)
		return;
	/* The last exit is HLT and the first entry sets up: rounding down leaves the common path.
	 */
	accesses = (c.vmreads + c.vmwrites) / COUNTED_EXITS;
	instructions = c.instructions / COUNTED_EXITS;
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

static void measure_kinds(u64 n)
{
	struct vmm_config config;
	struct vmm_result result;
	char append[64];
	int err;

	fmt_print(append, sizeof(append), "n=%llu", (unsigned long long)n);
	err = vmm_embedded(&config, "exits", append);
	if (!err)
		err = vmm_run(&config, &result);
	ktap_result(!err && !result.status, "the guest checks every kind of exit");
	if (err || result.status)
		ktap_note("%s (status %d)", err ? errno_name(err) : result.why,
			  err ? err : result.status);
}

static void run_exits(const struct param_values *params)
{
	unsigned int batches = (unsigned int)param_number(params, "batches");

	measure_kinds(param_number(params, "n"));
	measure_path(batches);
	measure_vmm(batches);
	measure_floor(batches);
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
