/* SPDX-License-Identifier: GPL-2.0-only */
/* ELF images for tests, well-formed until a test breaks one field. */
#ifndef TESTS_UNIT_MAKE_ELF_H
#define TESTS_UNIT_MAKE_ELF_H

#include <elf.h>

#include "hv/host/types.h"

#define MAKE_ELF_MAX	   65536
#define MAKE_ELF_PHDRS	   20
#define MAKE_ELF_MULTIBOOT 0x800  /* file offset of the multiboot header, if any */
#define MAKE_ELF_DATA	   0x1000 /* and of the first segment's bytes */

/*
 * One segment per call of make_elf_segment(): @filesz bytes whose value depends on the offset, then
 * zeros up to @memsz. Structures may be changed between the calls and make_elf_finish().
 */
struct make_elf {
	bool is64;
	unsigned int nr;
	Elf64_Ehdr eh; /* written in the class's own form by make_elf_finish() */
	Elf64_Phdr ph[MAKE_ELF_PHDRS];
	u8 file[MAKE_ELF_MAX];
	size_t size;
};

void make_elf_begin(struct make_elf *m, bool is64, u64 entry);
Elf64_Phdr *make_elf_segment(struct make_elf *m, u64 addr, u64 filesz, u64 memsz);
void make_elf_finish(struct make_elf *m);

/** make_elf_multiboot - put a 12-byte header with @flags and a right checksum into the file. */
void make_elf_multiboot(struct make_elf *m, u32 flags);

/** make_elf_byte - what the segments' bytes are made of. */
u8 make_elf_byte(u64 file_offset);

#endif
