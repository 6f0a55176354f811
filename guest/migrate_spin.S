/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * u64 migrate_spin(u64 rounds, u64 seed): between two looks at the clock no memory is touched, and
 * every register that does not take part holds a value made of the seed.
 */
	.text
	.globl	migrate_spin
migrate_spin:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rsi
	mov	%rdi, %rcx
	n = 1
	.irp	r, rbx, rbp, rdi, r10, r11, r12, r13, r14, r15
	lea	n(%rsi), %\r
	n = n + 1
	.endr
	.irp	i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	lea	0x100 * (\i + 1)(%rsi), %rax
	movq	%rax, %xmm\i
	punpcklqdq %xmm\i, %xmm\i
	.endr

	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, %r8		/* the last look */
	xor	%r9d, %r9d		/* the longest gap */
1:	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, %rdx
	sub	%r8, %rdx
	mov	%rax, %r8
	cmp	%r9, %rdx
	cmova	%rdx, %r9
	dec	%rcx
	jnz	1b

	cmp	(%rsp), %rsi
	jne	2f
	n = 1
	.irp	r, rbx, rbp, rdi, r10, r11, r12, r13, r14, r15
	lea	n(%rsi), %rdx
	cmp	%rdx, %\r
	jne	2f
	n = n + 1
	.endr
	.irp	i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	lea	0x100 * (\i + 1)(%rsi), %rdx
	movq	%xmm\i, %rax
	cmp	%rdx, %rax
	jne	2f
	psrldq	$8, %xmm\i
	movq	%xmm\i, %rax
	cmp	%rdx, %rax
	jne	2f
	.endr
	mov	%r9, %rax
	jmp	3f
2:	mov	$-1, %rax		/* MIGRATE_LOST */
3:	pop	%rsi
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
	.section .note.GNU-stack, "", @progbits
