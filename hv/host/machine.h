/* SPDX-License-Identifier: GPL-2.0-only */
/* Which machine this is, as far as ending a run and the report of a run care. */
#ifndef HV_HOST_MACHINE_H
#define HV_HOST_MACHINE_H

#include "hv/host/types.h"

enum machine {
	MACHINE_UNKNOWN, /* real hardware, or something that does not show what it is */
	MACHINE_BOCHS,
	MACHINE_QEMU, /* TCG or KVM */
};

/**
 * machine_detect - find out; console_init() calls it once
 *
 * Bochs: port 0xE9 reads back 0xE9 (its port_e9_hack) and there is no QEMU. QEMU: the signature in
 * its fw_cfg device, which is looked for only where port 0xE9 or CPUID's hypervisor leaf say that
 * this is an emulator: no odd port is ever written on real hardware.
 */
void machine_detect(void);

enum machine machine_kind(void);

/** machine_name - "bochs", "qemu" or "unknown". */
const char *machine_name(void);

/* How a run ends: printed as "stillpoint: end STATUS TEXT" and read by tools/. */
enum run_status {
	RUN_OK = 0,
	RUN_FAILED = 1,		/* an expectation failed */
	RUN_USAGE = 2,		/* a wrong command line, module or ELF file */
	RUN_NO_VMX = 121,	/* the machine lacks VMX or EPT, or firmware locked it off */
	RUN_PANIC = 122,	/* the hypervisor itself failed */
	RUN_ENTRY_FAILED = 123, /* a VM entry failed its checks */
	RUN_HANG = 124,		/* a guest exceeded its time limit */
};

/**
 * machine_exit - end the run and leave the emulator
 * @status: enum run_status, or a guest's own status (0..119) for `guest`
 * @fmt: one line of words
 *
 * Stops the other CPUs, prints the end line as the last one, flushes, then leaves: on Bochs to its
 * debugger's command file (port 0x8a00), on QEMU through isa-debug-exit at 0x501; elsewhere, and
 * where that device is missing, it halts for ever. The first caller wins. Any context.
 */
noreturn void machine_exit(int status, const char *fmt, ...) __printf(2, 3);

#endif
