/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * usage: stress_NAME [steps|free [FIRST-SEED [HOW-MANY]]]
 *
 * Runs the program with one thread at a time for a number of seeds, then with all threads at once.
 * What a seed decides beside the order of the threads: how often they change, whether there are
 * store buffers, and whether the race points of hv/ delay threads for longer (hv/host/chaos.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hv/host/chaos.h"
#include "tests/stress/arena.h"
#include "tests/stress/host.h"
#include "tests/stress/hw.h"
#include "tests/stress/stress.h"

#define STEPS_LIMIT 40000000 /* points */
#define FREE_LIMIT  120000   /* milliseconds */

/* The sanitizer's first report ends the program. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "halt_on_error=1 second_deadlock_stack=1 report_thread_leaks=0";
}

static void run_once(bool free_running, u64 seed)
{
	static const unsigned int one_in[] = { 2, 4, 8, 16, 48, 192 };
	static const unsigned int buffered[] = { 0, 100, 0, 8 };
	struct sched_config config = {
		.way = free_running ? SCHED_FREE : SCHED_STEPS,
		.seed = seed,
		.one_in = one_in[seed / 2 % 6],
		.limit = free_running ? FREE_LIMIT : STEPS_LIMIT,
	};

	stress_run = (struct stress_run){ .seed = seed,
					  .free = free_running,
					  .buffered = free_running ? 0 : buffered[seed % 4] };
	sched_start(&config, host_stuck);
	arena_reset();
	host_reset(stress_test.threads);
	hw_reset();
	if (seed % 3 == 0)
		chaos_init(seed);
	else
		chaos_off();
	/* Else the first run of the program would say so, and be another than later ones. */
	atomic_store(&vm_first_guest_tick, 1);
	stress_test.run();
	stress_check(!frames_live(), "%llu frames were never given back",
		     (unsigned long long)frames_live());
	sched_stop();
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A seed is one interleaving: what is found with it is found again. */
static void check_same_twice(u64 seed)
{
	u64 passed;

	run_once(false, seed);
	passed = sched_passed();
	run_once(false, seed);
	stress_check(sched_passed() == passed, "the same seed is not the same run");
}

static void run_many(bool free_running, u64 first, u64 n)
{
	double start = seconds();

	for (u64 i = 0; i < n; i++)
		run_once(free_running, first + i);
	if (!free_running && n)
		check_same_twice(first);
	if (stress_test.after)
		stress_test.after();
	if (n)
		printf("ok stress_%s %s: %llu runs in %.1f s\n", stress_test.name,
		       free_running ? "free" : "steps", (unsigned long long)n, seconds() - start);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	u64 first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	u64 n = argc > 3 ? strtoull(argv[3], NULL, 0) : argc > 2;
	bool all = argc < 2;

	if (!all && strcmp(argv[1], "steps") && strcmp(argv[1], "free")) {
		fprintf(stderr, "usage: %s [steps|free [FIRST-SEED [HOW-MANY]]]\n", argv[0]);
		return 2;
	}
	if (all || !strcmp(argv[1], "steps"))
		run_many(false, first, n ? n : stress_test.seeds);
	if (all || !strcmp(argv[1], "free"))
		run_many(true, first, n ? n : stress_test.free_runs);
	return 0;
}
