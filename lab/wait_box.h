/* SPDX-License-Identifier: GPL-2.0-only */
/* Where the guest of experiment `wait` and its VMM meet: for C and assembly alike. */
#ifndef LAB_WAIT_BOX_H
#define LAB_WAIT_BOX_H

#define WAIT_CODE     0x1000
#define WAIT_STARTUP  0x9000  /* what a STARTUP starts: real-mode code */
#define WAIT_BOXES    0x10000 /* vCPU n's box; its stack grows down from it */
#define WAIT_BOX_SIZE 0x1000

/* struct wait_box, 32 bits each */
#define BOX_BEATS	0
#define BOX_INTERRUPTS	4
#define BOX_NMIS	8
#define BOX_STARTS	12 /* of vCPU 0's box alone */
#define BOX_DONE	16 /* interrupts whose handler is at its end */
#define BOX_ICR		20
#define BOX_DESTINATION 24

/* What the guest does all day (EBX). Everything counts BEATS. */
#define WAIT_EXITS  0	  /* CPUID */
#define WAIT_LEAVES 1	  /* OUT: leaves vcpu_run() every time */
#define WAIT_HALTS  2	  /* HLT */
#define WAIT_SENDS  3	  /* OUT, and then sends the IPI that the VMM has put into the box */
#define WAIT_WORKS  4	  /* OUT, and a few CPUIDs before the next */
#define WAIT_MASKED 0x100 /* with interrupts disabled */

#define WAIT_VECTOR	0x51
#define WAIT_LOW_VECTOR 0x31 /* of a lower priority class */

#endif
