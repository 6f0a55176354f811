/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's physical memory map, as a PC shows it: the one source for loaders and firmware
 * tables. */
#ifndef HV_DEV_MEMMAP_H
#define HV_DEV_MEMMAP_H

#include "hv/host/types.h"

#define GUEST_LOW_END	 0x9fc00ul /* conventional memory ends where a PC keeps its EBDA */
#define GUEST_HIGH_START MIB(1)
#define GUEST_RAM_MIN	 MIB(2)
#define GUEST_RAM_MAX	 GIB(3) /* above it live the board's devices and the local APIC */

#define GUEST_MAX_RANGES 3

enum guest_range_type { /* the E820 numbers */
			GUEST_RANGE_RAM = 1,
			GUEST_RANGE_RESERVED = 2,
};

struct guest_range {
	gpa_t base;
	u64 len;
	u32 type; /* enum guest_range_type */
};

/**
 * guest_memmap - the map of a guest with @ram bytes
 * @ram: GUEST_RAM_MIN..GUEST_RAM_MAX
 * @out: room for GUEST_MAX_RANGES, filled in ascending order without gaps up to @ram
 *
 * Pure. Returns the number of ranges, or -EINVAL when @ram is out of range.
 */
int guest_memmap(u64 ram, struct guest_range *out);

/** guest_is_ram - does [@gpa, @gpa + @len) lie in one RAM range of that map? No range of 0 bytes
 * does. */
bool guest_is_ram(u64 ram, gpa_t gpa, u64 len);

#endif
