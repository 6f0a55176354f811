/* SPDX-License-Identifier: GPL-2.0-only */
/* Multiboot 1, part two: image, modules and information block into the guest's RAM. */
#include "hv/dev/mbinfo.h"
#include "hv/dev/memmap.h"
#include "hv/dev/multiboot.h"
#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "hv/vm/vm.h"

static const char loader_name[] = "Stillpoint";

/*
 * The information block in the guest:
 *
 *	info | memory map | module list | loader name | command line | module command lines
 *
 * The first part has a fixed layout; the texts follow each other, addressed by a cursor.
 */
struct info_head {
	struct mb_info info;
	struct mb_mmap mmap[GUEST_MAX_RANGES];
	struct mb_mod mod[MULTIBOOT_MAX_MODULES];
	char loader[sizeof(loader_name)];
};

struct mb_loader {
	struct vm *vm;
	const struct multiboot_image *image;
	struct load_error *err;
	gpa_t module[MULTIBOOT_MAX_MODULES]; /* where each module goes */
	gpa_t info;			     /* and the information block */
	gpa_t text;			     /* cursor for the texts behind struct info_head */
};

static const char *append_of(const struct multiboot_image *image)
{
	return image->append ? image->append : "";
}

/* Bytes of "name append", terminator included. */
static size_t cmdline_size(const struct multiboot_image *image)
{
	size_t append = strlen(append_of(image));

	return strlen(image->name) + (append ? 1 + append : 0) + 1;
}

static int check_image(const struct multiboot_image *image, u64 ram, struct load_error *err)
{
	if (ram < GUEST_RAM_MIN || ram > GUEST_RAM_MAX)
		return load_fail(err, -EINVAL, "guest RAM of %llu KB: must be %llu MB to %llu MB",
				 (unsigned long long)(ram >> 10),
				 (unsigned long long)(GUEST_RAM_MIN >> 20),
				 (unsigned long long)(GUEST_RAM_MAX >> 20));
	if (cmdline_size(image) > MULTIBOOT_MAX_CMDLINE + 1)
		return load_fail(err, -E2BIG, "guest command line of %zu bytes: at most %d",
				 cmdline_size(image) - 1, MULTIBOOT_MAX_CMDLINE);
	if (image->nr_modules > MULTIBOOT_MAX_MODULES)
		return load_fail(err, -E2BIG, "%u guest modules: at most %d", image->nr_modules,
				 MULTIBOOT_MAX_MODULES);

	for (unsigned int i = 0; i < image->nr_modules; i++) {
		const struct multiboot_module *m = &image->module[i];

		if (!m->size)
			return load_fail(err, -EINVAL, "guest module %u (%.64s) is empty", i,
					 m->cmdline);
		if (strlen(m->cmdline) > MULTIBOOT_MAX_CMDLINE)
			return load_fail(err, -E2BIG,
					 "guest module %u: command line of %zu bytes: at most %d",
					 i, strlen(m->cmdline), MULTIBOOT_MAX_CMDLINE);
	}
	return 0;
}

static size_t info_size(const struct multiboot_image *image)
{
	size_t size = sizeof(struct info_head) + cmdline_size(image);

	for (unsigned int i = 0; i < image->nr_modules; i++)
		size += strlen(image->module[i].cmdline) + 1;
	return size;
}

/*
 * Choose a place for the information block and the modules: the former below 640 KB if it fits
 * there, otherwise behind the last module; the latter as one block of whole pages, preferably above
 * the image, since a guest that takes the memory behind its own end for free expects modules there,
 * if anywhere.
 */
static int place(struct mb_loader *l, const struct load_plan *plan)
{
	const struct multiboot_image *image = l->image;
	u64 ram = vm_ram_size(l->vm);
	gpa_t above = max_u64(load_end(plan), GUEST_HIGH_START);
	u64 size = 0;
	bool low;
	gpa_t at;

	/* Page 0 stays free: it is where a guest puts its real-mode start-up code. */
	low = !load_place_below(plan, info_size(image), PAGE_SIZE, PAGE_SIZE, GUEST_LOW_END,
				&l->info);
	for (unsigned int i = 0; i < image->nr_modules; i++)
		size += ALIGN_UP((u64)image->module[i].size, PAGE_SIZE);
	if (!low)
		size += info_size(image);
	if (!size)
		return 0;

	if (load_place_above(plan, size, PAGE_SIZE, above, ram, &at) &&
	    load_place_above(plan, size, PAGE_SIZE, GUEST_HIGH_START, ram, &at))
		return load_fail(
			l->err, -ENOSPC,
			"no room for %u guest modules (%llu KB) beside the image in %llu MB",
			image->nr_modules, (unsigned long long)(size >> 10),
			(unsigned long long)(ram >> 20));
	for (unsigned int i = 0; i < image->nr_modules; i++) {
		l->module[i] = at;
		at += ALIGN_UP((u64)image->module[i].size, PAGE_SIZE);
	}
	if (!low)
		l->info = at;
	return 0;
}

static int put(struct mb_loader *l, gpa_t at, const void *data, size_t size)
{
	int ret = vm_write(l->vm, at, data, size);

	if (ret)
		return load_fail(l->err, ret, "%zu bytes at %#llx: guest memory: %s", size,
				 (unsigned long long)at, errno_name(ret));
	return 0;
}

/* Write @s with its terminator at the text cursor. */
static int put_text(struct mb_loader *l, const char *s)
{
	size_t size = strlen(s) + 1;
	int ret = put(l, l->text, s, size);

	l->text += size;
	return ret;
}

static int put_cmdline(struct mb_loader *l)
{
	const char *append = append_of(l->image);
	int ret = put_text(l, l->image->name);

	if (ret || !*append)
		return ret;
	ret = put(l, l->text - 1, " ", 1); /* over the name's terminator */
	return ret ? ret : put_text(l, append);
}

static int put_modules(struct mb_loader *l, struct info_head *head)
{
	for (unsigned int i = 0; i < l->image->nr_modules; i++) {
		const struct multiboot_module *m = &l->image->module[i];
		int ret;

		head->mod[i] = (struct mb_mod){
			.start = l->module[i],
			.end = l->module[i] + m->size,
			.cmdline = l->text,
		};
		ret = put(l, l->module[i], m->data, m->size);
		if (!ret)
			ret = put_text(l, m->cmdline);
		if (ret)
			return ret;
	}
	return 0;
}

static void fill_memory(const struct mb_loader *l, struct info_head *head)
{
	struct guest_range range[GUEST_MAX_RANGES];
	u64 ram = vm_ram_size(l->vm);
	int n = guest_memmap(ram, range);

	for (int i = 0; i < n; i++)
		head->mmap[i] = (struct mb_mmap){
			.size = sizeof(struct mb_mmap) - sizeof(u32),
			.base = range[i].base,
			.len = range[i].len,
			.type = range[i].type,
		};
	head->info.mmap_length = n * sizeof(struct mb_mmap);
	head->info.mem_lower = GUEST_LOW_END >> 10;
	head->info.mem_upper = (ram - GUEST_HIGH_START) >> 10;
}

static int put_info(struct mb_loader *l)
{
	struct info_head head = { .loader = "" };
	int ret;

	memcpy(head.loader, loader_name, sizeof(loader_name));
	head.info.flags =
		MB_INFO_MEMORY | MB_INFO_CMDLINE | MB_INFO_MODS | MB_INFO_MMAP | MB_INFO_LOADER;
	head.info.mods_count = l->image->nr_modules;
	head.info.mods_addr = l->info + offsetof(struct info_head, mod);
	head.info.mmap_addr = l->info + offsetof(struct info_head, mmap);
	head.info.boot_loader_name = l->info + offsetof(struct info_head, loader);
	fill_memory(l, &head);

	l->text = l->info + sizeof(head);
	head.info.cmdline = l->text;
	ret = put_cmdline(l);
	if (!ret)
		ret = put_modules(l, &head);
	return ret ? ret : put(l, l->info, &head, sizeof(head));
}

int multiboot_load(struct vm *vm, const struct multiboot_image *image,
		   struct multiboot_entry *entry, struct load_error *err)
{
	struct mb_loader l = { .vm = vm, .image = image, .err = err };
	struct load_plan plan;
	u64 ram = vm_ram_size(vm);
	int ret;

	ret = check_image(image, ram, err);
	if (!ret)
		ret = multiboot_parse(&plan, image->file, image->size, err);
	if (!ret)
		ret = load_check(&plan, ram, err);
	if (!ret)
		ret = place(&l, &plan);
	if (!ret)
		ret = load_apply(vm, &plan, image->file, err);
	if (!ret)
		ret = put_info(&l);
	if (ret)
		return ret;

	*entry = (struct multiboot_entry){
		.eip = plan.entry,
		.eax = MULTIBOOT_LOADER_MAGIC,
		.ebx = l.info,
	};
	return 0;
}
