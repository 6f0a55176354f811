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
	vcpu->io_pending = true;
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
static bool is_canonical(gva_t va)
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
	if (!is_canonical(e->io.linear) || !is_canonical(e->io.linear + e->io.size - 1))
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
	return to_vmm(vcpu, data);
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
	if (vcpu->string.left == 1)
		vmx_skip_instruction(v);
	vcpu->string.left = 0;
}

/* What the device gave cannot be stored now: the next vcpu_run() does it. */
static int postpone(struct vcpu *vcpu, int err)
{
	vcpu->io_pending = true;
	/* This is the exit that was asked for. */
	if (err == -EINTR)
		atomic_fetch_and(&vcpu->requests, ~(u32)REQ_EXIT);
	return err;
}

static noinline int complete_string(struct vcpu *vcpu)
{
	const struct vm_exit *e = &vcpu->vmx.exit;
	bool in = e->io.flags & VM_IO_IN;
	struct element m;
	int err = 0;

	/* It writes memory: not while the VM is held, then, and nothing has changed. */
	if (vm_is_held(vcpu->vm)) {
		vcpu->io_pending = true;
		return -EINTR;
	}
	/* The tables may have changed meanwhile. */
	if (in)
		err = locate(vcpu, vcpu->string.linear, true, &m);
	if (err == -EFAULT)
		return memory_fault(vcpu, &m);
	for (unsigned int i = 0; i < e->io.size && in && !err; i++)
		err = vcpu_write(vcpu, m.gpa[i], (u8 *)&vcpu->run.io.data + i, 1);
	if (err == -EINTR || err == -EBUSY)
		return postpone(vcpu, err);
	if (err)
		return vcpu_access_failed(vcpu, err, "INS to outside RAM");
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

int vcpu_complete_io(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = &vcpu->vmx;

	vcpu->io_pending = false;
	if (unlikely(v->exit.io.flags & VM_IO_STRING))
		return complete_string(vcpu);
	if (vcpu->run.io.in)
		set_accumulator(v, vcpu->run.io.size, vcpu->run.io.data);
	vmx_skip_quickly(v);
	return RESUME_GUEST;
}
