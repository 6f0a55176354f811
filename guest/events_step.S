/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Blocks that run under RFLAGS.TF. Each is described by a table of the RIPs at which a debug
 * exception is due: STEP names the next instruction as one. A table ends with 0.
 */
#define TF 0x100

.macro BLOCK_BEGIN name
	.globl	step_\name, step_\name\()_due
	.section .rodata
	.balign	8
step_\name\()_due:
	.text
step_\name:
	push	%rbx
	pushfq
	orl	$TF, (%rsp)
	popfq
.endm

/* The next instruction is one that a debug exception returns to. */
.macro STEP
9991:
	.section .rodata
	.quad	9991b
	.text
.endm

/* The POPF that clears TF is itself still stepped. */
.macro BLOCK_END name
	STEP
	pushfq
	STEP
	andl	$~TF, (%rsp)
	STEP
	popfq
	STEP
	pop	%rbx
	ret
	.section .rodata
	.quad	0
	.text
.endm

/* step_plain(u64 unused, u64 unused): nothing here needs a hypervisor */
	BLOCK_BEGIN plain
	nop
	STEP
	mov	$1, %eax
	STEP
	jmp	1f
	ud2
1:
	STEP
	nop
	BLOCK_END plain

/* step_emulated(u64 port, u8 *fresh): every instruction exits to one hypervisor or another */
	BLOCK_BEGIN emulated
	xor	%eax, %eax
	STEP
	cpuid
	STEP
	mov	$0x1b, %ecx
	STEP
	rdmsr
	STEP
	wrmsr
	STEP
	mov	%edi, %edx
	STEP
	in	%dx, %al
	STEP
	out	%al, %dx
	STEP
	mov	%cr8, %rax
	STEP
	mov	%rax, %cr8
	STEP
	mov	%cr0, %rax
	STEP
	mov	%rax, %cr0
	STEP
	mov	%cr4, %rax
	STEP
	mov	%rax, %cr4
	STEP
	rdtsc
	STEP
	wbinvd
	STEP
	movb	$1, (%rsi)
	BLOCK_END emulated

/* step_shadow(): MOV SS holds debug exceptions off for one instruction */
	BLOCK_BEGIN shadow
	mov	%ss, %eax
	STEP
	mov	%eax, %ss
	nop
	STEP
	xor	%eax, %eax
	STEP
	mov	%ss, %ecx
	STEP
	mov	%ecx, %ss
	cpuid
	BLOCK_END shadow

/* step_rep(u8 *to, u8 *from): one debug exception an iteration */
	BLOCK_BEGIN rep
	mov	$3, %ecx
	STEP
	STEP
	STEP
	rep movsb
	STEP
	nop
	BLOCK_END rep

/* step_vmcall() */
	BLOCK_BEGIN vmcall
	xor	%eax, %eax
	STEP
	vmcall
	STEP
	nop
	BLOCK_END vmcall
	.section .note.GNU-stack, "", @progbits
