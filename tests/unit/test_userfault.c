/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bitmaps that hide pages: their bits, what a guest and the hypervisor find, the size of leaves,
 * bits that are set beside running guests, and slots that are changed.
 */
/* link: @vm hv/host/errno.c tests/unit/slots_fixture.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/host/chaos.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/random.h"
#include "hv/host/timer.h"
#include "hv/vm/backing_internal.h"
#include "hv/vm/internal.h"
#include "hv/vm/userfault.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/slots_fixture.h"

#define K256 (64 * K4)

static struct userfault *u; /* of `mem` */

static int setup(void **state)
{
	slots_setup(state);
	assert_int_equal(userfault_create(&u, mem, false), 0);
	return 0;
}

static int teardown(void **state)
{
	userfault_put(u);
	return slots_teardown(state);
}

/* Slot 1 shows `mem` from its start, through the bitmap. */
static struct slot_change through(u64 size, u32 flags)
{
	struct slot_change c = create(1, BASE, size);

	c.flags = flags | SLOT_USERFAULT;
	c.userfault = u;
	return c;
}

static void show(u64 size)
{
	assert_int_equal(change(through(size, 0), SLOTS_ATOMIC), 0);
}

static void expect_hidden(gpa_t gpa, unsigned int access)
{
	u64 refs = atomic_load(&mem->refs);
	struct missing m = { .exit = false };

	assert_int_equal(vm_fault(vm, gpa, access, &m), -EAGAIN);
	assert_true(m.exit);
	assert_int_equal(atomic_load(&mem->refs), refs);
	assert_false(mapped(gpa));
}

static u64 leaf(gpa_t gpa)
{
	struct ept_mapping m;

	return ept_lookup(&vm->vmx.ept, gpa, &m) ? 0 : m.size;
}

static void set(u64 offset, u64 len)
{
	assert_int_equal(userfault_set(u, offset, len), 0);
	assert_int_equal(fake_locks_held(), 0);
	assert_int_equal(vm->invalidation.in_progress, 0);
}

/* --- bits ------------------------------------------------------------------------------------ */

static void test_create(void **state)
{
	u64 live = fake_machine.pages_live;
	struct userfault *v = NULL;

	fake_alloc_fail(1);
	assert_int_equal(userfault_create(&v, mem, true), -ENOMEM);
	fake_page_fail(1);
	assert_int_equal(userfault_create(&v, mem, true), -ENOMEM);
	assert_null(v);
	assert_int_equal(atomic_load(&mem->refs), 2); /* ours, and that of u */
	assert_int_equal(userfault_create(&v, mem, true), 0);
	assert_ptr_equal(userfault_backing(v), mem);
	assert_int_equal(atomic_load(&mem->refs), 3);
	for (u64 off = 0; off < MIB(16); off += K4) {
		assert_true(userfault_hides(v, off));
		assert_false(userfault_hides(u, off));
	}
	userfault_get(v);
	userfault_put(v);
	assert_true(userfault_hides_any(v, MIB(16) - K256, K256));
	userfault_put(v);
	assert_int_equal(atomic_load(&mem->refs), 2);
	assert_int_equal(fake_machine.pages_live, live);
}

/* The last word has more bits than there are pages. */
static void test_tail(void **state)
{
	struct userfault *v;
	struct backing *b;

	assert_int_equal(backing_create(&b, 65 * K4, 0), 0);
	assert_int_equal(userfault_create(&v, b, true), 0);
	backing_put(b); /* it has a reference of its own */
	assert_true(userfault_hides(v, 64 * K4));
	userfault_clear_page(v, 64 * K4);
	assert_false(userfault_hides(v, 64 * K4));
	assert_true(userfault_hides(v, 63 * K4));
	userfault_clear(v, 0, ~0ull);
	assert_false(userfault_hides_any(v, 0, K256));
	assert_int_equal(userfault_set(v, 64 * K4, K4), 0);
	assert_int_equal(userfault_set(v, 64 * K4, 2 * K4), -EINVAL);
	assert_true(userfault_hides(v, 64 * K4));
	userfault_put(v);
}

static void test_bits(void **state)
{
	assert_int_equal(userfault_set(u, 1, K4), -EINVAL);
	assert_int_equal(userfault_set(u, 0, K4 - 1), -EINVAL);
	assert_int_equal(userfault_set(u, 0, 0), -EINVAL);
	assert_int_equal(userfault_set(u, MIB(16), K4), -EINVAL);
	assert_int_equal(userfault_set(u, K4, MIB(16)), -EINVAL);
	assert_int_equal(userfault_set(u, -(u64)K4, 2 * K4), -EINVAL);
	assert_false(userfault_hides_any(u, 0, MIB(16)));
	set(63 * K4, 2 * K4);
	for (u64 page = 0; page < 130; page++)
		assert_int_equal(userfault_hides(u, page * K4), page == 63 || page == 64);
	assert_true(userfault_hides_any(u, 0, K256));
	assert_true(userfault_hides_any(u, K256, K256));
	assert_false(userfault_hides_any(u, 2 * K256, MIB(16) - 2 * K256));
	userfault_clear_page(u, 63 * K4);
	assert_false(userfault_hides_any(u, 0, K256));
	assert_true(userfault_hides_any(u, 0, MIB(16)));
	set(K256, K256);
	userfault_clear(u, K256, 0xff00ull);
	for (u64 page = 64; page < 128; page++)
		assert_int_equal(userfault_hides(u, page * K4), page < 72 || page > 79);
	userfault_clear(u, K256, 0);
	assert_true(userfault_hides(u, K256));
}

/* --- what a guest finds ------------------------------------------------------------------------
 */

static void test_fault(void **state)
{
	struct missing m;

	set(3 * K4, K4);
	show(M2);
	expect_hidden(BASE + 3 * K4 + 5, FAULT_READ);
	expect_hidden(BASE + 3 * K4, FAULT_WRITE | FAULT_READ);
	expect_hidden(BASE + 3 * K4, FAULT_FETCH);
	touch(BASE + 2 * K4, FAULT_READ);
	touch(BASE + 4 * K4, FAULT_WRITE);
	assert_int_equal(leaf(BASE + 2 * K4), K4);
	assert_false(mapped(BASE + 3 * K4));
	userfault_clear_page(u, 3 * K4);
	touch(BASE + 3 * K4, FAULT_WRITE);
	/* A page that is missing, and not hidden, is waited for. */
	assert_int_equal(backing_punch(mem, 9 * K4, K4), 0);
	assert_int_equal(vm_fault(vm, BASE + 9 * K4, FAULT_READ, &m), -EAGAIN);
	assert_false(m.exit);
	assert_ptr_equal(m.backing, mem);
	assert_int_equal(m.offset, 9 * K4);
	backing_put(m.backing);
	/* Hidden and missing: hidden first. */
	set(9 * K4, K4);
	expect_hidden(BASE + 9 * K4, FAULT_READ);
}

/* The bit is the page's, wherever the slot shows it. */
static void test_offset(void **state)
{
	struct slot_change c = through(8 * K4, 0);

	c.offset = M2 + 5 * K4;
	assert_int_equal(change(c, SLOTS_ATOMIC), 0);
	set(M2 + 7 * K4, K4);
	for (u64 page = 0; page < 8; page++)
		if (page == 2)
			expect_hidden(BASE + page * K4, FAULT_READ);
		else
			touch(BASE + page * K4, FAULT_READ);
}

/* A leaf of 2 MiB only where nothing is hidden; one that is there is split. */
static void test_leaves(void **state)
{
	show(4 * M2);
	set(M2 + 511 * K4, K4);
	touch(BASE, FAULT_READ);
	assert_int_equal(leaf(BASE), M2);
	touch(BASE + M2, FAULT_READ);
	assert_int_equal(leaf(BASE + M2), K4);
	touch(BASE + 2 * M2, FAULT_READ);
	assert_int_equal(leaf(BASE + 2 * M2 + 5 * K4), M2);
	set(2 * M2 + 6 * K4, K4);
	assert_false(mapped(BASE + 2 * M2 + 6 * K4));
	assert_int_equal(leaf(BASE + 2 * M2 + 5 * K4), K4);
	assert_int_equal(nr_mapped(BASE + 2 * M2, M2), 511);
	userfault_clear_page(u, 2 * M2 + 6 * K4);
	touch(BASE + 2 * M2 + 6 * K4, FAULT_READ);
	assert_int_equal(leaf(BASE + 2 * M2 + 6 * K4), K4);
	/* All of a block at once. */
	touch(BASE + 3 * M2, FAULT_READ);
	set(3 * M2, M2);
	assert_int_equal(nr_mapped(BASE + 3 * M2, M2), 0);
	for (u64 off = 0; off < M2; off += K256)
		userfault_clear(u, 3 * M2 + off, ~0ull);
	touch(BASE + 3 * M2 + K4, FAULT_READ);
	assert_int_equal(leaf(BASE + 3 * M2), M2);
}

static void test_populate(void **state)
{
	show(2 * M2);
	set(9 * K4, K4);
	assert_int_equal(vm_populate(vm), 0);
	assert_int_equal(nr_mapped(BASE, M2), 511); /* its neighbours are, each */
	assert_false(mapped(BASE + 9 * K4));
	assert_int_equal(leaf(BASE + M2), M2);
	assert_true(userfault_hides(u, 9 * K4));
	userfault_clear_page(u, 9 * K4);
	assert_int_equal(vm_populate(vm), 0);
	assert_int_equal(nr_mapped(BASE, M2), 512);
}

/* Where nothing may be written a write is no matter of what is there. */
static void test_readonly(void **state)
{
	struct missing m;

	assert_int_equal(change(through(M2, SLOT_READONLY), SLOTS_ATOMIC), 0);
	set(0, K4);
	expect_hidden(BASE, FAULT_READ);
	assert_int_equal(vm_fault(vm, BASE, FAULT_WRITE, &m), -EPERM);
	userfault_clear_page(u, 0);
	touch(BASE, FAULT_READ);
	assert_int_equal(vm_fault(vm, BASE, FAULT_WRITE, &m), -EPERM);
}

/* --- what the hypervisor finds -----------------------------------------------------------------
 */

static void test_access(void **state)
{
	u8 buf[3 * K4], byte = 7;

	show(M2);
	set(4 * K4, K4);
	memset(buf, 0x11, sizeof(buf));
	assert_int_equal(backing_write(mem, 3 * K4, buf, sizeof(buf)), 0); /* goes past it */
	memset(buf, 0x5a, sizeof(buf));
	assert_int_equal(vm_read(vm, BASE + 3 * K4, buf, sizeof(buf)), -EAGAIN);
	assert_int_equal(buf[K4 - 1], 0x11); /* halfway */
	assert_int_equal(buf[K4], 0x5a);
	assert_int_equal(vm_write(vm, BASE + 5 * K4 - 1, &byte, 1), -EAGAIN);
	assert_int_equal(vm_fill(vm, BASE + 5 * K4 - 1, 9, 2), -EAGAIN);
	assert_int_equal(vm_fill(vm, BASE + 4 * K4 - 1, 9, 2), -EAGAIN);
	assert_int_equal(backing_read(mem, 3 * K4, buf, sizeof(buf)), 0);
	assert_int_equal(buf[K4 - 1], 9);
	assert_int_equal(buf[K4], 0x11);
	assert_int_equal(buf[2 * K4 - 1], 0x11);
	assert_int_equal(buf[2 * K4], 0x11);
	assert_int_equal(fake_machine.blocks, 0);
	userfault_clear_page(u, 4 * K4);
	assert_int_equal(vm_read(vm, BASE + 4 * K4, &byte, 1), 0);
	assert_int_equal(byte, 0x11);
}

static void test_vcpu_access(void **state)
{
	struct vcpu *vcpu = vm->vcpu[0];
	u64 value = 0;

	show(M2);
	set(4 * K4, K4);
	assert_int_equal(vcpu_read(vcpu, BASE + 4 * K4 + 16, &value, 8), -EAGAIN);
	assert_int_equal(vcpu->missing.gpa & PAGE_MASK, BASE + 4 * K4);
	assert_int_equal(vcpu->missing.access, FAULT_READ);
	assert_int_equal(vcpu_write(vcpu, BASE + 4 * K4, &value, 8), -EAGAIN);
	assert_int_equal(vcpu->missing.access, FAULT_WRITE);
	assert_int_equal(vcpu_cmpxchg(vcpu, BASE + 4 * K4, 8, &value, 1), -EAGAIN);
	assert_true(vcpu->missing.access & FAULT_WRITE);
	assert_int_equal(vcpu_read_known(vcpu, KNOWN_CODE, BASE + 4 * K4, &value, 8), -EAGAIN);
	assert_int_equal(value, 0);
	assert_int_equal(fake_machine.blocks, 0);
}

/* Where a page was found the last time does not outlive its being hidden. */
static void test_known(void **state)
{
	struct vcpu *vcpu = vm->vcpu[0];
	u64 value = 0x1111;

	show(M2);
	assert_int_equal(backing_write(mem, 4 * K4, &value, 8), 0);
	for (unsigned int use = 0; use < NR_KNOWN; use++) {
		value = 0;
		assert_int_equal(
			vcpu_read_known(vcpu, (enum known_use)use, BASE + 4 * K4, &value, 8), 0);
		assert_int_equal(value, 0x1111);
	}
	set(4 * K4, K4);
	for (unsigned int use = 0; use < NR_KNOWN; use++)
		assert_int_equal(
			vcpu_read_known(vcpu, (enum known_use)use, BASE + 4 * K4, &value, 8),
			-EAGAIN);
	value = 0x2222;
	assert_int_equal(backing_write(mem, 4 * K4, &value, 8), 0);
	userfault_clear_page(u, 4 * K4);
	for (unsigned int use = 0; use < NR_KNOWN; use++) {
		value = 0;
		assert_int_equal(
			vcpu_read_known(vcpu, (enum known_use)use, BASE + 4 * K4, &value, 8), 0);
		assert_int_equal(value, 0x2222);
	}
	/* Nor the slot's getting a bitmap. */
	set(4 * K4, K4);
	assert_int_equal(change((struct slot_change){ .op = SLOT_FLAGS, .id = 1 }, SLOTS_ATOMIC),
			 0);
	assert_int_equal(vcpu_read_known(vcpu, KNOWN_CODE, BASE + 4 * K4, &value, 8), 0);
	assert_int_equal(change((struct slot_change){ .op = SLOT_FLAGS,
						      .id = 1,
						      .flags = SLOT_USERFAULT,
						      .userfault = u },
				SLOTS_ATOMIC),
			 0);
	assert_int_equal(vcpu_read_known(vcpu, KNOWN_CODE, BASE + 4 * K4, &value, 8), -EAGAIN);
}

/* --- bits that are set beside others -----------------------------------------------------------
 */

static bool seen_in_progress;

static void vcpu_reacts(void)
{
	struct vcpu *v = vm->vcpu[1];

	seen_in_progress |= vm->invalidation.in_progress;
	if (atomic_load(&v->mode) == EXITING_GUEST_MODE)
		atomic_store(&v->mode, OUTSIDE_GUEST_MODE);
}

/* Setting is an invalidation: a guest that runs has forgotten the page when it returns. */
static void test_set_invalidates(void **state)
{
	u64 seq, gen;

	show(M2);
	touch(BASE, FAULT_WRITE);
	vcpu_enters();
	seen_in_progress = false;
	fake_machine.on_spin = vcpu_reacts;
	seq = invalidate_seq(vm);
	gen = atomic_load(&vm->vmx.flush_gen);
	set(5 * K4, K4);
	assert_true(seen_in_progress);
	assert_int_equal(atomic_load(&vm->vcpu[1]->mode), OUTSIDE_GUEST_MODE);
	assert_int_equal(invalidate_seq(vm), seq + 1);
	assert_int_equal(atomic_load(&vm->vmx.flush_gen), gen + 1);
	assert_false(mapped(BASE + 5 * K4));
	/* Clearing tells nobody. */
	userfault_clear_page(u, 5 * K4);
	assert_int_equal(invalidate_seq(vm), seq + 1);
	assert_int_equal(atomic_load(&vm->vmx.flush_gen), gen + 1);
	/* Also when nothing was mapped: somebody else may have zapped it, and not have flushed. */
	set(5 * K4, K4);
	assert_int_equal(atomic_load(&vm->vmx.flush_gen), gen + 2);
}

/* One that does not leave: the bits are set all the same. */
static void test_set_gives_up(void **state)
{
	show(M2);
	touch(BASE, FAULT_WRITE);
	vcpu_enters();
	fake_machine.on_spin = NULL;
	assert_int_equal(userfault_set(u, 5 * K4, K4), -ETIMEDOUT);
	assert_true(userfault_hides(u, 5 * K4));
	expect_hidden(BASE + 5 * K4, FAULT_READ);
	assert_int_equal(vm->invalidation.in_progress, 0);
	atomic_store(&vm->vcpu[1]->mode, OUTSIDE_GUEST_MODE);
	set(5 * K4, K4);
}

/* No page to split a large one with. */
static void test_set_without_memory(void **state)
{
	show(M2);
	touch(BASE, FAULT_WRITE);
	fake_page_fail(1);
	assert_int_equal(userfault_set(u, 5 * K4, K4), -ENOMEM);
	assert_int_equal(vm->invalidation.in_progress, 0);
	assert_int_equal(fake_locks_held(), 0);
	set(5 * K4, K4);
	expect_hidden(BASE + 5 * K4, FAULT_READ);
}

/* All slots of all VMs that show the page, through the bitmap or not. */
static void test_set_everywhere(void **state)
{
	const struct slot_change first = through(M2, 0), second = create(2, BASE + M2, M2);
	struct vm *elsewhere;
	struct missing m;
	struct ept_mapping e;

	show(M2);
	assert_int_equal(change(second, SLOTS_ATOMIC), 0);
	assert_int_equal(vm_create(&elsewhere), 0);
	assert_int_equal(vm_change_slots(elsewhere, &first, 1, SLOTS_ATOMIC, NULL), 0);
	touch(BASE, FAULT_WRITE);
	touch(BASE + M2, FAULT_WRITE);
	assert_int_equal(vm_fault(elsewhere, BASE + 8 * K4, FAULT_WRITE, &m), 0);
	set(8 * K4, K4);
	assert_false(mapped(BASE + 8 * K4));
	assert_false(mapped(BASE + M2 + 8 * K4));
	assert_int_equal(ept_lookup(&elsewhere->vmx.ept, BASE + 8 * K4, &e), -ENOENT);
	expect_hidden(BASE + 8 * K4, FAULT_READ);
	touch(BASE + M2 + 8 * K4, FAULT_READ); /* this one has no bitmap */
	assert_int_equal(vm_fault(elsewhere, BASE + 8 * K4, FAULT_WRITE, &m), -EAGAIN);
	assert_true(m.exit);
	userfault_clear_page(u, 8 * K4);
	assert_int_equal(vm_fault(elsewhere, BASE + 8 * K4, FAULT_WRITE, &m), 0);
	vm_destroy(elsewhere);
}

static unsigned int meddled;

static void hide_it(void)
{
	if (meddled++)
		return;
	set(7 * K4, K4);
}

/* Whenever the bit is set in the middle of a fault: the page is not mapped afterwards. */
static void test_set_during_fault(void **state)
{
	unsigned int exits = 0, hidden = 0;
	struct missing m;

	for (u64 seed = 0; seed < 80; seed++) {
		int err;

		show(2 * M2);
		chaos_init(seed);
		meddled = 0;
		fake_machine.on_spin = hide_it;
		/* Beside it: a leaf of 2 MiB may be about to cover it. */
		err = vm_fault(vm, BASE + (seed & 1 ? 7 : 8) * K4, FAULT_WRITE, &m);
		fake_machine.on_spin = NULL;
		chaos_off();
		assert_true(!err || (err == -EAGAIN && m.exit && seed & 1));
		exits += err != 0;
		hidden += meddled > 0;
		if (meddled)
			expect_hidden(BASE + 7 * K4, FAULT_READ);
		touch(BASE + 8 * K4, FAULT_READ);
		if (meddled)
			assert_false(mapped(BASE + 7 * K4));
		userfault_clear_page(u, 7 * K4);
		assert_int_equal(change(drop(1), SLOTS_ATOMIC), 0);
	}
	assert_in_range(hidden, 10, 80);
	assert_in_range(exits, 0, 40);
}

static void show_it(void)
{
	u8 byte = 0x66;

	if (meddled++)
		return;
	assert_int_equal(backing_write(mem, 7 * K4, &byte, 1), 0);
	userfault_clear_page(u, 7 * K4);
}

/* Whenever the bit is cleared: an exit more, or the new bytes; never the old ones. */
static void test_clear_during_access(void **state)
{
	unsigned int exits = 0, reads = 0;

	show(2 * M2);
	for (u64 seed = 0; seed < 80; seed++) {
		u8 byte = 0;
		int err;

		assert_int_equal(backing_write(mem, 7 * K4, &byte, 1), 0);
		set(7 * K4, K4);
		chaos_init(seed);
		meddled = 0;
		fake_machine.on_spin = show_it;
		err = vm_read(vm, BASE + 7 * K4, &byte, 1);
		fake_machine.on_spin = NULL;
		chaos_off();
		assert_true(!err || err == -EAGAIN);
		if (!err)
			assert_int_equal(byte, 0x66);
		exits += err != 0;
		reads += !err;
		userfault_clear_page(u, 7 * K4);
	}
	assert_true(exits > 5 && reads > 5);
}

/* --- pages that move or go ---------------------------------------------------------------------
 */

static void test_move_and_punch(void **state)
{
	struct missing m;
	u8 byte = 0x44;

	show(M2);
	assert_int_equal(backing_write(mem, 2 * K4, &byte, 1), 0);
	set(2 * K4, K4);
	assert_int_equal(backing_move(mem, 2 * K4, K4, 0xcc), 0);
	expect_hidden(BASE + 2 * K4, FAULT_READ);
	byte = 0;
	assert_int_equal(backing_read(mem, 2 * K4, &byte, 1), 0);
	assert_int_equal(byte, 0x44);
	assert_int_equal(backing_punch(mem, 2 * K4, K4), 0);
	expect_hidden(BASE + 2 * K4, FAULT_READ);
	userfault_clear_page(u, 2 * K4);
	assert_int_equal(vm_fault(vm, BASE + 2 * K4, FAULT_READ, &m), -EAGAIN);
	assert_false(m.exit);
	backing_put(m.backing);
}

/* --- slots that change -------------------------------------------------------------------------
 */

/* They keep the bitmap, and so do their parts. */
static void test_reshape(void **state)
{
	for (unsigned int way = 0; way < WAYS; way++) {
		struct slot_change c = { .op = SLOT_SPLIT, .id = 1, .other = 2, .size = 4 * K4 };

		show(M2);
		set(2 * K4, K4);
		set(6 * K4, K4);
		assert_int_equal(change(c, (enum slot_way)way), 0);
		assert_ptr_equal(slot_by_id(vm, 1)->userfault, u);
		assert_ptr_equal(slot_by_id(vm, 2)->userfault, u);
		expect_hidden(BASE + 2 * K4, FAULT_READ);
		expect_hidden(BASE + 6 * K4, FAULT_READ);
		touch(BASE + 5 * K4, FAULT_READ);
		c = (struct slot_change){ .op = SLOT_MOVE, .id = 2, .base = BASE + M2 };
		assert_int_equal(change(c, (enum slot_way)way), 0);
		expect_hidden(BASE + M2 + 2 * K4, FAULT_READ);
		touch(BASE + M2 + 6 * K4, FAULT_READ);
		c.base = BASE + 4 * K4;
		assert_int_equal(change(c, (enum slot_way)way), 0);
		c = (struct slot_change){ .op = SLOT_MERGE, .id = 1, .other = 2 };
		assert_int_equal(change(c, (enum slot_way)way), 0);
		assert_int_equal(slot_by_id(vm, 1)->flags, SLOT_USERFAULT);
		assert_ptr_equal(slot_by_id(vm, 1)->userfault, u);
		expect_hidden(BASE + 6 * K4, FAULT_READ);
		c = (struct slot_change){ .op = SLOT_RESIZE, .id = 1, .size = 7 * K4 };
		assert_int_equal(change(c, (enum slot_way)way), 0);
		expect_hidden(BASE + 6 * K4, FAULT_READ);
		assert_int_equal(change(drop(1), (enum slot_way)way), 0);
		userfault_clear(u, 0, ~0ull);
	}
}

static void test_merge_refused(void **state)
{
	struct slot_change list[2] = { through(M2, 0), create(2, BASE + M2, M2) };
	struct slot_change merge = { .op = SLOT_MERGE, .id = 1, .other = 2 };
	struct userfault *v;

	assert_int_equal(userfault_create(&v, mem, false), 0);
	list[1].offset = M2;
	for (unsigned int i = 0; i < 3; i++) {
		list[1].flags = i ? SLOT_USERFAULT : 0;
		list[1].userfault = !i ? NULL : i == 1 ? v : u;
		assert_int_equal(change_list(list, 2, SLOTS_ATOMIC), 0);
		assert_int_equal(change(merge, SLOTS_ATOMIC), i == 2 ? 0 : -EPROTO);
		assert_int_equal(change(drop(1), SLOTS_ATOMIC), 0);
		if (i < 2)
			assert_int_equal(change(drop(2), SLOTS_ATOMIC), 0);
	}
	userfault_put(v);
}

/* Switched on over what is mapped, off over what is hidden, changed for another. */
static void test_flags(void **state)
{
	struct userfault *v;

	assert_int_equal(userfault_create(&v, mem, true), 0);
	for (unsigned int way = 0; way < WAYS; way++) {
		struct slot_change c = { .op = SLOT_FLAGS, .id = 1 };

		set(3 * K4, K4);
		assert_int_equal(change(create(1, BASE, M2), (enum slot_way)way), 0);
		touch(BASE, FAULT_WRITE);
		assert_int_equal(leaf(BASE), M2);
		c.flags = SLOT_USERFAULT;
		c.userfault = u;
		assert_int_equal(change(c, (enum slot_way)way), 0);
		expect_hidden(BASE + 3 * K4, FAULT_READ);
		touch(BASE, FAULT_WRITE);
		assert_int_equal(leaf(BASE), K4);
		c.userfault = v;
		assert_int_equal(change(c, (enum slot_way)way), 0);
		expect_hidden(BASE, FAULT_READ);
		expect_hidden(BASE + 3 * K4, FAULT_READ);
		c.flags = 0;
		c.userfault = NULL;
		assert_int_equal(change(c, (enum slot_way)way), 0);
		assert_null(slot_by_id(vm, 1)->userfault);
		touch(BASE, FAULT_READ);
		touch(BASE + 3 * K4, FAULT_READ);
		c.flags = SLOT_EXIT_ON_MISSING;
		assert_int_equal(change(c, (enum slot_way)way), 0);
		touch(BASE + 3 * K4, FAULT_READ);
		c.flags = SLOT_USERFAULT;
		c.userfault = u;
		assert_int_equal(change(c, (enum slot_way)way), 0);
		expect_hidden(BASE + 3 * K4, FAULT_READ);
		assert_int_equal(change(drop(1), (enum slot_way)way), 0);
	}
	userfault_put(v);
}

/* The slot has a reference, for as long as it is there. */
static void test_references(void **state)
{
	struct slot_change c = through(M2, 0), split = { .op = SLOT_SPLIT, .id = 1, .other = 2 };
	struct userfault *v;

	assert_int_equal(userfault_create(&v, mem, true), 0);
	c.userfault = v;
	split.size = K4;
	assert_int_equal(change(c, SLOTS_ATOMIC), 0);
	userfault_put(v);
	expect_hidden(BASE, FAULT_READ);
	assert_int_equal(change(split, SLOTS_LIVE), 0);
	assert_int_equal(change(drop(1), SLOTS_LIVE), 0);
	expect_hidden(BASE + K4, FAULT_READ);
	assert_int_equal(change(drop(2), SLOTS_LIVE), 0);
	assert_int_equal(atomic_load(&mem->refs), 2);
}

/* A change that fails gives back what it took. */
static void test_no_memory(void **state)
{
	struct slot_change c = through(M2, SLOT_LOG_DIRTY);

	for (unsigned int n = 1; n <= 2; n++) {
		fake_alloc_fail(n);
		assert_int_equal(change(c, SLOTS_ATOMIC), -ENOMEM);
	}
	fake_alloc_fail(0);
	assert_int_equal(atomic_load(&mem->refs), 2);
	assert_int_equal(change(c, SLOTS_ATOMIC), 0);
}

static u64 nr_dirty(void)
{
	u64 bits[M2 / K256], n;

	assert_int_equal(vm_dirty_read(vm, 1, bits, &n), 0);
	return n;
}

/* A dirty log goes on when pages are hidden; and records no access that did not happen. */
static void test_dirty_log(void **state)
{
	struct slot_change c = { .op = SLOT_FLAGS, .id = 1, .flags = SLOT_LOG_DIRTY };
	u8 byte = 1;

	assert_int_equal(vm_set_dirty(vm, DIRTY_WRITE_PROTECT), 0);
	assert_int_equal(change(create(1, BASE, M2), SLOTS_ATOMIC), 0);
	for (unsigned int way = 0; way < WAYS; way++) {
		c.flags = SLOT_LOG_DIRTY;
		c.userfault = NULL;
		assert_int_equal(change(c, (enum slot_way)way), 0);
		nr_dirty();
		assert_int_equal(vm_write(vm, BASE, &byte, 1), 0);
		touch(BASE + K4, FAULT_WRITE);
		c.flags |= SLOT_USERFAULT;
		c.userfault = u;
		assert_int_equal(change(c, (enum slot_way)way), 0);
		set(3 * K4, K4);
		expect_hidden(BASE + 3 * K4, FAULT_WRITE);
		assert_int_equal(vm_write(vm, BASE + 3 * K4, &byte, 1), -EAGAIN);
		assert_int_equal(backing_write(mem, 3 * K4, &byte, 1), 0);
		assert_int_equal(nr_dirty(), 2);
		userfault_clear_page(u, 3 * K4);
		touch(BASE + 3 * K4, FAULT_WRITE);
		assert_int_equal(nr_dirty(), 1);
		/* Both switched on at once. */
		c.flags = 0;
		c.userfault = NULL;
		assert_int_equal(change(c, (enum slot_way)way), 0);
		touch(BASE + 4 * K4, FAULT_WRITE);
		c.flags = SLOT_LOG_DIRTY | SLOT_USERFAULT;
		c.userfault = u;
		assert_int_equal(change(c, (enum slot_way)way), 0);
		assert_int_equal(nr_dirty(), 0);
		touch(BASE + 4 * K4, FAULT_WRITE);
		assert_int_equal(nr_dirty(), 1);
	}
}

/* --- refused --------------------------------------------------------------------------------- */

static int refused(struct slot_change c)
{
	int err = change(c, SLOTS_ATOMIC);

	assert_int_equal(change(c, SLOTS_LIVE), err);
	assert_int_equal(change(c, SLOTS_PAUSED), err);
	return err;
}

static void test_refused(void **state)
{
	struct slot_change c = create(1, BASE, M2);

	c.flags = SLOT_USERFAULT;
	assert_int_equal(refused(c), -EINVAL); /* without a bitmap */
	c.userfault = u;
	c.flags = 0;
	assert_int_equal(refused(c), -EPERM); /* without the flag */
	c.flags = SLOT_EXIT_ON_MISSING;
	assert_int_equal(refused(c), -EPERM);
	c.flags |= SLOT_USERFAULT;
	assert_int_equal(refused(c), -EPERM);
	c.flags = SLOT_USERFAULT;
	c.backing = other;
	assert_int_equal(refused(c), -EINVAL); /* another's */
	show(M2);
	c = (struct slot_change){ .op = SLOT_FLAGS, .id = 1, .flags = SLOT_USERFAULT };
	assert_int_equal(refused(c), -EINVAL);
	c.flags = 0;
	c.userfault = u;
	assert_int_equal(refused(c), -EPERM);
	assert_int_equal(slot_by_id(vm, 1)->flags, SLOT_USERFAULT);
	assert_ptr_equal(slot_by_id(vm, 1)->userfault, u);
}

/* Deleted and created again with other memory: the bitmap is not that memory's. */
static void test_replacement_refused(void **state)
{
	for (unsigned int way = 0; way < WAYS; way++) {
		struct slot_change list[2] = { drop(1), through(M2, 0) };

		show(M2);
		list[1].backing = other;
		assert_int_equal(change_list(list, 2, (enum slot_way)way), -EINVAL);
		assert_int_equal(report.item, 1);
		assert_ptr_equal(slot_by_id(vm, 1)->backing, mem);
		list[1] = through(M2, 0);
		list[1].offset = M2;
		assert_int_equal(change_list(list, 2, (enum slot_way)way), 0);
		assert_int_equal(slot_by_id(vm, 1)->offset, M2);
		set(M2, K4);
		expect_hidden(BASE, FAULT_READ);
		userfault_clear_page(u, M2);
		assert_int_equal(change(drop(1), SLOTS_ATOMIC), 0);
	}
}

/* --- everything at random -------------------------------------------------------------------- */

#define PAGES 1024

static bool hidden[PAGES];

static void random_step(struct rng *r)
{
	u64 page = rng_below(r, PAGES), n = min_u64(1 + rng_below(r, 100), PAGES - page), mask;
	struct missing m;

	switch (rng_below(r, 6)) {
	case 0:
		set(page * K4, n * K4);
		for (u64 i = page; i < page + n; i++)
			hidden[i] = true;
		break;
	case 1:
		mask = rng_below(r, 4) ? rng_next(r) : ~0ull;
		userfault_clear(u, ALIGN_DOWN(page, 64) * K4, mask);
		for (u64 i = 0; i < 64; i++)
			if (mask & BIT(i))
				hidden[ALIGN_DOWN(page, 64) + i] = false;
		break;
	case 2: assert_int_equal(backing_move(mem, page * K4, n * K4, 0xcc), 0); break;
	case 3:
		if (!rng_below(r, 8))
			assert_int_equal(vm_populate(vm), 0);
		break;
	default:
		assert_int_equal(vm_fault(vm, BASE + page * K4, FAULT_WRITE, &m),
				 hidden[page] ? -EAGAIN : 0);
		assert_true(!hidden[page] || m.exit);
		assert_int_equal(mapped(BASE + page * K4), !hidden[page]);
	}
	for (u64 i = 0; i < PAGES; i++) {
		assert_int_equal(userfault_hides(u, i * K4), hidden[i]);
		assert_false(hidden[i] && mapped(BASE + i * K4));
	}
}

static void test_random(void **state)
{
	struct rng r;

	memset(hidden, 0, sizeof(hidden));
	show(2 * M2);
	rng_init(&r, 5, 0);
	for (unsigned int i = 0; i < 600; i++)
		random_step(&r);
}

#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(create),
		TEST(tail),
		TEST(bits),
		TEST(fault),
		TEST(offset),
		TEST(leaves),
		TEST(populate),
		TEST(readonly),
		TEST(access),
		TEST(vcpu_access),
		TEST(known),
		TEST(set_invalidates),
		TEST(set_gives_up),
		TEST(set_without_memory),
		TEST(set_everywhere),
		TEST(set_during_fault),
		TEST(clear_during_access),
		TEST(move_and_punch),
		TEST(reshape),
		TEST(merge_refused),
		TEST(flags),
		TEST(references),
		TEST(no_memory),
		TEST(dirty_log),
		TEST(refused),
		TEST(replacement_refused),
		TEST(random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
