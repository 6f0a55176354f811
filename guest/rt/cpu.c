/* SPDX-License-Identifier: GPL-2.0-only */
/* GDT, IDT and TSS of the guest. */
#include "guest/rt/cpu.h"
#include "hv/host/trap_stubs.h"

#define TSS_AVAILABLE 0x89 /* P, DPL 0, 64-bit TSS */

struct gate idt[256] __aligned(16);
static struct tss tss[GUEST_MAX_CPUS] __aligned(16);

struct tss *cpu_tss(u32 index)
{
	return &tss[index];
}

void idt_init(void)
{
	for (unsigned int v = 0; v < ARRAY_SIZE(idt); v++) {
		u64 stub = (u64)(uintptr_t)(trap_stubs + v * TRAP_STUB_SIZE);

		idt[v] = (struct gate){
			.offset0 = (u16)stub,
			.offset1 = (u16)(stub >> 16),
			.offset2 = (u32)(stub >> 32),
			.selector = SEL_CODE64,
			.type = GATE_INTERRUPT,
		};
	}
	gate_set_ist(idt, 8, IST_DF);
}

void gate_set_ist(struct gate *table, u8 vector, u8 ist)
{
	table[vector].ist = ist;
}

void cpu_tables_init(u32 index, u64 ist_top)
{
	u64 base = (u64)(uintptr_t)&tss[index];
	u64 *desc = &gdt[(SEL_TSS >> 3) + 2 * index];

	tss[index].ist[IST_DF - 1] = ist_top;
	tss[index].iomap_base = sizeof(struct tss);
	desc[0] = (sizeof(struct tss) - 1) | (base & 0xffffff) << 16 | (u64)TSS_AVAILABLE << 40 |
		  (base >> 24 & 0xff) << 56;
	desc[1] = base >> 32;

	load_idt(idt, sizeof(idt) - 1);
	__asm__ volatile("ltr %w0" ::"r"(SEL_TSS + 16 * index));
}
