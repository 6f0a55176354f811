/* SPDX-License-Identifier: GPL-2.0-only */
/* Multiboot2: the header in the image, the information that the loader leaves. */
#ifndef BOOT_MULTIBOOT2_H
#define BOOT_MULTIBOOT2_H

#define MB2_MAGIC	 0x36d76289 /* EAX at entry */
#define MB2_HEADER_MAGIC 0xe85250d6
#define MB2_ARCH_I386	 0

/* Tags of the header. */
#define MB2_HEADER_INFO_REQUEST 1
#define MB2_HEADER_MODULE_ALIGN 6
#define MB2_HEADER_RELOCATABLE	10

/* Tags of the information. */
#define MB2_TAG_END	  0
#define MB2_TAG_CMDLINE	  1
#define MB2_TAG_LOADER	  2
#define MB2_TAG_MODULE	  3
#define MB2_TAG_MMAP	  6
#define MB2_TAG_EFI32	  11
#define MB2_TAG_EFI64	  12
#define MB2_TAG_ACPI_OLD  14
#define MB2_TAG_ACPI_NEW  15
#define MB2_TAG_EFI_MMAP  17
#define MB2_TAG_EFI32_IH  19
#define MB2_TAG_EFI64_IH  20
#define MB2_TAG_LOAD_BASE 21

#ifndef __ASSEMBLY__
#include "hv/host/bootinfo.h"

/**
 * multiboot2_parse - read the loader's information into @out
 * @out: filled in; fields that no tag speaks of are left as they are
 * @mbi: the information, in readable memory, 8-byte aligned
 * @len: bytes readable there; what the block says about its own size is checked against it
 * @pa: physical address of @mbi (the copy of the ACPI root pointer lies inside)
 *
 * No hardware is touched. Returns 0, -EPROTO when the block or a tag lies about its size, -E2BIG
 * when there are more ranges or modules than boot_info holds or a text is too long for it.
 */
int multiboot2_parse(struct boot_info *out, const void *mbi, u64 len, hpa_t pa);
#endif

#endif
