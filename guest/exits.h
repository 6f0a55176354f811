/* SPDX-License-Identifier: GPL-2.0-only */
/* Parts of the exits program. */
#ifndef GUEST_EXITS_H
#define GUEST_EXITS_H

/* Iterations between two readings of the TSC: a sample is the mean over one batch. */
#define BATCH 16

#ifndef __ASSEMBLY__

#include "hv/host/types.h"

/*
 * Batches: execute an instruction BATCH times in the tightest loop (the instruction, what loads its
 * operands, a decrement and a jump) and return the TSC ticks from before to after.
 */
u64 batch_floor(u64 a, u64 b);	     /* nothing */
u64 batch_rdtsc(u64 a, u64 b);	     /* RDTSC */
u64 batch_cpuid(u64 a, u64 b);	     /* CPUID leaf 0 */
u64 batch_vmcall(u64 number, u64 b); /* VMCALL with RAX = number */
u64 batch_in(u64 port, u64 b);	     /* IN AL */
u64 batch_out(u64 port, u64 value);  /* OUT AL */
u64 batch_rdmsr(u64 msr, u64 b);
u64 batch_wrmsr(u64 msr, u64 value);
u64 batch_cr0(u64 a, u64 b); /* CR0 = a, then CR0 = b: two writes an iteration */
u64 batch_cr4(u64 a, u64 b);
u64 batch_read_cr8(u64 a, u64 b);
u64 batch_write_cr8(u64 a, u64 b);
u64 batch_xsetbv(u64 xcr0, u64 b);
u64 batch_wbinvd(u64 a, u64 b);
u64 batch_invd(u64 a, u64 b);

/* Ticks of one byte's write to @address, beside those of two RDTSC. */
u64 touch_once(u64 address);

/*
 * Check what must survive an exit: MSRs, debug registers, the halves of RAX; string and wide port
 * I/O on the test device around @pio; CPUID bits that follow control registers.
 */
void exits_check_state(u64 pio);

/* Check how exceptions arrive that no hypervisor needs to intercept, and the VMX instructions. */
void exits_check_faults(void);

#endif
#endif
