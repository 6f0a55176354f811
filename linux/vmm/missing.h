/* SPDX-License-Identifier: GPL-2.0-only */
/* What experiment `missing` has on KVM alone. */
#ifndef LINUX_VMM_MISSING_H
#define LINUX_VMM_MISSING_H

#include "lab/missing.h"
#include "linux/vmm/vmm.h"

/** missing_bring_zero - the page of zeroes, by UFFDIO_ZEROPAGE. 0, -EEXIST, another of its errors.
 */
int missing_bring_zero(struct missing_vm *m, u64 offset);

#endif
