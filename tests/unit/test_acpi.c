/* SPDX-License-Identifier: GPL-2.0-only */
/* The ACPI tables: good ones, and firmware that lies. */
/* link: hv/host/acpi.c hv/host/print.c hv/host/string.c */
/* link: tests/unit/phys_image.c tests/unit/fake_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/acpi.h"
#include "hv/host/bootinfo.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/phys_image.h"

#define RSDP 0x10000
#define RSDT 0x10100
#define XSDT 0x10400
#define MADT 0x11000
#define FADT 0x13000
#define HPET 0x14000

struct boot_info boot_info;
u64 direct_map_base;

static struct acpi_info info;

/* --- building tables; all are little-endian byte strings ------------------------------------ */

static void put8(hpa_t pa, u8 v)
{
	phys_put(pa, &v, 1);
}

static void put32(hpa_t pa, u32 v)
{
	phys_put(pa, &v, 4);
}

static void put64(hpa_t pa, u64 v)
{
	phys_put(pa, &v, 8);
}

/* Make @len bytes at @pa sum up to zero by the byte at @at. */
static void checksum(hpa_t pa, u32 len, u32 at)
{
	u8 *p = phys_image + (pa - PHYS_IMAGE_BASE);
	u8 sum = 0;

	p[at] = 0;
	for (u32 i = 0; i < len; i++)
		sum += p[i];
	p[at] = -sum;
}

/* A header; the body is there already. */
static void finish(hpa_t pa, const char *signature, u32 len)
{
	phys_put(pa, signature, 4);
	put32(pa + 4, len);
	checksum(pa, len, 9);
}

static void put_rsdp(u8 revision)
{
	phys_put(RSDP, "RSD PTR ", 8);
	put8(RSDP + 15, revision);
	put32(RSDP + 16, RSDT);
	put32(RSDP + 20, 36);
	put64(RSDP + 24, XSDT);
	checksum(RSDP, 20, 8);
	checksum(RSDP, 36, 32);
}

/* A root table, RSDT or XSDT, that lists MADT, FADT and HPET. */
static void put_root(hpa_t pa, const char *signature, u32 width)
{
	static const u32 tables[] = { MADT, FADT, HPET };

	for (u32 i = 0; i < ARRAY_SIZE(tables); i++) {
		put64(pa + 36 + i * width, tables[i]);
	}
	finish(pa, signature, 36 + ARRAY_SIZE(tables) * width);
}

static u32 madt_len;

static void madt_begin(void)
{
	put32(MADT + 36, 0xfee00000);
	madt_len = 44;
}

static void madt_lapic(u8 id, u32 flags)
{
	u8 e[8] = { 0, 8, 7, id };

	memcpy(e + 4, &flags, 4);
	phys_put(MADT + madt_len, e, sizeof(e));
	madt_len += sizeof(e);
}

static void madt_x2apic(u32 id, u32 flags)
{
	u8 e[16] = { 9, 16 };

	memcpy(e + 4, &id, 4);
	memcpy(e + 8, &flags, 4);
	phys_put(MADT + madt_len, e, sizeof(e));
	madt_len += sizeof(e);
}

static void madt_end(void)
{
	finish(MADT, "APIC", madt_len);
}

static int setup(void **state)
{
	memset(phys_image, 0, sizeof(phys_image));
	phys_image_use(sizeof(phys_image));
	put_rsdp(2);
	put_root(RSDT, "RSDT", 4);
	put_root(XSDT, "XSDT", 8);
	madt_begin();
	madt_lapic(0, 1);
	madt_lapic(3, 1);
	madt_end();
	put32(FADT + 76, 0x608);
	put8(FADT + 91, 4);
	put32(FADT + 112, 1 << 8);
	finish(FADT, "FACP", 116);
	put64(HPET + 44, 0xfed00000);
	finish(HPET, "HPET", 56);
	return 0;
}

static int teardown(void **state)
{
	phys_image_forget();
	return 0;
}

static int parse(void)
{
	int ret;

	memset(&info, 0xee, sizeof(info));
	ret = acpi_parse(&info, RSDP, phys_image_read);
	phys_image_forget();
	return ret;
}

static void check_usual(void)
{
	assert_true(info.present);
	assert_int_equal(info.nr_cpus, 2);
	assert_int_equal(info.apic_id[0], 0);
	assert_int_equal(info.apic_id[1], 3);
	assert_int_equal(info.lapic, 0xfee00000);
	assert_int_equal(info.pm_timer_port, 0x608);
	assert_true(info.pm_timer_32bit);
	assert_int_equal(info.hpet, 0xfed00000);
	assert_int_equal(info.nr_cpus_ignored, 0);
}

static void test_usual(void **state)
{
	for (u8 revision = 0; revision <= 2; revision++) {
		put_rsdp(revision);
		assert_int_equal(parse(), 0);
		check_usual();
	}
}

/* Revision 0 has no XSDT; revision 2 with a broken one falls back. */
static void test_root_tables(void **state)
{
	put8(XSDT, 'Y');
	put_rsdp(0);
	assert_int_equal(parse(), 0);
	check_usual();
	put_rsdp(2);
	assert_int_equal(parse(), 0); /* sum is wrong: RSDT */
	check_usual();

	put_root(XSDT, "XSDT", 8);
	put8(RSDT, 'Y');
	assert_int_equal(parse(), 0);
	check_usual();
	put8(XSDT, 'Y');
	assert_int_equal(parse(), -EPROTO);

	/* The second checksum covers the XSDT's address: without it, RSDT. */
	put_root(RSDT, "RSDT", 4);
	put_root(XSDT, "XSDT", 8);
	put64(RSDP + 24, 0x10008);
	assert_int_equal(parse(), 0);
	check_usual();
	/* The root pointer may be cut off at the end of memory behind its first form. */
	put_rsdp(0);
	assert_int_equal(parse(), 0);
}

static void test_no_rsdp(void **state)
{
	put8(RSDP + 8, phys_image[8] + 1);
	assert_int_equal(parse(), -ENOENT);
	put_rsdp(2);
	put8(RSDP, 'X');
	checksum(RSDP, 20, 8);
	assert_int_equal(parse(), -ENOENT);
	assert_int_equal(acpi_parse(&info, 0, phys_image_read), -ENOENT);
	assert_int_equal(info.nr_cpus, 0);
	assert_int_equal(acpi_parse(&info, UINT64_MAX, phys_image_read), -ENOENT);
}

static void test_no_madt(void **state)
{
	finish(MADT, "SSDT", madt_len);
	assert_int_equal(parse(), -ENOENT);
	assert_int_equal(info.pm_timer_port, 0x608);
}

static void test_madt_entries(void **state)
{
	u8 override[12] = { 5, 12 };
	u64 base = 0x1fee00000;

	madt_begin();
	madt_lapic(1, 0); /* disabled */
	madt_lapic(2, 1);
	madt_lapic(4, 2);  /* could be enabled later: not now */
	madt_x2apic(2, 1); /* the same CPU again */
	madt_x2apic(0x12345, 1);
	madt_x2apic(7, 0);
	memcpy(override + 4, &base, 8);
	phys_put(MADT + madt_len, override, sizeof(override));
	madt_len += sizeof(override);
	phys_put(MADT + madt_len, "\x01\x0c          ", 12); /* an I/O APIC */
	madt_len += 12;
	madt_end();
	assert_int_equal(parse(), 0);
	assert_int_equal(info.nr_cpus, 2);
	assert_int_equal(info.apic_id[0], 2);
	assert_int_equal(info.apic_id[1], 0x12345);
	assert_int_equal(info.lapic, base);
}

/* Entries shorter than their kind has fields are passed over. */
static void test_madt_short_entries(void **state)
{
	madt_lapic(9, 1);
	put8(MADT + madt_len - 7, 7); /* length */
	madt_len -= 1;
	madt_end();
	assert_int_equal(parse(), 0);
	check_usual();
}

static void test_madt_lies(void **state)
{
	static const u8 lengths[] = { 0, 1, 9, 255 };

	for (unsigned int i = 0; i < ARRAY_SIZE(lengths); i++) {
		put8(MADT + 44 + 8 + 1, lengths[i]); /* of the last entry */
		madt_end();
		assert_int_equal(parse(), -EPROTO);
	}
	put8(MADT + 44 + 8 + 1, 8);
	madt_end();
	assert_int_equal(parse(), 0);
	put8(MADT + 9, 0x77 ^ phys_image[MADT - PHYS_IMAGE_BASE + 9]);
	assert_int_equal(parse(), -EPROTO);

	madt_begin();
	madt_end();
	assert_int_equal(parse(), -EPROTO); /* no CPU at all */
	finish(MADT, "APIC", 40);
	assert_int_equal(parse(), -EPROTO); /* not even its own fields */
}

static void test_lengths(void **state)
{
	static const u32 lengths[] = { 0, 35, 0x10000, 0x100001, 0xffffffff };

	for (unsigned int i = 0; i < ARRAY_SIZE(lengths); i++) {
		setup(state);
		put32(MADT + 4, lengths[i]);
		assert_int_equal(parse(), -EPROTO);
		/* A broken table that is a mere convenience is left out. */
		setup(state);
		put32(FADT + 4, lengths[i]);
		put32(HPET + 4, lengths[i]);
		assert_int_equal(parse(), 0);
		assert_int_equal(info.pm_timer_port, 0);
		assert_int_equal(info.hpet, 0);
		assert_int_equal(info.nr_cpus, 2);
	}
}

/* Addresses in the root table that lead nowhere. */
static void test_pointers(void **state)
{
	put64(XSDT + 36 + 8, 0);
	put64(XSDT + 36 + 16, UINT64_MAX - 8);
	finish(XSDT, "XSDT", 36 + 24);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.pm_timer_port, 0);
	assert_int_equal(info.hpet, 0);
	/* Half an entry at the end is none. */
	setup(state);
	finish(XSDT, "XSDT", 36 + 15);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.pm_timer_port, 0);
}

static void test_many_cpus(void **state)
{
	madt_begin();
	for (u32 i = 0; i < MAX_CPUS + 3; i++)
		madt_x2apic(1000 + i, 1);
	madt_end();
	assert_int_equal(parse(), 0);
	assert_int_equal(info.nr_cpus, MAX_CPUS);
	assert_int_equal(info.nr_cpus_ignored, 3);
	assert_int_equal(info.apic_id[MAX_CPUS - 1], 1000 + MAX_CPUS - 1);
}

static void put_fadt(u32 port, u8 len, u32 flags, u8 space, u64 x_port, u32 size)
{
	put32(FADT + 76, port);
	put8(FADT + 91, len);
	put32(FADT + 112, flags);
	put8(FADT + 208, space);
	put64(FADT + 212, x_port);
	finish(FADT, "FACP", size);
}

static void test_pm_timer(void **state)
{
	static const struct {
		u32 port;
		u8 len;
		u8 space;
		u64 x_port;
		u32 size;
		u32 want;
	} cases[] = {
		{ 0x608, 4, 1, 0xb008, 244, 0xb008 }, /* the extended address counts */
		{ 0x608, 4, 0, 0xb008, 244, 0x608 },  /* but not in memory space */
		{ 0x608, 4, 1, 0, 244, 0x608 },
		{ 0x608, 4, 1, 0xb008, 219, 0x608 }, /* not all there */
		{ 0x608, 0, 1, 0, 244, 0 },	     /* no timer */
		{ 0xfffc, 4, 1, 0, 244, 0xfffc },
		{ 0xfffd, 4, 1, 0, 244, 0 }, /* not a port */
		{ 0x608, 4, 1, 0x12345678, 244, 0 },
		{ 0x608, 4, 1, 0, 115, 0 }, /* table too short */
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		put_fadt(cases[i].port, cases[i].len, 0, cases[i].space, cases[i].x_port,
			 cases[i].size);
		assert_int_equal(parse(), 0);
		if (info.pm_timer_port != cases[i].want)
			fail_msg("case %u: port %#x", i, info.pm_timer_port);
		assert_false(info.pm_timer_32bit);
	}
}

static void test_hpet(void **state)
{
	put8(HPET + 40, 1); /* in I/O space: not usable */
	finish(HPET, "HPET", 56);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.hpet, 0);
	put8(HPET + 40, 0);
	finish(HPET, "HPET", 55);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.hpet, 0);
}

/* Cut the memory off anywhere: no read beyond it, and never a CPU that is not in the tables. */
static void test_truncated_memory(void **state)
{
	for (size_t size = 0; size < 0x5000; size++) {
		setup(state);
		phys_image_use(size);
		(void)parse();
		assert_true(info.nr_cpus <= 2);
	}
}

static void test_scan(void **state)
{
	assert_int_equal(acpi_scan_rsdp(0x10000, 0x1000, phys_image_read), RSDP);
	assert_int_equal(acpi_scan_rsdp(0x10000, 20, phys_image_read), RSDP);
	assert_int_equal(acpi_scan_rsdp(0x10000, 19, phys_image_read), 0);
	assert_int_equal(acpi_scan_rsdp(0x10001, 0x1000, phys_image_read), 0);
	assert_int_equal(acpi_scan_rsdp(0xfff1, 0x1000, phys_image_read), RSDP);
	phys_put(0x10208, phys_image, 20); /* not on a boundary */
	phys_put(0x10310, phys_image, 20);
	assert_int_equal(acpi_scan_rsdp(0x10200, 0x1000, phys_image_read), 0x10310);
}

/* Without tables there is one CPU, and its APIC where it always is. */
static void test_init(void **state)
{
	boot_info.rsdp = 0;
	acpi_init();
	assert_false(acpi_info.present);
	assert_int_equal(acpi_info.nr_cpus, 1);
	assert_int_equal(acpi_info.lapic, 0xfee00000);
	boot_info.rsdp = GIB(4); /* not reachable this early */
	acpi_init();
	assert_false(acpi_info.present);
	assert_int_equal(acpi_info.nr_cpus, 1);
	assert_string_equal(fake_console_take(), "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_usual),
		TEST(test_root_tables),
		TEST(test_no_rsdp),
		TEST(test_no_madt),
		TEST(test_madt_entries),
		TEST(test_madt_short_entries),
		TEST(test_madt_lies),
		TEST(test_lengths),
		TEST(test_pointers),
		TEST(test_many_cpus),
		TEST(test_pm_timer),
		TEST(test_hpet),
		TEST(test_truncated_memory),
		TEST(test_scan),
		TEST(test_init),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
