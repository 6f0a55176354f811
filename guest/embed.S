/* SPDX-License-Identifier: GPL-2.0-only */
/* The guests' ELF files, in a section of their own, and the table of guest/embed.h. */

	.section .guests, "a"
	.irp	name, GUEST_NAMES
	.balign	16
image_\name:
	.incbin	"guest/\name\().elf"
image_\name\()_end:
	.endr

	.section .rodata
	.irp	name, GUEST_NAMES
name_\name:
	.asciz	"\name"
	.endr

	.balign	8
	.globl	guest_images, guest_nr_images
guest_images:
	.irp	name, GUEST_NAMES
	.quad	name_\name, image_\name, image_\name\()_end
	.endr
guest_images_end:
guest_nr_images:
	.quad	(guest_images_end - guest_images) / 24
	.section .note.GNU-stack, "", @progbits
