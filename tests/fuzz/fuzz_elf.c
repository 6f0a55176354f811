/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest loader against arbitrary images and modules: it refuses with one line, or loads, and
 * then everything is where it says and nothing overlaps. Half of the inputs are changes to a good
 * image, so that the later checks are reached too.
 */
/* link: hv/dev/multiboot.c hv/dev/mbload.c hv/dev/elf.c hv/dev/load.c hv/dev/memmap.c */
/* link: hv/host/print.c hv/host/string.c hv/host/errno.c */
/* link: tests/unit/make_elf.c tests/unit/fake_vm.c tests/unit/fake_host.c */
#include "hv/dev/mbinfo.h"
#include "hv/dev/memmap.h"
#include "hv/dev/multiboot.h"
#include "tests/fuzz/input.h"
#include "tests/unit/fake_vm.h"
#include "tests/unit/make_elf.h"

#define MAX_RAM MIB(16)

static struct fake_vm vm;
static struct make_elf m;

/* What has been found in guest RAM; no two of these may overlap. */
struct area {
	gpa_t start, end;
};
static struct area area[64];
static unsigned int nr_areas;

static void occupy(gpa_t start, u64 len)
{
	MUST(guest_is_ram(vm.ram_size, start, len));
	for (unsigned int i = 0; i < nr_areas; i++)
		MUST(start >= area[i].end || start + len <= area[i].start);
	area[nr_areas++] = (struct area){ start, start + len };
}

static void check_segments(const struct load_plan *plan, const u8 *file, size_t size)
{
	for (unsigned int i = 0; i < plan->nr_segments; i++) {
		const struct load_segment *s = &plan->segment[i];

		MUST(s->filesz <= s->memsz);
		MUST(s->offset <= size && s->filesz <= size - s->offset);
		occupy(s->gpa, s->memsz);
		MUST(!memcmp(vm.ram + s->gpa, file + s->offset, s->filesz));
		for (u64 j = s->filesz; j < s->memsz; j++)
			MUST(vm.ram[s->gpa + j] == 0);
	}
}

static void check_text(u32 gpa, const char *want)
{
	MUST(gpa < vm.ram_size && strlen(want) < vm.ram_size - gpa);
	MUST(!strcmp((char *)vm.ram + gpa, want));
}

static void check_loaded(const struct multiboot_image *image, const struct multiboot_entry *entry)
{
	struct load_plan plan;
	struct mb_info info;
	char cmdline[64];

	MUST(!multiboot_parse(&plan, image->file, image->size, NULL));
	MUST(!load_check(&plan, vm.ram_size, NULL));
	nr_areas = 0;
	check_segments(&plan, image->file, image->size);
	MUST(entry->eip == plan.entry && entry->eax == MULTIBOOT_LOADER_MAGIC);

	occupy(entry->ebx, sizeof(info));
	memcpy(&info, vm.ram + entry->ebx, sizeof(info));
	snprintf(cmdline, sizeof(cmdline), "%s%s%s", image->name, *image->append ? " " : "",
		 image->append);
	check_text(info.cmdline, cmdline);
	occupy(info.cmdline, strlen(cmdline) + 1);
	MUST(info.mods_count == image->nr_modules);
	for (unsigned int i = 0; i < image->nr_modules; i++) {
		struct mb_mod mod;

		memcpy(&mod, vm.ram + info.mods_addr + i * sizeof(mod), sizeof(mod));
		MUST(mod.start % PAGE_SIZE == 0 && mod.end - mod.start == image->module[i].size);
		occupy(mod.start, mod.end - mod.start);
		MUST(!memcmp(vm.ram + mod.start, image->module[i].data, image->module[i].size));
		check_text(mod.cmdline, image->module[i].cmdline);
	}
}

/* An address or size near one that matters. */
static u64 near_something(struct input *in)
{
	static const u64 edges[] = { 0,	       0x1000,	 0xa000,   GUEST_LOW_END,
				     0x100000, 0x200000, 0x200300, 0x300000,
				     0x302000, MIB(8),	 MAX_RAM,  UINT32_MAX };
	u8 which = take(in, 1);

	return edges[which % ARRAY_SIZE(edges)] + (s8)take(in, 1);
}

/* A good image of three segments, fields of theirs changed with sense, then any bytes. */
static void change_good_image(struct input *in)
{
	unsigned int fields = take(in, 1) % 4, bytes = take(in, 1) % 8;

	make_elf_begin(&m, take(in, 1) & 1, 0x200010);
	make_elf_segment(&m, 0x200000, 0x300, 0x300);
	make_elf_segment(&m, 0x300000, 0x123, 0x2000);
	make_elf_segment(&m, 0x1000, 0x10, 0x9000);
	while (fields--) {
		Elf64_Phdr *ph = &m.ph[take(in, 1) % 3];
		u64 value = near_something(in);

		switch (take(in, 1) % 5) {
		case 0: ph->p_paddr = value; break;
		case 1: ph->p_vaddr = value; break;
		case 2: ph->p_memsz = value; break;
		case 3: ph->p_filesz = value; break;
		case 4: ph->p_offset = value; break;
		}
	}
	make_elf_finish(&m);
	make_elf_multiboot(&m, 3);
	while (bytes--) {
		/* Mostly the headers: the file's, the programs', multiboot's. */
		u32 where = take(in, 1);
		u32 offset = where < 224 ? where : MAKE_ELF_MULTIBOOT + where % 32;
		u32 n = 1 + take(in, 1) % 8;
		u64 value = take(in, n);

		memcpy(m.file + offset, &value, n);
	}
	if (take(in, 1) & 1)
		m.size = take(in, 2) % (m.size + 1);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data, size };
	struct multiboot_image image = { .name = "kernel", .append = "" };
	struct multiboot_entry entry;
	struct load_error err = { "" };
	u8 flags = take(&in, 1);
	u8 *file;

	if (!vm.ram)
		fake_vm_init(&vm, MAX_RAM);
	vm.ram_size = MIB(take(&in, 1) % 17);
	image.append = flags & 2 ? "a=1" : "";
	image.nr_modules = (flags >> 2) % 4;
	for (unsigned int i = 0; i < image.nr_modules; i++) {
		image.module[i].size = take(&in, 2);
		if (image.module[i].size > sizeof(m))
			image.module[i].size = sizeof(m);
		image.module[i].data = &m;
		image.module[i].cmdline = i ? "module text" : "";
	}

	if (flags & 1) {
		change_good_image(&in);
	} else {
		memset(&m, 0, sizeof(m));
		m.size = in.left < sizeof(m.file) ? in.left : sizeof(m.file);
		memcpy(m.file, in.data, m.size);
	}

	/* An exact, unaligned copy: the sanitizer sees any access beyond the file. */
	file = malloc(m.size + 1);
	MUST(file);
	memcpy(file + 1, m.file, m.size);
	image.file = file + 1;
	image.size = m.size;

	if (multiboot_load(&vm.vm, &image, &entry, &err))
		MUST(err.text[0] && !strchr(err.text, '\n'));
	else
		check_loaded(&image, &entry);
	free(file);
	return 0;
}
