/* SPDX-License-Identifier: GPL-2.0-only */
/* Macros for assembly files: functions, and entries of the two tables described in irq.h. */
#ifndef HV_HOST_ASM_H
#define HV_HOST_ASM_H

#define FUNC(name)             \
	.text;                 \
	.globl name;           \
	.type name, @function; \
	.balign 16;            \
	name:

#define END(name) .size name, .- name

/* A fault at @from continues at @to with RAX = -EFAULT. */
#define EX_TABLE(from, to)            \
	.pushsection .ex_table, "a";  \
	.balign 8;                    \
	.quad from, to;               \
	.popsection

/* An NMI in root mode with @start <= RIP < @end continues at @target. */
#define NMI_FIXUP(start, end, target)  \
	.pushsection .nmi_fixup, "a";  \
	.balign 8;                     \
	.quad start, end, target;      \
	.popsection

#endif
