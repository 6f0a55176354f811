/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hypervisor's own address space:
 *
 *	0xffff800000000000  direct map: all RAM but the image's text and read-only data, NX
 *	0xffffc00000000000  device registers and stacks, each followed by an unmapped page, NX
 *	0xffffffff80000000  the image: text RX, read-only data R NX, data RW NX
 *
 * Nothing else is mapped. All of it is writable by no instruction that could also execute it.
 */
#include "hv/host/paging.h"

#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/spinlock.h"
#include "hv/host/x86.h"

#define PTE_PRESENT  BIT(0)
#define PTE_WRITE    BIT(1)
#define PTE_DATA     (PTE_PRESENT | PTE_WRITE)
#define PTE_UNCACHED (BIT(3) | BIT(4))
#define PTE_LARGE    BIT(7)
#define PTE_NX	     BIT(63)
#define PTE_ADDRESS  0x000ffffffffff000ull

#define LEVEL_4K   0
#define LEVEL_2M   1
#define LEVEL_1G   2
#define LEVEL_ROOT 3

#define VMAP_BASE 0xffffc00000000000ull
#define VMAP_SIZE GIB(512) /* one entry of the root */

extern char __text_start[], __text_end[], __rodata_start[], __rodata_end[], __data_start[],
	__data_end[];

struct free_stack {
	struct free_stack *next;
	size_t size;
};

static struct spinlock lock = SPINLOCK_INIT; /* the tables, and what follows */
static u64 *root;
static u64 vmap_next = VMAP_BASE;
static struct free_stack *free_stacks;
static u64 nx = PTE_NX; /* 0 when the CPU has no such bit */

static u64 level_size(unsigned int level)
{
	return PAGE_SIZE << (9 * level);
}

static unsigned int table_index(u64 va, unsigned int level)
{
	return va >> (PAGE_SHIFT + 9 * level) & 511;
}

/*
 * The entry for @va at @level. NULL when a table is missing and @alloc is false or memory is out,
 * or when a larger page is in the way.
 */
static u64 *walk(u64 va, unsigned int level, bool alloc)
{
	u64 *table = root;
	unsigned int l;

	for (l = LEVEL_ROOT; l > level; l--) {
		u64 *e = &table[table_index(va, l)];

		if (*e & PTE_LARGE)
			return NULL;
		if (!*e) {
			void *page = alloc ? page_alloc(0, PAGE_ZERO) : NULL;

			if (!page)
				return NULL;
			*e = virt_to_phys(page) | PTE_DATA;
		}
		table = phys_to_virt(*e & PTE_ADDRESS);
	}
	return &table[table_index(va, level)];
}

static unsigned int best_level(u64 va, hpa_t pa, u64 len, unsigned int max)
{
	unsigned int level = max;

	while (level && (!IS_ALIGNED(va | pa, level_size(level)) || len < level_size(level)))
		level--;
	return level;
}

/* Map page-aligned memory with pages up to @max; table by table. The lock is held, or not needed.
 */
static int map_range(u64 va, hpa_t pa, u64 len, u64 bits, unsigned int max)
{
	while (len) {
		unsigned int level = best_level(va, pa, len, max);
		u64 size = level_size(level);
		u64 n = min_u64(len / size, 512 - table_index(va, level));
		u64 *e = walk(va, level, true);

		if (!e)
			return -ENOMEM;
		if (level)
			bits |= PTE_LARGE;
		else
			bits &= ~PTE_LARGE;
		va += n * size;
		len -= n * size;
		for (; n; n--, pa += size) {
			if (*e)
				return -EEXIST;
			*e++ = pa | bits;
		}
	}
	return 0;
}

static hpa_t image_pa(const char *va)
{
	return (u64)(uintptr_t)va - (u64)(uintptr_t)__text_start + boot_info.image_base +
	       ((u64)(uintptr_t)__text_start - KERNEL_VMA - LINK_BASE);
}

static int map_image(const char *start, const char *end, u64 bits)
{
	return map_range((u64)(uintptr_t)start, image_pa(start), (u64)(end - start),
			 PTE_PRESENT | bits, LEVEL_4K);
}

/* A part of RAM without the read-only part of the image. */
static int map_direct(hpa_t base, hpa_t end, unsigned int max)
{
	hpa_t ro_base = image_pa(__text_start), ro_end = image_pa(__rodata_end);
	u64 bits = PTE_DATA | nx;
	int err;

	if (ro_base < end && base < ro_end) {
		err = base < ro_base ? map_direct(base, ro_base, max) : 0;
		return err || end <= ro_end ? err : map_direct(ro_end, end, max);
	}
	base = ALIGN_UP(base, PAGE_SIZE);
	end = ALIGN_DOWN(end, PAGE_SIZE);
	if (base >= end)
		return 0;
	return map_range(base + direct_map_base, base, end - base, bits, max);
}

static void load(void)
{
	u64 cr4 = read_cr4();

	if (nx)
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	if (cpuid(1, 0).edx & CPUID1_EDX_MCE)
		cr4 |= CR4_MCE;
	if (cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & CPUID7_EBX_SMEP))
		cr4 |= CR4_SMEP;
	write_cr3(virt_to_phys(root));
	write_cr4(cr4);
	write_cr0(read_cr0() | CR0_WP);
}

int paging_init(const struct boot_range *ram, unsigned int nr)
{
	u32 features = cpuid(0x80000001, 0).edx;
	unsigned int max = features & CPUID80000001_GBPAGE ? LEVEL_1G : LEVEL_2M;
	unsigned int i;
	int err;

	if (!(features & CPUID80000001_NX))
		nx = 0;
	root = page_alloc(0, PAGE_ZERO);
	if (!root)
		return -ENOMEM;
	err = map_image(__text_start, __text_end, 0);
	if (!err)
		err = map_image(__rodata_start, __rodata_end, nx);
	if (!err)
		err = map_image(__data_start, __data_end, PTE_WRITE | nx);
	for (i = 0; !err && i < nr; i++)
		err = map_direct(ram[i].base, ram[i].base + ram[i].len, max);
	if (!err)
		load();
	return err;
}

hpa_t paging_root(void)
{
	return virt_to_phys(root);
}

/* Address space for @len bytes and the guard page behind. The lock is held. */
static u64 vmap_alloc(u64 len)
{
	u64 va = vmap_next;

	if (len > VMAP_SIZE || va + len + PAGE_SIZE > VMAP_BASE + VMAP_SIZE)
		return 0;
	vmap_next = va + len + PAGE_SIZE;
	return va;
}

void *map_mmio(hpa_t pa, u64 len)
{
	hpa_t base = ALIGN_DOWN(pa, PAGE_SIZE);
	u64 va, size = ALIGN_UP(pa + len, PAGE_SIZE) - base;

	spin_lock(&lock);
	va = vmap_alloc(size);
	if (va && map_range(va, base, size, PTE_DATA | PTE_UNCACHED | nx, LEVEL_4K))
		va = 0;
	spin_unlock(&lock);
	return va ? (void *)(uintptr_t)(va + (pa - base)) : NULL;
}

static void *take_free_stack(size_t size)
{
	struct free_stack **link = &free_stacks, *s;

	for (s = *link; s; link = &s->next, s = s->next) {
		if (s->size == size) {
			*link = s->next;
			return s;
		}
	}
	return NULL;
}

/* Nobody but this CPU has seen these pages: a failed stack_alloc() gives them back. */
static void unmap_new_stack(u64 va, u64 len)
{
	for (; len; va += PAGE_SIZE, len -= PAGE_SIZE) {
		u64 *e = walk(va, LEVEL_4K, false);
		hpa_t pa = *e & PTE_ADDRESS;

		*e = 0;
		invlpg((void *)(uintptr_t)va);
		page_free(phys_to_virt(pa), 0);
	}
}

void *stack_alloc(size_t size)
{
	u64 va = 0, at;
	void *stack;

	spin_lock(&lock);
	stack = take_free_stack(size);
	if (!stack)
		va = vmap_alloc(size);
	for (at = 0; va && at < size; at += PAGE_SIZE) {
		void *page = page_alloc(0, 0);

		if (!page ||
		    map_range(va + at, virt_to_phys(page), PAGE_SIZE, PTE_DATA | nx, LEVEL_4K)) {
			page_free(page, 0);
			unmap_new_stack(va, at);
			va = 0;
		}
	}
	spin_unlock(&lock);
	return stack ? stack : (void *)(uintptr_t)va;
}

void stack_free(void *stack, size_t size)
{
	struct free_stack *s = stack;

	spin_lock(&lock);
	s->size = size;
	s->next = free_stacks;
	free_stacks = s;
	spin_unlock(&lock);
}

bool paging_is_guard(u64 va)
{
	u64 *e;

	if (va < VMAP_BASE - PAGE_SIZE || va >= vmap_next)
		return false;
	e = walk(va, LEVEL_4K, false);
	return !e || !*e;
}
