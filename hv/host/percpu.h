/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Per-CPU data, reached through GS. GS base is the host's in all of root mode: a VM exit loads it
 * from the VMCS, so an NMI handler may use this_cpu() at any instruction.
 */
#ifndef HV_HOST_PERCPU_H
#define HV_HOST_PERCPU_H

#include "hv/host/layout.h"
#include "hv/host/list.h"
#include "hv/host/spinlock.h"
#include "hv/host/types.h"

struct thread;
struct trace_ring;
struct x86_tables; /* GDT, TSS, IST stacks: hv/host/gdt.c */

struct cpu {
	struct cpu *self; /* at %gs:0 */
	u32 id;		  /* 0..nr_cpus-1; 0 is the boot CPU */
	u32 apic_id;

	/*
	 * Read by the last instructions before a VM entry: non-zero means "do not enter, look
	 * again". Set by the root-mode NMI handler and by anybody on this CPU; cleared by the run
	 * loop before it looks at requests.
	 */
	_Atomic u32 entry_barred;
	_Atomic u32 in_guest; /* a guest is (about to be) running here; thread_wake() kicks then */

	struct thread *current;
	struct thread *idle;
	struct spinlock rq_lock; /* protects runqueue; leaf lock */
	struct list runqueue;
	_Atomic u32 nr_runnable;  /* length of runqueue, readable without the lock */
	_Atomic u32 need_resched; /* a thread was woken: the running one is to yield */
	_Atomic bool is_idle;

	struct list timers; /* armed timers of this CPU, earliest first; this CPU only */
	struct trace_ring *trace;
	struct x86_tables *tables;
	void *vmx;	     /* vmx/: the VMXON region */
	void *loaded;	     /* vmx/: the vCPU whose state is in this CPU, or NULL */
	_Atomic u64 nr_nmi;  /* NMIs taken in root mode */
	_Atomic u64 nr_kick; /* interrupts taken on VECTOR_KICK */
	_Atomic bool online;
};

extern struct cpu *cpus[MAX_CPUS];
extern u32 nr_cpus; /* CPUs online */

/** percpu_init_boot - give the boot CPU its data: before anything that asks for this_cpu(). */
void percpu_init_boot(void);

/**
 * percpu_alloc - data, GDT, TSS and IST stacks of another CPU
 * @id: its number; @apic_id: its physical APIC id
 *
 * After paging_init(). The CPU points its GS base there before it does anything else. Returns NULL
 * when memory is out.
 */
struct cpu *percpu_alloc(u32 id, u32 apic_id);

#if __STDC_HOSTED__
struct cpu *this_cpu(void); /* the pthread backend's */
#else
static inline struct cpu *this_cpu(void)
{
	struct cpu *c;

	__asm__("mov %%gs:0, %0" : "=r"(c));
	return c;
}
#endif

/* Number of this CPU; 0 also before the boot CPU has its per-CPU data, when nr_cpus is still 0. */
static inline u32 this_cpu_id(void)
{
	return nr_cpus ? this_cpu()->id : 0;
}

#endif
