/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Dirty logs, in both ways of logging: what is recorded, read, carried over by slot changes, and
 * that no write is lost beside writers. The guest is played: a vCPU with a TLB that goes on using
 * what it has cached until it flushes.
 */
/* link: @vm hv/host/errno.c */
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
#include "hv/vm/internal.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"
#include "vmx/ept_internal.h"

#define K4    EPT_SIZE_4K
#define BASE  GIB(1)
#define AWAY  GIB(3)
#define PAGES 150 /* not a multiple of 64 */
#define WORDS 3

static struct vm *vm;
static struct vcpu *vcpu; /* the one that is played: CPU and thread 1 */
static struct backing *mem;
static u64 bitmap[WORDS + 1];
static struct slot_report report;

static struct slot_change slot(void)
{
	return (struct slot_change){ .op = SLOT_CREATE,
				     .id = 1,
				     .base = BASE,
				     .size = PAGES * K4,
				     .backing = mem,
				     .flags = SLOT_LOG_DIRTY };
}

static int change_list(const struct slot_change *list, unsigned int n, enum slot_way way)
{
	return vm_change_slots(vm, list, n, way, &report);
}

static void change(struct slot_change c, enum slot_way way)
{
	if (change_list(&c, 1, way))
		fail_msg("%s", report.why);
}

static bool busy; /* no part of the play is interrupted by another */

static int setup(void **state)
{
	fixture_start(0);
	tsc_hz = 1000000; /* what has to time out does so in fewer steps */
	fake_vmx.pml = true;
	fixture_vm->vmx.pml = true;
	vm = fixture_vm;
	assert_int_equal(vcpu_create(&vcpu, vm), 0);
	assert_int_equal(vcpu_create(&vcpu, vm), 0);
	fixture_load(vcpu, 1);
	fake_machine.cpu = 0;
	assert_int_equal(backing_create(&mem, 2 * PAGES * K4, 0), 0);
	assert_int_equal(vm_set_dirty(vm, DIRTY_PML), 0);
	change(slot(), SLOTS_ATOMIC);
	busy = false;
	return 0;
}

static int setup_protect(void **state)
{
	setup(state);
	assert_int_equal(vm_set_dirty(vm, DIRTY_WRITE_PROTECT), 0);
	return 0;
}

static int teardown(void **state)
{
	chaos_off();
	fake_machine.on_spin = fake_machine.on_block = NULL;
	atomic_store(&vcpu->mode, OUTSIDE_GUEST_MODE);
	backing_put(mem);
	fixture_end();
	return 0;
}

/* --- the guest ------------------------------------------------------------------------------- */

static bool tlb[PAGES * 2]; /* of pages from BASE on: a write needs to ask nobody */

static void as_vcpu(bool yes)
{
	fake_machine.cpu = fake_machine.thread = yes;
}

/* As the run loop does it; false: it may not enter. */
static bool enter(void)
{
	if (atomic_load(&vm->hold))
		return false;
	if (atomic_load(&vcpu->requests))
		vcpu_take_requests(vcpu);
	atomic_store(&vcpu->mode, IN_GUEST_MODE);
	if (atomic_load(&vm->hold) || atomic_load(&vcpu->requests)) {
		atomic_store(&vcpu->mode, OUTSIDE_GUEST_MODE);
		return false;
	}
	if (vcpu->vmx.flushed_gen != atomic_load(&vm->vmx.flush_gen))
		memset(tlb, 0, sizeof(tlb));
	vcpu->vmx.flushed_gen = atomic_load(&vm->vmx.flush_gen);
	return true;
}

static void leave(void)
{
	atomic_store(&vcpu->mode, OUTSIDE_GUEST_MODE);
}

/* What the CPU does on a write for which the TLB is not enough. False: it left the guest for it. */
static bool walk(gpa_t gpa)
{
	struct missing missing;
	struct ept_mapping m;

	if (ept_lookup(&vm->vmx.ept, gpa, &m) || !(m.prot & EPT_WRITE)) {
		leave();
		vm_fault(vm, gpa, FAULT_WRITE, &missing);
		return false;
	}
	if (!m.dirty && vm->vmx.pml && !fake_log(vcpu, gpa)) {
		leave();
		dirty_drain(vcpu);
		return false;
	}
	atomic_fetch_or(ept_find(&vm->vmx.ept, gpa, 1).e, EPTE_AD);
	return true;
}

/* A write of the guest, which is in it. @page: from BASE on. */
static bool guest_write(u64 page)
{
	gpa_t gpa = BASE + page * K4;
	struct ept_mapping m;
	static u8 value;

	/* An entry that was taken away and is cached still leads to the page: none moves here. */
	if (tlb[page]) {
		if (!ept_lookup(&vm->vmx.ept, gpa, &m))
			*(u8 *)phys_to_virt(m.hpa + 8) = ++value;
		return true;
	}
	if (!walk(gpa))
		return false;
	tlb[page] = true;
	return guest_write(page);
}

/* Until it is done. */
static void guest_writes(u64 page)
{
	as_vcpu(true);
	for (unsigned int i = 0; i < 20; i++) {
		if ((atomic_load(&vcpu->mode) != OUTSIDE_GUEST_MODE || enter()) &&
		    guest_write(page))
			break;
	}
	assert_true(tlb[page]);
	leave();
	as_vcpu(false);
}

/* --- reading --------------------------------------------------------------------------------- */

/* Reads the log and returns how many pages are in it. */
static u64 read_log(u32 id)
{
	u64 n = 1000;

	memset(bitmap, 0, sizeof(bitmap));
	bitmap[WORDS] = 0x5a5a;
	assert_int_equal(vm_dirty_read(vm, id, bitmap, &n), 0);
	assert_int_equal(fake_locks_held(), 0);
	assert_int_equal(bitmap[WORDS], 0x5a5a);
	return n;
}

static bool in_log(u64 page)
{
	return bitmap[page / 64] & BIT(page % 64);
}

static void test_recorded(void **state)
{
	assert_int_equal(read_log(1), 0);
	guest_writes(0);
	guest_writes(64);
	guest_writes(PAGES - 1);
	guest_writes(64);
	assert_int_equal(read_log(1), 3);
	assert_true(in_log(0) && in_log(64) && in_log(PAGES - 1));
	assert_int_equal(read_log(1), 0);
	/* Armed again, although the guest has cached that it may write. */
	guest_writes(64);
	assert_int_equal(read_log(1), 1);
	assert_true(in_log(64));
	assert_int_equal(vm_dirty_read(vm, 1, bitmap, NULL), 0);
}

/* Reads are not, and a page read before is noticed when it is written. */
static void test_reads_are_not(void **state)
{
	struct missing missing;

	for (u64 page = 0; page < PAGES; page++)
		assert_int_equal(vm_fault(vm, BASE + page * K4, FAULT_READ, &missing), 0);
	assert_int_equal(read_log(1), 0);
	guest_writes(7);
	assert_int_equal(read_log(1), 1);
	assert_true(in_log(7));
}

static void test_own_writes(void **state)
{
	guest_put(BASE + 3 * K4 - 4, ~0ull, 8);
	assert_int_equal(vm_fill(vm, BASE + 70 * K4 + 1, 9, 2 * K4), 0);
	assert_int_equal(guest_get(BASE + 100 * K4, 8), 0);
	assert_int_equal(read_log(1), 5);
	assert_true(in_log(2) && in_log(3) && in_log(70) && in_log(71) && in_log(72));
	assert_int_equal(read_log(1), 0);
}

/* More pages than a vCPU's log has entries: it drains itself. */
static void test_full(void **state)
{
	for (unsigned int round = 0; round < 5; round++) {
		for (u64 page = 0; page < PAGES; page++)
			guest_writes(page);
		assert_int_equal(read_log(1), PAGES);
	}
	for (unsigned int round = 0; round < 4; round++)
		for (u64 page = 0; page < PAGES; page++) {
			guest_writes(page);
			/* Written, flushed, and dirty again: logged over and over. */
			ept_rearm(&vm->vmx.ept, BASE + page * K4, 1, (enum ept_log)vm->dirty_how);
			vmx_vm_stale(&vm->vmx);
		}
	assert_int_equal(read_log(1), PAGES);
}

static void test_errors(void **state)
{
	struct slot_change c = slot();

	assert_int_equal(vm_dirty_read(vm, 2, bitmap, NULL), -ENOENT);
	assert_int_equal(vm_dirty_read(vm, VM_MAX_SLOTS, bitmap, NULL), -ENOENT);
	assert_int_equal(vm_dirty_read(vm, 0, bitmap, NULL), -EINVAL);
	c.op = SLOT_FLAGS;
	c.flags = 0;
	guest_writes(3);
	change(c, SLOTS_LIVE);
	assert_int_equal(vm_dirty_read(vm, 1, bitmap, NULL), -EINVAL);
	assert_int_equal(vm_set_dirty(vm, DIRTY_WRITE_PROTECT), 0);
	vm->vmx.pml = false;
	assert_int_equal(vm_set_dirty(vm, DIRTY_PML), -EOPNOTSUPP);
	assert_int_equal(vm->dirty_how, DIRTY_WRITE_PROTECT);
	vm->vmx.pml = true;
	vm->vmx.ept.eptp &= ~BIT(6); /* accessed and dirty flags */
	assert_int_equal(vm_set_dirty(vm, DIRTY_PML), -EOPNOTSUPP);
	assert_int_equal(vm_set_dirty(vm, DIRTY_WRITE_PROTECT), -EOPNOTSUPP);
}

/* Switched on over memory that the guest writes to already, in large pages. */
static void test_switched_on(void **state)
{
	struct slot_change c = { .op = SLOT_FLAGS, .id = 1 };

	for (unsigned int way = 0; way < 3; way++) {
		c.flags = 0;
		change(c, (enum slot_way)way);
		for (u64 page = 0; page < PAGES; page++)
			guest_writes(page);
		c.flags = SLOT_LOG_DIRTY;
		change(c, (enum slot_way)way);
		assert_int_equal(read_log(1), 0);
		guest_writes(17);
		assert_int_equal(read_log(1), 1);
		assert_true(in_log(17));
	}
}

/* A vCPU that does not leave: nothing was cleared, and nothing is lost. */
static void test_stuck(void **state)
{
	guest_writes(5);
	guest_put(BASE + 6 * K4, 1, 1);
	as_vcpu(true);
	assert_true(enter());
	as_vcpu(false);
	fake_console_take();
	assert_int_equal(vm_dirty_read(vm, 1, bitmap, NULL), -ETIMEDOUT);
	assert_non_null(strstr(fake_console_take(), "vCPU 1 on CPU"));
	leave();
	assert_int_equal(read_log(1), 2);
	assert_true(in_log(5) && in_log(6));
}

/* A large leaf where there should be none, and no memory to split it. */
static void test_no_memory(void **state)
{
	struct backing_page page;

	for (u64 p = 0; p < PAGES; p += 50)
		guest_put(BASE + p * K4, 1, 1);
	assert_int_equal(backing_find(mem, 0, &page), 0);
	assert_true(ept_map(&vm->vmx.ept, BASE, ALIGN_DOWN(page.hpa, EPT_SIZE_2M), EPT_SIZE_2M,
			    EPT_RWX) >= 0);
	fake_page_fail(1);
	assert_int_equal(vm_dirty_read(vm, 1, bitmap, NULL), -ENOMEM);
	fake_page_fail(0);
	assert_int_equal(read_log(1), 3);
	assert_true(in_log(0) && in_log(50) && in_log(100));
}

/* --- the log of a vCPU ----------------------------------------------------------------------- */

/* In the guest when its log is wanted: it comes out, and goes in again before anybody looks. */
static unsigned int came_out;

static void come_out(void)
{
	if (busy || atomic_load(&vcpu->mode) != EXITING_GUEST_MODE)
		return;
	busy = true;
	came_out++;
	as_vcpu(true);
	leave();
	if (came_out % 2) {
		assert_true(enter());
		assert_false(atomic_load(&vcpu->dirty_wanted));
	}
	as_vcpu(false);
	busy = false;
}

static void test_running(void **state)
{
	came_out = 0;
	for (unsigned int i = 0; i < 10; i++) {
		as_vcpu(true);
		for (unsigned int k = 0; k < 8; k++) {
			while (atomic_load(&vcpu->mode) == OUTSIDE_GUEST_MODE)
				assert_true(enter());
			guest_write(9);
		}
		while (atomic_load(&vcpu->mode) == OUTSIDE_GUEST_MODE)
			assert_true(enter());
		as_vcpu(false);
		fake_machine.on_spin = come_out;
		assert_int_equal(read_log(1), 1);
		assert_true(in_log(9));
		fake_machine.on_spin = NULL;
	}
	assert_true(came_out >= 10);
}

static void test_destroyed(void **state)
{
	guest_writes(11);
	as_vcpu(true);
	vcpu_destroy(vcpu);
	as_vcpu(false);
	assert_int_equal(read_log(1), 1);
	assert_true(in_log(11));
}

/* Whoever holds the VM reads; the vCPU cannot empty its log meanwhile, and does so later. */
static void test_held(void **state)
{
	struct vm_hold hold = { .vm = NULL };

	guest_writes(11);
	assert_int_equal(vm_pause(vm, &hold, 0, NULL), 0);
	as_vcpu(true);
	atomic_store(&vcpu->requests, 0);
	dirty_drain(vcpu);
	assert_int_equal(atomic_load(&vcpu->requests), REQ_DIRTY);
	as_vcpu(false);
	assert_int_equal(read_log(1), 1);
	assert_int_equal(vm_resume(&hold), 0);
	as_vcpu(true);
	assert_int_equal(vcpu_take_requests(vcpu), REQ_DIRTY);
	assert_int_equal(fake_of(vcpu)->nr_logged, 0); /* rewound */
	as_vcpu(false);
	assert_int_equal(read_log(1), 0);
}

static struct vm_hold others_hold;

static void resume(void)
{
	assert_int_equal(vm_resume(&others_hold), 0);
}

static void test_held_by_another(void **state)
{
	guest_writes(1);
	fake_machine.thread = 2;
	assert_int_equal(vm_pause(vm, &others_hold, 0, NULL), 0);
	fake_machine.thread = 0;
	fake_machine.on_block = resume;
	assert_int_equal(read_log(1), 1);
	assert_null(others_hold.vm);
}

/* --- slot changes ---------------------------------------------------------------------------- */

/* Written, and not read before the change: some by the hypervisor, some still in a vCPU's log. */
static void write_some(void)
{
	guest_writes(2);
	guest_writes(66);
	guest_put(BASE + 65 * K4, 1, 1);
	guest_writes(PAGES - 1);
}

static void test_carried(void **state)
{
	for (unsigned int way = 0; way < 3; way++) {
		struct slot_change c = { .op = SLOT_MOVE, .id = 1, .base = AWAY };

		write_some();
		change(c, (enum slot_way)way);
		c.base = BASE;
		change(c, (enum slot_way)way);
		c = (struct slot_change){ .op = SLOT_RESIZE, .id = 1, .size = 2 * PAGES * K4 };
		change(c, (enum slot_way)way);
		c.size = PAGES * K4;
		change(c, (enum slot_way)way);
		c = (struct slot_change){ .op = SLOT_SPLIT, .id = 1, .other = 2, .size = 66 * K4 };
		change(c, (enum slot_way)way);
		assert_int_equal(read_log(2), 2);
		assert_true(in_log(0) && in_log(PAGES - 1 - 66));
		guest_writes(67);
		c = (struct slot_change){ .op = SLOT_MERGE, .id = 1, .other = 2 };
		change(c, (enum slot_way)way);
		assert_int_equal(read_log(1), 3);
		assert_true(in_log(2) && in_log(65) && in_log(67));
		assert_int_equal(read_log(1), 0);
	}
}
/* A page that was written, and zapped by somebody else before the change zaps its slot. */
static void taken_away(bool move)
{
	struct slot_change c = { .op = SLOT_MOVE, .id = 1, .base = AWAY };

	guest_writes(2);
	if (move)
		assert_int_equal(backing_move(mem, 2 * K4, K4, -1), 0);
	else
		assert_int_equal(vm_drop_page(vm, BASE + 2 * K4), 0);
	change(c, SLOTS_ATOMIC);
	assert_int_equal(read_log(1), 1);
	assert_true(in_log(2));
}
static void test_dropped_before_a_change(void **state)
{
	taken_away(false);
}
static void test_page_moved_before_a_change(void **state)
{
	taken_away(true);
}

/* What goes beyond the new end is gone; the rest is not. */
static void test_shrunk(void **state)
{
	for (unsigned int way = 0; way < 3; way++) {
		struct slot_change c = { .op = SLOT_RESIZE, .id = 1, .size = 66 * K4 };

		write_some();
		change(c, (enum slot_way)way);
		assert_int_equal(read_log(1), 2);
		c.size = PAGES * K4;
		change(c, (enum slot_way)way);
		assert_int_equal(read_log(1), 0);
	}
}

/* As in KVM; and what prevents it. */
static void test_deleted(void **state)
{
	const struct slot_change list[] = { { .op = SLOT_DELETE, .id = 1 }, slot() };

	for (unsigned int way = 0; way < 3; way++) {
		struct vm_hold hold = { .vm = NULL };

		write_some();
		assert_int_equal(change_list(list, 2, (enum slot_way)way), 0);
		assert_int_equal(read_log(1), 0);
		write_some();
		assert_int_equal(vm_pause(vm, &hold, 0, NULL), 0);
		assert_int_equal(read_log(1), 4);
		assert_int_equal(change_list(list, 2, (enum slot_way)way), 0);
		assert_int_equal(vm_resume(&hold), 0);
		assert_int_equal(read_log(1), 0);
	}
}

/* A list that is undone leaves the log as it was. */
static void test_undone(void **state)
{
	const struct slot_change list[] = {
		{ .op = SLOT_SPLIT, .id = 1, .other = 2, .size = 66 * K4 },
		{ .op = SLOT_DELETE, .id = 0 },
		slot(),
	};
	struct missing missing;

	for (unsigned int way = 0; way < 3; way++) {
		write_some();
		assert_int_equal(change_list(list, 3, (enum slot_way)way), -EEXIST);
		as_vcpu(true);
		assert_true(enter());
		as_vcpu(false);
		assert_int_equal(vm_fault(vm, 0, FAULT_READ, &missing), 0);
		assert_int_equal(change_list(list, 2, (enum slot_way)way), -ETIMEDOUT);
		leave();
		assert_int_equal(read_log(1), 4);
	}
}

/* It leaves for the flush of a change, but not when its log is wanted after that. */
static void leave_once(void)
{
	if (atomic_load(&vcpu->mode) != EXITING_GUEST_MODE)
		return;
	leave();
	as_vcpu(true);
	assert_true(enter());
	as_vcpu(false);
	fake_machine.on_spin = NULL;
}

static void test_stuck_in_change(void **state)
{
	struct slot_change c = { .op = SLOT_MOVE, .id = 1, .base = AWAY };

	write_some();
	as_vcpu(true);
	assert_true(enter());
	as_vcpu(false);
	fake_machine.on_spin = leave_once;
	assert_int_equal(change_list(&c, 1, SLOTS_ATOMIC), -ETIMEDOUT);
	assert_int_equal(slot_by_id(vm, 1)->base, BASE);
	leave();
	assert_int_equal(read_log(1), 4);
	change(c, SLOTS_ATOMIC);
}

/* --- nothing is lost ------------------------------------------------------------------------- */

/*
 * The reader keeps a copy of memory and brings it up to date with what the logs say, as a migration
 * does, while a vCPU and another thread write, and slots move, split, merge and grow. In the end
 * the copy is memory.
 */
static u8 copy[2 * PAGES];
static struct rng rng;

static u8 byte_of(u64 page)
{
	struct backing_page p;

	assert_int_equal(backing_find(mem, page * K4, &p), 0);
	return *(u8 *)phys_to_virt(p.hpa + 8);
}

static void play(void)
{
	if (busy)
		return;
	busy = true;
	as_vcpu(true);
	if (atomic_load(&vcpu->mode) == EXITING_GUEST_MODE && rng_below(&rng, 2))
		leave();
	for (u64 n = rng_below(&rng, 4); n; n--) {
		if (atomic_load(&vcpu->mode) != OUTSIDE_GUEST_MODE || enter())
			guest_write(rng_below(&rng, 2 * PAGES));
	}
	as_vcpu(false);
	fake_machine.cpu = fake_machine.thread = 2;
	/* It would wait. */
	if (!vm_is_held(vm) && !vm->invalidation.in_progress && !rng_below(&rng, 4)) {
		u8 value = (u8)rng_next(&rng);

		vm_write(vm, BASE + rng_below(&rng, 2 * PAGES) * K4 + 8, &value, 1);
	}
	fake_machine.cpu = fake_machine.thread = 0;
	busy = false;
}

static void update_copy(void)
{
	for (u32 id = 1; id <= 2; id++) {
		const struct vm_slot *s = slot_by_id(vm, id);
		u64 page, log[2 * WORDS];

		if (!s)
			continue;
		assert_int_equal(vm_dirty_read(vm, id, log, NULL), 0);
		s = slot_by_id(vm, id);
		for (page = 0; page < s->size / K4; page++) {
			if (rng_below(&rng, 16) == 0)
				play();
			if (log[page / 64] & BIT(page % 64))
				copy[page + s->offset / K4] = byte_of(page + s->offset / K4);
		}
	}
}

/* Only such as forget nothing. */
static void random_change(void)
{
	const struct vm_slot *a = slot_by_id(vm, 1), *b = slot_by_id(vm, 2);
	struct slot_change c = { .op = SLOT_MERGE, .id = 1, .other = 2 };

	switch (rng_below(&rng, 4)) {
	case 0:
		c.op = SLOT_MOVE;
		c.id = b && rng_below(&rng, 2) ? 2 : 1;
		c.base = BASE + rng_below(&rng, PAGES) * K4;
		break;
	case 1:
		c.op = SLOT_SPLIT;
		c.size = (1 + rng_below(&rng, a->size / K4)) * K4;
		break;
	case 2:
		if (!b)
			break;
		/* Next to each other, so that they can be one. */
		c = (struct slot_change){ .op = SLOT_MOVE, .id = 2, .base = a->base + a->size };
		change_list(&c, 1, SLOTS_ATOMIC);
		c = (struct slot_change){ .op = SLOT_MERGE, .id = 1, .other = 2 };
		break;
	default:
		c.op = SLOT_RESIZE;
		c.id = b ? 2 : 1;
		c.size = (b ? b : a)->size + rng_below(&rng, 3) * K4;
		break;
	}
	change_list(&c, 1, (enum slot_way)rng_below(&rng, 3));
}

static void test_nothing_lost(void **state)
{
	unsigned int written = 0;

	rng_init(&rng, 77, vm->dirty_how);
	memset(copy, 0, sizeof(copy));
	for (unsigned int round = 0; round < 1500; round++) {
		chaos_init(round);
		fake_machine.on_spin = play;
		for (u64 n = rng_below(&rng, 3); n; n--)
			update_copy();
		for (u64 n = rng_below(&rng, 3); n; n--)
			random_change();
		for (u64 n = rng_below(&rng, 20); n; n--)
			play();
		/* The last round of a migration: nobody writes. */
		fake_machine.on_spin = NULL;
		chaos_off();
		leave();
		busy = true;
		update_copy();
		busy = false;
		for (u64 page = 0; page < 2 * PAGES; page++) {
			if (copy[page] != byte_of(page))
				fail_msg("round %u: page %lu of the backing was written unnoticed",
					 round, page);
			written += copy[page] != 0;
		}
	}
	assert_true(written > 1000);
}

/* A log is switched on while the guest writes: what it writes from then on is in it. */
static void test_switched_on_beside_writes(void **state)
{
	unsigned int written = 0;

	rng_init(&rng, 78, vm->dirty_how);
	for (unsigned int round = 0; round < 600; round++) {
		struct slot_change c = { .op = SLOT_FLAGS, .id = 1 };

		change(c, SLOTS_ATOMIC);
		for (unsigned int i = 0; i < 40; i++)
			play();
		c.flags = SLOT_LOG_DIRTY;
		chaos_init(round);
		fake_machine.on_spin = play;
		change(c, (enum slot_way)(round % 3));
		fake_machine.on_spin = NULL;
		chaos_off();
		for (u64 page = 0; page < 2 * PAGES; page++)
			copy[page] = byte_of(page);
		for (unsigned int i = 0; i < 40; i++)
			play();
		leave();
		busy = true;
		update_copy();
		busy = false;
		for (u64 page = 0; page < 2 * PAGES; page++) {
			if (copy[page] != byte_of(page))
				fail_msg("round %u: page %lu was written unnoticed", round, page);
			written += copy[page] != 0;
		}
	}
	assert_true(written > 1000);
}

#define BOTH(name)                                                                                 \
	cmocka_unit_test_setup_teardown(test_##name, setup, teardown),                             \
	{                                                                                          \
#name ", by write protection", test_##name, setup_protect, teardown, NULL          \
	}
#define PML(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PML(dropped_before_a_change),
		PML(page_moved_before_a_change),
		BOTH(recorded),
		BOTH(reads_are_not),
		BOTH(own_writes),
		BOTH(full),
		BOTH(errors),
		BOTH(switched_on),
		BOTH(stuck),
		BOTH(no_memory),
		PML(running),
		BOTH(destroyed),
		PML(held),
		BOTH(held_by_another),
		BOTH(carried),
		BOTH(shrunk),
		BOTH(deleted),
		BOTH(undone),
		PML(stuck_in_change),
		BOTH(nothing_lost),
		BOTH(switched_on_beside_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
