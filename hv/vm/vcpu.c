/* SPDX-License-Identifier: GPL-2.0-only */
/* Creating a vCPU, its reset states, and requests from other threads. */
#include "hv/host/apic.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"

static _Atomic u16 next_vpid = 1;

/* A VPID of its own for every vCPU ever made; after 65535 of them they are used again, which costs
 * nothing but flushes: a new vCPU's first entry flushes by its generation. */
static u16 new_vpid(void)
{
	u16 vpid;

	do {
		vpid = atomic_fetch_add(&next_vpid, 1);
	} while (!vpid);
	return vpid;
}

void vcpu_reset(struct vcpu *vcpu, int sipi_page)
{
	vmx_vcpu_reset(&vcpu->vmx, sipi_page);
	vcpu_cpuid_update(vcpu, 0);
	vcpu->io_pending = false;
	vcpu->string.left = 0;
	vcpu->run.reason = RUN_EXIT_NONE;
}

int vcpu_create(struct vcpu **out, struct vm *vm)
{
	struct vcpu *v;
	int err;

	if (vm->nr_vcpus == VM_MAX_VCPUS)
		return -ENOSPC;
	v = kzalloc(sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->vm = vm;
	v->id = vm->nr_vcpus;
	v->mp_state = v->id ? MP_WAIT_SIPI : MP_RUNNABLE;
	v->misc_enable = BIT(0) | BIT(11) | BIT(12); /* fast strings; no BTS, no PEBS */
	wait_queue_init(&v->wq);
	err = vmx_vcpu_init(&v->vmx, &vm->vmx, new_vpid());
	if (err) {
		kfree(v);
		return err;
	}
	vcpu_cpuid_init(v);
	lapic_reset(v);
	vm->vcpu[vm->nr_vcpus++] = v;
	*out = v;
	return 0;
}

void vcpu_unload(struct vcpu *vcpu)
{
	vmx_unload(&vcpu->vmx);
}

/*
 * The kick's half of the entry protocol (see vcpu.h). The caller has published what it wants; the
 * compare-and-exchange is the full fence between that and reading mode.
 */
void vcpu_kick(struct vcpu *vcpu)
{
	u32 mode = IN_GUEST_MODE;

	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_compare_exchange_strong(&vcpu->mode, &mode, EXITING_GUEST_MODE)) {
		apic_send_nmi(atomic_load(&vcpu->cpu));
		return;
	}
	if (mode == OUTSIDE_GUEST_MODE)
		wake_all(&vcpu->wq);
}

void vcpu_request(struct vcpu *vcpu, u32 req)
{
	atomic_fetch_or(&vcpu->requests, req);
	if (atomic_load(&vcpu->mode) != OUTSIDE_GUEST_MODE || atomic_load(&vcpu->blocked))
		vcpu_kick(vcpu);
}

void vcpu_set_flat32(struct vcpu *vcpu, u32 eip, u32 eax, u32 ebx)
{
	const struct vm_segment code = { .selector = 0x08, .limit = ~0u, .access = 0xc09b };
	const struct vm_segment data = { .selector = 0x10, .limit = ~0u, .access = 0xc093 };
	const struct vm_segment tss = { .selector = 0x18, .limit = 0x67, .access = 0x8b };
	struct vmx_vcpu *v = &vcpu->vmx;

	if (vmx_load(v))
		return;
	vmx_set_segment(v, VSEG_CS, &code);
	for (unsigned int s = VSEG_ES; s <= VSEG_GS; s++)
		if (s != VSEG_CS)
			vmx_set_segment(v, s, &data);
	vmx_set_segment(v, VSEG_TR, &tss);
	vmx_set(v, REG_CR0, CR0_PE | CR0_ET);
	vmx_set(v, REG_RIP, eip);
	vmx_set_gpr(v, GPR_RDX, 0);
	vmx_set_gpr(v, GPR_RAX, eax);
	vmx_set_gpr(v, GPR_RBX, ebx);
	vmx_unload(v);
}

u64 vcpu_rip(struct vcpu *vcpu)
{
	return vmx_get(&vcpu->vmx, REG_RIP);
}
