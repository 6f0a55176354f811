/* SPDX-License-Identifier: GPL-2.0-only */
/* A guest for host tests. */
#include <stdlib.h>

#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "hv/vm/vcpu.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_vm.h"

void fake_vm_init(struct fake_vm *f, u64 ram_size)
{
	memset(f, 0, sizeof(*f));
	f->vm.nr_vcpus = 1;
	f->ram_size = ram_size;
	f->fail_writes_from = UINT64_MAX;
	f->ram = malloc(ram_size);
	if (!f->ram)
		abort();
	memset(f->ram, FAKE_VM_UNTOUCHED, ram_size);
}

void fake_vm_destroy(struct fake_vm *f)
{
	free(f->ram);
	f->ram = NULL;
}

static struct fake_vm *fake(struct vm *vm)
{
	return container_of(vm, struct fake_vm, vm);
}

static bool inside(const struct fake_vm *f, gpa_t gpa, u64 len)
{
	return gpa <= f->ram_size && len <= f->ram_size - gpa;
}

int vm_read(struct vm *vm, gpa_t gpa, void *buf, size_t len)
{
	struct fake_vm *f = fake(vm);

	if (!inside(f, gpa, len))
		return -EFAULT;
	memcpy(buf, f->ram + gpa, len);
	return 0;
}

int vm_write(struct vm *vm, gpa_t gpa, const void *buf, size_t len)
{
	struct fake_vm *f = fake(vm);

	if (!inside(f, gpa, len))
		return -EFAULT;
	if (gpa >= f->fail_writes_from)
		return -ENOMEM;
	memcpy(f->ram + gpa, buf, len);
	return 0;
}

int vm_fill(struct vm *vm, gpa_t gpa, u8 byte, u64 len)
{
	struct fake_vm *f = fake(vm);

	if (!inside(f, gpa, len))
		return -EFAULT;
	if (gpa >= f->fail_writes_from)
		return -ENOMEM;
	memset(f->ram + gpa, byte, len);
	return 0;
}

u64 vm_ram_size(struct vm *vm)
{
	return fake(vm)->ram_size;
}

u32 vm_nr_vcpus(struct vm *vm)
{
	return vm->nr_vcpus;
}

int vm_add_ram(struct vm *vm, gpa_t base, u64 size)
{
	fake(vm)->added = base;
	fake(vm)->added_size = size;
	return fake(vm)->add_result;
}

/* The real ones wait for other CPUs: a caller with a lock held would be a mistake. */
int vm_drop_page(struct vm *vm, gpa_t gpa)
{
	struct fake_vm *f = fake(vm);

	if (fake_locks_held())
		abort();
	f->dropped = gpa;
	f->nr_dropped++;
	return inside(f, gpa, PAGE_SIZE) ? f->drop_result : -EFAULT;
}

void vm_stop(struct vm *vm)
{
	if (fake_locks_held())
		abort();
	fake(vm)->nr_stops++;
}

u64 vcpu_rip(struct vcpu *vcpu)
{
	return 0x1000 + vcpu->id;
}
