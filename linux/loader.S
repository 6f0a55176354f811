/* SPDX-License-Identifier: GPL-2.0-only */
/* Where the option ROM enters: the head of the flat file, in 32-bit protected mode, paging off. */
#include "boot/blob.h"

	.text
	.globl	loader_start
loader_start:
	jmp	1f
	.org	BLOB_MARK_OFFSET
	.word	BLOB_MARK
	.org	BLOB_POINTER_OFFSET
	.long	0		/* tools/mkblob.py: address of the blob */
1:	mov	$stack_top, %esp
	push	%ebx		/* multiboot2 information */
	push	%eax		/* its magic number */
	call	load_linux
	ud2			/* it does not return */

/* enter_kernel(u32 entry, u32 start_info): a kernel's PVH entry expects EBX = start_info. */
	.globl	enter_kernel
enter_kernel:
	mov	4(%esp), %eax
	mov	8(%esp), %ebx
	jmp	*%eax

	.bss
	.balign	16
	.skip	4096
stack_top:

	.section .note.GNU-stack, "", @progbits
