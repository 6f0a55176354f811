/* SPDX-License-Identifier: GPL-2.0-only */
/* Where the guest of experiment `wait` and its VMM meet: for C and assembly alike. */
#ifndef LAB_WAIT_BOX_H
#define LAB_WAIT_BOX_H

#define WAIT_CODE     0x1000
#define WAIT_STARTUP  0x9000  /* what a STARTUP starts: real-mode code */
#define WAIT_BOXES    0x10000 /* vCPU n's box; its stack grows down from it */
#define WAIT_BOX_SIZE 0x1000

/* struct wait_box, 32 bits each */
#define BOX_BEATS      0
#define BOX_INTERRUPTS 4
#define BOX_NMIS       8
#define BOX_STARTS     12 /* of vCPU 0's box alone */
#define BOX_DONE       16 /* interrupts whose handler is at its end */
#define BOX_MSR	       20 /* to the guest that writes: which, 0: none; and its two halves */
#define BOX_LOW	       24
#define BOX_HIGH       28
#define BOX_ALARMS     32 /* how often it still arms the timer of its local APIC */
#define BOX_DELAY      36 /* in so many ticks, and up to WAIT_MAX_RANDOM more */
#define BOX_RANDOM     40
#define BOX_DEADLINE   44 /* 64 bits */
#define BOX_EXPIRIES   52
#define BOX_EARLY      56 /* of which came before their deadline */

/* What the guest does all day (EBX). Everything counts BEATS. */
#define WAIT_EXITS  0	  /* CPUID */
#define WAIT_LEAVES 1	  /* OUT: leaves vcpu_run() every time */
#define WAIT_HALTS  2	  /* HLT */
#define WAIT_WRITES 3	  /* OUT, and then writes the MSR that the VMM has put into the box */
#define WAIT_WORKS  4	  /* OUT, and a few CPUIDs before the next */
#define WAIT_MASKED 0x100 /* with interrupts disabled */

#define WAIT_VECTOR	0x51
#define WAIT_LOW_VECTOR 0x31 /* of a lower priority class */
#define WAIT_TIMER	0x41 /* of its own timer, which it arms again whenever it expires */
#define WAIT_MAX_RANDOM 4095

#endif
