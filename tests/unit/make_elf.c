/* SPDX-License-Identifier: GPL-2.0-only */
/* ELF images for tests. */
#include <stdlib.h>

#include "hv/host/string.h"
#include "tests/unit/make_elf.h"

u8 make_elf_byte(u64 file_offset)
{
	return file_offset * 7 + (file_offset >> 8) + 1;
}

void make_elf_begin(struct make_elf *m, bool is64, u64 entry)
{
	memset(m, 0, sizeof(*m));
	m->is64 = is64;
	memcpy(m->eh.e_ident, ELFMAG, SELFMAG);
	m->eh.e_ident[EI_CLASS] = is64 ? ELFCLASS64 : ELFCLASS32;
	m->eh.e_ident[EI_DATA] = ELFDATA2LSB;
	m->eh.e_ident[EI_VERSION] = EV_CURRENT;
	m->eh.e_type = ET_EXEC;
	m->eh.e_machine = is64 ? EM_X86_64 : EM_386;
	m->eh.e_version = EV_CURRENT;
	m->eh.e_entry = entry;
	m->eh.e_ehsize = is64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
	m->eh.e_phoff = m->eh.e_ehsize;
	m->eh.e_phentsize = is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	m->size = MAKE_ELF_DATA;
}

Elf64_Phdr *make_elf_segment(struct make_elf *m, u64 addr, u64 filesz, u64 memsz)
{
	Elf64_Phdr *ph = &m->ph[m->nr++];

	if (m->nr > MAKE_ELF_PHDRS || m->size + filesz > sizeof(m->file))
		abort();
	*ph = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_W | PF_X,
		.p_offset = m->size,
		.p_vaddr = addr,
		.p_paddr = addr,
		.p_filesz = filesz,
		.p_memsz = memsz,
		.p_align = 1,
	};
	for (u64 i = 0; i < filesz; i++, m->size++)
		m->file[m->size] = make_elf_byte(m->size);
	m->eh.e_phnum = m->nr;
	return ph;
}

static void write_phdr(const struct make_elf *m, u8 *to, const Elf64_Phdr *ph)
{
	Elf32_Phdr ph32 = {
		.p_type = ph->p_type,
		.p_flags = ph->p_flags,
		.p_offset = ph->p_offset,
		.p_vaddr = ph->p_vaddr,
		.p_paddr = ph->p_paddr,
		.p_filesz = ph->p_filesz,
		.p_memsz = ph->p_memsz,
		.p_align = ph->p_align,
	};

	if (m->is64)
		memcpy(to, ph, sizeof(*ph));
	else
		memcpy(to, &ph32, sizeof(ph32));
}

void make_elf_finish(struct make_elf *m)
{
	size_t ehsize = m->is64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
	size_t phentsize = m->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	Elf32_Ehdr eh32 = {
		.e_type = m->eh.e_type,
		.e_machine = m->eh.e_machine,
		.e_version = m->eh.e_version,
		.e_entry = m->eh.e_entry,
		.e_phoff = m->eh.e_phoff,
		.e_ehsize = m->eh.e_ehsize,
		.e_phentsize = m->eh.e_phentsize,
		.e_phnum = m->eh.e_phnum,
	};

	memcpy(eh32.e_ident, m->eh.e_ident, EI_NIDENT);
	if (m->is64)
		memcpy(m->file, &m->eh, sizeof(m->eh));
	else
		memcpy(m->file, &eh32, sizeof(eh32));
	for (unsigned int i = 0; i < m->nr; i++)
		write_phdr(m, m->file + ehsize + i * phentsize, &m->ph[i]);
}

void make_elf_multiboot(struct make_elf *m, u32 flags)
{
	u32 header[3] = { 0x1badb002, flags, 0 - (0x1badb002u + flags) };

	memcpy(m->file + MAKE_ELF_MULTIBOOT, header, sizeof(header));
}
