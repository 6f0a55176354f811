/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a multiboot1 loader (32-bit, flat, paging off) to 64-bit C, for the boot CPU; and from a
 * STARTUP IPI (real mode) to 64-bit C for the others.
 */
#include "guest/rt/layout.h"

#define MB_MAGIC 0x1badb002
#define MB_FLAGS 0x3 /* modules on page boundaries; memory information wanted */

#define PTE_PW	    0x003	  /* present, writable */
#define PDE_2M	    0x083	  /* and a 2 MiB page */
#define PDE_2M_UC   0x09b	  /* and uncached */
#define CR0_RUN	    0x80010033	  /* PG WP NE ET MP PE */
#define CR4_RUN	    0x620	  /* OSXMMEXCPT OSFXSR PAE */
#define MSR_EFER    0xc0000080
#define EFER_LME    0x100
#define STATUS_FAIL 1

	.section .multiboot, "a"
	.balign 4
	.long MB_MAGIC
	.long MB_FLAGS
	.long -(MB_MAGIC + MB_FLAGS)

	.text
	.code32
	.globl start32
start32:
	cli
	cld
	mov	$boot_stack + STACK_SIZE, %esp
	mov	%eax, boot_magic
	mov	%ebx, boot_mbi

	/* Without long mode there is nothing to run on. */
	mov	$0x80000000, %eax
	cpuid
	cmp	$0x80000001, %eax
	jb	no_long_mode
	mov	$0x80000001, %eax
	cpuid
	bt	$29, %edx
	jnc	no_long_mode

	/* Identity map of the first 4 GiB with 2 MiB pages. */
	movl	$boot_pdpt + PTE_PW, boot_pml4
	mov	$boot_pd + PTE_PW, %eax
	mov	$boot_pdpt, %edi
	mov	$BOOT_MAP_GIB, %ecx
1:	mov	%eax, (%edi)
	add	$0x1000, %eax
	add	$8, %edi
	loop	1b

	mov	$PDE_2M, %eax
	mov	$boot_pd, %edi
	mov	$BOOT_MAP_GIB * 512, %ecx
2:	cmp	$DEVICE_MAP_BASE + PDE_2M, %eax
	jb	3f
	or	$PDE_2M_UC, %eax
3:	mov	%eax, (%edi)
	add	$0x200000, %eax
	add	$8, %edi
	loop	2b

	mov	$boot_entry64, %esi
	/* fall through */

/* Switch to long mode and go to %esi. Flat 32-bit segments; %eax, %ecx and %edx are lost. */
long_mode:
	mov	$CR4_RUN, %eax
	mov	%eax, %cr4
	mov	$boot_pml4, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	mov	$CR0_RUN, %eax
	mov	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$SEL_CODE64, $1f

	.code64
1:	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%eax, %fs
	mov	%eax, %gs
	mov	%esi, %esi
	jmp	*%rsi

boot_entry64:
	mov	$boot_stack + STACK_SIZE, %rsp
	xor	%ebp, %ebp
	mov	boot_magic, %edi
	mov	boot_mbi, %esi
	call	guest_start

	.code32
no_long_mode:
	mov	$no_long_mode_text, %esi
	mov	$0x3f8, %edx
4:	lodsb
	test	%al, %al
	jz	5f
	out	%al, %dx
	jmp	4b
5:	mov	$STATUS_FAIL, %eax
	out	%eax, $0xf4
6:	hlt
	jmp	6b

/* Copied to AP_PAGE. Real mode, CS = AP_PAGE / 16, IP = 0. */
	.code16
	.globl ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	cld
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	ap_gdt_pointer - ap_trampoline
	mov	$1, %eax
	mov	%eax, %cr0
	ljmpl	$SEL_CODE32, $ap_entry32
	.balign 4
ap_gdt_pointer:
	.word	SEL_TSS - 1
	.long	gdt
ap_trampoline_end:

	.code32
ap_entry32:
	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$ap_entry64, %esi
	jmp	long_mode

/* The ticket is the CPU's index. One that nobody asked for (no stack) stays halted. */
	.code64
ap_entry64:
	mov	$1, %edi
	lock xadd %edi, ap_ticket
	cmp	ap_wanted, %edi
	jae	7f
	mov	ap_stack(, %rdi, 8), %rsp
	add	$STACK_SIZE, %rsp
	xor	%ebp, %ebp
	call	ap_main
7:	cli
	hlt
	jmp	7b

	.section .rodata
no_long_mode_text:
	.asciz	"guest: this CPU has no long mode\n"

	.data
	.balign 8
	.globl gdt, gdt_pointer
gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* SEL_CODE64 */
	.quad	0x00cf93000000ffff	/* SEL_DATA */
	.quad	0x00cf9b000000ffff	/* SEL_CODE32 */
	.quad	0x00cf13000000ffff	/* SEL_NOT_PRESENT */
	.fill	(SEL_TSS - 0x28) / 8, 8, 0
	.fill	GUEST_MAX_CPUS * 2, 8, 0
gdt_end:
	.balign 4
	.word	0
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt

	.globl ap_ticket
	.balign 4
ap_ticket:
	.long	1

	.bss
	.balign 4096
	.globl boot_pml4, boot_pdpt, boot_pd, boot_stack
boot_pml4:
	.skip	4096
boot_pdpt:
	.skip	4096
boot_pd:
	.skip	4096 * BOOT_MAP_GIB
boot_stack:
	.skip	STACK_SIZE
boot_magic:
	.skip	4
boot_mbi:
	.skip	4
	.section .note.GNU-stack, "", @progbits
