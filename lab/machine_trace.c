/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `machine`: what a report of a failure is made of: the trace rings, the names of
 * functions, the chain of callers; and what is known about this machine's VMX.
 */
#include "hv/host/backtrace.h"
#include "hv/host/ktap.h"
#include "hv/host/mem.h"
#include "hv/host/percpu.h"
#include "hv/host/string.h"
#include "hv/host/trace.h"
#include "hv/vm/vm.h"
#include "lab/experiment.h"
#include "lab/machine.h"

#define EXTRA 20 /* events more than the ring holds */

static const char event_name[] = "machine";

static void fill_ring(u32 cpu, void *arg)
{
	for (u64 i = 0; i < TRACE_EVENTS + EXTRA; i++)
		trace(event_name, i, cpu);
}

/* The last TRACE_EVENTS of them, in their order. */
static bool ring_is_right(u32 cpu, struct trace_event *e)
{
	bool right = trace_last(cpu, e, TRACE_EVENTS) == TRACE_EVENTS;

	for (unsigned int i = 0; right && i < TRACE_EVENTS; i++)
		right = e[i].name == event_name && e[i].a == i + EXTRA && e[i].b == cpu &&
			(!i || e[i].tsc >= e[i - 1].tsc);
	return right;
}

static void test_trace(void)
{
	struct trace_event *events = kzalloc(TRACE_EVENTS * sizeof(*events));
	u64 failed = 0;

	if (events && machine_on_every_cpu(fill_ring, NULL)) {
		for (u32 cpu = 0; cpu < nr_cpus; cpu++)
			if (!ring_is_right(cpu, events))
				failed |= BIT(cpu);
		machine_result(failed, "a trace ring keeps the last events in their order");
	}
	kfree(events);
}

/* --- names ----------------------------------------------------------------------------------- */

static bool is_named(u64 addr, const char *name)
{
	u64 offset;
	const char *found = ksym_lookup(addr, &offset);

	return found && !strcmp(found, name);
}

/* From here to the thread's start, each caller's name known. */
static noinline bool chain_is_whole(const char *caller)
{
	u64 rbp = (u64)(uintptr_t)__builtin_frame_address(0), ret, last = 0, offset;
	bool first = true, whole = true;

	while (backtrace_step(&rbp, &ret)) {
		whole &= ksym_lookup(ret - 1, &offset) && (!first || is_named(ret - 1, caller));
		last = ret - 1;
		first = false;
	}
	return whole && is_named(last, "thread_start");
}

static noinline void test_names(void)
{
	u64 here = (u64)(uintptr_t)machine_test_diagnosis, offset = 0;

	ktap_result(is_named(here, "machine_test_diagnosis") &&
			    is_named(here + 1, "machine_test_diagnosis") &&
			    ksym_lookup(here + 1, &offset) && offset == 1,
		    "an address is known by its function and offset");
	ktap_result(!ksym_lookup((u64)(uintptr_t)&nr_cpus, &offset) && !ksym_lookup(0, &offset),
		    "what is no code has no function");
	ktap_result(chain_is_whole(__func__), "the callers are known up to the thread's start");
}

/* --- VMX ------------------------------------------------------------------------------------- */

static void test_capabilities(void)
{
	static const char name[] = "this machine has what guests need of VMX";

	if (hv_print_caps() || guests_missing)
		ktap_skip(guests_missing, "%s", name);
	else
		ktap_result(true, "%s", name);
}

void machine_test_diagnosis(void)
{
	test_trace();
	test_names();
	test_capabilities();
}
