/* SPDX-License-Identifier: GPL-2.0-only */
/* A program's checks, printed as one KTAP list. */
#ifndef GUEST_RT_CHECK_H
#define GUEST_RT_CHECK_H

#include "hv/host/ktap.h"
#include "hv/host/types.h"

#define ANY_ERROR (-1)

/* An instruction that must fault. */
struct fault_case {
	const char *name;      /* the behaviour, in words */
	void (*fn)(void *arg); /* executes it */
	void *arg;
	int vector;	 /* what must come, NO_FAULT for nothing */
	s64 error;	 /* its error code, or ANY_ERROR */
	bool not_in_tcg; /* QEMU's interpreter differs from a CPU here: skipped there */
};

/** check_begin, check_end - the list of @name. check_end() returns the guest's exit status. */
void check_begin(const char *name);
int check_end(void);

/** check_fault - one result: whether the case's fault came */
void check_fault(const struct fault_case *c);

/** check_vmx_instructions - that each VMX instruction and GETSEC raises UD (needs CR4.VMXE clear)
 */
void check_vmx_instructions(void);

#endif
