/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Multiboot 1 guests: the header, the load by ELF or by the header's own addresses, the modules and
 * the information block, as a boot loader would do it. The machine it promises has no boot device
 * and no display.
 */
#ifndef HV_DEV_MULTIBOOT_H
#define HV_DEV_MULTIBOOT_H

#include "hv/dev/load.h"

struct vm;

#define MULTIBOOT_MAX_MODULES 15
#define MULTIBOOT_MAX_CMDLINE 1023 /* bytes of one command line, without the terminator */

struct multiboot_module {
	const void *data;
	size_t size; /* at least 1 */
	const char *cmdline;
};

struct multiboot_image {
	const void *file;
	size_t size;
	const char *name;   /* first word of the command line */
	const char *append; /* the rest; NULL or "" for none */
	unsigned int nr_modules;
	struct multiboot_module module[MULTIBOOT_MAX_MODULES];
};

/* How the boot CPU starts: 32-bit protected mode, paging off, flat segments, interrupts off. */
struct multiboot_entry {
	u32 eip;
	u32 eax; /* MULTIBOOT_LOADER_MAGIC */
	u32 ebx; /* guest-physical address of the information block */
};

#define MULTIBOOT_LOADER_MAGIC 0x2badb002u

/**
 * multiboot_parse - find the header and make a load plan
 * @plan: filled in on success, undefined otherwise
 * @file, @size: the whole file; no alignment needed
 * @err: gets the line for the user
 *
 * With flag bit 16 the header's address fields count, otherwise the file must be ELF. Pure. Returns
 * 0; -ENOEXEC when there is no valid header, the file contradicts itself, or the header asks for
 * something this machine does not have; or an error of elf_parse().
 */
int multiboot_parse(struct load_plan *plan, const void *file, size_t size, struct load_error *err);

/**
 * multiboot_load - put an image, its modules and its information block into guest RAM
 * @vm: guest that is not running; GUEST_RAM_MIN..GUEST_RAM_MAX bytes of RAM
 * @image: what to load
 * @entry: where and how to start
 * @err: gets the line for the user
 *
 * Modules are page-aligned above the image. The information block goes as high as it fits below 640
 * KB, so that memory above the modules is free; a guest with segments all over low memory gets it
 * above the modules. Guest RAM that nothing is loaded to is left alone.
 *
 * Returns 0; an error of multiboot_parse() or load_check(); -EINVAL for an empty module or a RAM
 * size out of range; -E2BIG for a command line or a number of modules over the limits; -ENOSPC when
 * they do not fit; or what vm_write() returned.
 */
int multiboot_load(struct vm *vm, const struct multiboot_image *image,
		   struct multiboot_entry *entry, struct load_error *err);

#endif
