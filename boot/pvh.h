/* SPDX-License-Identifier: GPL-2.0-only */
/* The PVH entry (QEMU -kernel, Xen): structures the loader leaves in memory. */
#ifndef BOOT_PVH_H
#define BOOT_PVH_H

#define PVH_MAGIC 0x336ec578 /* the first dword of struct hvm_start_info */

#ifndef __ASSEMBLY__
#include "hv/host/bootinfo.h"

struct hvm_start_info {
	u32 magic;
	u32 version; /* 1 and later have a memory map */
	u32 flags;
	u32 nr_modules;
	u64 modlist;
	u64 cmdline;
	u64 rsdp;
	u64 memmap;
	u32 nr_memmap;
	u32 reserved;
};

struct hvm_modlist_entry {
	u64 address;
	u64 size;
	u64 cmdline;
	u64 reserved;
};

struct hvm_memmap_entry {
	u64 address;
	u64 size;
	u32 type; /* E820 numbers */
	u32 reserved;
};

_Static_assert(sizeof(struct hvm_start_info) == 56, "PVH ABI");
_Static_assert(offsetof(struct hvm_start_info, memmap) == 40, "PVH ABI");
_Static_assert(sizeof(struct hvm_modlist_entry) == 32, "PVH ABI");
_Static_assert(sizeof(struct hvm_memmap_entry) == 24, "PVH ABI");

/**
 * pvh_parse - read the loader's information into @out
 * @out: filled in; fields that nothing speaks of are left as they are
 * @start_info: physical address of struct hvm_start_info
 * @read: maps physical memory: returns a pointer to @len readable bytes at @pa, or NULL
 *
 * No hardware is touched. Returns 0, -EFAULT when something points outside memory, -EPROTO for a
 * wrong magic or a version without memory map, -E2BIG when there are more ranges or modules than
 * boot_info holds or a text is too long for it.
 */
int pvh_parse(struct boot_info *out, hpa_t start_info, const void *(*read)(hpa_t pa, u64 len));
#endif

#endif
