/* SPDX-License-Identifier: GPL-2.0-only */
/* What a decoded instruction does to registers, flags and its memory operands. */
#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "hv/vm/mmio.h"

#define RFLAGS_DF BIT(10)

/* --- registers ------------------------------------------------------------------------------- */

static u64 read_register(struct mmio *m)
{
	const struct insn *i = m->insn;

	return mmio_sized(vmx_get_gpr(&m->vcpu->vmx, i->reg) >> (i->high ? 8 : 0), i->reg_size);
}

/* 8 and 16 bits keep the rest of the register, 32 bits clear its upper half. */
static void write_sized(struct vmx_vcpu *v, enum gpr r, unsigned int bytes, unsigned int shift,
			u64 value)
{
	u64 mask = mmio_sized(~0ull, bytes) << shift, old = bytes < 4 ? vmx_get_gpr(v, r) : 0;

	vmx_set_gpr(v, r, (old & ~mask) | (value << shift & mask));
}

static void write_register(struct mmio *m, u64 value)
{
	write_sized(&m->vcpu->vmx, m->insn->reg, m->insn->reg_size, m->insn->high ? 8 : 0, value);
}

static u64 second_operand(struct mmio *m)
{
	if (m->insn->imm_valid)
		return m->insn->imm;
	return m->insn->reg_size ? read_register(m) : 0;
}

static int done(struct mmio *m)
{
	vmx_skip_bytes(&m->vcpu->vmx, m->insn->len);
	return m->to_vmm ? 0 : RESUME_GUEST;
}

/* --- loads and stores ------------------------------------------------------------------------ */

static int load(struct mmio *m)
{
	unsigned int unused = 64 - 8 * m->insn->size;
	u64 value = 0;
	struct operand o;
	int ret = mmio_find(m, OPERAND, false, &o);

	if (ret == GO_ON)
		ret = mmio_read(m, &o, (u8 *)&value);
	if (ret != GO_ON)
		return ret;
	if (m->insn->op == INSN_LOAD_SIGN)
		value = (u64)((s64)(value << unused) >> unused);
	write_register(m, value);
	return done(m);
}

static int store(struct mmio *m)
{
	u64 value = second_operand(m);
	struct operand o;
	int ret = mmio_find(m, OPERAND, true, &o);

	if (ret == GO_ON)
		ret = mmio_write(m, &o, (u8 *)&value);
	return ret == GO_ON ? done(m) : ret;
}

static int load_xmm(struct mmio *m)
{
	u8 value[16] = { 0 };
	struct operand o;
	int ret = mmio_find(m, OPERAND, false, &o);

	if (ret == GO_ON)
		ret = mmio_read(m, &o, value);
	if (ret != GO_ON)
		return ret;
	vmx_set_xmm(&m->vcpu->vmx, m->insn->reg, value);
	return done(m);
}

static int store_xmm(struct mmio *m)
{
	struct operand o;
	u8 value[16];
	int ret = mmio_find(m, OPERAND, true, &o);

	if (ret != GO_ON)
		return ret;
	/* Here: finding may have let another vCPU use this CPU's registers. */
	vmx_get_xmm(&m->vcpu->vmx, m->insn->reg, value);
	ret = mmio_write(m, &o, value);
	return ret == GO_ON ? done(m) : ret;
}

/* --- arithmetic and exchange ----------------------------------------------------------------- */

static bool writes_memory(const struct insn *i)
{
	return i->op == INSN_XCHG || (!i->to_reg && i->alu != ALU_CMP && i->alu != ALU_TEST);
}

static bool is_atomic(const struct insn *i)
{
	return i->lock || i->op == INSN_XCHG;
}

/* What becomes of the destination. @flags: RFLAGS, before and after. */
static u64 compute(struct mmio *m, u64 memory, u64 *flags)
{
	const struct insn *i = m->insn;
	u64 other = second_operand(m);

	if (i->op == INSN_XCHG)
		return other;
	if (i->to_reg)
		return insn_compute(i->alu, other, memory, i->size, flags);
	return insn_compute(i->alu, memory, other, i->size, flags);
}

/* For memory that others access at the same time: the destination's new value. */
static u64 change(struct mmio *m, u64 memory)
{
	u64 flags = vmx_get(&m->vcpu->vmx, REG_RFLAGS);

	m->memory = memory;
	return compute(m, memory, &flags);
}

/* Memory is what it has to be; now flags and the register. */
static int conclude(struct mmio *m)
{
	struct vmx_vcpu *v = &m->vcpu->vmx;
	u64 flags = vmx_get(v, REG_RFLAGS), result = compute(m, m->memory, &flags);

	if (m->insn->op == INSN_XCHG)
		write_register(m, m->memory);
	else if (m->insn->to_reg && m->insn->alu != ALU_CMP)
		write_register(m, result);
	vmx_set(v, REG_RFLAGS, flags);
	return done(m);
}

static int read_modify_write(struct mmio *m, const struct operand *o)
{
	u64 result;
	int ret;

	if (operand_is_split_ram(o))
		return mmio_refuse(m);
	if (is_atomic(m->insn) && o->nr == 1 && o->place[0].kind == PLACE_RAM) {
		ret = mmio_update_ram(m, o, change);
	} else {
		ret = mmio_read(m, o, (u8 *)&m->memory);
		result = change(m, m->memory);
		if (ret == GO_ON)
			ret = mmio_write(m, o, (const u8 *)&result);
	}
	return ret == GO_ON ? conclude(m) : ret;
}

static int compute_or_exchange(struct mmio *m)
{
	bool write = writes_memory(m->insn);
	struct operand o;
	int ret = mmio_find(m, OPERAND, write, &o);

	if (ret != GO_ON)
		return ret;
	if (write)
		return read_modify_write(m, &o);
	ret = mmio_read(m, &o, (u8 *)&m->memory);
	return ret == GO_ON ? conclude(m) : ret;
}

/* --- strings: one element, since every one is an exit of its own ------------------------------ */

static void advance(struct mmio *m, enum gpr pointer)
{
	struct vmx_vcpu *v = &m->vcpu->vmx;
	u64 step = vmx_get(v, REG_RFLAGS) & RFLAGS_DF ? -(u64)m->insn->size : m->insn->size;

	write_sized(v, pointer, m->insn->addr_size, 0, vmx_get_gpr(v, pointer) + step);
}

/* RIP moves on after the last one. */
static int element_done(struct mmio *m)
{
	struct vmx_vcpu *v = &m->vcpu->vmx;
	u64 left;

	if (!m->insn->rep)
		return done(m);
	left = mmio_sized(v->gpr[GPR_RCX] - 1, m->insn->addr_size);
	write_sized(v, GPR_RCX, m->insn->addr_size, 0, left);
	if (!left)
		return done(m);
	return m->to_vmm ? 0 : RESUME_GUEST;
}

static int move_element(struct mmio *m, bool load, bool store)
{
	struct vmx_vcpu *v = &m->vcpu->vmx;
	u64 value = v->gpr[GPR_RAX];
	struct operand from, to;
	int ret = GO_ON;

	if (load)
		ret = mmio_find(m, STRING_SOURCE, false, &from);
	if (store && ret == GO_ON)
		ret = mmio_find(m, STRING_DESTINATION, true, &to);
	if (ret != GO_ON)
		return ret;
	/* They may overlap, and half of it cannot be done twice. */
	if (load && store && operand_is_split_ram(&to))
		return mmio_refuse(m);
	if (load)
		ret = mmio_read(m, &from, (u8 *)&value);
	if (store && ret == GO_ON)
		ret = mmio_write(m, &to, (const u8 *)&value);
	if (ret != GO_ON)
		return ret;
	if (load)
		advance(m, GPR_RSI);
	if (store)
		advance(m, GPR_RDI);
	else
		write_sized(v, GPR_RAX, m->insn->size, 0, value);
	return element_done(m);
}

static int string(struct mmio *m)
{
	if (m->insn->rep && !mmio_sized(m->vcpu->vmx.gpr[GPR_RCX], m->insn->addr_size))
		return done(m);
	return move_element(m, m->insn->op != INSN_STOS, m->insn->op != INSN_LODS);
}

int mmio_execute(struct mmio *m)
{
	switch (m->insn->op) {
	case INSN_LOAD:
	case INSN_LOAD_SIGN: return load(m);
	case INSN_STORE: return store(m);
	case INSN_LOAD_XMM: return load_xmm(m);
	case INSN_STORE_XMM: return store_xmm(m);
	case INSN_XCHG:
	case INSN_ALU: return compute_or_exchange(m);
	default: return string(m);
	}
}
