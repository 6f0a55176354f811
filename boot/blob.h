/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The boot blob: a command line and modules in one file, for boot paths that have no boot loader.
 * tools/mkblob.py writes it; the Bochs option ROM and the PVH entry read it.
 *
 *	 0  u32 magic
 *	 4  u32 address the tags below assume the blob is loaded at
 *	 8  u32 size of the blob in bytes
 *	12  u32 offset of the multiboot2 information (BLOB_MBI)
 *	16  multiboot2 information: total size, 0, then the tags loader name, command line, one
 *	    module tag per module, end. BLOB_ROOM zero bytes follow: the option ROM, which has
 *	    the blob in its final place, replaces the end tag by the memory map, the ACPI root
 *	    pointer and an end tag.
 *	 n  the modules, each on a page boundary
 *
 * For Bochs the blob is appended to the flat image, on a page boundary, and its address is written
 * into the image at BLOB_POINTER_OFFSET.
 */
#ifndef BOOT_BLOB_H
#define BOOT_BLOB_H

#define BLOB_MAGIC 0x62627073 /* "spbb" */
#define BLOB_MBI   16
#define BLOB_ROOM  4096

#define BLOB_MARK_OFFSET    2	   /* in the image: 2 bytes by which the tool knows it */
#define BLOB_MARK	    0x7073 /* "sp" */
#define BLOB_POINTER_OFFSET 4

#ifndef __ASSEMBLY__
#include "hv/host/bootinfo.h"

struct blob_header {
	u32 magic;
	u32 address;
	u32 size;
	u32 mbi;
};

_Static_assert(sizeof(struct blob_header) == BLOB_MBI, "the information block follows the header");

/**
 * blob_unpack - take the command line and modules out of a blob that arrived as a module
 * @out: its modules are replaced by the blob's; its command line only if it is empty
 * @blob, @len: the bytes of the module
 * @pa: where these bytes are in physical memory
 *
 * Returns 0, -ENOENT when this is no blob, or -EPROTO when it is one but lies about its contents.
 */
int blob_unpack(struct boot_info *out, const void *blob, u64 len, hpa_t pa);
#endif

#endif
