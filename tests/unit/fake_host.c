/* SPDX-License-Identifier: GPL-2.0-only */
/* What a test of the upper rooms needs of hv/host. */
#include <stdio.h>
#include <stdlib.h>

#include "hv/host/console.h"
#include "hv/host/mem.h"
#include "hv/host/print.h"
#include "hv/host/spinlock.h"
#include "hv/host/string.h"
#include "tests/unit/fake_host.h"

static char console[65536], taken[sizeof(console)];
static size_t console_len;
static unsigned int fail_countdown;
static unsigned int locks_held;

/* When the buffer is full it starts anew: only fuzzers print that much, and they do not look. */
void console_write(const char *s, size_t n)
{
	if (console_len + n > sizeof(console))
		console_len = 0;
	if (n > sizeof(console))
		abort();
	memcpy(console + console_len, s, n);
	console_len += n;
}

const char *fake_console_take(void)
{
	memcpy(taken, console, console_len);
	taken[console_len < sizeof(taken) ? console_len : sizeof(taken) - 1] = '\0';
	console_len = 0;
	return taken;
}

noreturn void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("panic: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	abort();
}

void fake_alloc_fail(unsigned int n)
{
	fail_countdown = n;
}

void *kzalloc(size_t size)
{
	if (fail_countdown && !--fail_countdown)
		return NULL;
	return calloc(1, size);
}

void kfree(void *p)
{
	free(p);
}

void spin_lock(struct spinlock *l)
{
	if (spin_is_locked(l))
		panic("spinlock %p: taken twice", (void *)l);
	l->next++;
	locks_held++;
}

void spin_unlock(struct spinlock *l)
{
	if (!spin_is_locked(l))
		panic("spinlock %p: released but not held", (void *)l);
	l->owner++;
	locks_held--;
}

bool spin_is_locked(struct spinlock *l)
{
	return l->next != l->owner;
}

unsigned int fake_locks_held(void)
{
	return locks_held;
}
