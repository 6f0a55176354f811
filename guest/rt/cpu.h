/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's CPUs: which one this is, and the descriptor tables each needs. */
#ifndef GUEST_RT_CPU_H
#define GUEST_RT_CPU_H

#include "guest/rt/layout.h"
#include "hv/host/types.h"

/* The 64-bit task state segment. */
struct tss {
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7];
	u64 reserved2;
	u16 reserved3;
	u16 iomap_base;
} __packed;

_Static_assert(sizeof(struct tss) == 104, "the TSS ends after the I/O map base");
_Static_assert(offsetof(struct tss, ist) == 36, "IST1 is at 0x24");

struct gate {
	u16 offset0;
	u16 selector;
	u8 ist;
	u8 type; /* P, DPL, type */
	u16 offset1;
	u32 offset2;
	u32 reserved;
};

_Static_assert(sizeof(struct gate) == 16, "a gate of the 64-bit IDT is 16 bytes");

#define GATE_INTERRUPT 0x8e
#define IST_DF	       1 /* the interrupt stack that #DF uses */

struct descriptor_pointer {
	u16 limit;
	u64 base;
} __packed;

_Static_assert(sizeof(struct descriptor_pointer) == 10, "LGDT/LIDT take ten bytes");

extern u64 gdt[];
extern struct gate idt[256];

/*
 * Index of the calling CPU, 0 for the boot CPU. Read from the task register, which no MSR and no
 * memory write of a misbehaving program can change.
 */
static inline u32 cpu_index(void)
{
	u16 tr;

	__asm__ volatile("str %0" : "=r"(tr));
	return (u32)(tr - SEL_TSS) >> 4;
}

/** cpu_tss - the TSS of CPU @index. */
struct tss *cpu_tss(u32 index);

/** cpu_tables_init - load GDT, IDT and TSS on the calling CPU. @ist_top: stack for #DF. */
void cpu_tables_init(u32 index, u64 ist_top);

/** idt_init - fill the IDT in (boot CPU, once). */
void idt_init(void);

/** gate_set_ist - let @vector of this IDT switch to interrupt stack @ist (1..7), or 0 for none. */
void gate_set_ist(struct gate *table, u8 vector, u8 ist);

static inline void load_idt(const void *base, u16 limit)
{
	struct descriptor_pointer p = { limit, (u64)(uintptr_t)base };

	__asm__ volatile("lidt %0" ::"m"(p));
}

static inline void load_gdt(const void *base, u16 limit)
{
	struct descriptor_pointer p = { limit, (u64)(uintptr_t)base };

	__asm__ volatile("lgdt %0" ::"m"(p));
}

#endif
