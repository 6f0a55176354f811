/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The test device, at the ports that kvm-unit-tests' programs also use. Only some hypervisors have
 * it; elsewhere the ports read as ones and writes vanish.
 */
#ifndef GUEST_RT_TESTDEV_H
#define GUEST_RT_TESTDEV_H

#include "hv/host/types.h"
#include "hv/host/x86.h"

#define TESTDEV_BYTES 0xe0 /* four bytes that read back what is written, in any width */
#define TESTDEV_DROP  0xe4 /* 32 bits: the hypervisor forgets its mapping of this page */

static inline bool testdev_present(void)
{
	outl(TESTDEV_BYTES, 0x5aa55aa5);
	if (inl(TESTDEV_BYTES) != 0x5aa55aa5)
		return false;
	outl(TESTDEV_BYTES, 0xa55aa55a);
	return inl(TESTDEV_BYTES) == 0xa55aa55a;
}

/* The page that holds @p (below 4 GiB) keeps its content; its next use exits to the hypervisor. */
static inline void testdev_drop_page(const void *p)
{
	outl(TESTDEV_DROP, (u32)ALIGN_DOWN((u64)(uintptr_t)p, PAGE_SIZE));
}

#endif
