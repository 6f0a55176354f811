/* SPDX-License-Identifier: GPL-2.0-only */
/* The memory of a VM: slots of KVM that show memory of this process. */
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "lab/tiny.h"
#include "linux/vmm/internal.h"

#define HUGE MIB(2)

static bool default_huge = true;

bool vm_default_huge(bool on)
{
	bool was = default_huge;

	default_huge = on;
	return was;
}

/* Reserved by its size: a process that takes more than there is is the kernel's business. */
static u8 *map(u64 size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void *vm_map_anonymous(u64 size)
{
	u64 before, after;
	u8 *p;

	if (size < HUGE)
		return map(size);
	p = map(size + HUGE);
	if (!p)
		return NULL;
	before = ALIGN_UP((uintptr_t)p, HUGE) - (uintptr_t)p;
	after = HUGE - before;
	if (before)
		munmap(p, before);
	if (after)
		munmap(p + before + size, after);
	return p + before;
}

int vm_set_region(struct vm *vm, u32 slot, gpa_t gpa, u64 size, void *hva, u32 flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};
	struct kvm_vm *k = kvm_vm(vm);
	struct kvm_region *r;
	int err;

	if (slot >= KVM_MAX_REGIONS)
		return -EINVAL;
	err = vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
	if (err)
		return err;
	r = &k->region[slot];
	spin_lock(&k->regions_lock);
	r->gpa = gpa;
	r->size = size;
	r->hva = hva;
	r->flags = flags;
	spin_unlock(&k->regions_lock);
	return 0;
}

static int free_slot(struct kvm_vm *k)
{
	for (int i = 0; i < KVM_MAX_REGIONS; i++)
		if (!k->region[i].size && !k->region[i].own)
			return i;
	return -ENOSPC;
}

int vm_add_ram(struct vm *vm, gpa_t base, u64 size)
{
	int slot = free_slot(kvm_vm(vm)), err;
	u8 *hva;

	if (slot < 0)
		return slot;
	hva = vm_map_anonymous(size);
	if (!hva)
		return -ENOMEM;
	/* A kernel without huge pages gives others. */
	madvise(hva, size, default_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	err = vm_set_region(vm, (u32)slot, base, size, hva, 0);
	if (err) {
		munmap(hva, size);
		return err;
	}
	kvm_vm(vm)->region[slot].own = hva;
	kvm_vm(vm)->region[slot].own_size = size;
	return 0;
}

/* How much of [@gpa, @gpa + @len) is in one slot, and where; NULL: its start is nowhere. */
static u8 *find(struct vm *vm, gpa_t gpa, u64 *len)
{
	struct kvm_vm *k = kvm_vm(vm);
	u8 *hva = NULL;

	spin_lock(&k->regions_lock);
	for (u32 i = 0; i < KVM_MAX_REGIONS && !hva; i++) {
		const struct kvm_region *r = &k->region[i];

		if (gpa < r->gpa || gpa - r->gpa >= r->size)
			continue;
		hva = r->hva + (gpa - r->gpa);
		*len = min_u64(*len, r->size - (gpa - r->gpa));
	}
	spin_unlock(&k->regions_lock);
	return hva;
}

void *vm_hva(struct vm *vm, gpa_t gpa)
{
	u64 len = 1;

	return find(vm, gpa, &len);
}

int tiny_map_ram(struct tiny *t, u8 **ram)
{
	*ram = vm_hva(t->vm, 0);
	return *ram ? 0 : -EFAULT;
}

static bool is_ram(struct vm *vm, gpa_t gpa, u64 len)
{
	while (len) {
		u64 part = len;

		if (!find(vm, gpa, &part))
			return false;
		gpa += part;
		len -= part;
	}
	return true;
}

/* A word that is aligned is moved in one access: the guest may be writing it. */
static void copy(void *to, const void *from, u64 len)
{
	if (len == 4 && IS_ALIGNED((uintptr_t)to | (uintptr_t)from, 4))
		*(volatile u32 *)to = *(const volatile u32 *)from;
	else if (len == 8 && IS_ALIGNED((uintptr_t)to | (uintptr_t)from, 8))
		*(volatile u64 *)to = *(const volatile u64 *)from;
	else
		memcpy(to, from, len);
}

/* One of these is not NULL; none: @byte is written. */
struct transfer {
	u8 *to;
	const u8 *from;
	u8 byte;
};

static void transfer_part(struct transfer *t, u8 *hva, u64 len)
{
	if (t->to) {
		copy(t->to, hva, len);
		t->to += len;
	} else if (t->from) {
		copy(hva, t->from, len);
		t->from += len;
	} else {
		memset(hva, t->byte, len);
	}
}

/* Slot by slot, but nothing where some of it is nowhere. */
static int transfer(struct vm *vm, gpa_t gpa, u64 len, struct transfer t)
{
	if (!is_ram(vm, gpa, len))
		return -EFAULT;
	while (len) {
		u64 part = len;
		u8 *hva = find(vm, gpa, &part);

		if (!hva)
			return -EFAULT;
		transfer_part(&t, hva, part);
		gpa += part;
		len -= part;
	}
	return 0;
}

int vm_read(struct vm *vm, gpa_t gpa, void *buf, size_t len)
{
	return transfer(vm, gpa, len, (struct transfer){ .to = buf });
}

int vm_write(struct vm *vm, gpa_t gpa, const void *buf, size_t len)
{
	return transfer(vm, gpa, len, (struct transfer){ .from = buf });
}

int vm_fill(struct vm *vm, gpa_t gpa, u8 byte, u64 len)
{
	return transfer(vm, gpa, len, (struct transfer){ .byte = byte });
}

u64 vm_ram_size(struct vm *vm)
{
	struct kvm_vm *k = kvm_vm(vm);

	for (u32 i = 0; i < KVM_MAX_REGIONS; i++)
		if (k->region[i].size && !k->region[i].gpa)
			return k->region[i].size;
	return 0;
}

int vm_populate(struct vm *vm)
{
	struct kvm_vm *k = kvm_vm(vm);

	for (u32 i = 0; i < KVM_MAX_REGIONS; i++) {
		const struct kvm_region *r = &k->region[i];

		if (r->size && madvise(r->hva, r->size, MADV_POPULATE_WRITE))
			return -errno;
	}
	return 0;
}

/*
 * Nobody may use the page for a moment: the kernel removes KVM's translations of it, and the
 * content stays. A vCPU that comes just then finds no memory there, and tries again: run.c. A huge
 * page is taken apart at the first call for one of its pages.
 */
int vm_drop_page(struct vm *vm, gpa_t gpa)
{
	struct kvm_vm *k = kvm_vm(vm);
	u64 len = PAGE_SIZE;
	u8 *page = find(vm, ALIGN_DOWN(gpa, PAGE_SIZE), &len);
	int err = 0;

	if (!page)
		return -EFAULT;
	spin_lock(&k->drop_lock);
	atomic_fetch_add(&k->drops, 1);
	if (mprotect(page, PAGE_SIZE, PROT_NONE) ||
	    mprotect(page, PAGE_SIZE, PROT_READ | PROT_WRITE))
		err = -errno;
	atomic_fetch_add(&k->drops, 1);
	spin_unlock(&k->drop_lock);
	return err;
}
