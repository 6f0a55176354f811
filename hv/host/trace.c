/* SPDX-License-Identifier: GPL-2.0-only */
/* The trace rings. */
#include "hv/host/trace.h"

#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/timer.h"

struct trace_ring {
	_Atomic u64 written; /* events ever recorded */
	struct trace_event *events;
};

void trace(const char *name, u64 a, u64 b)
{
	struct trace_ring *r = nr_cpus ? this_cpu()->trace : NULL;
	struct trace_event *e;

	if (!r)
		return;
	/* One instruction reserves the slot: an NMI in between takes the next one. */
	e = &r->events[atomic_fetch_add_explicit(&r->written, 1, memory_order_relaxed) %
		       TRACE_EVENTS];
	e->tsc = ticks_now();
	e->name = name;
	e->a = a;
	e->b = b;
}

int trace_init_cpu(void)
{
	struct trace_ring *r = kzalloc(sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->events = kzalloc(TRACE_EVENTS * sizeof(*r->events));
	if (!r->events) {
		kfree(r);
		return -ENOMEM;
	}
	this_cpu()->trace = r;
	return 0;
}

/* The numbers of the first and the one after the last of the last @max events of a CPU. */
static void last_events(u32 cpu, unsigned int max, u64 *first, u64 *end)
{
	struct trace_ring *r = cpus[cpu]->trace;
	u64 n = min_u64(max, TRACE_EVENTS);

	*end = r ? atomic_load_explicit(&r->written, memory_order_relaxed) : 0;
	*first = *end > n ? *end - n : 0;
}

unsigned int trace_last(u32 cpu, struct trace_event *out, unsigned int max)
{
	u64 first, end;

	last_events(cpu, max, &first, &end);
	for (u64 i = first; i < end; i++)
		*out++ = cpus[cpu]->trace->events[i % TRACE_EVENTS];
	return (unsigned int)(end - first);
}

/* The CPU with the earliest event that is still to be printed, or nr_cpus. */
static u32 earliest(const u64 *next, const u64 *end)
{
	u64 tsc = UINT64_MAX;
	u32 found = nr_cpus;

	for (u32 i = 0; i < nr_cpus; i++) {
		const struct trace_event *e;

		if (next[i] == end[i])
			continue;
		e = &cpus[i]->trace->events[next[i] % TRACE_EVENTS];
		if (found == nr_cpus || e->tsc < tsc) {
			found = i;
			tsc = e->tsc;
		}
	}
	return found;
}

static const struct trace_event *next_event(u64 *next, const u64 *end, u32 *cpu)
{
	*cpu = earliest(next, end);
	return *cpu == nr_cpus ? NULL : &cpus[*cpu]->trace->events[next[*cpu]++ % TRACE_EVENTS];
}

void trace_dump(unsigned int max)
{
	u64 next[MAX_CPUS], end[MAX_CPUS];
	const struct trace_event *e;
	u32 cpu;

	for (u32 i = 0; i < nr_cpus; i++)
		last_events(i, max, &next[i], &end[i]);
	while ((e = next_event(next, end, &cpu)))
		printk("trace: %lu cpu %u %s %#lx %#lx\n", e->tsc, cpu, e->name ? e->name : "?",
		       e->a, e->b);
}

void trace_print(u64 from, u64 to)
{
	u64 next[MAX_CPUS], end[MAX_CPUS];
	const struct trace_event *e;
	u32 cpu;

	for (u32 i = 0; i < nr_cpus; i++)
		last_events(i, TRACE_EVENTS, &next[i], &end[i]);
	while ((e = next_event(next, end, &cpu)))
		if (e->tsc >= from && e->tsc <= to)
			printk("# trace %lu %u %lu %lu %s\n", e->tsc, cpu, e->a, e->b, e->name);
}
