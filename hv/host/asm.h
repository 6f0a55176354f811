/* SPDX-License-Identifier: GPL-2.0-only */
/* Macros for assembly files: functions, and entries of .ex_table (irq.h). */
#ifndef HV_HOST_ASM_H
#define HV_HOST_ASM_H

/* This is no C. */
/* clang-format off */

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

/* clang-format on */

#endif
