/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A backing as its owner sees it: its bytes, by no VM's slots.
 *
 * A move takes frames away, and has no translation of ours to zap: so it waits until nobody is in
 * here, and who comes later waits until it has ended. Each publishes its own intention and then
 * looks at the other's, with a full fence between (backing_move.c has the other half).
 */
#include "hv/host/chaos.h"
#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "hv/vm/backing_internal.h"

static void leave(struct backing *b)
{
	if (atomic_fetch_sub_explicit(&b->accesses, 1, memory_order_seq_cst) == 1 &&
	    unlikely(atomic_load_explicit(&b->moving, memory_order_seq_cst)))
		wake_all(&b->moved);
}

static void enter(struct backing *b)
{
	for (;;) {
		atomic_fetch_add_explicit(&b->accesses, 1, memory_order_seq_cst);
		race_point();
		if (likely(!atomic_load_explicit(&b->moving, memory_order_seq_cst)))
			return;
		leave(b);
		backing_lock_settled(b);
		spin_unlock(&b->lock);
	}
}

static int access(struct backing *b, u64 offset, u8 *data, u64 len, bool write)
{
	struct backing_page page;
	int err = 0;

	if (!len || offset >= b->size || len > b->size - offset)
		return -EINVAL;
	enter(b);
	for (u64 n; len; offset += n, data += n, len -= n) {
		u8 *p;

		err = backing_find(b, ALIGN_DOWN(offset, PAGE_SIZE), &page);
		if (err)
			break;
		n = min_u64(len, PAGE_SIZE - offset % PAGE_SIZE);
		p = (u8 *)phys_to_virt(page.hpa) + offset % PAGE_SIZE;
		if (write)
			memcpy(p, data, n);
		else
			memcpy(data, p, n);
	}
	leave(b);
	return err;
}

int backing_read(struct backing *b, u64 offset, void *buf, u64 len)
{
	return access(b, offset, buf, len, false);
}

int backing_write(struct backing *b, u64 offset, const void *buf, u64 len)
{
	return access(b, offset, (u8 *)(uintptr_t)buf, len, true);
}
