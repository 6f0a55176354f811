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

/* void call_on_stack(void *top, void (*fn)(void)): never returns. */
FUNC(call_on_stack)
	mov	%rdi, %rsp
	xor	%ebp, %ebp
	call	*%rsi
	ud2
END(call_on_stack)
