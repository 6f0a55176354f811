/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest memory: holds, pages that move, and slots that go while somebody uses them. */
/* link: @vm tests/unit/memory_fixture.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/meddle.h"
#include "tests/unit/memory_fixture.h"

/* --- the gate -------------------------------------------------------------------------------- */

static struct vm_hold hold;

static void let_go(void)
{
	fake_machine.thread = 1;
	assert_int_equal(vm_resume(&hold), 0);
	fake_machine.thread = 0;
}

static void another_holds(void)
{
	fake_machine.thread = 1;
	assert_int_equal(vm_pause(vm, &hold, 0, NULL), 0);
	fake_machine.thread = 0;
	fake_machine.on_block = let_go;
}

static void test_gate(void **state)
{
	struct vcpu *vcpu = vm->vcpu[0];
	u64 value = 3;

	another_holds();
	assert_int_equal(touch(0), -EINTR); /* does not wait */
	assert_int_equal(look(0).prot, 0);
	assert_true(vm_is_held(vm));
	guest_put(0x1000, 77, 8);
	assert_false(vm_is_held(vm));
	another_holds();
	assert_int_equal(guest_get(0x1000, 8), 77);
	assert_false(vm_is_held(vm));
	another_holds();
	assert_int_equal(vm_fill(vm, 0x1fff, 1, 2), 0);
	assert_false(vm_is_held(vm));
	another_holds();
	/* The thread of a vCPU leaves vcpu_run() instead. */
	assert_int_equal(vcpu_write(vcpu, 0x1000, &value, 8), -EINTR);
	assert_true(vm_is_held(vm));
	assert_int_equal(vm_drop_page(vm, 0), 0);
	assert_int_equal(vm_ram_size(vm), FIXTURE_RAM);
	assert_false(vm_is_held(vm));
	/* Who holds the VM passes. */
	assert_int_equal(vm_pause(vm, &hold, 0, NULL), 0);
	assert_int_equal(guest_get(0x1000, 8), 77);
	assert_int_equal(touch(0), 0);
	assert_int_equal(vm_resume(&hold), 0);
	assert_int_equal(touch(0), 0);
}

/* --- what changes meanwhile ------------------------------------------------------------------ */

/* At a race point: the page at BASE + 7 pages moves, once. */
static void move_it(void)
{
	if (meddled++)
		return;
	assert_int_equal(fake_locks_held(), 0);
	assert_int_equal(backing_move(shown, 7 * K4, K4, 0xbb), 0);
}

/* Whenever it moves: what is mapped afterwards is where it is now. */
static void test_move_during_fault(void **state)
{
	u64 retries = counter_read(&mem_retries), moved = 0;
	struct backing_page page;

	for (u64 seed = 0; seed < 60; seed++) {
		show(BASE, 2 * M2, 0, 0);
		guest_put(BASE + 7 * K4, 0xabcdef01 + seed, 8);
		meddle(seed, move_it);
		assert_int_equal(touch(BASE + 7 * K4), 0);
		no_more();
		moved += meddled > 0;
		assert_true(backing_look(shown, 7 * K4, &page));
		if (look(BASE + 7 * K4).prot)
			assert_int_equal(look(BASE + 7 * K4).hpa, page.hpa);
		assert_int_equal(touch(BASE + 7 * K4), 0);
		assert_int_equal(look(BASE + 7 * K4).hpa, page.hpa);
		assert_int_equal(guest_get(BASE + 7 * K4, 8), 0xabcdef01 + seed);
		hide();
	}
	assert_in_range(moved, 10, 60);
	assert_in_range(counter_read(&mem_retries) - retries, 10, 60);
}

static void test_move_during_access(void **state)
{
	unsigned int yields = fake_machine.yields;

	for (u64 seed = 0; seed < 60; seed++) {
		show(BASE, M2, 0, 0);
		guest_put(BASE + 7 * K4, 1, 8);
		meddle(seed, move_it);
		guest_put(BASE + 7 * K4, seed, 8);
		no_more();
		assert_int_equal(guest_get(BASE + 7 * K4, 8), seed);
		meddle(seed, move_it);
		assert_int_equal(guest_get(BASE + 7 * K4, 8), seed);
		no_more();
		hide();
	}
	/* Others had the CPU when it had to be done again. */
	assert_true(fake_machine.yields > yields + 10);
}

static void end_invalidation(void)
{
	invalidate_end(vm);
	fake_machine.on_yield = NULL;
}

/* The other thread is on this CPU. */
static void test_invalidation_under_way(void **state)
{
	struct vcpu *vcpu = vm->vcpu[0];
	u64 retries = counter_read(&mem_retries), value = 4;

	invalidate_begin(vm, 0x3000, 0x2000);
	assert_int_equal(touch(0x4000), 0); /* nothing is mapped: the guest tries again */
	assert_int_equal(look(0x4000).prot, 0);
	assert_int_equal(counter_read(&mem_retries), retries + 1);
	assert_int_equal(vm_populate(vm), 0); /* leaves it out */
	fake_machine.on_yield = end_invalidation;
	assert_int_equal(guest_get(0x4ff8, 8), 0);
	assert_int_equal(fake_machine.yields, 1);
	invalidate_begin(vm, 0x3000, 0x2000);
	fake_machine.on_yield = end_invalidation;
	assert_int_equal(vcpu_write(vcpu, 0x3000, &value, 8), 0);
	assert_int_equal(fake_machine.yields, 2);
	invalidate_begin(vm, 0x3000, 0x2000);
	assert_int_equal(guest_get(0x5000, 8), 0); /* not concerned */
	invalidate_end(vm);
	assert_int_equal(touch(0x4000), 0);
	assert_int_not_equal(look(0x4000).prot, 0);
}

static void is_out(void)
{
	slot_by_id(vm, 0)->invalid = false;
}

/* A slot that is on its way out is neither there nor not there. */
static void test_invalid_slot(void **state)
{
	u64 retries = counter_read(&mem_retries);

	slot_by_id(vm, 0)->invalid = true;
	assert_int_equal(touch(0), 0);
	assert_int_equal(look(0).prot, 0);
	assert_int_equal(counter_read(&mem_retries), retries + 1);
	fake_machine.on_yield = is_out;
	assert_int_equal(guest_get(0, 8), 0);
	assert_int_equal(fake_machine.yields, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_gate),
		TEST(test_move_during_fault),
		TEST(test_move_during_access),
		TEST(test_invalidation_under_way),
		TEST(test_invalid_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
