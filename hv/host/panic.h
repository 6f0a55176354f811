/* SPDX-License-Identifier: GPL-2.0-only */
/* The end of a hypervisor that found itself broken: panic() of print.h, and its form for traps. */
#ifndef HV_HOST_PANIC_H
#define HV_HOST_PANIC_H

#include "hv/host/irq.h"

/**
 * panic_trap - panic() for an exception
 * @frame: registers, printed together with the backtrace from there
 */
noreturn void panic_trap(const struct trap_frame *frame, const char *fmt, ...) __printf(2, 3);

#endif
