/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The decoder against a library that knows all instructions (Zydis), over the opcode maps and over
 * random bytes: what it accepts, it has to see as the library does; what the library takes for an
 * instruction of the kind that insn.h names, it has to accept. And the arithmetic against the
 * processor that this runs on.
 */
/* link: hv/vm/insn.c hv/vm/insn_alu.c hv/host/random.c */
/* libs: -lZydis */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

#include "hv/host/errno.h"
#include "hv/host/random.h"
#include "hv/vm/insn.h"

#define RANDOM_RUNS 3000000u
#define XMM	    100 /* reg_size of a vector register, before it is compared */

static const unsigned int modes[] = { 16, 32, 64 };
static ZydisDecoder decoders[ARRAY_SIZE(modes)];

static int make_decoders(void **state)
{
	static const ZydisMachineMode machine[] = { ZYDIS_MACHINE_MODE_LEGACY_16,
						    ZYDIS_MACHINE_MODE_LEGACY_32,
						    ZYDIS_MACHINE_MODE_LONG_64 };
	static const ZydisStackWidth stack[] = { ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32,
						 ZYDIS_STACK_WIDTH_64 };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (ZYAN_FAILED(ZydisDecoderInit(&decoders[i], machine[i], stack[i])))
			return -1;
	return 0;
}

/* --- what the library says, as a struct insn ------------------------------------------------- */

struct oracle {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
	const ZydisDecodedOperand *mem, *reg, *imm; /* visible ones */
	struct insn want;
};

static bool is_string(const struct oracle *o)
{
	return o->insn.meta.category == ZYDIS_CATEGORY_STRINGOP;
}

/* Whether it is of a kind that is to be accepted, going by the mnemonic. */
static bool find_kind(struct oracle *o)
{
	static const struct {
		ZydisMnemonic mnemonic;
		u8 op, alu;
	} kinds[] = {
		{ ZYDIS_MNEMONIC_MOV, INSN_LOAD, 0 },
		{ ZYDIS_MNEMONIC_MOVZX, INSN_LOAD, 0 },
		{ ZYDIS_MNEMONIC_MOVSX, INSN_LOAD_SIGN, 0 },
		{ ZYDIS_MNEMONIC_MOVSXD, INSN_LOAD_SIGN, 0 },
		{ ZYDIS_MNEMONIC_MOVNTI, INSN_LOAD, 0 },
		{ ZYDIS_MNEMONIC_XCHG, INSN_XCHG, 0 },
		{ ZYDIS_MNEMONIC_ADD, INSN_ALU, ALU_ADD },
		{ ZYDIS_MNEMONIC_OR, INSN_ALU, ALU_OR },
		{ ZYDIS_MNEMONIC_ADC, INSN_ALU, ALU_ADC },
		{ ZYDIS_MNEMONIC_SBB, INSN_ALU, ALU_SBB },
		{ ZYDIS_MNEMONIC_AND, INSN_ALU, ALU_AND },
		{ ZYDIS_MNEMONIC_SUB, INSN_ALU, ALU_SUB },
		{ ZYDIS_MNEMONIC_XOR, INSN_ALU, ALU_XOR },
		{ ZYDIS_MNEMONIC_CMP, INSN_ALU, ALU_CMP },
		{ ZYDIS_MNEMONIC_TEST, INSN_ALU, ALU_TEST },
		{ ZYDIS_MNEMONIC_NOT, INSN_ALU, ALU_NOT },
		{ ZYDIS_MNEMONIC_NEG, INSN_ALU, ALU_NEG },
		{ ZYDIS_MNEMONIC_INC, INSN_ALU, ALU_INC },
		{ ZYDIS_MNEMONIC_DEC, INSN_ALU, ALU_DEC },
		{ ZYDIS_MNEMONIC_MOVUPS, INSN_LOAD_XMM, 0 },
		{ ZYDIS_MNEMONIC_MOVUPD, INSN_LOAD_XMM, 0 },
		{ ZYDIS_MNEMONIC_MOVAPS, INSN_LOAD_XMM, 0 },
		{ ZYDIS_MNEMONIC_MOVAPD, INSN_LOAD_XMM, 0 },
		{ ZYDIS_MNEMONIC_MOVDQU, INSN_LOAD_XMM, 0 },
		{ ZYDIS_MNEMONIC_MOVDQA, INSN_LOAD_XMM, 0 },
		{ ZYDIS_MNEMONIC_MOVD, INSN_LOAD_XMM, 0 },
		{ ZYDIS_MNEMONIC_MOVQ, INSN_LOAD_XMM, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (o->insn.mnemonic == kinds[i].mnemonic && !is_string(o)) {
			o->want.op = kinds[i].op;
			o->want.alu = kinds[i].alu;
			return true;
		}
	if (!is_string(o))
		return false;
	switch (o->insn.opcode & 0xfe) {
	case 0xa4: o->want.op = INSN_MOVS; return true;
	case 0xaa: o->want.op = INSN_STOS; return true;
	case 0xac: o->want.op = INSN_LODS; return true;
	default: return false;
	}
}

static bool find_register(struct oracle *o, ZydisRegister r)
{
	struct insn *w = &o->want;
	ZydisRegisterClass class = ZydisRegisterGetClass(r);

	if (class == ZYDIS_REGCLASS_XMM) {
		w->reg = (u8)(r - ZYDIS_REGISTER_XMM0);
		w->reg_size = XMM;
		return true;
	}
	w->reg_size = (u8)(ZydisRegisterGetWidth(o->insn.machine_mode, r) / 8);
	switch (class) {
	case ZYDIS_REGCLASS_GPR8:
		if (r >= ZYDIS_REGISTER_R8B)
			w->reg = (u8)(8 + r - ZYDIS_REGISTER_R8B);
		else if (r >= ZYDIS_REGISTER_SPL)
			w->reg = (u8)(4 + r - ZYDIS_REGISTER_SPL);
		else
			w->reg = (u8)((r - ZYDIS_REGISTER_AL) % 4);
		w->high = r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH;
		return true;
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64: w->reg = (u8)ZydisRegisterGetId(r); return true;
	default: return false; /* MMX, segments */
	}
}

static u8 address_register(const struct oracle *o, ZydisRegister r)
{
	if (r == ZYDIS_REGISTER_NONE || r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
		return INSN_NO_REG;
	assert_int_equal(ZydisRegisterGetWidth(o->insn.machine_mode, r), o->insn.address_width);
	return (u8)ZydisRegisterGetId(r);
}

static void find_address(struct oracle *o, const ZydisDecodedOperand *mem)
{
	static const u8 log2[] = { [0] = 0, [1] = 0, [2] = 1, [4] = 2, [8] = 3 };
	struct insn *w = &o->want;

	w->base = address_register(o, mem->mem.base);
	w->index = address_register(o, mem->mem.index);
	w->scale = log2[mem->mem.scale];
	w->rip = mem->mem.base == ZYDIS_REGISTER_RIP || mem->mem.base == ZYDIS_REGISTER_EIP;
	w->disp = mem->mem.disp.has_displacement ? (u64)mem->mem.disp.value : 0;
	/* Zydis 4.0 sees a base there with REX.B and 32-bit addresses (its issue 592). */
	if (mem->mem.base == ZYDIS_REGISTER_R13D && !o->insn.raw.modrm.mod &&
	    o->insn.raw.modrm.rm == 4 && o->insn.raw.sib.base == 5) {
		w->base = INSN_NO_REG;
		w->disp = (u64)o->insn.raw.disp.value;
	}
	w->seg = (u8)(mem->mem.segment - ZYDIS_REGISTER_ES);
	w->size = (u8)(mem->size / 8);
}

static const ZydisDecodedOperand *string_operand(const struct oracle *o)
{
	ZydisRegister base = o->want.op == INSN_STOS ? ZYDIS_REGISTER_RDI : ZYDIS_REGISTER_RSI;

	for (unsigned int i = 0; i < o->insn.operand_count; i++) {
		const ZydisDecodedOperand *op = &o->operand[i];

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    ZydisRegisterGetId(op->mem.base) == ZydisRegisterGetId(base))
			return op;
	}
	return NULL;
}

static bool has_prefix(const struct oracle *o, u8 value)
{
	for (unsigned int i = 0; i < o->insn.raw.prefix_count; i++)
		if (o->insn.raw.prefixes[i].value == value)
			return true;
	return false;
}

static void sort_operands(struct oracle *o)
{
	for (unsigned int i = 0; i < o->insn.operand_count_visible; i++) {
		const ZydisDecodedOperand *op = &o->operand[i];

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY)
			o->mem = op;
		else if (op->type == ZYDIS_OPERAND_TYPE_REGISTER)
			o->reg = op;
		else if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			o->imm = op;
	}
}

/* Known instructions that are refused all the same; insn.h says so. */
static bool is_exception(const struct oracle *o)
{
	u8 opcode = o->insn.opcode, reg = o->insn.raw.modrm.reg;

	if (o->insn.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return false;
	if (opcode == 0x63)
		return o->insn.operand_width == 16;
	return opcode == 0x82 || ((opcode & 0xfe) == 0xf6 && reg == 1);
}

/* False: not to be accepted. */
static bool translate(struct oracle *o)
{
	struct insn *w = &o->want;

	if (o->insn.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || !find_kind(o) ||
	    is_exception(o))
		return false;
	w->len = o->insn.length;
	w->addr_size = o->insn.address_width / 8;
	w->lock = has_prefix(o, 0xf0);
	if (is_string(o)) {
		find_address(o, string_operand(o));
		w->reg_size = w->size;
		/* As all processors do, whatever the manual says of the other one. */
		w->rep = has_prefix(o, 0xf2) || has_prefix(o, 0xf3);
		return true;
	}
	sort_operands(o);
	if (!o->mem)
		return false;
	find_address(o, o->mem);
	if (o->reg && !find_register(o, o->reg->reg.value))
		return false;
	if (o->imm) {
		w->imm_valid = true;
		w->imm = o->imm->imm.value.u;
	}
	if (o->mem == &o->operand[0]) {
		if (w->op == INSN_LOAD)
			w->op = INSN_STORE;
		if (w->op == INSN_LOAD_XMM)
			w->op = INSN_STORE_XMM;
	} else if (w->op == INSN_ALU) {
		w->to_reg = true;
	}
	if (w->reg_size == XMM)
		w->reg_size = w->size;
	return true;
}

/* --- comparing ------------------------------------------------------------------------------- */

static u64 low(u64 value, unsigned int bytes)
{
	return bytes >= 8 ? value : value & (BIT(8 * bytes) - 1);
}

/* The name of the first field that differs, or NULL. */
static const char *difference(const struct insn *a, const struct insn *b, unsigned int mode)
{
#define SAME(field)                                                                                \
	if (a->field != b->field)                                                                  \
	return #field
	SAME(len);
	SAME(op);
	SAME(alu);
	SAME(size);
	SAME(reg_size);
	SAME(reg);
	SAME(high);
	SAME(to_reg);
	SAME(imm_valid);
	SAME(rep);
	SAME(lock);
	SAME(addr_size);
	SAME(base);
	SAME(index);
	SAME(scale);
	SAME(rip);
	if (low(a->disp, a->addr_size) != low(b->disp, a->addr_size))
		return "disp";
	if (low(a->imm, a->size) != low(b->imm, a->size))
		return "imm";
	/* In 64-bit mode only two segments have a base. */
	if (mode != 64 || a->seg >= 4 || b->seg >= 4)
		SAME(seg);
	return NULL;
}

static void complain(const u8 *code, unsigned int mode, const char *what)
{
	char hex[3 * INSN_MAX_LEN + 1] = "";

	for (unsigned int i = 0; i < INSN_MAX_LEN; i++)
		sprintf(hex + 3 * i, "%02x ", code[i]);
	fail_msg("%u bits, %s: %s", mode, hex, what);
}

static unsigned int accepted;

/* @code has INSN_MAX_LEN bytes. */
static void compare(const u8 *code, unsigned int m)
{
	struct oracle o = { .want = { 0 } };
	bool known = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoders[m], code, INSN_MAX_LEN, &o.insn,
							 o.operand)) &&
		     translate(&o);
	struct insn got;
	int err = insn_decode(code, INSN_MAX_LEN, modes[m], &got);
	const char *field;

	if (!err && !known)
		complain(code, modes[m], "accepted");
	if (err && known)
		complain(code, modes[m], "refused");
	if (err)
		return;
	accepted++;
	field = difference(&got, &o.want, modes[m]);
	if (field)
		complain(code, modes[m], field);
}

/* --- the tests ------------------------------------------------------------------------------- */

static void test_opcode_maps(void **state)
{
	static const u8 prefixes[][4] = {
		/* how many, and which */
		{ 0 },
		{ 1, 0x66 },
		{ 1, 0x67 },
		{ 1, 0xf2 },
		{ 1, 0xf3 },
		{ 1, 0xf0 },
		{ 1, 0x2e },
		{ 1, 0x65 },
		{ 1, 0x48 },
		{ 1, 0x47 },
		{ 2, 0x66, 0x4f },
		{ 2, 0xf3, 0x44 },
		{ 2, 0x48, 0x66 },
		{ 3, 0xf2, 0x66, 0xf3 },
		{ 3, 0x67, 0x66, 0x40 },
	};
	u8 code[INSN_MAX_LEN];

	accepted = 0;
	for (unsigned int m = 0; m < ARRAY_SIZE(modes); m++)
		for (unsigned int p = 0; p < ARRAY_SIZE(prefixes); p++)
			for (unsigned int opcode = 0; opcode < 512; opcode++)
				for (unsigned int modrm = 0; modrm < 256; modrm++) {
					unsigned int at = prefixes[p][0];

					memcpy(code, prefixes[p] + 1, at);
					if (opcode >= 256)
						code[at++] = 0x0f;
					code[at++] = (u8)opcode;
					code[at++] = (u8)modrm;
					for (u8 byte = 0x95; at < sizeof(code); byte += 0x27)
						code[at++] = byte;
					compare(code, m);
				}
	assert_in_range(accepted, 300000, 2000000);
}

static void test_sib(void **state)
{
	u8 code[INSN_MAX_LEN] = { 0x43, 0x8b };

	for (unsigned int m = 0; m < ARRAY_SIZE(modes); m++)
		for (unsigned int rex = 0x40; rex < 0x50; rex++)
			for (unsigned int mod = 0; mod < 3; mod++)
				for (unsigned int sib = 0; sib < 256; sib++) {
					code[0] = modes[m] == 64 ? (u8)rex : 0x67;
					code[2] = (u8)(mod << 6 | 4);
					code[3] = (u8)sib;
					memset(code + 4, 0xa5, sizeof(code) - 4);
					compare(code, m);
				}
}

static u8 likely_byte(struct rng *rng)
{
	static const u8 bytes[] = { 0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67,
				    0xf0, 0xf2, 0xf3, 0x48, 0x41, 0x44, 0x88, 0x8b, 0xa1,
				    0xa5, 0xab, 0xc7, 0x81, 0xf7, 0x6f, 0x7e, 0xd6, 0x63 };

	return bytes[rng_next(rng) % ARRAY_SIZE(bytes)];
}

static void test_random(void **state)
{
	u8 code[INSN_MAX_LEN];
	struct rng rng;

	rng_init(&rng, 4, 0);
	accepted = 0;
	for (unsigned int i = 0; i < RANDOM_RUNS; i++) {
		unsigned int likely = rng_next(&rng) % 8;

		for (unsigned int n = 0; n < sizeof(code); n++)
			code[n] = n < likely ? likely_byte(&rng) : (u8)(rng_next(&rng) >> 24);
		compare(code, i % ARRAY_SIZE(modes));
	}
	assert_in_range(accepted, RANDOM_RUNS / 10, RANDOM_RUNS);
}

/* Of an instruction whose end is missing all that can be said is that. */
static void test_cut_off(void **state)
{
	u8 code[INSN_MAX_LEN];
	struct insn insn;
	struct rng rng;

	rng_init(&rng, 5, 0);
	for (unsigned int i = 0; i < RANDOM_RUNS / 10; i++) {
		for (unsigned int n = 0; n < sizeof(code); n++)
			code[n] = n < 3 ? likely_byte(&rng) : (u8)(rng_next(&rng) >> 24);
		if (insn_decode(code, sizeof(code), 64, &insn))
			continue;
		for (unsigned int len = insn.len; --len;) {
			u8 exact[INSN_MAX_LEN]; /* what follows must not matter */

			memset(exact, 0xcc, sizeof(exact));
			memcpy(exact, code, len);
			if (insn_decode(exact, len, 64, &insn) != -ENODATA)
				complain(code, 64, "an end was not missed");
		}
	}
	memset(code, 0x66, sizeof(code));
	assert_int_equal(insn_decode(code, sizeof(code), 64, &insn), -ENODATA);
}

/* The list in insn.h, by example: a memory operand, and refused. 64-bit mode. */
static void test_refused(void **state)
{
	static const struct {
		const char *name;
		u8 code[INSN_MAX_LEN];
	} cases[] = {
		{ "mov eax, ecx", { 0x89, 0xc8 } },
		{ "push [rax]", { 0xff, 0x30 } },
		{ "pop [rax]", { 0x8f, 0x00 } },
		{ "call [rax]", { 0xff, 0x10 } },
		{ "jmp [rax]", { 0xff, 0x20 } },
		{ "cmpsd", { 0xa7 } },
		{ "scasd", { 0xaf } },
		{ "insd", { 0x6d } },
		{ "outsd", { 0x6f } },
		{ "bt [rax], ecx", { 0x0f, 0xa3, 0x08 } },
		{ "bts [rax], 1", { 0x0f, 0xba, 0x28, 1 } },
		{ "shl [rax], 1", { 0xd1, 0x20 } },
		{ "mul [rax]", { 0xf7, 0x20 } },
		{ "imul eax, [rax]", { 0x0f, 0xaf, 0x00 } },
		{ "idiv [rax]", { 0xf7, 0x38 } },
		{ "cmpxchg [rax], ecx", { 0x0f, 0xb1, 0x08 } },
		{ "cmpxchg8b [rax]", { 0x0f, 0xc7, 0x08 } },
		{ "xadd [rax], ecx", { 0x0f, 0xc1, 0x08 } },
		{ "movbe eax, [rax]", { 0x0f, 0x38, 0xf0, 0x00 } },
		{ "cmovz eax, [rax]", { 0x0f, 0x44, 0x00 } },
		{ "setz [rax]", { 0x0f, 0x94, 0x00 } },
		{ "mov [rax], ds", { 0x8c, 0x18 } },
		{ "mov ds, [rax]", { 0x8e, 0x18 } },
		{ "movq mm0, [rax]", { 0x0f, 0x6f, 0x00 } },
		{ "movd mm0, [rax]", { 0x0f, 0x6e, 0x00 } },
		{ "movss xmm0, [rax]", { 0xf3, 0x0f, 0x10, 0x00 } },
		{ "movsd xmm0, [rax]", { 0xf2, 0x0f, 0x10, 0x00 } },
		{ "addps xmm0, [rax]", { 0x0f, 0x58, 0x00 } },
		{ "movntps [rax], xmm0", { 0x0f, 0x2b, 0x00 } },
		{ "fld [rax]", { 0xd9, 0x00 } },
		{ "fxsave [rax]", { 0x0f, 0xae, 0x00 } },
		{ "vmovups xmm0, [rax]", { 0xc5, 0xf8, 0x10, 0x00 } },
		{ "vmovups zmm0, [rax]", { 0x62, 0xf1, 0x7c, 0x48, 0x10, 0x00 } },
		{ "test [rax], 1 (/1)", { 0xf6, 0x08, 1 } },
		{ "lock mov [rax], eax", { 0xf0, 0x89, 0x00 } },
		{ "lock cmp [rax], eax", { 0xf0, 0x39, 0x00 } },
		{ "lock add eax, [rax]", { 0xf0, 0x03, 0x00 } },
		{ "mov [rax], 0 (/1)", { 0xc7, 0x08 } },
		{ "movsxd ax, [rax]", { 0x66, 0x63, 0x00 } },
		{ "lgdt [rax]", { 0x0f, 0x01, 0x10 } },
	};
	struct insn insn;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (insn_decode(cases[i].code, INSN_MAX_LEN, 64, &insn) != -EINVAL)
			fail_msg("%s is not refused", cases[i].name);
	/* Outside 64-bit mode: ARPL, and the alias of 80. */
	assert_int_equal(insn_decode((u8[15]){ 0x63, 0x00 }, 15, 32, &insn), -EINVAL);
	assert_int_equal(insn_decode((u8[15]){ 0x82, 0x00, 1 }, 15, 32, &insn), -EINVAL);
}

/* --- arithmetic ------------------------------------------------------------------------------ */

/* AH holds five of the flags; OF comes apart. */
#define ON_THIS_CPU(name, insn)                                                                    \
	static u64 name(u64 a, u64 b, u16 *flags)                                                  \
	{                                                                                          \
		__asm__("sahf\n\t" insn "\n\tlahf\n\tseto %%al"                                    \
			: "+a"(*flags), "+c"(a)                                                    \
			: "d"(b)                                                                   \
			: "cc");                                                                   \
		return a;                                                                          \
	}
#define TWO_OPERANDS(name)                                                                         \
	ON_THIS_CPU(name##_1, #name "b %%dl, %%cl")                                                \
	ON_THIS_CPU(name##_2, #name "w %%dx, %%cx")                                                \
	ON_THIS_CPU(name##_4, #name "l %%edx, %%ecx")                                              \
	ON_THIS_CPU(name##_8, #name "q %%rdx, %%rcx")
#define ONE_OPERAND(name)                                                                          \
	ON_THIS_CPU(name##_1, #name "b %%cl")                                                      \
	ON_THIS_CPU(name##_2, #name "w %%cx")                                                      \
	ON_THIS_CPU(name##_4, #name "l %%ecx")                                                     \
	ON_THIS_CPU(name##_8, #name "q %%rcx")

TWO_OPERANDS(add)
TWO_OPERANDS(or)
TWO_OPERANDS(adc)
TWO_OPERANDS(sbb)
TWO_OPERANDS(and)
TWO_OPERANDS(sub)
TWO_OPERANDS(xor)
TWO_OPERANDS(cmp)
TWO_OPERANDS(test)
ONE_OPERAND(not )
ONE_OPERAND(neg)
ONE_OPERAND(inc)
ONE_OPERAND(dec)

#define ALL_SIZES(name)                                                                            \
	{                                                                                          \
		name##_1, name##_2, name##_4, name##_8                                             \
	}

static u64 (*const on_this_cpu[][4])(u64 a, u64 b, u16 *flags) = {
	[ALU_ADD] = ALL_SIZES(add),  [ALU_OR] = ALL_SIZES(or),	 [ALU_ADC] = ALL_SIZES(adc),
	[ALU_SBB] = ALL_SIZES(sbb),  [ALU_AND] = ALL_SIZES(and), [ALU_SUB] = ALL_SIZES(sub),
	[ALU_XOR] = ALL_SIZES(xor),  [ALU_CMP] = ALL_SIZES(cmp), [ALU_TEST] = ALL_SIZES(test),
	[ALU_NOT] = ALL_SIZES(not ), [ALU_NEG] = ALL_SIZES(neg), [ALU_INC] = ALL_SIZES(inc),
	[ALU_DEC] = ALL_SIZES(dec),
};

static bool af_is_undefined(unsigned int alu)
{
	return alu == ALU_OR || alu == ALU_AND || alu == ALU_XOR || alu == ALU_TEST;
}

static void check_operation(unsigned int alu, unsigned int log2, u64 a, u64 b, bool carry)
{
	const u64 others = 0x3f7202ull, af = 0x10; /* flags that are none of its business */
	unsigned int size = 1u << log2;
	u16 cpu_flags = carry ? 0x0300 : 0x0200;
	u64 flags = others | carry, want_flags, got, want;

	got = insn_compute(alu, a, b, size, &flags);
	want = on_this_cpu[alu][log2](a, b, &cpu_flags);
	want_flags = others | (cpu_flags >> 8 & 0xd5) | (cpu_flags & 1 ? 0x800 : 0);
	if (alu == ALU_NOT)
		want_flags = others | carry; /* OF cannot be given to the processor above */
	if (af_is_undefined(alu))
		want_flags &= ~af;
	if (flags != want_flags)
		fail_msg("operation %u of %u bytes, %#llx %#llx, carry %u: flags %#llx, not %#llx",
			 alu, size, (unsigned long long)a, (unsigned long long)b, carry,
			 (unsigned long long)flags, (unsigned long long)want_flags);
	if (alu != ALU_CMP && alu != ALU_TEST && got != low(want, size))
		fail_msg("operation %u of %u bytes: %#llx, not %#llx", alu, size,
			 (unsigned long long)got, (unsigned long long)want);
}

static void test_compute(void **state)
{
	static const u64 edges[] = { 0,		 1,	      0x0f,	  0x10,
				     0x7f,	 0x80,	      0xff,	  0x7fff,
				     0x8000,	 0xffff,      0x7fffffff, 0x80000000,
				     0xffffffff, BIT(63) - 1, BIT(63),	  ~0ull };
	struct rng rng;

	rng_init(&rng, 6, 0);
	for (unsigned int alu = 0; alu < ARRAY_SIZE(on_this_cpu); alu++)
		for (unsigned int log2 = 0; log2 < 4; log2++)
			for (unsigned int carry = 0; carry < 2; carry++) {
				for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
					for (size_t j = 0; j < ARRAY_SIZE(edges); j++)
						check_operation(alu, log2, edges[i], edges[j],
								carry);
				for (unsigned int i = 0; i < 2000; i++)
					check_operation(alu, log2, rng_next(&rng), rng_next(&rng),
							carry);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opcode_maps), cmocka_unit_test(test_sib),
		cmocka_unit_test(test_random),	    cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_refused),	    cmocka_unit_test(test_compute),
	};

	return cmocka_run_group_tests(tests, make_decoders, NULL);
}
