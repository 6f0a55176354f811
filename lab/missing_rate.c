/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `missing`: demand paging, in the shape of KVM's demand_paging_test. Every vCPU, each
 * on a CPU of its own, touches one page after the other, all of them missing. How many come a
 * million ticks, and how does that grow with the number of vCPUs?
 *
 * CPU 0 has the handler of WAY_QUEUE; in the other ways it does nothing. Afterwards the guests
 * compare every byte of their pages.
 */
#include "hv/host/errno.h"
#include "hv/host/metric.h"
#include "hv/host/string.h"
#include "hv/host/trace.h"
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

/* --- the queue, by the thread that serves it ------------------------------------------------- */

/* Where a page spends its time. */
enum part {
	TO_SLEEP, /* from the access until its vCPU's thread goes to sleep */
	QUEUED,	  /* from then until the handler has it */
	BROUGHT,  /* until it is there */
	WOKEN,	  /* until the guest has made its access */
	NR_PARTS,
};

static const char *const part_name[NR_PARTS] = { "sleep", "queue", "bring", "wake" };

static struct {
	u64 asleep, got, there; /* when */
} page[MISSING_MAX_PAGES];

static u64 samples[NR_PARTS][MISSING_MAX_PAGES];

static void bring_timed(struct missing_vcpu *v, u64 offset)
{
	u64 i = offset / PAGE_SIZE;

	page[i].got = ticks_now();
	missing_bring(v->m, offset);
	page[i].there = ticks_now();
}

/* The runs of all vCPUs are over: their CPUs record nothing any more. */
static void find_sleeps(void)
{
	static struct trace_event events[TRACE_EVENTS];

	for (u32 cpu = 1; cpu <= m.config.vcpus; cpu++) {
		unsigned int n = trace_last(cpu, events, TRACE_EVENTS);

		for (unsigned int i = 0; i < n; i++)
			if (!strcmp(events[i].name, "vcpu: fetch"))
				page[events[i].b / PAGE_SIZE].asleep = events[i].tsc;
	}
}

static u32 sample_of(const struct shape *s, u32 i, bool after)
{
	return missing_sample(&m, i / s->pages, i % s->pages, after);
}

/* How many accesses are under way when the handler takes page @i, that one included. */
static u64 queue_length(const struct shape *s, u64 i)
{
	u32 got = (u32)page[i].got;
	u64 n = 0;

	for (u32 v = 0; v < s->vcpus; v++) {
		u32 k = 0;

		while (k < s->pages && (s32)(missing_sample(&m, v, k, true) - got) <= 0)
			k++;
		n += k < s->pages && (s32)(missing_sample(&m, v, k, false) - got) < 0;
	}
	return n;
}

static void break_down(const struct shape *s)
{
	struct missing_params what = { .vcpus = s->vcpus };
	u64 median[NR_PARTS], length;
	u32 n = s->vcpus * s->pages;

	find_sleeps();
	for (u32 i = 0; i < n; i++) {
		samples[TO_SLEEP][i] = (u32)page[i].asleep - sample_of(s, i, false);
		samples[QUEUED][i] = page[i].got - page[i].asleep;
		samples[BROUGHT][i] = page[i].there - page[i].got;
		samples[WOKEN][i] = sample_of(s, i, true) - (u32)page[i].there;
	}
	for (enum part part = 0; part < NR_PARTS; part++) {
		what.part = part_name[part];
		median[part] = missing_metric("missing.queue", "ticks", samples[part], n, &what);
	}
	for (u32 i = 0; i < n; i++)
		samples[0][i] = queue_length(s, i);
	what.part = NULL;
	length = missing_metric("missing.queue_length", "count", samples[0], n, &what);
	ktap_note(
		"queue, %u vCPUs: a page takes %llu ticks to the queue, %llu in it, %llu with "
		"the handler, %llu until the guest goes on; the queue has %llu",
		s->vcpus, (unsigned long long)median[TO_SLEEP], (unsigned long long)median[QUEUED],
		(unsigned long long)median[BROUGHT], (unsigned long long)median[WOKEN],
		(unsigned long long)length);
}

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

/* Returns pages per million ticks; 0: something is wrong. */
static u64 run_shape(const struct shape *s)
{
	u32 apart = s->region == PRIVATE ? s->pages : 0;
	const struct missing_config c = { .way = s->way,
					  .vcpus = s->vcpus,
					  .pages = apart ? s->pages * s->vcpus : s->pages,
					  .first_cpu = 1,
					  .fault = s->way == WAY_QUEUE ? bring_timed : NULL };
	u64 ticks = 0;
	bool ok;

	if (!missing_run(&m, &c))
		return 0;
	missing_begin(&m, s->job, s->pages, apart);
	ok = missing_finish(&m);
	if (ok) {
		ticks = ticks_of(s);
		if (s->way == WAY_QUEUE && s->region == PRIVATE && s->job == MISSING_WRITE)
			break_down(s);
	}
	missing_begin(&m, MISSING_VERIFY, s->pages, apart);
	ok = ok && missing_finish(&m) && missing_intact(&m);
	missing_destroy(&m);
	return ok && ticks ? 1000000ull * s->vcpus * s->pages / ticks : 0;
}

/* --- all of them ----------------------------------------------------------------------------- */

static const char *const region_name[] = { [PRIVATE] = "private", [OVERLAPPING] = "overlapping" };
static const char *const job_name[] = { [MISSING_READ] = "read", [MISSING_WRITE] = "write" };

static u64 rate[NR_MISSING_WAYS][MISSING_MAX_VCPUS + 1];

static u64 percent(u64 of, u64 one)
{
	return one ? 100 * of / one : 0;
}

static void report(const struct shape *s, u64 pages)
{
	const struct metric_param p[] = {
		{ .key = "way", .word = missing_way_name[s->way] },
		{ .key = "vcpus", .value = s->vcpus },
		{ .key = "region", .word = region_name[s->region] },
		{ .key = "access", .word = job_name[s->job] },
	};
	metric_value("missing.rate", "count", pages, p, ARRAY_SIZE(p));
	/* What each vCPU gets, in percent of what one alone gets. */
	if (rate[s->way][1])
		metric_value("missing.per_vcpu", "count",
			     percent(pages / s->vcpus, rate[s->way][1]), p, ARRAY_SIZE(p));
}

/* Rates beside the posted ones, and each as what it is of the first, in percent. */
static void print_curves(enum region region, u32 job, u32 least, u32 most)
{
	ktap_note("%s regions, %s: pages per million ticks (in %% of what 1 vCPU gets)",
		  region_name[region], job_name[job]);
	for (u32 n = least; n <= most; n++) {
		u64 r[NR_MISSING_WAYS], p[NR_MISSING_WAYS];

		for (enum missing_way way = 0; way < NR_MISSING_WAYS; way++) {
			r[way] = rate[way][n];
			p[way] = percent(r[way], rate[way][1]);
		}
		ktap_note(
			"%3u vCPUs: queue %5llu (%4llu)  exit %5llu (%4llu)  bitmap %5llu (%4llu)",
			n, (unsigned long long)r[0], (unsigned long long)p[0],
			(unsigned long long)r[1], (unsigned long long)p[1],
			(unsigned long long)r[2], (unsigned long long)p[2]);
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

			rate[way][n] = run_shape(&s);
			ok &= rate[way][n] > 0;
			report(&s, rate[way][n]);
		}
	ktap_result(ok, "%s regions, %s: every page comes to every vCPU, with every byte",
		    region_name[region], job_name[job]);
	print_curves(region, job, least, most);
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
