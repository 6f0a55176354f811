/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `missing`: where a page spends its time when the queue brings it, from the access to
 * the thread's sleep, in the queue, with the handler, and until the guest goes on.
 */
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/trace.h"
#include "lab/missing.h"

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

void missing_queue_fault(struct missing_vcpu *v, u64 offset)
{
	u64 i = offset / PAGE_SIZE;

	page[i].asleep = 0;
	page[i].got = ticks_now();
	missing_bring(v->m, offset);
	page[i].there = ticks_now();
}

/* The runs of all vCPUs are over: their CPUs record nothing any more. */
static void find_sleeps(struct missing_vm *m)
{
	static struct trace_event events[TRACE_EVENTS];

	for (u32 cpu = 1; cpu <= m->config.vcpus; cpu++) {
		unsigned int n = trace_last(cpu, events, TRACE_EVENTS);

		for (unsigned int i = 0; i < n; i++)
			if (!strcmp(events[i].name, "vcpu: fetch"))
				page[events[i].b / PAGE_SIZE].asleep = events[i].tsc;
	}
}

static u32 sample_of(struct missing_vm *m, u32 pages, u32 i, bool after)
{
	return missing_sample(m, i / pages, i % pages, after);
}

/* How many accesses are under way when the handler takes page @i, that one included. */
static u64 queue_length(struct missing_vm *m, u32 pages, u64 i)
{
	u32 got = (u32)page[i].got;
	u64 n = 0;

	for (u32 v = 0; v < m->config.vcpus; v++) {
		u32 k = 0;

		while (k < pages && (s32)(missing_sample(m, v, k, true) - got) <= 0)
			k++;
		n += k < pages && (s32)(missing_sample(m, v, k, false) - got) < 0;
	}
	return n;
}

void missing_queue_report(struct missing_vm *m, u32 pages)
{
	struct missing_params what = { .vcpus = m->config.vcpus };
	u64 median[NR_PARTS], length;
	u32 n = m->config.vcpus * pages;

	find_sleeps(m);
	for (u32 i = 0; i < n; i++) {
		/* The handler was there before the vCPU's thread was asleep. */
		if (!page[i].asleep)
			page[i].asleep = page[i].got;
		samples[TO_SLEEP][i] = (u32)page[i].asleep - sample_of(m, pages, i, false);
		samples[QUEUED][i] = page[i].got - page[i].asleep;
		samples[BROUGHT][i] = page[i].there - page[i].got;
		samples[WOKEN][i] = sample_of(m, pages, i, true) - (u32)page[i].there;
	}
	for (enum part part = 0; part < NR_PARTS; part++) {
		what.part = part_name[part];
		median[part] = missing_metric("missing.queue", "ticks", samples[part], n, &what);
	}
	for (u32 i = 0; i < n; i++)
		samples[0][i] = queue_length(m, pages, i);
	what.part = NULL;
	length = missing_metric("missing.queue_length", "count", samples[0], n, &what);
	ktap_note(
		"queue, %u vCPUs: a page takes %llu ticks to the queue, %llu in it, %llu with "
		"the handler, %llu until the guest goes on; the queue has %llu",
		m->config.vcpus, (unsigned long long)median[TO_SLEEP],
		(unsigned long long)median[QUEUED], (unsigned long long)median[BROUGHT],
		(unsigned long long)median[WOKEN], (unsigned long long)length);
}
