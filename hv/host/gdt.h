/* SPDX-License-Identifier: GPL-2.0-only */
/* Segments and stacks that the CPU itself looks up: GDT, TSS, IST. One set per CPU. */
#ifndef HV_HOST_GDT_H
#define HV_HOST_GDT_H

#define GDT_CODE 0x08
#define GDT_DATA 0x10
#define GDT_TSS	 0x18

#ifndef __ASSEMBLY__
#include "hv/host/types.h"

struct cpu;

/* Stacks of their own for what may arrive when the current stack is no good. */
enum ist_stack {
	IST_NMI = 1,
	IST_DF = 2,
	IST_MC = 3,
};

#define IST_STACKS 3

struct tss64 {
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7]; /* ist[0] is IST 1 */
	u64 reserved2;
	u16 reserved3;
	u16 iomap;
} __packed;

_Static_assert(sizeof(struct tss64) == 104, "TSS layout");
_Static_assert(offsetof(struct tss64, ist) == 36, "TSS layout");

struct x86_tables {
	u64 gdt[5];
	struct tss64 tss;
};

/** gdt_init_boot - the boot CPU's first tables; its three IST stacks are one small one. */
void gdt_init_boot(void);

/** gdt_init_cpu - allocate @c's tables and guarded IST stacks. After paging_init(). 0, -ENOMEM. */
int gdt_init_cpu(struct cpu *c);

/** gdt_load - make @t this CPU's tables. */
void gdt_load(struct x86_tables *t);
#endif

#endif
