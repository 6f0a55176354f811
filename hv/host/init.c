/* SPDX-License-Identifier: GPL-2.0-only */
/* The order in which hv/host comes up. */
#include "hv/host/init.h"

#include "hv/host/acpi.h"
#include "hv/host/apic.h"
#include "hv/host/bootinfo.h"
#include "hv/host/console.h"
#include "hv/host/errno.h"
#include "hv/host/gdt.h"
#include "hv/host/irq.h"
#include "hv/host/mem.h"
#include "hv/host/paging.h"
#include "hv/host/patience.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/smp.h"
#include "hv/host/string.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "hv/host/trace.h"

#define IDLE_STACK_SIZE	 KIB(16)
#define MAX_HOLES	 (BOOT_MAX_MODULES + 4)
#define EARLY_MAP_END	 GIB(4)	 /* the early page tables reach so far */
#define DIRECT_MAP_LIMIT BIT(46) /* bytes of address space for the direct map */
#define LOW_MEMORY_END	 0xa0000
#define BDA_EBDA	 0x40e /* real-mode segment of the extended BIOS data area */

noreturn void call_on_stack(void *top, void (*fn)(void));

static struct boot_range holes[MAX_HOLES];
static unsigned int nr_holes;
static struct boot_range ram[BOOT_MAX_RANGES + MAX_HOLES];
static hpa_t trampoline_page;

static void reserve(hpa_t base, u64 len)
{
	BUG_ON(nr_holes == MAX_HOLES);
	holes[nr_holes++] = (struct boot_range){
		.base = ALIGN_DOWN(base, PAGE_SIZE),
		.len = ALIGN_UP(base + len, PAGE_SIZE) - ALIGN_DOWN(base, PAGE_SIZE),
		.type = BOOT_MEM_RESERVED,
	};
}

/* What of the memory map's RAM must not be handed out. */
static void reserve_used(void)
{
	unsigned int i;
	u16 ebda;

	reserve(0, PAGE_SIZE); /* so that a frame number 0 is always a mistake */
	reserve(boot_info.image_base, boot_info.image_size);
	for (i = 0; i < boot_info.nr_modules; i++) {
		if (boot_info.module[i].len)
			reserve(boot_info.module[i].base, boot_info.module[i].len);
	}
	if (boot_info.efi)
		return;
	/* Not every BIOS takes its own data area out of the map. */
	memcpy(&ebda, phys_to_virt(BDA_EBDA), sizeof(ebda));
	if (ebda >= 0x8000 && ebda < LOW_MEMORY_END >> 4)
		reserve((hpa_t)ebda << 4, LOW_MEMORY_END - ((hpa_t)ebda << 4));
}

/* The highest free page below 1 MiB: loaders leave their information further down. */
static void reserve_trampoline(void)
{
	unsigned int i, n = boot_ram(&boot_info, holes, nr_holes, ram);

	for (i = 0; i < n; i++) {
		u64 end = min_u64(ram[i].base + ram[i].len, LOW_MEMORY_END);
		hpa_t page = ALIGN_DOWN(end, PAGE_SIZE) - PAGE_SIZE;

		if (end >= PAGE_SIZE && page >= ram[i].base)
			trampoline_page = page;
	}
	if (trampoline_page)
		reserve(trampoline_page, PAGE_SIZE);
}

/* Give the allocator what lies in [@from, @to). */
static void add_free_ram(unsigned int n, hpa_t from, hpa_t to)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		hpa_t base = max_u64(ram[i].base, from);
		hpa_t end = min_u64(ram[i].base + ram[i].len, to);

		if (base < end)
			page_add_range(base, end - base);
	}
}

/*
 * RAM below 4 GiB is reachable through the early tables, and the final ones are built from it. The
 * rest follows once these are loaded.
 */
static void memory_init(void)
{
	unsigned int n;
	int err;

	reserve_used();
	reserve_trampoline();
	n = boot_ram(&boot_info, holes, nr_holes, ram);
	add_free_ram(n, 0, EARLY_MAP_END);
	n = boot_ram(&boot_info, NULL, 0, ram);
	while (n && ram[n - 1].base >= DIRECT_MAP_LIMIT)
		n--;
	if (n && ram[n - 1].base + ram[n - 1].len > DIRECT_MAP_LIMIT)
		ram[n - 1].len = DIRECT_MAP_LIMIT - ram[n - 1].base;
	err = paging_init(ram, n);
	if (err)
		machine_exit(RUN_PANIC, "cannot build the page tables: %s", errno_name(err));
	n = boot_ram(&boot_info, holes, nr_holes, ram);
	add_free_ram(n, EARLY_MAP_END, DIRECT_MAP_LIMIT);
}

static void start_main(void)
{
	if (gdt_init_cpu(this_cpu()))
		panic("no memory for the boot CPU's tables");
	gdt_load(this_cpu()->tables);
	apic_init_cpu();
	if (time_init())
		panic("no timer to calibrate the TSC against: PIT, HPET and PM timer stand still");
	patience_init();
	timer_init_cpu();
	if (trace_init_cpu())
		panic("no memory for the trace of CPU 0");
	thread_init_cpu();
	if (smp_init(trampoline_page) < 0)
		panic("no memory for the other CPUs");
	if (thread_create(NULL, 0, "main", image_main, NULL))
		panic("no memory for the main thread");
	thread_idle();
}

void host_init(void)
{
	u8 *stack;

	percpu_init_boot();
	gdt_init_boot();
	exception_init();
	console_init();
	if (boot_info.error == -E2BIG)
		machine_exit(RUN_USAGE,
			     "too long a command line or module name, or too many modules");
	if (boot_info.error)
		machine_exit(RUN_USAGE, "the boot loader's information is broken: %s",
			     errno_name(boot_info.error));
	acpi_init();
	memory_init();
	stack = stack_alloc(IDLE_STACK_SIZE);
	if (!stack)
		panic("no memory for the boot CPU's stack");
	call_on_stack(stack + IDLE_STACK_SIZE, start_main);
}
