/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The page at 0xfee00000 where programs look for an xAPIC before they turn to x2APIC mode: plain
 * memory with the registers' reset values. Writing there has no effect but that of memory; what
 * works is the x2APIC of hv/vm/lapic.c.
 */
#ifndef HV_DEV_APICPAGE_H
#define HV_DEV_APICPAGE_H

struct vm;

/** apicpage_add - give @vm the page. Returns 0 or an error of vm_add_ram() or vm_write(). */
int apicpage_add(struct vm *vm);

#endif
