/* SPDX-License-Identifier: GPL-2.0-only */
/* Reads the multiboot1 information block. */
#include "guest/rt/exit.h"
#include "guest/rt/multiboot.h"
#include "hv/host/print.h"
#include "hv/host/string.h"

#define LOADER_MAGIC 0x2badb002
#define MBI_MEM	     BIT(0)
#define MBI_CMDLINE  BIT(2)
#define MBI_MODULES  BIT(3)
#define MBI_MMAP     BIT(6)
#define MMAP_RAM     1

struct mbi {
	u32 flags;
	u32 mem_lower, mem_upper; /* KiB, from 0 and from 1 MiB */
	u32 boot_device;
	u32 cmdline;
	u32 mods_count, mods_addr;
	u32 syms[4];
	u32 mmap_length, mmap_addr;
};

_Static_assert(offsetof(struct mbi, mmap_addr) == 48, "mmap_addr is at 48");

struct mbi_module {
	u32 start, end;
	u32 cmdline;
	u32 reserved;
};

struct mbi_mmap {
	u32 size; /* of the rest */
	u64 base, len;
	u32 type;
} __packed;

_Static_assert(sizeof(struct mbi_mmap) == 24, "a memory map entry is 24 bytes");

char boot_cmdline[CMDLINE_MAX];
struct module boot_module[MODULES_MAX];
unsigned int boot_nr_modules;
struct ram_range boot_ram[RANGES_MAX];
unsigned int boot_nr_ram;

static const void *at(u32 gpa)
{
	return (const void *)(uintptr_t)gpa;
}

static void add_ram(u64 base, u64 len)
{
	if (boot_nr_ram == RANGES_MAX) {
		printk("guest: more than %u RAM ranges\n", RANGES_MAX);
		guest_exit(GUEST_USAGE);
	}
	boot_ram[boot_nr_ram++] = (struct ram_range){ base, len };
}

static void parse_memory(const struct mbi *mbi)
{
	u32 at_byte = 0;

	if (!(mbi->flags & MBI_MMAP)) {
		add_ram(0, KIB(mbi->mem_lower));
		add_ram(MIB(1), KIB(mbi->mem_upper));
		return;
	}
	while (at_byte + sizeof(struct mbi_mmap) <= mbi->mmap_length) {
		const struct mbi_mmap *e = at(mbi->mmap_addr + at_byte);

		if (e->type == MMAP_RAM)
			add_ram(e->base, e->len);
		at_byte += e->size + (u32)sizeof(e->size);
	}
}

static void parse_modules(const struct mbi *mbi)
{
	const struct mbi_module *m = at(mbi->mods_addr);

	if (mbi->mods_count > MODULES_MAX) {
		printk("guest: %u modules, at most %u can be\n", mbi->mods_count, MODULES_MAX);
		guest_exit(GUEST_USAGE);
	}
	for (u32 i = 0; i < mbi->mods_count; i++, m++) {
		struct module *out = &boot_module[boot_nr_modules++];

		out->base = m->start;
		out->len = m->end - m->start;
		if (m->cmdline)
			str_copy(out->name, at(m->cmdline), sizeof(out->name));
	}
}

void multiboot_parse(u32 magic, u32 addr)
{
	const struct mbi *mbi = at(addr);

	if (magic != LOADER_MAGIC) {
		printk("guest: the loader is not multiboot1 (EAX = %#x)\n", magic);
		guest_exit(GUEST_USAGE);
	}
	if (!(mbi->flags & (MBI_MMAP | MBI_MEM))) {
		printk("guest: the loader says nothing about memory (flags %#x)\n", mbi->flags);
		guest_exit(GUEST_USAGE);
	}
	if ((mbi->flags & MBI_CMDLINE) &&
	    str_copy(boot_cmdline, at(mbi->cmdline), sizeof(boot_cmdline)) < 0) {
		printk("guest: the command line is longer than %u bytes\n", CMDLINE_MAX - 1);
		guest_exit(GUEST_USAGE);
	}
	parse_memory(mbi);
	if (mbi->flags & MBI_MODULES)
		parse_modules(mbi);
}
