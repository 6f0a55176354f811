/* SPDX-License-Identifier: GPL-2.0-only */
/* ELF32 and ELF64 executables: headers in, load plan out. */
#include "hv/dev/elf.h"
#include "hv/host/errno.h"
#include "hv/host/string.h"

enum {
	ELF_CLASS_32 = 1,
	ELF_CLASS_64 = 2,
	ELF_DATA_LSB = 1,
	ELF_VERSION_CURRENT = 1,
	ELF_TYPE_EXEC = 2,
	ELF_MACHINE_386 = 3,
	ELF_MACHINE_X86_64 = 62,
	ELF_PHNUM_ELSEWHERE = 0xffff, /* the real count is in section header 0 */
	ELF_PT_LOAD = 1,
	ELF_PT_INTERP = 3,
	ELF_PF_X = 1,
};

struct elf_ident {
	u8 magic[4];
	u8 class;
	u8 data;
	u8 version;
	u8 pad[9];
};

struct elf32_ehdr {
	struct elf_ident ident;
	u16 type, machine;
	u32 version;
	u32 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf64_ehdr {
	struct elf_ident ident;
	u16 type, machine;
	u32 version;
	u64 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf32_phdr {
	u32 type;
	u32 offset, vaddr, paddr, filesz, memsz;
	u32 flags;
	u32 align;
};

struct elf64_phdr {
	u32 type;
	u32 flags;
	u64 offset, vaddr, paddr, filesz, memsz;
	u64 align;
};

_Static_assert(sizeof(struct elf_ident) == 16, "e_ident");
_Static_assert(sizeof(struct elf32_ehdr) == 52, "Elf32_Ehdr");
_Static_assert(offsetof(struct elf32_ehdr, phnum) == 44, "Elf32_Ehdr.e_phnum");
_Static_assert(sizeof(struct elf64_ehdr) == 64, "Elf64_Ehdr");
_Static_assert(offsetof(struct elf64_ehdr, phnum) == 56, "Elf64_Ehdr.e_phnum");
_Static_assert(sizeof(struct elf32_phdr) == 32, "Elf32_Phdr");
_Static_assert(offsetof(struct elf32_phdr, flags) == 24, "Elf32_Phdr.p_flags");
_Static_assert(sizeof(struct elf64_phdr) == 56, "Elf64_Phdr");
_Static_assert(offsetof(struct elf64_phdr, align) == 48, "Elf64_Phdr.p_align");

/* The file being read; its header in the wide form, whichever class it has. */
struct elf_file {
	const u8 *bytes;
	size_t size;
	struct load_error *err;
	struct elf64_ehdr eh;
	bool is64;
};

static const u8 elf_magic[4] = { 0x7f, 'E', 'L', 'F' };

bool elf_is_elf(const void *file, size_t size)
{
	return size >= sizeof(elf_magic) && !memcmp(file, elf_magic, sizeof(elf_magic));
}

static void widen_ehdr(struct elf64_ehdr *to, const struct elf32_ehdr *from)
{
	*to = (struct elf64_ehdr){
		.ident = from->ident,
		.type = from->type,
		.machine = from->machine,
		.version = from->version,
		.entry = from->entry,
		.phoff = from->phoff,
		.ehsize = from->ehsize,
		.phentsize = from->phentsize,
		.phnum = from->phnum,
	};
}

/* Copy the file header out (the file may lie at any address) and find out its class. */
static int read_header(struct elf_file *f)
{
	struct elf_ident id;
	size_t need;

	if (!elf_is_elf(f->bytes, f->size))
		return load_fail(f->err, -ENOEXEC, "not an ELF file (no magic number)");
	if (f->size < sizeof(id))
		return load_fail(f->err, -ENOEXEC, "ELF file of %zu bytes: shorter than its header",
				 f->size);
	memcpy(&id, f->bytes, sizeof(id));
	if (id.class != ELF_CLASS_32 && id.class != ELF_CLASS_64)
		return load_fail(f->err, -ENOEXEC, "ELF class %u: must be 1 (32-bit) or 2 (64-bit)",
				 id.class);
	if (id.data != ELF_DATA_LSB)
		return load_fail(f->err, -ENOEXEC, "ELF byte order %u: must be 1 (little-endian)",
				 id.data);

	f->is64 = id.class == ELF_CLASS_64;
	need = f->is64 ? sizeof(struct elf64_ehdr) : sizeof(struct elf32_ehdr);
	if (f->size < need)
		return load_fail(f->err, -ENOEXEC, "ELF file of %zu bytes: shorter than its header",
				 f->size);
	if (f->is64) {
		memcpy(&f->eh, f->bytes, sizeof(f->eh));
	} else {
		struct elf32_ehdr eh32;

		memcpy(&eh32, f->bytes, sizeof(eh32));
		widen_ehdr(&f->eh, &eh32);
	}
	return 0;
}

static int check_header(const struct elf_file *f)
{
	const struct elf64_ehdr *eh = &f->eh;
	u16 machine = f->is64 ? ELF_MACHINE_X86_64 : ELF_MACHINE_386;
	size_t ehsize = f->is64 ? sizeof(struct elf64_ehdr) : sizeof(struct elf32_ehdr);
	size_t phentsize = f->is64 ? sizeof(struct elf64_phdr) : sizeof(struct elf32_phdr);

	if (eh->ident.version != ELF_VERSION_CURRENT || eh->version != ELF_VERSION_CURRENT)
		return load_fail(f->err, -ENOEXEC, "ELF version %u/%u: must be 1",
				 eh->ident.version, eh->version);
	if (eh->type != ELF_TYPE_EXEC)
		return load_fail(f->err, -ENOEXEC,
				 "ELF type %u: must be 2 (executable linked to fixed addresses)",
				 eh->type);
	if (eh->machine != machine)
		return load_fail(f->err, -ENOEXEC, "ELF machine %u: must be %u (%s)", eh->machine,
				 machine, f->is64 ? "x86-64" : "i386");
	if (eh->ehsize < ehsize)
		return load_fail(f->err, -ENOEXEC, "ELF header size %u: must be at least %zu",
				 eh->ehsize, ehsize);
	if (eh->phnum == 0)
		return load_fail(f->err, -ENOEXEC, "no program headers: nothing to load");
	if (eh->phnum == ELF_PHNUM_ELSEWHERE)
		return load_fail(f->err, -E2BIG, "more than 65534 program headers");
	if (eh->phentsize != phentsize)
		return load_fail(f->err, -ENOEXEC, "ELF program header size %u: must be %zu",
				 eh->phentsize, phentsize);
	if (eh->phoff > f->size || eh->phnum * phentsize > f->size - eh->phoff)
		return load_fail(f->err, -ENOEXEC,
				 "%u program headers at offset %#llx: outside the file (%zu bytes)",
				 eh->phnum, (unsigned long long)eh->phoff, f->size);
	return 0;
}

static void read_phdr(const struct elf_file *f, unsigned int i, struct elf64_phdr *ph)
{
	const u8 *table = f->bytes + f->eh.phoff;
	struct elf32_phdr ph32;

	if (f->is64) {
		memcpy(ph, table + i * sizeof(*ph), sizeof(*ph));
		return;
	}
	memcpy(&ph32, table + i * sizeof(ph32), sizeof(ph32));
	*ph = (struct elf64_phdr){
		.type = ph32.type,
		.flags = ph32.flags,
		.offset = ph32.offset,
		.vaddr = ph32.vaddr,
		.paddr = ph32.paddr,
		.filesz = ph32.filesz,
		.memsz = ph32.memsz,
		.align = ph32.align,
	};
}

static int add_segment(struct load_plan *plan, const struct elf_file *f, unsigned int i,
		       const struct elf64_phdr *ph)
{
	/* The offset of nothing means nothing: linkers put that of a bss beyond the file's end. */
	if (ph->filesz && (ph->offset > f->size || ph->filesz > f->size - ph->offset))
		return load_fail(
			f->err, -ENOEXEC,
			"program header %u: bytes %#llx+%#llx are outside the file (%zu bytes)", i,
			(unsigned long long)ph->offset, (unsigned long long)ph->filesz, f->size);
	if (ph->filesz > ph->memsz)
		return load_fail(
			f->err, -ENOEXEC,
			"program header %u: size in the file %#llx exceeds size in memory %#llx", i,
			(unsigned long long)ph->filesz, (unsigned long long)ph->memsz);
	if (ph->memsz > UINT64_MAX - ph->paddr || ph->memsz > UINT64_MAX - ph->vaddr)
		return load_fail(f->err, -ENOEXEC,
				 "program header %u: address %#llx + size %#llx wraps around", i,
				 (unsigned long long)max_u64(ph->paddr, ph->vaddr),
				 (unsigned long long)ph->memsz);
	if (ph->memsz == 0)
		return 0;
	if (plan->nr_segments == LOAD_MAX_SEGMENTS)
		return load_fail(f->err, -E2BIG, "more than %d loadable segments",
				 LOAD_MAX_SEGMENTS);

	plan->segment[plan->nr_segments++] = (struct load_segment){
		.offset = ph->filesz ? ph->offset : 0,
		.filesz = ph->filesz,
		.gpa = ph->paddr,
		.memsz = ph->memsz,
	};
	return 0;
}

/* How good a home a segment is for the entry point; see find_entry(). */
enum entry_match {
	ENTRY_NOWHERE,
	ENTRY_NOT_EXECUTABLE,
	ENTRY_PHYSICAL,
	ENTRY_VIRTUAL,
};

static bool holds(u64 start, u64 len, u64 addr)
{
	return addr >= start && addr - start < len;
}

static enum entry_match match_entry(const struct elf64_phdr *ph, u64 entry)
{
	bool virtual = holds(ph->vaddr, ph->filesz, entry);

	if (!virtual && !holds(ph->paddr, ph->filesz, entry))
		return ENTRY_NOWHERE;
	if (!(ph->flags & ELF_PF_X))
		return ENTRY_NOT_EXECUTABLE;
	return virtual ? ENTRY_VIRTUAL : ENTRY_PHYSICAL;
}

/*
 * e_entry is a virtual address by the ELF rules, but kernels linked to a high half often give the
 * physical one there. So: the executable segment that holds it virtually, else physically.
 */
static int find_entry(struct load_plan *plan, const struct elf_file *f)
{
	enum entry_match best = ENTRY_NOWHERE;
	u64 entry = f->eh.entry;
	struct elf64_phdr ph;

	for (unsigned int i = 0; i < f->eh.phnum; i++) {
		enum entry_match match;

		read_phdr(f, i, &ph);
		if (ph.type != ELF_PT_LOAD)
			continue;
		match = match_entry(&ph, entry);
		if (match <= best)
			continue;
		best = match;
		plan->entry = match == ENTRY_VIRTUAL ? entry - ph.vaddr + ph.paddr : entry;
	}
	if (best == ENTRY_NOWHERE)
		return load_fail(f->err, -ENOEXEC, "entry point %#llx is in no loaded segment",
				 (unsigned long long)entry);
	if (best == ENTRY_NOT_EXECUTABLE)
		return load_fail(f->err, -ENOEXEC,
				 "entry point %#llx is in a segment that is not executable",
				 (unsigned long long)entry);
	return 0;
}

int elf_parse(struct load_plan *plan, const void *file, size_t size, struct load_error *err)
{
	struct elf_file f = { .bytes = file, .size = size, .err = err };
	struct elf64_phdr ph;
	int ret;

	*plan = (struct load_plan){ 0 };
	ret = read_header(&f);
	if (!ret)
		ret = check_header(&f);
	for (unsigned int i = 0; !ret && i < f.eh.phnum; i++) {
		read_phdr(&f, i, &ph);
		if (ph.type == ELF_PT_INTERP)
			return load_fail(err, -ENOEXEC,
					 "wants a dynamic linker: link it statically");
		if (ph.type == ELF_PT_LOAD)
			ret = add_segment(plan, &f, i, &ph);
	}
	if (ret)
		return ret;
	if (!plan->nr_segments)
		return load_fail(err, -ENOEXEC, "no loadable segments: nothing to load");
	return find_entry(plan, &f);
}
