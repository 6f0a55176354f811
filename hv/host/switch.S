/* SPDX-License-Identifier: GPL-2.0-only */
/* Switching stacks, and halting without losing a wake-up. */

	.text

/*
 * void thread_switch(void **save, void *load): what the C calling convention lets a function destroy
 * needs no saving. Interrupts are off on both sides, and an NMI has a stack of its own.
 */
	.globl thread_switch
	.type thread_switch, @function
thread_switch:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, (%rdi)
	mov	%rsi, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret
	.size thread_switch, . - thread_switch

/* The first thing a thread executes: RBX holds it, RSP points to a return address of 0. */
	.globl thread_start
	.type thread_start, @function
thread_start:
	push	%rbp
	mov	%rsp, %rbp
	mov	%rbx, %rdi
	call	thread_main
	ud2
	.size thread_start, . - thread_start

/*
 * void idle_halt(void): take interrupts, and wait for one if none is pending. STI holds interrupts
 * back for one instruction, so one that comes after the caller's last check wakes the HLT. But an
 * NMI just before the HLT ends that protection: the interrupt would be taken when the NMI returns,
 * and the HLT then sleep on. The table lets such an NMI return behind the HLT.
 */
	.globl idle_halt
	.type idle_halt, @function
idle_halt:
	sti
1:	hlt
2:	cli
	ret
	.size idle_halt, . - idle_halt

	.section .nmi_fixup, "a"
	.balign	8
	.quad	1b, 2b, 2b
	.text

	.section .note.GNU-stack, "", @progbits
