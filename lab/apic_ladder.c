/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `apic`: what each rung of the ladder costs, in either mode.
 *
 * apic.ipi is measured as kvm-unit-tests' `vmexit ipi` does it: from before the sender writes the
 * ICR until it sees in memory that the target's handler has run, again and again, so that the
 * target's EOI is part of it. With handler=levels the handler does more with its APIC, see
 * lab/apic_box.h: then every rung shows. apic.op is one kind of access by itself.
 */
#include "hv/host/counter.h"
#include "hv/host/machine.h"
#include "hv/host/metric.h"
#include "hv/host/print.h"
#include "lab/apic.h"

#define TOLERANCE 10 /* ticks: vCPUs on several CPUs meet a little differently each time */

static struct {
	u64 p50[2][APIC_ROWS][NR_VMX_APIC_RUNGS];
	u64 exits[2][APIC_ROWS][NR_VMX_APIC_RUNGS]; /* because of the APIC, in all samples */
} ladder;

static struct apic_vm a;
static u64 samples[APIC_ROW_SAMPLES];

/* Exits that accesses to a local APIC, or its interrupts, have caused so far. */
static u64 apic_exits(void)
{
	static const char *const counters[] = {
		"apic.access_exits", "apic.write_exits", "apic.eoi_exits", "apic.tpr_exits",
		"apic.mmio_exits",   "apic.msr_exits",	 "apic.cr8_exits",
	};
	u64 sum = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(counters); i++)
		sum += counter_named(counters[i]);
	return sum;
}

static bool measure(const struct apic_row *r, u32 rung, bool x2apic)
{
	struct metric_param p[APIC_ROW_PARAMS + 1];
	u64 before = apic_exits();
	unsigned int n;

	if (!apic_row_run(&a, r, samples))
		return false;
	ladder.exits[x2apic][r - apic_rows][rung] = apic_exits() - before;
	n = apic_row_report(r, rung, x2apic, samples, p);
	p[n++] = (struct metric_param){ .key = "of", .value = apic_row_ops(r) };
	metric_value("apic.exits", "count", ladder.exits[x2apic][r - apic_rows][rung], p, n);
	ladder.p50[x2apic][r - apic_rows][rung] = samples[APIC_ROW_SAMPLES / 2 - 1];
	return true;
}

static void climb(u32 rung, bool x2apic)
{
	const struct apic_config c = { .vcpus = 2,
				       .rung = rung,
				       .x2apic = x2apic ? ALL_X2APIC : 0 };
	bool ok = true;

	if (!apic_vm_run(&a, &c))
		return;
	for (unsigned int i = 0; i < APIC_ROWS && ok; i++)
		ok = measure(&apic_rows[i], rung, x2apic);
	ktap_result(ok && apic_intact(&a), "IPIs and register accesses work: %s, %s",
		    vmx_apic_rung_name(rung), apic_modes[x2apic].name);
	apic_vm_destroy(&a);
}

/* --- the table ------------------------------------------------------------------------------- */

static void print_table(const struct apic_options *o, bool x2apic)
{
	char line[160];
	int n = 0;

	n = fmt_print(line, sizeof(line), "%-28s", apic_modes[x2apic].name);
	for (u32 rung = 0; rung < NR_VMX_APIC_RUNGS; rung++)
		if (o->rungs & BIT(rung))
			n += fmt_print(line + n, sizeof(line) - (size_t)n, "%10s",
				       vmx_apic_rung_name(rung));
	ktap_note("%s", line);
	for (unsigned int i = 0; i < APIC_ROWS; i++) {
		n = fmt_print(line, sizeof(line), "%-28s", apic_rows[i].words);
		for (u32 rung = 0; rung < NR_VMX_APIC_RUNGS; rung++)
			if (o->rungs & BIT(rung))
				n += fmt_print(line + n, sizeof(line) - (size_t)n, "%10llu",
					       (unsigned long long)ladder.p50[x2apic][i][rung]);
		ktap_note("%s", line);
	}
}

/* The ladder by the row that has a little of everything. */
static const unsigned int levels_row = 2;

static void judge_ladder(bool x2apic)
{
	const u64 *ticks = ladder.p50[x2apic][levels_row];
	u32 best = vmx_apic_best();
	bool ok = true;

	for (u32 rung = 1; rung <= best; rung++)
		ok &= ticks[rung] <= ticks[rung - 1] + TOLERANCE;
	ktap_result(ok, "no rung is slower than the one below it: %s", apic_modes[x2apic].name);
	if (best > VMX_APIC_EMULATE)
		ktap_result(ticks[best] < ticks[0],
			    "the highest rung is faster than the lowest: %s",
			    apic_modes[x2apic].name);
}

/* Rows whose accesses cost no exit on a rung, and above it. */
static void judge_exits(const struct apic_options *o, bool x2apic, u32 from, u32 jobs,
			const char *name)
{
	char why[96];
	u64 exits = 0;

	if (!(o->rungs >> from)) {
		if (vmx_apic_best() >= from)
			return; /* other rungs were asked for */
		fmt_print(why, sizeof(why), "needs \"%s\"", vmx_apic_missing(from));
		ktap_skip(why, "%s: %s", name, apic_modes[x2apic].name);
		return;
	}
	for (unsigned int i = 0; i < APIC_ROWS; i++)
		for (u32 rung = from; rung < NR_VMX_APIC_RUNGS && jobs & BIT(apic_rows[i].job);
		     rung++)
			exits += ladder.exits[x2apic][i][rung];
	ktap_result(!exits, "%s: %s", name, apic_modes[x2apic].name);
	if (exits)
		ktap_note("%llu exits", (unsigned long long)exits);
}

static void judge_all_exits(const struct apic_options *o)
{
	static const char tpr[] = "with a TPR shadow CR8 costs no exit";
	static const char reads[] = "with register virtualization reading ID and ISR costs no exit";
	static const char writes[] =
		"with virtual-interrupt delivery writing EOI and TPR costs no exit";

	for (u32 x2apic = 0; x2apic < 2; x2apic++) {
		u32 msrs = x2apic ? VMX_APIC_X2APIC : 0;

		if (!(o->modes & BIT(x2apic)))
			continue;
		judge_exits(o, x2apic, VMX_APIC_TPR, BIT(APIC_JOB_CR8), tpr);
		judge_exits(o, x2apic, (u32)max_u64(msrs, VMX_APIC_REGISTER),
			    BIT(APIC_JOB_ID) | BIT(APIC_JOB_ISR), reads);
		judge_exits(o, x2apic, (u32)max_u64(msrs, VMX_APIC_DELIVERY),
			    BIT(APIC_JOB_EOI) | BIT(APIC_JOB_TPR), writes);
	}
}

void apic_ladder(const struct apic_options *o)
{
	if (!needs_cpus(2, "IPIs from one vCPU to another, on every rung"))
		return;
	for (u32 x2apic = 0; x2apic < 2; x2apic++) {
		if (!(o->modes & BIT(x2apic)))
			continue;
		for (u32 rung = 0; rung < NR_VMX_APIC_RUNGS; rung++)
			if (o->rungs & BIT(rung))
				climb(rung, x2apic);
		print_table(o, x2apic);
		/* Where ticks count instructions. */
		if (!o->one_rung && !run_options.chaos && machine_kind() == MACHINE_BOCHS)
			judge_ladder(x2apic);
	}
	judge_all_exits(o);
}
