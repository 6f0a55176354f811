/* SPDX-License-Identifier: GPL-2.0-only */
/* What arithmetic and logic instructions compute, flags included. Source: Intel SDM, instruction
 * reference. */
#include "hv/vm/insn.h"

#define FLAG_CF	 BIT(0)
#define FLAG_PF	 BIT(2)
#define FLAG_AF	 BIT(4)
#define FLAG_ZF	 BIT(6)
#define FLAG_SF	 BIT(7)
#define FLAG_OF	 BIT(11)
#define FLAG_ALL (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/* Bit n of @carries: the carry (borrow) out of bit n. */
static u64 carry_flags(u64 carries, unsigned int top)
{
	u64 out = carries >> top & 1, into_top = carries >> (top - 1) & 1;

	return (out ? FLAG_CF : 0) | (carries & BIT(3) ? FLAG_AF : 0) |
	       (out != into_top ? FLAG_OF : 0);
}

static u64 result_flags(u64 r, unsigned int top)
{
	return (r ? 0 : FLAG_ZF) | (r >> top & 1 ? FLAG_SF : 0) |
	       (__builtin_parity((u8)r) ? 0 : FLAG_PF);
}

u64 insn_compute(enum insn_alu alu, u64 a, u64 b, unsigned int size, u64 *flags)
{
	unsigned int top = 8 * size - 1;
	u64 carry = *flags & FLAG_CF, keep = 0, carries = 0, r;

	switch (alu) {
	case ALU_INC:
	case ALU_DEC:
		b = 1;
		keep = FLAG_CF;
		break;
	case ALU_NEG:
		b = a;
		a = 0;
		break;
	default: break;
	}
	if (alu != ALU_ADC && alu != ALU_SBB)
		carry = 0;
	switch (alu) {
	case ALU_ADD:
	case ALU_ADC:
	case ALU_INC:
		r = a + b + carry;
		carries = (a & b) | ((a | b) & ~r);
		break;
	case ALU_OR: r = a | b; break;
	case ALU_AND:
	case ALU_TEST: r = a & b; break;
	case ALU_XOR: r = a ^ b; break;
	case ALU_NOT:
		r = ~a;
		keep = FLAG_ALL;
		break;
	default: /* SBB, SUB, CMP, NEG, DEC */
		r = a - b - carry;
		carries = (~a & b) | ((~a | b) & r);
		break;
	}
	r &= 2 * BIT(top) - 1;
	*flags = (*flags & (~FLAG_ALL | keep)) |
		 ((carry_flags(carries, top) | result_flags(r, top)) & ~keep);
	return r;
}
