/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM: guest-physical memory, its vCPUs, and what stops them all.
 *
 * RAM is one slot (and small extra slots that a board adds). A slot's backing is allocated when it
 * is added, in blocks of 2 MiB, so that a guest cannot run the machine out of memory later; a block
 * is zeroed and mapped when the guest first touches it.
 */
#ifndef HV_VM_VM_H
#define HV_VM_VM_H

#include "hv/host/spinlock.h"
#include "hv/host/types.h"
#include "vmx/vmx.h"

#define VM_MAX_VCPUS 64
#define VM_MAX_SLOTS 4

struct vcpu;

struct vm_slot {
	gpa_t base;
	u64 size;
	unsigned int block_order; /* pages per block = 2^order */
	u64 nr_blocks;
	u64 *block; /* host-physical address of each, bit 0: has been zeroed */
};

struct vm {
	struct vmx_vm vmx;
	_Atomic u32 hold; /* holders; while not 0 no vCPU enters the guest */
	u32 nr_vcpus;
	struct vcpu *vcpu[VM_MAX_VCPUS];
	unsigned int nr_slots;
	struct vm_slot slot[VM_MAX_SLOTS];
	struct spinlock halt_lock; /* writes of vcpu->blocked of all vCPUs */
};

/**
 * hv_init - prepare this machine for guests: probe VMX, enter VMX operation on all CPUs
 * @why: on error, a static line that says what is missing
 *
 * Thread context, once. Errors of vmx_probe() and vmx_cpu_on().
 */
int hv_init(const char **why);

/**
 * hv_print_caps - print what hv_init() found of VMX: used, there, lacking, by name
 *
 * Returns 0; -ENODEV when the capabilities could not be read (no VMX, or switched off).
 */
int hv_print_caps(void);

/**
 * vm_create - an empty VM
 * @out: the VM
 *
 * Returns 0, -ENOMEM, -EOPNOTSUPP (second-level tables of a kind we cannot build). Thread context.
 */
int vm_create(struct vm **out);

/** vm_destroy - free a VM with its vCPUs and memory. All of its vCPU threads have left vcpu_run().
 */
void vm_destroy(struct vm *vm);

/**
 * vm_add_ram - give the VM memory
 * @base, @size: bytes, multiples of 4 KiB, not 0; at least 2 MiB aligned when @size is 2 MiB or
 * more; within the addresses that second-level tables reach
 *
 * Returns 0, -EINVAL, -EEXIST (overlaps a slot), -ENOSPC (too many slots), -ENOMEM (the machine has
 * less free memory). Before the first vcpu_run().
 */
int vm_add_ram(struct vm *vm, gpa_t base, u64 size);

/** vm_populate - zero and map all RAM now, with pages of 2 MiB where they fit. 0, -ENOMEM. */
int vm_populate(struct vm *vm);

/**
 * vm_read, vm_write, vm_fill - access guest memory by guest-physical address
 *
 * Return 0, or -EFAULT when any byte is outside RAM; then nothing was transferred. May run beside
 * vCPUs; bytes are copied without ordering guarantees. Takes the VM's table lock for blocks that
 * were never touched.
 */
int vm_read(struct vm *vm, gpa_t gpa, void *buf, size_t len);
int vm_write(struct vm *vm, gpa_t gpa, const void *buf, size_t len);
int vm_fill(struct vm *vm, gpa_t gpa, u8 byte, u64 len);

/** vm_ram_size - bytes of the slot at address 0. */
u64 vm_ram_size(struct vm *vm);
u32 vm_nr_vcpus(struct vm *vm);

/**
 * vm_fault - make @gpa accessible after a memory exit
 *
 * Returns 0 (mapped, or somebody else did it meanwhile), -ENOENT (no RAM there), -ENOMEM.
 */
int vm_fault(struct vm *vm, gpa_t gpa);

/**
 * vm_drop_page - remove one 4 KiB translation; the next access faults it in again
 *
 * Returns after no CPU uses the old translation any more: 0, -EFAULT (outside RAM), -ENOMEM,
 * -ETIMEDOUT (a vCPU did not react; said on the console). Thread context.
 */
int vm_drop_page(struct vm *vm, gpa_t gpa);

/**
 * vm_stop - make every vcpu_run() of this VM return -EINTR, now and for ever
 *
 * Any thread, one of the vCPUs' own included. Does not wait.
 */
void vm_stop(struct vm *vm);

/** vm_entries_barred - VM entries so far that an NMI in root mode has stopped. */
u64 vm_entries_barred(void);

/* The TSC when the first vCPU of this run was about to enter its guest; 0 before. */
extern _Atomic u64 vm_first_guest_tick;

/** vm_kick_all - make every vCPU that is in the guest leave it. */
void vm_kick_all(struct vm *vm);

#endif
