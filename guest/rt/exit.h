/* SPDX-License-Identifier: GPL-2.0-only */
/* How a guest ends. */
#ifndef GUEST_RT_EXIT_H
#define GUEST_RT_EXIT_H

#include <stdnoreturn.h>

enum guest_status {
	GUEST_OK = 0,
	GUEST_FAILED = 1,  /* a check failed */
	GUEST_USAGE = 2,   /* a wrong command line or loader */
	GUEST_CRASHED = 3, /* an exception that nobody expected */
};

/**
 * guest_exit - end the run with @status (0..119)
 *
 * Written to port 0xf4: a hypervisor hands it on; QEMU's isa-debug-exit ends with 2 * @status + 1.
 * Where neither answers the CPU halts for ever.
 */
noreturn void guest_exit(int status);

#endif
