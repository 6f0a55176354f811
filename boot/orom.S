/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The Bochs option ROM: what a multiboot2 loader does, in 512 bytes.
 *
 * Bochs puts one file into RAM before the first instruction: the image, flat, at LINK_BASE, and behind
 * it the boot blob. By the time the BIOS calls option ROMs it has set up ACPI tables, the CPUs' MSRs
 * and the memory map. The ROM adds the memory map and the ACPI root pointer to the multiboot2
 * information in the blob and enters the image. It never returns.
 */
#include "boot/blob.h"
#include "boot/multiboot2.h"
#include "hv/host/layout.h"

#define STACK	    0x7c00
#define E820_BUFFER 0x8000
#define E820_MAX    100
#define E820_SMAP   0x534d4150
#define E820_ENTRY  24 /* a multiboot2 map entry: base, length, type, 0 */

	.code16
	.section .text
	.globl	rom
rom:
	.word	0xaa55
	.byte	1		/* length in 512-byte units */
	cli			/* offset 3: the BIOS calls this */
	cld
	xor	%ax, %ax
	mov	%ax, %es
	mov	%ax, %ss
	mov	$STACK, %esp

	xor	%ebx, %ebx
	mov	$E820_BUFFER, %edi
next_range:
	mov	$0xe820, %eax
	mov	$E820_SMAP, %edx
	mov	$20, %ecx
	int	$0x15
	jc	have_map
	cmp	$E820_SMAP, %eax
	jne	have_map
	movl	$0, %es:20(%di)
	add	$E820_ENTRY, %di
	test	%ebx, %ebx
	jz	have_map
	cmp	$E820_BUFFER + E820_MAX * E820_ENTRY, %di
	jb	next_range

have_map:
	cli
	in	$0x92, %al	/* A20 on, no reset */
	or	$2, %al
	and	$0xfe, %al
	out	%al, $0x92
	lgdtl	%cs:gdtr - rom
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$8, $protected

	.code32
protected:
	mov	$16, %ecx
	mov	%ecx, %ds
	mov	%ecx, %es
	mov	%ecx, %ss
	movzwl	%di, %ecx
	sub	$E820_BUFFER, %ecx	/* bytes of memory map */

	mov	LINK_BASE + BLOB_POINTER_OFFSET, %ebx
	cmpl	$BLOB_MAGIC, (%ebx)
	jne	no_blob
	add	$BLOB_MBI, %ebx
	mov	(%ebx), %edi
	lea	-8(%ebx, %edi), %edi	/* the end tag is written over */

	mov	$MB2_TAG_MMAP, %eax
	stosl
	lea	16(%ecx), %eax
	stosl
	mov	$E820_ENTRY, %eax
	stosl
	xor	%eax, %eax
	stosl
	mov	$E820_BUFFER, %esi
	rep movsb

	/* "RSD PTR " on a 16-byte boundary with the 20 bytes of ACPI 1.0 adding up to 0. */
	movzwl	0x40e, %esi		/* the first KiB of the extended BIOS data area, ... */
	shl	$4, %esi
	lea	0x400(%esi), %edx
	call	find_rsdp
	je	have_rsdp
	mov	$0xe0000, %esi		/* ... then the BIOS itself */
	mov	$0x100000, %edx
	call	find_rsdp
	jne	end_tag
have_rsdp:
	mov	$MB2_TAG_ACPI_OLD, %eax
	stosl
	mov	$28, %eax
	stosl
	mov	$20 / 4, %ecx
	rep movsl
	add	$4, %edi		/* tags are 8-byte aligned */
end_tag:
	xor	%eax, %eax
	stosl
	mov	$8, %al
	stosl
	sub	%ebx, %edi
	mov	%edi, (%ebx)
	mov	$MB2_MAGIC, %eax
	mov	$LINK_BASE, %ecx
	jmp	*%ecx

/* Look from ESI up to EDX: ZF set and ESI at the root pointer, or ZF clear. Eats EAX, ECX, EBP. */
find_rsdp:
	cmpl	$0x20445352, (%esi)
	jne	1f
	cmpl	$0x20525450, 4(%esi)
	jne	1f
	mov	$20, %ecx
	xor	%eax, %eax
2:	add	-1(%esi, %ecx), %al
	loop	2b
	test	%al, %al
	je	3f
1:	add	$16, %esi
	cmp	%edx, %esi
	jb	find_rsdp
	test	%esp, %esp		/* ZF clear */
3:	ret

no_blob:
	mov	$message, %esi
	mov	$message_end - message, %ecx
	mov	$0xe9, %edx
	rep outsb
1:	hlt
	jmp	1b

message:
	.ascii	"stillpoint: no boot blob at 4 MiB\n"
	.ascii	"stillpoint: end 2 no boot blob\n"
message_end:

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* 8: flat code */
	.quad	0x00cf93000000ffff	/* 16: flat data */
gdtr:
	.word	. - gdt - 1
	.long	gdt

	.org	511
	.byte	0			/* makes the sum of all bytes 0: tools/romsum.py */
