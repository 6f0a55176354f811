/* SPDX-License-Identifier: GPL-2.0-only */
/* The hardware's part of a VM: its second-level page tables and their flush generation. */
#include "hv/host/errno.h"
#include "vmx/internal.h"

int vmx_vm_init(struct vmx_vm *vm)
{
	vm->lock = (struct spinlock)SPINLOCK_INIT;
	/* Above every vCPU's initial 0: each flushes before its first entry, since the pages of the
	 * root may have served another VM. */
	atomic_init(&vm->flush_gen, 1);
	vm->pml = vmx_has_pml();
	return ept_init(&vm->ept, vmx_caps.ept_vpid, vmx_caps.phys_bits);
}

void vmx_vm_destroy(struct vmx_vm *vm)
{
	ept_destroy(&vm->ept);
}

u64 vmx_vm_stale(struct vmx_vm *vm)
{
	return atomic_fetch_add_explicit(&vm->flush_gen, 1, memory_order_seq_cst) + 1;
}

void vmx_flush_guest(struct vmx_vcpu *v)
{
	__atomic_store_n(&v->flushed_gen, 0, __ATOMIC_RELAXED); /* behind every generation */
}
