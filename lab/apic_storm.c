/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `apic`: which storms (lab/apic_volley.c) are run here, and what they have to show. */
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/metric.h"
#include "hv/host/print.h"
#include "lab/apic.h"

#define FEW 50 /* of both, below the highest rung, and where every entry is checked */

/* --- counters -------------------------------------------------------------------------------- */

/* The second call leaves the difference. */
void apic_take_counters(struct apic_vm *a, struct apic_storm *s)
{
	s->flushes = counter_named("vmx.flushes") - s->flushes;
	s->reloads = counter_named("apic.reloads") - s->reloads;
	s->retries = counter_named("apic.retries") - s->retries;
	s->stale = counter_named("apic.stale_entries") - s->stale;
	s->unflushed = counter_named("apic.unflushed_entries") - s->unflushed;
}

/* --- reports --------------------------------------------------------------------------------- */

static void report(const struct apic_config *c, const char *mode, const struct apic_storm *s)
{
	const struct metric_param p[] = {
		{ .key = "mode", .word = mode },
		{ .key = "rung", .word = vmx_apic_rung_name(c->rung) },
		{ .key = "vcpus", .value = c->vcpus },
		{ .key = "variant", .word = c->reload == RELOAD_RETRY ? "retry" : "noretry" },
		{ .key = "stall", .word = apic_stall_name[c->stall] },
		{ .key = "flush", .word = apic_flush_name[c->flush] },
		{ .key = "watched", .value = c->traced },
	};

	apic_storm_report(s, p, ARRAY_SIZE(p));
	metric_value("apic.flushes", "count", s->flushes, p, ARRAY_SIZE(p));
	metric_value("apic.storm_reloads", "count", s->reloads, p, ARRAY_SIZE(p));
	metric_value("apic.storm_retries", "count", s->retries, p, ARRAY_SIZE(p));
}

static void judge(const struct apic_config *c, const char *what, const struct apic_storm *s)
{
	apic_storm_judge(c, what, s);
	if (c->reload == RELOAD_NORETRY)
		return;
	if (c->flush == FLUSH_ZAP)
		ktap_result(s->flushes <= (s->migrations + 1) * c->vcpus,
			    "%s: a vCPU flushes at most once per migration", what);
	if (c->traced)
		ktap_result(!s->stale,
			    "%s: at every entry the address is what the page is mapped to", what);
}

static u32 highest(const struct apic_options *o)
{
	return 31 - (u32)__builtin_clz(o->rungs);
}

static void run_storm(const struct apic_options *o, u32 rung, u32 mode, bool watched)
{
	static struct apic_vm a;
	const struct apic_config c = { .vcpus = o->vcpus,
				       .rung = rung,
				       .x2apic = apic_modes[mode].x2apic,
				       .first_cpu = 1,
				       .traced = watched,
				       .reload = o->reload,
				       .stall = o->stall,
				       .flush = o->flush };
	u64 most = rung == highest(o) && !watched ? UINT64_MAX : FEW;
	struct apic_storm s = { .ipis = min_u64(o->ipis, most),
				.migrations = min_u64(o->migrations, most) };
	char what[64];

	fmt_print(what, sizeof(what), "%s, %s%s", apic_modes[mode].name, vmx_apic_rung_name(rung),
		  watched ? ", entries watched" : "");
	if (!apic_vm_run(&a, &c))
		return;
	apic_storm_run(&a, &s);
	judge(&c, what, &s);
	if (s.error)
		ktap_note("%s", errno_name(s.error));
	if (c.reload == RELOAD_RETRY)
		apic_intact(&a);
	report(&c, apic_modes[mode].name, &s);
	apic_vm_destroy(&a);
}

/* Where there is a page all rungs that have it; its modes on the best one alone. */
void apic_storms(const struct apic_options *o)
{
	u32 best = highest(o);

	if (!needs_cpus(o->vcpus + 1, "IPIs fly while another thread migrates the page"))
		return;
	for (u32 rung = VMX_APIC_ACCESS; rung < best; rung++)
		if (o->modes & BIT(0))
			run_storm(o, rung, 0, false);
	for (u32 mode = 0; mode < NR_APIC_MODES; mode++)
		if (o->modes & BIT(mode))
			run_storm(o, best, mode, false);
	if (o->modes & BIT(0) && best >= VMX_APIC_ACCESS)
		run_storm(o, best, 0, true);
}
