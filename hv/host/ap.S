/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Another CPU's first instructions in the higher half: still on the early page tables, without a
 * stack. It finds its slot by APIC id (or takes the next one, when the boot CPU does not know who
 * there is), says that it is alive, waits for its stack and goes to ap_main().
 */
#include "hv/host/ap.h"
#include "hv/host/asm.h"
#include "hv/host/layout.h"

#define MSR_EFER    0xc0000080
#define MSR_GS_BASE 0xc0000101

FUNC(ap_entry)
	/* R8D = APIC id: all 32 bits from leaf 11 where it counts something, 8 bits from leaf 1. */
	xor	%eax, %eax
	cpuid
	cmp	$11, %eax
	jb	1f
	mov	$11, %eax
	xor	%ecx, %ecx
	cpuid
	mov	%edx, %r8d
	test	%ebx, %ebx
	jnz	2f
1:	mov	$1, %eax
	cpuid
	mov	%ebx, %r8d
	shr	$24, %r8d

2:	lea	ap_control(%rip), %r9
	lea	ap_slots(%rip), %rdi
	cmpl	$0, AP_CTL_DISCOVER(%r9)
	jne	discover
	mov	AP_CTL_NR(%r9), %ecx
1:	dec	%ecx
	js	dismissed
	cmp	%r8d, (%rdi)
	je	found
	add	$AP_SLOT_SIZE, %rdi
	jmp	1b

discover:
	mov	$1, %eax
	lock xadd %eax, AP_CTL_NR(%r9)
	cmp	$MAX_CPUS - 1, %eax
	jae	dismissed
	imul	$AP_SLOT_SIZE, %eax, %eax
	add	%rax, %rdi
	mov	%r8d, (%rdi)

found:
	movl	$1, AP_SLOT_ALIVE(%rdi)
1:	pause
	cmpl	$AP_WAIT, AP_SLOT_GO(%rdi)
	je	1b
	cmpl	$AP_GO, AP_SLOT_GO(%rdi)
	jne	dismissed

	mov	$MSR_EFER, %ecx		/* no-execute before tables that use it */
	mov	AP_CTL_EFER(%r9), %eax
	xor	%edx, %edx
	wrmsr
	mov	AP_CTL_CR3(%r9), %rax
	mov	%rax, %cr3
	mov	AP_CTL_CR4(%r9), %rax
	mov	%rax, %cr4
	mov	AP_CTL_CR0(%r9), %rax
	mov	%rax, %cr0
	mov	AP_SLOT_STACK(%rdi), %rsp
	mov	AP_SLOT_CPU(%rdi), %rdi
	mov	$MSR_GS_BASE, %ecx
	mov	%edi, %eax
	mov	%rdi, %rdx
	shr	$32, %rdx
	wrmsr
	xor	%ebp, %ebp
	call	ap_main
	ud2

dismissed:				/* unknown, one too many, or too late */
	cli
	hlt
	jmp	dismissed
END(ap_entry)
