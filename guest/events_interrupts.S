/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * With an interrupt pending and IF=0: windows of STI. Each function's _at is where the interrupt
 * has to arrive; sti_cli has no window at all.
 */
	.text
.macro WINDOW name
	.globl	\name, \name\()_at
\name:
	push	%rbx
	xor	%eax, %eax
.endm

	WINDOW sti_nop
	sti
	nop
sti_nop_at:
	cli
	pop	%rbx
	ret

	WINDOW sti_cpuid
	sti
	cpuid
sti_cpuid_at:
	cli
	pop	%rbx
	ret

	WINDOW sti_hlt
	sti
	hlt
sti_hlt_at:
	cli
	pop	%rbx
	ret

	WINDOW sti_cli
	sti
	cli
sti_cli_at:
	pop	%rbx
	ret
	.section .note.GNU-stack, "", @progbits
