/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `apic` on KVM: the same guests, on the one rung that KVM uses here, while another
 * thread replaces the APIC-access page.
 *
 *   ladder  what an IPI and each kind of access cost
 *   storm   IPIs fly between vCPUs while the page is replaced
 *   check   what a replacement and a reload cost, with and without a flush in the reload; what goes
 *	     wrong without a retry
 */
#include "hv/host/metric.h"
#include "hv/host/patience.h"
#include "hv/host/print.h"
#include "linux/vmm/apic.h"

/* By how much limits are longer than where an access that must be decoded costs 2000 ticks. */
#define PATIENCE 8

static const struct param_spec apic_spec[] = {
	PARAM_U64("ipis", 1, 100000000, 400, "IPIs in a storm, of all vCPUs together"),
	PARAM_U64("migrations", 0, 100000000, 100, "replacements of the page in a storm"),
	PARAM_U64("vcpus", 0, APIC_MAX_VCPUS, 0, "in a storm; 0: one for every CPU but one"),
	PARAM_ENUM("mode", 0, "of the local APICs", "all", "xapic", "x2apic", "mixed"),
	PARAM_ENUM("variant", 0, "a storm's reloads: retried when they raced, or not", "retry",
		   "noretry"),
	PARAM_ENUM("flush", 0, "who flushes in a storm; stock KVM: both", "zap", "both"),
	PARAM_ENUM("do", 0, "which part", "all", "ladder", "storm", "check"),
};

/* --- the ladder ------------------------------------------------------------------------------- */

static struct apic_vm a;

static bool measure_row(const struct apic_row *r, bool x2apic)
{
	struct metric_param p[APIC_ROW_PARAMS + 2];
	u64 samples[APIC_ROW_SAMPLES], exits = apic_stat(&a, "exits");
	unsigned int n;

	if (!apic_row_run(&a, r, samples))
		return false;
	exits = apic_stat(&a, "exits") - exits;
	n = apic_row_report(r, a.config.rung, x2apic, samples, p);
	p[n++] = (struct metric_param){ .key = "of", .word = r->op ? "apic.op" : "apic.ipi" };
	p[n++] = (struct metric_param){ .key = "ops", .value = apic_row_ops(r) };
	metric_value("kvm.exits", "count", exits, p, n);
	ktap_note("%-28s%10llu", r->words, (unsigned long long)samples[APIC_ROW_SAMPLES / 2 - 1]);
	return true;
}

void kvm_apic_ladder(const struct apic_options *o)
{
	if (!needs_cpus(2, "IPIs from one vCPU to another"))
		return;
	for (u32 x2apic = 0; x2apic < 2; x2apic++) {
		const struct apic_config c = { .vcpus = 2,
					       .rung = apic_rung(),
					       .x2apic = apic_modes[x2apic].x2apic };
		bool ok = true;

		if (!(o->modes & BIT(x2apic)) || !apic_vm_run(&a, &c))
			continue;
		for (unsigned int i = 0; i < APIC_ROWS && ok; i++)
			ok = measure_row(&apic_rows[i], x2apic);
		ktap_result(apic_intact(&a) && ok, "IPIs and register accesses work: %s, %s",
			    vmx_apic_rung_name(c.rung), apic_modes[x2apic].name);
		apic_vm_destroy(&a);
	}
}

/* --- storms ----------------------------------------------------------------------------------- */

static void report_storm(const struct apic_config *c, const char *mode, const struct apic_storm *s)
{
	const struct metric_param p[] = {
		{ .key = "mode", .word = mode },
		{ .key = "rung", .word = vmx_apic_rung_name(c->rung) },
		{ .key = "vcpus", .value = c->vcpus },
		{ .key = "variant", .word = c->reload == RELOAD_RETRY ? "retry" : "noretry" },
		{ .key = "flush", .word = c->flush == FLUSH_ZAP ? "zap" : "both" },
		{ .key = "watched", .value = 0 },
		{ .key = "knob", .word = "break_apic_retry" }, /* the last one */
	};
	unsigned int n = ARRAY_SIZE(p) - (c->reload == RELOAD_RETRY);

	apic_storm_report(s, p, n);
	if (c->flush == FLUSH_ZAP || apic_knobs())
		metric_value("apic.flushes", "count", s->flushes, p, n);
}

static void run_storm(const struct apic_options *o, u32 mode, enum apic_reload reload)
{
	const struct apic_config c = { .vcpus = o->vcpus,
				       .rung = apic_rung(),
				       .x2apic = apic_modes[mode].x2apic,
				       .first_cpu = 1,
				       .reload = reload,
				       .flush = o->flush };
	/* Without a page there is nothing to replace. */
	struct apic_storm s = { .ipis = o->ipis,
				.migrations = c.rung < VMX_APIC_ACCESS ? 0 : o->migrations };
	char what[64];

	fmt_print(what, sizeof(what), "%s%s, %s",
		  reload == RELOAD_NORETRY ? "break_apic_retry: " : "", apic_modes[mode].name,
		  vmx_apic_rung_name(c.rung));
	if (!apic_vm_run(&a, &c))
		return;
	apic_storm_run(&a, &s);
	apic_storm_judge(&c, what, &s);
	if (reload == RELOAD_RETRY)
		apic_intact(&a);
	else
		ktap_note("%llu registers were read raw", (unsigned long long)s.raw);
	report_storm(&c, apic_modes[mode].name, &s);
	apic_vm_destroy(&a);
}

void kvm_apic_storms(const struct apic_options *o)
{
	static const char noretry[] = "break_apic_retry: reloads that are not retried";

	if (!needs_cpus(o->vcpus + 1, "IPIs fly while another thread replaces the page"))
		return;
	if (o->reload == RELOAD_NORETRY) {
		if (apic_needs_page(noretry) && apic_needs_knobs(noretry))
			run_storm(o, 0, RELOAD_NORETRY);
		return;
	}
	apic_needs_page("the page is replaced meanwhile");
	for (u32 mode = 0; mode < NR_APIC_MODES; mode++)
		if (o->modes & BIT(mode))
			run_storm(o, mode, RELOAD_RETRY);
}

/* --- the whole -------------------------------------------------------------------------------- */

static void run_apic(const struct param_values *v)
{
	enum { ALL, LADDER, STORM, CHECK } what = (int)param_number(v, "do");
	struct apic_options o;

	apic_read_options(v, &o);
	patience_factor *= PATIENCE;
	if (!apic_has_flush(o.flush))
		o.flush = FLUSH_BOTH;
	if (what == ALL || what == LADDER)
		kvm_apic_ladder(&o);
	if (what == ALL || what == STORM)
		kvm_apic_storms(&o);
	if (what == ALL || what == CHECK)
		kvm_apic_check();
	apic_switch_knobs(NULL);
	patience_factor /= PATIENCE;
}

EXPERIMENT(apic)
= {
	.name = "apic",
	.shows = "the local APIC, and the page that is replaced under its IPIs",
	.flags = EXP_NEEDS_VMX,
	.spec = apic_spec,
	.nr_spec = ARRAY_SIZE(apic_spec),
	.run = run_apic,
};
