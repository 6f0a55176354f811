/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of vmx/ share among themselves. */
#ifndef VMX_INTERNAL_H
#define VMX_INTERNAL_H

#include "hv/host/percpu.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

/* The control words every VMCS starts from, computed by vmx_probe(). */
struct vmx_config {
	u32 pin, cpu, cpu2, exit, entry;
	u64 xcr0_mask;	/* XCR0 bits of this machine that we can switch; 0 without XSAVE */
	u32 xsave_size; /* bytes of the state area for xcr0_mask (512 without XSAVE) */
	bool xsaveopt;
	bool rdtscp;
	hpa_t msr_bitmap;
};

extern struct vmx_config vmx_config;

/* Per-CPU state of vmx/, behind cpu->vmx. */
struct vmx_cpu {
	void *vmxon;
	struct vmx_vcpu *loaded;
};

static inline struct vmx_cpu *this_vmx(void)
{
	return this_cpu()->vmx;
}

/* vmx/lazy.c: the registers that neither the VMCS nor the exit path switches. */
int vmx_lazy_alloc(struct vmx_vcpu *v);
void vmx_lazy_free(struct vmx_vcpu *v);
void vmx_lazy_reset(struct vmx_vcpu *v);
void vmx_lazy_save(struct vmx_vcpu *v);
void vmx_lazy_restore(struct vmx_vcpu *v);

/* vmx/msr_bitmap.c */
int vmx_msr_bitmap_init(void);

/* vmx/host_state.c */
void vmx_load_host_state(void);

/* vmx/entry.S */
enum vmx_entry_result { ENTRY_DONE, ENTRY_BARRED, ENTRY_STALE, ENTRY_VMFAIL };
u64 vmx_enter_guest(struct vmx_vcpu *v);
extern const char vmx_exit[], vmx_exit_stepping[], vmx_exit_floor[];
u64 vmx_floor_enter(struct vmx_vcpu *v, const u32 answer[4]);
u64 vmx_floor_exit(struct vmx_vcpu *v, const u32 answer[4]);

/* vmx/enter.c */
u32 vmx_decode_exit(struct vmx_vcpu *v);

/* vmx/event.c */
void vmx_requeue_event(struct vmx_vcpu *v);

/* vmx/skip.c: end an interrupt shadow that vmx_skip_cpuid() left behind; true if there was one. */
bool vmx_end_shadow(struct vmx_vcpu *v);
void vmx_update_careful(struct vmx_vcpu *v);

/* The bits of CR0 and CR4 whose changes exit. */
#define CR0_HOST_OWNED (CR0_NE | CR0_NW | CR0_CD)

#endif
