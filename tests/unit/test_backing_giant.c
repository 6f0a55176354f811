/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Backings in blocks of 1 GiB, which here have 8 MiB: they are one piece when all of it is zeroed,
 * and come apart when a part is moved or made missing.
 */
/* link: hv/vm/fetch.c hv/vm/invalidate.c hv/vm/userfault.c */
/* link: vmx/ept.c vmx/ept_dirty.c vmx/ept_pages.c vmx/ept_range.c */
/* link: vmx/ept_unlink.c vmx/ept_walk.c */
/* link: hv/host/chaos.c hv/host/random.c hv/host/wait.c hv/host/print.c */
/* link: tests/unit/fake_machine.c tests/unit/fake_host.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define GIANT_ORDER 11
#include "hv/vm/backing.c"
#include "hv/vm/backing_block.c"
#include "hv/vm/backing_fetch.c"
#include "hv/vm/backing_move.c"
#include "hv/vm/backing_plan.c"
#include "hv/vm/backing_view.c"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"

#define M2 BLOCK_SIZE
#define G1 GIANT_SIZE

static struct backing *back;
static struct vm vm;
static bool in_flush;

static bool retry(gpa_t gpa)
{
	bool again;

	spin_lock(&vm.vmx.lock);
	again = invalidate_retry(&vm, gpa, invalidate_seq(&vm));
	spin_unlock(&vm.vmx.lock);
	return again;
}

/* Something in the second GiB moves: a leaf around any page of it might cover what moves. */
int vm_flush_and_free(struct vm *which, struct ept_unlinked *tables, u64 deadline)
{
	if (in_flush) {
		assert_false(retry(G1 - PAGE_SIZE));
		assert_true(retry(G1));
		assert_true(retry(2 * G1 - PAGE_SIZE));
		assert_false(retry(2 * G1));
	}
	ept_free_detached(&vm.vmx.ept, tables);
	return 0;
}

/* These VMs have no vCPU, and so no APIC-access page. */
bool apic_page_owes_flush(struct vm *which, gpa_t gpa, u64 len)
{
	return false;
}

void apic_page_invalidated(struct vm *which, gpa_t gpa, u64 len)
{
}

static int setup(void **state)
{
	fake_machine_reset();
	memset(&vm, 0, sizeof(vm));
	spin_lock_init(&vm.vmx.lock);
	in_flush = false;
	assert_int_equal(ept_init(&vm.vmx.ept, ~0ull, 40), 0);
	assert_int_equal(backing_create(&back, 3 * G1 + M2, BACKING_1G), 0);
	assert_int_equal(fake_machine.pages_live, 1 + (3 * G1 + M2) / PAGE_SIZE);
	return 0;
}

static int teardown(void **state)
{
	backing_put(back);
	ept_destroy(&vm.vmx.ept);
	assert_int_equal(fake_machine.pages_live, 0);
	assert_int_equal(fake_locks_held(), 0);
	return 0;
}

static struct backing_page find(u64 offset)
{
	struct backing_page page;

	assert_int_equal(backing_find(back, offset, &page), 0);
	return page;
}

/* One piece as soon as the last of its blocks is zeroed. */
static void test_span(void **state)
{
	for (u64 off = 0; off < G1; off += M2) {
		assert_int_equal(find(G1 + off).span, off + M2 == G1 ? G1 : M2);
		assert_int_equal(find(G1 + off).hpa, find(G1).hpa + off);
	}
	assert_int_equal(find(G1).span, G1);
	assert_int_equal(find(G1).hpa % G1, 0);
	assert_int_equal(find(0).span, M2);
	assert_int_equal(backing_populate(back), 0);
	assert_int_equal(find(0).span, G1);
	assert_int_equal(find(3 * G1).span, M2); /* what is left over is a block */
}

static void expect_split(u64 offset)
{
	for (u64 off = 0; off < 3 * G1; off += M2)
		assert_int_equal(find(off).span, off >= G1 && off < 2 * G1 ? M2 : G1);
	assert_int_equal(find(offset + M2).hpa, find(G1).hpa + (offset + M2 - G1));
}

static void test_move_block(void **state)
{
	struct backing_view v;

	assert_int_equal(backing_populate(back), 0);
	backing_attach(back, &v, &vm, 0, 0, 3 * G1);
	memset(phys_to_virt(find(G1 + M2).hpa), 0x5c, M2);
	in_flush = true;
	assert_int_equal(backing_move(back, G1 + M2, M2, -1), 0);
	backing_detach(back, &v);
	expect_split(G1 + M2);
	assert_int_equal(*(u8 *)phys_to_virt(find(G1 + 2 * M2 - PAGE_SIZE).hpa), 0x5c);
}

static void test_move_page(void **state)
{
	hpa_t start;

	assert_int_equal(backing_populate(back), 0);
	start = find(G1).hpa;
	assert_int_equal(backing_move(back, G1 + M2 + PAGE_SIZE, PAGE_SIZE, 0xff), 0);
	for (u64 off = G1; off < 2 * G1; off += M2)
		assert_int_equal(find(off).span, off == G1 + M2 ? PAGE_SIZE : M2);
	assert_int_equal(find(G1 + M2).hpa, start + M2);
	assert_int_not_equal(find(G1 + M2 + PAGE_SIZE).hpa, start + M2 + PAGE_SIZE);
	assert_int_equal(find(2 * G1).span, G1);
}

static void test_punch(void **state)
{
	u64 live = fake_machine.pages_live;

	assert_int_equal(backing_punch(back, G1, M2), 0);
	assert_int_equal(fake_machine.pages_live, live - 512 + 2);
	assert_int_equal(backing_punch(back, 2 * G1 - PAGE_SIZE, 2 * PAGE_SIZE), 0);
	assert_int_equal(fake_machine.pages_live, live - 512 + 3 * 2 - 2);
	assert_int_equal(backing_populate(back), 0);
	assert_int_equal(find(0).span, G1);
	assert_int_equal(find(G1 + M2).span, M2);
	assert_int_equal(find(2 * G1 + M2).span, M2);
	assert_int_equal(backing_punch(back, 0, 3 * G1 + M2), 0);
	assert_int_equal(fake_machine.pages_live, 1 + 2 * (3 * GIANT_BLOCKS + 1));
}

/* A block is being zeroed while its GiB comes apart. */
static void split_meanwhile(void)
{
	spin_lock(&back->lock);
	giant_split(back, G1);
	spin_unlock(&back->lock);
	atomic_fetch_and(block_at(back, G1 + M2), ~WORD_BUSY);
}

static void test_busy(void **state)
{
	atomic_fetch_or(block_at(back, G1 + M2), WORD_BUSY);
	fake_machine.on_spin = split_meanwhile;
	assert_int_equal(find(G1 + M2).span, M2);
	fake_machine.on_spin = NULL;
	assert_int_equal(backing_populate(back), 0);
	assert_int_equal(find(G1).span, M2);
	assert_int_equal(find(0).span, G1);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_span),  TEST(test_move_block), TEST(test_move_page),
		TEST(test_punch), TEST(test_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
