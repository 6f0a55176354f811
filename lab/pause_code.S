/* SPDX-License-Identifier: GPL-2.0-only */
/* The guests of experiment `pause`, of the kind in lab/tiny.h: EBX = the vCPU's box. */
#include "lab/pause_box.h"

	.section .rodata
	.code32

/*
 * Counts, with interrupts enabled. When told to (GO differs from DONE, or FREE), makes a round: in
 * each of COUNT places, one STRIDE apart, checks that its own word is the number of rounds so far,
 * and advances it; then calls CALL, if any: code that lies in the slot.
 */
	.globl	pause_touch_start, pause_touch_end
pause_touch_start:
	lea	TINY_STACKS - TINY_BOXES + 0x1000(%ebx), %esp
	sti
1:	incl	TINY_BOX_COUNTER(%ebx)
	mov	PAUSE_BOX_GO(%ebx), %eax
	cmpl	$0, PAUSE_BOX_FREE(%ebx)
	jne	2f
	cmp	PAUSE_BOX_DONE(%ebx), %eax
	je	1b
2:	mov	TINY_BOX_BASE(%ebx), %edi
	mov	TINY_BOX_COUNT(%ebx), %ecx
	mov	PAUSE_BOX_ROUNDS(%ebx), %edx
	lea	1(%edx), %esi
3:	cmp	%edx, (%edi)
	je	4f
	incl	TINY_BOX_ERRORS(%ebx)
4:	mov	%esi, (%edi)
	add	TINY_BOX_STRIDE(%ebx), %edi
	dec	%ecx
	jnz	3b
	mov	PAUSE_BOX_CALL(%ebx), %ecx
	test	%ecx, %ecx
	jz	5f
	call	*%ecx
5:	mov	%esi, PAUSE_BOX_ROUNDS(%ebx)
	mov	%eax, PAUSE_BOX_DONE(%ebx)
	jmp	1b
pause_touch_end:

/* What lies in the slot to be called. */
	.globl	pause_call_start, pause_call_end
pause_call_start:
	ret
pause_call_end:

/* Advances its word in one pseudo-random place out of COUNT, a power of two, after the other. */
	.globl	pause_write_start, pause_write_end
pause_write_start:
	sti
	mov	PAUSE_BOX_SEED(%ebx), %eax
	mov	TINY_BOX_COUNT(%ebx), %ecx
	dec	%ecx
1:	imul	$1664525, %eax, %eax
	add	$1013904223, %eax
	mov	%eax, %edx
	shr	$16, %edx
	and	%ecx, %edx
	imul	TINY_BOX_STRIDE(%ebx), %edx
	add	TINY_BOX_BASE(%ebx), %edx
	incl	(%edx)
	incl	TINY_BOX_COUNTER(%ebx)
	jmp	1b
pause_write_end:

	.section .note.GNU-stack, "", @progbits
