/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU's local APIC. Source: Intel SDM, volume on system programming, chapter on the APIC.
 *
 * Its registers are a page, at their xAPIC offsets: where the CPU virtualizes the APIC it is the
 * virtual-APIC page (vmx/vmx.h, enum vmx_apic_rung), elsewhere just memory. What the CPU does not
 * do on it is done here, by the same functions whatever way the guest's access came: MMIO that was
 * decoded, an exit that names the register, or an MSR.
 *
 * The page belongs to the vCPU's thread, and to the CPU while the guest runs. Others post: a bit in
 * lapic.posted (or lapic.pending) and then vcpu_event(). The vCPU's thread moves what was posted
 * to IRR when it looks at its events: so nothing is lost and nobody writes IRR while the CPU does.
 */
#ifndef HV_VM_LAPIC_H
#define HV_VM_LAPIC_H

#include "hv/host/timer.h"
#include "hv/host/types.h"

struct vcpu;

#define LAPIC_DEFAULT_BASE 0xfee00000ull
#define LAPIC_BASE_BSP	   BIT(8)
#define LAPIC_BASE_EXTD	   BIT(10) /* x2APIC mode */
#define LAPIC_BASE_EN	   BIT(11)

/* Offsets of the registers; the MSR of x2APIC mode is 0x800 + offset / 16. */
enum lapic_reg {
	LAPIC_ID = 0x20,
	LAPIC_VERSION = 0x30,
	LAPIC_TPR = 0x80,
	LAPIC_APR = 0x90,
	LAPIC_PPR = 0xa0,
	LAPIC_EOI = 0xb0,
	LAPIC_LDR = 0xd0,
	LAPIC_DFR = 0xe0,
	LAPIC_SVR = 0xf0,
	LAPIC_ISR = 0x100,
	LAPIC_TMR = 0x180,
	LAPIC_IRR = 0x200,
	LAPIC_ESR = 0x280,
	LAPIC_LVT_CMCI = 0x2f0,
	LAPIC_ICR = 0x300, /* in x2APIC mode 64 bits */
	LAPIC_ICR2 = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_THERMAL = 0x330,
	LAPIC_LVT_PMC = 0x340,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_TIMER_INITIAL = 0x380,
	LAPIC_TIMER_CURRENT = 0x390,
	LAPIC_TIMER_DIVIDE = 0x3e0,
	LAPIC_SELF_IPI = 0x3f0, /* x2APIC mode only */
};

#define NR_LAPIC_REGS	 64
#define LAPIC_SVR_ENABLE BIT(8)

enum lapic_mode { LAPIC_DISABLED, LAPIC_XAPIC, LAPIC_X2APIC };

enum lapic_pending {
	LAPIC_NMI = 1,
	LAPIC_INIT = 2,
	LAPIC_SIPI = 4,
	LAPIC_NMI_TWICE = 8, /* another one came before the vCPU could look: with LAPIC_NMI only */
};

struct lapic {
	u8 *regs;	       /* see above */
	_Atomic u64 base;      /* IA32_APIC_BASE; written by its own thread */
	_Atomic u64 posted[4]; /* fixed interrupts on their way to IRR; any thread */
	_Atomic u64 level[4];  /* whether the one posted last was level-triggered; any thread */
	_Atomic u32 pending;   /* enum lapic_pending; any thread */
	_Atomic u32 sipi_page;
	_Atomic u32 errors;	/* found since the last write of ESR; any thread */
	_Atomic s32 in_service; /* where the CPU does not deliver: the highest in ISR, -1: none */
	_Atomic u32 chosen;	/* times it was the one of lowest priority; any thread */
	/* Own thread and the host timer's interrupt, which is on the same CPU. */
	struct {
		struct timer host; /* armed on the CPU that the vCPU is loaded on */
		_Atomic bool runs; /* lapic_timer_runs(); read by any thread */
		u8 shift;	   /* it counts every 2^shift ticks */
		u32 lvt;	   /* LVT_TIMER as last written: the page may be ahead */
		u64 deadline;	   /* host TSC of the next expiry; 0: not counting */
		u64 period;	   /* TSC ticks from the initial count to 0 */
		u64 tsc_deadline;  /* IA32_TSC_DEADLINE as the guest sees it */
	} timer;
};

/** lapic_create - memory for one, in the state after RESET. The vCPU is loaded. 0, -ENOMEM. */
int lapic_create(struct vcpu *vcpu);
/** lapic_destroy - give it back; the vCPU does not run any more and is unloaded. */
void lapic_destroy(struct vcpu *vcpu);

/** lapic_retire - the vCPU is destroyed: its timer stops, nothing that is sent reaches it any more.
 */
void lapic_retire(struct vcpu *vcpu);

/** lapic_signal_init - INIT: the state after RESET, but for IA32_APIC_BASE and the ID. The vCPU is
 * loaded. */
void lapic_signal_init(struct vcpu *vcpu);

/**
 * lapic_start - as firmware leaves it: in this mode, software-enabled, all of the LVT masked
 * @mode: not LAPIC_DISABLED
 *
 * For guests that are started without firmware. In the vCPU's thread, or before its first run.
 * Returns 0, -EBUSY (it is loaded on another CPU), -EOPNOTSUPP (x2APIC mode is hidden), -ETIMEDOUT
 * (another vCPU did not leave the guest); the vCPU is left unloaded if it was.
 */
int lapic_start(struct vcpu *vcpu, enum lapic_mode mode);

/** lapic_mode - from IA32_APIC_BASE. Any thread. */
enum lapic_mode lapic_mode(struct vcpu *vcpu);

/**
 * lapic_read, lapic_write - IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC MSRs
 *
 * Return 0, or -EFAULT for #GP. lapic_write() may return 1: done, and the VMM has to be told
 * (vcpu->run is filled in: RUN_EXIT_EOI; RUN_EXIT_ERROR when a change of mode did not get all
 * vCPUs out of the guest). In the vCPU's thread, loaded.
 */
int lapic_read(struct vcpu *vcpu, u32 msr, u64 *v);
int lapic_write(struct vcpu *vcpu, u32 msr, u64 v);

/** lapic_covers - whether @gpa is in the register page of this vCPU's APIC, which is in xAPIC mode.
 */
bool lapic_covers(struct vcpu *vcpu, gpa_t gpa);

/**
 * lapic_mmio_read, lapic_mmio_write - an access to the register page
 * @offset: 0..4095
 * @size: 1..16 bytes; does not cross the page
 *
 * As on processors, only aligned accesses of 32 bits are defined: others read the bytes of the
 * registers they touch, and those that are no aligned 32 bits do not write; a 64-bit or longer
 * access is one to each register it touches from the lowest on. No byte comes from anywhere but the
 * registers. lapic_mmio_write() returns 0, or 1 as lapic_write().
 */
void lapic_mmio_read(struct vcpu *vcpu, u16 offset, unsigned int size, u8 *data);
int lapic_mmio_write(struct vcpu *vcpu, u16 offset, unsigned int size, const u8 *data);

/** lapic_written - the CPU has stored to the virtual-APIC page (VM_EXIT_APIC_WRITE). 0, or 1. */
int lapic_written(struct vcpu *vcpu, u16 offset);

/** lapic_eoi_virtualized - VM_EXIT_EOI: always 1, RUN_EXIT_EOI. */
int lapic_eoi_virtualized(struct vcpu *vcpu, u8 vector);

/** lapic_get_tpr, lapic_set_tpr - TPR, for CR8. Own thread. */
u8 lapic_get_tpr(struct vcpu *vcpu);
void lapic_set_tpr(struct vcpu *vcpu, u8 tpr);

/**
 * lapic_post - deliver a fixed interrupt to @vcpu from any thread
 * @vector: 16..255
 *
 * An APIC that is disabled, by IA32_APIC_BASE or by SVR, drops it. lapic_post_level(): the same for
 * a level-triggered one: the guest's EOI is an exit to the VMM (RUN_EXIT_EOI), which may post it
 * again.
 */
void lapic_post(struct vcpu *vcpu, u8 vector);
void lapic_post_level(struct vcpu *vcpu, u8 vector);

/** lapic_post_nmi - deliver an NMI from any thread. */
void lapic_post_nmi(struct vcpu *vcpu);

/** lapic_send - what writing @icr does: @icr's format is that of x2APIC mode. Own thread, loaded.
 */
void lapic_send(struct vcpu *from, u64 icr);

/* --- for inject.c and wait.c: the vCPU's thread, but for what asks about priorities ---------- */

/** lapic_sync - move what was posted to IRR and TMR. Returns the highest vector in IRR, or -1. */
int lapic_sync(struct vcpu *vcpu);

/** lapic_has_any - whether there is anything in IRR or posted, whatever its priority. */
bool lapic_has_any(struct vcpu *vcpu);

/** lapic_allowed - @requested, what lapic_sync() has returned, if it may be delivered now by
 * priority; else -1. lapic_highest(): the same for what is in IRR. */
int lapic_allowed(struct vcpu *vcpu, int requested);
int lapic_highest(struct vcpu *vcpu);

/**
 * lapic_priority, lapic_above - the two halves of lapic_highest(), with what is posted
 *
 * The priority class of what the vCPU does (bits 7:4); whether a vector above it is in IRR or
 * posted. Other threads get what is true now or was a moment ago. lapic_posted_above() is the half
 * that can change while the vCPU does not run.
 */
u8 lapic_priority(struct vcpu *vcpu);
bool lapic_above(struct vcpu *vcpu, u8 priority);
bool lapic_posted_above(struct vcpu *vcpu, u8 priority);

/** lapic_accept - move @vector from IRR to ISR: it is being injected. */
void lapic_accept(struct vcpu *vcpu, u8 vector);

/* --- the timer (lapic_timer.c) ---------------------------------------------------------------- */

/** lapic_timer_load, lapic_timer_unload - the vCPU comes to this CPU, leaves it. While it is loaded
 * nowhere its timer stands still; what has expired meanwhile is posted when it is loaded. */
void lapic_timer_load(struct vcpu *vcpu);
void lapic_timer_unload(struct vcpu *vcpu);

/** lapic_timer_runs - whether the timer will post an interrupt by itself. Any thread: when it says
 * no, what it has posted before is visible. */
bool lapic_timer_runs(struct vcpu *vcpu);

/** lapic_timer_tsc_changed - the guest's TSC has jumped: its TSC deadline means another moment. */
void lapic_timer_tsc_changed(struct vcpu *vcpu);

#endif
