/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The RAM that is nobody's: what the loader reported without the image, the modules and the page in
 * which the other CPUs start. Nothing has touched it since the loader, so under a hypervisor that
 * maps memory on demand it is still unmapped.
 */
#ifndef GUEST_RT_RAM_H
#define GUEST_RT_RAM_H

#include "guest/rt/multiboot.h"
#include "hv/host/types.h"

/** ram_init - collect the ranges and identity-map RAM beyond 4 GiB. Boot CPU, once. */
void ram_init(void);

/**
 * ram_take - take untouched memory for good, from the top of the highest range below 4 GiB
 * @len: bytes, rounded up to whole pages
 * @align: a power of two, at least PAGE_SIZE
 *
 * Returns its address (also the virtual one); ends the guest with a message when there is none.
 */
void *ram_take(u64 len, u64 align);

#define RAM_FREE_MAX (RANGES_MAX + MODULES_MAX + 8)

/* What is left, page-aligned, unsorted. */
extern struct ram_range ram_free[RAM_FREE_MAX];
extern unsigned int ram_nr_free;

/** ram_total - bytes of RAM that the loader reported. */
u64 ram_total(void);

#endif
