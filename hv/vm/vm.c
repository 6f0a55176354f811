/* SPDX-License-Identifier: GPL-2.0-only */
/* Creating, stopping and destroying a VM. */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/percpu.h"
#include "hv/host/thread.h"
#include "hv/host/trace.h"
#include "hv/vm/internal.h"

static _Atomic int cpu_error;

static void enable_cpu(void *arg)
{
	int err = vmx_cpu_on();

	if (err)
		atomic_store(&cpu_error, err);
}

int hv_init(const char **why)
{
	int err = vmx_probe(why);

	if (err)
		return err;
	for (u32 cpu = 0; cpu < nr_cpus; cpu++) {
		struct thread *t;

		err = thread_create(&t, cpu, "vmxon", enable_cpu, NULL);
		if (err) {
			*why = "no memory for a thread";
			return err;
		}
		thread_join(t);
		err = atomic_load(&cpu_error);
		if (err) {
			*why = err == -EACCES ? "VMX is disabled by firmware on one of the CPUs"
					      : "a CPU could not enter VMX operation";
			return err;
		}
	}
	return 0;
}

int hv_print_caps(void)
{
	if (!vmx_caps.phys_bits)
		return -ENODEV;
	vmx_print_caps();
	return 0;
}

int vm_create(struct vm **out)
{
	struct vm *vm = kzalloc(sizeof(*vm));
	int err;

	if (!vm)
		return -ENOMEM;
	vm->halt_lock = (struct spinlock)SPINLOCK_INIT;
	err = vmx_vm_init(&vm->vmx);
	if (err) {
		kfree(vm);
		return err;
	}
	*out = vm;
	return 0;
}

static void free_slot(struct vm_slot *s)
{
	for (u64 i = 0; i < s->nr_blocks; i++)
		if (s->block[i])
			page_free(phys_to_virt(s->block[i] & PAGE_MASK), s->block_order);
	page_free(s->block, page_order(s->nr_blocks * sizeof(*s->block)));
}

void vm_destroy(struct vm *vm)
{
	for (u32 i = 0; i < vm->nr_vcpus; i++) {
		vmx_vcpu_destroy(&vm->vcpu[i]->vmx);
		kfree(vm->vcpu[i]);
	}
	vmx_vm_destroy(&vm->vmx);
	for (unsigned int i = 0; i < vm->nr_slots; i++)
		free_slot(&vm->slot[i]);
	kfree(vm);
}

static int check_slot(struct vm *vm, gpa_t base, u64 size)
{
	struct ept_mapping m;

	if (!size || !IS_ALIGNED(base | size, PAGE_SIZE) || base + size < base)
		return -EINVAL;
	if (size >= EPT_SIZE_2M && !IS_ALIGNED(base, EPT_SIZE_2M))
		return -EINVAL;
	if (ept_lookup(&vm->vmx.ept, base + size - 1, &m) == -ERANGE)
		return -EINVAL;
	for (unsigned int i = 0; i < vm->nr_slots; i++) {
		struct vm_slot *s = &vm->slot[i];

		if (base < s->base + s->size && s->base < base + size)
			return -EEXIST;
	}
	if (vm->nr_slots == VM_MAX_SLOTS)
		return -ENOSPC;
	return size / PAGE_SIZE > page_nr_free() ? -ENOMEM : 0;
}

int vm_add_ram(struct vm *vm, gpa_t base, u64 size)
{
	struct vm_slot s = { .base = base, .size = size };
	u64 block_size;
	int err = check_slot(vm, base, size);

	if (err)
		return err;
	s.block_order = page_order(min_u64(size, EPT_SIZE_2M));
	block_size = PAGE_SIZE << s.block_order;
	s.nr_blocks = ALIGN_UP(size, block_size) / block_size;
	s.block = page_alloc(page_order(s.nr_blocks * sizeof(*s.block)), PAGE_ZERO);
	if (!s.block)
		return -ENOMEM;
	for (u64 i = 0; i < s.nr_blocks; i++) {
		void *p = page_alloc(s.block_order, 0);

		if (!p) {
			free_slot(&s);
			return -ENOMEM;
		}
		s.block[i] = virt_to_phys(p);
	}
	vm->slot[vm->nr_slots++] = s;
	return 0;
}

u64 vm_ram_size(struct vm *vm)
{
	return vm->nr_slots ? vm->slot[0].size : 0;
}

u32 vm_nr_vcpus(struct vm *vm)
{
	return vm->nr_vcpus;
}

void vm_kick_all(struct vm *vm)
{
	for (u32 i = 0; i < vm->nr_vcpus; i++)
		vcpu_kick(vm->vcpu[i]);
}

void vm_stop(struct vm *vm)
{
	trace("vm: stop", vm->nr_vcpus, 0);
	/* Never released: the VM is over. */
	atomic_fetch_add(&vm->hold, 1);
	vm_kick_all(vm);
}
