/* SPDX-License-Identifier: GPL-2.0-only */
/* Creating a vCPU, its reset states, and requests from other threads. */
#include "hv/host/chaos.h"
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
	vcpu->pending = PENDING_NONE;
	vcpu->string.left = 0;
	vcpu->run.reason = RUN_EXIT_NONE;
}

void vcpu_choose_loop(struct vcpu *vcpu)
{
	vcpu->watched = (chaos_enabled ? WATCH_CHAOS : 0) |
			(vcpu->vm->wait == WAIT_POSTED ? WATCH_POSTED : 0) |
			(vcpu->vm->traced ? WATCH_TRACE : 0);
}

static struct vcpu *new_vcpu(struct vm *vm, u32 id)
{
	struct vcpu *v = kzalloc(sizeof(*v));

	if (!v)
		return NULL;
	v->vm = vm;
	v->id = id;
	v->mp_state = id ? MP_WAIT_SIPI : MP_RUNNABLE;
	v->misc_enable = BIT(0) | BIT(11) | BIT(12); /* fast strings; no BTS, no PEBS */
	wait_queue_init(&v->wq);
	wait_queue_init(&v->pollers);
	spin_lock_init(&v->dirty_lock);
	vcpu_choose_loop(v);
	return v;
}

static int init_vcpu(struct vcpu *v, struct vm *vm)
{
	int err = vmx_vcpu_init(&v->vmx, &vm->vmx, new_vpid());

	if (err)
		return err;
	if (vm->kick_timer)
		vmx_set_heartbeat(&v->vmx, vm->kick_timer);
	err = vmx_load(&v->vmx);
	if (!err)
		err = lapic_create(v);
	vmx_unload(&v->vmx);
	if (err) {
		vmx_vcpu_destroy(&v->vmx);
		return err;
	}
	vcpu_cpuid_init(v);
	atomic_store(&v->requests, REQ_APIC_PAGE);
	return 0;
}

/*
 * Published whole. A pause that has counted the vCPUs before this one needs not kick it: the new
 * vCPU finds the hold raised when it looks, before its first entry as before any other.
 */
int vcpu_create(struct vcpu **out, struct vm *vm)
{
	struct vcpu *v = NULL;
	int err = 0;
	u32 id;

	mutex_lock(&vm->change_mutex);
	id = atomic_load(&vm->nr_vcpus);
	if (!vm->apic_page.backing)
		err = apic_page_create(vm);
	if (!err && id == VM_MAX_VCPUS)
		err = -ENOSPC;
	if (!err) {
		v = new_vcpu(vm, id);
		err = v ? init_vcpu(v, vm) : -ENOMEM;
	}
	if (!err) {
		vm->vcpu[id] = v;
		atomic_store_explicit(&vm->nr_vcpus, id + 1, memory_order_seq_cst);
		*out = v;
	} else {
		kfree(v);
	}
	mutex_unlock(&vm->change_mutex);
	return err;
}

/* As in KVM, the object stays until the VM goes: others find it in vm->vcpu[] without a lock. */
void vcpu_destroy(struct vcpu *vcpu)
{
	if (atomic_exchange(&vcpu->gone, true))
		return;
	wake_all(&vcpu->pollers);
	lapic_retire(vcpu);
	/* Those who are left may all be asleep: let them find out. */
	for (u32 i = 0; i < atomic_load(&vcpu->vm->nr_vcpus); i++)
		vcpu_request(vcpu->vm->vcpu[i], REQ_LOOK);
	dirty_retire(vcpu);
	vmx_vcpu_destroy(&vcpu->vmx);
}

void vcpu_unload(struct vcpu *vcpu)
{
	lapic_timer_unload(vcpu);
	vmx_unload(&vcpu->vmx);
}

enum vcpu_mp_state vcpu_get_mp_state(struct vcpu *vcpu)
{
	return vcpu->mp_state;
}

void vcpu_forget_fault(struct vcpu *vcpu)
{
	if (vcpu->pending != PENDING_FAULT)
		return;
	vcpu->pending = PENDING_NONE;
	vcpu->run.reason = RUN_EXIT_NONE;
}

void vcpu_set_mp_state(struct vcpu *vcpu, enum vcpu_mp_state s)
{
	vcpu_forget_fault(vcpu);
	vcpu->mp_state = (u16)s;
}

/* It stays loaded, and the next vcpu_run() finds it so: with its timer running. */
int vcpu_come(struct vcpu *vcpu)
{
	bool loaded = vmx_is_loaded(&vcpu->vmx);
	int err = vmx_load(&vcpu->vmx);

	if (!err && !loaded)
		lapic_timer_load(vcpu);
	return err;
}

int vcpu_get_regs(struct vcpu *vcpu, struct vcpu_regs *regs)
{
	unsigned int phase = slots_read_begin(vcpu->vm);
	int err = vcpu_come(vcpu);

	for (unsigned int r = 0; r < NR_GPRS && !err; r++)
		regs->gpr[r] = vmx_get_gpr(&vcpu->vmx, r);
	if (!err) {
		regs->rip = vmx_get(&vcpu->vmx, REG_RIP);
		regs->rflags = vmx_get(&vcpu->vmx, REG_RFLAGS);
	}
	slots_read_end(vcpu->vm, phase);
	return err;
}

int vcpu_set_regs(struct vcpu *vcpu, const struct vcpu_regs *regs)
{
	unsigned int phase = slots_read_begin(vcpu->vm);
	int err = vcpu_come(vcpu);

	for (unsigned int r = 0; r < NR_GPRS && !err; r++)
		vmx_set_gpr(&vcpu->vmx, r, regs->gpr[r]);
	if (!err) {
		vcpu_forget_fault(vcpu);
		vmx_set(&vcpu->vmx, REG_RIP, regs->rip);
		vmx_set(&vcpu->vmx, REG_RFLAGS, regs->rflags);
	}
	slots_read_end(vcpu->vm, phase);
	return err;
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
