/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of vmx/ share among themselves. */
#ifndef VMX_INTERNAL_H
#define VMX_INTERNAL_H

#include "hv/host/percpu.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

struct vmx_state; /* vmx/save.h */

/* The control words every VMCS starts from, computed by vmx_probe(). */
struct vmx_config {
	u32 pin, cpu, cpu2, exit, entry;
	u64 xcr0_mask;	    /* XCR0 bits of this machine that we can switch; 0 without XSAVE */
	u32 xsave_size;	    /* bytes of the state area for xcr0_mask (512 without XSAVE) */
	u32 xstate_end[10]; /* where in it each component of xcr0_mask ends; from AVX on */
	bool rdtscp;
	hpa_t msr_bitmap;
	hpa_t msr_bitmap_x2apic; /* for "virtualize x2APIC mode"; 0 on CPUs without */
};

extern struct vmx_config vmx_config;

/* vmx/pml.c: the log of a vCPU that has none yet: 0, -ENOMEM */
int vmx_dirty_alloc(struct vmx_vcpu *v);

/* vmx/lazy.c: the registers that neither the VMCS nor the exit path switches. */
int vmx_lazy_alloc(struct vmx_vcpu *v);
void vmx_lazy_free(struct vmx_vcpu *v);
void vmx_lazy_reset(struct vmx_vcpu *v);
void vmx_lazy_save(struct vmx_vcpu *v);
void vmx_lazy_restore(struct vmx_vcpu *v);
/* The same, for a vCPU that stays loaded, to and from a state. Export: 0, -EOPNOTSUPP. */
int vmx_lazy_export(struct vmx_vcpu *v, struct vmx_state *s);
void vmx_lazy_import(struct vmx_vcpu *v, const struct vmx_state *s);

/*
 * vmx/save.c: what a state has for the fields of the guest's area, the others stay as they are;
 * whether the guest uses PDPTEs. vmx/save_check.c: how much of an XSAVE area is in use.
 */
void vmx_state_fields(const struct vmx_state *s, u64 field[VMCS_GUEST_FIELDS]);
bool vmx_state_has_pdptes(const struct vmx_state *s);
u32 vmx_xstate_bytes(const u8 *area);
/* vmx/save_plain.c: whether the entry's rules for the guest and for events are plainly obeyed */
bool vmx_state_is_plain(const struct vmx_state *s);
bool vmx_is_canonical(u64 address);

/* vmx/msr_bitmap.c */
int vmx_msr_bitmap_init(void);

/* vmx/host_state.c */
void vmx_load_host_state(void);

/* vmx/entry.S, and what it continues with in vmx/enter.c */
enum vmx_entry_result { ENTRY_BARRED, ENTRY_STALE, ENTRY_VMFAIL };
void vmx_resume_guest(void);
void vmx_resume_slowly(void);
void vmx_launch_guest(void);
void vmx_launch_restored(void); /* no exit since vmx_restore(): exit information is another's */
extern const char vmx_exit[], vmx_exit_stepping[], vmx_exit_floor[];
#define NR_EXIT_REASONS 70 /* basic exit reasons that we translate */
extern const u8 vmx_translate[NR_EXIT_REASONS];
u32 vmx_decode_exit(struct vmx_vcpu *v, u32 hardware_reason);
u32 vmx_not_entered(struct vmx_vcpu *v, u32 result);
/* The next entry is a launch, by @launch. */
void vmx_make_launchable(struct vmx_vcpu *v, void (*launch)(void));
u64 vmx_floor_enter(struct vmx_vcpu *v, const u32 answer[4]);
u64 vmx_floor_exit(struct vmx_vcpu *v, const u32 answer[4]);
/* INVEPT now: what the VM's flush generation has announced up to now is done. */
void vmx_flush_translations(struct vmx_vcpu *v);

/* vmx/apic.c: whether RVI holds a vector; the vCPU delivers. */
bool vmx_apic_requested(void);

/* vmx/event.c */
void vmx_requeue_event(struct vmx_vcpu *v);
bool vmx_event_queued(void);
bool vmx_event_has_length(u64 info); /* interruption information of a software event */

/*
 * vmx/skip.c: end the shadow of STI or MOV SS, true if there was one; and the same if it is one
 * that vmx_skip_quickly() may have left behind.
 */
bool vmx_end_shadow(struct vmx_vcpu *v);
void vmx_end_quick_shadow(struct vmx_vcpu *v);

static inline void vmx_update_careful(struct vmx_vcpu *v)
{
	v->careful = v->stepping || v->requested ||
		     (v->cpu_controls & (CPU_NMI_WINDOW | CPU_INTR_WINDOW));
}

/* The bits of CR0 and CR4 whose changes exit. */
#define CR0_HOST_OWNED (CR0_NE | CR0_NW | CR0_CD)

#endif
