/* SPDX-License-Identifier: GPL-2.0-only */
/* Segments and stacks that the CPU itself looks up: GDT, TSS, IST. One set per CPU. */
#include "hv/host/gdt.h"

#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/paging.h"
#include "hv/host/percpu.h"
#include "hv/host/x86.h"

#define SEG_CODE64 0x00af9b000000ffffull
#define SEG_DATA   0x00cf93000000ffffull
#define SEG_TSS	   0x0000890000000000ull /* available 64-bit TSS */

/* Room for a panic: formatting, symbols, the trace. The NMI handler needs a fraction. */
#define IST_STACK_SIZE	KIB(8)
#define BOOT_STACK_SIZE KIB(4)

static struct x86_tables boot_tables;
static u8 boot_ist_stack[BOOT_STACK_SIZE] __aligned(16);

static void fill_gdt(struct x86_tables *t)
{
	u64 base = (u64)(uintptr_t)&t->tss;

	t->gdt[GDT_CODE / 8] = SEG_CODE64;
	t->gdt[GDT_DATA / 8] = SEG_DATA;
	t->gdt[GDT_TSS / 8] = SEG_TSS | (sizeof(t->tss) - 1) | (base & 0xffffff) << 16 |
			      (base >> 24 & 0xff) << 56;
	t->gdt[GDT_TSS / 8 + 1] = base >> 32;
	t->tss.iomap = sizeof(t->tss);
}

void gdt_load(struct x86_tables *t)
{
	struct {
		u16 limit;
		u64 base;
	} __packed gdtr = { sizeof(t->gdt) - 1, (u64)(uintptr_t)t->gdt };

	t->gdt[GDT_TSS / 8] &= ~(2ull << 40); /* LTR wants a TSS that is not busy */
	__asm__ volatile(
		"lgdt %0\n\t"
		"mov %w1, %%ds\n\t"
		"mov %w1, %%es\n\t"
		"mov %w1, %%ss\n\t"
		"pushq %2\n\t"
		"leaq 1f(%%rip), %%rax\n\t"
		"pushq %%rax\n\t"
		"lretq\n"
		"1:\tltr %w3"
		:
		: "m"(gdtr), "r"(GDT_DATA), "i"(GDT_CODE), "r"(GDT_TSS)
		: "rax", "memory");
}

void gdt_init_boot(void)
{
	unsigned int i;

	for (i = 0; i < IST_STACKS; i++)
		boot_tables.tss.ist[i] = (u64)(uintptr_t)(boot_ist_stack + BOOT_STACK_SIZE);
	fill_gdt(&boot_tables);
	cpus[0]->tables = &boot_tables;
	gdt_load(&boot_tables);
}

int gdt_init_cpu(struct cpu *c)
{
	struct x86_tables *t = kzalloc(sizeof(*t));
	unsigned int i;

	if (!t)
		return -ENOMEM;
	for (i = 0; i < IST_STACKS; i++) {
		u8 *stack = stack_alloc(IST_STACK_SIZE);

		if (!stack)
			goto no_memory;
		t->tss.ist[i] = (u64)(uintptr_t)(stack + IST_STACK_SIZE);
	}
	fill_gdt(t);
	c->tables = t;
	return 0;

no_memory:
	while (i--)
		stack_free((u8 *)(uintptr_t)t->tss.ist[i] - IST_STACK_SIZE, IST_STACK_SIZE);
	kfree(t);
	return -ENOMEM;
}
