/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The console: port 0xE9 when it reads back 0xE9 (Bochs' hack, QEMU's debugcon), COM1 at 115200
 * 8N1, and always a ring in memory (log_ring) that a debugger can read.
 *
 * Where port 0xE9 works the UART stays silent unless "serial" is on the command line: a character
 * costs 1 tick on the one and hundreds on the other. Lines on the UART end in CR LF.
 */
#ifndef HV_HOST_CONSOLE_H
#define HV_HOST_CONSOLE_H

#include "hv/host/machine.h" /* machine_exit() */
#include "hv/host/types.h"

#define LOG_RING_SIZE 16384 /* a power of two */

struct log_ring {
	char magic[16];	     /* "stillpoint log:", to be found in a memory dump */
	_Atomic u64 written; /* bytes ever written: the next one goes to text[written % size] */
	u64 size;
	char text[LOG_RING_SIZE];
};

_Static_assert(offsetof(struct log_ring, text) == 32, "debuggers know this layout");

extern struct log_ring log_ring;

/** console_init - probe the outputs. Called once, first of all; text printed before is in the ring.
 */
void console_init(void);

/**
 * console_write - write @n raw bytes
 *
 * Any context, NMI included: takes the console lock unless this CPU has it already, and after a
 * bounded wait writes without it.
 */
void console_write(const char *s, size_t n);

/**
 * console_lock - keep other CPUs' text out of several writes
 *
 * Returns true when it took the lock: call console_unlock() then, and only then. False when this
 * CPU had it already, when locking is broken, or when the wait was too long. Any context.
 */
bool console_lock(void);
void console_unlock(void);

/** console_break_lock - after a panic: output may be mixed, but it appears. */
void console_break_lock(void);

/** console_flush - wait until the UART has sent everything (bounded). */
void console_flush(void);

#endif
