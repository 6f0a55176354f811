/* SPDX-License-Identifier: GPL-2.0-only */
/* The boot information parsers: multiboot2, the boot blob, PVH. */
/* link: boot/multiboot2.c boot/blob.c boot/pvh.c hv/host/print.c hv/host/string.c */
/* link: tests/unit/phys_image.c tests/unit/fake_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "boot/blob.h"
#include "boot/multiboot2.h"
#include "boot/pvh.h"
#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "tests/unit/phys_image.h"

#define MBI_PA 0x9000

static struct boot_info info;

/* --- building an information block --------------------------------------------------------- */

static u8 mbi[65536];
static u32 mbi_len;

static void begin(void)
{
	memset(mbi, 0, sizeof(mbi));
	memset(&info, 0, sizeof(info));
	mbi_len = 8;
}

/* A tag of @size bytes after its 8-byte head, padded. Returns where its contents are. */
static u8 *tag(u32 type, const void *contents, u32 size)
{
	u32 head[2] = { type, 8 + size };
	u8 *at = mbi + mbi_len;

	memcpy(at, head, 8);
	if (contents)
		memcpy(at + 8, contents, size);
	mbi_len += ALIGN_UP(8 + size, 8);
	return at + 8;
}

static void module(u32 start, u32 end, const char *cmdline)
{
	u8 body[300];
	u32 size = 8 + strlen(cmdline) + 1;

	memcpy(body, &start, 4);
	memcpy(body + 4, &end, 4);
	memcpy(body + 8, cmdline, size - 8);
	tag(MB2_TAG_MODULE, body, size);
}

static void mmap(u32 entry_size, u32 n)
{
	u32 head[2] = { entry_size, 0 };
	u8 *at = tag(MB2_TAG_MMAP, NULL, 8 + n * entry_size);

	memcpy(at, head, 8);
	for (u32 i = 0; i < n; i++) {
		u64 base = i * 0x1000, len = 0x1000;
		u32 type = i % 2 + 1;

		memcpy(at + 8 + i * entry_size, &base, 8);
		memcpy(at + 16 + i * entry_size, &len, 8);
		memcpy(at + 24 + i * entry_size, &type, 4);
	}
}

/* Parse an exact copy, so that the sanitizer sees any look beyond @len. */
static int parse_bytes(u64 len)
{
	u8 *copy = malloc(len ? len : 1);
	int ret;

	assert_non_null(copy);
	memcpy(copy, mbi, len);
	ret = multiboot2_parse(&info, copy, len, MBI_PA);
	free(copy);
	return ret;
}

static int finish(void)
{
	tag(MB2_TAG_END, NULL, 0);
	memcpy(mbi, &mbi_len, 4);
	return parse_bytes(mbi_len);
}

static void test_multiboot2(void **state)
{
	u8 rsdp[20] = "RSD PTR ";

	begin();
	tag(MB2_TAG_CMDLINE, "exits n=1", 10);
	tag(MB2_TAG_LOADER, "GRUB 2.06", 10);
	module(0x800000, 0x800123, "kernel.elf a b");
	module(0x900000, 0x900000, "");
	mmap(24, 3);
	tag(99, "unknown", 8);
	tag(MB2_TAG_ACPI_OLD, rsdp, sizeof(rsdp));
	assert_int_equal(finish(), 0);
	assert_string_equal(info.path, "multiboot2");
	assert_string_equal(info.cmdline, "exits n=1");
	assert_string_equal(info.loader, "GRUB 2.06");
	assert_int_equal(info.nr_modules, 2);
	assert_int_equal(info.module[0].base, 0x800000);
	assert_int_equal(info.module[0].len, 0x123);
	assert_string_equal(info.module[0].cmdline, "kernel.elf a b");
	assert_int_equal(info.module[1].len, 0);
	assert_int_equal(info.nr_ranges, 3);
	assert_int_equal(info.range[2].base, 0x2000);
	assert_int_equal(info.range[1].len, 0x1000);
	assert_int_equal(info.range[1].type, 2);
	assert_int_equal(info.rsdp, MBI_PA + mbi_len - 8 - 24); /* in front of the end tag */
	assert_false(info.efi);
}

static void test_empty(void **state)
{
	begin();
	assert_int_equal(finish(), 0);
	assert_int_equal(info.nr_modules, 0);
	assert_string_equal(info.cmdline, "");
}

/* The newer root pointer wins, in either order. */
static void test_rsdp(void **state)
{
	u8 rsdp[36] = "RSD PTR ";

	begin();
	tag(MB2_TAG_ACPI_NEW, rsdp, 36);
	tag(MB2_TAG_ACPI_OLD, rsdp, 20);
	assert_int_equal(finish(), 0);
	assert_int_equal(info.rsdp, MBI_PA + 16);
	begin();
	tag(MB2_TAG_ACPI_OLD, rsdp, 20);
	tag(MB2_TAG_ACPI_NEW, rsdp, 36);
	assert_int_equal(finish(), 0);
	assert_int_equal(info.rsdp, MBI_PA + 8 + 32 + 8);
}

static void test_efi(void **state)
{
	static const u32 types[] = { MB2_TAG_EFI32, MB2_TAG_EFI64, MB2_TAG_EFI_MMAP,
				     MB2_TAG_EFI32_IH, MB2_TAG_EFI64_IH };

	for (unsigned int i = 0; i < ARRAY_SIZE(types); i++) {
		begin();
		tag(types[i], NULL, 8);
		assert_int_equal(finish(), 0);
		assert_true(info.efi);
	}
}

static void test_mmap(void **state)
{
	begin();
	mmap(40, 2); /* entries may grow */
	assert_int_equal(finish(), 0);
	assert_int_equal(info.nr_ranges, 2);
	assert_int_equal(info.range[1].base, 0x1000);

	static const u32 bad[] = { 0, 8, 23, 28, 0xfffffffc };

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		begin();
		mmap(24, 2);
		memcpy(mbi + 16, &bad[i], 4);
		assert_int_equal(finish(), -EPROTO);
	}
	begin();
	tag(MB2_TAG_MMAP, NULL, 4); /* shorter than its own fields */
	assert_int_equal(finish(), -EPROTO);
	begin();
	mmap(24, BOOT_MAX_RANGES);
	assert_int_equal(finish(), 0);
	begin();
	mmap(24, BOOT_MAX_RANGES + 1);
	assert_int_equal(finish(), -E2BIG);
}

static void test_texts(void **state)
{
	char text[BOOT_CMDLINE_MAX + 1];

	memset(text, 'x', sizeof(text));
	text[BOOT_CMDLINE_MAX - 1] = '\0';
	begin();
	tag(MB2_TAG_CMDLINE, text, BOOT_CMDLINE_MAX);
	assert_int_equal(finish(), 0);
	assert_int_equal(strlen(info.cmdline), BOOT_CMDLINE_MAX - 1);

	text[BOOT_CMDLINE_MAX - 1] = 'x';
	text[BOOT_CMDLINE_MAX] = '\0';
	begin();
	tag(MB2_TAG_CMDLINE, text, BOOT_CMDLINE_MAX + 1);
	assert_int_equal(finish(), -E2BIG);

	begin();
	tag(MB2_TAG_CMDLINE, "abc", 3); /* does not end inside the tag */
	assert_int_equal(finish(), -EPROTO);
	begin();
	tag(MB2_TAG_CMDLINE, NULL, 0);
	assert_int_equal(finish(), -EPROTO);

	/* A loader's long name is cut, not refused. */
	begin();
	text[100] = '\0';
	tag(MB2_TAG_LOADER, text, 101);
	assert_int_equal(finish(), 0);
	assert_int_equal(strlen(info.loader), sizeof(info.loader) - 1);
}

static void test_modules(void **state)
{
	begin();
	module(2, 1, "x"); /* ends before it starts */
	assert_int_equal(finish(), -EPROTO);
	begin();
	tag(MB2_TAG_MODULE, NULL, 7);
	assert_int_equal(finish(), -EPROTO);
	begin();
	tag(MB2_TAG_MODULE, "\0\0\0\0\1\0\0\0abc", 11); /* its text does not end */
	assert_int_equal(finish(), -EPROTO);
	begin();
	for (int i = 0; i < BOOT_MAX_MODULES; i++)
		module(0, 1, "m");
	assert_int_equal(finish(), 0);
	begin();
	for (int i = 0; i <= BOOT_MAX_MODULES; i++)
		module(0, 1, "m");
	assert_int_equal(finish(), -E2BIG);
}

static void put_u32(u32 at, u32 v)
{
	memcpy(mbi + at, &v, 4);
}

static void test_sizes(void **state)
{
	begin();
	tag(MB2_TAG_CMDLINE, "abcdefg", 8);
	assert_int_equal(finish(), 0);
	assert_int_equal(parse_bytes(mbi_len - 1), -EPROTO); /* more than is readable */
	put_u32(0, mbi_len - 8);			     /* no end tag */
	assert_int_equal(parse_bytes(mbi_len), -EPROTO);
	put_u32(0, 7);
	assert_int_equal(parse_bytes(mbi_len), -EPROTO);
	put_u32(0, 0xffffffff);
	assert_int_equal(parse_bytes(mbi_len), -EPROTO);
	assert_int_equal(parse_bytes(7), -EPROTO);
	assert_int_equal(parse_bytes(0), -EPROTO);
	put_u32(0, mbi_len);

	static const u32 bad[] = { 0, 7, 0x80000000, 0xffffffff, 17 + 8 };

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		put_u32(12, bad[i]);
		assert_int_equal(parse_bytes(mbi_len), -EPROTO);
	}
}

/* --- the boot blob ------------------------------------------------------------------------- */

#define ASSUMED_ADDRESS 0x1000000

static u8 blob[0x3000];

static void make_blob(void)
{
	struct blob_header h = { BLOB_MAGIC, ASSUMED_ADDRESS, sizeof(blob), BLOB_MBI };

	begin();
	tag(MB2_TAG_CMDLINE, "guest mem=8", 12);
	module(ASSUMED_ADDRESS + 0x1000, ASSUMED_ADDRESS + 0x1800, "k");
	module(ASSUMED_ADDRESS + 0x2000, ASSUMED_ADDRESS + 0x3000, "m");
	assert_int_equal(finish(), 0);
	memcpy(blob, &h, sizeof(h));
	memcpy(blob + BLOB_MBI, mbi, mbi_len);
	memset(&info, 0, sizeof(info));
}

static void test_blob(void **state)
{
	struct blob_header *h = (struct blob_header *)blob;

	make_blob();
	info.nr_modules = 1;
	assert_int_equal(blob_unpack(&info, blob, sizeof(blob), 0x5000000), 0);
	assert_string_equal(info.cmdline, "guest mem=8");
	assert_int_equal(info.nr_modules, 2);
	assert_int_equal(info.module[0].base, 0x5001000);
	assert_int_equal(info.module[0].len, 0x800);
	assert_int_equal(info.module[1].base, 0x5002000);
	assert_string_equal(info.module[1].cmdline, "m");

	str_copy(info.cmdline, "mine", sizeof(info.cmdline));
	assert_int_equal(blob_unpack(&info, blob, sizeof(blob), 0x5000000), 0);
	assert_string_equal(info.cmdline, "mine");

	assert_int_equal(blob_unpack(&info, blob, 15, 0), -ENOENT);
	assert_int_equal(blob_unpack(&info, blob, sizeof(blob) - 1, 0), -EPROTO);
	h->magic++;
	assert_int_equal(blob_unpack(&info, blob, sizeof(blob), 0), -ENOENT);
}

static void test_blob_lies(void **state)
{
	static const u32 bad_mbi[] = { 0, 8, 20, sizeof(blob) + 8, 0xfffffff8 };
	struct blob_header *h = (struct blob_header *)blob;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad_mbi); i++) {
		make_blob();
		h->mbi = bad_mbi[i];
		assert_int_equal(blob_unpack(&info, blob, sizeof(blob), 0), -EPROTO);
	}
	make_blob();
	h->mbi = sizeof(blob);
	assert_int_equal(blob_unpack(&info, blob, sizeof(blob), 0), -EPROTO);
	make_blob();
	h->address += 0x1001; /* the first module is in front of the blob */
	assert_int_equal(blob_unpack(&info, blob, sizeof(blob), 0), -EPROTO);
	make_blob();
	h->address -= 1; /* the last one ends behind it */
	assert_int_equal(blob_unpack(&info, blob, sizeof(blob), 0), -EPROTO);
	make_blob();
	h->address = 0; /* both far behind it */
	assert_int_equal(blob_unpack(&info, blob, sizeof(blob), 0), -EPROTO);
	assert_int_equal(info.nr_modules, 0); /* nothing was taken over */
}

/* --- PVH ----------------------------------------------------------------------------------- */

#define START_INFO 0x10000
#define CMDLINE	   0x10100
#define MEMMAP	   0x11000
#define MODLIST	   0x13000
#define MODTEXT	   0x14000

static struct hvm_start_info start;

static int parse_pvh(void)
{
	int ret;

	memset(&info, 0, sizeof(info));
	phys_put(START_INFO, &start, sizeof(start));
	ret = pvh_parse(&info, START_INFO, phys_image_read);
	phys_image_forget();
	return ret;
}

static int setup_pvh(void **state)
{
	struct hvm_memmap_entry e[2] = { { 0, 0x9fc00, 1, 0 }, { 0x100000, 0x700000, 1, 0 } };
	struct hvm_modlist_entry m[2] = { { 0x800000, 0x1234, MODTEXT, 0 }, { 0x900000, 1, 0, 0 } };

	memset(phys_image, 0, sizeof(phys_image));
	phys_image_use(sizeof(phys_image));
	phys_put(CMDLINE, "exits n=2", 10);
	phys_put(MEMMAP, e, sizeof(e));
	phys_put(MODLIST, m, sizeof(m));
	phys_put(MODTEXT, "kernel x", 9);
	start = (struct hvm_start_info){
		.magic = PVH_MAGIC,
		.version = 1,
		.nr_modules = 2,
		.modlist = MODLIST,
		.cmdline = CMDLINE,
		.rsdp = 0xf5a20,
		.memmap = MEMMAP,
		.nr_memmap = 2,
	};
	return 0;
}

static void test_pvh(void **state)
{
	assert_int_equal(parse_pvh(), 0);
	assert_string_equal(info.path, "pvh");
	assert_string_equal(info.cmdline, "exits n=2");
	assert_int_equal(info.rsdp, 0xf5a20);
	assert_int_equal(info.nr_ranges, 2);
	assert_int_equal(info.range[1].base, 0x100000);
	assert_int_equal(info.range[1].len, 0x700000);
	assert_int_equal(info.nr_modules, 2);
	assert_int_equal(info.module[0].len, 0x1234);
	assert_string_equal(info.module[0].cmdline, "kernel x");
	assert_string_equal(info.module[1].cmdline, "initrd");

	start.nr_modules = 0;
	start.modlist = 0;
	start.cmdline = 0;
	assert_int_equal(parse_pvh(), 0);
	assert_string_equal(info.cmdline, "");
}

static void test_pvh_lies(void **state)
{
	struct hvm_start_info good = start;

	start.magic++;
	assert_int_equal(parse_pvh(), -EPROTO);
	start = good;
	start.version = 0;
	assert_int_equal(parse_pvh(), -EPROTO);
	start = good;
	start.nr_memmap = 0;
	assert_int_equal(parse_pvh(), -EPROTO);
	start.nr_memmap = BOOT_MAX_RANGES + 1;
	assert_int_equal(parse_pvh(), -E2BIG);
	start.nr_memmap = 0xffffffff;
	assert_int_equal(parse_pvh(), -E2BIG);
	start = good;
	start.nr_modules = BOOT_MAX_MODULES + 1;
	assert_int_equal(parse_pvh(), -E2BIG);
	start = good;
	start.memmap = UINT64_MAX - 8;
	assert_int_equal(parse_pvh(), -EFAULT);
	start = good;
	start.modlist = 0x20000 - 63;
	assert_int_equal(parse_pvh(), -EFAULT);
	start = good;
	start.cmdline = UINT64_MAX;
	assert_int_equal(parse_pvh(), -EFAULT);
	start = good;
	assert_int_equal(pvh_parse(&info, 0x20000 - 8, phys_image_read), -EFAULT);
}

static void test_pvh_texts(void **state)
{
	u8 x[BOOT_CMDLINE_MAX];

	/* A text that runs into the end of memory, and one that just ends there. */
	phys_put(0x1fff8, "xxxxxxxx", 8);
	start.cmdline = 0x1fff8;
	assert_int_equal(parse_pvh(), -EFAULT);
	phys_put(0x1ffff, "", 1);
	assert_int_equal(parse_pvh(), 0);
	assert_string_equal(info.cmdline, "xxxxxxx");

	memset(x, 'x', sizeof(x));
	phys_put(0x16000, x, sizeof(x));
	start.cmdline = 0x16000;
	assert_int_equal(parse_pvh(), -E2BIG);
	phys_put(0x16000 + BOOT_CMDLINE_MAX - 1, "", 1);
	assert_int_equal(parse_pvh(), 0);
	assert_int_equal(strlen(info.cmdline), BOOT_CMDLINE_MAX - 1);
}

static void test_pvh_module_wraps(void **state)
{
	u64 size = UINT64_MAX;

	phys_put(MODLIST + 8, &size, 8);
	assert_int_equal(parse_pvh(), -EFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_multiboot2),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_rsdp),
		cmocka_unit_test(test_efi),
		cmocka_unit_test(test_mmap),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_modules),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_blob),
		cmocka_unit_test(test_blob_lies),
		cmocka_unit_test_setup(test_pvh, setup_pvh),
		cmocka_unit_test_setup(test_pvh_lies, setup_pvh),
		cmocka_unit_test_setup(test_pvh_texts, setup_pvh),
		cmocka_unit_test_setup(test_pvh_module_wraps, setup_pvh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
