/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The whole state of a vCPU, to go on with its guest in another one: of another VM, on another CPU,
 * at another time. In KVM's terms GET and SET of REGS, SREGS, XSAVE, XCRS, DEBUGREGS, MSRS, LAPIC,
 * MP_STATE and VCPU_EVENTS in one.
 *
 * The state is the guest's and not the host's: which rung of APIC virtualization either vCPU is on,
 * which interrupt window or timer is armed and what is requested is worked out anew. What belongs
 * to the VM (memory, slots, the VMM's devices) is not in it. There are no holes and what is not in
 * use is 0: the bytes of the structure can be sent as they are, the first vcpu_state_bytes() of
 * them.
 */
#ifndef HV_VM_VCPU_STATE_H
#define HV_VM_VCPU_STATE_H

#include "hv/host/types.h"
#include "hv/vm/lapic.h"
#include "vmx/save.h"

struct vcpu;

#define VCPU_STATE_LAYOUT 1 /* advanced with every change of the structures here */

/* The local APIC: hv/vm/lapic_state.c. */
struct lapic_state {
	u64 base;		  /* IA32_APIC_BASE */
	u64 posted[4], level[4];  /* as in struct lapic */
	u64 expires;		  /* the guest's TSC at the timer's next expiry; 0: not counting */
	u64 period, tsc_deadline; /* as in struct lapic */
	u32 timer_lvt, timer_shift;
	u32 pending, sipi_page, errors, chosen; /* as in struct lapic */
	u32 reg[NR_LAPIC_REGS];			/* the registers, by offset / 16 */
	u32 icr_high;				/* in x2APIC mode the rest of ICR */
	u32 unused;
};

struct vcpu_state {
	u32 layout; /* VCPU_STATE_LAYOUT */
	u32 id;
	u32 tsc_khz;
	u8 mp_state; /* enum vcpu_mp_state */
	/* An INS that has read its port and not yet stored what it has read: element size, 0: none;
	 * enum vm_io_flags; address size; length of the instruction. */
	u8 ins_size, ins_flags, ins_addr_size, ins_len;
	u8 unused[3];
	u32 ins_data;
	u64 ins_left; /* repetitions to go, this one included */
	gva_t ins_linear;
	/*
	 * The guest's TSC at the moment that was `taken` by the host's TSC. They set the guest's
	 * TSC offset: time goes on, on a machine whose TSC agrees with that of the source. For one
	 * that does not, the VMM replaces .taken of all vCPUs by its own TSC at that moment.
	 */
	u64 tsc, taken;
	u64 misc_enable;
	struct lapic_state lapic;
	struct vmx_state cpu; /* last: its end may be missing */
};

_Static_assert(sizeof(struct lapic_state) == (1 + 8 + 3) * 8 + (6 + NR_LAPIC_REGS + 2) * 4,
	       "no holes");
_Static_assert(sizeof(struct vcpu_state) == 4 * 4 + 4 + 4 + 5 * 8 + sizeof(struct lapic_state) +
						    sizeof(struct vmx_state),
	       "no holes");

/* Why a state was refused. */
struct vcpu_state_report {
	char why[112]; /* one line */
};

/** vcpu_state_bytes - how many bytes from @s on have to be sent. Less than VCPU_STATE_MIN were
 * received: none at all. */
#define VCPU_STATE_MIN (offsetof(struct vcpu_state, cpu) + offsetof(struct vmx_state, xstate))
static inline size_t vcpu_state_bytes(const struct vcpu_state *s)
{
	return VCPU_STATE_MIN + s->cpu.xstate_bytes;
}

/**
 * vcpu_get_state - write down all there is of a vCPU
 * @s: what is beyond vcpu_state_bytes() stays as it is
 *
 * The VMM has served the exit that vcpu_run() has returned with: an IN has its answer in
 * vcpu->run.io.data. (That instruction is completed here, as the next vcpu_run() would, but for
 * what INS stores in memory, which is part of the state.) RUN_EXIT_MEMORY_FAULT need not be served:
 * the access is made again. Exits that say what has happened (RUN_EXIT_EOI) are the VMM's to act
 * upon, here or there.
 *
 * The vCPU can go on running; what is posted to it after the call is not in the state. So who moves
 * a VM has all its vCPUs outside before it takes the first state.
 *
 * In the vCPU's thread, outside vcpu_run(). Goes through the readers' gate: waits while the VM is
 * held by another thread; the thread that holds it passes. The vCPU stays loaded. Returns 0; -EBUSY
 * (it is loaded on another CPU); -EOPNOTSUPP (vmx_save()).
 */
int vcpu_get_state(struct vcpu *vcpu, struct vcpu_state *s);

/**
 * vcpu_set_state - be that vCPU from now on
 * @s: of a vCPU with the same id; checked as anything that comes from outside
 * @report: may be NULL
 *
 * Before the first vcpu_run() or later. Whatever the vCPU was before is gone, but for what has been
 * asked of it by its VM (requests to exit, dirty pages that it has logged); what has been posted to
 * it, too: all of a VM's vCPUs have their states before the first of them runs. Waiters in
 * vcpu_wait() hear of what is pending.
 *
 * Context as vcpu_get_state(), in no read section. Returns 0; -EINVAL: a state that the CPU would
 * refuse, or that a guest of this VM cannot have; report->why says what is wrong; -EBUSY. All of
 * these before anything was changed. Where the address or the mode of the local APIC changes also
 * -ETIMEDOUT and -ENOMEM (hv/vm/apic_page.h); then the vCPU is in no defined state: set it again,
 * or destroy it.
 */
int vcpu_set_state(struct vcpu *vcpu, const struct vcpu_state *s, struct vcpu_state_report *report);

#endif
