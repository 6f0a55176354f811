/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest memory: the size and the rights that a slot and its backing are mapped with; the dirty log.
 */
/* link: @vm tests/unit/memory_fixture.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/memory_fixture.h"
#include "vmx/controls.h"

/* Large leaves where the slot, its backing and the address agree. */
static void test_alignment(void **state)
{
	static const struct {
		u64 gpa, offset, size, leaf;
	} cases[] = {
		{ 0, 0, 4 * M2, M2 },
		{ 0, M2, 4 * M2, M2 },
		{ K4, K4, 4 * M2, M2 },
		{ M2 - K4, 3 * M2 - K4, 4 * M2, M2 },
		{ K4, 0, 4 * M2, K4 },
		{ 0, K4, 4 * M2, K4 },
		{ 5 * K4, M2 - K4, 4 * M2, K4 },
		{ K4, K4, M2, K4 }, /* no whole block */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		gpa_t at = BASE + (cases[i].size > M2 ? M2 : 0) + 17 * K4;

		show(BASE + cases[i].gpa, cases[i].size, cases[i].offset, 0);
		guest_put(at + 8, 0x1234 + i, 8);
		assert_int_equal(touch(at), 0);
		assert_int_equal(look(at).size, cases[i].leaf);
		assert_true(mapped(at, cases[i].leaf));
		assert_int_equal(guest_get(at + 8, 8), 0x1234 + i);
		/* The rest of the slot, to its very ends. */
		assert_int_equal(vm_populate(vm), 0);
		for (u64 off = 0; off < cases[i].size; off += K4)
			assert_int_equal(look(BASE + cases[i].gpa + off).prot, EPT_RWX);
		assert_int_equal(look(BASE + cases[i].gpa - 1).prot, 0);
		assert_int_equal(look(BASE + cases[i].gpa + cases[i].size).prot, 0);
		hide();
	}
}

/* A GiB that is all there, at an address nothing can be read from: only mapped. */
static void test_giant_leaf(void **state)
{
	const hpa_t frames = GIB(16);

	show(BASE, GIB(2), 0, 0);
	shown->giant = kzalloc(2 * sizeof(*shown->giant));
	for (u64 off = 0; off < GIB(1); off += M2)
		atomic_store(block_at(shown, GIB(1) + off),
			     (frames + off) | WORD_READY | WORD_GIANT);
	atomic_store(&shown->giant[1], GIANT_BLOCKS - 1);
	assert_int_equal(touch(BASE + GIB(1) + 5), 0);
	assert_int_equal(look(BASE + GIB(1)).size, EPT_SIZE_2M);
	assert_int_equal(ept_unmap(&vm->vmx.ept, BASE, GIB(2)), 1);
	atomic_store(&shown->giant[1], GIANT_BLOCKS);
	vm->vmx.ept.caps &= ~(u64)EPT_CAP_1G;
	assert_int_equal(touch(BASE + GIB(1) + 5), 0);
	assert_int_equal(look(BASE + GIB(1)).size, EPT_SIZE_2M);
	assert_int_equal(ept_unmap(&vm->vmx.ept, BASE, GIB(2)), 1);
	vm->vmx.ept.caps |= EPT_CAP_1G;
	assert_int_equal(touch(BASE + GIB(1) + 5), 0);
	assert_int_equal(look(BASE + GIB(1)).size, EPT_SIZE_1G);
	assert_int_equal(look(BASE + GIB(2) - K4).hpa, frames + GIB(1) - K4);
	for (u64 off = 0; off < GIB(1); off += M2)
		atomic_store(block_at(shown, GIB(1) + off), 0);
	hide();
}

static void test_readonly(void **state)
{
	u64 word = 7;

	show(BASE, 2 * M2, 0, SLOT_READONLY);
	assert_int_equal(touch(BASE + M2), 0);
	assert_int_equal(look(BASE + M2).prot, EPT_READ | EPT_EXEC);
	assert_int_equal(look(BASE + M2).size, M2);
	assert_int_equal(fault(BASE + M2, FAULT_WRITE), -EPERM);
	assert_int_equal(fault(BASE, FAULT_WRITE | FAULT_READ), -EPERM);
	assert_int_equal(look(BASE).prot, 0);
	assert_int_equal(vm_write(vm, BASE, &word, 8), -EFAULT);
	assert_int_equal(vm_fill(vm, BASE - K4, 1, 3 * K4), -EFAULT);
	assert_int_equal(vcpu_cmpxchg(vm->vcpu[0], BASE, 8, &word, 1), -EFAULT);
	assert_int_equal(guest_get(BASE, 8), 0);
	hide();
}

static void test_log_by_protection(void **state)
{
	u64 unprotected = counter_read(&mem_unprotected), gen;

	assert_int_equal(vm_set_dirty(vm, DIRTY_WRITE_PROTECT), 0);
	show(BASE, M2, 0, SLOT_LOG_DIRTY);
	assert_int_equal(touch(BASE + K4), 0);
	assert_int_equal(look(BASE + K4).size, K4); /* only it, and not for writing */
	assert_int_equal(look(BASE + K4).prot, EPT_READ | EPT_EXEC);
	assert_int_equal(look(BASE).prot, 0);
	assert_int_equal(fault(BASE + 2 * K4, FAULT_WRITE), 0);
	assert_int_equal(look(BASE + 2 * K4).prot, EPT_RWX);
	assert_int_equal(nr_dirty(), 1);
	assert_int_equal(look(BASE + 2 * K4).prot, EPT_READ | EPT_EXEC); /* armed again */
	gen = atomic_load(&vm->vmx.flush_gen);
	assert_int_equal(fault(BASE + K4, FAULT_WRITE | FAULT_READ), 0);
	assert_int_equal(look(BASE + K4).prot, EPT_RWX);
	assert_int_equal(atomic_load(&vm->vmx.flush_gen), gen); /* further rights: no flush */
	assert_int_equal(counter_read(&mem_unprotected), unprotected + 1);
	assert_int_equal(fault(BASE + K4, FAULT_WRITE), 0); /* another CPU had the old rights */
	assert_int_equal(counter_read(&mem_unprotected), unprotected + 1);
	assert_int_equal(nr_dirty(), 1);
	assert_int_equal(nr_dirty(), 0);
	hide();
}

static void test_log_by_pml(void **state)
{
	if (vm->dirty_how != DIRTY_PML)
		assert_int_equal(vm_set_dirty(vm, DIRTY_PML), 0);
	show(BASE, M2, 0, SLOT_LOG_DIRTY);
	assert_int_equal(touch(BASE + K4), 0);
	assert_int_equal(look(BASE + K4).size, K4);
	assert_int_equal(look(BASE + K4).prot, EPT_RWX);
	assert_false(look(BASE + K4).dirty); /* the CPU sets it, and logs that */
	assert_int_equal(fault(BASE + 2 * K4, FAULT_WRITE), 0);
	assert_false(look(BASE + 2 * K4).dirty);
	assert_int_equal(nr_dirty(), 0);
	/* Left over from a time when it could not be written: not left to the CPU. */
	assert_true(ept_protect(&vm->vmx.ept, BASE + K4, K4, EPT_READ | EPT_EXEC | EPT_DIRTY) >= 0);
	assert_int_equal(fault(BASE + K4, FAULT_WRITE), 0);
	assert_int_equal(look(BASE + K4).prot, EPT_RWX);
	assert_int_equal(nr_dirty(), 1);
	hide();
}

/* The log was switched on over a large page, off over small ones without rights. */
static void test_log_on_and_off(void **state)
{
	struct slot_change c = { .op = SLOT_FLAGS, .id = 9, .flags = SLOT_LOG_DIRTY };

	assert_int_equal(vm_set_dirty(vm, DIRTY_WRITE_PROTECT), 0);
	show(BASE, M2, 0, 0);
	assert_int_equal(touch(BASE), 0);
	assert_int_equal(look(BASE).size, M2);
	change(c);
	assert_int_equal(look(BASE).size, K4);
	assert_int_equal(look(BASE).prot, EPT_READ | EPT_EXEC);
	assert_int_equal(touch(BASE + K4), 0);
	c.flags = 0;
	change(c);
	assert_int_equal(fault(BASE + K4, FAULT_WRITE), 0);
	assert_int_equal(look(BASE + K4).prot, EPT_RWX);
	assert_true(look(BASE + K4).dirty);
	assert_int_equal(vm_dirty_read(vm, 9, NULL, NULL), -EINVAL);
	hide();
}

/* A large leaf without write permission in a slot with a log: one page of it becomes writable. */
static void test_log_splits(void **state)
{
	struct backing_page page;

	assert_int_equal(vm_set_dirty(vm, DIRTY_WRITE_PROTECT), 0);
	show(BASE, M2, 0, SLOT_LOG_DIRTY);
	guest_put(BASE, 1, 8);
	assert_int_equal(nr_dirty(), 1);
	assert_true(backing_look(shown, 0, &page));
	assert_int_equal(ept_map(&vm->vmx.ept, BASE, page.hpa, M2, EPT_READ | EPT_EXEC), 0);
	assert_int_equal(fault(BASE + 3 * K4, FAULT_WRITE), 0);
	assert_int_equal(look(BASE + 3 * K4).prot, EPT_RWX);
	assert_int_equal(look(BASE + 2 * K4).prot, EPT_READ | EPT_EXEC);
	assert_int_equal(nr_dirty(), 1);
	hide();
}

/* The hypervisor's writes are recorded too, and its reads are not. */
static void test_own_writes_are_logged(void **state)
{
	u64 word = 0;

	show(BASE, M2, 0, SLOT_LOG_DIRTY);
	assert_int_equal(guest_get(BASE, 8), 0);
	assert_int_equal(nr_dirty(), 0);
	guest_put(BASE + K4 - 4, 0x1122334455667788, 8);
	assert_int_equal(nr_dirty(), 2);
	assert_int_equal(vm_fill(vm, BASE + 4 * K4, 9, 3 * K4 + 1), 0);
	assert_int_equal(nr_dirty(), 4);
	assert_int_equal(vcpu_cmpxchg(vm->vcpu[0], BASE, 8, &word, 1), 1);
	assert_int_equal(nr_dirty(), 1);
	assert_int_equal(vcpu_write(vm->vcpu[0], BASE + 8, &word, 8), 0);
	assert_int_equal(nr_dirty(), 1);
	hide();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_alignment),  TEST(test_giant_leaf),
		TEST(test_readonly),   TEST(test_log_by_protection),
		TEST(test_log_by_pml), TEST(test_log_on_and_off),
		TEST(test_log_splits), TEST(test_own_writes_are_logged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
