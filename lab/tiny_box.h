/* SPDX-License-Identifier: GPL-2.0-only */
/* Where tiny guests of several vCPUs and their VMM meet: for C and assembly alike. */
#ifndef LAB_TINY_BOX_H
#define LAB_TINY_BOX_H

/* Guest-physical, a page or more each, so that any of them can be taken away by itself. */
#define TINY_CODE    0x1000 /* where the code starts */
#define TINY_GDT     0x2000 /* its pseudo-descriptor, then flat segments 0x08 and 0x10 */
#define TINY_IDT     0x3000
#define TINY_STUBS   0x4000   /* interrupt handlers, 16 bytes apart */
#define TINY_COUNTER 0x8000   /* u32 that tiny_spin and tiny_exits advance */
#define TINY_SAMPLES 0x10000  /* u32 results of tiny_cpuid and tiny_in */
#define TINY_BOXES   0x20000  /* vCPU n's box is in the n-th page from here */
#define TINY_STACKS  0x60000  /* and its stack in the n-th page from here */
#define TINY_FREE    0x100000 /* from here to the end of RAM nobody else writes */

/* struct tiny_box, 32 bits each */
#define TINY_BOX_COUNTER  0
#define TINY_BOX_HALT	  4
#define TINY_BOX_BASE	  8
#define TINY_BOX_STRIDE	  12
#define TINY_BOX_COUNT	  16
#define TINY_BOX_ERRORS	  20
#define TINY_BOX_RECEIVED 64

#define TINY_VECTOR	0x40 /* the first of */
#define TINY_NR_VECTORS 16   /* interrupts that have a handler; NMI has one too */

#endif
