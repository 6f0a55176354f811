/* SPDX-License-Identifier: GPL-2.0-only */
/* The code that is copied below 1 MiB, where a STARTUP IPI can send a CPU. */
#ifndef BOOT_TRAMPOLINE_H
#define BOOT_TRAMPOLINE_H

extern const char trampoline[], trampoline_end[];

#endif
