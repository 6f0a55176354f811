/* SPDX-License-Identifier: GPL-2.0-only */
/* Which device an access belongs to. */
#include "hv/dev/bus.h"
#include "hv/host/errno.h"

static u64 ones(u8 size)
{
	return size == 8 ? UINT64_MAX : BIT(8 * size) - 1;
}

/* Index of the first range that ends above @addr; nr_ranges if there is none. */
static unsigned int first_above(const struct bus *bus, u64 addr)
{
	unsigned int low = 0, high = bus->nr_ranges;

	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (bus->range[mid].end > addr)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

int bus_add(struct bus *bus, u64 first, u64 count, const struct bus_ops *ops, void *dev)
{
	unsigned int at = first_above(bus, first);

	if (!count || count > UINT64_MAX - first)
		return -EINVAL;
	if (at < bus->nr_ranges && bus->range[at].first < first + count)
		return -EEXIST;
	if (bus->nr_ranges == BUS_MAX_RANGES)
		return -ENOSPC;

	for (unsigned int i = bus->nr_ranges; i > at; i--)
		bus->range[i] = bus->range[i - 1];
	bus->range[at] = (struct bus_range){ first, first + count, ops, dev };
	bus->nr_ranges++;
	return 0;
}

static bool takes(const struct bus_range *r, u64 addr, u8 size)
{
	return addr >= r->first && addr < r->end && size <= r->end - addr && (r->ops->sizes & size);
}

/* No device takes all of it: must it be split, because a device might take a part? */
static bool must_split(struct bus *bus, u64 addr, u8 size, unsigned int i)
{
	if (size > 1 && i < bus->nr_ranges &&
	    (bus->range[i].first <= addr || bus->range[i].first - addr < size))
		return true;
	if (!bus->nr_unclaimed++)
		bus->unclaimed = addr;
	return false;
}

static u64 range_read(const struct bus_range *r, u64 addr, u8 size)
{
	return r->ops->read ? r->ops->read(r->dev, addr - r->first, size) & ones(size) : ones(size);
}

static void range_write(const struct bus_range *r, u64 addr, u8 size, u64 value)
{
	if (r->ops->write)
		r->ops->write(r->dev, addr - r->first, size, value & ones(size));
}

/* Out of line, so that the usual access saves no registers on its account. */
static noinline u64 read_elsewhere(struct bus *bus, u64 addr, u8 size)
{
	unsigned int i = first_above(bus, addr);
	u8 half = size / 2;
	u64 low;

	if (i < bus->nr_ranges && takes(&bus->range[i], addr, size)) {
		bus->hint = i;
		return range_read(&bus->range[i], addr, size);
	}
	if (!must_split(bus, addr, size, i))
		return ones(size);
	low = bus_read(bus, addr, half); /* devices see the lower half first */
	return low | bus_read(bus, addr + half, half) << (8 * half);
}

static noinline void write_elsewhere(struct bus *bus, u64 addr, u8 size, u64 value)
{
	unsigned int i = first_above(bus, addr);
	u8 half = size / 2;

	if (i < bus->nr_ranges && takes(&bus->range[i], addr, size)) {
		bus->hint = i;
		range_write(&bus->range[i], addr, size, value);
	} else if (must_split(bus, addr, size, i)) {
		bus_write(bus, addr, half, value);
		bus_write(bus, addr + half, half, value >> (8 * half));
	}
}

/* Guests poll, so the device of the last access comes first; an unused range takes nothing. */
u64 bus_read(struct bus *bus, u64 addr, u8 size)
{
	const struct bus_range *last = &bus->range[bus->hint];

	return likely(takes(last, addr, size)) ? range_read(last, addr, size)
					       : read_elsewhere(bus, addr, size);
}

void bus_write(struct bus *bus, u64 addr, u8 size, u64 value)
{
	const struct bus_range *last = &bus->range[bus->hint];

	if (likely(takes(last, addr, size)))
		range_write(last, addr, size, value);
	else
		write_elsewhere(bus, addr, size, value);
}
