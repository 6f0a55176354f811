/* SPDX-License-Identifier: GPL-2.0-only */
/* Slot changes beside vCPUs and readers that run, that hold the VM, or that do not let go. */
/* link: @vm hv/host/errno.c tests/unit/slots_fixture.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/host/chaos.h"
#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "hv/vm/backing_internal.h"
#include "tests/unit/slots_fixture.h"

/*
 * At every race point of a change another CPU looks, and touches the page that the slot is to show:
 * page 0 of `mem` before, page 0 of `other` after. It never finds a translation other than the one
 * of a slot that it can find.
 */
static struct {
	unsigned int looks, none, invalid, first, second, held, mapped;
	bool fault;
} seen;

static void look(void)
{
	struct vm_slot *s = slot_find(vm, BASE);
	struct missing missing;
	struct backing_page page;
	struct ept_mapping m;
	static bool looking;

	if (looking) /* at a race point of the fault below */
		return;
	looking = true;
	seen.looks++;
	seen.held += vm_is_held(vm);
	seen.none += !s;
	seen.invalid += s && s->invalid;
	seen.first += s && s->backing == mem && !s->invalid;
	seen.second += s && s->backing == other;
	fake_machine.cpu = fake_machine.thread = 1;
	if (seen.fault)
		vm_fault(vm, BASE, FAULT_WRITE, &missing);
	fake_machine.cpu = fake_machine.thread = 0;
	looking = false;
	if (ept_lookup(&vm->vmx.ept, BASE, &m))
		return;
	seen.mapped++;
	assert_non_null(s);
	assert_int_equal(backing_find(s->backing, s->offset, &page), 0);
	assert_int_equal(m.hpa, page.hpa);
}

static void replace_and_look(enum slot_way way, bool fault)
{
	struct slot_change list[] = { drop(1), create(1, BASE, M2) };

	memset(&seen, 0, sizeof(seen));
	seen.fault = fault;
	for (unsigned int i = 0; i < 60; i++) {
		list[1].backing = mem;
		assert_int_equal(change(list[1], SLOTS_ATOMIC), 0);
		touch(BASE, FAULT_READ);
		chaos_init(i);
		fake_machine.on_spin = look;
		list[1].backing = other;
		assert_int_equal(change_list(list, 2, way), 0);
		look();
		fake_machine.on_spin = NULL;
		chaos_off();
		assert_int_equal(change(drop(1), SLOTS_ATOMIC), 0);
	}
	assert_true(seen.looks > 100 && seen.first && seen.second);
}

static void test_live_is_seen_to_fail(void **state)
{
	replace_and_look(SLOTS_LIVE, false);
	assert_true(seen.none && seen.invalid && !seen.held);
	replace_and_look(SLOTS_LIVE, true);
	assert_true(seen.none && seen.mapped);
}

static void test_atomic_has_no_hole(void **state)
{
	replace_and_look(SLOTS_ATOMIC, false);
	assert_true(!seen.none && !seen.invalid && !seen.held);
	replace_and_look(SLOTS_ATOMIC, true);
	assert_true(!seen.none && seen.mapped);
}

/* The hole is there, but nobody runs: no fault gets past the gate. */
static void test_paused_is_held(void **state)
{
	replace_and_look(SLOTS_PAUSED, true);
	assert_true(seen.none && seen.held >= seen.none && !seen.invalid);
}

/* A reader that has found the old slot maps its page late: the invalidation keeps it from it. */
static u64 old_seq;
static struct vm_slot *old_slot;
static unsigned int late_attempts;

static void map_late(void)
{
	struct backing_page page;

	spin_lock(&vm->vmx.lock);
	if (old_slot && !invalidate_retry(vm, BASE, old_seq)) {
		assert_int_equal(backing_find(old_slot->backing, 0, &page), 0);
		ept_map(&vm->vmx.ept, BASE, page.hpa, K4, EPT_RWX);
	}
	late_attempts += !!old_slot;
	spin_unlock(&vm->vmx.lock);
}

static void test_late_reader(void **state)
{
	u32 generation;

	for (unsigned int i = 0; i < 100; i++) {
		const struct slot_change list[] = { drop(1), create(1, BASE + K4, K4) };

		assert_int_equal(change(create(1, BASE, M2), SLOTS_ATOMIC), 0);
		old_seq = invalidate_seq(vm);
		old_slot = slot_find(vm, BASE);
		generation = atomic_load(&vm->slots.generation);
		chaos_init(i);
		fake_machine.on_spin = map_late;
		assert_int_equal(change_list(list, 2, SLOTS_ATOMIC), 0);
		old_slot = NULL; /* its section is over at the latest now */
		fake_machine.on_spin = NULL;
		chaos_off();
		assert_false(mapped(BASE));
		assert_int_equal(atomic_load(&vm->slots.generation), generation + 1);
		assert_int_equal(change(drop(1), SLOTS_ATOMIC), 0);
	}
	assert_true(late_attempts > 100);
}

static void test_vcpu_in_guest(void **state)
{
	for (unsigned int way = 0; way < WAYS; way++) {
		assert_int_equal(change(create(1, BASE, M2), (enum slot_way)way), 0);
		touch(BASE, FAULT_READ);
		vcpu_enters();
		assert_int_equal(change(drop(1), (enum slot_way)way), 0);
		assert_int_equal(vm->vcpu[1]->mode, OUTSIDE_GUEST_MODE);
		assert_true(way == SLOTS_PAUSED ? report.pause : report.flush);
		assert_true(report.total >= report.pause + report.flush + report.drain);
		fake_machine.on_spin = NULL;
	}
}

/* --- timeouts -------------------------------------------------------------------------------- */

/* A vCPU that does not leave: the items that were done are undone. */
static void test_stuck_vcpu(void **state)
{
	const struct slot_change list[] = {
		create(2, GIB(2), M2),
		{ .op = SLOT_SPLIT, .id = 3, .other = 4, .size = M2 },
		{ .op = SLOT_MOVE, .id = 1, .base = GIB(7) },
		create(5, BASE, M2),
	};

	assert_int_equal(change(create(1, BASE, 2 * M2), SLOTS_ATOMIC), 0);
	assert_int_equal(change(create(3, GIB(3), 2 * M2), SLOTS_ATOMIC), 0);
	for (unsigned int way = 0; way < WAYS; way++) {
		touch_all(BASE, 2 * M2);
		fake_console_take();
		vcpu_enters();
		fake_machine.on_spin = NULL;
		assert_int_equal(change_list(list, 4, (enum slot_way)way), -ETIMEDOUT);
		assert_non_null(strstr(report.why, way == SLOTS_PAUSED ? "vCPU 1" : "a vCPU"));
		assert_int_equal(report.item, way == SLOTS_LIVE ? 1 : way == SLOTS_PAUSED ? 3 : 0);
		expect_slot(1, BASE, 2 * M2, 0);
		expect_slot(3, GIB(3), 2 * M2, 0);
		assert_int_equal(slots_count(vm), 3);
		/* It comes back, and all is well. */
		atomic_store(&vm->vcpu[1]->mode, OUTSIDE_GUEST_MODE);
		touch_all(BASE, 2 * M2);
	}
	assert_int_equal(change_list(list, 4, SLOTS_LIVE), 0);
	assert_int_equal(slots_count(vm), 6);
	check_sets();
}

/* What the first attempt has zapped and could not flush is not forgotten by the second. */
static void test_deleted_again_while_stuck(void **state)
{
	struct vcpu *v = vm->vcpu[1];

	assert_int_equal(change(create(1, BASE, 4 * K4), SLOTS_ATOMIC), 0);
	touch(BASE, FAULT_READ);
	vcpu_enters();
	fake_machine.on_spin = NULL; /* stuck, with a TLB entry for BASE */
	assert_int_equal(change(drop(1), SLOTS_ATOMIC), -ETIMEDOUT);
	assert_int_equal(change(drop(1), SLOTS_ATOMIC), -ETIMEDOUT);
	atomic_store(&v->mode, OUTSIDE_GUEST_MODE);
}

static int beside_result;
static u32 beside_mode;

/* Another thread deletes the slot while a page of it is being dropped. */
static void delete_beside(void)
{
	fake_machine.on_spin = NULL;
	fake_machine.cpu = fake_machine.thread = 2;
	beside_result = change(drop(1), SLOTS_ATOMIC);
	beside_mode = atomic_load(&vm->vcpu[1]->mode);
	fake_machine.cpu = fake_machine.thread = 0;
	atomic_store(&vm->vcpu[1]->mode, OUTSIDE_GUEST_MODE); /* only now it leaves */
}

static void test_deleted_beside_a_drop(void **state)
{
	assert_int_equal(change(create(1, BASE, 4 * K4), SLOTS_ATOMIC), 0);
	touch(BASE, FAULT_READ);
	vcpu_enters();
	fake_machine.on_spin = delete_beside;
	assert_int_equal(vm_drop_page(vm, BASE), 0);
	assert_true(beside_result == -ETIMEDOUT || beside_mode == OUTSIDE_GUEST_MODE);
}

static struct backing *being_moved, *to_move;

/* The VM is on its way out, and a backing that it shares is moved: who moves uses the VM still. */
static void move_beside(void)
{
	struct backing *x = being_moved;

	if (!x)
		return;
	being_moved = NULL;
	fake_machine.cpu = fake_machine.thread = 2;
	assert_int_equal(backing_move(to_move, 0, K4, -1), 0);
	spin_lock(&x->lock);
	x->moving = false;
	spin_unlock(&x->lock);
	wake_all(&x->moved);
	fake_machine.cpu = fake_machine.thread = 0;
}

static void test_destroyed_beside_a_move(void **state)
{
	struct slot_change c = {
		.op = SLOT_CREATE, .id = 0, .base = 0, .size = M2, .backing = mem
	};
	struct vcpu *v;
	struct vm *a;

	assert_int_equal(vm_create(&a), 0);
	assert_int_equal(vcpu_create(&v, a), 0);
	assert_int_equal(vm_change_slots(a, &c, 1, SLOTS_ATOMIC, &report), 0);
	c.id = 1;
	c.base = BASE;
	c.backing = other;
	assert_int_equal(vm_change_slots(a, &c, 1, SLOTS_ATOMIC, &report), 0);
	assert_int_equal(backing_populate(other), 0);
	being_moved = mem;
	to_move = other;
	mem->moving = true; /* another thread is moving a page of `mem` */
	fake_machine.on_block = move_beside;
	vm_destroy(a);
	fake_machine.on_block = NULL;
}

/* While the second item waits for a vCPU, another touches what the first has made. */
static void touch_first(void)
{
	struct missing missing;

	fake_machine.on_spin = NULL;
	fake_machine.cpu = fake_machine.thread = 2;
	assert_int_equal(vm_fault(vm, BASE, FAULT_WRITE, &missing), 0);
	assert_true(mapped(BASE));
	fake_machine.cpu = fake_machine.thread = 0;
}

/* Gone from the slots, but a CPU may still use its memory: not freed before the VM is. */
static void test_late_backing(void **state)
{
	struct slot_change list[2] = { create(1, BASE, M2), drop(0) };
	struct backing *b;
	struct vm_slot *s;

	assert_int_equal(backing_create(&b, M2, 0), 0);
	list[0].backing = b;
	touch(0, FAULT_READ);
	vcpu_enters();
	fake_machine.on_spin = touch_first;
	assert_int_equal(change_list(list, 2, SLOTS_LIVE), -ETIMEDOUT);
	s = &vm->slots.late->slot;
	assert_ptr_equal(s->backing, b);
	assert_null(vm->slots.late->next);
	assert_int_equal(slots_count(vm), 1);
	check_sets();
	atomic_store(&vm->vcpu[1]->mode, OUTSIDE_GUEST_MODE);
	backing_put(b);
	assert_int_equal(backing_size(s->backing), M2);
}

/* A slot whose tables go as a whole: they are kept until a flush succeeds. */
static void test_late_tables(void **state)
{
	struct slot_change c = create(1, GIB(4), GIB(1));
	u64 tables = vm->vmx.ept.nr_tables;
	struct backing *b;

	assert_int_equal(backing_create(&b, GIB(1), 0), 0);
	c.backing = b;
	assert_int_equal(change(c, SLOTS_ATOMIC), 0);
	backing_put(b);
	for (unsigned int way = 0; way < WAYS; way++) {
		touch(GIB(4), FAULT_READ);
		touch(GIB(5) - 1, FAULT_READ);
		vcpu_enters();
		fake_machine.on_spin = NULL;
		assert_int_equal(change(drop(1), (enum slot_way)way), -ETIMEDOUT);
		assert_true(vm->vmx.ept.nr_tables > tables);
		atomic_store(&vm->vcpu[1]->mode, OUTSIDE_GUEST_MODE);
		expect_slot(1, GIB(4), GIB(1), 0);
	}
	touch(GIB(4), FAULT_READ);
	assert_int_equal(change(drop(1), SLOTS_ATOMIC), 0);
	assert_false(mapped(GIB(4)));
	assert_null(vm->vmx.ept.unlinked);
}

/* A reader that stays: nobody sees the new slots for good. */
static unsigned int reader_phase;
static u64 reader_until;

static void reader_ends(void)
{
	if (fake_machine.now < reader_until)
		return;
	fake_machine.cpu = 1;
	slots_read_end(vm, reader_phase);
	fake_machine.cpu = 0;
	fake_machine.on_spin = NULL;
}

static void stay_in_section(u64 ticks)
{
	fake_machine.on_spin = NULL;
	fake_machine.cpu = 1;
	reader_phase = slots_read_begin(vm);
	fake_machine.cpu = 0;
	reader_until = fake_machine.now + ticks;
	fake_machine.on_spin = reader_ends;
}

static void test_stuck_reader(void **state)
{
	const struct slot_change list[] = { drop(1), create(2, BASE, M2) };

	assert_int_equal(change(create(1, BASE, M2), SLOTS_ATOMIC), 0);
	for (unsigned int way = 0; way < WAYS; way++) {
		stay_in_section(tsc_hz + tsc_hz / 2);
		assert_int_equal(change_list(list, 2, (enum slot_way)way), -ETIMEDOUT);
		assert_non_null(strstr(report.why, "on CPU 1"));
		if (fake_machine.on_spin)
			reader_until = 0, reader_ends();
		expect_slot(1, BASE, M2, 0);
		assert_null(slot_by_id(vm, 2));
		touch(BASE, FAULT_READ);
		/* One that stays for long, but not too long. */
		stay_in_section(tsc_hz / 4);
		assert_int_equal(change_list(list, 2, (enum slot_way)way), 0);
		assert_true(report.drain >= tsc_hz / 4 - 100 || report.pause >= tsc_hz / 4 - 100);
		expect_slot(2, BASE, M2, 0);
		assert_int_equal(change_list((struct slot_change[]){ drop(2), create(1, BASE, M2) },
					     2, SLOTS_ATOMIC),
				 0);
	}
}

/* The reader comes when the slot is out, in the middle of an item that is made in two steps. */
static void come_to_the_hole(void)
{
	if (!slot_by_id(vm, 1))
		stay_in_section(tsc_hz + tsc_hz / 2);
}

static void test_reader_in_the_hole(void **state)
{
	const struct slot_change shrink = { .op = SLOT_RESIZE, .id = 1, .size = K4 };
	unsigned int late = 0;

	assert_int_equal(change(create(1, BASE, M2), SLOTS_ATOMIC), 0);
	for (unsigned int i = 0; i < 40; i++) {
		chaos_init(i);
		fake_machine.on_spin = come_to_the_hole;
		if (change(shrink, SLOTS_LIVE)) {
			late++;
			expect_slot(1, BASE, M2, 0);
			touch(BASE, FAULT_READ);
		}
		if (fake_machine.on_spin == reader_ends) {
			reader_until = 0;
			reader_ends();
		}
		fake_machine.on_spin = NULL;
		chaos_off();
		assert_int_equal(change_list((struct slot_change[]){ drop(1), create(1, BASE, M2) },
					     2, SLOTS_ATOMIC),
				 0);
	}
	assert_true(late > 10);
}

/* While another thread holds the VM changes wait; the holder's own go through. */
static struct vm_hold hold;

static void resume(void)
{
	assert_int_equal(slots_count(vm), 2);
	assert_int_equal(vm_resume(&hold), 0);
}

static void test_held_by_another(void **state)
{
	for (unsigned int way = 0; way < WAYS; way++) {
		fake_machine.thread = 2;
		assert_int_equal(vm_pause(vm, &hold, 0, NULL), 0);
		assert_int_equal(vm_change_slots(vm,
						 &(struct slot_change){ .op = SLOT_CREATE,
									.id = 1,
									.base = BASE,
									.size = K4,
									.backing = mem },
						 1, (enum slot_way)way, NULL),
				 0);
		fake_machine.thread = 0;
		fake_machine.on_block = resume;
		assert_int_equal(change(drop(1), (enum slot_way)way), 0);
		assert_int_equal(slots_count(vm), 1);
		fake_machine.on_block = NULL;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(deleted_again_while_stuck),
		TEST(deleted_beside_a_drop),
		TEST(destroyed_beside_a_move),
		TEST(live_is_seen_to_fail),
		TEST(atomic_has_no_hole),
		TEST(paused_is_held),
		TEST(late_reader),
		TEST(vcpu_in_guest),
		TEST(stuck_vcpu),
		TEST(late_backing),
		TEST(late_tables),
		TEST(stuck_reader),
		TEST(reader_in_the_hole),
		TEST(held_by_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
