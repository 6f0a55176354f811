/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest of experiment `wait`: 32-bit, flat, at WAIT_CODE. EAX: its box; EBX: what to do. It
 * takes interrupts and NMIs and counts them.
 */
#include "lab/wait_box.h"

#define MSR_APIC_BASE	0x1b
#define X2APIC_ENABLE	0x400
#define MSR_X2APIC_EOI	0x80b
#define MSR_X2APIC_ICR	0x830
#define PORT		0x42
#define CODE_SELECTOR	0x08
#define ADDRESS(label)	(WAIT_CODE + (label) - wait_guest_start)
#define GATES		0x60
#define WORK		2	/* exits between two times that it leaves */

	.section .rodata
	.code32

/* An interrupt gate of the IDT. */
.macro gate label
	.word	ADDRESS(\label), CODE_SELECTOR, 0x8e00, 0
.endm

	.globl	wait_guest_start, wait_guest_end
wait_guest_start:
	mov	%eax, %ebp		/* the box, from here on */
	mov	%eax, %esp
	lgdt	ADDRESS(gdtr)
	lidt	ADDRESS(idtr)
	mov	$MSR_APIC_BASE, %ecx
	rdmsr
	or	$X2APIC_ENABLE, %eax
	wrmsr
	test	$WAIT_MASKED, %ebx
	jnz	1f
	sti
1:	cmp	$WAIT_EXITS, %bl
	je	exits
	cmp	$WAIT_LEAVES, %bl
	je	leaves
	cmp	$WAIT_HALTS, %bl
	je	halts
	cmp	$WAIT_WORKS, %bl
	je	works

sends:	incl	BOX_BEATS(%ebp)
	out	%al, $PORT
	mov	$MSR_X2APIC_ICR, %ecx
	mov	BOX_ICR(%ebp), %eax
	mov	BOX_DESTINATION(%ebp), %edx
	wrmsr
	jmp	sends

exits:	incl	BOX_BEATS(%ebp)
	xor	%eax, %eax
	cpuid
	jmp	exits

leaves:	incl	BOX_BEATS(%ebp)
	out	%al, $PORT
	jmp	leaves

works:	incl	BOX_BEATS(%ebp)
	out	%al, $PORT
	mov	$WORK, %edi
1:	xor	%eax, %eax
	cpuid
	dec	%edi
	jnz	1b
	jmp	works

halts:	incl	BOX_BEATS(%ebp)
	hlt
	jmp	halts

	.globl	wait_guest_handler
wait_guest_handler:
interrupt:
	incl	BOX_INTERRUPTS(%ebp)	/* first: once here, the guest has it */
	push	%eax
	push	%ecx
	push	%edx
	mov	$MSR_X2APIC_EOI, %ecx
	xor	%eax, %eax
	xor	%edx, %edx
	wrmsr
	incl	BOX_DONE(%ebp)
	pop	%edx
	pop	%ecx
	pop	%eax
	iret

nmi:	incl	BOX_NMIS(%ebp)
	iret

	.balign	8
gdt:	.quad	0
	.quad	0x00cf9b000000ffff	/* CODE_SELECTOR: code, 4 GiB */
	.quad	0x00cf93000000ffff	/* data, 4 GiB */
gdtr:	.word	. - gdt - 1
	.long	ADDRESS(gdt)
idtr:	.word	GATES * 8 - 1
	.long	ADDRESS(idt)

	.balign	8
idt:	.skip	2 * 8
	gate	nmi
	.skip	(WAIT_LOW_VECTOR - 3) * 8
	gate	interrupt
	.skip	(WAIT_VECTOR - WAIT_LOW_VECTOR - 1) * 8
	gate	interrupt
	.skip	(GATES - WAIT_VECTOR - 1) * 8
wait_guest_end:

/* After STARTUP: real mode, CS at WAIT_STARTUP. */
	.code16
	.globl	wait_startup_start, wait_startup_end
wait_startup_start:
	mov	$(WAIT_BOXES / 16), %ax
	mov	%ax, %ds
1:	incl	BOX_STARTS
	out	%al, $PORT
	jmp	1b
wait_startup_end:

	.section .note.GNU-stack, "", @progbits
