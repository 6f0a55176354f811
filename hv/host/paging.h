/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hypervisor's own page tables: image text read-only and executable, read-only data, data
 * no-execute, all RAM in the direct map read-write and no-execute, page 0 and stack guards
 * unmapped.
 */
#ifndef HV_HOST_PAGING_H
#define HV_HOST_PAGING_H

#include "hv/host/bootinfo.h"
#include "hv/host/layout.h"
#include "hv/host/types.h"

/**
 * paging_init - build the final tables and switch this CPU to them
 * @ram, @nr: ranges of RAM to put into the direct map, sorted and without overlap
 *
 * Boot CPU, once; uses page_alloc(). The image's text and read-only data are left out of the direct
 * map, so that they have no writable alias. The other CPUs copy this CPU's control registers.
 * Returns 0, -ENOMEM.
 */
int paging_init(const struct boot_range *ram, unsigned int nr);

/** paging_root - physical address of the top-level table (goes into HOST_CR3). */
hpa_t paging_root(void);

/**
 * map_mmio - map device registers uncached
 * @pa, @len: bytes; any alignment
 *
 * Returns the virtual address, or NULL when address space or memory is out.
 */
void *map_mmio(hpa_t pa, u64 len);

/**
 * stack_alloc, stack_free - a stack of @size bytes (a multiple of the page size) above a guard page
 *
 * Returns the lowest usable address, or NULL. A freed stack stays mapped and is kept for the next
 * stack_alloc() of its size: no other CPU's TLB ever has to be told. Take the paging lock.
 */
void *stack_alloc(size_t size);
void stack_free(void *stack, size_t size);

/** paging_is_guard - is @va in an unmapped page between stacks or device mappings? Any context. */
bool paging_is_guard(u64 va);

#endif
