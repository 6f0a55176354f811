/* SPDX-License-Identifier: GPL-2.0-only */
/* Unmasked FPU exceptions, and control register bits that forbid FPU instructions. */
#include "guest/fpu.h"
#include "guest/rt/check.h"
#include "guest/rt/trap.h"
#include "hv/host/x86.h"

#define FCW_ZERO_DIVIDE_ON   0x037b /* the reset value with the divide-by-zero mask clear */
#define MXCSR_ZERO_DIVIDE_ON 0x1d80

static void x87_divide_by_zero(void *arg)
{
	u16 fcw = FCW_ZERO_DIVIDE_ON;

	__asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" ::"m"(fcw));
}

static void sse_divide_by_zero(void *arg)
{
	u32 mxcsr = MXCSR_ZERO_DIVIDE_ON, one = 0x3f800000, zero = 0;

	__asm__ volatile("ldmxcsr %0; movss %1, %%xmm0; divss %2, %%xmm0" ::"m"(mxcsr), "m"(one),
			 "m"(zero));
}

static void use_x87(void *arg)
{
	__asm__ volatile("fldz");
}

static void use_sse(void *arg)
{
	__asm__ volatile("xorps %xmm0, %xmm0");
}

static void check_with_cr0(u64 bit, const struct fault_case *c)
{
	write_cr0(read_cr0() | bit);
	check_fault(c);
	write_cr0(read_cr0() & ~bit);
}

void fpu_check_exceptions(void)
{
	u32 mxcsr = 0x1f80;

	check_fault(&(struct fault_case){ "an x87 exception raises MF at the next x87 instruction",
					  x87_divide_by_zero, NULL, EXC_MF, 0, false });
	__asm__ volatile("fninit");
	check_fault(&(struct fault_case){ "an SSE exception raises XM", sse_divide_by_zero, NULL,
					  EXC_XM, 0, true });
	__asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
	check_with_cr0(CR0_TS, &(struct fault_case){ "x87 with CR0.TS raises NM", use_x87, NULL,
						     EXC_NM, 0, false });
	check_with_cr0(CR0_TS, &(struct fault_case){ "SSE with CR0.TS raises NM", use_sse, NULL,
						     EXC_NM, 0, false });
	check_with_cr0(CR0_EM, &(struct fault_case){ "x87 with CR0.EM raises NM", use_x87, NULL,
						     EXC_NM, 0, false });
	check_with_cr0(CR0_EM, &(struct fault_case){ "SSE with CR0.EM raises UD", use_sse, NULL,
						     EXC_UD, 0, false });
	__asm__ volatile("fninit");
}
