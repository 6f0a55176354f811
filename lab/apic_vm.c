/* SPDX-License-Identifier: GPL-2.0-only */
/* The VM that experiment `apic` works on, what this hypervisor makes of it: see lab/apic.h. */
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "lab/apic.h"

void apic_left(struct apic_vcpu *v)
{
	struct vmx_vcpu *vmx = &v->vcpu->vmx;

	atomic_store(&v->address, vmx_apic_uses_page(vmx) ? vmx_apic_get_page(vmx) : 0);
	atomic_fetch_add(&v->left, 1);
}

/* --- the page -------------------------------------------------------------------------------- */

void apic_fill(struct apic_vm *a)
{
	hpa_t frame = vm_apic_page_frame(a->vm);

	if (frame)
		memset(phys_to_virt(frame), SENTINEL, PAGE_SIZE);
}

bool apic_written(struct apic_vm *a)
{
	hpa_t frame = vm_apic_page_frame(a->vm);
	const u8 *page = frame ? phys_to_virt(frame) : NULL;

	for (u32 i = 0; page && i < PAGE_SIZE; i++)
		if (page[i] != SENTINEL)
			return true;
	return false;
}

/* --- the whole ------------------------------------------------------------------------------- */

u32 apic_version(struct apic_vm *a, u32 i)
{
	const u8 *regs = a->v[i].vcpu->lapic.regs;

	return *(const u32 *)(const void *)(regs + LAPIC_VERSION);
}

int apic_vm_setup(struct apic_vm *a)
{
	const struct apic_config *c = &a->config;
	int err;

	vm_set_traced(a->vm, c->traced);
	vm_set_apic_policy(a->vm, c->reload, c->stall, c->flush);
	err = vm_set_apic(a->vm, c->rung);
	return err ? err : tiny_map_ram(&a->tiny, &a->ram);
}

/* --- what only this hypervisor can be asked -------------------------------------------------- */

bool apic_look(struct apic_vm *a, u32 i)
{
	vcpu_request(a->v[i].vcpu, REQ_LOOK);
	return APIC_WAIT(!(atomic_load(&a->v[i].vcpu->requests) & REQ_LOOK));
}

hpa_t apic_address(struct apic_vm *a, u32 i)
{
	u64 left = atomic_load(&a->v[i].left);

	vcpu_request(a->v[i].vcpu, REQ_EXIT);
	APIC_WAIT(atomic_load(&a->v[i].left) != left);
	return atomic_load(&a->v[i].address);
}
