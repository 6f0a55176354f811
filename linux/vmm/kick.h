/* SPDX-License-Identifier: GPL-2.0-only */
/* What experiment `kick` has on KVM alone. */
#ifndef LINUX_VMM_KICK_H
#define LINUX_VMM_KICK_H

#include "lab/kick.h"
#include "linux/vmm/vmm.h"

/* The rows of kick_transport_names. */
enum transport {
	BY_SIGNAL,    /* a signal that is blocked but in KVM_RUN */
	BY_IMMEDIATE, /* run->immediate_exit, and a signal */
	BY_REQUEST,   /* a request of the kernel's own to all vCPUs: KVM_RUN does not return */
	NR_TRANSPORTS,
};

/** kick_setup_of - one of the vCPUs that the parameters ask for */
struct kick_setup kick_setup_of(const struct kick_params *p, u32 transport, enum kick_state state);

#endif
