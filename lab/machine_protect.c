/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `machine`: what may be written cannot be executed, what may be executed cannot be
 * written, and what should fault does. Tried out rather than read from the page tables, and on
 * every CPU, since CR0.WP and EFER.NXE are each CPU's own.
 */
#include "hv/host/backtrace.h"
#include "hv/host/bootinfo.h"
#include "hv/host/gdt.h"
#include "hv/host/ktap.h"
#include "hv/host/mem.h"
#include "hv/host/paging.h"
#include "hv/host/percpu.h"
#include "hv/host/thread.h"
#include "hv/host/x86.h"
#include "lab/machine.h"

#define RET		0xc3
#define CODE_SIZE	16
#define NULL_PAGE_SHOTS 4

/* A function in each kind of data: where it can be executed, calling it returns. */
static const u8 code_in_rodata[CODE_SIZE] __aligned(16) = { RET };
static u8 code_in_data[CODE_SIZE] __aligned(16) = { RET };
static u8 code_in_bss[CODE_SIZE] __aligned(16);
static u8 *code_in_page;

static noinline void code_in_text(void)
{
	__asm__ volatile("");
}

static u64 *words(const void *p)
{
	return (u64 *)(uintptr_t)p;
}

static bool readable(const void *p)
{
	u64 v;

	return !read_safe(words(p), &v);
}

/* With the value that is there, in case it can be written. */
static bool writable(const void *p)
{
	u64 v;

	return !read_safe(words(p), &v) && !write_safe(words(p), v);
}

static hpa_t image_pa(const void *p)
{
	return (u64)(uintptr_t)p - KERNEL_VMA - LINK_BASE + boot_info.image_base;
}

static bool probes_work(void)
{
	u64 here = 0;

	return readable(&here) && writable(&here) && readable(code_in_text) &&
	       !call_safe(code_in_text);
}

static bool text_is_read_only(void)
{
	return !writable(code_in_text);
}

static bool rodata_is_read_only(void)
{
	return readable(code_in_rodata) && !writable(code_in_rodata);
}

static bool no_writable_alias(void)
{
	return !readable(phys_to_virt(image_pa(code_in_text))) &&
	       !readable(phys_to_virt(image_pa(code_in_rodata)));
}

static bool page_0_faults(void)
{
	bool faults = true;

	for (u64 i = 0; i < NULL_PAGE_SHOTS; i++) {
		const void *p = (void *)(uintptr_t)(i * (PAGE_SIZE - 8) / (NULL_PAGE_SHOTS - 1));

		faults &= !readable(p) && write_safe(words(p), 0);
	}
	return faults;
}

/* Where the early page tables had it. */
static bool identity_map_is_gone(void)
{
	return !readable((void *)(uintptr_t)boot_info.image_base) &&
	       !readable((void *)(uintptr_t)image_pa(code_in_data));
}

static bool stack_has_guard(void)
{
	u64 at = ALIGN_DOWN((u64)(uintptr_t)__builtin_frame_address(0), PAGE_SIZE), pages = 0;

	while (pages <= THREAD_STACK_SIZE / PAGE_SIZE && readable((void *)(uintptr_t)at)) {
		at -= PAGE_SIZE;
		pages++;
	}
	return pages <= THREAD_STACK_SIZE / PAGE_SIZE && paging_is_guard(at) &&
	       write_safe(words((void *)(uintptr_t)(at + PAGE_SIZE - 8)), 0);
}

static bool trap_stacks_have_guards(void)
{
	const struct tss64 *tss = &this_cpu()->tables->tss;
	bool guarded = true;

	for (unsigned int i = 0; i < IST_STACKS; i++) {
		const u8 *top = (const u8 *)(uintptr_t)tss->ist[i];

		guarded &= writable(top - 8) && !readable(top) && paging_is_guard(tss->ist[i]);
	}
	return guarded;
}

static bool data_is_not_executable(void)
{
	return writable(code_in_data) && call_safe(code_in_data) && writable(code_in_bss) &&
	       call_safe(code_in_bss) && call_safe(code_in_rodata);
}

static bool memory_is_not_executable(void)
{
	return writable(code_in_page) && call_safe(code_in_page);
}

static bool stack_is_not_executable(void)
{
	u8 code[CODE_SIZE] __aligned(16) = { RET };

	return writable(code) && call_safe(code);
}

static bool page_0_is_not_executable(void)
{
	return call_safe(NULL);
}

static const struct probe {
	bool (*holds)(void);
	bool needs_nx;
	const char *name;
} probes[] = {
	{ probes_work, false, "what is allowed is possible" },
	{ text_is_read_only, false, "text cannot be written" },
	{ rodata_is_read_only, false, "read-only data cannot be written" },
	{ no_writable_alias, false, "nor has either of them a writable alias" },
	{ page_0_faults, false, "page 0 can neither be read nor written" },
	{ identity_map_is_gone, false, "no image is left at its physical address" },
	{ stack_has_guard, false, "a thread's stack ends in a guard page" },
	{ trap_stacks_have_guards, false, "the stacks of NMIs and double faults have guard pages" },
	{ data_is_not_executable, true, "data cannot be executed" },
	{ memory_is_not_executable, true, "memory from the allocator cannot be executed" },
	{ stack_is_not_executable, true, "a stack cannot be executed" },
	{ page_0_is_not_executable, true, "a call of a null pointer faults" },
};

static bool has_nx(void)
{
	return cpuid(0x80000001, 0).edx & CPUID80000001_NX;
}

/* Without NX a fetch that faults cannot be told from a read, and would be fatal. */
static void try_all(u32 cpu, void *arg)
{
	_Atomic u64 *failed = arg;

	for (unsigned int i = 0; i < ARRAY_SIZE(probes); i++)
		if ((!probes[i].needs_nx || has_nx()) && !probes[i].holds())
			atomic_fetch_or(&failed[i], BIT(cpu));
}

void machine_test_protection(void)
{
	_Atomic u64 failed[ARRAY_SIZE(probes)] = { 0 };

	code_in_bss[0] = RET;
	code_in_page = page_alloc(0, 0);
	if (!code_in_page) {
		ktap_result(false, "there is memory for a page");
		return;
	}
	code_in_page[0] = RET;
	if (machine_on_every_cpu(try_all, failed)) {
		for (unsigned int i = 0; i < ARRAY_SIZE(probes); i++) {
			if (probes[i].needs_nx && !has_nx())
				ktap_skip("the CPU has no no-execute pages", "%s", probes[i].name);
			else
				machine_result(failed[i], probes[i].name);
		}
	}
	page_free(code_in_page, 0);
}
