/* SPDX-License-Identifier: GPL-2.0-only */
/* Creating, stopping and destroying a VM. */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/percpu.h"
#include "hv/host/thread.h"
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

static void init_locks(struct vm *vm)
{
	mutex_init(&vm->change_mutex);
	spin_lock_init(&vm->hold_lock);
	spin_lock_init(&vm->halt_lock);
	list_init(&vm->holders);
	wait_queue_init(&vm->resumed);
	wait_queue_init(&vm->no_waiters);
	fetch_queue_init(&vm->fetches);
}

int vm_create(struct vm **out)
{
	struct vm *vm = kzalloc(sizeof(*vm));
	int err;

	if (!vm)
		return -ENOMEM;
	init_locks(vm);
	err = vmx_vm_init(&vm->vmx);
	if (err) {
		kfree(vm);
		return err;
	}
	err = slots_init(vm);
	if (err) {
		vmx_vm_destroy(&vm->vmx);
		kfree(vm);
		return err;
	}
	apic_page_init(vm);
	vm->dirty_how = vm->vmx.pml ? DIRTY_PML : DIRTY_WRITE_PROTECT;
	*out = vm;
	return 0;
}

void vm_destroy(struct vm *vm)
{
	for (u32 i = 0; i < vm->nr_vcpus; i++)
		vcpu_destroy(vm->vcpu[i]);
	wait_end(vm);
	/* A move of a backing may use this VM, its vCPUs too, until the slots are off it. */
	slots_destroy(vm);
	apic_page_destroy(vm);
	for (u32 i = 0; i < vm->nr_vcpus; i++) {
		lapic_destroy(vm->vcpu[i]);
		kfree(vm->vcpu[i]);
	}
	vmx_vm_destroy(&vm->vmx);
	kfree(vm);
}

u32 vm_nr_vcpus(struct vm *vm)
{
	return atomic_load(&vm->nr_vcpus);
}

void vm_set_traced(struct vm *vm, bool on)
{
	vm->traced = on;
	for (u32 i = 0; i < vm->nr_vcpus; i++)
		vcpu_choose_loop(vm->vcpu[i]);
}

void vm_hide_x2apic(struct vm *vm)
{
	vm->no_x2apic = true;
}

void vm_expect_events(struct vm *vm)
{
	vm->outside_events = true;
}
