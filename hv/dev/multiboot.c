/* SPDX-License-Identifier: GPL-2.0-only */
/* Multiboot 1, part one: the header and what it says about loading the file. */
#include "hv/dev/elf.h"
#include "hv/dev/multiboot.h"
#include "hv/host/errno.h"
#include "hv/host/string.h"

#define HEADER_MAGIC  0x1badb002u
#define HEADER_ALIGN  4
#define HEADER_SEARCH 8192 /* the header lies wholly within the first bytes of the file */

enum header_flags {
	HEADER_PAGE_ALIGN = 1 << 0,  /* modules on page boundaries: always done */
	HEADER_MEMORY_INFO = 1 << 1, /* mem_lower, mem_upper: always given */
	HEADER_VIDEO = 1 << 2,
	HEADER_MUST = 0xffff, /* what a loader does not know here it must refuse */
	HEADER_ADDRESSES = 1 << 16,
};

struct multiboot_header {
	u32 magic;
	u32 flags;
	u32 checksum; /* magic + flags + checksum == 0 */

	/* With HEADER_ADDRESSES. Physical addresses. */
	u32 header_addr;   /* of this header */
	u32 load_addr;	   /* of the first byte to load */
	u32 load_end_addr; /* of the first byte not to load; 0: up to the end of the file */
	u32 bss_end_addr;  /* zeroed from load_end_addr up to here; 0: no bss */
	u32 entry_addr;
};

#define HEADER_SHORT offsetof(struct multiboot_header, header_addr)

_Static_assert(sizeof(struct multiboot_header) == 32, "multiboot header with addresses");
_Static_assert(HEADER_SHORT == 12, "multiboot header without addresses");

/* Copies the header out and returns its offset in the file, or a negative error. */
static int find_header(struct multiboot_header *h, const u8 *file, size_t size,
		       struct load_error *err)
{
	size_t limit = min_u64(size, HEADER_SEARCH);
	bool magic_seen = false;

	*h = (struct multiboot_header){ 0 };
	for (size_t at = 0; at + HEADER_SHORT <= limit; at += HEADER_ALIGN) {
		memcpy(h, file + at, HEADER_SHORT);
		if (h->magic != HEADER_MAGIC)
			continue;
		magic_seen = true;
		if ((u32)(h->magic + h->flags + h->checksum) != 0)
			continue;
		if (!(h->flags & HEADER_ADDRESSES))
			return at;
		if (limit - at < sizeof(*h))
			return load_fail(
				err, -ENOEXEC,
				"multiboot header at offset %#zx is cut off before its addresses",
				at);
		memcpy(h, file + at, sizeof(*h));
		return at;
	}
	if (magic_seen)
		return load_fail(err, -ENOEXEC, "multiboot header with a wrong checksum");
	return load_fail(err, -ENOEXEC, "no multiboot header in the first %zu bytes", limit);
}

static int check_flags(u32 flags, struct load_error *err)
{
	u32 unknown =
		flags & HEADER_MUST & ~(HEADER_PAGE_ALIGN | HEADER_MEMORY_INFO | HEADER_VIDEO);

	if (unknown)
		return load_fail(err, -ENOEXEC, "multiboot header needs flags %#x: not known here",
				 unknown);
	if (flags & HEADER_VIDEO)
		return load_fail(
			err, -ENOEXEC,
			"multiboot header needs a video mode (flag 2): there is no display");
	return 0;
}

/* The header's own addresses: one segment that need not be ELF at all. */
static int plan_by_addresses(struct load_plan *plan, const struct multiboot_header *h, size_t at,
			     size_t size, struct load_error *err)
{
	struct load_segment *s = &plan->segment[0];
	u32 before = h->header_addr - h->load_addr; /* bytes loaded in front of the header */

	if (h->load_addr > h->header_addr)
		return load_fail(err, -ENOEXEC,
				 "multiboot load_addr %#x lies above header_addr %#x", h->load_addr,
				 h->header_addr);
	if (before > at)
		return load_fail(err, -ENOEXEC,
				 "multiboot load_addr %#x lies %#x bytes before the file's start",
				 h->load_addr, (u32)(before - at));

	s->offset = at - before;
	s->gpa = h->load_addr;
	s->filesz = size - s->offset;
	if (h->load_end_addr) {
		if (h->load_end_addr <= h->load_addr)
			return load_fail(err, -ENOEXEC,
					 "multiboot load_end_addr %#x is not above load_addr %#x",
					 h->load_end_addr, h->load_addr);
		if (h->load_end_addr - h->load_addr > s->filesz)
			return load_fail(err, -ENOEXEC,
					 "multiboot load_end_addr %#x: the file ends at %#llx",
					 h->load_end_addr,
					 (unsigned long long)(s->gpa + s->filesz));
		s->filesz = h->load_end_addr - h->load_addr;
	}
	s->memsz = s->filesz;
	if (h->bss_end_addr) {
		if (h->bss_end_addr < s->gpa + s->filesz)
			return load_fail(
				err, -ENOEXEC,
				"multiboot bss_end_addr %#x lies below the data's end %#llx",
				h->bss_end_addr, (unsigned long long)(s->gpa + s->filesz));
		s->memsz = h->bss_end_addr - s->gpa;
	}
	if (h->entry_addr < s->gpa || h->entry_addr - s->gpa >= s->filesz)
		return load_fail(err, -ENOEXEC, "multiboot entry_addr %#x: nothing is loaded there",
				 h->entry_addr);
	plan->entry = h->entry_addr;
	plan->nr_segments = 1;
	return 0;
}

int multiboot_parse(struct load_plan *plan, const void *file, size_t size, struct load_error *err)
{
	struct multiboot_header h;
	int at, ret;

	*plan = (struct load_plan){ 0 };
	if (!size)
		return load_fail(err, -ENOEXEC, "the file is empty");
	at = find_header(&h, file, size, err);
	if (at < 0)
		return at;
	ret = check_flags(h.flags, err);
	if (ret)
		return ret;
	if (h.flags & HEADER_ADDRESSES)
		return plan_by_addresses(plan, &h, at, size, err);
	return elf_parse(plan, file, size, err);
}
