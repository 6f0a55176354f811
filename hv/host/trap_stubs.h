/* SPDX-License-Identifier: GPL-2.0-only */
/* What hv/host/trap_stubs.S makes of an interrupt or exception before C sees it. */
#ifndef HV_HOST_TRAP_STUBS_H
#define HV_HOST_TRAP_STUBS_H

#define TRAP_STUB_SIZE 16 /* bytes from one vector's entry to the next */

#ifndef __ASSEMBLY__
#include "hv/host/types.h"

/* What the entries leave on the stack; error is 0 where the CPU pushes none. */
struct trap_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

extern const char trap_stubs[]; /* 256 entries */

/** trap_dispatch - called by every entry, interrupts as the gate says; whoever links them defines
 * it. */
void trap_dispatch(struct trap_frame *f);
#endif

#endif
