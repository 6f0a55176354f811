/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All of a vCPU that is in the CPU or in its VMCS, as plain memory: what it takes to go on with the
 * guest in another vCPU. Everything is as the guest sees it and says nothing about this host, but
 * for the layout of the extended state; times and the local APIC are hv/vm/vcpu_state.h's.
 *
 * There are no holes, and what is not in use is 0: two states are the same when their bytes are.
 */
#ifndef VMX_SAVE_H
#define VMX_SAVE_H

#include "vmx/vmx.h"

/* x87, SSE, AVX, AVX-512 and PKRU in XSAVE's standard format */
#define VMX_XSTATE_MAX 2696

/* In .base and .limit, after the segments. */
enum { TABLE_GDT = NR_VSEGS, TABLE_IDT, NR_TABLES };

/* In .blocking, as in the VMCS */
enum { BLOCKING_STI = 1, BLOCKING_MOV_SS = 2, BLOCKING_NMI = 8 };

struct vmx_state {
	u64 gpr[NR_GPRS]; /* RSP among them */
	u64 cr0, cr2, cr4, cr3;
	u64 pdpte[4]; /* with PAE paging outside long mode */
	u64 dr[4], dr6, dr7;
	u64 rip, rflags;
	u64 pending_debug; /* exceptions, as in the VMCS */
	u64 sysenter_esp, sysenter_eip;
	u64 debugctl, pat, efer;
	u64 star, lstar, cstar, sfmask, kernel_gs_base, tsc_aux;
	u64 base[NR_TABLES];
	u32 limit[NR_TABLES];
	u32 access[NR_VSEGS]; /* as in struct vm_segment */
	u16 selector[NR_VSEGS];
	u32 sysenter_cs;
	u32 blocking;
	/* Queued for the next entry: as in the VMCS (bit 31: there is one), with its error code and
	 * the length of the instruction if it has them. */
	u32 event, event_error, event_len;
	u32 xstate_bytes; /* of .xstate: as far as anything is not in its initial state */
	u64 xcr0;
	u8 xstate[VMX_XSTATE_MAX]; /* XSAVE's standard format; without XSAVE FXSAVE's */
};

_Static_assert(offsetof(struct vmx_state, xstate) ==
		       (NR_GPRS + 2 + 4 + 4 + 6 + 3 + 2 + 6 + 1 + NR_TABLES) * 8 + NR_TABLES * 4 +
			       NR_VSEGS * 6 + 6 * 4 + 8,
	       "no holes");
_Static_assert(sizeof(struct vmx_state) == offsetof(struct vmx_state, xstate) + VMX_XSTATE_MAX,
	       "no holes");

/**
 * vmx_save - write down all of a vCPU
 *
 * It can go on running afterwards. Returns 0, -EOPNOTSUPP (its extended state is laid out in a way
 * that has no room in struct vmx_state).
 */
int vmx_save(struct vmx_vcpu *v, struct vmx_state *s);

/**
 * vmx_may_restore - whether this CPU would enter a guest in such a state
 * @cr4_may: bits of CR4 that the guest may set
 * @why: on refusal, one line
 *
 * Looks at everything in it: what would fault in root mode when it is loaded, what the entry would
 * refuse, and bits that no guest of ours can have set. Any vCPU, loaded or not.
 */
bool vmx_may_restore(const struct vmx_state *s, u64 cr4_may, char *why, size_t size);

/**
 * vmx_restore - take over a state that vmx_may_restore() has accepted
 *
 * No window is asked for afterwards, and what is cached of the guest's translations is forgotten.
 * The TSC offset and the APIC stay as they are.
 */
void vmx_restore(struct vmx_vcpu *v, const struct vmx_state *s);

#endif
