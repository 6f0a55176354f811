/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmx/ for stress programs: a vCPU whose guest is a C function.
 *
 * vmx_enter() has the window of the real one (vmx/entry.S): it compares flush generations, then has
 * the last look at entry_barred, and then it is in the guest without a point in between, as if by
 * the NMI fixup. In the guest an NMI is an exit; in root mode it sets entry_barred. Second-level
 * tables are the real ones, and are walked as the CPU does it: with a TLB, with a cache of pointers
 * to tables, both emptied by nothing but a flush of this vCPU, and with accessed and dirty bits.
 */
#ifndef TESTS_STRESS_HW_H
#define TESTS_STRESS_HW_H

#include "hv/vm/vcpu.h"

#define HW_GOES_ON (-1)
#define HW_TLB	   16
#define HW_REGS	   (REG_IDT_LIMIT + 1)

struct hw_translation {
	bool valid, dirty;
	gpa_t page;
	hpa_t frame;
	unsigned int rights; /* enum ept_prot */
};

struct hw_vcpu {
	/*
	 * One step of the guest: HW_GOES_ON, or the exit it ends with (enum vm_exit_reason, details
	 * in vmx->exit). @queued: an event that was injected has been delivered.
	 */
	int (*step)(struct hw_vcpu *hw);
	void (*event)(struct hw_vcpu *hw, const struct vm_event *e);
	void *arg;
	struct vmx_vcpu *vmx;
	struct vcpu *vcpu;

	u64 reg[HW_REGS];
	struct vm_event queued;
	bool has_queued, nmi_blocked, nmi_window, intr_window;

	/* The CPU has compared flush generations and is in the guest; before the first step. */
	void (*entered)(struct hw_vcpu *hw);

	hpa_t apic_page;	  /* APIC_ACCESS_ADDR */
	u8 requested, in_service; /* RVI, SVI */
	u64 eoi_exits[4];
	unsigned int apic_flushes; /* by vmx_apic_flush() */

	struct hw_translation tlb[HW_TLB];
	struct hw_translation
		table[HW_TLB]; /* .page: 2 MiB; .frame: the table of its 4 KiB pages */
	s32 log_next;
};

/** hw_of - what is behind a vCPU. */
struct hw_vcpu *hw_of(struct vcpu *vcpu);

/** hw_point - in the guest: others may go on. */
void hw_point(void);

/**
 * hw_read, hw_write - the guest accesses 8 bytes
 *
 * Return HW_GOES_ON, or the exit for the step to return: VM_EXIT_APIC_ACCESS when the frame is the
 * one that APIC_ACCESS_ADDR names. If the two disagree, what is accessed is the frame, as on
 * processors.
 */
int hw_read(struct hw_vcpu *hw, gpa_t gpa, u64 *value);
int hw_write(struct hw_vcpu *hw, gpa_t gpa, u64 value);

/**
 * hw_look_up - where the second-level tables translate @gpa to now, whatever the TLB has
 *
 * Returns false when they do not.
 */
bool hw_look_up(struct hw_vcpu *hw, gpa_t gpa, hpa_t *hpa);

/**
 * hw_eoi, hw_tpr - the guest writes the EOI register (TPR) of an APIC in x2APIC mode, or CR8
 *
 * Return HW_GOES_ON where the CPU does it, or the exit for the step to return.
 */
int hw_eoi(struct hw_vcpu *hw);
int hw_tpr(struct hw_vcpu *hw, u8 tpr);

/** hw_wrmsr - the guest writes an MSR: returns the exit. */
int hw_wrmsr(struct hw_vcpu *hw, u32 msr, u64 value);

/** hw_set_pml - whether the machine has PML. Before a VM is created. */
void hw_set_pml(bool on);

/** hw_set_apic - the highest rung of APIC virtualization that the machine has; after hw_reset() it
 * is VMX_APIC_EMULATE. Before a VM is created. */
void hw_set_apic(enum vmx_apic_rung rung);

/** hw_reset - between runs. */
void hw_reset(void);

#endif
