/* SPDX-License-Identifier: GPL-2.0-only */
/* The code of lab/tiny.h's guests: copied to 0x1000, position-independent, 32-bit. */
#include "lab/tiny_box.h"

	.section .rodata
	.code32

#define SAMPLES TINY_SAMPLES
#define COUNTER TINY_COUNTER
#define BATCH	16
.set PORT, 0x42			/* named inside strings, where the preprocessor does not look */

/* EBX times: the ticks of BATCH runs of \body, divided by BATCH, to SAMPLES. */
.macro batches body
	mov	%ebx, %ebp		/* CPUID overwrites EBX */
	mov	$SAMPLES, %edi
1:	rdtsc
	mov	%eax, %esi
	mov	$BATCH, %esp		/* the stack is not used */
2:	\body
	dec	%esp
	jnz	2b
	rdtsc
	sub	%esi, %eax
	shr	$4, %eax		/* / BATCH */
	stosl
	dec	%ebp
	jnz	1b
	hlt
.endm

	.globl	tiny_cpuid_start, tiny_cpuid_end
tiny_cpuid_start:
	batches "xor %eax, %eax; cpuid"
tiny_cpuid_end:

	.globl	tiny_in_start, tiny_in_end
tiny_in_start:
	batches "in $PORT, %al"
tiny_in_end:

	.globl	tiny_spin_start, tiny_spin_end
tiny_spin_start:
1:	incl	COUNTER
	jmp	1b
tiny_spin_end:

	.globl	tiny_exits_start, tiny_exits_end
tiny_exits_start:
1:	incl	COUNTER
	xor	%eax, %eax
	cpuid
	jmp	1b
tiny_exits_end:

/* --- with a box: EBX = its address, and nothing changes it ------------------------------------ */

	.globl	tiny_beat_start, tiny_beat_end
tiny_beat_start:
1:	incl	TINY_BOX_COUNTER(%ebx)
	jmp	1b
tiny_beat_end:

	.globl	tiny_touch_start, tiny_touch_end
tiny_touch_start:
1:	mov	TINY_BOX_BASE(%ebx), %edi
	mov	TINY_BOX_COUNT(%ebx), %ecx
2:	incl	(%edi)
	add	TINY_BOX_STRIDE(%ebx), %edi
	dec	%ecx
	jnz	2b
	incl	TINY_BOX_COUNTER(%ebx)
	jmp	1b
tiny_touch_end:

	.globl	tiny_halt_start, tiny_halt_end
tiny_halt_start:
1:	incl	TINY_BOX_COUNTER(%ebx)
	hlt
	jmp	1b
tiny_halt_end:

/* Seven registers count in step. */
	.globl	tiny_keep_start, tiny_keep_end
tiny_keep_start:
	xor	%eax, %eax
	.irp	reg, ecx, edx, esi, edi, ebp, esp
	mov	%eax, %\reg
	.endr
1:	inc	%eax
	.irp	reg, ecx, edx, esi, edi, ebp, esp
	inc	%\reg
	cmp	%eax, %\reg
	jne	2f
	.endr
	mov	%eax, TINY_BOX_COUNTER(%ebx)
	jmp	1b
2:	incl	TINY_BOX_ERRORS(%ebx)
	jmp	tiny_keep_start
tiny_keep_end:

/* vCPU n's box and stack are each the n-th page of their row: the distance is always the same. */
.macro interruptible
	lea	TINY_STACKS - TINY_BOXES + 0x1000(%ebx), %esp
	lgdt	TINY_GDT
	lidt	TINY_IDT
.endm

	.globl	tiny_open_start, tiny_open_end
tiny_open_start:
	interruptible
	sti
1:	incl	TINY_BOX_COUNTER(%ebx)
	jmp	1b
tiny_open_end:

	.globl	tiny_events_start, tiny_events_end
tiny_events_start:
	interruptible
1:	incl	TINY_BOX_COUNTER(%ebx)
	cli
	cmpl	$0, TINY_BOX_HALT(%ebx)
	jne	2f
	sti
	nop				/* here an interrupt can come for the first time */
	jmp	1b
2:	sti
	hlt
	jmp	1b
tiny_events_end:

/* To TINY_STUBS: TINY_NR_VECTORS interrupts, then NMI. */
	.globl	tiny_stubs_start, tiny_stubs_end
	.balign	16
tiny_stubs_start:
	.set	n, 0
	.rept	TINY_NR_VECTORS
	incl	TINY_BOX_RECEIVED + 4 * n(%ebx)
	jmp	3f
	.balign	16
	.set	n, n + 1
	.endr
	incl	TINY_BOX_RECEIVED + 4 * TINY_NR_VECTORS(%ebx)
	iret
3:	push	%eax
	push	%ecx
	push	%edx
	mov	$0x80b, %ecx		/* x2APIC EOI */
	xor	%eax, %eax
	xor	%edx, %edx
	wrmsr
	pop	%edx
	pop	%ecx
	pop	%eax
	iret
tiny_stubs_end:

	.section .note.GNU-stack, "", @progbits
