/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmx/vmx.h without VMX: a vCPU's registers are plain memory, and vmx_enter() does what the test's
 * script says. Second-level tables are the real ones. Each call checks what vmx.h asks of its
 * caller: that the vCPU is loaded on this CPU, that an event may be delivered when it is, that no
 * lock is held on the way into the guest.
 */
#ifndef TESTS_UNIT_FAKE_VMX_H
#define TESTS_UNIT_FAKE_VMX_H

#include "hv/vm/vcpu.h"
#include "vmx/save.h"
#include "vmx/vmx.h"

#define FAKE_REGS   (REG_IDT_LIMIT + 1)
#define FAKE_EVENTS 16

/* What APIC virtualization keeps in the VMCS; rung, mode and threshold are in struct vmx_vcpu. */
struct fake_apic {
	hpa_t page;		  /* APIC_ACCESS_ADDR */
	u8 requested, in_service; /* RVI, SVI */
	u64 eoi_exits[4];
	unsigned int pages, modes; /* writes of the address; modes that were set */
	unsigned int flushes;	   /* by vmx_apic_flush() */
	bool owes_flush;	   /* the access page has come into use since the last flush */
};

/* The part of a vCPU that would be in the CPU or in its VMCS. */
struct fake_vcpu {
	u64 reg[FAKE_REGS];
	struct vm_segment seg[NR_VSEGS];
	u64 pdpte[4];
	u64 xcr0;
	u8 xmm[16][16];
	u64 dr6;
	struct vmx_state rest; /* what only tests/unit/fake_save.c knows of */

	bool shadow;	  /* by STI or MOV SS */
	bool nmi_blocked; /* the guest is in its NMI handler */
	bool nmi_window, intr_window;
	bool queued; /* .event is delivered at the next entry */
	struct vm_event event;
	struct vm_event delivered[FAKE_EVENTS];
	unsigned int nr_delivered;

	unsigned int insn_len;	   /* what the CPU says how far skipping advances RIP */
	unsigned int skips, quick; /* instructions stepped over, in either way */
	unsigned int entries;	   /* guest code ran */
	unsigned int flushes;	   /* entries that found the flush generation advanced */
	unsigned int pdpte_loads;
	u64 heartbeat; /* guest ticks, 0: the default */

	gpa_t logged[VMX_DIRTY_LOG]; /* as PML would, since the last rewind */
	unsigned int nr_logged, nr_taken;

	struct fake_apic apic;
};

/* One stay in the guest. */
struct fake_exit {
	u32 reason; /* enum vm_exit_reason */
	struct vm_exit exit;
	void (*during)(struct vcpu *vcpu); /* runs "in the guest", before the exit */
};

struct fake_vmx {
	bool rdtscp, invpcid, pml;
	int heartbeat_error; /* what vmx_set_heartbeat() returns */
	int probe_error;     /* what vmx_probe() returns, and vmx_cpu_on() by CPU */
	int cpu_on_error[4];
	unsigned int cpus_on;
	int init_error; /* what vmx_vcpu_init() returns */
	unsigned int vcpus_live;
};

extern struct fake_vmx fake_vmx;

/** fake_vmx_reset - capabilities of everything, an empty script. Between tests. */
void fake_vmx_reset(void);

/** fake_of - what is behind a vCPU. */
struct fake_vcpu *fake_of(struct vcpu *vcpu);

/**
 * fake_exit_add - append to the script of all vCPUs
 * @reason: enum vm_exit_reason
 *
 * Returns the step, for its details to be filled in. A guest that is entered when the script is
 * over fails the test.
 */
struct fake_exit *fake_exit_add(u32 reason);

/** fake_log - the guest made a page dirty. Returns whether there was room in its log. */
bool fake_log(struct vcpu *vcpu, gpa_t gpa);

/** fake_set_apic_best - what vmx_apic_best() says; VMX_APIC_X2APIC after fake_vmx_reset(). */
void fake_set_apic_best(enum vmx_apic_rung rung);

/*
 * The guest writes its TPR (CR8), EOI or SELF IPI, and the CPU does it on the virtual-APIC page:
 * inside fake_exit.during. Return whether it causes an exit, for the test to have it scripted:
 * VM_EXIT_TPR; VM_EXIT_EOI, of the vector in *vector. fake_guest_eoi() and fake_guest_self_ipi()
 * are for where vmx_apic_delivers(). An interrupt that becomes deliverable is delivered if the
 * guest's RFLAGS.IF is set.
 */
bool fake_guest_tpr(struct vcpu *vcpu, u8 tpr);
bool fake_guest_eoi(struct vcpu *vcpu, u8 *vector);
void fake_guest_self_ipi(struct vcpu *vcpu, u8 vector);

/* For fake_vmx.c: what an entry does to the APIC. False: it is an exit at once, VM_EXIT_TPR. */
bool fake_apic_entry(struct vmx_vcpu *v);

/** fake_exits_left - steps of the script that were not reached yet. */
unsigned int fake_exits_left(void);

#endif
