/* SPDX-License-Identifier: GPL-2.0-only */
/* What a guest program defines. */
#ifndef GUEST_RT_PROGRAM_H
#define GUEST_RT_PROGRAM_H

#include "guest/rt/exit.h"
#include "guest/rt/options.h"
#include "hv/host/print.h"
#include "hv/host/types.h"

/**
 * guest_main - the program: boot CPU, 64-bit, interrupts off, everything of the runtime ready but
 * the other CPUs (smp_start())
 *
 * Returns the guest's exit status (enum guest_status).
 */
int guest_main(void);

#endif
