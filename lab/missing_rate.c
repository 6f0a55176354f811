/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `missing`: demand paging, in the shape of KVM's demand_paging_test. Every vCPU, each
 * on a CPU of its own, touches one page after the other, all of them missing. How many come a
 * million ticks, and how does that grow with the number of vCPUs?
 *
 * CPU 0 has the handler of WAY_QUEUE; in the other ways it does nothing. Afterwards the guests
 * compare every byte of their pages.
 */
#include "hv/host/metric.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "lab/missing.h"

/* As posted, pages a millisecond on a machine with 256 CPUs, for 1, 2, 4, ... 256 vCPUs. */
static const u16 posted[2][9] = {
	{ 150, 191, 210, 155, 130, 108, 86, 62, 36 },
	{ 340, 477, 809, 1239, 1595, 2299, 3482, 4134, 4012 },
};

enum region { PRIVATE, OVERLAPPING };

struct shape {
	enum missing_way way;
	u32 vcpus, pages; /* per vCPU */
	enum region region;
	u32 job;
};

static struct missing_vm m;

/* --- one run --------------------------------------------------------------------------------- */

/* From the first access of all to the last. */
static u64 ticks_of(const struct shape *s)
{
	u32 zero = missing_sample(&m, 0, 0, false);
	s32 first = 0, last = 0;

	for (u32 i = 0; i < s->vcpus; i++) {
		s32 from = (s32)(missing_sample(&m, i, 0, false) - zero);
		s32 to = (s32)(missing_sample(&m, i, s->pages - 1, true) - zero);

		first = from < first ? from : first;
		last = to > last ? to : last;
	}
	return (u64)(last - first);
}

/* False: something is wrong. @pages: per million ticks. @left: missing_left(). */
static bool run_shape(const struct shape *s, u64 *pages, u64 *left)
{
	u32 apart = s->region == PRIVATE ? s->pages : 0;
	const struct missing_config c = { .way = s->way,
					  .vcpus = s->vcpus,
					  .pages = apart ? s->pages * s->vcpus : s->pages,
					  .first_cpu = 1,
					  .fault = s->way == WAY_QUEUE ? missing_queue_fault
								       : NULL };
	u64 ticks = 0;
	bool ok;

	*pages = *left = 0;
	if (!missing_run(&m, &c))
		return false;
	missing_begin(&m, s->job, s->pages, apart);
	ok = missing_finish(&m);
	*left = missing_left(&m);
	if (ok) {
		ticks = ticks_of(s);
		if (s->way == WAY_QUEUE && s->region == PRIVATE && s->job == MISSING_WRITE)
			missing_queue_report(&m, s->pages);
	}
	missing_begin(&m, MISSING_VERIFY, s->pages, apart);
	ok = ok && missing_finish(&m) && missing_intact(&m);
	missing_destroy(&m);
	if (ok && ticks)
		*pages = 1000000ull * s->vcpus * s->pages / ticks;
	return ok;
}

/* --- all of them ----------------------------------------------------------------------------- */

static const char *const region_name[] = { [PRIVATE] = "private", [OVERLAPPING] = "overlapping" };
static const char *const job_name[] = { [MISSING_READ] = "read", [MISSING_WRITE] = "write" };

static u64 rate[NR_MISSING_WAYS][MISSING_MAX_VCPUS + 1];

static u64 percent(u64 of, u64 one)
{
	return one ? 100 * of / one : 0;
}

static void report(const struct shape *s, u64 pages, u64 left)
{
	const struct metric_param p[] = {
		{ .key = "way", .word = missing_way_name[s->way] },
		{ .key = "vcpus", .value = s->vcpus },
		{ .key = "region", .word = region_name[s->region] },
		{ .key = "access", .word = job_name[s->job] },
	};

	metric_value("missing.rate", "count", pages, p, ARRAY_SIZE(p));
	missing_report_left("missing.rate", left, (u64)s->vcpus * s->pages, p, ARRAY_SIZE(p));
	/* What each vCPU gets, in percent of what one alone gets. */
	if (rate[s->way][1])
		metric_value("missing.per_vcpu", "count",
			     percent(pages / s->vcpus, rate[s->way][1]), p, ARRAY_SIZE(p));
}

/* Rates beside the posted ones, and each as what it is of the first, in percent. */
static void print_curves(const struct missing_options *o, enum region region, u32 job, u32 least,
			 u32 most)
{
	ktap_note("%s regions, %s: pages per million ticks (in %% of what 1 vCPU gets)",
		  region_name[region], job_name[job]);
	for (u32 n = least; n <= most; n++) {
		char line[80] = "";
		int len = 0;

		for (enum missing_way way = 0; way < NR_MISSING_WAYS; way++)
			if (o->ways & BIT(way))
				len += fmt_print(
					line + len, sizeof(line) - (size_t)len,
					"  %s %5llu (%4llu)", missing_way_name[way],
					(unsigned long long)rate[way][n],
					(unsigned long long)percent(rate[way][n], rate[way][1]));
		ktap_note("%3u vCPUs:%s", n, line + 1);
	}
}

static void print_posted(void)
{
	ktap_note("posted for KVM, on 256 CPUs: pages per ms");
	for (unsigned int i = 0; i < ARRAY_SIZE(posted[0]); i++)
		ktap_note("%3u vCPUs: queue %5u (%4u)  exit %5u (%4u)", 1u << i, posted[0][i],
			  100u * posted[0][i] / posted[0][0], posted[1][i],
			  100u * posted[1][i] / posted[1][0]);
}

static void scale(const struct missing_options *o, enum region region, u32 job)
{
	u32 most = o->vcpus ? o->vcpus : (u32)min_u64(nr_cpus - 1, MISSING_MAX_VCPUS);
	u32 least = o->vcpus ? o->vcpus : 1;
	bool ok = true;

	memset(rate, 0, sizeof(rate));
	for (enum missing_way way = 0; way < NR_MISSING_WAYS; way++)
		for (u32 n = least; n <= most && o->ways & BIT(way); n++) {
			const struct shape s = { way, n, o->pages, region, job };
			u64 left;

			ok &= run_shape(&s, &rate[way][n], &left);
			report(&s, rate[way][n], left);
		}
	ktap_result(ok, "%s regions, %s: every page comes to every vCPU, with every byte",
		    region_name[region], job_name[job]);
	print_curves(o, region, job, least, most);
}

void missing_rate(const struct missing_options *o)
{
	if (!needs_cpus(max_u64(o->vcpus, 1) + 1, "demand paging by vCPUs with a CPU each"))
		return;
	for (enum region region = PRIVATE; region <= OVERLAPPING; region++)
		for (u32 i = 0; i < 2; i++)
			if (o->regions & BIT(region) && o->access & BIT(i))
				scale(o, region, i ? MISSING_READ : MISSING_WRITE);
	print_posted();
}
