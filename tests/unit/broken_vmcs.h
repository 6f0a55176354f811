/* SPDX-License-Identifier: GPL-2.0-only */
/* One way to break an entry rule: a legal state and the changes to it. */
#ifndef TESTS_UNIT_BROKEN_VMCS_H
#define TESTS_UNIT_BROKEN_VMCS_H

#include "hv/host/x86.h"
#include "tests/unit/legal_vmcs.h"
#include "vmx/controls.h"

struct change {
	enum { END, SET, OR, CLEAR, MEM } how;
	u32 field; /* MEM: offset from MEM_BASE of 8 bytes that are set */
	u64 value;
};

#define MAX_CHANGES 6

struct broken {
	const char *rule; /* its words, or the last part of them */
	u32 field;	  /* the one that is named */
	enum guest_kind guest;
	struct change change[MAX_CHANGES];
	void (*cpu)(struct vmx_caps *caps); /* makes the CPU another one than skylake */
};

/* The tables end with a NULL rule. */
extern const struct broken broken_controls[], broken_events[], broken_host[];
extern const struct broken broken_registers[], broken_segments[], broken_nonregister[];

/* Short names for the tables. */
#define PIN	 PIN_BASED_VM_EXEC_CONTROL
#define CPU	 CPU_BASED_VM_EXEC_CONTROL
#define CPU2	 SECONDARY_VM_EXEC_CONTROL
#define EXIT	 VM_EXIT_CONTROLS
#define ENTRY	 VM_ENTRY_CONTROLS
#define INTR	 VM_ENTRY_INTR_INFO
#define INFO	 GUEST_INTERRUPTIBILITY_INFO
#define ACTIVITY GUEST_ACTIVITY_STATE
#define PENDING	 GUEST_PENDING_DBG_EXCEPTIONS

#define EV_INTR	 (INTR_INFO_VALID | INTR_TYPE_EXT | 0x40)
#define EV_NMI	 (INTR_INFO_VALID | INTR_TYPE_NMI | 2)
#define EV_EXC	 (INTR_INFO_VALID | INTR_TYPE_EXCEPTION)
#define EV_OTHER (INTR_INFO_VALID | INTR_TYPE_OTHER)
#define EV_INT	 (INTR_INFO_VALID | INTR_TYPE_SOFT_INT | 0x80)

#define WORDS_WIDTH "the address must not exceed the physical-address width"
#define WORDS_PAGE  "the address must be 4 KiB aligned"
#define WORDS_CANON "the address must be canonical"
#define WORDS_PAT   "each byte of PAT must be a memory type (0, 1, 4, 5, 6 or 7)"
#define NON_CANON   0x0000800000000000ull
#define BEYOND	    BIT(46)
#define CR4_CET	    BIT(23)

#endif
