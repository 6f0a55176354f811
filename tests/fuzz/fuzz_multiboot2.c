/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The boot information parsers (multiboot2, boot blob, PVH) against arbitrary bytes: whatever they
 * accept is within the limits of struct boot_info, with texts that end and modules that do not
 * wrap.
 */
/* link: boot/multiboot2.c boot/blob.c boot/pvh.c hv/host/print.c hv/host/string.c */
/* link: tests/unit/phys_image.c tests/unit/fake_host.c */
#include "boot/blob.h"
#include "boot/multiboot2.h"
#include "boot/pvh.h"
#include "hv/host/errno.h"
#include "tests/fuzz/input.h"
#include "tests/unit/phys_image.h"

#define ASSUMED_ADDRESS 0x1000000 /* where the blob was made for */

static struct boot_info info;

static void check_info(void)
{
	MUST(info.nr_ranges <= BOOT_MAX_RANGES && info.nr_modules <= BOOT_MAX_MODULES);
	MUST(memchr(info.cmdline, 0, sizeof(info.cmdline)));
	MUST(memchr(info.loader, 0, sizeof(info.loader)));
	for (unsigned int i = 0; i < info.nr_modules; i++) {
		MUST(memchr(info.module[i].cmdline, 0, sizeof(info.module[i].cmdline)));
		MUST(info.module[i].base + info.module[i].len >= info.module[i].base);
	}
}

static bool is_error(int ret)
{
	return ret == -EPROTO || ret == -E2BIG || ret == -EFAULT || ret == -ENOENT;
}

/* An 8-byte aligned copy of exactly @len bytes. */
static u8 *copy_of(const u8 *data, size_t len)
{
	u8 *copy = malloc(len ? len : 1);

	MUST(copy);
	memcpy(copy, data, len);
	return copy;
}

/* The information's first field is its size: most of the time let it be right. */
static void try_multiboot2(const u8 *data, size_t len, bool fix)
{
	u8 *mbi = copy_of(data, len);
	u32 total = len;
	int ret;

	if (fix && len >= 4)
		memcpy(mbi, &total, 4);
	ret = multiboot2_parse(&info, mbi, len, 0x9000);
	MUST(!ret || is_error(ret));
	if (!ret) {
		check_info();
		MUST(!info.rsdp || (info.rsdp > 0x9000 && info.rsdp <= 0x9000 + len));
	}
	free(mbi);
}

static void try_blob(const u8 *data, size_t len)
{
	struct blob_header h = { BLOB_MAGIC, ASSUMED_ADDRESS, len, BLOB_MBI };
	u32 total = len - sizeof(h);
	u8 *blob;
	int ret;

	if (len < sizeof(h) + 8)
		return;
	blob = copy_of(data, len);
	memcpy(blob, &h, sizeof(h));
	memcpy(blob + sizeof(h), &total, 4);
	ret = blob_unpack(&info, blob, len, 0x40000000);
	MUST(!ret || is_error(ret));
	if (!ret) {
		check_info();
		for (unsigned int i = 0; i < info.nr_modules; i++)
			MUST(info.module[i].base >= 0x40000000 &&
			     info.module[i].base + info.module[i].len <= 0x40000000 + len);
	} else {
		MUST(info.nr_modules == 0);
	}
	free(blob);
}

static void try_pvh(struct input *in)
{
	struct hvm_start_info start = {
		.magic = PVH_MAGIC,
		.version = take(in, 1),
		.nr_modules = take(in, 1),
		.nr_memmap = take(in, 1),
		.modlist = PHYS_IMAGE_BASE + take(in, 2),
		.cmdline = PHYS_IMAGE_BASE + take(in, 2),
		.memmap = PHYS_IMAGE_BASE + take(in, 2),
	};
	size_t len = in->left < PHYS_IMAGE_SIZE ? in->left : PHYS_IMAGE_SIZE;
	int ret;

	phys_put(PHYS_IMAGE_BASE, in->data, len);
	phys_put(PHYS_IMAGE_BASE, &start, sizeof(start));
	phys_image_use(len > sizeof(start) ? len : sizeof(start));
	ret = pvh_parse(&info, PHYS_IMAGE_BASE, phys_image_read);
	phys_image_forget();
	MUST(!ret || is_error(ret));
	if (!ret)
		check_info();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data, size };
	u8 what = take(&in, 1);

	memset(&info, 0, sizeof(info));
	switch (what % 4) {
	case 0: try_multiboot2(in.data, in.left, false); break;
	case 1: try_multiboot2(in.data, in.left, true); break;
	case 2: try_blob(in.data, in.left); break;
	case 3: try_pvh(&in); break;
	}
	return 0;
}
