/* SPDX-License-Identifier: GPL-2.0-only */
/* The information of a PVH loader, read with a suspicious eye. */
#include "boot/pvh.h"
#include "hv/host/errno.h"
#include "hv/host/string.h"

typedef const void *(*read_fn)(hpa_t pa, u64 len);

/* A text of unknown length: byte by byte, so that nothing behind its end is touched. */
static int read_text(char *dst, u64 size, hpa_t pa, read_fn read)
{
	u64 i;

	for (i = 0; i < size; i++) {
		const char *c = pa + i < pa ? NULL : read(pa + i, 1);

		if (!c) {
			dst[0] = 0;
			return -EFAULT;
		}
		dst[i] = *c;
		if (!*c)
			return 0;
	}
	dst[size - 1] = 0;
	return -E2BIG;
}

static int read_modules(struct boot_info *out, const struct hvm_start_info *info, read_fn read)
{
	const struct hvm_modlist_entry *m;
	u32 i;
	int err;

	if (info->nr_modules > BOOT_MAX_MODULES)
		return -E2BIG;
	if (!info->nr_modules)
		return 0;
	m = read(info->modlist, (u64)info->nr_modules * sizeof(*m));
	if (!m)
		return -EFAULT;
	for (i = 0; i < info->nr_modules; i++) {
		struct boot_module *to = &out->module[i];

		if (m[i].address + m[i].size < m[i].address)
			return -EFAULT;
		to->base = m[i].address;
		to->len = m[i].size;
		str_copy(to->cmdline, "initrd", sizeof(to->cmdline));
		if (m[i].cmdline) {
			err = read_text(to->cmdline, sizeof(to->cmdline), m[i].cmdline, read);
			if (err)
				return err;
		}
		out->nr_modules = i + 1;
	}
	return 0;
}

static int read_memmap(struct boot_info *out, const struct hvm_start_info *info, read_fn read)
{
	const struct hvm_memmap_entry *e;
	u32 i;

	if (info->version < 1 || !info->nr_memmap)
		return -EPROTO;
	if (info->nr_memmap > BOOT_MAX_RANGES)
		return -E2BIG;
	e = read(info->memmap, (u64)info->nr_memmap * sizeof(*e));
	if (!e)
		return -EFAULT;
	for (i = 0; i < info->nr_memmap; i++) {
		out->range[i].base = e[i].address;
		out->range[i].len = e[i].size;
		out->range[i].type = e[i].type;
	}
	out->nr_ranges = info->nr_memmap;
	return 0;
}

int pvh_parse(struct boot_info *out, hpa_t start_info, read_fn read)
{
	const struct hvm_start_info *info = read(start_info, sizeof(*info));
	int err;

	if (!info)
		return -EFAULT;
	if (info->magic != PVH_MAGIC)
		return -EPROTO;
	out->path = "pvh";
	out->rsdp = info->rsdp;
	if (info->cmdline) {
		err = read_text(out->cmdline, sizeof(out->cmdline), info->cmdline, read);
		if (err)
			return err;
	}
	err = read_memmap(out, info, read);
	if (err)
		return err;
	return read_modules(out, info, read);
}
