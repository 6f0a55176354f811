/* SPDX-License-Identifier: GPL-2.0-only */
/* The rest of hv/host on Linux: the console, the end of a run, time, memory. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "hv/host/bootinfo.h"
#include "hv/host/console.h"
#include "hv/host/errno.h"
#include "hv/host/machine.h"
#include "hv/host/mem.h"
#include "hv/host/patience.h"
#include "hv/host/print.h"
#include "hv/host/timer.h"
#include "linux/vmm/internal.h"

#define CALIBRATE_NS 10000000ull
#define NS_PER_S     1000000000ull
#define EMULATOR_HZ  20000000ull

struct boot_info boot_info;
u64 tsc_hz;
const char *tsc_source = "CLOCK_MONOTONIC";

/* --- the console ------------------------------------------------------------------------------ */

static pthread_mutex_t console_mutex = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool console_mine;

bool console_lock(void)
{
	if (console_mine)
		return false;
	pthread_mutex_lock(&console_mutex);
	console_mine = true;
	return true;
}

void console_unlock(void)
{
	console_mine = false;
	pthread_mutex_unlock(&console_mutex);
}

void console_write(const char *s, size_t n)
{
	bool locked = console_lock();

	while (n) {
		ssize_t written = write(STDOUT_FILENO, s, n);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			break; /* nobody listens */
		s += written;
		n -= (size_t)written;
	}
	if (locked)
		console_unlock();
}

/* --- the end ---------------------------------------------------------------------------------- */

/* What is below Linux does not show, and its ticks count Linux as well. */
enum machine machine_kind(void)
{
	return MACHINE_UNKNOWN;
}

const char *machine_name(void)
{
	if (kvm_open() < 0)
		return "linux";
	return kvm_is_patched() ? "kvm-patched" : "kvm-stock";
}

void machine_exit(int status, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	fmt_vprint(text, sizeof(text), fmt, ap);
	va_end(ap);
	console_lock(); /* and keeps it: this is the last line */
	printk("stillpoint: end %d %s\n", status, text);
	_exit(status);
}

void panic(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	fmt_vprint(text, sizeof(text), fmt, ap);
	va_end(ap);
	printk("panic: %s (errno %d)\n", text, errno);
	machine_exit(RUN_PANIC, "panic: %s", text);
}

/* --- time ------------------------------------------------------------------------------------- */

static u64 clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * NS_PER_S + (u64)t.tv_nsec;
}

void time_init_clock(void)
{
	u64 ns = clock_ns(), ticks = ticks_now(), end;

	do {
		end = clock_ns();
	} while (end - ns < CALIBRATE_NS);
	ticks = ticks_now() - ticks;
	tsc_hz = (u64)((unsigned __int128)ticks * NS_PER_S / (end - ns));
	/* Limits in ticks are those of an emulator; where ticks are real time they last too short.
	 */
	patience_factor = max_u64(tsc_hz / EMULATOR_HZ, 1);
}

u64 ticks_now(void)
{
	return rdtsc();
}

u64 ticks_from_us(u64 us)
{
	return us * (tsc_hz / 1000) / 1000 + 1;
}

u64 ticks_to_us(u64 ticks)
{
	return ticks * 1000 / (tsc_hz / 1000);
}

void spin_ticks(u64 ticks)
{
	u64 start = rdtsc();

	while (rdtsc() - start < ticks)
		cpu_relax();
}

/* --- memory ----------------------------------------------------------------------------------- */

void *kzalloc(size_t size)
{
	return size ? calloc(1, size) : NULL;
}

void kfree(void *p)
{
	free(p);
}

u64 page_nr_free(void)
{
	struct sysinfo s;

	return sysinfo(&s) ? 0 : s.freeram * s.mem_unit / PAGE_SIZE;
}

/* What the kernel has set aside for itself before it counts is not in it. */
u64 page_nr_used(void)
{
	struct sysinfo s;

	return sysinfo(&s) ? 0 : (s.totalram - s.freeram) * s.mem_unit / PAGE_SIZE;
}
