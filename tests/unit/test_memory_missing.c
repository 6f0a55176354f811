/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest memory: accesses to pages that are missing, and who waits for them. */
/* link: @vm tests/unit/memory_fixture.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/memory_fixture.h"

/* --- missing pages --------------------------------------------------------------------------- */

static void expect_no_fetch(void)
{
	struct fetch next;

	assert_int_equal(vm_next_fetch(vm, &next, 0), -ETIMEDOUT);
}

/* A fault says what is missing; to have it fetched is another matter. */
static void test_fault_on_missing(void **state)
{
	show(BASE, 2 * M2, M2, 0);
	assert_int_equal(backing_punch(shown, M2 + 3 * K4, K4), 0);
	missing = (struct missing){ .exit = true };
	assert_int_equal(touch(BASE + 3 * K4 + 123), -EAGAIN);
	assert_false(missing.exit);
	assert_ptr_equal(missing.backing, shown);
	assert_int_equal(missing.offset, M2 + 3 * K4);
	assert_int_equal(missing.generation, atomic_load(&vm->slots.generation));
	assert_int_equal(atomic_load(&shown->refs), 3); /* ours, the slot's, the fault's */
	backing_put(missing.backing);
	assert_int_equal(touch(BASE + 2 * K4), 0);
	assert_int_equal(vm_populate(vm), 0);
	assert_int_equal(look(BASE + 3 * K4).prot, 0);
	assert_int_equal(look(BASE + 4 * K4).prot, EPT_RWX);
	expect_no_fetch();
	hide();
}

static u8 arriving[K4];

/* The thread that brings pages. */
static void bring(void)
{
	struct fetch next;

	assert_int_equal(this_cpu()->in_guest, 0);
	assert_int_equal(vm_next_fetch(vm, &next, 0), 0);
	assert_ptr_equal(next.backing, shown);
	memset(arriving, (int)(next.offset / K4), K4);
	assert_int_equal(backing_fill(shown, next.offset, arriving), 0);
	backing_put(next.backing);
}

static void test_access_waits_for_pages(void **state)
{
	u8 buf[3 * K4];

	show(BASE, M2, 0, 0);
	assert_int_equal(backing_punch(shown, 0, M2), 0);
	fake_machine.on_block = bring;
	assert_int_equal(vm_read(vm, BASE + 5 * K4, buf, sizeof(buf)), 0);
	for (unsigned int i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 5 + i / K4);
	assert_int_equal(fake_machine.blocks, 3);
	guest_put(BASE + 9 * K4, 0, 1);
	assert_int_equal(guest_get(BASE + 9 * K4, 2), 0x0900);
	assert_int_equal(fake_machine.blocks, 4);
	assert_int_equal(atomic_load(&shown->refs), 2);
	hide();
}

/* While a vCPU's thread sleeps another vCPU is loaded on its CPU. */
static void others_run(void)
{
	assert_int_equal(vmx_load(&vm->vcpu[1]->vmx), 0);
	bring();
}

static void test_vcpu_waits_for_pages(void **state)
{
	struct vcpu *vcpu = vm->vcpu[0];
	u64 value = 0;

	show(BASE, M2, 0, 0);
	assert_int_equal(backing_punch(shown, 0, M2), 0);
	atomic_store(&this_cpu()->in_guest, 1);
	fake_machine.on_block = others_run;
	assert_int_equal(vcpu_read(vcpu, BASE + 7 * K4, &value, 8), 0);
	assert_int_equal(value, 0x0707070707070707);
	assert_true(vmx_is_loaded(&vcpu->vmx));
	assert_int_equal(this_cpu()->in_guest, 1);
	value = 0;
	assert_int_equal(vcpu_cmpxchg(vcpu, BASE + 8 * K4, 8, &value, 5), 0);
	assert_int_equal(value, 0x0808080808080808);
	assert_int_equal(vcpu_cmpxchg(vcpu, BASE + 8 * K4, 8, &value, 5), 1);
	assert_int_equal(guest_get(BASE + 8 * K4, 8), 5);
	assert_int_equal(fake_machine.blocks, 2);
	atomic_store(&this_cpu()->in_guest, 0);
	hide();
}

static void ask_to_leave(void)
{
	vcpu_request(vm->vcpu[0], REQ_EXIT);
}

/* Somebody wants the vCPU: it does not sleep on. */
static void test_vcpu_is_wanted(void **state)
{
	struct vcpu *vcpu = vm->vcpu[0];
	u64 value;

	show(BASE, M2, 0, 0);
	assert_int_equal(backing_punch(shown, 0, M2), 0);
	fake_machine.on_block = ask_to_leave;
	assert_int_equal(vcpu_read(vcpu, BASE, &value, 8), -EINTR);
	assert_int_equal(fake_machine.blocks, 1);
	atomic_store(&vcpu->requests, 0);
	fake_machine.on_block = bring;
	assert_int_equal(vcpu_read(vcpu, BASE, &value, 8), 0);
	assert_false(wait_queue_active(&vcpu->wq));
	hide();
}

static void test_access_without_memory(void **state)
{
	struct vcpu *vcpu = vm->vcpu[0];
	u64 value;

	show(BASE, M2, 0, 0);
	for (unsigned int i = 0; i < 2; i++) {
		fake_page_fail(1);
		assert_int_equal(i ? vcpu_read(vcpu, BASE, &value, 8)
				   : vm_read(vm, BASE, &value, 8),
				 -ENOMEM);
	}
	fake_page_fail(1);
	assert_int_equal(touch(BASE), -ENOMEM);
	assert_int_equal(vm_read(vm, BASE, &value, 8), 0);
	hide();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fault_on_missing),	  TEST(test_access_waits_for_pages),
		TEST(test_vcpu_waits_for_pages),  TEST(test_vcpu_is_wanted),
		TEST(test_access_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
