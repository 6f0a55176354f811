/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest of experiment `apic` and its VMM: for C and assembly alike. See lab/apic.h. */
#ifndef LAB_APIC_BOX_H
#define LAB_APIC_BOX_H

#include "lab/tiny_box.h"

/* Guest-physical, beside what is in tiny_box.h */
#define APIC_STARTUP 0x5000	/* where a STARTUP IPI lets a vCPU begin */
#define APIC_TABLES  TINY_FREE	/* four pages: PML4, PDPT, and a page directory for the */
#define APIC_MMIO    0xfee00000 /* first and for the fourth GiB */
#define APIC_RAM     0x200000	/* a slot of its own, whose pages can be taken away */

/* Words of a vCPU's box, beside those in tiny_box.h */
#define APIC_BOX_MODE	 0x100 /* what the guest switches to when it starts, and for APIC_JOB_MODE */
#define APIC_BOX_JOB	 0x104
#define APIC_BOX_GO	 0x108 /* the job is to be done when this differs from */
#define APIC_BOX_DONE	 0x10c
#define APIC_BOX_COUNT	 0x110 /* samples */
#define APIC_BOX_TO	 0x114 /* vCPU */
#define APIC_BOX_VECTOR	 0x118
#define APIC_BOX_RELEASE 0x11c /* a storm goes on until this is set */
#define APIC_BOX_STOP	 0x120 /* give up waiting */
#define APIC_BOX_EXPECT	 0x124 /* what ID, VERSION and LDR are */
#define APIC_BOX_READS	 0x130 /* registers read and compared with that */
#define APIC_BOX_WRONG	 0x134 /* thereof with another value */
#define APIC_BOX_RAW	 0x138 /* thereof with the sentinel's */
#define APIC_BOX_FOUND	 0x13c /* the last wrong value */
#define APIC_BOX_ME	 0x140 /* the vCPU's number */
#define APIC_BOX_NR	 0x144 /* of vCPUs in a storm */
#define APIC_BOX_WRITES	 0x148 /* APIC_JOB_WATCH: write TPR, too */
#define APIC_BOX_PROBE	 0x14c /* an address to read, */
#define APIC_BOX_VALUE	 0x150 /* and what was there; or another result */
#define APIC_BOX_FAULT	 0x154 /* the two words on the stack after an exception */
#define APIC_BOX_ICR	 0x15c
#define APIC_BOX_DEST	 0x160 /* as in x2APIC mode */
#define APIC_BOX_STARTED 0x164 /* times the guest began at its first instruction */
#define APIC_BOX_SENT	 0x180 /* storm: IPIs to each vCPU */
#define APIC_BOX_SEEN	 0x1c0 /* and how far that one was then */
#define APIC_BOX_SAMPLES 0x400

#define APIC_MODE_XAPIC	   0
#define APIC_MODE_X2APIC   1
#define APIC_MODE_DISABLED 2

/* Jobs. The first ones: COUNT samples, each the ticks of one of APIC_BATCH operations in a row. */
#define APIC_JOB_CR8   0  /* write CR8 and read it */
#define APIC_JOB_TPR   1  /* write the register TPR and read it */
#define APIC_JOB_EOI   2  /* write EOI */
#define APIC_JOB_ID    3  /* read ID */
#define APIC_JOB_ISR   4  /* read a word of ISR */
#define APIC_JOB_SELF  5  /* send oneself an interrupt, until its handler has run */
#define APIC_JOB_IPI   6  /* send VECTOR to TO, until its handler has said so */
#define APIC_JOB_ALONE 7  /* the same, but a sample is one IPI, to a target that is asleep */
#define APIC_JOB_STORM 8  /* IPIs to all in turn, each after the last one's acknowledgement */
#define APIC_JOB_WATCH 9  /* read registers, until STOP */
#define APIC_JOB_PROBE 10 /* touch the APIC, then no exit until PROBE is not 0: VALUE = *PROBE */
#define APIC_JOB_MODE  11 /* switch the APIC to MODE */
#define APIC_JOB_SEND  12 /* write DEST and ICR once */
#define APIC_JOB_GAP   13 /* VALUE: the longest time, in ticks, that it did not run; until STOP */

#define APIC_BATCH	 16
#define APIC_BATCH_SHIFT 4
#define APIC_ASLEEP	 3000 /* rounds of LOOP before each of APIC_JOB_ALONE */

/*
 * Vectors, from TINY_VECTOR on. The first half: the handler counts, then ends the interrupt. The
 * second half: as an operating system with interrupt levels it raises CR8, finds out which CPU it
 * is on, ends the interrupt, lowers CR8, and counts.
 */
#define APIC_PLAIN  0
#define APIC_LEVELS 8
#define APIC_WAKE   15 /* of no meaning: ends a HLT */

#endif
