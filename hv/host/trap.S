/* SPDX-License-Identifier: GPL-2.0-only */
/* The way from the IDT to C and back. */
#include "hv/host/asm.h"
#include "hv/host/gdt.h"

/* void nmi_iret(void): see irq.h. A stop request that came as this NMI is obeyed here. */
FUNC(nmi_iret)
	mov	%rsp, %rax
	push	$GDT_DATA
	push	%rax
	pushf
	push	$GDT_CODE
	push	$1f
	iretq
1:	cmpb	$0, smp_stopping(%rip)
	jne	smp_stop_self
	ret
END(nmi_iret)

/*
 * VECTOR_RESCHED: that it came is all, idle and run loop look again. Every thread that is woken on
 * an idle CPU waits for this, so it saves no more than C may change.
 */
FUNC(resched_entry)
	push	%rax
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	call	apic_eoi
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rax
	iretq
END(resched_entry)

/* void call_on_stack(void *top, void (*fn)(void)): never returns. */
FUNC(call_on_stack)
	mov	%rdi, %rsp
	xor	%ebp, %ebp
	call	*%rsi
	ud2
END(call_on_stack)
