/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How slow this machine is where it leaves its CPU.
 *
 * Where the machine is itself a guest, what leaves a CPU of its own in some ten instructions (an
 * exit, an interrupt for another CPU) is carried out by the hypervisor below, in thousands. A limit
 * in ticks that tells what is late from what is lost has to be longer there by as much, and so has
 * a pause that is to end at any point of an entry.
 *
 * How much is measured: what one way down costs, by CPUID, against what it costs where the limits
 * come from. What takes several ways down costs more than the factor says (on KVM in Bochs CPUID
 * takes 18 times as long, an exit of a guest of ours 110 times, an NMI to another CPU 400 times).
 * So this is for limits with a margin, a hundred times what they wait for and more. What has to fit
 * more closely is measured by itself, see lab/dawdle.h.
 */
#ifndef HV_HOST_PATIENCE_H
#define HV_HOST_PATIENCE_H

#include "hv/host/types.h"

/* 1 on a machine of its own. Set once, by patience_init(). */
extern u64 patience_factor;

/** patience_init - measure it, by the cost of CPUID, which every hypervisor has to intercept. */
void patience_init(void);

/** patient - a time in ticks, good for a machine of its own, as it has to be on this one. */
static inline u64 patient(u64 ticks)
{
	return ticks * patience_factor;
}

#endif
