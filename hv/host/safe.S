/* SPDX-License-Identifier: GPL-2.0-only */
/* Accesses that may fault: the exception handler puts -EFAULT into RAX and goes on at "2". */
#include "hv/host/asm.h"

/* int rdmsr_safe(u32 msr, u64 *v) */
FUNC(rdmsr_safe)
	mov	%edi, %ecx
1:	rdmsr
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, (%rsi)
	xor	%eax, %eax
2:	ret
	EX_TABLE(1b, 2b)
END(rdmsr_safe)

/* int wrmsr_safe(u32 msr, u64 v) */
FUNC(wrmsr_safe)
	mov	%edi, %ecx
	mov	%esi, %eax
	mov	%rsi, %rdx
	shr	$32, %rdx
1:	wrmsr
	xor	%eax, %eax
2:	ret
	EX_TABLE(1b, 2b)
END(wrmsr_safe)

/* int read_safe(const u64 *p, u64 *v) */
FUNC(read_safe)
1:	mov	(%rdi), %rax
	mov	%rax, (%rsi)
	xor	%eax, %eax
2:	ret
	EX_TABLE(1b, 2b)
END(read_safe)

/* int write_safe(u64 *p, u64 v) */
FUNC(write_safe)
1:	mov	%rsi, (%rdi)
	xor	%eax, %eax
2:	ret
	EX_TABLE(1b, 2b)
END(write_safe)

/* int call_safe(const void *code): a fetch that faults has left the return address on the stack */
FUNC(call_safe)
	push	%rbp
	mov	%rsp, %rbp
	call	*%rdi
1:	xor	%eax, %eax
2:	mov	%rbp, %rsp
	pop	%rbp
	ret
	EX_TABLE(1b, 2b)
END(call_safe)
