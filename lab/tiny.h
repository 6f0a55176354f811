/* SPDX-License-Identifier: GPL-2.0-only */
/* Tiny guests: a few instructions of 32-bit code in a VM of 2 MiB, for measuring one thing. */
#ifndef LAB_TINY_H
#define LAB_TINY_H

#include "hv/vm/vcpu.h"

#define TINY_CODE    0x1000  /* guest-physical: where the code starts */
#define TINY_SAMPLES 0x10000 /* u32 results of tiny_cpuid */
#define TINY_COUNTER 0x8000  /* u32 that tiny_spin and tiny_exit_all_the_time advance */

struct tiny {
	struct vm *vm;
	struct vcpu *vcpu;
};

struct tiny_code {
	const u8 *start, *end;
};

/* lab/tiny_code.S. All run with interrupts disabled. */
extern const u8 tiny_cpuid_start[], tiny_cpuid_end[];
extern const u8 tiny_in_start[], tiny_in_end[];
extern const u8 tiny_spin_start[], tiny_spin_end[];
extern const u8 tiny_exits_start[], tiny_exits_end[];

/* EBX batches of 16 CPUIDs each; the ticks per CPUID go to TINY_SAMPLES; then HLT. */
#define TINY_CPUID ((struct tiny_code){ tiny_cpuid_start, tiny_cpuid_end })
/* The same with one IN from a port instead of CPUID. */
#define TINY_IN	   ((struct tiny_code){ tiny_in_start, tiny_in_end })
/* Advances TINY_COUNTER for ever, without an exit. */
#define TINY_SPIN  ((struct tiny_code){ tiny_spin_start, tiny_spin_end })
/* The same, with a CPUID each time. */
#define TINY_EXITS ((struct tiny_code){ tiny_exits_start, tiny_exits_end })

/**
 * tiny_create - a VM with one vCPU about to run @code
 * @ebx: its EBX
 *
 * Returns 0, -ENOMEM, or another error of vm_create() and vcpu_create().
 */
int tiny_create(struct tiny *t, struct tiny_code code, u32 ebx);

/** tiny_destroy - the vCPU has been unloaded. Harmless on a zeroed @t. */
void tiny_destroy(struct tiny *t);

#endif
