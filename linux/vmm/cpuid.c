/* SPDX-License-Identifier: GPL-2.0-only */
/* What CPUID tells the guest: the kernel's list, cut to the machine that the guest is on. */
#include "linux/vmm/internal.h"

enum leaf {
	LEAF_FEATURES = 1,
	LEAF_CACHES = 4,
	LEAF_PERFORMANCE = 0xa,
	LEAF_TOPOLOGY = 0xb,
	LEAF_TOPOLOGY_2 = 0x1f,
};

#define ECX_X2APIC	 BIT(21)
#define ECX_TSC_DEADLINE BIT(24)
#define ECX_HYPERVISOR	 BIT(31)
#define EDX_APIC	 BIT(9)
#define EDX_THREADS	 BIT(28)

static u32 with(u32 word, u32 bit, bool on)
{
	return on ? word | bit : word & ~bit;
}

static void tailor_features(struct kvm_cpuid_entry2 *e, const struct cpuid_wish *wish)
{
	e->ebx = (e->ebx & 0x0000ffff) | wish->id << 24 | 1 << 16;
	e->ecx = with(e->ecx, ECX_X2APIC, wish->lapic && wish->x2apic);
	e->ecx = with(e->ecx, ECX_TSC_DEADLINE, wish->lapic && wish->tsc_deadline);
	e->ecx = with(e->ecx, ECX_HYPERVISOR, true);
	e->edx = with(e->edx, EDX_APIC, wish->lapic);
	e->edx = with(e->edx, EDX_THREADS, false);
}

static void clear(struct kvm_cpuid_entry2 *e)
{
	e->eax = e->ebx = e->ecx = e->edx = 0;
}

/* One level of one thread, then none. */
static void tailor_topology(struct kvm_cpuid_entry2 *e, const struct cpuid_wish *wish)
{
	clear(e);
	if (!e->index) {
		e->ebx = 1;
		e->ecx = 1 << 8;
	} else {
		e->ecx = e->index & 0xff;
	}
	e->edx = wish->id;
}

void cpuid_tailor(struct cpuid_table *t, const struct cpuid_wish *wish)
{
	for (u32 i = 0; i < t->nent; i++) {
		struct kvm_cpuid_entry2 *e = &t->entry[i];

		switch (e->function) {
		case LEAF_FEATURES: tailor_features(e, wish); break;
		case LEAF_CACHES: e->eax &= 0x3fff; break; /* who shares them: nobody */
		case LEAF_PERFORMANCE: clear(e); break;
		case LEAF_TOPOLOGY:
		case LEAF_TOPOLOGY_2: tailor_topology(e, wish); break;
		}
	}
}
