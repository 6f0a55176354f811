/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest of experiment `wait`: 32-bit, flat, at WAIT_CODE. EAX: its box; EBX: what to do. It
 * takes interrupts and NMIs and counts them. Its local APIC is enabled, in x2APIC mode.
 */
#include "lab/wait_box.h"

#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC_EOI	0x80b
#define MSR_X2APIC_LVTT	0x832
#define TSC_DEADLINE	0x40000	/* mode of the timer */
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
	mov	$MSR_X2APIC_LVTT, %ecx
	mov	$(TSC_DEADLINE | WAIT_TIMER), %eax
	xor	%edx, %edx
	wrmsr
	call	arm
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

writes:	incl	BOX_BEATS(%ebp)
	out	%al, $PORT
	mov	BOX_MSR(%ebp), %ecx
	jecxz	writes
	mov	BOX_LOW(%ebp), %eax
	mov	BOX_HIGH(%ebp), %edx
	wrmsr
	jmp	writes

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

timer:	push	%eax
	push	%ecx
	push	%edx
	rdtsc
	sub	BOX_DEADLINE(%ebp), %eax
	sbb	BOX_DEADLINE + 4(%ebp), %edx
	jnc	1f
	incl	BOX_EARLY(%ebp)
1:	incl	BOX_EXPIRIES(%ebp)
	mov	$MSR_X2APIC_EOI, %ecx
	xor	%eax, %eax
	xor	%edx, %edx
	wrmsr
	call	arm
	pop	%edx
	pop	%ecx
	pop	%eax
	iret

/* If one is left: the deadline is the delay of the box and something pseudo-random from now. */
arm:	decl	BOX_ALARMS(%ebp)
	js	1f
	imul	$1103515245, BOX_RANDOM(%ebp), %eax
	add	$12345, %eax
	mov	%eax, BOX_RANDOM(%ebp)
	shr	$16, %eax
	and	$WAIT_MAX_RANDOM, %eax
	mov	%eax, %ecx
	add	BOX_DELAY(%ebp), %ecx
	rdtsc
	add	%ecx, %eax
	adc	$0, %edx
	mov	%eax, BOX_DEADLINE(%ebp)
	mov	%edx, BOX_DEADLINE + 4(%ebp)
	mov	$MSR_TSC_DEADLINE, %ecx
	wrmsr
	ret
1:	incl	BOX_ALARMS(%ebp)
	ret

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
	.skip	(WAIT_TIMER - WAIT_LOW_VECTOR - 1) * 8
	gate	timer
	.skip	(WAIT_VECTOR - WAIT_TIMER - 1) * 8
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
