/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ACPI parser against arbitrary tables. The input says where tables are and what is in them;
 * their checksums are made right most of the time, or nothing would get past them.
 */
/* link: hv/host/acpi.c hv/host/print.c hv/host/string.c */
/* link: tests/unit/phys_image.c tests/unit/fake_host.c */
#include "hv/host/acpi.h"
#include "hv/host/bootinfo.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "tests/fuzz/input.h"
#include "tests/unit/phys_image.h"

struct boot_info boot_info;
u64 direct_map_base;

static struct acpi_info info;

/* Make @len bytes of the image sum up to zero by the byte at @at. */
static void checksum(u32 start, u32 len, u32 at)
{
	u8 sum = 0;

	phys_image[start + at] = 0;
	for (u32 i = 0; i < len; i++)
		sum += phys_image[start + i];
	phys_image[start + at] = -sum;
}

static void put_u32(u32 at, u32 v)
{
	memcpy(phys_image + at, &v, 4);
}

/* One table of up to 255 bytes from the input, at @at. */
static void put_table(struct input *in, u32 at, const char *signature, bool pointers)
{
	u8 flags = take(in, 1);
	u32 len = 36 + take(in, 1);

	for (u32 i = 36; i < len; i++)
		phys_image[at + i] = take(in, 1);
	if (pointers) /* mostly to where tables are */
		for (u32 i = 36; i + 8 <= len; i += 4)
			put_u32(at + i, PHYS_IMAGE_BASE + (phys_image[at + i] % 8) * 0x200);
	memcpy(phys_image + at, signature, 4);
	put_u32(at + 4, flags & 1 ? len : take(in, 4));
	if (flags & 0xfe)
		checksum(at, len, 9);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data, size };
	int ret;

	memset(phys_image, 0, 0x1000);
	memcpy(phys_image, "RSD PTR ", 8);
	phys_image[15] = take(&in, 1) % 3;
	put_u32(16, PHYS_IMAGE_BASE + 0x200);
	put_u32(24, PHYS_IMAGE_BASE + 0x400);
	checksum(0, 20, 8);
	checksum(0, 36, 32);
	put_table(&in, 0x200, "RSDT", true);
	put_table(&in, 0x400, "XSDT", take(&in, 1) & 1);
	put_table(&in, 0x600, "APIC", false);
	put_table(&in, 0x800, "FACP", false);
	put_table(&in, 0xa00, "HPET", false);
	phys_image_use(0x800 + take(&in, 2) % 0x800);

	ret = acpi_parse(&info, PHYS_IMAGE_BASE, phys_image_read);
	phys_image_forget();
	MUST(ret == 0 || ret == -ENOENT || ret == -EPROTO);
	MUST(info.nr_cpus <= MAX_CPUS);
	MUST(!info.nr_cpus_ignored || info.nr_cpus == MAX_CPUS);
	MUST(info.pm_timer_port <= 0xffff - 3);
	MUST(ret || (info.present && info.nr_cpus));
	for (u32 i = 0; i < info.nr_cpus; i++)
		for (u32 j = 0; j < i; j++)
			MUST(info.apic_id[i] != info.apic_id[j]);
	return 0;
}
