/* SPDX-License-Identifier: GPL-2.0-only */
/* Where a tiny guest's RAM is, in this hypervisor: see lab/tiny.h. */
#include "hv/host/mem.h"
#include "hv/vm/backing.h"
#include "lab/tiny.h"

int tiny_map_ram(struct tiny *t, u8 **ram)
{
	unsigned int phase = slots_read_begin(t->vm);
	struct vm_slot *slot = slot_find(t->vm, 0);
	struct backing_page page;
	int err = backing_find(slot->backing, slot->offset, &page);

	slots_read_end(t->vm, phase);
	if (!err)
		*ram = phys_to_virt(page.hpa);
	return err;
}
