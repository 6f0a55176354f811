/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the memory operands of an instruction are, and their bytes.
 *
 * An operand that lies in one page is where the exit says: nobody knows better than the CPU. One
 * that crosses into another page, and those of string instructions, of which MOVS has two, are
 * looked up in the guest's tables, with all that may come of it.
 */
#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "hv/vm/mmio.h"

/* Access rights of segments, as in struct vm_segment. */
#define AR_WRITABLE BIT(1) /* of data; of code: readable */
#define AR_DOWN	    BIT(2) /* of data: expands down */
#define AR_CODE	    BIT(3)
#define AR_DB	    BIT(14) /* expands down from 4 GiB, not from 64 KiB */
#define AR_UNUSABLE BIT(16)

_Static_assert(VSEG_ES == 0 && VSEG_CS == 1 && VSEG_SS == 2 && VSEG_DS == 3 && VSEG_FS == 4 &&
		       VSEG_GS == 5,
	       "struct insn has the CPU's numbers of segments");

struct address {
	struct vm_segment segment; /* only what linear() needs of it in 64-bit mode */
	enum vcpu_seg seg;
	u64 offset;
	gva_t linear;
};

static u64 register_or_0(struct vmx_vcpu *v, u8 r)
{
	return r == INSN_NO_REG ? 0 : vmx_get_gpr(v, r);
}

static u64 offset_of(struct mmio *m, enum which which)
{
	struct vmx_vcpu *v = &m->vcpu->vmx;
	const struct insn *i = m->insn;
	u64 offset;

	if (which == STRING_DESTINATION)
		offset = vmx_get_gpr(v, GPR_RDI);
	else
		offset = register_or_0(v, i->base) + (register_or_0(v, i->index) << i->scale) +
			 i->disp;
	if (i->rip)
		offset += vmx_get(v, REG_RIP) + i->len;
	return mmio_sized(offset, i->addr_size);
}

static void find_address(struct mmio *m, enum which which, struct address *a)
{
	a->seg = which == STRING_DESTINATION ? VSEG_ES : m->insn->seg;
	a->offset = a->linear = offset_of(m, which);
	a->segment = (struct vm_segment){ 0 };
	if (m->mode != 64 || a->seg >= VSEG_FS)
		vmx_get_segment(&m->vcpu->vmx, a->seg, &a->segment);
	a->linear += a->segment.base;
	if (m->mode != 64)
		a->linear = (u32)a->linear;
}

static bool is_canonical(gva_t va)
{
	return (va >> 47) == 0 || (va >> 47) == 0x1ffff;
}

/* The rules of segments, that the CPU has not got to if another operand made the exit. */
static bool is_allowed(const struct mmio *m, const struct address *a, bool write)
{
	const struct vm_segment *s = &a->segment;
	u64 last = a->offset + m->insn->size - 1;

	if (m->mode == 64)
		return is_canonical(a->linear) && is_canonical(a->linear + m->insn->size - 1);
	if (s->access & AR_UNUSABLE || (write && s->access & AR_CODE))
		return false;
	if (!(s->access & AR_WRITABLE) && (write || s->access & AR_CODE))
		return false;
	if ((s->access & (AR_CODE | AR_DOWN)) == AR_DOWN)
		return a->offset > s->limit && last <= (s->access & AR_DB ? ~0u : 0xffffu);
	return last <= s->limit;
}

static int kind_of(struct vcpu *vcpu, gpa_t gpa)
{
	if (lapic_covers(vcpu, gpa))
		return PLACE_APIC;
	return ALIGN_DOWN(gpa, PAGE_SIZE) == LAPIC_DEFAULT_BASE ? PLACE_HOLE : PLACE_RAM;
}

static void add_place(struct mmio *m, struct operand *o, gpa_t gpa, unsigned int len)
{
	o->place[o->nr++] = (struct place){ gpa, (u8)kind_of(m->vcpu, gpa), (u8)len };
}

/* By the guest's tables. */
static int look_up(struct mmio *m, struct operand *o, gva_t va, unsigned int len, bool write)
{
	struct vcpu *vcpu = m->vcpu;
	u32 error;
	gpa_t gpa;
	int err = vcpu_translate(vcpu, va, write ? WALK_WRITE : WALK_READ, &gpa, &error);

	if (err == -EFAULT) {
		vmx_set(&vcpu->vmx, REG_CR2, va);
		return vcpu_inject_error(vcpu, EXC_PF, error);
	}
	if (err)
		return vcpu_access_failed(vcpu, err, NULL);
	add_place(m, o, gpa, len);
	return GO_ON;
}

int mmio_find(struct mmio *m, enum which which, bool write, struct operand *o)
{
	unsigned int size = m->insn->size, first = m->gpa % PAGE_SIZE;
	struct address a;
	int ret;

	o->nr = 0;
	/* The exit says where it begins, unless it crossed into this page. */
	if (likely(which == OPERAND && first && first + size <= PAGE_SIZE)) {
		add_place(m, o, m->gpa, size);
		return GO_ON;
	}
	find_address(m, which, &a);
	first = (unsigned int)min_u64(size, PAGE_SIZE - a.linear % PAGE_SIZE);
	if (which == OPERAND && first == size) {
		add_place(m, o, ALIGN_DOWN(m->gpa, PAGE_SIZE) + a.linear % PAGE_SIZE, size);
		return GO_ON;
	}
	if (which != OPERAND && !is_allowed(m, &a, write))
		return vcpu_inject_error(m->vcpu,
					 a.seg == VSEG_SS && m->mode != 64 ? EXC_SS : EXC_GP, 0);
	ret = look_up(m, o, a.linear, first, write);
	if (ret == GO_ON && first < size) {
		a.linear += first;
		ret = look_up(m, o, m->mode == 64 ? a.linear : (u32)a.linear, size - first, write);
	}
	return ret;
}

/* --- bytes ----------------------------------------------------------------------------------- */

/* Where there is no memory either it is the VMM's turn. */
static int ram_failed(struct mmio *m, gpa_t gpa, int err, bool write)
{
	struct vcpu *vcpu = m->vcpu;

	if (err != -EFAULT)
		return vcpu_access_failed(vcpu, err, NULL);
	vcpu->run.reason = RUN_EXIT_MMIO;
	vcpu->run.mmio.gpa = gpa;
	vcpu->run.mmio.rip = vcpu_rip(vcpu);
	vcpu->run.mmio.read = !write;
	vcpu->run.mmio.write = write;
	vcpu->run.mmio.fetch = false;
	vcpu->run.mmio.readonly = false;
	return 0;
}

int mmio_read(struct mmio *m, const struct operand *o, u8 *data)
{
	int err;

	for (unsigned int n = 0; n < o->nr; data += o->place[n++].len) {
		const struct place *p = &o->place[n];

		switch (p->kind) {
		case PLACE_APIC: lapic_mmio_read(m->vcpu, p->gpa % PAGE_SIZE, p->len, data); break;
		case PLACE_HOLE: memset(data, 0xff, p->len); break;
		default:
			err = vcpu_read(m->vcpu, p->gpa, data, p->len);
			if (err)
				return ram_failed(m, p->gpa, err, false);
		}
	}
	return GO_ON;
}

int mmio_write(struct mmio *m, const struct operand *o, const u8 *data)
{
	const u8 *at = data;
	int err;

	for (unsigned int n = 0; n < o->nr; at += o->place[n++].len) {
		const struct place *p = &o->place[n];

		if (p->kind != PLACE_RAM)
			continue;
		err = vcpu_write(m->vcpu, p->gpa, at, p->len);
		if (err)
			return ram_failed(m, p->gpa, err, true);
	}
	for (unsigned int n = 0; n < o->nr; data += o->place[n++].len) {
		const struct place *p = &o->place[n];

		if (p->kind == PLACE_APIC &&
		    lapic_mmio_write(m->vcpu, p->gpa % PAGE_SIZE, p->len, data))
			m->to_vmm = true;
	}
	return GO_ON;
}

int mmio_update_ram(struct mmio *m, const struct operand *o, u64 (*change)(struct mmio *m, u64 old))
{
	const struct place *p = &o->place[0];
	/* The access lies in these aligned 4 or 8 bytes, or crosses a line of 8. */
	unsigned int unit = p->gpa % 4 + p->len <= 4 ? 4 : 8;
	gpa_t start = ALIGN_DOWN(p->gpa, unit);
	unsigned int shift = 8 * (unsigned int)(p->gpa - start);
	u64 mask = mmio_sized(~0ull, p->len) << shift, whole = 0, new;
	int ret;

	if (p->gpa - start + p->len > unit)
		return mmio_refuse(m);
	ret = vcpu_read(m->vcpu, start, &whole, unit);
	while (!ret) {
		new = change(m, (whole & mask) >> shift);
		new = (whole & ~mask) | (new << shift &mask);
		ret = vcpu_cmpxchg(m->vcpu, start, unit, &whole, new);
	}
	return ret < 0 ? ram_failed(m, p->gpa, ret, true) : GO_ON;
}
