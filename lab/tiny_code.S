/* SPDX-License-Identifier: GPL-2.0-only */
/* The code of lab/tiny.h's guests: copied to 0x1000, position-independent, 32-bit. */
	.section .rodata
	.code32

#define SAMPLES 0x10000
#define COUNTER 0x8000
#define BATCH	16
.set PORT, 0x42			/* named inside strings, where the preprocessor does not look */

/* EBX times: the ticks of BATCH runs of \body, divided by BATCH, to SAMPLES. */
.macro batches body
	mov	%ebx, %ebp		/* CPUID overwrites EBX */
	mov	$SAMPLES, %edi
1:	rdtsc
	mov	%eax, %esi
	mov	$BATCH, %esp		/* the stack is not used */
2:	\body
	dec	%esp
	jnz	2b
	rdtsc
	sub	%esi, %eax
	shr	$4, %eax		/* / BATCH */
	stosl
	dec	%ebp
	jnz	1b
	hlt
.endm

	.globl	tiny_cpuid_start, tiny_cpuid_end
tiny_cpuid_start:
	batches "xor %eax, %eax; cpuid"
tiny_cpuid_end:

	.globl	tiny_in_start, tiny_in_end
tiny_in_start:
	batches "in $PORT, %al"
tiny_in_end:

	.globl	tiny_spin_start, tiny_spin_end
tiny_spin_start:
1:	incl	COUNTER
	jmp	1b
tiny_spin_end:

	.globl	tiny_exits_start, tiny_exits_end
tiny_exits_start:
1:	incl	COUNTER
	xor	%eax, %eax
	cpuid
	jmp	1b
tiny_exits_end:

	.section .note.GNU-stack, "", @progbits
