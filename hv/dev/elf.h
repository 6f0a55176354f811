/* SPDX-License-Identifier: GPL-2.0-only */
/* ELF executables as guests: strict, because the file is somebody's module and may be anything. */
#ifndef HV_DEV_ELF_H
#define HV_DEV_ELF_H

#include "hv/dev/load.h"

/** elf_is_elf - does the file begin like an ELF file? */
bool elf_is_elf(const void *file, size_t size);

/**
 * elf_parse - turn the program headers of an x86 executable into a load plan
 * @plan: filled in on success, undefined otherwise
 * @file, @size: the whole file; no alignment needed
 * @err: gets the line for the user
 *
 * Takes ELF32 for i386 and ELF64 for x86-64, little-endian, linked to fixed addresses (ET_EXEC).
 * Segments go to their physical addresses. The entry point is a virtual address in the file; it is
 * moved along with the executable segment that holds it. Pure. The caller judges the placement with
 * load_check().
 *
 * Returns 0; -ENOEXEC when the file is not such an executable or contradicts itself; -E2BIG when it
 * has more than LOAD_MAX_SEGMENTS loadable segments.
 */
int elf_parse(struct load_plan *plan, const void *file, size_t size, struct load_error *err);

#endif
