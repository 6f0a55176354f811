/* SPDX-License-Identifier: GPL-2.0-only */
/* The landing of try_call(). */

	.text

/*
 * bool try_run(void (*fn)(void *), void *arg, u64 *landing_rsp)
 *
 * Calls fn(arg). trap_dispatch() ends a fault by an IRET to try_landing with RSP = *landing_rsp, so
 * what fn had on the stack is forgotten. False when fn returned, true when it faulted.
 */
	.globl try_run, try_landing
try_run:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	pushfq
	mov	%rsp, (%rdx)
	mov	%rdi, %rax
	mov	%rsi, %rdi
	call	*%rax
	xor	%eax, %eax
	jmp	1f
try_landing:
	mov	$1, %eax
1:	popfq
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
	.section .note.GNU-stack, "", @progbits
