/* SPDX-License-Identifier: GPL-2.0-only */
/* The test device. */
#include "hv/dev/testdev.h"
#include "hv/vm/vm.h"

#define PORT_REGISTER  0xe0
#define PORT_DROP_PAGE 0xe4

/*
 * The bus has checked that [offset, offset + size) is inside the register. Its cost is part of
 * every measurement of the way to the VMM, so no memcpy() of unknown length.
 */
static u64 reg_read(void *dev, u64 offset, u8 size)
{
	const u8 *at = (const u8 *)dev + offset;
	u32 v32;
	u16 v16;

	switch (size) {
	case 1: return *at;
	case 2: __builtin_memcpy(&v16, at, 2); return v16;
	default: __builtin_memcpy(&v32, at, 4); return v32;
	}
}

static void reg_write(void *dev, u64 offset, u8 size, u64 value)
{
	u8 *at = (u8 *)dev + offset;

	switch (size) {
	case 1: *at = value; break;
	case 2: __builtin_memcpy(at, &value, 2); break;
	default: __builtin_memcpy(at, &value, 4); break;
	}
}

static void drop_page_write(void *dev, u64 offset, u8 size, u64 value)
{
	struct testdev *t = dev;

	t->drop_wanted = true;
	t->drop_gpa = ALIGN_DOWN(value, PAGE_SIZE);
}

static const struct bus_ops reg_ops = { .sizes = 1 | 2 | 4, .read = reg_read, .write = reg_write };
static const struct bus_ops drop_page_ops = { .sizes = 4, .write = drop_page_write };

int testdev_add(struct testdev *t, struct bus *ports, struct vm *vm)
{
	int ret;

	*t = (struct testdev){ .drop_wanted = false };
	ret = bus_add(ports, PORT_REGISTER, sizeof(t->reg), &reg_ops, t->reg);
	if (!ret)
		ret = bus_add(ports, PORT_DROP_PAGE, 4, &drop_page_ops, t);
	if (!ret)
		ret = vm_add_ram(vm, TESTDEV_IORAM, TESTDEV_IORAM_SIZE);
	return ret;
}
