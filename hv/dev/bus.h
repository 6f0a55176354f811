/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An address space with devices in it, such as the guest's ports. What no device claims reads as
 * all ones and takes writes in silence, as on a PC, but it is counted.
 */
#ifndef HV_DEV_BUS_H
#define HV_DEV_BUS_H

#include "hv/host/types.h"

#define BUS_MAX_RANGES 24

struct bus_ops {
	/*
	 * The access sizes in bytes that the device takes, or'ed: 1 | 2 | 4 | 8. Others are split
	 * into halves, as a bus does with a narrow device; a byte it does not take is like no
	 * device.
	 */
	u8 sizes;
	u64 (*read)(void *dev, u64 offset, u8 size);		  /* NULL: reads as all ones */
	void (*write)(void *dev, u64 offset, u8 size, u64 value); /* NULL: ignored */
};

struct bus_range {
	u64 first, end; /* addresses: [first, end) */
	const struct bus_ops *ops;
	void *dev;
};

/* Not locked: the board's lock protects it. */
struct bus {
	unsigned int nr_ranges;
	unsigned int hint;			/* the range of the last access */
	struct bus_range range[BUS_MAX_RANGES]; /* ascending */
	u64 nr_unclaimed;			/* accesses that no device claimed */
	u64 unclaimed;				/* address of the first of them */
};

/**
 * bus_add - put a device on the bus
 * @bus: zeroed before the first call
 * @first, @count: the addresses it claims, @count >= 1
 * @ops: must outlive the bus
 * @dev: passed to @ops
 *
 * Returns 0, -EINVAL for an empty or wrapping range, -EEXIST when it overlaps another, -ENOSPC when
 * the bus is full.
 */
int bus_add(struct bus *bus, u64 first, u64 count, const struct bus_ops *ops, void *dev);

/**
 * bus_read, bus_write - one access by the guest
 * @addr: any address
 * @size: 1, 2, 4 or 8 bytes
 * @value: its low @size bytes count
 *
 * bus_read() returns the value in the low @size bytes, the others zero.
 */
u64 bus_read(struct bus *bus, u64 addr, u8 size);
void bus_write(struct bus *bus, u64 addr, u8 size, u64 value);

#endif
