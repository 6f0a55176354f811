/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Accesses to a local APIC by memory that the CPU does not virtualize: the exit says where, the
 * instruction what. It is fetched once, and decoded and carried out from that copy.
 */
#include "hv/vm/mmio.h"

#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/x86.h"

#define AR_L  BIT(13) /* access rights: 64-bit code */
#define AR_DB BIT(14) /* 32 bits by default */

COUNTER(apic_mmio_exits, "apic.mmio_exits", "accesses to an APIC that were second-level faults");

int mmio_refuse(struct mmio *m)
{
	return vcpu_exit_error(m->vcpu, "an instruction that is not emulated accesses the APIC");
}

/* --- fetching -------------------------------------------------------------------------------- */

/* Up to the end of a page. @len: how many bytes at most; how many there were. */
static int fetch_from_page(struct mmio *m, gva_t va, u8 *code, unsigned int *len)
{
	struct vcpu *vcpu = m->vcpu;
	u32 error;
	gpa_t gpa;
	int err;

	*len = (unsigned int)min_u64(*len, PAGE_SIZE - va % PAGE_SIZE);
	err = vcpu_translate(vcpu, va, WALK_FETCH, &gpa, &error);
	if (err == -EFAULT) {
		vmx_set(&vcpu->vmx, REG_CR2, va);
		return vcpu_inject_error(vcpu, EXC_PF, error);
	}
	if (!err)
		err = vcpu_read_known(vcpu, KNOWN_CODE, gpa, code, *len);
	return err ? vcpu_access_failed(vcpu, err, "code outside RAM accesses the APIC") : GO_ON;
}

static bool is_same_code(const u64 *a, const u64 *b, unsigned int len)
{
	if (len < 8)
		return !((a[0] ^ b[0]) << (64 - 8 * len));
	return a[0] == b[0] && (len == 8 || !((a[1] ^ b[1]) << (128 - 8 * len)));
}

/*
 * Decode, unless these bytes were the last that were at an address like this one: they mean the
 * same as then.
 */
static int decode(struct mmio *m, u64 rip, const u64 *code, unsigned int len)
{
	struct decoded *d = &m->vcpu->decoded[rip % ARRAY_SIZE(m->vcpu->decoded)];
	int err;

	m->insn = &d->insn;
	if (d->mode == m->mode && d->insn.len <= len && is_same_code(d->code, code, d->insn.len))
		return 0;
	err = insn_decode((const u8 *)code, len, m->mode, &d->insn);
	d->mode = err ? 0 : (u8)m->mode;
	d->code[0] = code[0];
	d->code[1] = code[1];
	return err;
}

/* Fetch and decode. The second page is touched only when the instruction reaches into it. */
static int fetch(struct mmio *m)
{
	struct vmx_vcpu *v = &m->vcpu->vmx;
	unsigned int len = INSN_MAX_LEN, more;
	u64 code[2] = { 0, 0 }, rip;
	struct vm_segment cs;
	int ret, err;
	gva_t va;

	vmx_get_segment(v, VSEG_CS, &cs);
	va = rip = vmx_get(v, REG_RIP);
	m->mode = cs.access & AR_DB ? 32 : 16;
	if (cs.access & AR_L && vmx_get(v, REG_EFER) & EFER_LMA)
		m->mode = 64;
	else
		va = (u32)(va + cs.base);
	ret = fetch_from_page(m, va, (u8 *)code, &len);
	if (ret != GO_ON)
		return ret;
	err = decode(m, rip, code, len);
	if (err == -ENODATA && len < INSN_MAX_LEN) {
		more = INSN_MAX_LEN - len;
		va += len;
		ret = fetch_from_page(m, m->mode == 64 ? va : (u32)va, (u8 *)code + len, &more);
		if (ret != GO_ON)
			return ret;
		err = decode(m, rip, code, len + more);
	}
	return err ? mmio_refuse(m) : GO_ON;
}

static int emulate(struct vcpu *vcpu, gpa_t gpa)
{
	struct mmio m = { .vcpu = vcpu, .gpa = gpa };
	int ret = fetch(&m);

	return ret == GO_ON ? mmio_execute(&m) : ret;
}

/* --- exits ----------------------------------------------------------------------------------- */

static bool is_apic(struct vcpu *vcpu, gpa_t gpa)
{
	return ALIGN_DOWN(gpa, PAGE_SIZE) == LAPIC_DEFAULT_BASE || lapic_covers(vcpu, gpa) ||
	       apic_page_covered(vcpu->vm, gpa);
}

static int during_event(struct vcpu *vcpu)
{
	return vcpu_exit_error(vcpu, "the delivery of an event accesses the APIC");
}

static int during_walk(struct vcpu *vcpu)
{
	return vcpu_exit_error(vcpu, "the guest's page tables are where the APIC is");
}

int vcpu_emulate_mmio(struct vcpu *vcpu, gpa_t gpa, bool hidden)
{
	/* If it was hidden, the APIC has been moved away since. */
	if (!is_apic(vcpu, gpa))
		return hidden ? RESUME_GUEST : vcpu_mmio(vcpu, false);
	count(&apic_mmio_exits);
	if (vcpu->vmx.exit.mem.walk)
		return during_walk(vcpu);
	/* What was being delivered is queued again; else nothing is, right after an exit. */
	if (vmx_event_waits(&vcpu->vmx))
		return during_event(vcpu);
	return emulate(vcpu, gpa);
}

/*
 * An end of interrupt: what is written does not matter, so the instruction need not be known, and
 * the CPU says how long it is. Except that it could be a string instruction with repetitions: its
 * destination would be at ES:rDI. (Taken for a plain store all the same are one in a segment that
 * does not begin with a page, and a store of another size than 32 bits. So does KVM.)
 */
static bool is_plain_eoi(const struct vcpu *vcpu)
{
	const struct vm_exit *e = &vcpu->vmx.exit;

	return e->apic.kind == APIC_ACCESS_WRITE && e->apic.offset == LAPIC_EOI &&
	       vcpu->vmx.gpr[GPR_RDI] % PAGE_SIZE != LAPIC_EOI;
}

static int end_interrupt(struct vcpu *vcpu)
{
	static const u8 zero[4];
	int told = lapic_mmio_write(vcpu, LAPIC_EOI, sizeof(zero), zero);

	vmx_skip_instruction(&vcpu->vmx);
	return told ? 0 : RESUME_GUEST;
}

int vcpu_handle_apic_access(struct vcpu *vcpu)
{
	const struct vm_exit *e = &vcpu->vmx.exit;

	if (is_plain_eoi(vcpu))
		return end_interrupt(vcpu);
	switch (e->apic.kind) {
	case APIC_ACCESS_READ:
	case APIC_ACCESS_WRITE: return emulate(vcpu, LAPIC_DEFAULT_BASE + e->apic.offset);
	case APIC_ACCESS_EVENT: return during_event(vcpu);
	case APIC_ACCESS_FETCH: return vcpu_exit_error(vcpu, "code is fetched from the APIC");
	default: return during_walk(vcpu);
	}
}
