/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory-fault exits through vcpu_run(): what they say, that nothing has happened, what the next
 * run does, and what may come in between; the flags that ask for them.
 */
/* link: @vm tests/unit/missing_fixture.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/vm/backing.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/meddle.h"
#include "tests/unit/missing_fixture.h"
#include "vmx/controls.h"

extern struct counter mem_exits;

/* --- the guest's own accesses ------------------------------------------------------------------
 */

static void test_fault(void **state)
{
	static const unsigned int kinds[] = { R, W, X, R | W };
	u64 exits = counter_read(&mem_exits);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		take(PAGE);
		assert_false(mapped(PAGE));
		guest_touches(PAGE + 0x123, kinds[i]);
		resolve(PAGE, kinds[i]);
		assert_false(mapped(PAGE));
		/* The next run maps it, before the guest could touch it once more. */
		run_to_end();
		assert_true(mapped(PAGE));
		assert_int_equal(f->entries, 2 * (i + 1));
	}
	assert_int_equal(counter_read(&mem_exits), exits + 4 * ARRAY_SIZE(kinds));
}

static void test_present(void **state)
{
	u64 exits = counter_read(&mem_exits);

	take(PAGE);
	guest_touches(PAGE + K4, W);
	guest_touches(PAGE - 1, R);
	run_to_end();
	assert_true(mapped(PAGE + K4));
	assert_true(mapped(PAGE - K4));
	assert_false(mapped(PAGE));
	assert_int_equal(counter_read(&mem_exits), exits);
	bring(PAGE);
}

/* An instruction that needs several pages: an exit for each that is missing, one after another. */
static void test_crossing(void **state)
{
	take(PAGE);
	take(PAGE + K4);
	guest_touches(PAGE + K4 - 2, W);
	resolve(PAGE, W);
	guest_touches(PAGE + K4, W);
	resolve(PAGE + K4, W);
	run_to_end();
	assert_true(mapped(PAGE) && mapped(PAGE + K4));
}

static void inject(struct vcpu *v)
{
	assert_int_equal(vcpu_inject_error(v, EXC_GP, 8), RESUME_GUEST);
	remember(v);
}

/* The stack of an event that is being delivered: the event waits, and is delivered once. */
static void test_during_delivery(void **state)
{
	take(PAGE);
	guest_touches(PAGE, W)->during = inject;
	resolve(PAGE, W);
	assert_int_equal(f->nr_delivered, 0);
	run_to_end();
	assert_int_equal(f->nr_delivered, 1);
	assert_int_equal(f->delivered[0].vector, EXC_GP);
}

/* Several vCPUs, one page: each is told, and it is brought once. */
static void test_two_vcpus(void **state)
{
	struct vcpu *two = vm->vcpu[1];

	two->mp_state = MP_RUNNABLE;
	take(PAGE);
	guest_touches(PAGE, W);
	expect_exit(PAGE, W);
	fixture_load(two, 1);
	guest_touches(PAGE + 8, R)->during = NULL;
	assert_int_equal(vcpu_run(two), 0);
	assert_int_equal(two->run.reason, RUN_EXIT_MEMORY_FAULT);
	assert_int_equal(two->run.memory_fault.gpa, PAGE);
	assert_int_equal(two->run.memory_fault.flags, R);
	bring(PAGE);
	fixture_run_to_end(two);
	fake_machine.cpu = 0;
	run_to_end();
	assert_true(mapped(PAGE));
}

/* --- what comes in between ---------------------------------------------------------------------
 */

static void test_asked_to_leave(void **state)
{
	take(PAGE);
	guest_touches(PAGE, W);
	expect_exit(PAGE, W);
	vcpu_request(vcpu, REQ_EXIT);
	expect_stopped(); /* and says nothing of a fault */
	expect_unchanged();
	assert_int_equal(f->entries, 1);
	guest_touches(PAGE, W);
	expect_exit(PAGE, W);
	bring(PAGE);
	vcpu_request(vcpu, REQ_EXIT);
	expect_stopped();
	expect_unchanged();
	run_to_end();
}

/* An event does not wait for the page. */
static void test_event(void **state)
{
	take(PAGE);
	guest_touches(PAGE, W);
	expect_exit(PAGE, W);
	lapic_post_nmi(vcpu);
	guest_touches(PAGE, R); /* its stack, say */
	expect_exit(PAGE, R);
	assert_int_equal(f->nr_delivered, 1);
	assert_int_equal(f->delivered[0].type, EVENT_NMI);
	expect_again(PAGE, R);
	bring(PAGE);
	run_to_end();
	assert_int_equal(f->nr_delivered, 1);
}

static void test_held(void **state)
{
	struct vm_hold hold = { 0 };

	take(PAGE);
	guest_touches(PAGE, W);
	expect_exit(PAGE, W);
	fake_machine.thread = 2;
	assert_int_equal(vm_pause(vm, &hold, 0, NULL), 0);
	fake_machine.thread = 0;
	expect_stopped();
	expect_stopped();
	fake_machine.thread = 2;
	assert_int_equal(vm_resume(&hold), 0);
	fake_machine.thread = 0;
	expect_unchanged();
	assert_int_equal(f->entries, 1);
	guest_touches(PAGE, W);
	resolve(PAGE, W);
	run_to_end();
}

/* The VMM lets the guest go on elsewhere: that access is not made any more. */
static void test_registers_set(void **state)
{
	struct vcpu_regs regs;

	take(PAGE);
	guest_touches(PAGE, W);
	expect_exit(PAGE, W);
	assert_int_equal(vcpu_get_regs(vcpu, &regs), 0);
	expect_again(PAGE, W); /* to look changes nothing */
	regs.rip = 0x7000;
	regs.gpr[GPR_RAX] = 5;
	assert_int_equal(vcpu_set_regs(vcpu, &regs), 0);
	run_to_end();
	assert_int_equal(vcpu_rip(vcpu), 0x7000);
	assert_int_equal(gpr[GPR_RAX], 5);
	guest_touches(PAGE, W);
	expect_exit(PAGE, W);
	assert_int_equal(vcpu_set_regs(vcpu, &regs), 0);
	vcpu_request(vcpu, REQ_EXIT);
	expect_stopped();
	bring(PAGE);
}

static void ask_to_leave(void)
{
	vcpu_request(vcpu, REQ_EXIT);
}

/* Or has it wait. */
static void test_state_set(void **state)
{
	take(PAGE);
	guest_touches(PAGE, W);
	expect_exit(PAGE, W);
	vcpu_set_mp_state(vcpu, MP_HALTED);
	fake_machine.on_block = ask_to_leave;
	expect_stopped();
	assert_int_equal(fake_machine.blocks, 1);
	fake_machine.blocks = 0;
	vcpu_set_mp_state(vcpu, MP_RUNNABLE);
	guest_touches(PAGE, W);
	resolve(PAGE, W);
	run_to_end();
}

static void test_loaded_elsewhere(void **state)
{
	take(PAGE);
	guest_touches(PAGE, W);
	expect_exit(PAGE, W);
	fake_machine.cpu = 1;
	assert_int_equal(vcpu_run(vcpu), -EBUSY);
	fake_machine.cpu = 0;
	vcpu_unload(vcpu);
	fake_machine.cpu = 1;
	expect_again(PAGE, W);
	bring(PAGE);
	run_to_end();
}

static void test_destroyed(void **state)
{
	take(PAGE);
	guest_touches(PAGE, W);
	expect_exit(PAGE, W);
}

/* --- what has changed when it runs again -------------------------------------------------------
 */

static void change(struct slot_change c)
{
	assert_int_equal(vm_change_slots(vm, &c, 1, SLOTS_LIVE, NULL), 0);
}

static void test_slot_deleted(void **state)
{
	take(PAGE);
	guest_touches(PAGE + 8, W);
	expect_exit(PAGE, W);
	change((struct slot_change){ .op = SLOT_DELETE, .id = 0 });
	guest_touches(PAGE + 8, W);
	run_expecting(RUN_EXIT_MMIO);
	assert_int_equal(vcpu->run.mmio.gpa, PAGE + 8);
	assert_true(vcpu->run.mmio.write);
}

static void test_slot_replaced(void **state)
{
	struct slot_change c = { .op = SLOT_CREATE, .id = 3, .size = FIXTURE_RAM };

	take(PAGE);
	guest_touches(PAGE, W);
	expect_exit(PAGE, W);
	change((struct slot_change){ .op = SLOT_DELETE, .id = 0 });
	assert_int_equal(backing_create(&c.backing, FIXTURE_RAM, 0), 0);
	change(c);
	backing_put(c.backing);
	run_to_end();
	assert_true(mapped(PAGE));
}

static void bring_it(void)
{
	struct fetch next;

	assert_int_equal(vm_next_fetch(vm, &next, 0), 0);
	assert_int_equal(next.offset, PAGE);
	assert_int_equal(backing_fill(next.backing, next.offset, aside()), 0);
	backing_put(next.backing);
}

/* Nobody is to be told any more: the vCPU waits, or the page is there. */
static void test_flag_cleared(void **state)
{
	take(PAGE);
	guest_touches(PAGE, W);
	expect_exit(PAGE, W);
	change((struct slot_change){ .op = SLOT_FLAGS, .id = 0 });
	fake_machine.on_block = bring_it;
	if (way == EXITS)
		guest_touches(PAGE, W);
	run_to_end();
	assert_int_equal(fake_machine.blocks, way == EXITS);
	if (way == BITMAP)
		assert_true(mapped(PAGE));
	/* And told again. */
	fake_machine.blocks = 0;
	tell();
	if (way == EXITS)
		assert_int_equal(backing_punch(ram, PAGE, K4), 0);
	guest_touches(PAGE, R);
	expect_exit(PAGE, R);
	bring(PAGE);
	run_to_end();
}

/* --- in the middle of a fault ------------------------------------------------------------------
 */

static void resolve_it(void)
{
	if (!fake_locks_held() && !meddled++)
		bring(PAGE);
}

/* Somebody else brings the page: an exit more, or none; the guest goes on with the next run. */
static void test_resolved_meanwhile(void **state)
{
	unsigned int exits = 0, none = 0;

	for (u64 seed = 0; seed < 60; seed++) {
		take(PAGE);
		guest_touches(PAGE, W);
		fake_exit_add(VM_EXIT_TRIPLE_FAULT);
		meddle(seed, resolve_it);
		assert_int_equal(vcpu_run(vcpu), 0);
		no_more();
		if (!meddled)
			bring(PAGE);
		if (vcpu->run.reason == RUN_EXIT_MEMORY_FAULT) {
			exits++;
			assert_int_equal(vcpu_run(vcpu), 0);
		} else {
			none++;
		}
		assert_int_equal(vcpu->run.reason, RUN_EXIT_SHUTDOWN);
		/* It may have come when it had been found missing: then the guest asks again. */
		if (!mapped(PAGE)) {
			guest_touches(PAGE, W);
			run_to_end();
		}
		assert_true(mapped(PAGE));
	}
	assert_int_equal(fake_machine.blocks, 0);
	assert_true(exits > 10 && none > 5);
}

/* While an invalidation is under way nothing is told of its range; the guest asks again. */
static void end_it(struct vcpu *v)
{
	invalidate_end(vm);
	remember(v);
}

static void end_for_reader(void)
{
	invalidate_end(vm);
	fake_machine.on_yield = NULL;
}

static void test_invalidation_under_way(void **state)
{
	struct missing m;
	u8 byte;

	take(PAGE);
	invalidate_begin(vm, PAGE, K4);
	assert_int_equal(vm_fault(vm, PAGE, W, &m), 0);
	guest_touches(PAGE, W);
	guest_touches(PAGE, W)->during = end_it;
	resolve(PAGE, W);
	run_to_end();
	take(PAGE);
	invalidate_begin(vm, PAGE, K4);
	fake_machine.on_yield = end_for_reader;
	assert_int_equal(vm_read(vm, PAGE, &byte, 1), -EAGAIN);
	assert_int_equal(fake_machine.yields, 1);
	bring(PAGE);
}

static void move_it(void)
{
	if (!fake_locks_held() && !meddled++)
		assert_int_equal(backing_move(ram, PAGE, K4, 0xcc), 0);
}

/* A page that is there, however it moves, is never told of. */
static void test_moved_meanwhile(void **state)
{
	unsigned int moved = 0;

	for (u64 seed = 0; seed < 60; seed++) {
		guest_touches(PAGE, W);
		meddle(seed, move_it);
		run_to_end();
		no_more();
		moved += meddled > 0;
		assert_int_equal(vm_drop_page(vm, PAGE), 0);
	}
	assert_true(moved > 20);
}

static void take_it(void)
{
	if (!fake_locks_held() && !meddled++) {
		no_more();
		take(PAGE);
	}
}

/* It goes while it is being mapped: it is not mapped when it has gone. */
static void test_taken_meanwhile(void **state)
{
	unsigned int exits = 0;

	for (u64 seed = 0; seed < 60; seed++) {
		guest_touches(PAGE, W);
		fake_exit_add(VM_EXIT_TRIPLE_FAULT);
		meddle(seed, take_it);
		assert_int_equal(vcpu_run(vcpu), 0);
		no_more();
		assert_false(meddled && mapped(PAGE));
		if (vcpu->run.reason == RUN_EXIT_MEMORY_FAULT) {
			exits++;
			bring(PAGE);
			run_expecting(RUN_EXIT_SHUTDOWN);
		} else if (meddled) {
			bring(PAGE);
		}
		assert_int_equal(vm_drop_page(vm, PAGE), 0);
	}
	assert_true(exits > 5);
}

/* The vCPU remembers where it has found a page: not beyond the life of the slot. */
static void test_other_memory(void **state)
{
	struct slot_change list[2] = { { .op = SLOT_DELETE, .id = 0 },
				       { .op = SLOT_CREATE, .id = 0, .size = FIXTURE_RAM } };
	static const u8 page_of_zeroes[K4];
	struct ept_mapping m;

	for (unsigned int i = 0; i < 6; i++) {
		struct backing_page page;

		assert_int_equal(
			backing_create(&list[1].backing, FIXTURE_RAM, i & 1 ? BACKING_MISSING : 0),
			0);
		list[1].flags = SLOT_EXIT_ON_MISSING;
		assert_int_equal(vm_change_slots(vm, list, 2, (enum slot_way)(i % 3), NULL), 0);
		ram = list[1].backing;
		backing_put(ram);
		guest_touches(PAGE + i * K4, W);
		if (i & 1) {
			expect_exit(PAGE + i * K4, W);
			assert_int_equal(backing_fill(ram, PAGE + i * K4, page_of_zeroes), 0);
		}
		run_to_end();
		assert_true(backing_look(ram, PAGE + i * K4, &page));
		assert_int_equal(ept_lookup(&vm->vmx.ept, PAGE + i * K4, &m), 0);
		assert_int_equal(m.hpa, page.hpa);
	}
}

/* A log records what was written, and no more. */
static void test_dirty_log(void **state)
{
	struct slot_change c = { .op = SLOT_FLAGS, .id = 0 };
	u64 bits[FIXTURE_RAM / K4 / 64], n;

	c.flags = slot_by_id(vm, 0)->flags | SLOT_LOG_DIRTY;
	c.userfault = slot_by_id(vm, 0)->userfault;
	assert_int_equal(vm_set_dirty(vm, DIRTY_WRITE_PROTECT), 0);
	change(c);
	take(PAGE);
	guest_touches(PAGE, W);
	resolve(PAGE, W);
	assert_int_equal(vm_dirty_read(vm, 0, bits, &n), 0);
	assert_int_equal(n, 0);
	run_to_end();
	assert_int_equal(vm_dirty_read(vm, 0, bits, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(bits[PAGE / K4 / 64], BIT(PAGE / K4 % 64));
}

/* --- what another access leaves behind ---------------------------------------------------------
 */

/* A fault that nobody was told of does not show up in another exit. */
static void test_not_stale(void **state)
{
	u64 value = 0;

	take(PAGE);
	assert_int_equal(vm_read(vm, PAGE, &value, 8), -EAGAIN);
	assert_int_equal(vcpu_read(vcpu, PAGE, &value, 8), -EAGAIN);
	vcpu_request(vcpu, REQ_EXIT);
	expect_stopped();
	run_to_end();
	/* Nor the access of another when it is this one that is made again. */
	take(PAGE + K4);
	guest_touches(PAGE + K4, W);
	expect_exit(PAGE + K4, W);
	assert_int_equal(vm_write(vm, PAGE, &value, 8), -EAGAIN);
	expect_again(PAGE + K4, W);
	bring(PAGE + K4);
	bring(PAGE);
	run_to_end();
	/* An exit of another kind after it. */
	take(PAGE);
	guest_touches(PAGE, W);
	expect_exit(PAGE, W);
	bring(PAGE);
	fake_exit_add(VM_EXIT_IO)->exit.io.size = 1;
	run_expecting(RUN_EXIT_IO);
	vcpu_request(vcpu, REQ_EXIT);
	expect_stopped();
	run_to_end();
}

/* --- flags ----------------------------------------------------------------------------------- */

static int try_flags(u32 flags, struct userfault *bitmap)
{
	struct slot_change c = { SLOT_CREATE, .id = 7, .base = GIB(1), .size = FIXTURE_RAM };
	struct slot_report report;
	int err, made;

	c.backing = ram;
	made = vm_change_slots(vm, &c, 1, SLOTS_ATOMIC, NULL);
	assert_int_equal(made, 0);
	c.op = SLOT_FLAGS;
	c.flags = flags;
	c.userfault = bitmap;
	err = vm_change_slots(vm, &c, 1, SLOTS_ATOMIC, &report);
	assert_int_equal(slot_by_id(vm, 7)->flags, err ? 0 : flags);
	if (err)
		assert_memory_equal(report.why, "item 0: ", 8);
	c.op = SLOT_DELETE;
	assert_int_equal(vm_change_slots(vm, &c, 1, SLOTS_ATOMIC, NULL), 0);
	c.op = SLOT_CREATE;
	assert_int_equal(vm_change_slots(vm, &c, 1, SLOTS_ATOMIC, &report), err);
	if (err)
		assert_memory_equal(report.why, "item 0: ", 8);
	c.op = SLOT_DELETE;
	if (!err)
		assert_int_equal(vm_change_slots(vm, &c, 1, SLOTS_ATOMIC, NULL), 0);
	return err;
}

/* What is offered is what is accepted. */
static void test_capabilities(void **state)
{
	u32 offered = vm_slot_flags(vm);

	assert_int_equal(offered,
			 SLOT_READONLY | SLOT_LOG_DIRTY | SLOT_EXIT_ON_MISSING | SLOT_USERFAULT);
	for (unsigned int bit = 0; bit < 32; bit++) {
		u32 flag = (u32)BIT(bit);

		assert_int_equal(try_flags(flag, flag == SLOT_USERFAULT ? u : NULL),
				 offered & flag ? 0 : -EOPNOTSUPP);
	}
	/* Together with one that does not exist none does. */
	assert_int_equal(try_flags(SLOT_EXIT_ON_MISSING | 32, NULL), -EOPNOTSUPP);
	assert_int_equal(try_flags(SLOT_EXIT_ON_MISSING | SLOT_PRIVATE, NULL), -EOPNOTSUPP);
	/* A CPU that can keep no log. */
	vm->vmx.ept.caps &= ~(u64)EPT_CAP_AD;
	offered = vm_slot_flags(vm);
	for (unsigned int bit = 0; bit < 32; bit++) {
		u32 flag = (u32)BIT(bit);

		assert_int_equal(try_flags(flag, flag == SLOT_USERFAULT ? u : NULL),
				 offered & flag ? 0 : -EOPNOTSUPP);
	}
	vm->vmx.ept.caps |= EPT_CAP_AD;
}

static void test_contradictions(void **state)
{
	static const u32 fine[] = { SLOT_EXIT_ON_MISSING | SLOT_LOG_DIRTY,
				    SLOT_USERFAULT | SLOT_LOG_DIRTY,
				    SLOT_USERFAULT | SLOT_READONLY };
	static const u32 not [] = { SLOT_READONLY | SLOT_LOG_DIRTY,
				    SLOT_READONLY | SLOT_EXIT_ON_MISSING,
				    SLOT_EXIT_ON_MISSING | SLOT_USERFAULT,
				    SLOT_READONLY | SLOT_EXIT_ON_MISSING | SLOT_LOG_DIRTY,
				    SLOT_EXIT_ON_MISSING | SLOT_USERFAULT | SLOT_LOG_DIRTY };

	for (size_t i = 0; i < ARRAY_SIZE(fine); i++)
		assert_int_equal(try_flags(fine[i], fine[i] & SLOT_USERFAULT ? u : NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(not ); i++)
		assert_int_equal(try_flags(not [i], not [i] & SLOT_USERFAULT ? u : NULL), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fault),
		TEST(test_present),
		TEST(test_crossing),
		TEST(test_during_delivery),
		TEST(test_two_vcpus),
		TEST(test_asked_to_leave),
		TEST(test_event),
		TEST(test_held),
		TEST(test_registers_set),
		TEST(test_state_set),
		TEST(test_loaded_elsewhere),
		TEST(test_destroyed),
		TEST(test_slot_deleted),
		TEST(test_slot_replaced),
		TEST(test_flag_cleared),
		TEST(test_resolved_meanwhile),
		TEST(test_invalidation_under_way),
		TEST(test_moved_meanwhile),
		TEST(test_taken_meanwhile),
		TEST(test_other_memory),
		TEST(test_dirty_log),
		TEST(test_not_stale),
		TEST(test_capabilities),
		TEST(test_contradictions),
	};

	return missing_run_group(tests, ARRAY_SIZE(tests));
}
