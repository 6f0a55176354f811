/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory of experiment `missing`, whose pages are missing in one of three ways, and what else
 * of its VM is of this hypervisor alone. linux/vmm has another file in its place.
 */
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "lab/missing.h"

const char *const missing_way_name[NR_MISSING_WAYS] = { "queue", "exit", "bitmap" };

const bool missing_on_kvm = false;

/* --- the slot -------------------------------------------------------------------------------- */

u32 missing_flags(struct missing_vm *m)
{
	static const u32 flags[NR_MISSING_WAYS] = {
		[WAY_EXIT] = SLOT_EXIT_ON_MISSING,
		[WAY_BITMAP] = SLOT_USERFAULT,
	};

	return flags[m->config.way];
}

struct slot_change missing_slot(struct missing_vm *m, enum slot_op op, u32 flags)
{
	struct slot_change c = { .op = op, .id = MISSING_SLOT, .flags = flags };

	if (flags & SLOT_USERFAULT)
		c.userfault = m->hidden;
	if (op == SLOT_CREATE) {
		c.base = MISSING_BASE;
		c.size = m->size;
		c.backing = m->mem;
	}
	return c;
}

int missing_create_memory(struct missing_vm *m)
{
	const struct missing_config *c = &m->config;
	bool hide = c->way == WAY_BITMAP;
	struct slot_change slot;
	int err = backing_create(&m->mem, m->size,
				 hide || c->present ? BACKING_RESERVE : BACKING_MISSING);

	if (!err && (hide || c->present))
		err = backing_populate(m->mem);
	if (!err && hide)
		err = userfault_create(&m->hidden, m->mem, !c->present);
	m->source = page_alloc(page_order(m->size), 0);
	if (!err && !m->source)
		err = -ENOMEM;
	if (err)
		return err;
	missing_write_source(m);
	if (c->present)
		err = backing_write(m->mem, 0, m->source, m->size);
	slot = missing_slot(m, SLOT_CREATE, missing_flags(m));
	return err ? err : vm_change_slots(m->vm, &slot, 1, SLOTS_ATOMIC, NULL);
}

int missing_map_ram(struct missing_vm *m)
{
	int err = tiny_map_ram(&m->tiny, &m->ram);

	vm_set_traced(m->vm, m->config.traced);
	return err ? err : vm_set_apic(m->vm, VMX_APIC_EMULATE);
}

void missing_stop(struct missing_vm *m)
{
	vm_stop(m->vm);
}

void missing_destroy_memory(struct missing_vm *m)
{
	tiny_destroy(&m->tiny);
	if (m->hidden)
		userfault_put(m->hidden);
	if (m->mem)
		backing_put(m->mem);
	page_free(m->source, m->source ? page_order(m->size) : 0);
}

int missing_start_vcpu(struct missing_vcpu *v)
{
	return lapic_start(v->vcpu, LAPIC_XAPIC);
}

u64 missing_left(struct missing_vm *m)
{
	return 0;
}

/* --- pages ----------------------------------------------------------------------------------- */

/* Nobody else writes a hidden page: the bitmap cannot tell who does. */
static int show(struct missing_vm *m, u64 offset)
{
	u64 page = offset / PAGE_SIZE, bit = BIT(page % 64);
	int err;

	if (atomic_fetch_or(&m->claimed[page / 64], bit) & bit) {
		while (userfault_hides(m->hidden, offset))
			thread_yield();
		return -EEXIST;
	}
	err = backing_write(m->mem, offset, m->source + offset, PAGE_SIZE);
	if (!err)
		userfault_clear_page(m->hidden, offset);
	return err;
}

int missing_bring(struct missing_vm *m, u64 offset)
{
	return m->hidden ? show(m, offset) : backing_fill(m->mem, offset, m->source + offset);
}

int missing_take(struct missing_vm *m, u64 offset, u64 len)
{
	int err;

	if (!m->hidden)
		return backing_punch(m->mem, offset, len);
	err = userfault_set(m->hidden, offset, len);
	for (u64 page = offset / PAGE_SIZE; page < (offset + len) / PAGE_SIZE; page++)
		atomic_fetch_and(&m->claimed[page / 64], ~BIT(page % 64));
	return err;
}
