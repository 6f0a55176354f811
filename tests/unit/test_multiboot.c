/* SPDX-License-Identifier: GPL-2.0-only */
/* The multiboot 1 loader: every header error, both ways to load, the guest's RAM byte for byte. */
/* link: hv/dev/multiboot.c hv/dev/mbload.c hv/dev/elf.c hv/dev/load.c hv/dev/memmap.c */
/* link: hv/host/print.c hv/host/string.c hv/host/errno.c */
/* link: tests/unit/make_elf.c tests/unit/fake_vm.c tests/unit/fake_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/dev/mbinfo.h"
#include "hv/dev/memmap.h"
#include "hv/dev/multiboot.h"
#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "tests/unit/fake_vm.h"
#include "tests/unit/make_elf.h"

#define RAM   MIB(16)
#define MAGIC 0x1badb002u

static struct make_elf m;
static struct load_plan plan;
static struct load_error err;

static void good_file(void)
{
	make_elf_begin(&m, false, 0x400010);
	make_elf_segment(&m, 0x400000, 0x300, 0x300);
	make_elf_segment(&m, 0x500000, 0x123, 0x2000);
	make_elf_finish(&m);
	make_elf_multiboot(&m, 3);
}

static int parse(size_t size)
{
	u8 *copy = malloc(size + 1);
	int ret;

	assert_non_null(copy);
	memcpy(copy + 1, m.file, size);
	err.text[0] = '\0';
	ret = multiboot_parse(&plan, copy + 1, size, &err);
	free(copy);
	return ret;
}

static void put_header(size_t at, u32 magic, u32 flags, u32 checksum)
{
	u32 header[3] = { magic, flags, checksum };

	memcpy(m.file + at, header, sizeof(header));
}

static void test_header(void **state)
{
	good_file();
	assert_int_equal(parse(m.size), 0);
	assert_int_equal(plan.nr_segments, 2);
	assert_int_equal(plan.entry, 0x400010);

	/* The last place that counts, and the first that does not. */
	memset(m.file + MAKE_ELF_MULTIBOOT, 0, 12);
	m.size = 0x3000;
	put_header(8192 - 12, MAGIC, 0, -MAGIC);
	assert_int_equal(parse(m.size), 0);
	put_header(8192 - 12, 0, 0, 0);
	put_header(8192 - 8, MAGIC, 0, -MAGIC);
	assert_int_equal(parse(m.size), -ENOEXEC);
	assert_string_equal(err.text, "no multiboot header in the first 8192 bytes");
	assert_int_equal(parse(64), -ENOEXEC);
	assert_string_equal(err.text, "no multiboot header in the first 64 bytes");
	assert_int_equal(parse(0), -ENOEXEC);
	assert_string_equal(err.text, "the file is empty");
}

static void test_header_alignment(void **state)
{
	good_file();
	memset(m.file + MAKE_ELF_MULTIBOOT, 0, 12);
	put_header(MAKE_ELF_MULTIBOOT + 2, MAGIC, 0, -MAGIC);
	assert_int_equal(parse(m.size), -ENOEXEC);
}

/* A magic number that is not a header must not hide the header behind it. */
static void test_header_checksum(void **state)
{
	good_file();
	put_header(MAKE_ELF_MULTIBOOT, MAGIC, 3, 0);
	assert_int_equal(parse(m.size), -ENOEXEC);
	assert_string_equal(err.text, "multiboot header with a wrong checksum");
	put_header(MAKE_ELF_MULTIBOOT + 4, MAGIC, 0, -MAGIC);
	assert_int_equal(parse(m.size), 0);
}

static void test_header_flags(void **state)
{
	good_file();
	make_elf_multiboot(&m, 0xfffe0003); /* the optional half may be ignored */
	assert_int_equal(parse(m.size), 0);
	make_elf_multiboot(&m, 0x8013);
	assert_int_equal(parse(m.size), -ENOEXEC);
	assert_string_equal(err.text, "multiboot header needs flags 0x8010: not known here");
	make_elf_multiboot(&m, 4);
	assert_int_equal(parse(m.size), -ENOEXEC);
	assert_string_equal(err.text,
			    "multiboot header needs a video mode (flag 2): there is no display");
}

static void test_not_elf(void **state)
{
	good_file();
	m.file[0] = 0;
	assert_int_equal(parse(m.size), -ENOEXEC);
	assert_string_equal(err.text, "not an ELF file (no magic number)");
}

/* The address form: the header at file offset 0x40, the file 0x1000 bytes. */
static void put_addresses(u32 header, u32 load, u32 load_end, u32 bss_end, u32 entry)
{
	u32 words[8] = { MAGIC,	  0x10000, 0u - (MAGIC + 0x10000), header, load, load_end,
			 bss_end, entry };

	memset(&m, 0, sizeof(m));
	m.size = 0x1000;
	for (size_t i = 0; i < m.size; i++)
		m.file[i] = make_elf_byte(i);
	memcpy(m.file + 0x40, words, sizeof(words));
}

static void test_addresses(void **state)
{
	put_addresses(0x100040, 0x100000, 0, 0, 0x100060);
	assert_int_equal(parse(m.size), 0);
	assert_int_equal(plan.nr_segments, 1);
	assert_int_equal(plan.segment[0].offset, 0);
	assert_int_equal(plan.segment[0].gpa, 0x100000);
	assert_int_equal(plan.segment[0].filesz, 0x1000);
	assert_int_equal(plan.segment[0].memsz, 0x1000);
	assert_int_equal(plan.entry, 0x100060);

	put_addresses(0x100040, 0x100020, 0x100800, 0x102000, 0x100020);
	assert_int_equal(parse(m.size), 0);
	assert_int_equal(plan.segment[0].offset, 0x20);
	assert_int_equal(plan.segment[0].gpa, 0x100020);
	assert_int_equal(plan.segment[0].filesz, 0x7e0);
	assert_int_equal(plan.segment[0].memsz, 0x1fe0);

	/* Such a file may be ELF besides; the addresses count. */
	memcpy(m.file, "\177ELF", 4);
	assert_int_equal(parse(m.size), 0);
	assert_int_equal(plan.segment[0].offset, 0x20);
}

static void test_address_errors(void **state)
{
	static const struct {
		u32 header, load, load_end, bss_end, entry;
		const char *line;
	} cases[] = {
		{ 0x100040, 0x100041, 0, 0, 0x100040,
		  "multiboot load_addr 0x100041 lies above header_addr 0x100040" },
		{ 0x100040, 0xffffe, 0, 0, 0x100040,
		  "multiboot load_addr 0xffffe lies 0x2 bytes before the file's start" },
		{ 0x100040, 0x100000, 0x100000, 0, 0x100040,
		  "multiboot load_end_addr 0x100000 is not above load_addr 0x100000" },
		{ 0x100040, 0x100000, 0x101001, 0, 0x100040,
		  "multiboot load_end_addr 0x101001: the file ends at 0x101000" },
		{ 0x100040, 0x100000, 0x100800, 0x1007ff, 0x100040,
		  "multiboot bss_end_addr 0x1007ff lies below the data's end 0x100800" },
		{ 0x100040, 0x100000, 0, 0x100fff, 0x100040,
		  "multiboot bss_end_addr 0x100fff lies below the data's end 0x101000" },
		{ 0x100040, 0x100000, 0x100800, 0, 0x100800,
		  "multiboot entry_addr 0x100800: nothing is loaded there" },
		{ 0x100040, 0x100000, 0, 0, 0xfffff,
		  "multiboot entry_addr 0xfffff: nothing is loaded there" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		put_addresses(cases[i].header, cases[i].load, cases[i].load_end, cases[i].bss_end,
			      cases[i].entry);
		if (parse(m.size) != -ENOEXEC || strcmp(err.text, cases[i].line))
			fail_msg("case %u: \"%s\"", i, err.text);
	}

	put_addresses(0x100040, 0x100000, 0, 0, 0x100060);
	assert_int_equal(parse(0x40 + 31), -ENOEXEC);
	assert_string_equal(err.text,
			    "multiboot header at offset 0x40 is cut off before its addresses");
}

/* --- loading ------------------------------------------------------------------------------- */

static struct multiboot_image image_of(const char *append)
{
	return (struct multiboot_image){
		.file = m.file,
		.size = m.size,
		.name = "kernel.elf",
		.append = append,
	};
}

static int load(struct fake_vm *vm, const struct multiboot_image *image,
		struct multiboot_entry *entry)
{
	err.text[0] = '\0';
	return multiboot_load(&vm->vm, image, entry, &err);
}

static const struct mb_info *info_at(const struct fake_vm *vm, const struct multiboot_entry *entry)
{
	assert_true(entry->ebx % 4096 == 0);
	assert_true(entry->ebx + sizeof(struct mb_info) <= vm->ram_size);
	return (const struct mb_info *)(vm->ram + entry->ebx);
}

/* The guest's view of a text: it must end inside RAM. */
static const char *text_at(const struct fake_vm *vm, u32 gpa)
{
	assert_true(gpa < vm->ram_size);
	assert_non_null(memchr(vm->ram + gpa, 0, vm->ram_size - gpa));
	return (const char *)vm->ram + gpa;
}

static void check_memory_map(const struct fake_vm *vm, const struct mb_info *info)
{
	struct mb_mmap entry[3];

	assert_int_equal(info->mmap_length, sizeof(entry));
	memcpy(entry, vm->ram + info->mmap_addr, sizeof(entry));
	for (int i = 0; i < 3; i++)
		assert_int_equal(entry[i].size, 20);
	assert_int_equal(entry[0].base, 0);
	assert_int_equal(entry[0].len, 0x9fc00);
	assert_int_equal(entry[0].type, 1);
	assert_int_equal(entry[1].base, 0x9fc00);
	assert_int_equal(entry[1].len, 0x60400);
	assert_int_equal(entry[1].type, 2);
	assert_int_equal(entry[2].base, 0x100000);
	assert_int_equal(entry[2].len, vm->ram_size - 0x100000);
	assert_int_equal(entry[2].type, 1);
	assert_int_equal(info->mem_lower, 639);
	assert_int_equal(info->mem_upper, (vm->ram_size >> 10) - 1024);
}

static void test_load(void **state)
{
	static const char mod0[] = "NR_CPUS=2\n", mod1[5000] = "second";
	struct multiboot_image image;
	struct multiboot_entry entry;
	const struct mb_info *info;
	const struct mb_mod *mod;
	struct fake_vm vm;

	good_file();
	fake_vm_init(&vm, RAM);
	image = image_of("a=1 b=\"x y\"");
	image.nr_modules = 2;
	image.module[0] = (struct multiboot_module){ mod0, 10, "env" };
	image.module[1] = (struct multiboot_module){ mod1, sizeof(mod1), "" };
	assert_int_equal(load(&vm, &image, &entry), 0);

	assert_int_equal(entry.eip, 0x400010);
	assert_int_equal(entry.eax, 0x2badb002);
	assert_in_range(entry.ebx, 0x1000, 0x9fbff);
	info = info_at(&vm, &entry);
	assert_int_equal(info->flags, 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9);
	assert_string_equal(text_at(&vm, info->cmdline), "kernel.elf a=1 b=\"x y\"");
	assert_string_equal(text_at(&vm, info->boot_loader_name), "Stillpoint");
	check_memory_map(&vm, info);

	assert_int_equal(info->mods_count, 2);
	mod = (const struct mb_mod *)(vm.ram + info->mods_addr);
	assert_int_equal(mod[0].start, 0x502000);
	assert_int_equal(mod[0].end, 0x50200a);
	assert_memory_equal(vm.ram + mod[0].start, mod0, 10);
	assert_string_equal(text_at(&vm, mod[0].cmdline), "env");
	assert_int_equal(mod[1].start, 0x503000);
	assert_int_equal(mod[1].end, 0x503000 + sizeof(mod1));
	assert_memory_equal(vm.ram + mod[1].start, mod1, sizeof(mod1));
	assert_string_equal(text_at(&vm, mod[1].cmdline), "");
	fake_vm_destroy(&vm);
}

/* Outside the segments, the modules and the information block nothing is touched. */
static void test_load_touches_nothing_else(void **state)
{
	struct multiboot_image image;
	struct multiboot_entry entry;
	struct fake_vm vm;

	good_file();
	fake_vm_init(&vm, RAM);
	image = image_of(NULL);
	image.nr_modules = 1;
	image.module[0] = (struct multiboot_module){ "abc", 3, "m" };
	assert_int_equal(load(&vm, &image, &entry), 0);
	for (gpa_t gpa = 0; gpa < RAM; gpa++) {
		bool ours = (gpa >= 0x400000 && gpa < 0x400300) ||
			    (gpa >= 0x500000 && gpa < 0x502003) ||
			    (gpa >= entry.ebx && gpa < entry.ebx + 4096);

		if (!ours && vm.ram[gpa] != FAKE_VM_UNTOUCHED)
			fail_msg("%#lx was written", gpa);
	}
	for (gpa_t gpa = 0x500123; gpa < 0x502000; gpa++)
		assert_int_equal(vm.ram[gpa], 0);
	assert_string_equal(text_at(&vm, info_at(&vm, &entry)->cmdline), "kernel.elf");
	fake_vm_destroy(&vm);
}

/* An image all over low memory: the information block goes behind the modules. */
static void test_low_memory_full(void **state)
{
	struct multiboot_image image;
	struct multiboot_entry entry;
	struct fake_vm vm;

	make_elf_begin(&m, false, 0x1000);
	make_elf_segment(&m, 0x1000, 0x100, 0x9ec00);
	make_elf_segment(&m, 0x100000, 0x100, 0x1000);
	make_elf_finish(&m);
	make_elf_multiboot(&m, 0);
	fake_vm_init(&vm, RAM);
	image = image_of("");
	assert_int_equal(load(&vm, &image, &entry), 0);
	assert_int_equal(entry.ebx, 0x101000);
	assert_string_equal(text_at(&vm, info_at(&vm, &entry)->cmdline), "kernel.elf");

	image.nr_modules = 1;
	image.module[0] = (struct multiboot_module){ m.file, 0x1001, "m" };
	assert_int_equal(load(&vm, &image, &entry), 0);
	assert_int_equal(entry.ebx, 0x103000);
	fake_vm_destroy(&vm);
}

/* An image at the end of RAM: the modules go below it. */
static void test_no_room_above(void **state)
{
	struct multiboot_image image;
	struct multiboot_entry entry;
	struct fake_vm vm;

	make_elf_begin(&m, false, RAM - 0x1000);
	make_elf_segment(&m, RAM - 0x1000, 0x100, 0x1000);
	make_elf_finish(&m);
	make_elf_multiboot(&m, 0);
	fake_vm_init(&vm, RAM);
	image = image_of("");
	image.nr_modules = 1;
	image.module[0] = (struct multiboot_module){ m.file, 4096, "m" };
	assert_int_equal(load(&vm, &image, &entry), 0);
	assert_int_equal(((struct mb_mod *)(vm.ram + info_at(&vm, &entry)->mods_addr))->start,
			 0x100000);
	fake_vm_destroy(&vm);
}

static void test_load_errors(void **state)
{
	static char big[MIB(2)];
	struct multiboot_image image;
	struct multiboot_entry entry;
	char text[1100];
	struct fake_vm vm;

	good_file();
	fake_vm_init(&vm, RAM);

	image = image_of("");
	image.nr_modules = 2;
	image.module[0] = (struct multiboot_module){ "x", 1, "first" };
	image.module[1] = (struct multiboot_module){ "", 0, "second one" };
	assert_int_equal(load(&vm, &image, &entry), -EINVAL);
	assert_string_equal(err.text, "guest module 1 (second one) is empty");

	image.nr_modules = MULTIBOOT_MAX_MODULES + 1;
	assert_int_equal(load(&vm, &image, &entry), -E2BIG);
	assert_string_equal(err.text, "16 guest modules: at most 15");

	image.nr_modules = 6;
	for (int i = 0; i < 6; i++)
		image.module[i] = (struct multiboot_module){ big, sizeof(big), "m" };
	assert_int_equal(load(&vm, &image, &entry), -ENOSPC);
	assert_string_equal(err.text,
			    "no room for 6 guest modules (12288 KB) beside the image in 16 MB");

	memset(text, 'a', sizeof(text));
	text[1024] = '\0';
	image.nr_modules = 1;
	image.module[0].cmdline = text;
	assert_int_equal(load(&vm, &image, &entry), -E2BIG);
	assert_string_equal(err.text, "guest module 0: command line of 1024 bytes: at most 1023");

	image = image_of(text);
	text[1024 - 11] = '\0';
	assert_int_equal(load(&vm, &image, &entry), -E2BIG);
	assert_string_equal(err.text, "guest command line of 1024 bytes: at most 1023");
	text[1024 - 12] = '\0';
	assert_int_equal(load(&vm, &image, &entry), 0);

	vm.fail_writes_from = 0x500000;
	assert_int_equal(load(&vm, &image, &entry), -ENOMEM);
	vm.fail_writes_from = 0;
	assert_int_equal(load(&vm, &image, &entry), -ENOMEM);
	vm.fail_writes_from = 0x9d000;
	memset(m.file + 0x34, 0, 64); /* nothing to load */
	assert_int_equal(load(&vm, &image, &entry), -ENOEXEC);
	fake_vm_destroy(&vm);
}

/* Guest memory fails below the information block only: its own writes report it. */
static void test_info_write_error(void **state)
{
	struct multiboot_image image;
	struct multiboot_entry entry;
	struct fake_vm vm;

	make_elf_begin(&m, false, 0x1000);
	make_elf_segment(&m, 0x1000, 0x100, 0x1000);
	make_elf_finish(&m);
	make_elf_multiboot(&m, 0);
	fake_vm_init(&vm, RAM);
	vm.fail_writes_from = 0x9e000;
	image = image_of("");
	assert_int_equal(load(&vm, &image, &entry), -ENOMEM);
	assert_non_null(strstr(err.text, "guest memory: ENOMEM"));
	fake_vm_destroy(&vm);
}

static void test_ram_sizes(void **state)
{
	struct multiboot_image image;
	struct multiboot_entry entry;
	struct fake_vm vm;

	good_file();
	fake_vm_init(&vm, MIB(16));
	image = image_of("");
	vm.ram_size = MIB(2) - 4096;
	assert_int_equal(load(&vm, &image, &entry), -EINVAL);
	assert_string_equal(err.text, "guest RAM of 2044 KB: must be 2 MB to 3072 MB");
	vm.ram_size = GIB(3) + 1;
	assert_int_equal(load(&vm, &image, &entry), -EINVAL);
	assert_string_equal(err.text, "guest RAM of 3145728 KB: must be 2 MB to 3072 MB");
	vm.ram_size = MIB(4);
	assert_int_equal(load(&vm, &image, &entry), -EFAULT);
	assert_string_equal(err.text,
			    "segment 0 at 0x400000, 0x300 bytes: not in the guest's RAM (4 MB)");
	fake_vm_destroy(&vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_header_alignment),
		cmocka_unit_test(test_header_checksum),
		cmocka_unit_test(test_header_flags),
		cmocka_unit_test(test_not_elf),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_address_errors),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_load_touches_nothing_else),
		cmocka_unit_test(test_low_memory_full),
		cmocka_unit_test(test_no_room_above),
		cmocka_unit_test(test_load_errors),
		cmocka_unit_test(test_info_write_error),
		cmocka_unit_test(test_ram_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
