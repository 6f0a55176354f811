/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers that C, assembly and linker.ld agree on. */
#ifndef HV_HOST_LAYOUT_H
#define HV_HOST_LAYOUT_H

#define LINK_BASE  0x200000	      /* where the image is linked to be loaded */
#define DIRECT_MAP 0xffff800000000000 /* direct_map_base: physical address 0 */
#define KERNEL_VMA 0xffffffff80000000 /* virtual address - KERNEL_VMA = link address */

#define MAX_CPUS 64

#endif
