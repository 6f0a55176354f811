/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Into the guest and out again.
 *
 * The last look. Whoever wants this CPU to look at something before it runs guest code publishes it
 * and sends an NMI. The NMI can arrive
 *   (a) in the guest: a VM exit;
 *   (b) in root mode before the comparison with entry_barred below: the NMI handler has set
 *	 entry_barred, and the comparison sees it;
 *   (c) in root mode after the comparison, up to and including VMLAUNCH/VMRESUME as the next
 *	 instruction: the comparison is over, so the handler's .nmi_fixup entry sends us to
 *	 .Lbarred instead.
 * RSP does not move in window (c): the guest's registers are loaded from memory, not popped, so
 * .Lbarred finds the host's stack as it was. The guest's registers in memory are untouched then, and
 * an event in VM_ENTRY_INTR_INFO stays there, so nothing is lost by not entering.
 *
 * The flush check sits here too: the VM's flush generation against this vCPU's. The unmapper advances
 * the generation, then kicks, so a generation advanced after this comparison comes with an NMI.
 */
#include "offsets.h"

	.text

.macro load_guest_gprs
	mov	VCPU_RAX(%rdi), %rax
	mov	VCPU_RCX(%rdi), %rcx
	mov	VCPU_RDX(%rdi), %rdx
	mov	VCPU_RBX(%rdi), %rbx
	mov	VCPU_RBP(%rdi), %rbp
	mov	VCPU_RSI(%rdi), %rsi
	mov	VCPU_R8(%rdi), %r8
	mov	VCPU_R9(%rdi), %r9
	mov	VCPU_R10(%rdi), %r10
	mov	VCPU_R11(%rdi), %r11
	mov	VCPU_R12(%rdi), %r12
	mov	VCPU_R13(%rdi), %r13
	mov	VCPU_R14(%rdi), %r14
	mov	VCPU_R15(%rdi), %r15
	mov	VCPU_RDI(%rdi), %rdi
.endm

/* At a VM exit RSP is HOST_RSP, where the vCPU's address was pushed. Leaves it in RDI. */
.macro save_guest_gprs
	push	%rdi
	mov	8(%rsp), %rdi
	mov	%rax, VCPU_RAX(%rdi)
	mov	%rcx, VCPU_RCX(%rdi)
	mov	%rdx, VCPU_RDX(%rdi)
	mov	%rbx, VCPU_RBX(%rdi)
	mov	%rbp, VCPU_RBP(%rdi)
	mov	%rsi, VCPU_RSI(%rdi)
	mov	%r8, VCPU_R8(%rdi)
	mov	%r9, VCPU_R9(%rdi)
	mov	%r10, VCPU_R10(%rdi)
	mov	%r11, VCPU_R11(%rdi)
	mov	%r12, VCPU_R12(%rdi)
	mov	%r13, VCPU_R13(%rdi)
	mov	%r14, VCPU_R14(%rdi)
	mov	%r15, VCPU_R15(%rdi)
	pop	VCPU_RDI(%rdi)
.endm

/* HOST_RSP := RSP, unless the VMCS holds it already. */
.macro sync_host_rsp fail
	cmp	%rsp, VCPU_HOST_RSP(%rdi)
	je	1f
	mov	%rsp, VCPU_HOST_RSP(%rdi)
	mov	$FIELD_HOST_RSP, %eax
	vmwrite	%rsp, %rax
	jbe	\fail
1:
.endm

.macro begin_entry
	push	%rbp
	push	%rdi
	sync_host_rsp .Lvmfail
	mov	VCPU_FLUSH_GEN(%rdi), %rax
	mov	(%rax), %rax
	cmp	%rax, VCPU_FLUSHED_GEN(%rdi)
	jne	.Lstale
.endm

/* Stay for a while, for experiment `nmi`: the flags and ECX are lost. */
.macro dawdle
	mov	VCPU_DAWDLE(%rdi), %ecx
1:	dec	%ecx
	jns	1b
.endm

/*
 * The last look and what follows. In \enter, between \enter's comparison and the instruction itself, an
 * NMI continues at \barred.
 */
.macro enter_unless_barred barred, enter, slowly=0
.if \slowly
	dawdle
.endif
.Lwindow\@:
	cmpl	$0, %gs:CPU_ENTRY_BARRED
	jne	\barred
.if \slowly
	dawdle
.endif
	load_guest_gprs
	\enter
.Lwindow_end\@:
	.pushsection .nmi_fixup, "a"
	.p2align 3
	.quad	.Lwindow\@, .Lwindow_end\@, \barred
	.popsection
.endm

/*
 * vmx_enter() calls one of these three through the vCPU: RDI = vCPU; returns enum vm_exit_reason in
 * EAX; preserves RDI, RBP and RSP only. Interrupts off. What is not a plain exit continues in C
 * (vmx/enter.c).
 */
	.globl	vmx_resume_guest
	.type	vmx_resume_guest, @function
	.p2align 4
vmx_resume_guest:
	begin_entry
	enter_unless_barred .Lbarred, vmresume
.Lresume_failed:
	mov	(%rsp), %rdi		/* VMfail: still on our stack */
.Lvmfail:
	mov	$RESULT_VMFAIL, %esi
	jmp	.Lnot_entered

/* The same with VCPU_DAWDLE rounds of waiting in each part of the window: vmx_dawdle(). */
	.globl	vmx_resume_slowly
	.type	vmx_resume_slowly, @function
vmx_resume_slowly:
	begin_entry
	enter_unless_barred .Lbarred, vmresume, slowly=1
	jmp	.Lresume_failed

/*
 * The first entry after VMCLEAR. From the next one on a resume is the one to call. There are two,
 * which differ in their name: the other one tells that there was no exit yet (vmx/save.c).
 */
.macro launch name
	.globl	\name
	.type	\name, @function
\name:
	begin_entry
	mov	VCPU_RESUME(%rdi), %rax
	mov	%rax, VCPU_ENTER(%rdi)
	enter_unless_barred .Lbarred_\name, vmlaunch
	jmp	.Lresume_failed
.Lbarred_\name:				/* RDI may be the guest's already */
	mov	(%rsp), %rdi
	movq	$\name, VCPU_ENTER(%rdi)
	jmp	.Lbarred
.endm
	launch	vmx_launch_guest
	launch	vmx_launch_restored

.Lbarred:
	mov	$RESULT_BARRED, %esi
	jmp	.Lnot_entered
.Lstale:
	mov	$RESULT_STALE, %esi
.Lnot_entered:
	mov	(%rsp), %rdi
	call	vmx_not_entered
	pop	%rdi
	pop	%rbp
	ret

	.globl	vmx_exit
	.type	vmx_exit, @function
	.p2align 4
vmx_exit:
	save_guest_gprs
	mov	$FIELD_VM_EXIT_REASON, %esi
	vmread	%rsi, %rsi
	cmp	$NR_EXIT_REASONS, %esi
	jae	.Ldecode
	movzbl	vmx_translate(%rsi), %eax
	test	%al, %al		/* NEEDS_DECODE is the sign */
	js	.Ldecode
	add	$8, %rsp
	pop	%rbp
	ret
.Ldecode:
	mov	8(%rsp), %rbp		/* for backtraces: the caller's frame */
	call	vmx_decode_exit
	pop	%rdi
	pop	%rbp
	ret

/* The same with RFLAGS.TF set, for counting the instructions of the path (vmx/count.c). */
	.globl	vmx_exit_stepping
	.type	vmx_exit_stepping, @function
vmx_exit_stepping:
	pushfq
	orl	$0x100, (%rsp)
	popfq
	jmp	vmx_exit

/* VMfail of an access from C: RAX = field. */
	.globl	vmcs_read_failed, vmcs_write_failed
vmcs_write_failed:
	mov	$1, %esi
	jmp	1f
vmcs_read_failed:
	xor	%esi, %esi
1:	mov	%rax, %rdi
	call	vmcs_access_failed

/*
 * The floor: the smallest round trip with a handler in C (vmx/floor.c), without a single check.
 * u64 vmx_floor_enter(struct vmx_vcpu *v, const u32 answer[4]) returns when the handler says so. The
 * VMCS has been launched before.
 */
	.globl	vmx_floor_enter
	.type	vmx_floor_enter, @function
vmx_floor_enter:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rsi
	push	%rdi
	sync_host_rsp .Lfloor_out
.Lfloor_resume:
	load_guest_gprs
	vmresume
	jmp	.Lfloor_out
	.globl	vmx_exit_floor
	.type	vmx_exit_floor, @function
	.p2align 4
vmx_exit_floor:
	save_guest_gprs
	mov	8(%rsp), %rsi
	call	vmx_floor_exit
	mov	(%rsp), %rdi
	test	%eax, %eax
	jz	.Lfloor_resume
.Lfloor_out:
	add	$16, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret

	.section .note.GNU-stack, "", @progbits
