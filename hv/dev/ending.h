/* SPDX-License-Identifier: GPL-2.0-only */
/* How and why a guest ended: the one place where devices and the VMM say so. */
#ifndef HV_DEV_ENDING_H
#define HV_DEV_ENDING_H

#include "hv/host/types.h"

#define ENDING_STATUS_MAX 119 /* higher statuses are the hypervisor's own: enum run_status */

/* Written under the board's lock, once; status and why may be read by whoever has seen `ended`. */
struct ending {
	_Atomic bool ended;
	int status;
	char why[120];
};

/**
 * ending_set - the guest ends
 * @e: its ending; the first call counts, later ones change nothing
 * @status: 0..ENDING_STATUS_MAX, or an enum run_status
 * @fmt: one line, without a newline
 */
void ending_set(struct ending *e, int status, const char *fmt, ...) __printf(3, 4);
void ending_vset(struct ending *e, int status, const char *fmt, va_list ap) __printf(3, 0);

static inline bool ending_is_set(const struct ending *e)
{
	return atomic_load_explicit(&e->ended, memory_order_acquire);
}

#endif
