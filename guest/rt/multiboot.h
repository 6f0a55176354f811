/* SPDX-License-Identifier: GPL-2.0-only */
/* What a multiboot1 loader hands over. */
#ifndef GUEST_RT_MULTIBOOT_H
#define GUEST_RT_MULTIBOOT_H

#include "hv/host/types.h"

#define CMDLINE_MAX 1024
#define MODULES_MAX 8
#define RANGES_MAX  32

struct module {
	u64 base, len;
	char name[64]; /* its command line, cut off if longer */
};

struct ram_range {
	u64 base, len;
};

extern char boot_cmdline[CMDLINE_MAX];
extern struct module boot_module[MODULES_MAX];
extern unsigned int boot_nr_modules;
extern struct ram_range boot_ram[RANGES_MAX]; /* as the loader says: unsorted, byte-exact */
extern unsigned int boot_nr_ram;

/**
 * multiboot_parse - copy what is used out of the information block, which may be overwritten then
 * @magic, @mbi: EAX and EBX at entry
 *
 * A loader that is not multiboot1, or tells of more than fits, gets a line and ends the guest.
 */
void multiboot_parse(u32 magic, u32 mbi);

#endif
