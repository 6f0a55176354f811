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
