/* SPDX-License-Identifier: GPL-2.0-only */
/* The measuring loops of the exits program. */
#include "guest/exits.h"

	.text

/* %r8 = start; %r9d counts; %r10 and %r11 are the two arguments. */
.macro BATCH_BEGIN name
	.globl	batch_\name
	.balign	16
batch_\name:
	push	%rbx
	mov	%rdi, %r10
	mov	%rsi, %r11
	mov	$BATCH, %r9d
	lfence
	rdtsc
	shl	$32, %rdx
	lea	(%rdx, %rax), %r8
.endm

.macro BATCH_END label
	dec	%r9d
	jnz	\label
	lfence
	rdtsc
	shl	$32, %rdx
	add	%rdx, %rax
	sub	%r8, %rax
	pop	%rbx
	ret
.endm

	BATCH_BEGIN floor
1:
	BATCH_END 1b

	BATCH_BEGIN rdtsc
1:	rdtsc
	BATCH_END 1b

	BATCH_BEGIN cpuid
1:	xor	%eax, %eax
	cpuid
	BATCH_END 1b

	BATCH_BEGIN vmcall
1:	mov	%r10, %rax
	vmcall
	BATCH_END 1b

	BATCH_BEGIN in
	mov	%r10d, %edx
1:	in	%dx, %al
	BATCH_END 1b

	BATCH_BEGIN out
	mov	%r10d, %edx
	mov	%r11d, %eax
1:	out	%al, %dx
	BATCH_END 1b

	BATCH_BEGIN rdmsr
	mov	%r10d, %ecx
1:	rdmsr
	BATCH_END 1b

	BATCH_BEGIN wrmsr
	mov	%r10d, %ecx
	mov	%r11d, %eax
	mov	%r11, %rdx
	shr	$32, %rdx
1:	wrmsr
	BATCH_END 1b

	BATCH_BEGIN cr0
1:	mov	%r10, %cr0
	mov	%r11, %cr0
	BATCH_END 1b

	BATCH_BEGIN cr4
1:	mov	%r10, %cr4
	mov	%r11, %cr4
	BATCH_END 1b

	BATCH_BEGIN read_cr8
1:	mov	%cr8, %rax
	BATCH_END 1b

	BATCH_BEGIN write_cr8
1:	mov	%r10, %cr8
	BATCH_END 1b

	BATCH_BEGIN xsetbv
	xor	%ecx, %ecx
	mov	%r10d, %eax
	mov	%r10, %rdx
	shr	$32, %rdx
1:	xsetbv
	BATCH_END 1b

	BATCH_BEGIN wbinvd
1:	wbinvd
	BATCH_END 1b

	BATCH_BEGIN invd
1:	invd
	BATCH_END 1b

	.globl	touch_once
	.balign	16
touch_once:
	lfence
	rdtsc
	mov	%eax, %r8d
	movb	$1, (%rdi)
	lfence
	rdtsc
	sub	%r8d, %eax
	ret
	.section .note.GNU-stack, "", @progbits
