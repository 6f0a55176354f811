/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `apic` on KVM: what lab/apic.h's guests need of it, and the page.
 *
 * The APIC-access page is a page of shared memory in this process that KVM has mapped for itself,
 * when the VM's first vCPU was created. It is found among the mappings, and written to and replaced
 * as if it were ours. KVM maps it into the guest only while it uses APICv.
 */
#ifndef LINUX_VMM_APIC_H
#define LINUX_VMM_APIC_H

#include "lab/apic.h"
#include "linux/vmm/vmm.h"

/** apic_rung - how far KVM uses what this CPU virtualizes of a local APIC: enum vmx_apic_rung */
u32 apic_rung(void);

/** apic_knobs - the kernel has break_apic_retry and break_apic_flush. */
bool apic_knobs(void);

/**
 * apic_needs_page, apic_needs_knobs - true; or a SKIP of the behaviour @name that says what is
 * missing, and false
 */
bool apic_needs_page(const char *name);
bool apic_needs_knobs(const char *name);

/** apic_has_flush - whether the kernel's reloads can flush, or not flush, as @flush says. */
bool apic_has_flush(enum apic_flush flush);

/** apic_page_note - learn what is mapped before the VM has a vCPU. */
void apic_page_note(void);

/** apic_switch_knobs - as a config says; all off for NULL. */
void apic_switch_knobs(const struct apic_config *c);

/** apic_stat - a figure of the kernel's statistics, of all vCPUs together. */
u64 apic_stat(struct apic_vm *a, const char *name);

void kvm_apic_ladder(const struct apic_options *o);
void kvm_apic_storms(const struct apic_options *o);
void kvm_apic_check(void);

#endif
