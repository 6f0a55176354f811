/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See insn.h. Source: Intel SDM, volume on instructions: "Instruction Format" and the opcode maps.
 *
 * An instruction is looked up in a list of forms: its opcode, which bits of that do not tell the
 * form, and what follows.
 */
#include "hv/vm/insn.h"

#include "hv/host/errno.h"

enum { ES, CS, SS, DS, FS, GS };
enum { RBX = 3, RSP, RBP, RSI, RDI };

enum rex { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8, REX = 0x40 };

/* What follows the opcode, and how it is to be read. */
enum form_flags {
	BYTES = 1, /* the even opcode is the form for bytes */
	MODRM = 2,
	EXTENDED = 4, /* ModRM.reg belongs to the opcode */
	IMM = 8,      /* an immediate of the operand's size, but of 4 bytes at most */
	IMM8 = 16,    /* an immediate byte, which is sign-extended */
	MOFFS = 32,   /* the address itself */
	WIDENS = 64,  /* the memory operand is smaller than the register */
	STRING = 128,
};

struct form {
	u8 opcode, mask;
	u8 op; /* enum insn_op */
	u8 flags;
};

static const struct form one_byte[] = {
	{ 0x88, 0xfe, INSN_STORE, BYTES | MODRM },
	{ 0x8a, 0xfe, INSN_LOAD, BYTES | MODRM },
	{ 0xc6, 0xfe, INSN_STORE, BYTES | MODRM | EXTENDED | IMM },
	{ 0x00, 0xc4, INSN_ALU, BYTES | MODRM },
	{ 0x63, 0xff, INSN_LOAD_SIGN, MODRM | WIDENS },
	{ 0x80, 0xfe, INSN_ALU, BYTES | MODRM | EXTENDED | IMM },
	{ 0x83, 0xff, INSN_ALU, MODRM | EXTENDED | IMM8 },
	{ 0x84, 0xfe, INSN_ALU, BYTES | MODRM },
	{ 0x86, 0xfe, INSN_XCHG, BYTES | MODRM },
	{ 0xa0, 0xfe, INSN_LOAD, BYTES | MOFFS },
	{ 0xa2, 0xfe, INSN_STORE, BYTES | MOFFS },
	{ 0xa4, 0xfe, INSN_MOVS, BYTES | STRING },
	{ 0xaa, 0xfe, INSN_STOS, BYTES | STRING },
	{ 0xac, 0xfe, INSN_LODS, BYTES | STRING },
	{ 0xf6, 0xfe, INSN_ALU, BYTES | MODRM | EXTENDED },
	{ 0xfe, 0xfe, INSN_ALU, BYTES | MODRM | EXTENDED },
};

static const struct form two_bytes[] = {
	{ 0xb6, 0xfe, INSN_LOAD, MODRM | WIDENS },
	{ 0xbe, 0xfe, INSN_LOAD_SIGN, MODRM | WIDENS },
};

/* The prefixes that choose among instructions of one opcode. */
enum selector { PLAIN = 1, P66 = 2, PF2 = 4, PF3 = 8 };

static const struct wide_form {
	u8 opcode;
	u8 selectors;
	u8 op;
	u8 size; /* 0: 4, or 8 with REX.W */
} wide[] = {
	{ 0x10, PLAIN | P66, INSN_LOAD_XMM, 16 }, /* MOVUPS, MOVUPD */
	{ 0x11, PLAIN | P66, INSN_STORE_XMM, 16 },
	{ 0x28, PLAIN | P66, INSN_LOAD_XMM, 16 }, /* MOVAPS, MOVAPD */
	{ 0x29, PLAIN | P66, INSN_STORE_XMM, 16 },
	{ 0x6e, P66, INSN_LOAD_XMM, 0 },	/* MOVD, MOVQ */
	{ 0x6f, P66 | PF3, INSN_LOAD_XMM, 16 }, /* MOVDQA, MOVDQU */
	{ 0x7e, P66, INSN_STORE_XMM, 0 },
	{ 0x7e, PF3, INSN_LOAD_XMM, 8 }, /* MOVQ */
	{ 0x7f, P66 | PF3, INSN_STORE_XMM, 16 },
	{ 0xc3, PLAIN, INSN_STORE, 0 }, /* MOVNTI */
	{ 0xd6, P66, INSN_STORE_XMM, 8 },
};

struct decoder {
	const u8 *code;
	unsigned int at, len;
	bool beyond; /* something was looked for behind the end */
	unsigned int mode;
	u8 rex;
	u8 repeat;   /* the last of F2 and F3, or 0 */
	u8 override; /* a segment, or INSN_NO_REG */
	bool operand_prefix, address_prefix;
	u8 opcode;
	u8 modrm;
	struct insn *i;
};

static u64 take(struct decoder *d, unsigned int bytes)
{
	u64 value = 0;

	if (bytes > d->len - d->at) {
		d->beyond = true;
		return 0;
	}
	for (unsigned int n = 0; n < bytes; n++)
		value |= (u64)d->code[d->at++] << 8 * n;
	return value;
}

static u64 take_signed(struct decoder *d, unsigned int bytes)
{
	unsigned int unused = 64 - 8 * bytes;

	return (u64)((s64)(take(d, bytes) << unused) >> unused);
}

/* --- prefixes -------------------------------------------------------------------------------- */

static bool is_prefix(struct decoder *d, u8 b)
{
	switch (b) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
		if (d->mode != 64)
			d->override = b >> 3 & 3;
		return true;
	case 0x64:
	case 0x65: d->override = b & 7; return true;
	case 0x66: d->operand_prefix = true; return true;
	case 0x67: d->address_prefix = true; return true;
	case 0xf0: d->i->lock = true; return true;
	case 0xf2:
	case 0xf3: d->repeat = b; return true;
	default: return false;
	}
}

/* Returns the first byte of the opcode. A REX prefix counts only right before it. */
static u8 take_prefixes(struct decoder *d)
{
	u8 b = (u8)take(d, 1);

	for (; is_prefix(d, b) || (d->mode == 64 && (b & 0xf0) == REX); b = (u8)take(d, 1))
		d->rex = (b & 0xf0) == REX ? b : 0;
	return b;
}

static unsigned int operand_size(const struct decoder *d)
{
	if (d->rex & REX_W)
		return 8;
	return (d->mode == 16) != d->operand_prefix ? 2 : 4;
}

static u8 address_size(const struct decoder *d)
{
	if (d->mode == 64)
		return d->address_prefix ? 4 : 8;
	return (d->mode == 16) != d->address_prefix ? 2 : 4;
}

static u8 selector(const struct decoder *d)
{
	if (d->repeat)
		return d->repeat == 0xf2 ? PF2 : PF3;
	return d->operand_prefix ? P66 : PLAIN;
}

/* --- the memory operand ---------------------------------------------------------------------- */

static void take_address16(struct decoder *d, unsigned int mod, unsigned int rm)
{
	static const u8 base[] = { RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX };
	struct insn *i = d->i;

	if (!mod && rm == 6) {
		i->disp = take_signed(d, 2);
		return;
	}
	i->base = base[rm];
	if (rm < 4)
		i->index = rm & 1 ? RDI : RSI;
	if (mod)
		i->disp = take_signed(d, mod);
}

static void take_sib(struct decoder *d, unsigned int mod)
{
	u8 sib = (u8)take(d, 1), index = sib >> 3 & 7, base = sib & 7;
	struct insn *i = d->i;

	index |= d->rex & REX_X ? 8 : 0;
	if (index != RSP) {
		i->index = index;
		i->scale = sib >> 6;
	}
	if (mod || base != RBP)
		i->base = base | (d->rex & REX_B ? 8 : 0);
	else
		i->disp = take_signed(d, 4);
}

static void take_address32(struct decoder *d, unsigned int mod, unsigned int rm)
{
	struct insn *i = d->i;

	if (rm == RSP) {
		take_sib(d, mod);
	} else if (!mod && rm == RBP) {
		i->rip = d->mode == 64;
		i->disp = take_signed(d, 4);
	} else {
		i->base = (u8)(rm | (d->rex & REX_B ? 8 : 0));
	}
	if (mod)
		i->disp = take_signed(d, mod == 1 ? 1 : 4);
}

/* False: there is no memory operand. */
static bool take_modrm(struct decoder *d)
{
	struct insn *i = d->i;
	unsigned int mod;

	d->modrm = (u8)take(d, 1);
	mod = d->modrm >> 6;
	if (mod == 3)
		return false;
	if (i->addr_size == 2)
		take_address16(d, mod, d->modrm & 7);
	else
		take_address32(d, mod, d->modrm & 7);
	i->seg = i->base == RSP || i->base == RBP ? SS : DS;
	return true;
}

/* --- the other one --------------------------------------------------------------------------- */

static void set_register(struct decoder *d, unsigned int size)
{
	struct insn *i = d->i;

	i->reg = d->modrm >> 3 & 7;
	i->reg_size = (u8)size;
	if (d->rex & REX_R)
		i->reg |= 8;
	else if (size == 1 && !d->rex && i->reg >= 4) {
		i->high = true;
		i->reg -= 4;
	}
}

static void take_immediate(struct decoder *d, unsigned int bytes)
{
	d->i->imm = take_signed(d, bytes < 4 ? bytes : 4);
	d->i->imm_valid = true;
}

/* Opcodes of which ModRM.reg is a part. False: one that is refused. */
static bool extend(struct decoder *d)
{
	unsigned int reg = d->modrm >> 3 & 7;
	struct insn *i = d->i;

	switch (d->opcode & 0xfe) {
	case 0xc6: return !reg;
	case 0xf6:
		i->alu = reg == 2 ? ALU_NOT : reg == 3 ? ALU_NEG : ALU_TEST;
		if (!reg)
			take_immediate(d, i->size);
		return !reg || reg == 2 || reg == 3;
	case 0xfe: i->alu = reg ? ALU_DEC : ALU_INC; return reg <= 1;
	default: i->alu = (u8)reg; return true;
	}
}

/* Of opcodes that name it themselves. */
static void find_operation(struct decoder *d)
{
	struct insn *i = d->i;

	if (d->opcode >= 0x80) {
		i->alu = ALU_TEST;
		return;
	}
	i->alu = d->opcode >> 3;
	i->to_reg = d->opcode & 2;
}

/* --- forms ----------------------------------------------------------------------------------- */

static bool may_be_locked(const struct insn *i)
{
	if (i->op == INSN_ALU)
		return !i->to_reg && i->alu != ALU_CMP && i->alu != ALU_TEST;
	return i->op == INSN_XCHG;
}

static void finish_string(struct decoder *d)
{
	struct insn *i = d->i;

	i->rep = d->repeat;
	i->reg_size = i->size;
	i->base = i->op == INSN_STOS ? RDI : RSI;
	i->seg = i->op == INSN_STOS ? ES : DS;
}

static int decode_form(struct decoder *d, const struct form *f)
{
	unsigned int size = f->flags & BYTES && !(d->opcode & 1) ? 1 : operand_size(d);
	struct insn *i = d->i;

	i->op = f->op;
	i->size = (u8)size;
	if (f->flags & WIDENS)
		i->size = d->opcode == 0x63 ? 4 : 1 + (d->opcode & 1);
	if (f->flags & MODRM && !take_modrm(d))
		return -EINVAL;
	if (f->flags & STRING)
		finish_string(d);
	if (f->flags & MOFFS) {
		i->seg = DS;
		i->disp = take(d, i->addr_size);
		i->reg_size = i->size;
	}
	if (f->flags & EXTENDED) {
		if (!extend(d))
			return -EINVAL;
	} else if (f->flags & MODRM) {
		set_register(d, size);
		if (f->op == INSN_ALU)
			find_operation(d);
	}
	if (f->flags & (IMM | IMM8))
		take_immediate(d, f->flags & IMM8 ? 1 : size);
	return 0;
}

static int decode_wide(struct decoder *d, const struct wide_form *f)
{
	struct insn *i = d->i;

	i->op = f->op;
	i->size = f->size ? f->size : d->rex & REX_W ? 8 : 4;
	if (!take_modrm(d))
		return -EINVAL;
	set_register(d, i->size);
	return 0;
}

static int decode(struct decoder *d)
{
	const struct form *f = one_byte, *end = one_byte + ARRAY_SIZE(one_byte);

	d->opcode = take_prefixes(d);
	d->i->addr_size = address_size(d);
	if (d->opcode == 0x0f) {
		d->opcode = (u8)take(d, 1);
		for (size_t n = 0; n < ARRAY_SIZE(wide); n++)
			if (d->opcode == wide[n].opcode && wide[n].selectors & selector(d))
				return decode_wide(d, &wide[n]);
		f = two_bytes;
		end = two_bytes + ARRAY_SIZE(two_bytes);
	}
	/* ARPL outside 64-bit mode; of 16 bits processors differ in how much they read. */
	if (d->opcode == 0x63 && (d->mode != 64 || operand_size(d) == 2))
		return -EINVAL;
	for (; f < end; f++)
		if ((d->opcode & f->mask) == f->opcode)
			return decode_form(d, f);
	return -EINVAL;
}

int insn_decode(const u8 *code, unsigned int len, unsigned int mode, struct insn *out)
{
	struct decoder d = {
		.code = code, .len = len, .mode = mode, .override = INSN_NO_REG, .i = out
	};
	int err;

	*out = (struct insn){ .base = INSN_NO_REG, .index = INSN_NO_REG };
	err = decode(&d);
	/* What was not there has been read as 0: whatever that made of it does not count. */
	if (d.beyond)
		return -ENODATA;
	if (err || (out->lock && !may_be_locked(out)))
		return -EINVAL;
	if (d.override != INSN_NO_REG && out->op != INSN_STOS)
		out->seg = d.override;
	out->len = (u8)d.at;
	return 0;
}
