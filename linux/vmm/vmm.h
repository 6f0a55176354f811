/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lab on KVM: what linux/vmm adds to the calls of hv/vm and hv/host that it implements.
 *
 * The program is the image's own lab, board and guests, linked with other implementations of the
 * calls below them: a struct vm is a file descriptor of /dev/kvm, a thread is a pthread pinned to a
 * CPU, the console is the standard output. So an experiment here is written as one in lab/:
 *
 *   registered	EXPERIMENT(), lab/experiment.h; reports by ktap_*() and metric_*()
 *   VMs	vm_create(), vm_add_ram(), vm_read(), vm_write(), vm_destroy(): hv/vm/vm.h
 *   vCPUs	vcpu_create(), vcpu_run(), vcpu_request(REQ_EXIT), vm_stop(): hv/vm/vcpu.h
 *   APICs	lapic_start(), lapic_post(), lapic_post_nmi(): hv/vm/lapic.h
 *   guests	tiny_create(), tiny_create_many(): lab/tiny.h; vmm_run(): lab/vmm.h
 *   threads	thread_create(), thread_join(), wait queues, struct mutex, spin locks
 *   time	ticks_now(), tsc_hz, spin_ticks(); cpu_relax() in loops that wait
 *
 * Of the structures only these fields have a meaning here: vm->nr_vcpus, vm->vcpu[], vm->stopped;
 * vcpu->vm, ->id, ->cpu (where it last ran), ->run, ->requests (REQ_EXIT).
 */
#ifndef LINUX_VMM_VMM_H
#define LINUX_VMM_VMM_H

#include <linux/kvm.h>

#include "hv/vm/vcpu.h"
#include "linux/vmm/uapi.h"

/* --- what this kernel can do ------------------------------------------------------------------ */

/**
 * kvm_open - open /dev/kvm, once
 *
 * Returns its file descriptor; or a negative errno, and kvm_why() is a line on that.
 */
int kvm_open(void);
const char *kvm_why(void);

/** kvm_has - KVM_CHECK_EXTENSION: 0 when it is unknown, or a number of the series that a later
 * kernel has given to something else. */
int kvm_has(int cap);

/** kvm_is_patched - whether any capability of the series is there. */
bool kvm_is_patched(void);

/** needs_cap - true; or a SKIP of the behaviour @name, "no KVM_CAP_...", and false. */
#define needs_cap(cap, name) needs_cap_named(cap, #cap, name)
bool needs_cap_named(int cap, const char *cap_name, const char *name);

/**
 * kvm_param_get, kvm_param_set - a parameter of a module, such as "kvm.break_poll"
 * @value: 0 and 1 also stand for N and Y
 *
 * Return 0; -ENOENT: there is none of that name; another error of the file.
 */
int kvm_param_get(const char *name, u64 *value);
int kvm_param_set(const char *name, u64 value);

/* --- VMs -------------------------------------------------------------------------------------- */

#define KVM_MAX_REGIONS 64

/* A memory slot; size 0: not in use. Its number is its place in the table. */
struct kvm_region {
	gpa_t gpa;
	u64 size;
	u8 *hva;
	u32 flags; /* KVM_MEM_* */
	/* What vm_add_ram() has mapped for it and vm_destroy() unmaps, or NULL. */
	u8 *own;
	u64 own_size;
};

struct kvm_vm {
	struct vm vm; /* what hv/vm's callers see */
	int fd, stats_fd;
	bool lapics;	   /* its vCPUs have local APICs, in the kernel */
	_Atomic u32 drops; /* vm_drop_page(): begun and ended; odd while one is under way */
	struct spinlock drop_lock, regions_lock;
	struct kvm_region region[KVM_MAX_REGIONS];
};

static inline struct kvm_vm *kvm_vm(struct vm *vm)
{
	return container_of(vm, struct kvm_vm, vm);
}

/**
 * vm_default_lapics - whether VMs to come have local APICs, in the kernel; they do unless told not
 *
 * With them KVM_RUN sleeps in HLT, and RUN_EXIT_HLT never comes. Without them it comes for every
 * HLT. Returns what it was.
 */
bool vm_default_lapics(bool on);

/** vm_default_huge - whether vm_add_ram() asks for pages of 2 MiB; it does unless told not. Returns
 * what it was. */
bool vm_default_huge(bool on);

/** vm_ioctl, vcpu_ioctl - return what the call returns, or a negative errno. */
int vm_ioctl(struct vm *vm, unsigned long request, void *arg);
int vcpu_ioctl(struct vcpu *vcpu, unsigned long request, void *arg);

/**
 * vm_set_region - KVM_SET_USER_MEMORY_REGION: create, move, change or (with @size 0) delete a slot
 * @slot: its number, below KVM_MAX_REGIONS; vm_add_ram() takes the lowest free one
 * @hva: where it is in this process
 *
 * vm_read() and the like go by the new layout when it has returned 0. Otherwise a negative errno.
 */
int vm_set_region(struct vm *vm, u32 slot, gpa_t gpa, u64 size, void *hva, u32 flags);

/** vm_hva - where a guest-physical address is in this process, or NULL. */
void *vm_hva(struct vm *vm, gpa_t gpa);

/** vm_map_anonymous - memory for a slot, aligned to 2 MiB where it is that large. NULL. */
void *vm_map_anonymous(u64 size);

/** vm_stat, vcpu_stat - a figure of the kernel's statistics by name ("exits"); 0: none such. Any
 * thread, while it runs, too. */
u64 vm_stat(struct vm *vm, const char *name);
u64 vcpu_stat(struct vcpu *vcpu, const char *name);

/* --- vCPUs ------------------------------------------------------------------------------------ */

/* How vcpu_request() and vm_stop() get a vCPU out of KVM_RUN. */
enum kvm_kick {
	/*
	 * run->immediate_exit, then a signal whose handler does nothing: either the signal comes
	 * during KVM_RUN, or KVM_RUN sees the flag.
	 */
	KVM_KICK_IMMEDIATE,
	/* A signal that is blocked but during KVM_RUN (KVM_SET_SIGNAL_MASK), and eaten after it. */
	KVM_KICK_SIGNAL,
};

struct kvm_vcpu {
	struct vcpu vcpu; /* what hv/vm's callers see */
	int fd, stats_fd;
	struct kvm_run *kvm_run; /* the page shared with the kernel */
	enum kvm_kick kick;
	_Atomic int tid; /* the thread in vcpu_run(), 0: none */
	int error;	 /* what KVM_RUN has returned last: 0 or a negative errno */
	u32 drops;	 /* of its VM, when it last met one */
	u32 io_done;	 /* repetitions of the string instruction that were served */
	bool io_left;	 /* run.io is to be completed */
};

static inline struct kvm_vcpu *kvm_vcpu(struct vcpu *vcpu)
{
	return container_of(vcpu, struct kvm_vcpu, vcpu);
}

/**
 * vcpu_enter - one KVM_RUN, as it is: no requests are looked at, nothing is decoded
 *
 * Returns 0 or a negative errno; see kvm_vcpu(vcpu)->kvm_run for the rest. What run.io says of the
 * last exit by vcpu_run() is completed first.
 */
int vcpu_enter(struct vcpu *vcpu);

/** vcpu_set_kick - before its first run, or in its thread. */
void vcpu_set_kick(struct vcpu *vcpu, enum kvm_kick kick);

/** vcpu_signal - send the kick's signal to the thread that runs it, if one does. Any thread. */
void vcpu_signal(struct vcpu *vcpu);

/**
 * vcpu_set_open - the guest starts with interrupts enabled
 *
 * After vcpu_set_flat32(), for guests that spin: an emulator of ours does not let host interrupts
 * out of a guest that has them disabled. Nothing may be posted to a guest without an IDT.
 */
void vcpu_set_open(struct vcpu *vcpu);

/** tiny_counter - the tiny_box counter of vCPU @i: it advances while the guest runs. */
u32 tiny_counter(struct vm *vm, u32 i);

#endif
