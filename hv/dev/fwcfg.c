/* SPDX-License-Identifier: GPL-2.0-only */
/* QEMU's fw_cfg by its two ports. */
#include "hv/dev/fwcfg.h"
#include "hv/host/string.h"

#define ID_PORT_INTERFACE 1

static void set_number(struct fwcfg *f, u64 value, u8 size)
{
	memcpy(f->item, &value, size); /* little-endian, as the CPU */
	f->len = size;
}

static void select(struct fwcfg *f, u16 key)
{
	f->len = 0;
	f->pos = 0;
	switch (key) {
	case FWCFG_SIGNATURE:
		memcpy(f->item, "QEMU", 4);
		f->len = 4;
		break;
	case FWCFG_ID: set_number(f, ID_PORT_INTERFACE, 4); break;
	case FWCFG_RAM_SIZE: set_number(f, f->ram_size, 8); break;
	case FWCFG_NOGRAPHIC: set_number(f, 1, 2); break;
	case FWCFG_NB_CPUS:
	case FWCFG_MAX_CPUS: set_number(f, f->nr_cpus, 2); break;
	case FWCFG_FILE_DIR: set_number(f, 0, 4); break;
	}
}

void fwcfg_init(struct fwcfg *f, u64 ram_size, u32 nr_cpus)
{
	*f = (struct fwcfg){ .ram_size = ram_size, .nr_cpus = nr_cpus };
	select(f, FWCFG_SIGNATURE);
}

/* Only the data port can be read; the selector gives all ones, as a port that cannot. */
static u64 fwcfg_read(void *dev, u64 offset, u8 size)
{
	struct fwcfg *f = dev;

	if (size != 1 || offset != 1)
		return UINT64_MAX;
	return f->pos < f->len ? f->item[f->pos++] : 0;
}

static void fwcfg_write(void *dev, u64 offset, u8 size, u64 value)
{
	if (size == 2 && offset == 0)
		select(dev, value);
}

const struct bus_ops fwcfg_ops = { .sizes = 1 | 2, .read = fwcfg_read, .write = fwcfg_write };
