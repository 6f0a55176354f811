/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers that the runtime's assembly and C share: selectors, stacks, the page APs start in. */
#ifndef GUEST_RT_LAYOUT_H
#define GUEST_RT_LAYOUT_H

#define SEL_CODE64	0x08
#define SEL_DATA	0x10
#define SEL_CODE32	0x18
#define SEL_NOT_PRESENT 0x20 /* a data segment with P=0, for tests of #NP */
#define SEL_TSS		0x40 /* CPU n's TSS is at SEL_TSS + 16 * n */

#define GUEST_MAX_CPUS 64

/* A CPU's stack: the lowest IST_STACK_SIZE bytes are for #DF, the rest is the normal stack. */
#define STACK_SIZE     0x4000
#define IST_STACK_SIZE 0x1000

#define AP_PAGE 0x8000 /* where a STARTUP IPI starts the other CPUs, below 1 MiB */

/* Boot tables map this much, 1:1; ram.c extends it when there is more RAM. */
#define BOOT_MAP_GIB	4
#define DEVICE_MAP_BASE 0xfec00000 /* from here to 4 GiB the map is uncached: APICs, flash */

#endif
