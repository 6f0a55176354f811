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

#define PAGES  128
#define ROUNDS 8 /* of accesses to pages that are mapped */
#define COPIES 16

static struct missing_vm m;
static u64 samples[PAGES];

/* When the VMM had a page's report, and when the page was there. */
static u64 reported[PAGES], brought[PAGES];
static u64 copy; /* ticks of copying a page */

static const char *const flag_name[NR_MISSING_WAYS] = { "none", "exit", "bitmap" };

static u64 p50(const char *name, const char *key, const char *word, const char *part)
{
	const struct metric_param p[] = { { .key = key, .word = word },
					  { .key = "part", .word = part } };

	metric_samples(name, "ticks", samples, PAGES, p, part ? 2 : 1);
	return samples[(PAGES - 1) / 2];
}

static void bring_timed(struct missing_vcpu *v, u64 offset)
{
	reported[offset / PAGE_SIZE] = ticks_now();
	missing_bring(v->m, offset);
	brought[offset / PAGE_SIZE] = ticks_now();
}

/* By the calling thread, as a handler that does nothing else. */
static bool serve_timed(void)
{
	u64 end = ticks_now() + MISSING_SOON;
	struct fetch f;

	while (!missing_done(&m) && ticks_now() < end) {
		if (vm_next_fetch(m.vm, &f, ticks_now() + 1000))
			continue;
		m.config.fault(&m.v[0], f.offset);
		backing_put(f.backing);
	}
	return missing_finish(&m);
}

/* One access to each page. */
static bool touch_all(void)
{
	missing_begin(&m, MISSING_READ, PAGES, 0);
	return m.config.way == WAY_QUEUE && !m.config.present ? serve_timed() : missing_finish(&m);
}

static u64 since(u64 then, u32 later)
{
	return (u32)(later - (u32)then);
}

/* What each access took, as the guest measures it. */
static void take_samples(void)
{
	for (u32 i = 0; i < PAGES; i++)
		samples[i] = since(missing_sample(&m, 0, i, false), missing_sample(&m, 0, i, true));
}

/* What each of these took beyond an access to a page that is mapped, and beyond @less. */
static bool subtract(u64 less)
{
	bool ok = touch_all();

	less += since(missing_sample(&m, 0, 0, false), missing_sample(&m, 0, 0, true));
	for (u32 i = 0; i < PAGES; i++)
		samples[i] -= min_u64(samples[i], less);
	return ok;
}

static bool begin(enum missing_way way, bool present)
{
	const struct missing_config c = {
		.way = way, .vcpus = 1, .pages = PAGES, .present = present, .first_cpu = 1
	};

	return missing_run(&m, &c);
}

static void measure_copy(void)
{
	static u8 to[PAGE_SIZE], from[PAGE_SIZE];
	const struct metric_param p = { .key = "bytes", .value = PAGE_SIZE };

	for (unsigned int i = 0; i < COPIES; i++) {
		u64 start = ticks_now();

		memcpy(to, from, sizeof(to));
		samples[i] = ticks_now() - start;
	}
	metric_samples("missing.copy", "ticks", samples, COPIES, &p, 1);
	copy = samples[COPIES / 2 - 1];
}

/* --- a page that is missing ------------------------------------------------------------------ */

/* Once more, with a look at the clock in between. */
static bool break_down(enum missing_way way)
{
	const char *name = missing_way_name[way];
	u64 out, bring, in;

	m.config.fault = bring_timed;
	if (missing_take(&m, 0, PAGES * PAGE_SIZE) || !touch_all())
		return false;
	for (u32 i = 0; i < PAGES; i++)
		samples[i] = since(missing_sample(&m, 0, i, false), (u32)reported[i]);
	out = p50("missing.fault_part", "way", name, "report");
	for (u32 i = 0; i < PAGES; i++)
		samples[i] = brought[i] - reported[i];
	bring = p50("missing.fault_part", "way", name, "bring");
	for (u32 i = 0; i < PAGES; i++)
		samples[i] = since(brought[i], missing_sample(&m, 0, i, true));
	in = p50("missing.fault_part", "way", name, "rerun");
	ktap_note("%s: exit, lookup, report %llu; bringing it %llu, of which %llu copy; rerun %llu",
		  name, (unsigned long long)out, (unsigned long long)bring,
		  (unsigned long long)copy, (unsigned long long)in);
	return true;
}

static void measure_fault(enum missing_way way)
{
	const char *name = missing_way_name[way];
	bool ok;

	if (way == WAY_QUEUE && !needs_cpus(2, "queue: what a missing page costs"))
		return;
	if (!begin(way, false))
		return;
	ok = touch_all();
	if (ok) {
		take_samples();
		ok = subtract(copy);
		ktap_note("%s: a missing page takes %llu ticks beyond the copy", name,
			  (unsigned long long)p50("missing.fault", "way", name, NULL));
	}
	ok = ok && break_down(way);
	missing_begin(&m, MISSING_VERIFY, PAGES, 0);
	ok = ok && missing_finish(&m) && missing_intact(&m);
	ktap_result(ok, "%s: one page after the other is missing, and is brought", name);
	missing_destroy(&m);
}

/* --- pages that are there -------------------------------------------------------------------- */

static u64 whole_round(void)
{
	return since(missing_sample(&m, 0, 0, false), missing_sample(&m, 0, PAGES - 1, true));
}

static bool measure_present(enum missing_way way, u64 *first, u64 *steady)
{
	struct metric_param p[] = { { .key = "way", .word = flag_name[way] },
				    { .key = "touch", .word = "first" } };
	bool ok;

	*steady = 0;
	if (!begin(way, true))
		return false;
	ok = touch_all();
	*first = whole_round();
	take_samples();
	ok &= subtract(0);
	for (unsigned int i = 0; i < ROUNDS && ok; i++) {
		ok = touch_all();
		*steady += whole_round();
	}
	p50("missing.refault", "way", flag_name[way], NULL);
	metric_value("missing.present", "ticks", *first, p, 2);
	p[1].word = "again";
	metric_value("missing.present", "ticks", *steady, p, 2);
	ok &= !missing_exits(&m) && missing_intact(&m);
	missing_destroy(&m);
	return ok;
}

/* What a flag may cost where nothing is missing, in percent: the bit of each page is looked at. */
static const u8 first_more[NR_MISSING_WAYS] = { [WAY_EXIT] = 1, [WAY_BITMAP] = 5 };
#define STEADY_MORE 1

static bool within(u64 a, u64 b, u32 percent)
{
	return a * 100 <= b * (100 + percent);
}

static void compare_present(const struct missing_options *o)
{
	u64 first[NR_MISSING_WAYS], steady[NR_MISSING_WAYS];
	bool ok = measure_present(WAY_QUEUE, &first[0], &steady[0]);

	ktap_note("mapping a page that is there takes %llu ticks; a bare handler in C 51 on Bochs",
		  (unsigned long long)samples[(PAGES - 1) / 2]);
	for (enum missing_way way = WAY_EXIT; way < NR_MISSING_WAYS && ok; way++) {
		u32 more = first_more[way];

		if (!(o->ways & BIT(way)))
			continue;
		ok = measure_present(way, &first[way], &steady[way]);
		/* Where ticks count instructions. */
		if (machine_kind() != MACHINE_BOCHS || run_options.chaos)
			continue;
		ktap_result(ok && within(first[way], first[0], more),
			    "%s: the first touch of a page that is there costs at most %u %% more "
			    "than without the flag",
			    flag_name[way], more);
		ktap_result(ok && within(steady[way], steady[0], STEADY_MORE),
			    "%s: and later ones at most %u %%", flag_name[way], STEADY_MORE);
	}
	if (!ok)
		ktap_result(false, "pages that are there are touched");
}

void missing_fault(const struct missing_options *o)
{
	measure_copy();
	for (enum missing_way way = 0; way < NR_MISSING_WAYS; way++)
		if (o->ways & BIT(way))
			measure_fault(way);
	compare_present(o);
}
