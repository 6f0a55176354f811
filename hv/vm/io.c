/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Port I/O: every access goes to the VMM as one exit per element. The instruction is completed (and
 * RIP advanced) by the vcpu_run() after the VMM has answered. String instructions are one exit per
 * repetition, so that a kick or a fault between two of them finds the registers as the processor
 * would have left them.
 */
#include "hv/host/errno.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"

#define RFLAGS_DF BIT(10)

#define MAX_ELEMENT 4 /* bytes */

static const u64 size_mask[] = { [1] = 0xff, [2] = 0xffff, [4] = ~0u, [8] = ~0ull };

/* Registers are written as the address size says: 16 bits keep the rest, 32 bits clear it. */
static void set_sized(struct vmx_vcpu *v, enum gpr r, unsigned int bytes, u64 value)
{
	u64 old = vmx_get_gpr(v, r);

	if (bytes == 2)
		value = (old & ~0xffffull) | (value & 0xffff);
	vmx_set_gpr(v, r, value & (bytes == 4 ? size_mask[4] : ~0ull));
}

static int to_vmm(struct vcpu *vcpu, u32 data)
{
	const struct vm_exit *e = &vcpu->vmx.exit;

	vcpu->run.reason = RUN_EXIT_IO;
	vcpu->run.io.port = e->io.port;
	vcpu->run.io.size = e->io.size;
	vcpu->run.io.in = e->io.flags & VM_IO_IN;
	vcpu->run.io.data = data;
	vcpu->pending = PENDING_IO;
	return 0;
}

/* Where one element of a string is: each byte of it, since it may cross a page. */
struct element {
	gpa_t gpa[MAX_ELEMENT];
	gva_t bad; /* of the byte that faults */
	u32 error; /* the #PF's code */
};

/* Returns as vcpu_translate(). */
static int locate(struct vcpu *vcpu, gva_t va, bool write, struct element *m)
{
	int err = 0;

	for (unsigned int i = 0; i < vcpu->vmx.exit.io.size && !err; i++) {
		m->bad = va + i;
		err = vcpu_translate(vcpu, va + i, write ? WALK_WRITE : WALK_READ, &m->gpa[i],
				     &m->error);
	}
	return err;
}

static int memory_fault(struct vcpu *vcpu, const struct element *m)
{
	vmx_set(&vcpu->vmx, REG_CR2, m->bad);
	return vcpu_inject_error(vcpu, EXC_PF, m->error);
}

/* In 64-bit mode; elsewhere linear addresses have 32 bits. */
bool io_is_canonical(gva_t va)
{
	return (va >> 47) == 0 || (va >> 47) == 0x1ffff;
}

static noinline int start_string(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	const struct vm_exit *e = &v->exit;
	u64 count = e->io.flags & VM_IO_REP ? v->gpr[GPR_RCX] & size_mask[e->io.addr_size] : 1;
	bool in = e->io.flags & VM_IO_IN;
	struct element m;
	u32 data = 0;
	int err;

	if (!count) {
		vmx_skip_instruction(v);
		return RESUME_GUEST;
	}
	if (!io_is_canonical(e->io.linear) || !io_is_canonical(e->io.linear + e->io.size - 1))
		return vcpu_inject_error(vcpu, EXC_GP, 0);
	/* INS faults before it reads the port: what the device gave would be lost. */
	err = locate(vcpu, e->io.linear, in, &m);
	if (err == -EFAULT)
		return memory_fault(vcpu, &m);
	for (unsigned int i = 0; i < e->io.size && !in && !err; i++)
		err = vcpu_read(vcpu, m.gpa[i], (u8 *)&data + i, 1);
	if (err)
		return vcpu_access_failed(vcpu, err, "OUTS from outside RAM");
	vcpu->string.linear = e->io.linear;
	vcpu->string.left = count;
	vcpu->string.len = 0;
	to_vmm(vcpu, data);
	vcpu->pending = PENDING_STRING;
	return 0;
}

/* One repetition is done: advance the registers; RIP moves on after the last. */
static void advance_string(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	const struct vm_exit *e = &v->exit;
	enum gpr pointer = e->io.flags & VM_IO_IN ? GPR_RDI : GPR_RSI;
	u64 step = vmx_get(v, REG_RFLAGS) & RFLAGS_DF ? -(u64)e->io.size : e->io.size;

	set_sized(v, pointer, e->io.addr_size, vmx_get_gpr(v, pointer) + step);
	if (e->io.flags & VM_IO_REP)
		set_sized(v, GPR_RCX, e->io.addr_size, v->gpr[GPR_RCX] - 1);
	if (vcpu->string.left == 1 && vcpu->string.len)
		vmx_skip_bytes(v, vcpu->string.len);
	else if (vcpu->string.left == 1)
		vmx_skip_instruction(v);
	vcpu->string.left = 0;
}

/* What the device gave cannot be stored now: the next vcpu_run() does it. */
static int postpone(struct vcpu *vcpu, int err)
{
	if (err == -EAGAIN)
		err = vcpu_report_missing(vcpu);
	vcpu->pending = PENDING_STORE;
	/* This is the exit that was asked for. */
	if (err == -EINTR)
		atomic_fetch_and(&vcpu->requests, ~(u32)REQ_EXIT);
	return err;
}

/*
 * An element that crosses a page is stored whole or not at all: the page of its last byte is looked
 * at before the first is written.
 */
static int check_last_byte(struct vcpu *vcpu, const struct element *m)
{
	gpa_t last = m->gpa[vcpu->vmx.exit.io.size - 1];
	u8 byte;
	int err;

	if (!((last ^ m->gpa[0]) & PAGE_MASK))
		return 0;
	err = vcpu_read(vcpu, last, &byte, 1);
	if (err == -EAGAIN)
		vcpu->missing.access = FAULT_WRITE;
	return err;
}

/* INS: string.data is to be stored. The tables may have changed since they were looked at. */
static int store_element(struct vcpu *vcpu)
{
	struct element m;
	int err = locate(vcpu, vcpu->string.linear, true, &m);

	if (err == -EFAULT)
		return memory_fault(vcpu, &m);
	if (!err)
		err = check_last_byte(vcpu, &m);
	for (unsigned int i = 0; i < vcpu->vmx.exit.io.size && !err; i++)
		err = vcpu_write(vcpu, m.gpa[i], (u8 *)&vcpu->string.data + i, 1);
	if (err == -EINTR || err == -EBUSY || err == -EAGAIN)
		return postpone(vcpu, err);
	if (err)
		return vcpu_access_failed(vcpu, err, "INS to outside RAM");
	advance_string(vcpu);
	return RESUME_GUEST;
}

static noinline int complete_string(struct vcpu *vcpu)
{
	bool in = vcpu->vmx.exit.io.flags & VM_IO_IN;

	if (vcpu->pending == PENDING_STRING)
		vcpu->string.data = vcpu->run.io.data;
	vcpu->run.reason = RUN_EXIT_NONE;
	/* It writes memory: not while the VM is held, then, and nothing has changed. */
	if (vm_is_held(vcpu->vm)) {
		vcpu->pending = PENDING_STORE;
		return -EINTR;
	}
	vcpu->pending = PENDING_NONE;
	if (in)
		return store_element(vcpu);
	advance_string(vcpu);
	return RESUME_GUEST;
}

int vcpu_handle_io(struct vcpu *vcpu)
{
	const struct vm_exit *e = &vcpu->vmx.exit;

	if (unlikely(e->io.flags & VM_IO_STRING))
		return start_string(vcpu);
	return to_vmm(vcpu, (u32)(vcpu->vmx.gpr[GPR_RAX] & size_mask[e->io.size]));
}

/* AL and AX keep the rest of RAX, EAX clears its upper half. */
static void set_accumulator(struct vmx_vcpu *v, unsigned int bytes, u32 data)
{
	if (bytes == 4)
		v->gpr[GPR_RAX] = data;
	else
		v->gpr[GPR_RAX] = (v->gpr[GPR_RAX] & ~size_mask[bytes]) | (data & size_mask[bytes]);
}

int vcpu_complete(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = &vcpu->vmx;

	if (unlikely(vcpu->pending != PENDING_IO))
		return vcpu->pending == PENDING_FAULT ? vcpu_rerun_fault(vcpu)
						      : complete_string(vcpu);
	vcpu->pending = PENDING_NONE;
	if (vcpu->run.io.in)
		set_accumulator(v, vcpu->run.io.size, vcpu->run.io.data);
	vmx_skip_quickly(v);
	return RESUME_GUEST;
}

void vcpu_complete_registers(struct vcpu *vcpu)
{
	bool in = vcpu->vmx.exit.io.flags & VM_IO_IN;

	switch (vcpu->pending) {
	case PENDING_IO: vcpu_complete(vcpu); return;
	case PENDING_STRING:
		vcpu->string.data = vcpu->run.io.data;
		vcpu->pending = PENDING_STORE;
		break;
	case PENDING_FAULT: vcpu_forget_fault(vcpu); return;
	}
	if (vcpu->pending == PENDING_STORE && !in) {
		vcpu->pending = PENDING_NONE;
		advance_string(vcpu);
	}
}
