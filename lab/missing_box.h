/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Further words of a tiny guest's box, for the guests of experiment `missing`: for C and assembly.
 */
#ifndef LAB_MISSING_BOX_H
#define LAB_MISSING_BOX_H

#include "lab/tiny_box.h"

#define MISSING_BOX_ROUND   4
#define MISSING_BOX_GO	    24
#define MISSING_BOX_DONE    28
#define MISSING_BOX_JOB	    32
#define MISSING_BOX_VALUE   36
#define MISSING_BOX_WRITTEN 40
#define MISSING_BOX_SAMPLES 44
#define MISSING_BOX_FREE    48
#define MISSING_BOX_FLOORS  52
#define MISSING_BOX_CALL    56
#define MISSING_BOX_MINE    60

/*
 * Jobs. Each goes through COUNT pages, a STRIDE apart, from BASE on; in those after the n-th every
 * word should be VALUE + n.
 */
#define MISSING_READ   0 /* the first word; the time before and after goes to SAMPLES */
#define MISSING_WRITE  1 /* writes ~(VALUE + n) there; the same */
#define MISSING_VERIFY 2 /* all words; the first one is complemented if WRITTEN */
/*
 * Reads the page's floor (from FLOORS on, a word each), then words of the page in order: none may
 * be below what was read before. Calls CALL's place in the page, if any, and writes one word to
 * MINE's.
 */
#define MISSING_WATCH  3

/* In low memory. */
#define MISSING_SAMPLES	 0x100000 /* vCPU n's: 4 KiB each */
#define MISSING_FLOOR_AT 0x9000
#define MISSING_NMIS	 0x8000 /* how many the handler has counted */

/* The ports of the guests that are one instruction. */
#define MISSING_PORT	 0x42
#define MISSING_PORT_NMI 0x43 /* has its VMM post an NMI */

#endif
