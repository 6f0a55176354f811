/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `missing`: what one missing page costs, seen by the guest, and where the time goes;
 * and what pages that are there pay for it.
 */
#include "hv/host/errno.h"
#include "hv/host/machine.h"
#include "hv/host/metric.h"
#include "hv/host/string.h"
#include "lab/missing.h"

#define PAGES  128 /* less than 2 MiB: every page is mapped by itself */
#define LARGE  512 /* one translation for all */
#define ROUNDS 8
#define COPIES 16
#define MORE   1 /* what a flag may cost where nothing is missing, in percent */

static struct missing_vm m;
static u64 samples[PAGES];

/* When the VMM had a page's report, and when the page was there. */
static u64 reported[PAGES], brought[PAGES];
static u64 copy; /* ticks of copying a page */

static void bring_timed(struct missing_vcpu *v, u64 offset)
{
	reported[offset / PAGE_SIZE] = ticks_now();
	missing_bring(v->m, offset);
	brought[offset / PAGE_SIZE] = ticks_now();
}

static bool begin(enum missing_way way, bool present, u32 pages)
{
	const struct missing_config c = {
		.way = way, .vcpus = 1, .pages = pages, .present = present, .first_cpu = 1
	};

	return missing_run(&m, &c);
}

/* One access to each page. */
static bool touch_all(void)
{
	missing_begin(&m, MISSING_READ, m.config.pages, 0);
	return missing_finish(&m);
}

static u64 since(u64 then, u32 later)
{
	return (u32)(later - (u32)then);
}

/* What the accesses from page @i to page @j took, as the guest measures it. */
static u64 between(u32 i, u32 j)
{
	return since(missing_sample(&m, 0, i, false), missing_sample(&m, 0, j, true));
}

/* What each takes that is the first one, beyond one to a page that is mapped, and beyond @less. */
static bool first_touches(u64 less)
{
	bool ok = touch_all();

	for (u32 i = 0; i < PAGES; i++)
		samples[i] = between(i, i);
	ok = ok && touch_all();
	less += between(0, 0);
	for (u32 i = 0; i < PAGES; i++)
		samples[i] -= min_u64(samples[i], less);
	return ok;
}

static u64 median(const char *name, u64 *ticks, const char *way, const char *part)
{
	return missing_metric(name, "ticks", ticks, PAGES,
			      &(struct missing_params){ .way = way, .part = part });
}

static void measure_copy(void)
{
	static u8 to[PAGE_SIZE], from[PAGE_SIZE];

	for (unsigned int i = 0; i < COPIES; i++) {
		u64 start = ticks_now();

		memcpy(to, from, sizeof(to));
		samples[i] = ticks_now() - start;
	}
	copy = missing_metric("missing.copy", "ticks", samples, COPIES, &(struct missing_params){});
}

/* --- a page that is missing ------------------------------------------------------------------ */

/* Once more, with a look at the clock in between. */
static bool break_down(const char *way)
{
	static const char *const name[3] = { "report", "bring", "rerun" };
	static u64 part[3][PAGES];
	u64 p50[3];

	m.config.fault = bring_timed;
	if (missing_take(&m, 0, m.size) || !touch_all())
		return false;
	for (u32 i = 0; i < PAGES; i++) {
		part[0][i] = since(missing_sample(&m, 0, i, false), (u32)reported[i]);
		part[1][i] = brought[i] - reported[i];
		part[2][i] = since(brought[i], missing_sample(&m, 0, i, true));
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(part); i++)
		p50[i] = median("missing.fault_part", part[i], way, name[i]);
	ktap_note("%s: exit, lookup, report %llu; bringing it %llu, of which %llu copy; rerun %llu",
		  way, (unsigned long long)p50[0], (unsigned long long)p50[1],
		  (unsigned long long)copy, (unsigned long long)p50[2]);
	return true;
}

static void measure_fault(enum missing_way way)
{
	const char *name = missing_way_name[way];
	const struct metric_param p = { .key = "way", .word = name };
	u64 left;
	bool ok;

	if (way == WAY_QUEUE && !needs_cpus(2, "queue: what a missing page costs"))
		return;
	if (!begin(way, false, PAGES))
		return;
	left = missing_left(&m);
	ok = first_touches(copy);
	left = missing_left(&m) - left;
	ktap_note("%s: a missing page takes %llu ticks beyond the copy", name,
		  (unsigned long long)median("missing.fault", samples, name, NULL));
	missing_report_left("missing.fault", left, PAGES, &p, 1);
	ok = ok && break_down(name);
	missing_begin(&m, MISSING_VERIFY, PAGES, 0);
	ok = ok && missing_finish(&m) && missing_intact(&m);
	ktap_result(ok, "%s: one page after the other is missing, and is brought", name);
	missing_destroy(&m);
}

/* --- pages that are there -------------------------------------------------------------------- */

static const char *flag_name(enum missing_way way)
{
	return way == WAY_QUEUE ? "none" : missing_way_name[way];
}

/* Returns the ticks of touching all pages again and again, the first time included; 0: failed. */
static u64 measure_present(enum missing_way way)
{
	const struct metric_param p = { .key = "way", .word = flag_name(way) };
	u64 ticks = 0, refault;
	bool ok;

	if (!begin(way, true, PAGES))
		return 0;
	ok = first_touches(0);
	refault = median("missing.refault", samples, p.word, NULL);
	missing_destroy(&m);
	if (!ok || !begin(way, true, LARGE))
		return 0;
	for (unsigned int i = 0; i <= ROUNDS && ok; i++) {
		ok = touch_all();
		ticks += between(0, LARGE - 1);
	}
	metric_value("missing.present", "ticks", ticks, &p, 1);
	ok &= !missing_exits(&m) && missing_intact(&m);
	missing_destroy(&m);
	ktap_note("flag %s: mapping a page that is there takes %llu ticks", p.word,
		  (unsigned long long)refault);
	return ok ? ticks : 0;
}

static void compare_present(const struct missing_options *o)
{
	u64 without = measure_present(WAY_QUEUE), with;

	for (enum missing_way way = WAY_EXIT; way < NR_MISSING_WAYS; way++) {
		if (!(o->ways & BIT(way)))
			continue;
		with = measure_present(way);
		/* Where ticks count instructions, and the vCPU has a CPU for itself. */
		if (machine_kind() != MACHINE_BOCHS || run_options.chaos || nr_cpus < 2)
			ktap_result(with, "%s: pages that are there are no exits", flag_name(way));
		else
			ktap_result(with && with * 100 <= without * (100 + MORE),
				    "%s: pages that are there cost at most %u %% more than without "
				    "the flag",
				    flag_name(way), MORE);
	}
}

void missing_fault(const struct missing_options *o)
{
	measure_copy();
	for (enum missing_way way = 0; way < NR_MISSING_WAYS; way++)
		if (o->ways & BIT(way))
			measure_fault(way);
	compare_present(o);
}
