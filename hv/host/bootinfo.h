/* SPDX-License-Identifier: GPL-2.0-only */
/* What the boot path found, whichever it was: the one thing that boot/ hands to the rest. */
#ifndef HV_HOST_BOOTINFO_H
#define HV_HOST_BOOTINFO_H

#include "hv/host/types.h"

#define BOOT_MAX_RANGES	 128
#define BOOT_MAX_MODULES 16
#define BOOT_CMDLINE_MAX 1024
#define BOOT_MODNAME_MAX 256

enum boot_mem_type { /* the ACPI/E820 numbers */
		     BOOT_MEM_RAM = 1,
		     BOOT_MEM_RESERVED = 2,
		     BOOT_MEM_ACPI = 3,
		     BOOT_MEM_NVS = 4,
		     BOOT_MEM_BAD = 5,
};

struct boot_range {
	hpa_t base;
	u64 len;
	u32 type; /* enum boot_mem_type; unknown numbers mean reserved */
};

struct boot_module {
	hpa_t base;
	u64 len;
	char cmdline[BOOT_MODNAME_MAX]; /* first word: its name */
};

struct boot_info {
	const char *path; /* "multiboot2", "pvh" */
	char loader[64];  /* boot loader's own name: "GRUB 2.06", "stillpoint option ROM" */
	char cmdline[BOOT_CMDLINE_MAX];
	unsigned int nr_ranges;
	struct boot_range range[BOOT_MAX_RANGES];
	unsigned int nr_modules;
	struct boot_module module[BOOT_MAX_MODULES];
	hpa_t rsdp;	  /* address of the ACPI root pointer (or a copy of it), 0 if unknown */
	bool efi;	  /* booted by UEFI firmware */
	hpa_t image_base; /* where the image was loaded */
	u64 image_size;	  /* bytes, bss included */
	u64 entry_tsc;	  /* TSC at the first instruction of the image */
	int error;	  /* negative errno: the loader's information was no good */
	struct {
		const void *code; /* the trampoline to copy below 1 MiB */
		u32 size;	  /* bytes, at most a page */
		hpa_t cr3;	  /* page tables it runs on: first 4 GiB at 0, and the image */
	} ap;
};

extern struct boot_info boot_info;

/**
 * boot_ram - the RAM of a memory map, sorted, merged, and without what something else claims
 * @info: ranges may overlap and come in any order; a byte is RAM when a range of type RAM covers
 *	  it and no range of another type does
 * @hole, @nr_holes: taken out as well (types do not matter)
 * @out: room for info->nr_ranges + @nr_holes ranges, which is always enough
 *
 * Pure. Returns the number of ranges written.
 */
unsigned int boot_ram(const struct boot_info *info, const struct boot_range *hole,
		      unsigned int nr_holes, struct boot_range *out);

/** boot_option - is @word on the command line, as a word of its own and not inside quotes? */
bool boot_option(const struct boot_info *info, const char *word);

#endif
