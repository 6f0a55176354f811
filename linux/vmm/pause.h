/* SPDX-License-Identifier: GPL-2.0-only */
/* What experiment `pause` has on KVM alone: how the slot is replaced, and vCPUs are stopped. */
#ifndef LINUX_VMM_PAUSE_H
#define LINUX_VMM_PAUSE_H

#include "lab/pause_bench.h"
#include "linux/vmm/vmm.h"

/* The rows of pause_way_names. */
enum pause_way {
	WAY_LIVE,      /* the calls as they are, beside running vCPUs */
	WAY_SIGNAL,    /* a signal to every vCPU's thread, and wait until it has left KVM_RUN */
	WAY_IMMEDIATE, /* the same with run->immediate_exit */
	WAY_KICK_ALL,  /* KVM_KICK_ALL_RUNNING_VCPUS */
	NR_WAYS,
};

/** arena_exits - VM exits of all vCPUs so far, by the kernel's count. */
u64 arena_exits(struct arena *a);

/** arena_hold, arena_resume - stop all vCPUs and let them go, in the arena's way. Return 0 or a
 * negative errno. WAY_LIVE does not stop them. */
int arena_hold(struct arena *a);
int arena_resume(struct arena *a);

/** arena_delete, arena_insert - the two calls that replace the slot. Return 0 or a negative errno.
 */
int arena_delete(struct arena *a);
int arena_insert(struct arena *a);

void pause_measure(const struct pause_options *o); /* linux/vmm/pause_measure.c */
void pause_rules(void);				   /* linux/vmm/pause_rules.c */

#endif
