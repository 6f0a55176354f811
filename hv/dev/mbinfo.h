/* SPDX-License-Identifier: GPL-2.0-only */
/* The multiboot 1 information block, as the guest reads it. All addresses are guest-physical. */
#ifndef HV_DEV_MBINFO_H
#define HV_DEV_MBINFO_H

#include "hv/host/types.h"

enum mb_info_flags {
	MB_INFO_MEMORY = 1 << 0,
	MB_INFO_CMDLINE = 1 << 2,
	MB_INFO_MODS = 1 << 3,
	MB_INFO_MMAP = 1 << 6,
	MB_INFO_LOADER = 1 << 9,
};

struct mb_info {
	u32 flags;     /* enum mb_info_flags: which of the fields below count */
	u32 mem_lower; /* KB from 0 */
	u32 mem_upper; /* KB from 1 MB */
	u32 boot_device;
	u32 cmdline;
	u32 mods_count;
	u32 mods_addr; /* of mods_count struct mb_mod */
	u32 syms[4];
	u32 mmap_length; /* bytes */
	u32 mmap_addr;	 /* of struct mb_mmap, one after another */
	u32 drives_length;
	u32 drives_addr;
	u32 config_table;
	u32 boot_loader_name;
	u32 apm_table;
	u32 vbe_control_info;
	u32 vbe_mode_info;
	u16 vbe_mode;
	u16 vbe_interface_seg;
	u16 vbe_interface_off;
	u16 vbe_interface_len;
};

struct mb_mod {
	u32 start;
	u32 end; /* first byte after it */
	u32 cmdline;
	u32 reserved;
};

struct mb_mmap {
	u32 size; /* of the rest of the entry: 20 */
	u64 base;
	u64 len;
	u32 type; /* enum guest_range_type */
} __packed;

_Static_assert(sizeof(struct mb_info) == 88, "multiboot information");
_Static_assert(offsetof(struct mb_info, mmap_length) == 44, "multiboot mmap_length");
_Static_assert(offsetof(struct mb_info, boot_loader_name) == 64, "multiboot boot_loader_name");
_Static_assert(sizeof(struct mb_mod) == 16, "multiboot module");
_Static_assert(sizeof(struct mb_mmap) == 24, "multiboot memory map entry");

#endif
