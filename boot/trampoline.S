/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a CPU starts after a STARTUP IPI: real mode, CS:0 is this page. Takes it to 64-bit mode on
 * the early page tables and to the address in the parameters (struct ap_params at offset 8), with
 * RBX = the address of this page. No stack is used: many CPUs run through here at once.
 *
 * Lives in read-only data; hv/host/smp.c copies it into a free page and fills in the parameters.
 */
#define CR0_PE	     0x00000001
#define CR0_LONG     0x80010033		/* PG WP NE ET MP PE: caches on (CD and NW clear) */
#define CR4_PAE	     0x20
#define MSR_EFER     0xc0000080
#define EFER_LME     0x100

#define HERE(sym)    (sym - trampoline)

	.section .rodata.trampoline, "a"
	.balign	16
	.globl	trampoline, trampoline_end
	.code16
trampoline:
	jmp	1f
	.org	trampoline + 8
/* struct ap_params: addresses are relative to the page until it is copied. */
param_cr3:	.long	0
param_entry32:	.long	HERE(protected)	/* far pointers */
		.word	8, 0
param_entry64:	.long	HERE(long_mode)
		.word	24, 0
param_gdtr:	.word	gdt_end - gdt - 1
		.long	HERE(gdt)
		.word	0
param_high:	.quad	0
1:
	cli
	cld
	mov	%cs, %ax
	mov	%ax, %ds
	movzwl	%ax, %ebx
	shl	$4, %ebx
	lgdtl	HERE(param_gdtr)
	mov	%cr0, %eax
	or	$CR0_PE, %eax
	mov	%eax, %cr0
	ljmpl	*HERE(param_entry32)

	.code32
	.balign	4
protected:
	mov	$16, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	HERE(param_cr3)(%ebx), %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	mov	$CR0_LONG, %eax
	mov	%eax, %cr0
	ljmpl	*HERE(param_entry64)(%ebx)

	.code64
	.balign	4
long_mode:
	mov	%ebx, %ebx		/* clears the upper half */
	jmp	*HERE(param_high)(%rbx)

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* 8: flat 32-bit code */
	.quad	0x00cf93000000ffff	/* 16: flat data */
	.quad	0x00af9b000000ffff	/* 24: 64-bit code */
gdt_end:
trampoline_end:
