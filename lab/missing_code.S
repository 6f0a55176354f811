/* SPDX-License-Identifier: GPL-2.0-only */
/* The guests of experiment `missing`, of the kind in lab/tiny.h. */
#include "lab/missing_box.h"

	.section .rodata
	.code32

/* --- single accesses: their registers are set before they start; they end in HLT -------------- */

	.globl	missing_ops_start, missing_ops_end
	.globl	missing_op_read, missing_op_write, missing_op_jump, missing_op_xadd, missing_op_inc
	.globl	missing_op_movs, missing_op_movsl, missing_op_outs, missing_op_ins, missing_op_nmi
	.globl	missing_op_paging, missing_nmi_handler
missing_ops_start:
missing_op_read:
	mov	(%esi), %eax
	hlt
missing_op_write:
	mov	%eax, (%edi)
	hlt
missing_op_jump:
	jmp	*%esi
missing_op_xadd:
	lock xadd %eax, (%esi)
	hlt
missing_op_inc:
	incl	(%edi)
	hlt
missing_op_movs:
	rep movsb
	hlt
missing_op_movsl:
	movsl
	hlt
missing_op_outs:
	rep outsb
	hlt
missing_op_ins:
	rep insb
	hlt

/* ESI: an IDT's pseudo-descriptor; EDI: the stack. */
missing_op_nmi:
	lgdt	TINY_GDT
	lidt	(%esi)
	mov	%edi, %esp
	out	%al, $MISSING_PORT_NMI
	hlt

missing_nmi_handler:
	incl	MISSING_NMIS
	iret

/* EDI: a page directory. */
missing_op_paging:
	mov	%cr4, %eax
	or	$0x10, %al		/* PSE */
	mov	%eax, %cr4
	mov	%edi, %cr3
	mov	%cr0, %eax
	or	$0x80000000, %eax	/* PG */
	mov	%eax, %cr0
	mov	(%esi), %eax
	hlt
missing_ops_end:

/* --- with a box: EBX = its address ------------------------------------------------------------ */

/* Go on with the next page, unless there is none. */
.macro next_page loop
	add	TINY_BOX_STRIDE(%ebx), %edi
	inc	%ebp
	dec	%ecx
	jnz	\loop
	jmp	missing_done
.endm

/* The access to a page, and when: to ESI. Leaves ZF alone. */
.macro timed access
	rdtsc
	mov	%eax, (%esi)
	\access
	rdtsc
	mov	%eax, 4(%esi)
	lea	8(%esi), %esi
.endm

	.globl	missing_guest_start, missing_guest_end
missing_guest_start:
	lea	TINY_STACKS - TINY_BOXES + 0x1000(%ebx), %esp
missing_wait:
	incl	TINY_BOX_COUNTER(%ebx)
	mov	MISSING_BOX_GO(%ebx), %eax
	cmpl	$0, MISSING_BOX_FREE(%ebx)
	jne	1f
	cmp	MISSING_BOX_DONE(%ebx), %eax
	je	missing_wait
1:	mov	%eax, MISSING_BOX_ROUND(%ebx)	/* which go this round answers */
	mov	TINY_BOX_BASE(%ebx), %edi
	mov	TINY_BOX_COUNT(%ebx), %ecx
	mov	MISSING_BOX_VALUE(%ebx), %ebp
	mov	MISSING_BOX_SAMPLES(%ebx), %esi
	mov	MISSING_BOX_JOB(%ebx), %eax
	cmp	$MISSING_WRITE, %eax
	je	missing_write
	ja	3f

missing_read:
	timed	"cmp (%edi), %ebp"
	je	2f
	incl	TINY_BOX_ERRORS(%ebx)
2:	next_page missing_read

missing_write:
	not	%ebp
	timed	"mov %ebp, (%edi)"
	not	%ebp
	next_page missing_write

3:	cmp	$MISSING_WATCH, %eax
	je	missing_watch

missing_verify:
	push	%ecx
	push	%edi
	mov	%ebp, %eax
	cmpl	$0, MISSING_BOX_WRITTEN(%ebx)
	je	4f
	not	%eax
4:	scasl
	jne	5f
	mov	%ebp, %eax
	mov	$1023, %ecx
	repe scasl
	je	6f
5:	incl	TINY_BOX_ERRORS(%ebx)
6:	pop	%edi
	pop	%ecx
	next_page missing_verify

/* ESI: the page's floor; EDX: what was read last. */
missing_watch:
	mov	MISSING_BOX_FLOORS(%ebx), %esi
7:	mov	(%esi), %edx
	.irp	at, 0, 2048, 4092
	mov	\at(%edi), %eax
	cmp	%edx, %eax
	jae	8f
	incl	TINY_BOX_ERRORS(%ebx)
8:	mov	%eax, %edx
	.endr
	mov	MISSING_BOX_CALL(%ebx), %eax
	test	%eax, %eax
	jz	9f
	add	%edi, %eax
	call	*%eax
9:	mov	MISSING_BOX_MINE(%ebx), %eax
	mov	%edx, (%edi,%eax)
	add	$4, %esi
	next_page 7b

missing_done:
	mov	MISSING_BOX_ROUND(%ebx), %eax
	mov	%eax, MISSING_BOX_DONE(%ebx)
	jmp	missing_wait
missing_guest_end:

/* What lies in the pages to be called: reads the local APIC's version register. */
	.globl	missing_call_start, missing_call_end
missing_call_start:
	mov	0xfee00030, %eax
	ret
missing_call_end:

	.section .note.GNU-stack, "", @progbits
