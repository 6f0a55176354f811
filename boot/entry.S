/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The first instructions: 32-bit protected mode, paging off, flat segments, no stack, and loaded
 * at an address known only by looking. Builds the early page tables, enters long mode and calls
 * boot_main() in the higher half.
 *
 * Early page tables: the first 4 GiB both at 0 and at the direct map, and the image at its link
 * address. They are writable and executable throughout; paging_init() replaces them. The other
 * CPUs pass through them too, so they stay.
 */
#include "boot/blob.h"
#include "boot/multiboot2.h"
#include "boot/pvh.h"
#include "hv/host/layout.h"

#define PHYS(sym)    (sym - KERNEL_VMA)	/* at the link base; add EDI for the real one */

#define PTE_TABLE    0x003		/* present, writable */
#define PTE_LARGE    0x083		/* and a 2 MiB page */
#define CR0_LONG     0x80010033		/* PG WP NE ET MP PE: caches on (CD and NW clear) */
#define CR4_PAE	     0x20
#define MSR_EFER     0xc0000080
#define EFER_LME     0x100
#define CPUID_LM     (1 << 29)		/* 0x80000001 EDX */
#define EFLAGS_ID    (1 << 21)
#define BOOT_STACK   8192

	.section .boot.entry, "ax"
	.code32
	.globl	boot_entry
boot_entry:				/* multiboot2: EAX = magic, EBX = information */
	jmp	1f
	.org	boot_entry + BLOB_MARK_OFFSET
	.word	BLOB_MARK
	.org	boot_entry + BLOB_POINTER_OFFSET
	.long	0			/* tools/mkblob.py writes the blob's address here */
1:
	mov	%eax, %ebp
	rdtsc
	cmp	$MB2_MAGIC, %ebp
	jne	.				/* no loader that we know: no place to speak from */
	mov	4(%ebx), %ecx		/* one dword of stack: the reserved field */
	lea	8(%ebx), %esp
	call	2f
2:	pop	%edi
	sub	$2b, %edi		/* EDI = load base - link base */
	mov	%ecx, 4(%ebx)
	jmp	common

	.balign	8
	.globl	boot_header
boot_header:
	.long	MB2_HEADER_MAGIC, MB2_ARCH_I386, boot_header_end - boot_header
	.long	-(MB2_HEADER_MAGIC + MB2_ARCH_I386 + (boot_header_end - boot_header))
	.balign	8
	.word	MB2_HEADER_INFO_REQUEST, 0
	.long	2f - . + 4, MB2_TAG_MMAP
2:
	.balign	8
	.word	MB2_HEADER_MODULE_ALIGN, 0
	.long	8
	.balign	8
	.word	MB2_HEADER_RELOCATABLE, 0
	.long	24, 0x200000, 0xffe00000, 0x200000, 1	/* lowest, highest, alignment, low */
	.balign	8
	.word	MB2_TAG_END, 0
	.long	8
boot_header_end:

	.globl	pvh_entry
pvh_entry:				/* EBX = hvm_start_info */
	rdtsc
	mov	$PVH_MAGIC, %ebp
	mov	(%ebx), %ecx		/* one dword of stack: the magic */
	lea	4(%ebx), %esp
	call	1f
1:	pop	%edi
	sub	$1b, %edi
	mov	%ecx, (%ebx)

common:					/* EBP magic, EBX information, EDI offset, EDX:EAX TSC */
	cld
	lea	PHYS(boot_stack_top)(%edi), %esp
	push	%edx			/* popped in 64-bit mode, as one quadword */
	push	%eax

	pushf				/* no CPUID instruction, no long mode */
	mov	(%esp), %eax
	xorl	$EFLAGS_ID, (%esp)
	popf
	pushf
	pop	%ecx
	cmp	%eax, %ecx
	je	no_long_mode
	mov	%ebx, %esi		/* CPUID writes EBX */
	mov	$0x80000000, %eax
	cpuid
	cmp	$0x80000001, %eax
	jb	no_long_mode
	mov	$0x80000001, %eax
	cpuid
	mov	%esi, %ebx
	test	$CPUID_LM, %edx
	jz	no_long_mode

	/* The first 4 GiB in 2 MiB pages. */
	lea	PHYS(boot_pd)(%edi), %esi
	mov	$PTE_LARGE, %eax
	mov	$4 * 512, %ecx
1:	mov	%eax, (%esi)
	add	$0x200000, %eax
	add	$8, %esi
	dec	%ecx
	jnz	1b
	lea	PHYS(boot_pdpt)(%edi), %esi
	lea	PHYS(boot_pd) + PTE_TABLE(%edi), %eax
	mov	$4, %ecx
1:	mov	%eax, (%esi)
	add	$0x1000, %eax
	add	$8, %esi
	dec	%ecx
	jnz	1b

	/* The image: virtual KERNEL_VMA + LINK_BASE is the load base. */
	lea	LINK_BASE + PTE_LARGE(%edi), %eax
	lea	PHYS(boot_pd_image) + (LINK_BASE >> 21) * 8(%edi), %esi
	mov	$__image_2m_pages, %ecx
1:	mov	%eax, (%esi)
	add	$0x200000, %eax
	add	$8, %esi
	dec	%ecx
	jnz	1b
	lea	PHYS(boot_pd_image) + PTE_TABLE(%edi), %eax
	mov	%eax, PHYS(boot_pdpt_image) + 510 * 8(%edi)

	lea	PHYS(boot_pdpt) + PTE_TABLE(%edi), %eax
	mov	%eax, PHYS(boot_pml4) + 0 * 8(%edi)
	mov	%eax, PHYS(boot_pml4) + 256 * 8(%edi)
	lea	PHYS(boot_pdpt_image) + PTE_TABLE(%edi), %eax
	mov	%eax, PHYS(boot_pml4) + 511 * 8(%edi)

	/* Long mode. UEFI loaders leave EFER.LME set already. */
	lea	PHYS(boot_pml4)(%edi), %eax
	mov	%eax, %cr3
	mov	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	mov	$CR0_LONG, %eax
	mov	%eax, %cr0
	lea	boot_gdt(%edi), %eax
	push	%eax
	pushw	$boot_gdt_end - boot_gdt - 1
	lgdt	(%esp)
	add	$6, %esp
	lea	long_mode(%edi), %eax
	push	$8
	push	%eax
	lret

	.code64
long_mode:
	mov	$16, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	movabs	$high, %rax
	jmp	*%rax

	.code32
/* The one line that a machine without long mode gets, on port 0xE9 (if it answers) and COM1. */
no_long_mode:
	lea	message(%edi), %esi
	mov	$message_end - message, %ebx
	mov	$0x3fb, %edx		/* COM1: 115200 8N1 */
	mov	$0x80, %al
	out	%al, %dx
	mov	$0x3f8, %edx
	mov	$1, %al
	out	%al, %dx
	inc	%edx
	xor	%eax, %eax
	out	%al, %dx
	mov	$0x3fb, %edx
	mov	$3, %al
	out	%al, %dx
1:	lodsb
	mov	%al, %ah
	in	$0xe9, %al
	cmp	$0xe9, %al
	jne	2f
	mov	%ah, %al
	out	%al, $0xe9
2:	mov	$0x10000, %ecx		/* the UART may not be there: bounded */
	mov	$0x3fd, %edx
3:	in	%dx, %al
	test	$0x20, %al
	loopz	3b
	mov	$0x3f8, %edx
	mov	%ah, %al
	out	%al, %dx
	dec	%ebx
	jnz	1b
	in	$0xe9, %al		/* back to Bochs' debugger, as machine_exit() does */
	cmp	$0xe9, %al
	jne	4f
	mov	$0x8a00, %edx
	mov	%edx, %eax
	out	%ax, %dx
	mov	$0xe0, %al
	out	%ax, %dx
4:	cli
	hlt
	jmp	4b

message:
	.ascii	"stillpoint: end 121 this CPU has no 64-bit mode\n"
message_end:

	.balign	8
boot_gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* 8: 64-bit code */
	.quad	0x00cf93000000ffff	/* 16: data */
boot_gdt_end:

	.section .note.pvh, "a", @note
	.balign	4
	.long	4, 4, 18		/* name size, value size, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	pvh_entry

	.text
	.code64
high:
	mov	%esp, %esp		/* clears the upper half */
	pop	%rdx			/* TSC at the first instruction */
	lea	boot_stack_top(%rip), %rsp
	mov	%edi, %ecx
	mov	%ebp, %edi
	mov	%ebx, %esi
	xor	%ebp, %ebp		/* the end of every backtrace */
	call	boot_main		/* (magic, information, TSC, load offset) */
	ud2

	.section .bss.boot, "aw", @nobits
	.balign	4096
	.globl	boot_pml4
boot_pml4:	.skip	4096
boot_pdpt:	.skip	4096
boot_pdpt_image: .skip	4096
boot_pd_image:	.skip	4096
boot_pd:	.skip	4 * 4096
boot_stack:	.skip	BOOT_STACK
boot_stack_top:
