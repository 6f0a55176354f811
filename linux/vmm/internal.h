/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of linux/vmm share and experiments do not use. */
#ifndef LINUX_VMM_INTERNAL_H
#define LINUX_VMM_INTERNAL_H

#include "linux/vmm/vmm.h"

#define CPUID_MAX_ENTRIES 128

/* struct kvm_cpuid2 with room. */
struct cpuid_table {
	u32 nent, padding;
	struct kvm_cpuid_entry2 entry[CPUID_MAX_ENTRIES];
};

_Static_assert(offsetof(struct cpuid_table, nent) == offsetof(struct kvm_cpuid2, nent) &&
		       offsetof(struct cpuid_table, entry) == sizeof(struct kvm_cpuid2),
	       "KVM's layout");

/* What a table is to say that the kernel's own list cannot. */
struct cpuid_wish {
	u32 id;		   /* of the vCPU and its local APIC */
	bool lapic;	   /* in the kernel */
	bool x2apic;	   /* the guest may see that mode */
	bool tsc_deadline; /* the APIC's timer has it */
};

/**
 * cpuid_tailor - make a vCPU's table of what KVM_GET_SUPPORTED_CPUID has given
 *
 * Pure. Leaves that describe the host's topology, cache sharing and performance counters, which the
 * guest has nothing of, are made those of a processor with one thread.
 */
void cpuid_tailor(struct cpuid_table *t, const struct cpuid_wish *wish);

/** vcpu_free_all - give back the vCPUs of a VM that is being destroyed. */
void vcpu_free_all(struct vm *vm);

/** stats_open - the statistics of a VM's or vCPU's file descriptor. A vCPU's cannot be asked for
 * while it runs. */
int stats_open(int of);

/** threads_init - learn which CPUs there are, and put the calling thread on the first. */
void threads_init(void);

/** time_init_clock - the TSC's rate, by the kernel's clock. Takes 10 ms. */
void time_init_clock(void);

/** thread_tid - the kernel's number of the calling thread. */
int thread_tid(void);

/* The signal that gets a thread out of KVM_RUN. */
#define SIGNAL_KICK SIGUSR1

#endif
