/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A trace ring per CPU: the last TRACE_EVENTS events with their time, written without a lock by the
 * owning CPU (NMI handlers included), read after the fact.
 */
#ifndef HV_HOST_TRACE_H
#define HV_HOST_TRACE_H

#include "hv/host/types.h"

#define TRACE_EVENTS 256 /* per CPU, a power of two */

struct trace_event {
	u64 tsc;
	const char *name; /* a string literal */
	u64 a, b;
};

_Static_assert(sizeof(struct trace_event) == 32, "trace events share cache lines evenly");

/** trace - record an event of this CPU. @name: string literal; @a, @b: whatever explains it. */
void trace(const char *name, u64 a, u64 b);

/** trace_dump - print the last @max events of every CPU, merged by time. */
void trace_dump(unsigned int max);

/**
 * trace_print - print the events of a stretch of time, for tools/timeline.py
 * @from, @to: TSC values, both included
 *
 * "# trace TSC CPU A B NAME", a line each, merged by time. As far as the rings reach back; CPUs
 * that record meanwhile may overwrite what is being printed: call it when they are at rest.
 */
void trace_print(u64 from, u64 to);

/**
 * trace_last - copy the last events of a CPU, the oldest of them first
 * @cpu: 0..nr_cpus-1; one that records nothing meanwhile
 * @out: room for @max
 *
 * Returns how many there were, at most @max and TRACE_EVENTS.
 */
unsigned int trace_last(u32 cpu, struct trace_event *out, unsigned int max);

/** trace_init_cpu - allocate this CPU's ring. Returns 0, -ENOMEM. */
int trace_init_cpu(void);

#endif
