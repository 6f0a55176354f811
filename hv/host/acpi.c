/* SPDX-License-Identifier: GPL-2.0-only */
/* ACPI tables: the CPUs (MADT), the PM timer (FADT), the HPET. Firmware is not trusted. */
#include "hv/host/acpi.h"

#include "hv/host/bootinfo.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/print.h"
#include "hv/host/string.h"

#define TABLE_MAX     MIB(1) /* no table we read comes near */
#define LAPIC_DEFAULT 0xfee00000

#define MADT_LAPIC	    0
#define MADT_LAPIC_OVERRIDE 5
#define MADT_X2APIC	    9
#define MADT_ENABLED	    1

#define FADT_FLAGS_TMR_VAL_EXT BIT(8)

#define SPACE_MEMORY 0
#define SPACE_IO     1

typedef const void *(*read_fn)(hpa_t pa, u64 len);

struct acpi_rsdp {
	char signature[8];
	u8 checksum;
	char oem[6];
	u8 revision;
	u32 rsdt;
	/* revision 2 and later: */
	u32 length;
	u64 xsdt;
	u8 checksum2;
	u8 reserved[3];
} __packed;

struct acpi_table {
	char signature[4];
	u32 length;
	u8 revision;
	u8 checksum;
	char oem[6];
	char oem_table[8];
	u32 oem_revision;
	u32 creator;
	u32 creator_revision;
} __packed;

struct acpi_address {
	u8 space;
	u8 bit_width;
	u8 bit_offset;
	u8 access;
	u64 address;
} __packed;

struct acpi_madt {
	struct acpi_table header;
	u32 lapic;
	u32 flags;
	u8 entries[];
} __packed;

struct acpi_fadt {
	struct acpi_table header;
	u8 skipped0[40];
	u32 pm_timer;
	u8 skipped1[11];
	u8 pm_timer_length;
	u8 skipped2[20];
	u32 flags;
	u8 skipped3[92];
	struct acpi_address x_pm_timer;
} __packed;

struct acpi_hpet {
	struct acpi_table header;
	u32 block_id;
	struct acpi_address address;
	u8 number;
	u16 min_tick;
	u8 attributes;
} __packed;

#define RSDP_V1_SIZE 20

_Static_assert(sizeof(struct acpi_rsdp) == 36, "ACPI layout");
_Static_assert(sizeof(struct acpi_table) == 36, "ACPI layout");
_Static_assert(offsetof(struct acpi_madt, entries) == 44, "ACPI layout");
_Static_assert(offsetof(struct acpi_fadt, pm_timer) == 76, "ACPI layout");
_Static_assert(offsetof(struct acpi_fadt, pm_timer_length) == 91, "ACPI layout");
_Static_assert(offsetof(struct acpi_fadt, flags) == 112, "ACPI layout");
_Static_assert(offsetof(struct acpi_fadt, x_pm_timer) == 208, "ACPI layout");
_Static_assert(offsetof(struct acpi_hpet, address) == 40, "ACPI layout");

struct acpi_info acpi_info;

static bool sum_is_zero(const void *p, u64 len)
{
	const u8 *b = p;
	u8 sum = 0;

	while (len--)
		sum = (u8)(sum + *b++);
	return !sum;
}

static const struct acpi_rsdp *read_rsdp(hpa_t pa, read_fn read)
{
	const struct acpi_rsdp *r = read(pa, RSDP_V1_SIZE);

	if (!r || memcmp(r->signature, "RSD PTR ", 8) || !sum_is_zero(r, RSDP_V1_SIZE))
		return NULL;
	return r;
}

hpa_t acpi_scan_rsdp(hpa_t base, u64 len, read_fn read)
{
	hpa_t pa;

	for (pa = ALIGN_UP(base, 16); pa + RSDP_V1_SIZE <= base + len; pa += 16) {
		if (read_rsdp(pa, read))
			return pa;
	}
	return 0;
}

/* Returns the whole table, or NULL: unreadable, of an impossible length, or the sum is wrong. */
static const struct acpi_table *read_table(hpa_t pa, u64 min, read_fn read)
{
	const struct acpi_table *t = read(pa, sizeof(*t));
	u32 length;

	if (!t)
		return NULL;
	length = t->length;
	if (length < min || length > TABLE_MAX)
		return NULL;
	t = read(pa, length);
	return t && sum_is_zero(t, length) ? t : NULL;
}

static void add_cpu(struct acpi_info *out, u32 id)
{
	u32 i;

	for (i = 0; i < out->nr_cpus; i++) {
		if (out->apic_id[i] == id)
			return; /* listed as local APIC and as x2APIC */
	}
	if (out->nr_cpus == MAX_CPUS)
		out->nr_cpus_ignored++;
	else
		out->apic_id[out->nr_cpus++] = id;
}

static u32 get_u32(const u8 *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static int parse_madt(struct acpi_info *out, const struct acpi_table *t)
{
	const struct acpi_madt *madt = (const struct acpi_madt *)t;
	const u8 *e, *end = (const u8 *)t + t->length;

	if (t->length < sizeof(*madt))
		return -EPROTO;
	out->lapic = madt->lapic;
	for (e = madt->entries; end - e >= 2; e += e[1]) {
		if (e[1] < 2 || e[1] > end - e)
			return -EPROTO;
		if (e[0] == MADT_LAPIC && e[1] >= 8 && (get_u32(e + 4) & MADT_ENABLED))
			add_cpu(out, e[3]);
		else if (e[0] == MADT_X2APIC && e[1] >= 16 && (get_u32(e + 8) & MADT_ENABLED))
			add_cpu(out, get_u32(e + 4));
		else if (e[0] == MADT_LAPIC_OVERRIDE && e[1] >= 12)
			memcpy(&out->lapic, e + 4, sizeof(out->lapic));
	}
	return out->nr_cpus ? 0 : -EPROTO;
}

static void parse_fadt(struct acpi_info *out, const struct acpi_table *t)
{
	const struct acpi_fadt *fadt = (const struct acpi_fadt *)t;

	if (t->length < offsetof(struct acpi_fadt, flags) + sizeof(fadt->flags))
		return;
	if (fadt->pm_timer_length == 4)
		out->pm_timer_port = fadt->pm_timer;
	out->pm_timer_32bit = fadt->flags & FADT_FLAGS_TMR_VAL_EXT;
	if (t->length >= sizeof(*fadt) && fadt->x_pm_timer.address &&
	    fadt->x_pm_timer.space == SPACE_IO)
		out->pm_timer_port = (u32)fadt->x_pm_timer.address;
	if (out->pm_timer_port > 0xffff - 3)
		out->pm_timer_port = 0;
}

static void parse_hpet(struct acpi_info *out, const struct acpi_table *t)
{
	const struct acpi_hpet *hpet = (const struct acpi_hpet *)t;

	if (t->length >= sizeof(*hpet) && hpet->address.space == SPACE_MEMORY)
		out->hpet = hpet->address.address;
}

/* One table of the root table. Only a broken MADT matters: the others are conveniences. */
static int parse_table(struct acpi_info *out, hpa_t pa, read_fn read)
{
	const struct acpi_table *t = read(pa, sizeof(*t));
	bool madt = t && !memcmp(t->signature, "APIC", 4);

	if (!t || (!madt && memcmp(t->signature, "FACP", 4) && memcmp(t->signature, "HPET", 4)))
		return 0;
	t = read_table(pa, sizeof(*t), read);
	if (madt) {
		out->present = true;
		return t ? parse_madt(out, t) : -EPROTO;
	}
	if (t && !memcmp(t->signature, "FACP", 4))
		parse_fadt(out, t);
	else if (t)
		parse_hpet(out, t);
	return 0;
}

int acpi_parse(struct acpi_info *out, hpa_t rsdp, read_fn read)
{
	const struct acpi_rsdp *r = read_rsdp(rsdp, read), *whole;
	const struct acpi_table *root = NULL;
	u32 width = 4, at;

	memset(out, 0, sizeof(*out));
	if (!r)
		return -ENOENT;
	whole = r->revision >= 2 ? read(rsdp, sizeof(*r)) : NULL;
	if (whole && sum_is_zero(whole, sizeof(*whole)) && whole->xsdt) {
		root = read_table(whole->xsdt, sizeof(*root), read);
		width = 8;
	}
	if (!root) {
		root = read_table(r->rsdt, sizeof(*root), read);
		width = 4;
	}
	if (!root)
		return -EPROTO;
	for (at = sizeof(*root); at + width <= root->length; at += width) {
		u64 pa = 0;
		int err;

		memcpy(&pa, (const u8 *)root + at, width); /* little endian */
		err = parse_table(out, pa, read);
		if (err)
			return err;
	}
	return out->present ? 0 : -ENOENT;
}

static const void *read_early(hpa_t pa, u64 len)
{
	return len > GIB(4) || pa > GIB(4) - len ? NULL : phys_to_virt(pa);
}

void acpi_init(void)
{
	int err = boot_info.rsdp ? acpi_parse(&acpi_info, boot_info.rsdp, read_early) : -ENOENT;

	if (err == -EPROTO)
		printk("acpi: the tables are broken, going on without\n");
	if (acpi_info.nr_cpus_ignored)
		printk("acpi: %u CPUs more than the %u supported are left out\n",
		       acpi_info.nr_cpus_ignored, MAX_CPUS);
	if (err) {
		acpi_info.present = false;
		acpi_info.nr_cpus = 1;
		acpi_info.lapic = LAPIC_DEFAULT;
	}
}
