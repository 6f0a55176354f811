/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest-physical memory: finding the backing, faulting it in, dropping translations. */
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/timer.h"
#include "hv/vm/internal.h"

COUNTER(mem_faults, "memory.faults", "second-level faults that mapped a page of RAM");
COUNTER(mem_spurious, "memory.spurious", "second-level faults that found the page mapped already");

#define BLOCK_ZEROED 1ull

static struct vm_slot *find_slot(struct vm *vm, gpa_t gpa)
{
	for (unsigned int i = 0; i < vm->nr_slots; i++)
		if (gpa >= vm->slot[i].base && gpa - vm->slot[i].base < vm->slot[i].size)
			return &vm->slot[i];
	return NULL;
}

static u64 *block_of(struct vm_slot *s, gpa_t gpa)
{
	return &s->block[(gpa - s->base) >> (PAGE_SHIFT + s->block_order)];
}

/* Give @b its zeroes. vm->vmx.lock held. */
static void zero_block(struct vm_slot *s, u64 *b)
{
	if (*b & BLOCK_ZEROED)
		return;
	memset(phys_to_virt(*b), 0, PAGE_SIZE << s->block_order);
	__atomic_store_n(b, *b | BLOCK_ZEROED, __ATOMIC_RELEASE);
}

static hpa_t backing(struct vm_slot *s, gpa_t gpa)
{
	u64 offset = (gpa - s->base) & ((PAGE_SIZE << s->block_order) - 1);

	return (*block_of(s, gpa) & PAGE_MASK) + offset;
}

/* Map the largest leaf around @gpa that the slot and the block allow. Lock held. */
static int map_around(struct vm *vm, struct vm_slot *s, gpa_t gpa)
{
	u64 size = EPT_SIZE_4K;
	gpa_t large = ALIGN_DOWN(gpa, EPT_SIZE_2M);

	if (large >= s->base && large + EPT_SIZE_2M <= s->base + s->size)
		size = ept_largest(&vm->vmx.ept, large, backing(s, large), EPT_SIZE_2M);
	gpa = ALIGN_DOWN(gpa, size);
	return ept_map(&vm->vmx.ept, gpa, backing(s, gpa), size, EPT_RWX);
}

/*
 * After vm_drop_page() a 4 KiB hole lies among 511 pages that were split off a large one. Mapping
 * the large page again would replace the table, which needs a flush; filling the hole does not.
 */
static int map_missing(struct vm *vm, struct vm_slot *s, gpa_t gpa)
{
	struct ept_mapping m;
	int err = ept_lookup(&vm->vmx.ept, gpa, &m);

	if (!err) {
		count(&mem_spurious);
		return 0;
	}
	if (err != -ENOENT)
		return err;
	zero_block(s, block_of(s, gpa));
	count(&mem_faults);
	if (m.size == EPT_SIZE_4K) {
		gpa = ALIGN_DOWN(gpa, EPT_SIZE_4K);
		return ept_map(&vm->vmx.ept, gpa, backing(s, gpa), EPT_SIZE_4K, EPT_RWX);
	}
	return map_around(vm, s, gpa);
}

int vm_fault(struct vm *vm, gpa_t gpa)
{
	struct vm_slot *s = find_slot(vm, gpa);
	int r;

	if (!s)
		return -ENOENT;
	spin_lock(&vm->vmx.lock);
	r = map_missing(vm, s, gpa);
	spin_unlock(&vm->vmx.lock);
	return r < 0 ? r : 0;
}

int vm_populate(struct vm *vm)
{
	int r = 0;

	spin_lock(&vm->vmx.lock);
	for (unsigned int i = 0; i < vm->nr_slots && r >= 0; i++) {
		struct vm_slot *s = &vm->slot[i];
		struct ept_mapping m;

		for (u64 off = 0; off < s->size && r >= 0; off += m.size) {
			r = map_missing(vm, s, s->base + off);
			if (ept_lookup(&vm->vmx.ept, s->base + off, &m))
				m.size = EPT_SIZE_4K;
		}
	}
	spin_unlock(&vm->vmx.lock);
	return r < 0 ? r : 0;
}

/* Wait until no CPU can use a translation from before generation @gen. */
static int wait_flushed(struct vm *vm, u64 gen)
{
	u64 deadline = ticks_now() + tsc_hz;

	for (u32 i = 0; i < vm->nr_vcpus; i++) {
		struct vcpu *v = vm->vcpu[i];

		while (atomic_load(&v->mode) != OUTSIDE_GUEST_MODE &&
		       __atomic_load_n(&v->vmx.flushed_gen, __ATOMIC_ACQUIRE) < gen) {
			if (ticks_now() > deadline) {
				printk("# vCPU %u on CPU %u does not leave the guest (mode %u)\n",
				       i, atomic_load(&v->cpu), atomic_load(&v->mode));
				return -ETIMEDOUT;
			}
			spin_ticks(16);
		}
	}
	return 0;
}

int vm_drop_page(struct vm *vm, gpa_t gpa)
{
	u64 gen;
	int r;

	if (!find_slot(vm, gpa))
		return -EFAULT;
	spin_lock(&vm->vmx.lock);
	r = ept_unmap(&vm->vmx.ept, ALIGN_DOWN(gpa, EPT_SIZE_4K), EPT_SIZE_4K);
	if (r > 0) {
		vmx_vm_stale(&vm->vmx);
		gen = atomic_load(&vm->vmx.flush_gen);
		vm_kick_all(vm);
		r = wait_flushed(vm, gen);
		if (!r)
			ept_free_unlinked(&vm->vmx.ept);
	}
	spin_unlock(&vm->vmx.lock);
	return r;
}

enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_FILL };

static void access_block(enum access how, u8 *guest, u8 *buf, size_t n)
{
	switch (how) {
	case ACCESS_READ: memcpy(buf, guest, n); break;
	case ACCESS_WRITE: memcpy(guest, buf, n); break;
	case ACCESS_FILL: memset(guest, *buf, n); break;
	}
}

/* Where the RAM at @gpa is, zeroed if nobody has touched it yet; @left: bytes to its block's end.
 */
static u8 *ram_at(struct vm *vm, struct vm_slot *s, gpa_t gpa, u64 *left)
{
	u64 block_size = PAGE_SIZE << s->block_order, offset = gpa - s->base;
	u64 *b = block_of(s, gpa);

	if (!(__atomic_load_n(b, __ATOMIC_ACQUIRE) & BLOCK_ZEROED)) {
		spin_lock(&vm->vmx.lock);
		zero_block(s, b);
		spin_unlock(&vm->vmx.lock);
	}
	*left = min_u64(block_size - (offset & (block_size - 1)), s->size - offset);
	return phys_to_virt(backing(s, gpa));
}

static bool is_ram(struct vm *vm, gpa_t gpa, u64 len)
{
	while (len) {
		struct vm_slot *s = find_slot(vm, gpa);
		u64 n;

		if (!s)
			return false;
		n = min_u64(len, s->size - (gpa - s->base));
		gpa += n;
		len -= n;
	}
	return true;
}

static int access_ram(struct vm *vm, gpa_t gpa, u8 *buf, u64 len, enum access how)
{
	if (!is_ram(vm, gpa, len))
		return -EFAULT;
	while (len) {
		u64 n;
		u8 *guest = ram_at(vm, find_slot(vm, gpa), gpa, &n);

		n = min_u64(n, len);
		access_block(how, guest, buf, n);
		if (how != ACCESS_FILL)
			buf += n;
		gpa += n;
		len -= n;
	}
	return 0;
}

void *vm_pointer(struct vm *vm, gpa_t gpa, size_t len)
{
	struct vm_slot *s = find_slot(vm, gpa);
	u64 left;
	u8 *p;

	if (!s)
		return NULL;
	p = ram_at(vm, s, gpa, &left);
	return len <= left ? p : NULL;
}

int vm_read(struct vm *vm, gpa_t gpa, void *buf, size_t len)
{
	return access_ram(vm, gpa, buf, len, ACCESS_READ);
}

int vm_write(struct vm *vm, gpa_t gpa, const void *buf, size_t len)
{
	return access_ram(vm, gpa, (u8 *)(uintptr_t)buf, len, ACCESS_WRITE);
}

int vm_fill(struct vm *vm, gpa_t gpa, u8 byte, u64 len)
{
	return access_ram(vm, gpa, &byte, len, ACCESS_FILL);
}
