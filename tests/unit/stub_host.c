/* SPDX-License-Identifier: GPL-2.0-only */
/* A console, a panic and CPUs for tests of hv/host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "hv/host/console.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "tests/unit/stub_host.h"

#define PANIC_STATUS 42

struct cpu *cpus[MAX_CPUS];
u32 nr_cpus;
u32 stub_cpu;

static char console[65536], taken[sizeof(console)];
static size_t console_len;
static int panic_pipe = -1; /* in the child of expect_panic() */

struct cpu *this_cpu(void)
{
	return cpus[stub_cpu];
}

void cpu_relax(void)
{
}

void console_write(const char *s, size_t n)
{
	if (console_len + n >= sizeof(console))
		abort();
	memcpy(console + console_len, s, n);
	console_len += n;
}

const char *stub_console_take(void)
{
	memcpy(taken, console, console_len);
	taken[console_len] = '\0';
	console_len = 0;
	return taken;
}

noreturn void panic(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	fmt_vprint(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (panic_pipe < 0) {
		fprintf(stderr, "panic: %s\n", text);
		abort();
	}
	if (write(panic_pipe, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	_exit(PANIC_STATUS);
}

void expect_panic(void (*fn)(void *arg), void *arg, const char *text)
{
	char message[1024];
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		panic_pipe = fds[1];
		fn(arg);
		_exit(0);
	}
	close(fds[1]);
	n = read(fds[0], message, sizeof(message) - 1);
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	message[n < 0 ? 0 : n] = '\0';
	if (!WIFEXITED(status) || WEXITSTATUS(status) != PANIC_STATUS)
		fail_msg("no panic with \"%s\", but status %#x", text, status);
	if (!strstr(message, text))
		fail_msg("the panic says \"%s\", not \"%s\"", message, text);
}
