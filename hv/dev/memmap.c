/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's physical memory map. */
#include "hv/dev/memmap.h"
#include "hv/host/errno.h"

int guest_memmap(u64 ram, struct guest_range *out)
{
	if (ram < GUEST_RAM_MIN || ram > GUEST_RAM_MAX)
		return -EINVAL;

	out[0] = (struct guest_range){ 0, GUEST_LOW_END, GUEST_RANGE_RAM };
	out[1] = (struct guest_range){ GUEST_LOW_END, GUEST_HIGH_START - GUEST_LOW_END,
				       GUEST_RANGE_RESERVED };
	out[2] = (struct guest_range){ GUEST_HIGH_START, ram - GUEST_HIGH_START, GUEST_RANGE_RAM };
	return 3;
}

bool guest_is_ram(u64 ram, gpa_t gpa, u64 len)
{
	struct guest_range range[GUEST_MAX_RANGES];
	int n = guest_memmap(ram, range);

	for (int i = 0; i < n; i++) {
		u64 offset = gpa - range[i].base;

		if (range[i].type != GUEST_RANGE_RAM || gpa < range[i].base)
			continue;
		if (offset < range[i].len && len && len <= range[i].len - offset)
			return true;
	}
	return false;
}
