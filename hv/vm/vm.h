/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM: guest-physical memory, its vCPUs, and what stops them all.
 *
 * Memory is a set of slots (hv/vm/slots.h) that show parts of backings (hv/vm/backing.h); a page is
 * mapped when the guest first touches it. The protocols have a header each: kick, pause, wait,
 * readers, invalidate, dirty.
 */
#ifndef HV_VM_VM_H
#define HV_VM_VM_H

#include "hv/host/mutex.h"
#include "hv/host/spinlock.h"
#include "hv/host/types.h"
#include "hv/vm/apic_page.h"
#include "hv/vm/dirty.h"
#include "hv/vm/fetch.h"
#include "hv/vm/invalidate.h"
#include "hv/vm/kick.h"
#include "hv/vm/pause.h"
#include "hv/vm/readers.h"
#include "hv/vm/slots.h"
#include "hv/vm/wait.h"
#include "vmx/vmx.h"

#define VM_MAX_VCPUS 64

struct vcpu;

struct vm {
	struct vmx_vm vmx;
	_Atomic u32 hold;     /* holders; while not 0 no vCPU enters the guest */
	_Atomic u32 nr_vcpus; /* grows only; a destroyed vCPU keeps its place until the VM goes */
	struct vcpu *vcpu[VM_MAX_VCPUS];

	struct mutex change_mutex; /* one change of slots, one creation of a vCPU at a time */
	struct vm_slots slots;
	struct vm_readers readers;
	struct vm_invalidation invalidation;
	struct fetch_queue fetches; /* missing pages that threads of this VM wait for */
	enum dirty_how dirty_how;
	struct vm_apic_page apic_page;
	u8 apic_rung;		       /* enum vmx_apic_rung of its vCPUs */
	bool no_x2apic;		       /* vm_hide_x2apic() */
	_Atomic bool apic_ids_changed; /* a guest has given an APIC in xAPIC mode another ID */

	enum kick_transport kick;
	u64 kick_timer; /* KICK_TIMER: guest ticks between two looks */
	enum wait_variant wait;
	bool traced;	     /* vm_set_traced() */
	bool outside_events; /* vm_expect_events() */

	struct spinlock hold_lock;    /* holders */
	struct list holders;	      /* struct vm_hold */
	_Atomic bool stopped;	      /* for good; written under hold_lock */
	struct wait_queue resumed;    /* vm_wait_resumed() and the readers' gate */
	struct spinlock halt_lock;    /* writes of vcpu->blocked of all vCPUs */
	_Atomic u32 nr_waiting;	      /* vCPUs that threads inside vcpu_wait() wait for */
	struct wait_queue no_waiters; /* woken when nr_waiting becomes 0 */
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

/**
 * vm_destroy - free a VM with its vCPUs and its references to backings
 *
 * All of its vCPU threads have left vcpu_run(). Threads in vcpu_wait() are sent home first.
 */
void vm_destroy(struct vm *vm);

/**
 * vm_add_ram - give the VM memory: a slot with a backing of its own, under the lowest free id
 * @base, @size: bytes, multiples of 4 KiB, not 0
 *
 * All of it is reserved, so that a guest cannot run the machine out of memory later. Returns 0 or
 * an error of backing_create() and vm_change_slots().
 */
int vm_add_ram(struct vm *vm, gpa_t base, u64 size);

/** vm_populate - zero and map all RAM now, with pages of 2 MiB where they fit. 0, -ENOMEM. */
int vm_populate(struct vm *vm);

/**
 * vm_read, vm_write, vm_fill - access guest memory by guest-physical address
 *
 * Go through the readers' gate: while the VM is held by another thread they wait. A page that is
 * missing is treated as the slot says, as if the guest had accessed it: waited for, or told to the
 * caller: -EAGAIN, resolve and try again. Return 0, or -EFAULT when any byte is outside RAM (or,
 * for the writing ones, in a read-only slot); then nothing was transferred. -ENOMEM. What crosses a
 * page is transferred page by page: a change of slots in between is seen, and -EFAULT may then come
 * halfway, as may -EAGAIN. May run beside vCPUs; 4 and 8 aligned bytes are read and written in one
 * access, others in any order. Thread context, in no read section.
 */
int vm_read(struct vm *vm, gpa_t gpa, void *buf, size_t len);
int vm_write(struct vm *vm, gpa_t gpa, const void *buf, size_t len);
int vm_fill(struct vm *vm, gpa_t gpa, u8 byte, u64 len);

/** vm_ram_size - bytes of the slot at address 0. */
u64 vm_ram_size(struct vm *vm);
u32 vm_nr_vcpus(struct vm *vm);

enum fault_access { FAULT_READ = 1, FAULT_WRITE = 2, FAULT_FETCH = 4 };

/* A page that an access needs and that is not there. */
struct missing {
	bool exit;		 /* the slot wants to be told; else: wait for */
	struct backing *backing; /* this one (with a reference that the caller has to put) */
	u64 offset;
	u32 generation; /* vm->slots.generation when it was found */
};

/**
 * vm_fault - make @gpa accessible after a memory exit
 * @access: enum fault_access
 * @m: out, for -EAGAIN
 *
 * Returns 0 (mapped, or somebody else did it, or what it found has changed meanwhile: let the guest
 * try again), -ENOENT (no RAM there), -EACCES (a local APIC is in its place), -EPERM (a write to a
 * read-only slot), -EAGAIN (the page is not there), -EINTR (the VM is held), -ENOMEM. Thread
 * context; does not sleep.
 */
int vm_fault(struct vm *vm, gpa_t gpa, unsigned int access, struct missing *m);

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

/**
 * vm_set_traced - have every entry and exit of its vCPUs, and every step of the protocols, traced
 *
 * For timelines; see hv/host/trace.h. Before the first vcpu_run().
 */
void vm_set_traced(struct vm *vm, bool on);

/** vm_hide_x2apic - the guest has no x2APIC mode. Before the first vCPU. */
void vm_hide_x2apic(struct vm *vm);

/**
 * vm_expect_events - others than its vCPUs post events for this VM
 *
 * Without it a VM all of whose vCPUs wait is at its end: RUN_EXIT_HLT. With it they wait on. Before
 * the first vcpu_run().
 */
void vm_expect_events(struct vm *vm);

/** vm_entries_barred - VM entries so far that an NMI in root mode has stopped. */
u64 vm_entries_barred(void);

/* The TSC when the first vCPU of this run was about to enter its guest; 0 before. */
extern _Atomic u64 vm_first_guest_tick;

#endif
