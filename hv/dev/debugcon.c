/* SPDX-License-Identifier: GPL-2.0-only */
/* Port 0xE9. */
#include "hv/dev/debugcon.h"

static u64 debugcon_read(void *dev, u64 offset, u8 size)
{
	return DEBUGCON_PORT;
}

static void debugcon_write(void *dev, u64 offset, u8 size, u64 value)
{
	lines_put(dev, value);
}

const struct bus_ops debugcon_ops = { .sizes = 1, .read = debugcon_read, .write = debugcon_write };
