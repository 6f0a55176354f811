/* SPDX-License-Identifier: GPL-2.0-only */
/* Entries that take so long, on purpose, that a kick finds them. */
#ifndef LAB_DAWDLE_H
#define LAB_DAWDLE_H

#include "hv/host/types.h"

/**
 * dawdle_rounds - rounds for vcpu_dawdle(): an entry takes two instructions for each before its
 * last look, and two after it
 *
 * On a machine of its own 200 instructions are more than an NMI takes. Elsewhere the rounds are as
 * many as the ticks that the quickest of some NMIs to CPU 1 takes, measured at the first call: each
 * part of the entry is then twice as long as that. Thread context, on CPU 0.
 */
u32 dawdle_rounds(void);

#endif
