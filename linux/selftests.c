/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KVM's selftests one after the other, as one KTAP list. /selftests/list has lines "NAME SECONDS
 * PROGRAM ARGUMENT...": the test's name here, its time limit, and what to run.
 *
 * The time is the machine's, and in Bochs a second is ten million instructions whatever the host
 * does meanwhile: a test that hangs does so reproducibly. Elsewhere STILLPOINT_PATIENCE in the
 * environment multiplies it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "linux/init.h"

#define LIST	      "/selftests/list"
#define MAX_TESTS     64
#define MAX_ARGUMENTS 32
#define STATUS_SKIP   4 /* KSFT_SKIP */

struct selftest {
	char *name;
	unsigned int seconds;
	char *argv[MAX_ARGUMENTS + 1];
};

static struct selftest tests[MAX_TESTS];
static unsigned int nr_tests;
static volatile sig_atomic_t running; /* what to kill when the time is up */
static volatile sig_atomic_t timed_out;
static char last_line[256]; /* of the test's output: of a skipped one it says why */

static unsigned int patience(void)
{
	const char *factor = getenv("STILLPOINT_PATIENCE");
	unsigned long value = factor ? strtoul(factor, NULL, 10) : 1;

	return value ? (unsigned int)value : 1;
}

static void time_is_up(int signal)
{
	(void)signal;
	timed_out = 1;
	kill(-running, SIGKILL);
}

static void show(const char *line, size_t n)
{
	snprintf(last_line, sizeof(last_line), "%.*s", (int)n - 1, line);
	console_printf("  # %.*s", (int)n, line);
}

static bool wanted(const char *name, int count, char **names)
{
	for (int i = 0; i < count; i++) {
		if (!strcmp(names[i], name))
			return true;
	}
	return !count;
}

static void add_test(char *line, int count, char **names)
{
	struct selftest *test = &tests[nr_tests];
	char *rest, *word = strtok_r(line, " \t\n", &rest);
	unsigned int n = 0;

	if (!word || *word == '#')
		return;
	test->name = strdup(word);
	word = strtok_r(NULL, " \t\n", &rest);
	test->seconds = word ? (unsigned int)strtoul(word, NULL, 10) * patience() : 0;
	while ((word = strtok_r(NULL, " \t\n", &rest)) && n < MAX_ARGUMENTS)
		test->argv[n++] = strdup(word);
	if (!test->seconds || !n || word || nr_tests + 1 == MAX_TESTS)
		end_run(2, LIST ": what is \"%s\"?", test->name);
	if (wanted(test->name, count, names))
		nr_tests++;
	else
		memset(test, 0, sizeof(*test));
}

static void read_list(int count, char **names)
{
	FILE *list = fopen(LIST, "r");
	char line[1024];

	if (!list)
		end_run(2, LIST ": %s", strerror(errno));
	while (fgets(line, sizeof(line), list))
		add_test(line, count, names);
	fclose(list);
	for (int i = 0; i < count; i++) {
		bool found = false;

		for (unsigned int t = 0; t < nr_tests; t++)
			found = found || !strcmp(tests[t].name, names[i]);
		if (!found)
			end_run(2, "selftests: there is no test '%s' in linux/selftests", names[i]);
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Returns the exit status, or minus the signal. */
static int run_test(const struct selftest *test)
{
	int output, status;

	*last_line = 0;
	timed_out = 0;
	running = start_program(test->argv, &output);
	alarm(test->seconds);
	show_lines(output, show);
	while (waitpid((pid_t)running, &status, 0) < 0 && errno == EINTR)
		;
	alarm(0);
	close(output);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

_Noreturn void run_selftests(int count, char **names)
{
	struct sigaction action = { .sa_handler = time_is_up, .sa_flags = SA_RESTART };
	unsigned int passed = 0, skipped = 0, failed;

	sigaction(SIGALRM, &action, NULL);
	setenv("PATH", "/selftests", 1);
	if (chdir("/selftests"))
		end_run(2, "selftests: none in this initramfs");
	read_list(count, names);
	console_printf("KTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: selftests\n  1..%u\n",
		       nr_tests);
	for (unsigned int i = 0; i < nr_tests; i++) {
		const char *name = tests[i].name;
		double started = now();
		int status = run_test(&tests[i]);

		console_printf("  # %s: %.1f of %u s\n", name, now() - started, tests[i].seconds);
		if (timed_out)
			console_printf("  # no end after %u s\n", tests[i].seconds);
		else if (status < 0)
			console_printf("  # killed by signal %d (%s)\n", -status,
				       strsignal(-status));
		else if (status && status != STATUS_SKIP)
			console_printf("  # status %d\n", status);
		passed += !status;
		skipped += status == STATUS_SKIP;
		if (status == STATUS_SKIP)
			console_printf("  ok %u %s # SKIP %s\n", i + 1, name, last_line);
		else
			console_printf("  %s %u %s\n", status ? "not ok" : "ok", i + 1, name);
	}
	failed = nr_tests - passed - skipped;
	console_printf("%s 1 selftests\n", failed ? "not ok" : "ok");
	end_run(failed != 0, "%u passed, %u failed, %u skipped", passed, failed, skipped);
}
