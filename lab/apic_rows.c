/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `apic`: the operations that the ladder measures, and how. */
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "lab/apic.h"

#define SENDER 0
#define TARGET 1

const struct apic_row apic_rows[APIC_ROWS] = {
	{ APIC_JOB_IPI, NULL, "IPI, the target spins", APIC_PLAIN, false },
	{ APIC_JOB_ALONE, NULL, "IPI, the target is in HLT", APIC_PLAIN, true },
	{ APIC_JOB_IPI, NULL, "IPI, handler with levels", APIC_LEVELS, false },
	{ APIC_JOB_SELF, "self", "self-IPI", APIC_PLAIN, false },
	{ APIC_JOB_CR8, "cr8", "CR8 written and read", 0, false },
	{ APIC_JOB_TPR, "tpr", "TPR written and read", 0, false },
	{ APIC_JOB_EOI, "eoi", "EOI written", 0, false },
	{ APIC_JOB_ID, "id", "ID read", 0, false },
	{ APIC_JOB_ISR, "isr", "ISR read", 0, false },
};

u64 apic_row_ops(const struct apic_row *r)
{
	return r->job == APIC_JOB_ALONE ? APIC_ROW_SAMPLES : APIC_ROW_SAMPLES * APIC_BATCH;
}

bool apic_row_run(struct apic_vm *a, const struct apic_row *r, u64 *samples)
{
	struct apic_box *b = a->v[SENDER].box;

	atomic_store(&a->v[TARGET].box->halt, r->halted);
	atomic_store(&b->count, APIC_ROW_SAMPLES);
	atomic_store(&b->to, TARGET);
	atomic_store(&b->vector, TINY_VECTOR + r->vector);
	if (!apic_do(a, SENDER, r->job))
		return false;
	for (unsigned int i = 0; i < APIC_ROW_SAMPLES; i++)
		samples[i] = atomic_load(&b->samples[i]);
	return true;
}

unsigned int apic_row_report(const struct apic_row *r, u32 rung, bool x2apic, u64 *samples,
			     struct metric_param *p)
{
	unsigned int n = 0;

	p[n++] = (struct metric_param){ .key = "rung", .word = vmx_apic_rung_name(rung) };
	p[n++] = (struct metric_param){ .key = "mode", .word = apic_modes[x2apic].name };
	if (r->op) {
		p[n++] = (struct metric_param){ .key = "op", .word = r->op };
	} else {
		p[n++] = (struct metric_param){ .key = "target",
						.word = r->halted ? "hlt" : "spin" };
		p[n++] = (struct metric_param){ .key = "handler",
						.word = r->vector ? "levels" : "plain" };
	}
	p[n++] = (struct metric_param){ .key = "cpus", .value = nr_cpus };
	metric_samples(r->op ? "apic.op" : "apic.ipi", "ticks", samples, APIC_ROW_SAMPLES, p, n);
	return n;
}
