/* SPDX-License-Identifier: GPL-2.0-only */
/* How the rooms are started, from boot/ upwards. */
#ifndef HV_HOST_INIT_H
#define HV_HOST_INIT_H

/**
 * host_init - bring up hv/host on the boot CPU and then all CPUs
 *
 * Called by boot/ with boot_info filled in, on the boot stack: console, exceptions, page allocator,
 * paging, ACPI, APIC, time, threads, the other CPUs; then starts the thread "main" on CPU 0 running
 * image_main() and becomes CPU 0's idle loop.
 */
_Noreturn void host_init(void);

/** image_main - what the image is for: defined by the topmost room (lab/main.c). Thread context. */
void image_main(void *arg);

#endif
