/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * void event_NAME(u64 rsp, u64 operand): causes one event with RSP = rsp, pushing nothing before.
 * event_NAME_at is the instruction that causes it, event_NAME_after where the program goes on.
 */
#include "guest/rt/layout.h"

.macro EVENT_BEGIN name
	.globl	event_\name, event_\name\()_at, event_\name\()_after
event_\name:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, saved_rsp
	mov	%rdi, %rsp
.endm

.macro EVENT_END name
event_\name\()_after:
	mov	saved_rsp, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
.endm

	.text

	EVENT_BEGIN int3
event_int3_at:
	int3
	EVENT_END int3

	EVENT_BEGIN int_n
event_int_n_at:
	int	$0x90
	EVENT_END int_n

	EVENT_BEGIN ud2
event_ud2_at:
	ud2
	EVENT_END ud2

	EVENT_BEGIN divide
	xor	%edx, %edx
	xor	%ecx, %ecx
event_divide_at:
	div	%ecx
	EVENT_END divide

	EVENT_BEGIN load_ds
event_load_ds_at:
	mov	%esi, %ds
	EVENT_END load_ds

	EVENT_BEGIN read
event_read_at:
	mov	(%rsi), %al
	EVENT_END read

/* An interrupt that is already pending arrives after the instruction behind STI. */
	EVENT_BEGIN sti
	sti
	nop
event_sti_at:
	nop
	cli
	EVENT_END sti

	.bss
	.balign	8
saved_rsp:
	.skip	8
	.section .note.GNU-stack, "", @progbits
