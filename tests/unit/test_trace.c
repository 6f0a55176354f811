/* SPDX-License-Identifier: GPL-2.0-only */
/* The trace rings: the last events of all CPUs in the order of their time. */
/* link: hv/host/trace.c hv/host/print.c hv/host/string.c tests/unit/stub_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/percpu.h"
#include "hv/host/string.h"
#include "hv/host/timer.h"
#include "hv/host/trace.h"
#include "tests/unit/stub_host.h"

static struct cpu cpu_data[3];
static u64 now;
static unsigned int allocations_left = UINT32_MAX;

u64 ticks_now(void)
{
	return now;
}

void *kzalloc(size_t size)
{
	return allocations_left-- ? calloc(1, size) : NULL;
}

void kfree(void *p)
{
	free(p);
}

static void trace_on(u32 cpu, u64 time, const char *name)
{
	stub_cpu = cpu;
	now = time;
	trace(name, time * 16, cpu);
	stub_cpu = 0;
}

/* Before there are CPUs or rings an event is lost, and that is all. */
static void test_early(void **state)
{
	trace("early", 1, 2);
	for (u32 i = 0; i < 3; i++) {
		cpu_data[i].id = i;
		cpus[i] = &cpu_data[i];
	}
	nr_cpus = 3;
	trace("early", 1, 2);
	trace_dump(10);
	assert_string_equal(stub_console_take(), "");
}

static void test_no_memory(void **state)
{
	for (allocations_left = 0; allocations_left < 2;) {
		unsigned int n = allocations_left;

		assert_int_equal(trace_init_cpu(), -ENOMEM);
		assert_null(cpu_data[0].trace);
		allocations_left = n + 1;
	}
	allocations_left = UINT32_MAX;
}

static void test_merge(void **state)
{
	/* CPU 2 has no ring. */
	for (stub_cpu = 0; stub_cpu < 2; stub_cpu++)
		assert_int_equal(trace_init_cpu(), 0);
	trace_on(0, 10, "a");
	trace_on(1, 5, "b");
	trace_on(1, 12, "c");
	trace_on(2, 11, "lost");
	trace_on(0, 12, "d");
	trace_on(0, 20, "e");
	trace_dump(100);
	assert_string_equal(stub_console_take(),
			    "trace: 5 cpu 1 b 0x50 0x1\n"
			    "trace: 10 cpu 0 a 0xa0 0\n"
			    "trace: 12 cpu 0 d 0xc0 0\n"
			    "trace: 12 cpu 1 c 0xc0 0x1\n"
			    "trace: 20 cpu 0 e 0x140 0\n");
	trace_dump(1);
	assert_string_equal(stub_console_take(),
			    "trace: 12 cpu 1 c 0xc0 0x1\n"
			    "trace: 20 cpu 0 e 0x140 0\n");
	trace_dump(0);
	assert_string_equal(stub_console_take(), "");
}

/* A full ring keeps the newest. */
static void test_wrap(void **state)
{
	const char *out;
	unsigned int lines = 0;
	char line[64];

	for (u64 t = 100; t < 100 + 3 * TRACE_EVENTS; t++)
		trace_on(0, t, "x");
	trace_dump(UINT32_MAX);
	out = stub_console_take();
	for (const char *p = out; (p = strstr(p, " x ")); p++)
		lines++;
	assert_int_equal(lines, TRACE_EVENTS);
	snprintf(line, sizeof(line), "\ntrace: %d cpu 0 x", 100 + 2 * TRACE_EVENTS);
	assert_non_null(strstr(out, line));
	assert_null(strstr(out, " e "));
	for (u32 i = 0; i < 2; i++)
		assert_non_null(cpu_data[i].trace);
}

/* After test_wrap(): CPU 0 has a full ring, CPU 1 two events, CPU 2 no ring. */
static void test_last(void **state)
{
	static struct trace_event e[TRACE_EVENTS];

	assert_int_equal(trace_last(0, e, UINT32_MAX), TRACE_EVENTS);
	for (u64 i = 0; i < TRACE_EVENTS; i++)
		assert_int_equal(e[i].tsc, 100 + 2 * TRACE_EVENTS + i);
	assert_int_equal(trace_last(1, e, TRACE_EVENTS), 2);
	assert_string_equal(e[0].name, "b");
	assert_string_equal(e[1].name, "c");
	assert_int_equal(trace_last(1, e, 1), 1);
	assert_string_equal(e[0].name, "c");
	assert_int_equal(trace_last(0, e, 0), 0);
	assert_int_equal(trace_last(2, e, TRACE_EVENTS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_early), cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_merge), cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
