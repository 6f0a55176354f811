/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Decoding the instructions that access memory-mapped registers. See docs/apic-page.md for why this
 * is not a library, and tests/unit/test_insn.c for the library that it is held against.
 *
 * Refused (-EINVAL), besides what has no memory operand: instructions that access memory twice or
 * as a stack (PUSH, POP, CALL and JMP through memory, CMPS, SCAS, INS, OUTS), bit and shift
 * instructions, MUL and DIV, CMPXCHG, XADD, moves of segment and MMX registers, of scalars
 * (MOVSS, MOVSD), all else of SSE, x87 and whatever has a VEX or EVEX prefix; MOVSXD to 16 bits
 * (processors differ in how much it reads), 82 (an alias of 80) and F6 /1, F7 /1 (of TEST).
 */
#ifndef HV_VM_INSN_H
#define HV_VM_INSN_H

#include "hv/host/types.h"

#define INSN_MAX_LEN 15

enum insn_op {
	INSN_LOAD,	/* register := memory (MOV, MOVZX: zero-extended) */
	INSN_LOAD_SIGN, /* register := memory, sign-extended (MOVSX, MOVSXD) */
	INSN_STORE,	/* memory := register or immediate (MOV, MOVNTI) */
	INSN_XCHG,	/* XCHG with a register */
	INSN_ALU,	/* .alu; an operation without a second operand has neither register nor
			   immediate */
	INSN_LOAD_XMM,	/* MOVUPS, MOVAPS, MOVUPD, MOVAPD, MOVDQU, MOVDQA, MOVD, MOVQ */
	INSN_STORE_XMM,
	INSN_STOS, /* string instructions: one element */
	INSN_LODS,
	INSN_MOVS,
};

/* The first eight as the CPU numbers them. */
enum insn_alu {
	ALU_ADD,
	ALU_OR,
	ALU_ADC,
	ALU_SBB,
	ALU_AND,
	ALU_SUB,
	ALU_XOR,
	ALU_CMP,
	ALU_TEST, /* this one and CMP do not write their result */
	ALU_NOT,
	ALU_NEG,
	ALU_INC,
	ALU_DEC,
};

#define INSN_NO_REG 0xff

struct insn {
	u8 len;	     /* bytes, 1..15 */
	u8 op;	     /* enum insn_op */
	u8 alu;	     /* INSN_ALU: enum insn_alu */
	u8 size;     /* of the memory operand: 1, 2, 4, 8, 16 */
	u8 reg_size; /* of the register operand */
	u8 reg;	     /* its number, 0..15; of an XMM register likewise */
	bool high;   /* AH, CH, DH, BH: .reg is 0..3 */
	bool to_reg; /* INSN_ALU: the result goes to the register, memory is only read */
	bool imm_valid;
	bool rep, lock;
	u8 addr_size; /* 2, 4, 8 */
	/*
	 * Where the memory operand is: base + (index << scale) + disp, in @addr_size bytes, from
	 * the start of the segment. @rip: from the next instruction on. Of MOVS it is the source:
	 * its destination, as that of STOS, is ES:rDI whatever the prefixes.
	 */
	u8 seg; /* as the CPU numbers them: ES CS SS DS FS GS */
	u8 base, index, scale;
	bool rip;
	u64 disp; /* sign-extended */
	u64 imm;  /* sign-extended */
};

/**
 * insn_decode - one instruction with a memory operand
 * @code: its bytes, @len: how many of them there are, 1..15
 * @mode: 16, 32 or 64: the default size of CS
 *
 * Pure. Returns 0; -EINVAL: not one of those above; -ENODATA: it is longer than @len.
 */
int insn_decode(const u8 *code, unsigned int len, unsigned int mode, struct insn *out);

/**
 * insn_compute - what an INSN_ALU does
 * @a: the destination operand, @b: the other; of each the low @size (1, 2, 4, 8) bytes count
 * @flags: RFLAGS before and after. AF is cleared where it is undefined.
 *
 * Pure. Returns the result, zero-extended; also of those that do not write it.
 */
u64 insn_compute(enum insn_alu alu, u64 a, u64 b, unsigned int size, u64 *flags);

#endif
