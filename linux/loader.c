/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Starts a Linux kernel in Bochs without a boot loader: the option ROM (boot/orom.S) enters this as
 * it enters the image, with multiboot2 information that names two modules, the kernel (vmlinux) and
 * its initramfs. The kernel's segments go where they belong and it is entered by PVH: nothing is
 * read from a disk and nothing has to be decompressed, which with GRUB and a bzImage is most of the
 * way to /init.
 *
 * Freestanding 32-bit code on physical addresses, one CPU, no interrupts. Whatever is wrong with a
 * module ends the run with one line.
 */
#include "boot/multiboot2.h"
#include "boot/pvh.h"

#define ELF_MAGIC 0x464c457f
#define ELF_64BIT 2
#define PT_LOAD	  1
#define PT_NOTE	  4
#define NOTE_PVH  18 /* Xen's XEN_ELFNOTE_PHYS32_ENTRY */

struct elf64_header {
	u32 magic;
	u8 class;
	u8 ident[11];
	u16 type, machine;
	u32 version;
	u64 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf64_phdr {
	u32 type, flags;
	u64 offset, vaddr, paddr, filesz, memsz, align;
};

struct elf_note {
	u32 namesz, descsz, type;
};

/* The tags of the information block, as boot/orom.S and tools/mkblob.py write them. */
struct mbi {
	u32 size, zero;
};

struct mbi_tag {
	u32 type, size; /* 8-byte aligned, the size includes these */
	union {
		char text[0];
		struct {
			u32 start, end;
		} module;
		struct {
			u32 entry_size, version;
			struct hvm_memmap_entry entry[];
		} mmap;
	};
};

struct file {
	u64 base, len;
};

_Static_assert(sizeof(struct elf64_header) == 64, "ELF64");
_Static_assert(sizeof(struct elf64_phdr) == 56, "ELF64");
_Static_assert(sizeof(struct elf_note) == 12, "ELF64");

noreturn void enter_kernel(u32 entry, u32 start_info);
noreturn void load_linux(u32 magic, u32 mbi);

static struct hvm_start_info start = { .magic = PVH_MAGIC, .version = 1, .nr_modules = 1 };
static struct hvm_modlist_entry initrd;

static void *at(u64 pa)
{
	return (void *)(uintptr_t)pa;
}

static void out16(u16 port, u16 value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static void say(const char *text)
{
	for (; *text; text++)
		__asm__ volatile("outb %0, %1" : : "a"(*text), "Nd"((u16)0xe9));
}

static noreturn void give_up(const char *why)
{
	say("stillpoint: end 2 linux: ");
	say(why);
	say("\n");
	out16(0x8a00, 0x8a00); /* Bochs: stop here, ... */
	out16(0x8a00, 0x8ae0); /* ... to the debugger, whose script ends it */
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* Both by words as far as that goes, since each step of a string instruction is a tick. */
static void copy(u64 to, u64 from, u64 bytes)
{
	u32 words = (u32)(bytes / 4), rest = bytes & 3;
	void *dst = at(to);
	const void *src = at(from);

	__asm__ volatile("rep movsl" : "+D"(dst), "+S"(src), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(rest) : : "memory");
}

static void clear(u64 to, u64 bytes)
{
	u32 words = (u32)(bytes / 4), rest = bytes & 3;
	void *dst = at(to);

	__asm__ volatile("rep stosl" : "+D"(dst), "+c"(words) : "a"(0) : "memory");
	__asm__ volatile("rep stosb" : "+D"(dst), "+c"(rest) : "a"(0) : "memory");
}

/* The address of the 32-bit entry, from the kernel's note, or 0. */
static u32 pvh_entry(const struct elf64_phdr *ph, u64 file)
{
	u64 pos = 0;

	while (pos + sizeof(struct elf_note) < ph->filesz) {
		const struct elf_note *note = at(file + ph->offset + pos);
		u64 desc = pos + sizeof(*note) + ALIGN_UP(note->namesz, 4);

		/* The name is "Xen". */
		if (note->type == NOTE_PVH && note->namesz == 4 && *(u32 *)(note + 1) == 0x6e6558)
			return *(const u32 *)at(file + ph->offset + desc);
		pos = desc + ALIGN_UP(note->descsz, 4);
	}
	return 0;
}

/* The kernel's entry point, and in @end the first byte behind all that it occupies. */
static u32 check_kernel(const struct file *file, u64 *end)
{
	const struct elf64_header *eh = at(file->base);
	u32 entry = 0;

	if (file->len < sizeof(*eh) || eh->magic != ELF_MAGIC || eh->class != ELF_64BIT ||
	    eh->phentsize != sizeof(struct elf64_phdr) || eh->phoff > file->len ||
	    eh->phnum * sizeof(struct elf64_phdr) > file->len - eh->phoff)
		give_up("the kernel is no ELF64 file: give vmlinux, not bzImage");
	*end = 0;
	for (u32 i = 0; i < eh->phnum; i++) {
		const struct elf64_phdr *ph = (struct elf64_phdr *)at(file->base + eh->phoff) + i;

		if (ph->offset > file->len || ph->filesz > file->len - ph->offset ||
		    ph->memsz < ph->filesz)
			give_up("the kernel's file is cut short");
		if (ph->type == PT_NOTE && !entry)
			entry = pvh_entry(ph, file->base);
		if (ph->type != PT_LOAD)
			continue;
		*end = max_u64(*end, ph->paddr + ph->memsz);
	}
	if (!entry)
		give_up("the kernel has no PVH entry (CONFIG_PVH)");
	return entry;
}

static void load_segments(const struct file *file)
{
	const struct elf64_header *eh = at(file->base);
	const struct elf64_phdr *ph = at(file->base + eh->phoff);

	for (u32 i = 0; i < eh->phnum; i++, ph++) {
		if (ph->type != PT_LOAD)
			continue;
		copy(ph->paddr, file->base + ph->offset, ph->filesz);
		clear(ph->paddr + ph->filesz, ph->memsz - ph->filesz);
	}
}

/* The end of the memory below 4 GiB. */
static u64 memory_end(void)
{
	const struct hvm_memmap_entry *r = at(start.memmap);
	u64 end = 0;

	for (u32 i = 0; i < start.nr_memmap; i++, r++) {
		if (r->type == BOOT_MEM_RAM && r->address + r->size <= GIB(4))
			end = max_u64(end, r->address + r->size);
	}
	return end;
}

/* Out of the kernel's way: as high as @top allows. Returns where it begins, a new top. */
static u64 move_up(struct file *file, u64 top)
{
	u64 to = ALIGN_DOWN(top - file->len, (u64)PAGE_SIZE);

	if (to > top || to < file->base + file->len)
		give_up("the kernel and its initramfs need more memory: --mem");
	copy(to, file->base, file->len);
	file->base = to;
	return to;
}

/*
 * Returns the number of modules. The map and the command line stay where they are: the kernel
 * copies them first thing. It gets no ACPI root pointer, since the ROM's copy lies in memory that
 * is the kernel's to use; it finds the original itself.
 */
static u32 read_information(u32 mbi, struct file *file, u32 max)
{
	u32 end = mbi + ((struct mbi *)at(mbi))->size, n = 0;
	const struct mbi_tag *tag;

	for (u32 pos = mbi + 8; pos < end; pos += ALIGN_UP(tag->size, 8)) {
		tag = at(pos);
		switch (tag->type) {
		case MB2_TAG_CMDLINE: start.cmdline = (uintptr_t)tag->text; break;
		case MB2_TAG_MODULE:
			if (n < max) {
				file[n].base = tag->module.start;
				file[n].len = tag->module.end - tag->module.start;
			}
			n++;
			break;
		case MB2_TAG_MMAP:
			start.memmap = (uintptr_t)tag->mmap.entry;
			start.nr_memmap = (tag->size - 16) / sizeof(tag->mmap.entry[0]);
			break;
		case MB2_TAG_END: return n;
		}
	}
	return n;
}

noreturn void load_linux(u32 magic, u32 mbi)
{
	struct file file[2]; /* the kernel, the initramfs */
	u64 top, end;
	u32 entry;

	if (magic != MB2_MAGIC || read_information(mbi, file, 2) != 2)
		give_up("the loader wants a kernel and an initramfs");
	/* The last one first, since the other lies below it. */
	top = move_up(&file[1], memory_end());
	top = move_up(&file[0], top);
	entry = check_kernel(&file[0], &end);
	if (end > top)
		give_up("the kernel and its initramfs need more memory: --mem");
	load_segments(&file[0]);
	initrd.address = file[1].base;
	initrd.size = file[1].len;
	start.modlist = (uintptr_t)&initrd;
	enter_kernel(entry, (uintptr_t)&start);
}
