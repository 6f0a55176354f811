/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest of experiment `apic`, at TINY_CODE: 64-bit, since only there is a CR8. RBX: its box,
 * and nothing changes it; R14: the APIC's address; R15: 1 in x2APIC mode, else 0.
 */
#include "lab/apic_box.h"

#define ADDRESS(label)	(TINY_CODE + (label) - apic_guest_start)
#define STARTUP(label)	(APIC_STARTUP + (label) - apic_startup_start)
#define CODE32		0x18
#define CODE64		0x08
#define DATA		0x10
#define PORT		0x42

#define MSR_APIC_BASE	0x1b
#define MSR_EFER	0xc0000080
#define X2(reg)		(0x800 + (reg) / 16)

#define REG_ID		0x20
#define REG_VERSION	0x30
#define REG_TPR		0x80
#define REG_EOI		0xb0
#define REG_LDR		0xd0
#define REG_SVR		0xf0
#define REG_ISR		0x120
#define REG_ICR		0x300
#define REG_ICR2	0x310
#define SVR_ON		0x1ff
#define ICR_ASSERT	0x4000
#define ICR_SELF	0x40000
#define SENTINEL	0xa5a5a5a5

	.section .rodata

	.globl	apic_guest_start, apic_guest_end
	.code32
apic_guest_start:
	lea	TINY_STACKS - TINY_BOXES + 0x1000(%ebx), %esp
	lgdt	ADDRESS(gdtr)
	lidt	TINY_IDT
	mov	%cr4, %eax
	or	$0x20, %eax		/* PAE */
	mov	%eax, %cr4
	mov	$APIC_TABLES, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$0x100, %eax		/* LME */
	wrmsr
	mov	%cr0, %eax
	or	$0x80000001, %eax	/* PG, PE */
	mov	%eax, %cr0
	ljmp	$CODE64, $ADDRESS(start64)

	.code64
start64:
	mov	$DATA, %eax
	mov	%eax, %ss
	mov	$APIC_MMIO, %r14d
	mov	$MSR_APIC_BASE, %ecx
	rdmsr
	mov	%eax, %r15d
	shr	$10, %r15d
	and	$1, %r15d
	call	software_enable
	cmp	APIC_BOX_MODE(%rbx), %r15d
	je	1f
	call	job_mode
1:	incl	APIC_BOX_STARTED(%rbx)
	sti

idle:	incl	TINY_BOX_COUNTER(%rbx)
	mov	APIC_BOX_GO(%rbx), %eax
	cmp	APIC_BOX_DONE(%rbx), %eax
	jne	work
	cmpl	$0, TINY_BOX_HALT(%rbx)
	je	idle
	cli				/* what ends the HLT may come just now */
	cmp	APIC_BOX_GO(%rbx), %eax
	jne	1f
	sti
	hlt
	jmp	idle
1:	sti

work:	mov	APIC_BOX_JOB(%rbx), %eax
	lea	(%r15, %rax, 2), %eax
	call	*ADDRESS(jobs)(, %rax, 8)
	mov	APIC_BOX_GO(%rbx), %eax
	mov	%eax, APIC_BOX_DONE(%rbx)
	out	%al, $PORT
	jmp	idle

/* --- one operation, measured ------------------------------------------------------------------ */

.macro measured name, body:vararg
\name:	mov	APIC_BOX_COUNT(%rbx), %ebp
	lea	APIC_BOX_SAMPLES(%rbx), %rdi
1:	rdtsc
	mov	%eax, %esi
	mov	$APIC_BATCH, %r12d
2:	\body
	dec	%r12d
	jnz	2b
	rdtsc
	sub	%esi, %eax
	shr	$APIC_BATCH_SHIFT, %eax
	stosl
	dec	%ebp
	jnz	1b
	ret
.endm

.macro x2_write reg, low, high=$0
	mov	$X2(\reg), %ecx
	mov	\low, %eax
	mov	\high, %edx
	wrmsr
.endm

.macro x2_read reg
	mov	$X2(\reg), %ecx
	rdmsr
.endm

.macro cr8
	xor	%eax, %eax
	mov	%rax, %cr8
	mov	%cr8, %rax
.endm

.macro tpr_x2
	x2_write REG_TPR, $0
	rdmsr
.endm

.macro tpr_mmio
	movl	$0, REG_TPR(%r14)
	mov	REG_TPR(%r14), %eax
.endm

/* Until handler \n of box \box, whose count is in R9, has run once more. */
.macro wait_one box
	inc	%r9d
3:	cmp	%r9d, (\box)
	jne	3b
.endm

.macro self_x2
	x2_write REG_ICR, $(ICR_SELF | ICR_ASSERT | (TINY_VECTOR + APIC_PLAIN))
	wait_one %r8
.endm

.macro self_mmio
	movl	$(ICR_SELF | ICR_ASSERT | (TINY_VECTOR + APIC_PLAIN)), REG_ICR(%r14)
	wait_one %r8
.endm

.macro ipi_x2
	x2_write REG_ICR, %r10d, %r11d
	wait_one %r8
.endm

.macro ipi_mmio
	mov	%r11d, REG_ICR2(%r14)
	mov	%r10d, REG_ICR(%r14)
	wait_one %r8
.endm

	measured op_cr8, cr8
	measured op_tpr_mmio, tpr_mmio
	measured op_tpr_x2, tpr_x2
	measured op_eoi_mmio, movl $0, REG_EOI(%r14)
	measured op_eoi_x2, x2_write REG_EOI, $0
	measured op_id_mmio, mov REG_ID(%r14), %eax
	measured op_id_x2, x2_read REG_ID
	measured op_isr_mmio, mov REG_ISR(%r14), %eax
	measured op_isr_x2, x2_read REG_ISR
	measured many_self_mmio, self_mmio
	measured many_self_x2, self_x2
	measured many_ipis_mmio, ipi_mmio
	measured many_ipis_x2, ipi_x2

/* R8: where the handler of the IPIs counts; R9: what is there; R10, R11: the ICR. */
op_self_mmio:
	call	own_count
	jmp	many_self_mmio
op_self_x2:
	call	own_count
	jmp	many_self_x2
own_count:
	lea	TINY_BOX_RECEIVED + 4 * APIC_PLAIN(%rbx), %r8
	mov	(%r8), %r9d
	ret

/* The same one by one, each when the target has had time to fall asleep. */
.macro alone name, body:vararg
\name:	mov	APIC_BOX_COUNT(%rbx), %ebp
	lea	APIC_BOX_SAMPLES(%rbx), %rdi
1:	mov	$APIC_ASLEEP, %ecx
	loop	.
	rdtsc
	mov	%eax, %esi
	\body
	rdtsc
	sub	%esi, %eax
	stosl
	dec	%ebp
	jnz	1b
	ret
.endm

	alone	few_ipis_mmio, ipi_mmio
	alone	few_ipis_x2, ipi_x2

op_ipi_alone_mmio:
	call	other_count
	shl	$24, %r11d
	jmp	few_ipis_mmio
op_ipi_alone_x2:
	call	other_count
	jmp	few_ipis_x2

op_ipi_mmio:
	call	other_count
	shl	$24, %r11d
	jmp	many_ipis_mmio
op_ipi_x2:
	call	other_count
	jmp	many_ipis_x2
other_count:
	mov	APIC_BOX_TO(%rbx), %r11d
	mov	APIC_BOX_VECTOR(%rbx), %r10d
	mov	%r11d, %eax
	shl	$12, %eax
	lea	TINY_BOXES + TINY_BOX_RECEIVED - 4 * TINY_VECTOR(%rax, %r10, 4), %r8
	mov	(%r8), %r9d
	ret

/* --- storms ----------------------------------------------------------------------------------- */

/* Vector TINY_VECTOR + ME to one vCPU after the other, itself among them. R13: to whom. */
job_storm:
	xor	%r13d, %r13d
1:	call	wait_acknowledged
	jc	4f
	mov	%edx, APIC_BOX_SEEN(%rbx, %r13, 4)
	incl	APIC_BOX_SENT(%rbx, %r13, 4)
	mov	APIC_BOX_ME(%rbx), %eax
	add	$TINY_VECTOR, %eax
	mov	%r13d, %edx
	call	send
	call	verify
	inc	%r13d
	cmp	APIC_BOX_NR(%rbx), %r13d
	jb	2f
	xor	%r13d, %r13d
2:	cmpl	$0, APIC_BOX_RELEASE(%rbx)
	je	1b
	xor	%r13d, %r13d
3:	call	wait_acknowledged
	jc	4f
	inc	%r13d
	cmp	APIC_BOX_NR(%rbx), %r13d
	jb	3b
4:	ret

/*
 * Until vCPU R13 has had all that was sent to it, or more, and has got on by itself since: else it
 * might do nothing but take interrupts. EDX: how far it is. Carry: told to stop.
 */
wait_acknowledged:
	mov	%r13d, %eax
	shl	$12, %eax
	lea	TINY_BOXES(%rax), %r8d
	mov	APIC_BOX_ME(%rbx), %ecx
	mov	APIC_BOX_SENT(%rbx, %r13, 4), %eax
1:	incl	TINY_BOX_COUNTER(%rbx)
	cmpl	$0, APIC_BOX_STOP(%rbx)
	jne	2f
	cmp	%eax, TINY_BOX_RECEIVED(%r8, %rcx, 4)
	jb	1b
	mov	TINY_BOX_COUNTER(%r8), %edx
	cmp	APIC_BOX_SEEN(%rbx, %r13, 4), %edx
	je	1b
	clc
	ret
2:	stc
	ret

/* EAX: the ICR's low half, EDX: the APIC ID. */
send:	test	%r15d, %r15d
	jnz	1f
	shl	$24, %edx
	mov	%edx, REG_ICR2(%r14)
	mov	%eax, REG_ICR(%r14)
	ret
1:	mov	$X2(REG_ICR), %ecx
	wrmsr
	ret

/* Three registers that do not change. */
verify:
	test	%r15d, %r15d
	jnz	1f
	.irp	reg, 0, 1, 2
	mov	REG_ID + \reg * 0x10 + (\reg / 2) * 0x90(%r14), %eax
	mov	APIC_BOX_EXPECT + 4 * \reg(%rbx), %ecx
	call	compare
	.endr
	ret
1:	.irp	reg, 0, 1, 2
	mov	$X2(REG_ID + \reg * 0x10 + (\reg / 2) * 0x90), %ecx
	rdmsr
	mov	APIC_BOX_EXPECT + 4 * \reg(%rbx), %ecx
	call	compare
	.endr
	ret

compare:
	incl	APIC_BOX_READS(%rbx)
	cmp	%eax, %ecx
	je	1f
	incl	APIC_BOX_WRONG(%rbx)
	mov	%eax, APIC_BOX_FOUND(%rbx)
	cmp	$SENTINEL, %eax
	jne	1f
	incl	APIC_BOX_RAW(%rbx)
1:	ret

/* --- other jobs ------------------------------------------------------------------------------- */

job_watch:
	call	verify
	incl	TINY_BOX_COUNTER(%rbx)
	cmpl	$0, APIC_BOX_WRITES(%rbx)
	je	2f
	test	%r15d, %r15d
	jnz	1f
	tpr_mmio
	jmp	2f
1:	tpr_x2
2:	cmpl	$0, APIC_BOX_STOP(%rbx)
	je	job_watch
	ret

job_probe:
	call	verify
1:	incl	TINY_BOX_COUNTER(%rbx)
	mov	APIC_BOX_PROBE(%rbx), %eax
	test	%eax, %eax
	jz	1b
	mov	(%rax), %eax
	mov	%eax, APIC_BOX_VALUE(%rbx)
	ret

job_send:
	mov	APIC_BOX_ICR(%rbx), %eax
	mov	APIC_BOX_DEST(%rbx), %edx
	jmp	send

job_gap:
	rdtsc
	mov	%eax, %esi
1:	rdtsc
	mov	%eax, %edi
	sub	%esi, %edi
	mov	%eax, %esi
	cmp	APIC_BOX_VALUE(%rbx), %edi
	jbe	2f
	mov	%edi, APIC_BOX_VALUE(%rbx)
2:	incl	TINY_BOX_COUNTER(%rbx)
	cmpl	$0, APIC_BOX_STOP(%rbx)
	je	1b
	ret

/* The way between any two modes leads through "disabled". */
job_mode:
	mov	$MSR_APIC_BASE, %ecx
	rdmsr
	xor	%r15d, %r15d
	and	$~0xc00, %eax
	wrmsr
	cmpl	$APIC_MODE_DISABLED, APIC_BOX_MODE(%rbx)
	je	1f
	or	$0x800, %eax
	wrmsr
	cmpl	$APIC_MODE_X2APIC, APIC_BOX_MODE(%rbx)
	jne	software_enable
	or	$0x400, %eax
	wrmsr
	inc	%r15d
	jmp	software_enable
1:	ret

/* In xAPIC mode software says what LDR is, too. */
software_enable:
	test	%r15d, %r15d
	jnz	1f
	movl	$SVR_ON, REG_SVR(%r14)
	mov	APIC_BOX_EXPECT + 8(%rbx), %eax
	mov	%eax, REG_LDR(%r14)
	ret
1:	x2_write REG_SVR, $SVR_ON
	ret

	.balign	8
/* In xAPIC mode, in x2APIC mode. */
.macro job mmio, x2
	.quad	ADDRESS(\mmio), ADDRESS(\x2)
.endm
jobs:	job	op_cr8, op_cr8
	job	op_tpr_mmio, op_tpr_x2
	job	op_eoi_mmio, op_eoi_x2
	job	op_id_mmio, op_id_x2
	job	op_isr_mmio, op_isr_x2
	job	op_self_mmio, op_self_x2
	job	op_ipi_mmio, op_ipi_x2
	job	op_ipi_alone_mmio, op_ipi_alone_x2
	job	job_storm, job_storm
	job	job_watch, job_watch
	job	job_probe, job_probe
	job	job_mode, job_mode
	job	job_send, job_send
	job	job_gap, job_gap

gdt:	.quad	0
	.quad	0x00af9b000000ffff	/* CODE64 */
	.quad	0x00cf93000000ffff	/* DATA */
	.quad	0x00cf9b000000ffff	/* CODE32 */
gdtr:	.word	. - gdt - 1
	.long	ADDRESS(gdt)
apic_guest_end:

/* --- to TINY_STUBS: TINY_NR_VECTORS interrupts, NMI, other exceptions, 16 bytes apart --------- */

	.globl	apic_stubs_start, apic_stubs_end
	.balign	16
apic_stubs_start:
	.set	n, 0
	.rept	APIC_LEVELS
	incl	TINY_BOX_RECEIVED + 4 * n(%rbx)
	jmp	plain
	.balign	16
	.set	n, n + 1
	.endr
	.rept	TINY_NR_VECTORS - APIC_LEVELS
	push	%rsi
	mov	$n, %esi
	jmp	levels
	.balign	16
	.set	n, n + 1
	.endr
	incl	TINY_BOX_RECEIVED + 4 * TINY_NR_VECTORS(%rbx)
	iretq
	.balign	16
	jmp	exception

plain:	push	%rax
	push	%rcx
	push	%rdx
	test	%r15d, %r15d
	jnz	1f
	movl	$0, REG_EOI(%r14)
	jmp	2f
1:	x2_write REG_EOI, $0
2:	pop	%rdx
	pop	%rcx
	pop	%rax
	iretq

levels:	push	%rax
	push	%rcx
	push	%rdx
	mov	%cr8, %rax
	push	%rax
	mov	$(TINY_VECTOR >> 4), %eax
	mov	%rax, %cr8
	test	%r15d, %r15d
	jnz	1f
	mov	REG_ID(%r14), %eax
	movl	$0, REG_EOI(%r14)
	jmp	2f
1:	x2_read	REG_ID
	x2_write REG_EOI, $0
2:	pop	%rax
	mov	%rax, %cr8
	pop	%rdx
	pop	%rcx
	pop	%rax
	incl	TINY_BOX_RECEIVED(%rbx, %rsi, 4)
	pop	%rsi
	iretq

exception:
	incl	TINY_BOX_ERRORS(%rbx)
	pop	%rax
	mov	%eax, APIC_BOX_FAULT(%rbx)
	pop	%rax
	mov	%eax, APIC_BOX_FAULT + 4(%rbx)
1:	cli
	hlt
	jmp	1b
apic_stubs_end:

/*
 * To APIC_STARTUP: real mode, CS there. Its box is found by the APIC ID, which CPUID tells too;
 * from there on it is a guest like the others.
 */
	.code16
	.globl	apic_startup_start, apic_startup_end
apic_startup_start:
	xor	%ax, %ax
	mov	%ax, %ds
	lgdtl	ADDRESS(gdtr)
	mov	$1, %eax
	cpuid
	shr	$24, %ebx
	shl	$12, %ebx
	add	$TINY_BOXES, %ebx
	mov	%cr0, %eax
	or	$1, %eax
	mov	%eax, %cr0
	ljmpl	$CODE32, $STARTUP(protected)
	.code32
protected:
	mov	$DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	ljmpl	$CODE32, $TINY_CODE
apic_startup_end:

	.section .note.GNU-stack, "", @progbits
