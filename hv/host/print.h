/* SPDX-License-Identifier: GPL-2.0-only */
/* Formatted output, to buffers and to the console. */
#ifndef HV_HOST_PRINT_H
#define HV_HOST_PRINT_H

#include "hv/host/types.h"

/**
 * fmt_print - format into a buffer
 * @buf: destination; always terminated when @size > 0
 * @size: its size in bytes
 * @fmt: %d %i %u %x %X %c %s %p %% with flags "-0#+ ", width, precision, '*' and the lengths
 *	 hh h l ll z t j. No floating point. An unknown conversion is printed as it stands, and so
 *is what follows it, since nobody knows which argument would come next.
 *
 * Returns the length the whole text would have had, without the terminator, as snprintf(); at most
 * INT_MAX. A null pointer prints as "(null)" (%s) or "0x0" (%p).
 */
int fmt_print(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
int fmt_vprint(char *buf, size_t size, const char *fmt, va_list ap) __printf(3, 0);

/**
 * fmt_vline - format one line for a user that may quote what is not ours
 * @buf, @size: gets the line; at least 4 bytes
 *
 * Bytes that are no printable ASCII become '?'; a line that does not fit ends in "...".
 */
void fmt_vline(char *buf, size_t size, const char *fmt, va_list ap) __printf(3, 0);

/**
 * printk - print to the console (serial, port 0xE9, log ring)
 *
 * Any context, NMI included. One call's text is not mixed with another CPU's. At most 1023 bytes
 * a call; a longer text ends in "...\n".
 */
void printk(const char *fmt, ...) __printf(1, 2);
void vprintk(const char *fmt, va_list ap) __printf(1, 0);

/**
 * panic - print a message, the CPU's backtrace and the last trace events, stop all CPUs, end the
 * run
 *
 * For broken invariants of the hypervisor itself; never for anything a guest can do. Any context.
 */
noreturn void panic(const char *fmt, ...) __printf(1, 2);

#define BUG_ON(cond)                                                                               \
	do {                                                                                       \
		if (unlikely(cond))                                                                \
			panic("%s:%d: %s", __FILE__, __LINE__, #cond);                             \
	} while (0)

#endif
