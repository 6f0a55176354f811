/* SPDX-License-Identifier: GPL-2.0-only */
/* VMs: hv/vm/vm.h over /dev/kvm. Their memory is in linux/vmm/region.c. */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/vm/pause.h"
#include "linux/vmm/internal.h"

/* Three pages that KVM wants on CPUs without unrestricted guest, where no RAM of ours is. */
#define TSS_ADDRESS 0xfffbd000ul

static bool default_lapics = true;

_Atomic u64 vm_first_guest_tick;

bool vm_default_lapics(bool on)
{
	bool was = default_lapics;

	default_lapics = on;
	return was;
}

int vm_ioctl(struct vm *vm, unsigned long request, void *arg)
{
	int ret = ioctl(kvm_vm(vm)->fd, request, arg);

	return ret < 0 ? -errno : ret;
}

/* Local APICs in the kernel, no PIC and no I/O APIC anywhere: the board has none. */
static int create_lapics(struct vm *vm)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 0 } };

	return vm_ioctl(vm, KVM_ENABLE_CAP, &cap);
}

int vm_create(struct vm **out)
{
	int fd = kvm_open(), err;
	struct kvm_vm *k;

	if (fd < 0)
		return fd;
	k = kzalloc(sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->fd = ioctl(fd, KVM_CREATE_VM, 0L);
	if (k->fd < 0) {
		err = -errno;
		kfree(k);
		return err;
	}
	k->stats_fd = stats_open(k->fd);
	spin_lock_init(&k->drop_lock);
	spin_lock_init(&k->regions_lock);
	k->lapics = default_lapics;
	err = vm_ioctl(&k->vm, KVM_SET_TSS_ADDR, (void *)TSS_ADDRESS);
	if (!err && k->lapics)
		err = create_lapics(&k->vm);
	if (err) {
		vm_destroy(&k->vm);
		return err;
	}
	*out = &k->vm;
	return 0;
}

void vm_destroy(struct vm *vm)
{
	struct kvm_vm *k = kvm_vm(vm);

	vcpu_free_all(vm);
	if (k->stats_fd >= 0)
		close(k->stats_fd);
	close(k->fd);
	for (u32 i = 0; i < KVM_MAX_REGIONS; i++)
		if (k->region[i].own)
			munmap(k->region[i].own, k->region[i].own_size);
	kfree(k);
}

u32 vm_nr_vcpus(struct vm *vm)
{
	return atomic_load(&vm->nr_vcpus);
}

void vm_hide_x2apic(struct vm *vm)
{
	vm->no_x2apic = true;
}

/* KVM's vCPUs that wait wait for ever. */
void vm_expect_events(struct vm *vm)
{
	vm->outside_events = true;
}

/* A VM here is held by nobody but the end. */
bool vm_is_held(struct vm *vm)
{
	return atomic_load(&vm->stopped);
}

int vm_wait_resumed(struct vm *vm)
{
	return atomic_load(&vm->stopped) ? -ESHUTDOWN : 0;
}

void vm_stop(struct vm *vm)
{
	atomic_store(&vm->stopped, true);
	for (u32 i = 0; i < vm_nr_vcpus(vm); i++)
		vcpu_request(vm->vcpu[i], REQ_EXIT);
}
