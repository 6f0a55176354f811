/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Backings by themselves: memory on demand, moves under the invalidate protocol, missing pages. The
 * second-level tables and the invalidations are the real ones; a flush is a hook, in which the test
 * looks at what a CPU and a fault would find at that moment.
 */
/* link: hv/vm/backing.c hv/vm/backing_block.c hv/vm/backing_fetch.c hv/vm/backing_fill.c */
/* link: hv/vm/backing_move.c hv/vm/backing_plan.c hv/vm/backing_view.c hv/vm/fetch.c */
/* link: hv/vm/invalidate.c hv/vm/userfault.c */
/* link: vmx/ept.c vmx/ept_dirty.c vmx/ept_pages.c vmx/ept_range.c */
/* link: vmx/ept_unlink.c vmx/ept_walk.c */
/* link: hv/host/chaos.c hv/host/random.c hv/host/wait.c hv/host/print.c */
/* link: tests/unit/fake_machine.c tests/unit/fake_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/chaos.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/random.h"
#include "hv/host/string.h"
#include "hv/vm/backing_internal.h"
#include "hv/vm/internal.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "vmx/controls.h"

#define M2 BLOCK_SIZE
#define K4 PAGE_SIZE

static struct vm vms[3];
static struct backing *b;

static unsigned int flushes[3];
static int flush_result;
static void (*on_flush)(struct vm *vm);

int vm_flush_and_free(struct vm *vm, struct ept_unlinked *tables, u64 deadline)
{
	assert_int_equal(fake_locks_held(), 0);
	flushes[vm - vms]++;
	if (on_flush)
		on_flush(vm);
	ept_free_detached(&vm->vmx.ept, tables);
	return flush_result;
}

/* These VMs have no vCPU, and so no APIC-access page. */
bool apic_page_owes_flush(struct vm *vm, gpa_t gpa, u64 len)
{
	return false;
}

void apic_page_invalidated(struct vm *vm, gpa_t gpa, u64 len)
{
}

static int setup(void **state)
{
	fake_machine_reset();
	memset(vms, 0, sizeof(vms));
	memset(flushes, 0, sizeof(flushes));
	flush_result = 0;
	on_flush = NULL;
	b = NULL;
	for (unsigned int i = 0; i < 3; i++) {
		spin_lock_init(&vms[i].vmx.lock);
		fetch_queue_init(&vms[i].fetches);
		assert_int_equal(ept_init(&vms[i].vmx.ept,
					  EPT_CAP_WALK_4 | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_AD,
					  40),
				 0);
	}
	return 0;
}

static struct backing_view shown;

/* The first VM shows all of it: who waits for a page has to. */
static void show(void)
{
	backing_attach(b, &shown, &vms[0], 0, 0, b->size);
}

static void hide(void)
{
	backing_detach(b, &shown);
	shown.vm = NULL;
}

static int teardown(void **state)
{
	if (shown.vm)
		hide();
	if (b)
		backing_put(b);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(vms[i].invalidation.in_progress, 0);
		ept_destroy(&vms[i].vmx.ept);
	}
	assert_int_equal(fake_machine.pages_live, 0);
	assert_int_equal(fake_locks_held(), 0);
	return 0;
}

static void create(u64 size, unsigned int flags)
{
	assert_int_equal(backing_create(&b, size, flags), 0);
	assert_int_equal(backing_size(b), size);
}

static struct backing_page find(u64 offset)
{
	struct backing_page page;

	assert_int_equal(backing_find(b, offset, &page), 0);
	return page;
}

static u8 *bytes(u64 offset)
{
	return (u8 *)phys_to_virt(find(offset).hpa);
}

static bool all(const u8 *p, u8 byte, u64 len)
{
	for (u64 i = 0; i < len; i++)
		if (p[i] != byte)
			return false;
	return true;
}

static bool is_missing(u64 offset)
{
	struct backing_page page;
	int err = backing_find(b, offset, &page);

	assert_true(!err || err == -EAGAIN);
	return err;
}

/* --- memory on demand ------------------------------------------------------------------------ */

static void test_create(void **state)
{
	assert_int_equal(backing_create(&b, 0, 0), -EINVAL);
	assert_int_equal(backing_create(&b, K4 + 1, 0), -EINVAL);
	assert_int_equal(backing_create(&b, K4, 8), -EINVAL);
	assert_int_equal(backing_create(&b, GIB(512) + K4, 0), -EINVAL);
	assert_int_equal(backing_create(&b, ~0ull & PAGE_MASK, 0), -EINVAL);
	for (unsigned int n = 1; n <= 2; n++) {
		fake_alloc_fail(n);
		assert_int_equal(backing_create(&b, GIB(2), 0), -ENOMEM);
	}
	fake_alloc_fail(3);
	assert_int_equal(backing_create(&b, GIB(2), BACKING_1G), -ENOMEM);
	assert_int_equal(backing_create(&b, GIB(2), BACKING_1G),
			 -ENOMEM); /* the machine is small */
	for (unsigned int n = 1; n <= 3; n++) {
		fake_page_fail(n);
		assert_int_equal(backing_create(&b, MIB(5), BACKING_RESERVE), -ENOMEM);
		assert_int_equal(fake_machine.pages_live, 3); /* the roots */
	}
	assert_null(b);
	create(K4, 0);
}

static void test_references(void **state)
{
	create(M2, BACKING_RESERVE);
	backing_get(b);
	backing_put(b);
	assert_int_equal(fake_machine.pages_live, 3 + 512);
}

static void test_on_demand(void **state)
{
	struct backing_page page;

	create(GIB(100), 0);
	assert_int_equal(fake_machine.pages_live, 3);
	assert_false(backing_look(b, GIB(7), &page));
	assert_int_equal(fake_machine.pages_live, 3);
	page = find(GIB(7) + 5 * K4);
	assert_int_equal(page.span, M2);
	assert_int_equal(page.hpa % M2, 5 * K4);
	assert_int_equal(fake_machine.pages_live, 3 + 512);
	assert_true(all(phys_to_virt(page.hpa - 5 * K4), 0, M2));
	assert_true(backing_look(b, GIB(7) + M2 - K4, &page));
	assert_int_equal(page.hpa, find(GIB(7)).hpa + M2 - K4);
	assert_false(backing_look(b, GIB(7) + M2, &page));
	assert_false(backing_look(b, GIB(7) - K4, &page));
}

/* The last block is as large as it has to be, and no large page. */
static void test_tail(void **state)
{
	create(M2 + 3 * K4, BACKING_RESERVE);
	assert_int_equal(fake_machine.pages_live, 3 + 512 + 4);
	assert_int_equal(find(M2 + 2 * K4).span, K4);
	assert_int_equal(find(M2 + 2 * K4).hpa, find(M2).hpa + 2 * K4);
	assert_true(all(bytes(M2), 0, 3 * K4));
	assert_int_equal(find(0).span, M2);
	assert_int_equal(fake_machine.pages_live, 3 + 512 + 4);
}

/* Memory that was reserved holds what another guest left there, until it is touched. */
static void test_reserved(void **state)
{
	struct backing_page page;

	create(2 * M2, BACKING_RESERVE | BACKING_1G); /* no GiB in it */
	assert_int_equal(fake_machine.pages_live, 3 + 1024);
	assert_false(backing_look(b, M2, &page));
	assert_true(all(bytes(M2), 0, M2));
	assert_int_equal(fake_machine.pages_live, 3 + 1024);
	bytes(M2)[77] = 1;
	assert_int_equal(find(M2 + K4).hpa, find(M2).hpa + K4);
	assert_int_equal(bytes(M2)[77], 1); /* zeroed once */
}

static void test_find_without_memory(void **state)
{
	struct backing_page page;

	create(2 * M2, 0);
	fake_page_fail(1);
	assert_int_equal(backing_find(b, M2, &page), -ENOMEM);
	assert_int_equal(fake_locks_held(), 0);
	assert_true(all(bytes(M2), 0, K4));
}

static backing_word *busy;
static u64 busy_until;

static void not_busy(void)
{
	assert_int_equal(fake_locks_held(), 0);
	if (fake_machine.now >= busy_until)
		atomic_fetch_and(busy, ~WORD_BUSY);
}

/* Another CPU is zeroing the block. */
static void test_busy_block(void **state)
{
	create(2 * M2, BACKING_RESERVE);
	busy = block_at(b, M2);
	busy_until = fake_machine.now + 100;
	atomic_fetch_or(busy, WORD_BUSY);
	fake_machine.on_spin = not_busy;
	find(0); /* the other block is not in the way */
	assert_true(fake_machine.now < busy_until);
	find(M2);
	assert_true(fake_machine.now >= busy_until);
}

static void test_populate(void **state)
{
	struct backing_page page;

	create(2 * M2 + 3 * K4, 0);
	assert_int_equal(backing_punch(b, M2 + K4, K4), 0);
	for (unsigned int n = 1; n <= 3; n++) {
		fake_page_fail(n);
		assert_int_equal(backing_populate(b), -ENOMEM);
	}
	fake_page_fail(0);
	assert_int_equal(backing_populate(b), 0);
	for (u64 off = 0; off < b->size; off += K4)
		assert_int_equal(backing_look(b, off, &page), off != M2 + K4);
	assert_int_equal(backing_populate(b), 0);
	assert_int_equal(b->first_wanted, NO_PAGE);
}

/* --- moves ----------------------------------------------------------------------------------- */

static void test_move_block(void **state)
{
	u64 live;
	hpa_t old, other;

	create(3 * M2, 0);
	old = find(M2).hpa;
	other = find(0).hpa;
	memset(bytes(M2), 0x42, M2);
	live = fake_machine.pages_live;
	assert_int_equal(backing_move(b, M2, M2, -1), 0);
	assert_int_not_equal(find(M2).hpa, old);
	assert_int_equal(find(M2).span, M2); /* it stays one block */
	assert_true(all(bytes(M2), 0x42, M2));
	assert_int_equal(find(0).hpa, other);
	assert_int_equal(fake_machine.pages_live, live);
	/* Nothing that was not touched takes memory for being moved. */
	assert_int_equal(backing_move(b, 0, 3 * M2, 0x99), 0);
	assert_int_equal(fake_machine.pages_live, live);
	assert_int_not_equal(find(0).hpa, other);
	assert_true(all(bytes(M2), 0x42, M2));
}

static void test_move_pages(void **state)
{
	hpa_t first;

	create(M2 + 3 * K4, 0);
	first = find(0).hpa;
	find(M2);
	for (u64 off = 0; off < b->size; off += K4)
		memset(bytes(off), (int)(off / K4), K4);
	assert_int_equal(backing_move(b, 3 * K4, 2 * K4, 0xee), 0);
	assert_int_equal(backing_move(b, M2 + K4, K4, 0xee), 0);
	for (u64 off = 0; off < b->size; off += K4) {
		bool moved = off == 3 * K4 || off == 4 * K4;

		assert_int_equal(find(off).span, K4);
		if (off < M2)
			assert_int_equal(find(off).hpa == first + off, !moved);
		assert_true(all(bytes(off), (u8)(off / K4), K4));
	}
	/* Two tables of two pages; the pages moved were given back. */
	assert_int_equal(fake_machine.pages_live, 3 + 512 + 4 + 4);
	/* All of it once more, now page by page. */
	assert_int_equal(backing_move(b, 0, b->size, -1), 0);
	for (u64 off = 0; off < b->size; off += K4)
		assert_true(all(bytes(off), (u8)(off / K4), K4));
	assert_int_equal(fake_machine.pages_live, 3 + 512 + 4 + 4);
}

static void test_move_bad(void **state)
{
	create(2 * M2, 0);
	assert_int_equal(backing_move(b, 1, K4, -1), -EINVAL);
	assert_int_equal(backing_move(b, 0, K4 + 1, -1), -EINVAL);
	assert_int_equal(backing_move(b, 0, 0, -1), -EINVAL);
	assert_int_equal(backing_move(b, 2 * M2, K4, -1), -EINVAL);
	assert_int_equal(backing_move(b, M2, M2 + K4, -1), -EINVAL);
	assert_int_equal(backing_move(b, M2, -M2, -1), -EINVAL);
	assert_int_equal(backing_move(b, 0, K4, -2), -EINVAL);
	assert_int_equal(backing_move(b, 0, K4, 256), -EINVAL);
	assert_int_equal(backing_punch(b, 0, 3 * M2), -EINVAL);
	assert_int_equal(backing_punch(b, K4, K4), 0);
	assert_int_equal(backing_move(b, 0, M2, -1), -EAGAIN);
	assert_int_equal(backing_move(b, K4, K4, -1), -EAGAIN);
	assert_int_equal(backing_move(b, M2, M2, -1), 0);
}

/* --- moves under a guest --------------------------------------------------------------------- */

static bool mapped(struct vm *vm, gpa_t gpa)
{
	struct ept_mapping m;

	return !ept_lookup(&vm->vmx.ept, gpa, &m);
}

static void map(struct vm *vm, gpa_t gpa, u64 offset, u64 size)
{
	assert_int_equal(ept_map(&vm->vmx.ept, gpa, find(offset).hpa, size, EPT_RWX), 0);
}

static hpa_t old_frame;
static u64 old_seq;

static bool retry(struct vm *vm, gpa_t gpa, u64 seq)
{
	bool again;

	spin_lock(&vm->vmx.lock);
	again = invalidate_retry(vm, gpa, seq);
	spin_unlock(&vm->vmx.lock);
	return again;
}

/* The page at offset M2 + 7 * K4 moves; the VM shows the backing from GIB(1). */
static void look_at_flush(struct vm *vm)
{
	/* No translation of it, all others untouched; it is still where it was. */
	assert_false(mapped(vm, GIB(1) + M2 + 7 * K4));
	assert_true(mapped(vm, GIB(1) + M2 + 6 * K4));
	assert_true(mapped(vm, GIB(1) + M2 + 8 * K4));
	assert_int_equal(find(M2 + 7 * K4).hpa, old_frame);
	/* A fault on it, or on a page that a large leaf would map together with it, starts over. */
	assert_true(retry(vm, GIB(1) + M2 + 7 * K4, invalidate_seq(vm)));
	assert_true(retry(vm, GIB(1) + M2, invalidate_seq(vm)));
	assert_true(retry(vm, GIB(1) + 2 * M2 - K4, invalidate_seq(vm)));
	assert_false(retry(vm, GIB(1) + M2 - K4, invalidate_seq(vm)));
	assert_false(retry(vm, GIB(1) + 2 * M2, invalidate_seq(vm)));
	assert_int_equal(invalidate_seq(vm), old_seq);
}

static void test_move_protocol(void **state)
{
	struct backing_view v;
	struct vm *vm = &vms[0];

	create(4 * M2, 0);
	memset(bytes(M2 + 7 * K4), 0x17, K4);
	backing_attach(b, &v, vm, GIB(1), 0, 4 * M2);
	for (u64 off = 0; off < 4 * M2; off += M2)
		map(vm, GIB(1) + off, off, M2);
	old_frame = find(M2 + 7 * K4).hpa;
	old_seq = invalidate_seq(vm);
	on_flush = look_at_flush;
	assert_int_equal(backing_move(b, M2 + 7 * K4, K4, 0x66), 0);
	assert_int_equal(flushes[0], 1);
	assert_int_equal(flushes[1], 0);
	assert_int_not_equal(find(M2 + 7 * K4).hpa, old_frame);
	assert_true(all(bytes(M2 + 7 * K4), 0x17, K4));
	/* Who looked before it began does not install what it found. */
	assert_true(retry(vm, GIB(1), old_seq));
	assert_false(retry(vm, GIB(1) + M2 + 7 * K4, invalidate_seq(vm)));
	backing_detach(b, &v);
	on_flush = NULL;
	assert_int_equal(backing_move(b, M2, M2, -1), 0);
	assert_int_equal(flushes[0], 1);
}

/* Two VMs, one of them twice, one with a part, one elsewhere. */
static void test_move_views(void **state)
{
	struct backing_view v[5];

	create(4 * M2, 0);
	backing_attach(b, &v[0], &vms[0], 0, 0, 4 * M2);
	backing_attach(b, &v[1], &vms[1], GIB(1) + K4, M2, M2);
	backing_attach(b, &v[2], &vms[0], GIB(2), M2 - K4, 3 * K4);
	backing_attach(b, &v[3], &vms[2], 0, 3 * M2, M2);
	backing_attach(b, &v[4], &vms[1], GIB(3), 2 * M2 + K4, K4);
	for (unsigned int i = 0; i < 5; i++)
		for (u64 at = 0; at < v[i].size; at += K4)
			map(v[i].vm, v[i].gpa + at, v[i].offset + at, K4);
	assert_int_equal(backing_move(b, M2 + K4, M2, -1), 0);
	assert_int_equal(flushes[0], 1);
	assert_int_equal(flushes[1], 1);
	assert_int_equal(flushes[2], 0);
	for (unsigned int i = 0; i < 5; i++) {
		for (u64 at = 0; at < v[i].size; at += K4) {
			u64 off = v[i].offset + at;

			assert_int_equal(mapped(v[i].vm, v[i].gpa + at),
					 off < M2 + K4 || off >= 2 * M2 + K4);
		}
		backing_detach(b, &v[i]);
	}
}

static void test_move_timeout(void **state)
{
	struct backing_view v;
	hpa_t page, block;
	u64 live, seq;

	create(2 * M2, 0);
	backing_attach(b, &v, &vms[0], 0, 0, 2 * M2);
	page = find(0).hpa;
	block = find(M2).hpa;
	live = fake_machine.pages_live;
	seq = invalidate_seq(&vms[0]);
	flush_result = -ETIMEDOUT;
	assert_int_equal(backing_move(b, K4, 2 * M2 - K4, 0x55), -ETIMEDOUT);
	assert_int_equal(backing_punch(b, 0, M2), -ETIMEDOUT);
	assert_int_equal(find(0).hpa, page);
	assert_int_equal(find(M2).hpa, block);
	assert_int_equal(find(M2).span, M2);
	assert_true(all(bytes(0), 0, 2 * K4));
	assert_int_equal(fake_machine.pages_live, live);
	assert_int_equal(invalidate_seq(&vms[0]), seq + 2);
	backing_detach(b, &v);
}

/* Whatever cannot be had: nothing has moved, and all that was taken is given back. */
static void test_move_without_memory(void **state)
{
	struct backing_view v;
	u64 live;
	int err;

	create(3 * M2, 0);
	backing_attach(b, &v, &vms[0], 0, 0, 3 * M2);
	memset(bytes(0), 1, M2);
	memset(bytes(M2), 2, M2);
	memset(bytes(2 * M2), 3, M2);
	assert_int_equal(backing_move(b, 2 * M2, 4 * K4, -1), 0); /* this one is in pages */
	map(&vms[0], 0, 0, M2);
	map(&vms[0], M2, M2, M2);
	live = fake_machine.pages_live;
	for (unsigned int kind = 0; kind < 3; kind++) {
		for (unsigned int n = 1;; n++) {
			if (kind == 1)
				fake_alloc_fail(n);
			else
				fake_page_fail(n);
			err = kind == 2 ? backing_punch(b, M2 + K4, M2)
					: backing_move(b, M2 - 2 * K4, M2 + 5 * K4, 0xaa);
			fake_alloc_fail(0);
			fake_page_fail(0);
			if (!err)
				break;
			assert_int_equal(err, -ENOMEM);
			assert_int_equal(fake_machine.pages_live, live);
			assert_true(all(bytes(M2 - K4), 1, K4));
			assert_true(all(bytes(M2 + K4), 2, K4));
			assert_true(all(bytes(2 * M2 + 3 * K4), 3, K4));
			assert_in_range(n, 1, 20);
		}
		live = fake_machine.pages_live;
	}
	backing_detach(b, &v);
}

static void end_of_move(void)
{
	assert_int_equal(fake_locks_held(), 0);
	spin_lock(&b->lock);
	b->moving = false;
	spin_unlock(&b->lock);
	wake_all(&b->moved);
	fake_machine.on_block = NULL;
}

static void a_move_begins(void)
{
	b->moving = true;
	fake_machine.on_block = end_of_move;
}

/* While one move is under way others, and changes of the views, wait. */
static void test_one_at_a_time(void **state)
{
	struct backing_view v;

	create(M2, 0);
	find(0);
	a_move_begins();
	backing_attach(b, &v, &vms[0], 0, 0, M2);
	assert_int_equal(fake_machine.blocks, 1);
	a_move_begins();
	assert_int_equal(backing_move(b, 0, M2, -1), 0);
	assert_int_equal(fake_machine.blocks, 2);
	assert_int_equal(flushes[0], 1);
	a_move_begins();
	backing_detach(b, &v);
	assert_int_equal(fake_machine.blocks, 3);
	assert_true(list_empty(&b->views));
}

static void end_while_spinning(void)
{
	if (b->moving)
		end_of_move();
}

/* It ends somewhere between the look and the sleep. */
static void test_move_ends_early(void **state)
{
	unsigned int awake = 0;
	struct backing_view v;

	create(M2, 0);
	for (u64 seed = 0; seed < 50; seed++) {
		chaos_init(seed);
		a_move_begins();
		fake_machine.blocks = 0;
		fake_machine.on_spin = end_while_spinning;
		backing_attach(b, &v, &vms[0], 0, 0, M2);
		assert_false(wait_queue_active(&b->moved));
		awake += !fake_machine.blocks;
		fake_machine.on_spin = NULL;
		backing_detach(b, &v);
	}
	chaos_off();
	assert_in_range(awake, 5, 45);
}

/* --- missing pages --------------------------------------------------------------------------- */

static u64 next_fetch(void)
{
	struct fetch f;

	assert_int_equal(vm_next_fetch(&vms[0], &f, 0), 0);
	assert_ptr_equal(f.backing, b);
	backing_put(f.backing);
	return f.offset;
}

static void no_fetch(void)
{
	struct fetch f;

	assert_int_equal(vm_next_fetch(&vms[0], &f, 0), -ETIMEDOUT);
}

static struct wait_queue other;

static void kick_other(void)
{
	assert_int_equal(wake_all(&other), 1);
}

static unsigned int asked;

static bool stop_at_second(void *arg)
{
	assert_int_equal(fake_locks_held(), 0);
	assert_ptr_equal(arg, &asked);
	return ++asked == 2;
}

/* Somebody wants a page that is missing, and something else then. */
static void want(u64 offset)
{
	void (*sleeping)(void) = fake_machine.on_block;
	unsigned int blocks = fake_machine.blocks;

	wait_queue_init(&other);
	asked = 0;
	fake_machine.on_block = kick_other;
	assert_true(is_missing(offset));
	assert_int_equal(backing_wait(b, offset, &vms[0].fetches, &other, stop_at_second, &asked),
			 -EINTR);
	assert_int_equal(fake_machine.blocks, blocks + 1);
	assert_false(wait_queue_active(&other));
	fake_machine.on_block = sleeping;
	fake_machine.blocks = blocks;
}

static u8 data[PAGE_SIZE];

static int fill(u64 offset, u8 byte)
{
	memset(data, byte, sizeof(data));
	return backing_fill(b, offset, data);
}

/* From present to missing, wanted, arriving, present. */
static void test_fetch(void **state)
{
	create(2 * M2, 0);
	show();
	memset(bytes(0), 0x31, M2);
	no_fetch();
	assert_int_equal(backing_punch(b, 2 * K4, 3 * K4), 0);
	no_fetch(); /* nobody wants one */
	assert_false(is_missing(K4));
	assert_false(is_missing(5 * K4));
	assert_true(is_missing(3 * K4));
	no_fetch(); /* nor does who only looks */
	want(3 * K4);
	want(2 * K4);
	want(3 * K4); /* once is enough */
	assert_int_equal(next_fetch(), 3 * K4);
	want(3 * K4); /* it is on its way */
	assert_int_equal(next_fetch(), 2 * K4);
	no_fetch();
	assert_int_equal(fill(3 * K4, 0x77), 0);
	assert_int_equal(fill(3 * K4, 0x78), -EEXIST);
	assert_true(all(bytes(3 * K4), 0x77, K4));
	assert_int_equal(fill(4 * K4, 0x79), 0); /* nobody asked */
	assert_true(all(bytes(4 * K4), 0x79, K4));
	assert_true(is_missing(2 * K4));
	assert_int_equal(backing_punch(b, 0, M2), 0); /* what is on its way stays so */
	assert_int_equal(fake_machine.pages_live, 3 + 2);
	want(2 * K4);
	no_fetch();
	assert_int_equal(fill(2 * K4, 0x7a), 0);
	want(3 * K4); /* the others are missing anew */
	assert_int_equal(next_fetch(), 3 * K4);
}

static void test_fill_bad(void **state)
{
	create(M2 + K4, 0);
	assert_int_equal(fill(1, 0), -EINVAL);
	assert_int_equal(fill(M2 + K4, 0), -EINVAL);
	assert_int_equal(fill(0, 1), -EEXIST); /* there are zeroes */
	assert_int_equal(backing_punch(b, M2, K4), 0);
	fake_page_fail(1);
	assert_int_equal(fill(M2, 1), -ENOMEM);
	assert_true(is_missing(M2));
	assert_int_equal(fill(M2, 1), 0);
	assert_true(all(bytes(M2), 1, K4));
	assert_int_equal(find(M2).span, K4);
}

/* A page that somebody brings unasked leaves the queue, wherever it is in it. */
static void test_queue(void **state)
{
	for (unsigned int out = 0; out < 5; out++) {
		create(3 * M2, 0);
		show();
		assert_int_equal(backing_punch(b, 0, 3 * M2), 0);
		for (unsigned int i = 0; i < 5; i++)
			want(i * 300 * K4);
		assert_int_equal(fill(out * 300 * K4, 9), 0);
		for (unsigned int i = 0; i < 5; i++)
			if (i != out)
				assert_int_equal(next_fetch(), i * 300 * K4);
		no_fetch();
		want(K4);
		assert_int_equal(next_fetch(), K4);
		hide();
		backing_put(b);
		b = NULL;
	}
}

/* To make memory missing takes what there is to say about its pages, not the memory. */
static void test_punch_memory(void **state)
{
	create(4 * M2 + 3 * K4, 0);
	assert_int_equal(backing_punch(b, 0, b->size), 0);
	assert_int_equal(fake_machine.pages_live, 3 + 5 * 2);
	assert_int_equal(backing_punch(b, K4, M2), 0);
	assert_int_equal(fake_machine.pages_live, 3 + 5 * 2);
	backing_put(b);
	create(2 * M2 + 3 * K4, BACKING_RESERVE); /* reserved, and never touched */
	assert_int_equal(backing_punch(b, M2 - K4, 2 * K4), 0);
	assert_int_equal(backing_punch(b, 2 * M2 + K4, K4), 0);
	assert_int_equal(fake_machine.pages_live, 3 + 3 * 2 + 2 * 512 + 4 - 3);
	assert_true(all(bytes(M2 - 2 * K4), 0, K4)); /* the rest is zeroed when it is */
	assert_true(all(bytes(2 * M2), 0, K4));
	assert_int_equal(backing_populate(b), 0);
	assert_int_equal(fake_machine.pages_live, 3 + 3 * 2 + 2 * 512 + 4 - 3);
	assert_int_equal(backing_punch(b, 0, b->size), 0);
	assert_int_equal(fake_machine.pages_live, 3 + 3 * 2 + 1); /* the tail was four pages */
}

/* A page of a block that was cut before anybody touched it. */
static void test_empty_pages(void **state)
{
	struct backing_page page;

	create(M2, 0);
	assert_int_equal(backing_punch(b, 0, K4), 0);
	fake_page_fail(1);
	assert_int_equal(backing_find(b, K4, &page), -ENOMEM);
	assert_true(all(bytes(K4), 0, K4));
	assert_int_equal(find(K4).span, K4);
	assert_int_equal(fake_machine.pages_live, 3 + 2 + 1);
	assert_int_equal(backing_move(b, K4, 3 * K4, -1), 0);
	assert_int_equal(fake_machine.pages_live, 3 + 2 + 1);
	assert_int_equal(backing_punch(b, K4, 2 * K4), 0);
	assert_int_equal(fake_machine.pages_live, 3 + 2);
}

/* --- waiting --------------------------------------------------------------------------------- */

static u64 arrives;

static void bring(void)
{
	assert_int_equal(next_fetch(), arrives);
	assert_int_equal(fill(arrives, 5), 0);
}

static int wait_for(u64 offset, struct wait_queue *also, bool (*stop)(void *arg))
{
	return backing_wait(b, offset, &vms[0].fetches, also, stop, stop ? &asked : NULL);
}

static void test_wait(void **state)
{
	create(M2, 0);
	show();
	wait_queue_init(&other);
	assert_int_equal(wait_for(0, NULL, NULL), 0); /* it is not missing */
	assert_int_equal(backing_punch(b, 0, M2), 0);
	fake_machine.on_block = bring;
	arrives = 9 * K4;
	assert_int_equal(wait_for(arrives, NULL, NULL), 0);
	assert_int_equal(fake_machine.blocks, 1);
	assert_int_equal(wait_for(arrives, &other, NULL), 0);
	assert_int_equal(fake_machine.blocks, 1);
	arrives = 25 * K4; /* shares its queue with the first */
	assert_int_equal(wait_for(arrives, &other, NULL), 0);
	assert_int_equal(fake_machine.blocks, 2);
	assert_false(wait_queue_active(&other));

	/* A wake-up of the other queue: stop() is asked again. */
	asked = 0;
	fake_machine.on_block = kick_other;
	assert_int_equal(wait_for(0, &other, stop_at_second), -EINTR);
	assert_int_equal(asked, 2);
	assert_int_equal(fake_machine.blocks, 3);
	assert_int_equal(next_fetch(), 0); /* it was asked for */
	asked = 1;
	assert_int_equal(wait_for(0, &other, stop_at_second), -EINTR);
	assert_int_equal(fake_machine.blocks, 3);
	assert_false(wait_queue_active(&other));
}

/* Gone again before who waited has looked. */
static void bring_and_punch(void)
{
	bring();
	assert_int_equal(backing_punch(b, arrives, K4), 0);
	fake_machine.on_block = bring;
}

static void test_wait_again(void **state)
{
	create(M2, 0);
	show();
	assert_int_equal(backing_punch(b, 0, M2), 0);
	arrives = 3 * K4;
	fake_machine.on_block = bring_and_punch;
	assert_int_equal(wait_for(arrives, NULL, NULL), 0);
	assert_int_equal(fake_machine.blocks, 2);
	assert_false(is_missing(arrives));
}

static void want_two(void)
{
	want(4 * K4);
	want(6 * K4);
}

/* Who brings pages sleeps until one is wanted, or its deadline. */
static void test_next_fetch(void **state)
{
	struct fetch f;
	u64 start;

	create(M2, 0);
	show();
	assert_int_equal(backing_punch(b, 0, M2), 0);
	fake_machine.on_block = want_two;
	assert_int_equal(vm_next_fetch(&vms[0], &f, fake_machine.now + 1000), 0);
	assert_int_equal(f.offset, 4 * K4);
	assert_int_equal(fake_machine.blocks, 1);
	fake_machine.on_block = NULL;
	backing_put(f.backing);
	assert_int_equal(vm_next_fetch(&vms[0], &f, fake_machine.now + 1000), 0);
	assert_int_equal(f.offset, 6 * K4);
	backing_put(f.backing);
	start = fake_machine.now;
	assert_int_equal(vm_next_fetch(&vms[0], &f, start + 1000), -ETIMEDOUT);
	assert_int_equal(fake_machine.now, start + 1000);
	assert_false(wait_queue_active(&vms[0].fetches.wanted));
}

/* A second thread that brings pages, asleep. */
static void test_wake_passed_on(void **state)
{
	struct waiter w;

	create(M2, 0);
	show();
	assert_int_equal(backing_punch(b, 0, M2), 0);
	want_two();
	wait_prepare(&vms[0].fetches.wanted, &w);
	assert_int_equal(next_fetch(), 4 * K4);
	assert_true(*w.woken); /* there is more to do */
	wait_finish(&vms[0].fetches.wanted, &w);
	wait_prepare(&vms[0].fetches.wanted, &w);
	assert_int_equal(next_fetch(), 6 * K4);
	assert_false(*w.woken);
	wait_finish(&vms[0].fetches.wanted, &w);
}

/* --- everything at random -------------------------------------------------------------------- */

#define PAGES (2 * 512 + 5)
#define GONE  256

static u16 model[PAGES]; /* the byte in every page */

static void check_flush(struct vm *vm)
{
	assert_true(vm->invalidation.in_progress);
}

static void random_step(struct rng *r)
{
	u64 first = rng_below(r, PAGES), n = rng_below(r, 4) ? 1 + rng_below(r, 9) : PAGES;
	u8 byte = (u8)rng_next(r);
	unsigned int op = (unsigned int)rng_below(r, 12);
	bool missing = false;
	int err;

	n = min_u64(n, PAGES - first);
	for (u64 i = first; i < first + n; i++)
		missing |= model[i] == GONE;
	if (op == 0) {
		assert_int_equal(backing_punch(b, first * K4, n * K4), 0);
		for (u64 i = first; i < first + n; i++)
			model[i] = GONE;
	} else if (op < 4) {
		err = backing_move(b, first * K4, n * K4, 0xcc);
		assert_int_equal(err, missing ? -EAGAIN : 0);
	} else if (op < 8) {
		err = fill(first * K4, byte);
		assert_int_equal(err, model[first] == GONE ? 0 : -EEXIST);
		if (!err)
			model[first] = byte;
	} else if (!is_missing(first * K4)) {
		assert_true(all(bytes(first * K4), (u8)model[first], K4));
		memset(bytes(first * K4), byte, K4);
		model[first] = byte;
	} else {
		assert_int_equal(model[first], GONE);
	}
}

static void test_random(void **state)
{
	struct backing_view v;
	struct rng r;

	for (unsigned int round = 0; round < 12; round++) {
		rng_init(&r, round, 0);
		memset(model, 0, sizeof(model));
		create(PAGES * K4, round & 1 ? BACKING_RESERVE : 0);
		backing_attach(b, &v, &vms[0], 0, 0, PAGES * K4);
		on_flush = check_flush;
		for (unsigned int i = 0; i < 400; i++)
			random_step(&r);
		for (u64 i = 0; i < PAGES; i++) {
			assert_int_equal(is_missing(i * K4), model[i] == GONE);
			if (model[i] != GONE)
				assert_true(all(bytes(i * K4), (u8)model[i], K4));
		}
		backing_detach(b, &v);
		backing_put(b);
		b = NULL;
		assert_int_equal(fake_machine.pages_live, 3);
		setup(NULL);
	}
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create),
		TEST(test_references),
		TEST(test_on_demand),
		TEST(test_tail),
		TEST(test_reserved),
		TEST(test_find_without_memory),
		TEST(test_busy_block),
		TEST(test_populate),
		TEST(test_move_block),
		TEST(test_move_pages),
		TEST(test_move_bad),
		TEST(test_move_protocol),
		TEST(test_move_views),
		TEST(test_move_timeout),
		TEST(test_move_without_memory),
		TEST(test_one_at_a_time),
		TEST(test_move_ends_early),
		TEST(test_fetch),
		TEST(test_fill_bad),
		TEST(test_queue),
		TEST(test_punch_memory),
		TEST(test_empty_pages),
		TEST(test_wait),
		TEST(test_wait_again),
		TEST(test_next_fetch),
		TEST(test_wake_passed_on),
		TEST(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
