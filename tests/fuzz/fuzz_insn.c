/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The decoder against any bytes: it reads none beyond their end, what it accepts is consistent, and
 * neither the bytes behind an instruction nor how many there are change what it is.
 */
/* link: hv/vm/insn.c hv/vm/insn_alu.c */
/* fuzz: -max_len=17 -runs=400000 */
#include "hv/host/errno.h"
#include "hv/vm/insn.h"
#include "tests/fuzz/input.h"

static const unsigned int modes[] = { 16, 32, 64 };

static bool is_register(u8 r, unsigned int mode)
{
	return r < (mode == 64 ? 16 : 8);
}

static void check_operands(const struct insn *i, unsigned int mode)
{
	bool wide = i->op == INSN_LOAD_XMM || i->op == INSN_STORE_XMM;

	MUST(i->size == 1 || i->size == 2 || i->size == 4 || i->size == 8 ||
	     (wide && i->size == 16));
	MUST(mode == 64 || i->size != 8 || wide);
	MUST(is_register(i->reg, mode));
	MUST(!i->high || (i->reg_size == 1 && i->reg < 4));
	MUST(i->reg_size || i->imm_valid || i->op == INSN_ALU);
	MUST(!i->to_reg || (i->op == INSN_ALU && i->reg_size == i->size));
	MUST(i->alu <= ALU_DEC && (i->op == INSN_ALU || !i->alu));
	MUST(!i->rep || i->op >= INSN_STOS);
}

static void check_address(const struct insn *i, unsigned int mode)
{
	MUST(i->addr_size == 2 || i->addr_size == 4 || i->addr_size == 8);
	MUST(mode == 64 ? i->addr_size != 2 : i->addr_size != 8);
	MUST(i->seg < 6 && i->scale < 4);
	MUST(i->base == INSN_NO_REG || is_register(i->base, mode));
	MUST(i->index == INSN_NO_REG || (is_register(i->index, mode) && i->index != 4));
	MUST(!i->rip || (mode == 64 && i->base == INSN_NO_REG && i->index == INSN_NO_REG));
}

static void check_arithmetic(const struct insn *i, struct input *in)
{
	u64 flags = take(in, 2), old = flags, result;

	if (i->op != INSN_ALU)
		return;
	result = insn_compute(i->alu, take(in, 8), i->imm, i->size, &flags);
	MUST(i->size == 8 || !(result >> 8 * i->size));
	MUST(!((flags ^ old) & ~0x8d5ull));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data, size };
	unsigned int mode = modes[take(&in, 1) % 3];
	unsigned int len = in.left < INSN_MAX_LEN ? (unsigned int)in.left : INSN_MAX_LEN;
	struct insn insn, again;
	u8 *code;
	int err;

	if (!len)
		return 0;
	code = malloc(len); /* exactly: the sanitizer sees a read beyond it */
	MUST(code);
	memcpy(code, in.data, len);
	err = insn_decode(code, len, mode, &insn);
	MUST(!err || err == -EINVAL || err == -ENODATA);
	if (!err) {
		MUST(insn.len >= 1 && insn.len <= len);
		check_operands(&insn, mode);
		check_address(&insn, mode);
		check_arithmetic(&insn, &in);
		/* The same without what follows it, and nothing when a byte is missing. */
		MUST(!insn_decode(code, insn.len, mode, &again));
		MUST(!memcmp(&insn, &again, sizeof(insn)));
		if (insn.len > 1)
			MUST(insn_decode(code, insn.len - 1u, mode, &again) == -ENODATA);
	}
	free(code);
	return 0;
}
