/* SPDX-License-Identifier: GPL-2.0-only */
/* Free RAM of the guest, and the page tables that reach it. */
#include "guest/rt/exit.h"
#include "guest/rt/layout.h"
#include "guest/rt/ram.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"

#define MAP_MAX GIB(512) /* one page-directory-pointer table */
#define PTE_PW	0x3
#define PDE_2M	0x83

extern u64 boot_pdpt[512];
extern const char image_start[], image_end[];

struct ram_range ram_free[RAM_FREE_MAX];
unsigned int ram_nr_free;

static void add_range(u64 base, u64 end)
{
	if (base >= end)
		return;
	if (ram_nr_free == RAM_FREE_MAX) {
		printk("guest: RAM is in more than %u pieces\n", RAM_FREE_MAX);
		guest_exit(GUEST_USAGE);
	}
	ram_free[ram_nr_free++] = (struct ram_range){ base, end - base };
}

/* Take [base, end) out of every range, which may leave a piece on both sides. */
static void reserve(u64 base, u64 end)
{
	for (unsigned int i = ram_nr_free; i-- > 0;) {
		struct ram_range r = ram_free[i];

		if (r.base >= end || r.base + r.len <= base)
			continue;
		ram_free[i] = ram_free[--ram_nr_free];
		add_range(r.base, ALIGN_DOWN(min_u64(base, r.base + r.len), PAGE_SIZE));
		add_range(ALIGN_UP(max_u64(end, r.base), PAGE_SIZE), r.base + r.len);
	}
}

void *ram_take(u64 len, u64 align)
{
	struct ram_range *best = NULL;
	u64 best_base = 0;

	len = ALIGN_UP(len, PAGE_SIZE);
	for (unsigned int i = 0; i < ram_nr_free; i++) {
		struct ram_range *r = &ram_free[i];
		u64 base = ALIGN_DOWN(r->base + r->len - min_u64(len, r->len), align);

		if (len > r->len || base < r->base || r->base + r->len > GIB(4))
			continue;
		if (!best || base > best_base) {
			best = r;
			best_base = base;
		}
	}
	if (!best) {
		printk("guest: no %llu bytes of free RAM below 4 GiB\n", (unsigned long long)len);
		guest_exit(GUEST_USAGE);
	}
	reserve(best_base, best_base + len);
	return (void *)(uintptr_t)best_base;
}

u64 ram_total(void)
{
	u64 total = 0;

	for (unsigned int i = 0; i < boot_nr_ram; i++)
		total += boot_ram[i].len;
	return total;
}

/* The boot tables end at 4 GiB. */
static void extend_map(void)
{
	u64 end = GIB(BOOT_MAP_GIB);

	for (unsigned int i = 0; i < ram_nr_free; i++)
		end = max_u64(end, ram_free[i].base + ram_free[i].len);
	for (u64 gib = BOOT_MAP_GIB; GIB(gib) < end; gib++) {
		u64 *pd = ram_take(PAGE_SIZE, PAGE_SIZE);

		for (u64 i = 0; i < 512; i++)
			pd[i] = (GIB(gib) + MIB(2) * i) | PDE_2M;
		boot_pdpt[gib] = (u64)(uintptr_t)pd | PTE_PW;
	}
}

void ram_init(void)
{
	for (unsigned int i = 0; i < boot_nr_ram; i++) {
		struct ram_range *r = &boot_ram[i];

		if (r->base + r->len > MAP_MAX)
			printk("guest: RAM from %#llx is used up to 512 GiB only\n",
			       (unsigned long long)r->base);
		add_range(ALIGN_UP(r->base, PAGE_SIZE),
			  ALIGN_DOWN(min_u64(r->base + r->len, MAP_MAX), PAGE_SIZE));
	}
	reserve(0, PAGE_SIZE);
	reserve(AP_PAGE, AP_PAGE + PAGE_SIZE);
	reserve((u64)(uintptr_t)image_start, (u64)(uintptr_t)image_end);
	for (unsigned int i = 0; i < boot_nr_modules; i++) {
		struct module *m = &boot_module[i];

		if (m->len)
			reserve(ALIGN_DOWN(m->base, PAGE_SIZE), m->base + m->len);
	}
	extend_map();
}
