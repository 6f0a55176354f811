/* SPDX-License-Identifier: GPL-2.0-only */
/* The information of a multiboot2 loader, read with a suspicious eye. */
#include "boot/multiboot2.h"
#include "hv/host/errno.h"
#include "hv/host/string.h"

struct mb2_info {
	u32 size;
	u32 reserved;
};

struct mb2_tag {
	u32 type;
	u32 size; /* these 8 bytes included, padding to 8 not */
};

struct mb2_module {
	struct mb2_tag tag;
	u32 start, end;
	char cmdline[];
};

struct mb2_mmap {
	struct mb2_tag tag;
	u32 entry_size;
	u32 version;
};

struct mb2_mmap_entry {
	u64 base;
	u64 len;
	u32 type;
	u32 reserved;
};

_Static_assert(offsetof(struct mb2_module, cmdline) == 16, "multiboot2 ABI");
_Static_assert(sizeof(struct mb2_mmap) == 16, "multiboot2 ABI");
_Static_assert(sizeof(struct mb2_mmap_entry) == 24, "multiboot2 ABI");

/* The string at @at in @tag: it has to end inside the tag. */
static int copy_text(char *dst, u64 size, const struct mb2_tag *tag, u64 at)
{
	const char *s = (const char *)tag + at;

	if (tag->size <= at || !memchr(s, 0, tag->size - at))
		return -EPROTO;
	return str_copy(dst, s, size) < 0 ? -E2BIG : 0;
}

static int parse_module(struct boot_info *out, const struct mb2_tag *tag)
{
	const struct mb2_module *m = (const struct mb2_module *)tag;
	struct boot_module *to;

	if (out->nr_modules == BOOT_MAX_MODULES)
		return -E2BIG;
	if (tag->size < sizeof(*m) || m->end < m->start)
		return -EPROTO;
	to = &out->module[out->nr_modules++];
	to->base = m->start;
	to->len = m->end - m->start;
	return copy_text(to->cmdline, sizeof(to->cmdline), tag, sizeof(*m));
}

static int parse_mmap(struct boot_info *out, const struct mb2_tag *tag)
{
	const struct mb2_mmap *map = (const struct mb2_mmap *)tag;
	u64 at;

	if (tag->size < sizeof(*map) || map->entry_size < sizeof(struct mb2_mmap_entry) ||
	    map->entry_size % 8)
		return -EPROTO;
	out->nr_ranges = 0;
	for (at = sizeof(*map); at + map->entry_size <= tag->size; at += map->entry_size) {
		const struct mb2_mmap_entry *e = (const void *)((const char *)tag + at);

		if (out->nr_ranges == BOOT_MAX_RANGES)
			return -E2BIG;
		out->range[out->nr_ranges++] = (struct boot_range){ e->base, e->len, e->type };
	}
	return 0;
}

static int parse_tag(struct boot_info *out, const struct mb2_tag *tag, hpa_t pa)
{
	switch (tag->type) {
	case MB2_TAG_CMDLINE: return copy_text(out->cmdline, sizeof(out->cmdline), tag, 8);
	case MB2_TAG_LOADER:
		/* A name is worth cutting off rather than refusing to boot. */
		return copy_text(out->loader, sizeof(out->loader), tag, 8) == -EPROTO ? -EPROTO : 0;
	case MB2_TAG_MODULE: return parse_module(out, tag);
	case MB2_TAG_MMAP: return parse_mmap(out, tag);
	case MB2_TAG_ACPI_OLD:
		if (!out->rsdp)
			out->rsdp = pa + sizeof(*tag);
		return 0;
	case MB2_TAG_ACPI_NEW: out->rsdp = pa + sizeof(*tag); return 0;
	case MB2_TAG_EFI32:
	case MB2_TAG_EFI64:
	case MB2_TAG_EFI_MMAP:
	case MB2_TAG_EFI32_IH:
	case MB2_TAG_EFI64_IH: out->efi = true; return 0;
	default: return 0;
	}
}

int multiboot2_parse(struct boot_info *out, const void *mbi, u64 len, hpa_t pa)
{
	const struct mb2_info *info = mbi;
	u64 at = sizeof(*info);
	int err;

	if (len < sizeof(*info) || info->size < sizeof(*info) || info->size > len)
		return -EPROTO;
	out->path = "multiboot2";
	while (at + sizeof(struct mb2_tag) <= info->size) {
		const struct mb2_tag *tag = (const void *)((const char *)mbi + at);

		if (tag->size < sizeof(*tag) || tag->size > info->size - at)
			return -EPROTO;
		if (tag->type == MB2_TAG_END)
			return 0;
		err = parse_tag(out, tag, pa + at);
		if (err)
			return err;
		at += ALIGN_UP((u64)tag->size, 8);
	}
	return -EPROTO; /* no end tag */
}
