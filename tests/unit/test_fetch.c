/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The queues of pages that VMs wait for: the order, several backings and several VMs that show
 * them, several handlers; and what becomes of those that sleep when slots change.
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
#include "hv/host/percpu.h"
#include "hv/vm/backing_internal.h"
#include "hv/vm/internal.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/slots_fixture.h"

#define BASE2 (BASE + MIB(32))

static struct vm *second; /* another VM, when there is one */
static struct vcpu *vcpu;

static int setup(void **state)
{
	slots_setup(state);
	vcpu = vm->vcpu[0];
	second = NULL;
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(atomic_load(&vm->fetches.sleepers), 0);
	assert_false(wait_queue_active(&vm->fetches.wanted));
	assert_false(wait_queue_active(&vm->fetches.others));
	if (second)
		vm_destroy(second);
	return slots_teardown(state);
}

/* --- who wants, who brings ------------------------------------------------------------------- */

static struct wait_queue elsewhere;
static unsigned int asked;

static bool stop_at_second(void *arg)
{
	assert_int_equal(fake_locks_held(), 0);
	return ++asked == 2;
}

static void wake_elsewhere(void)
{
	assert_int_equal(wake_all(&elsewhere), 1);
}

/* A thread of @v wants a page, and goes away again. */
static void want(struct vm *v, struct backing *b, u64 offset)
{
	void (*on_block)(void) = fake_machine.on_block;

	wait_queue_init(&elsewhere);
	asked = 0;
	fake_machine.on_block = wake_elsewhere;
	assert_int_equal(backing_wait(b, offset, &v->fetches, &elsewhere, stop_at_second, NULL),
			 -EINTR);
	assert_int_equal(asked, 2);
	fake_machine.on_block = on_block;
}

static void expect_fetch(struct vm *v, struct backing *b, u64 offset)
{
	struct fetch f;

	assert_int_equal(vm_next_fetch(v, &f, 0), 0);
	assert_ptr_equal(f.backing, b);
	assert_int_equal(f.offset, offset);
	backing_put(f.backing);
}

static void expect_none(struct vm *v)
{
	struct fetch f;

	assert_int_equal(vm_next_fetch(v, &f, 0), -ETIMEDOUT);
}

static u8 data[K4];

static int fill(struct backing *b, u64 offset, u8 byte)
{
	memset(data, byte, sizeof(data));
	return backing_fill(b, offset, data);
}

/* Slot @id of @v shows @b from its start. */
static void show(struct vm *v, u32 id, gpa_t base, struct backing *b)
{
	struct slot_change c = create(id, base, M2);

	c.backing = b;
	assert_int_equal(vm_change_slots(v, &c, 1, SLOTS_ATOMIC, NULL), 0);
}

static void hide(struct vm *v, u32 id)
{
	const struct slot_change c = drop(id);

	assert_int_equal(vm_change_slots(v, &c, 1, SLOTS_ATOMIC, NULL), 0);
}

static void all_missing(void)
{
	assert_int_equal(backing_punch(mem, 0, M2), 0);
	assert_int_equal(backing_punch(other, 0, M2), 0);
	show(vm, 1, BASE, mem);
}

/* --- order ----------------------------------------------------------------------------------- */

/* Of one backing first come, first served; backings take turns. */
static void test_order(void **state)
{
	all_missing();
	show(vm, 2, BASE2, other);
	expect_none(vm);
	want(vm, mem, 3 * K4);
	want(vm, mem, K4);
	want(vm, other, 9 * K4);
	want(vm, mem, 2 * K4);
	want(vm, mem, K4);
	want(vm, other, 0);
	expect_fetch(vm, mem, 3 * K4);
	expect_fetch(vm, other, 9 * K4);
	want(vm, mem, 3 * K4); /* it is on its way */
	expect_fetch(vm, mem, K4);
	expect_fetch(vm, other, 0);
	expect_fetch(vm, mem, 2 * K4);
	expect_none(vm);
	assert_null(mem->queue);
	assert_null(other->queue);
	want(vm, other, K4);
	want(vm, mem, 4 * K4);
	expect_fetch(vm, other, K4);
	expect_fetch(vm, mem, 4 * K4);
	/* What was handed out and has arrived can be wanted anew. */
	assert_int_equal(fill(mem, 3 * K4, 1), 0);
	assert_int_equal(backing_punch(mem, 3 * K4, K4), 0);
	want(vm, mem, 3 * K4);
	expect_fetch(vm, mem, 3 * K4);
	expect_none(vm);
}

/* A page that is present is not waited for, and is not in the queue. */
static void test_not_missing(void **state)
{
	all_missing();
	assert_int_equal(fill(mem, 0, 1), 0);
	assert_int_equal(backing_wait(mem, 0, &vm->fetches, NULL, NULL, NULL), 0);
	assert_int_equal(backing_wait(mem, M2, &vm->fetches, NULL, NULL, NULL), 0);
	assert_int_equal(fake_machine.blocks, 0);
	expect_none(vm);
}

/* A fault, or a look, is no wish. */
static void test_only_who_waits(void **state)
{
	struct backing_page page;
	struct missing m;

	all_missing();
	assert_int_equal(vm_fault(vm, BASE, FAULT_WRITE, &m), -EAGAIN);
	assert_false(m.exit);
	assert_ptr_equal(m.backing, mem);
	backing_put(m.backing);
	assert_int_equal(backing_find(mem, 0, &page), -EAGAIN);
	assert_int_equal(backing_read(mem, 0, data, 1), -EAGAIN);
	assert_int_equal(vm_populate(vm), 0);
	expect_none(vm);
}

/* It leaves the queue when it comes without having been asked for. */
static void test_unasked(void **state)
{
	all_missing();
	for (unsigned int i = 0; i < 3; i++) {
		for (unsigned int n = 0; n < 3; n++)
			want(vm, mem, n * K4);
		assert_int_equal(backing_stage(mem, i * K4, data), 0);
		assert_int_equal(i ? fill(mem, i * K4, 1) : !backing_publish(mem, 0, 1), 0);
		for (unsigned int n = 0; n < 3; n++)
			if (n != i)
				expect_fetch(vm, mem, n * K4);
		expect_none(vm);
		for (unsigned int n = 0; n < 3; n++)
			assert_int_equal(fill(mem, n * K4, 1), n == i ? -EEXIST : 0);
		assert_int_equal(backing_punch(mem, 0, 3 * K4), 0);
	}
	want(vm, mem, K4);
	assert_int_equal(fill(mem, K4, 1), 0);
	expect_none(vm);
	assert_null(mem->queue);
}

/* Somebody begins to wait for a page while it is being brought. */
static struct backing *fresh;

static void want_it(void)
{
	struct backing_page page;

	if (fake_locks_held() || backing_look(fresh, 0, &page))
		return;
	fake_machine.on_spin = NULL;
	want(vm, fresh, 0);
}

static void test_wanted_while_it_comes(void **state)
{
	unsigned int wanted = 0;

	for (u64 seed = 0; seed < 60; seed++) {
		assert_int_equal(backing_create(&fresh, M2, BACKING_MISSING), 0);
		show(vm, 1, BASE, fresh);
		if (seed & 1)
			assert_int_equal(backing_stage(fresh, 0, data), 0);
		chaos_init(seed);
		fake_machine.on_spin = want_it;
		assert_int_equal(fill(fresh, 0, 1), 0);
		wanted += !fake_machine.on_spin;
		fake_machine.on_spin = NULL;
		chaos_off();
		assert_int_equal(backing_wait(fresh, 0, &vm->fetches, NULL, NULL, NULL), 0);
		expect_none(vm);
		assert_null(fresh->queue);
		hide(vm, 1);
		backing_put(fresh);
	}
	assert_in_range(wanted, 10, 50);
}

/* What is sent ahead does not say that the page need not be fetched. */
static void test_staged(void **state)
{
	all_missing();
	want(vm, mem, 0);
	assert_int_equal(backing_stage(mem, 0, data), 0);
	expect_fetch(vm, mem, 0);
	assert_int_equal(backing_stage(mem, 0, data), 0);
	want(vm, mem, 0);
	expect_none(vm); /* still on its way */
	assert_int_equal(backing_stage(mem, K4, data), 0);
	want(vm, mem, K4);
	expect_fetch(vm, mem, K4);
	assert_int_equal(backing_publish(mem, 0, 3), 2);
}

/* To make it missing once more changes nothing. */
static void test_punched(void **state)
{
	all_missing();
	want(vm, mem, 0);
	want(vm, mem, K4);
	expect_fetch(vm, mem, 0);
	assert_int_equal(backing_punch(mem, 0, M2), 0);
	assert_int_equal(backing_move(mem, M2, K4, -1), 0);
	want(vm, mem, 0);
	expect_fetch(vm, mem, K4);
	expect_none(vm);
}

/* --- handlers -------------------------------------------------------------------------------- */

static struct fetch stolen;

static void want_two(void)
{
	want(vm, mem, 5 * K4);
	want(vm, mem, 6 * K4);
	fake_machine.on_block = NULL;
	assert_int_equal(vm_next_fetch(vm, &stolen, 0), 0); /* a second handler is faster */
}

static void want_one(void)
{
	want(vm, mem, 7 * K4);
	fake_machine.on_block = NULL;
	assert_int_equal(vm_next_fetch(vm, &stolen, 0), 0);
}

static void test_handlers(void **state)
{
	struct fetch f;
	u64 start;

	all_missing();
	fake_machine.on_block = want_two;
	assert_int_equal(vm_next_fetch(vm, &f, fake_machine.now + 1000), 0);
	assert_int_equal(stolen.offset, 5 * K4);
	assert_int_equal(f.offset, 6 * K4);
	backing_put(f.backing);
	backing_put(stolen.backing);
	/* Woken, and too late: it sleeps until its deadline. */
	start = fake_machine.now;
	fake_machine.on_block = want_one;
	assert_int_equal(vm_next_fetch(vm, &f, start + 1000), -ETIMEDOUT);
	assert_int_equal(fake_machine.now, start + 1000);
	assert_int_equal(stolen.offset, 7 * K4);
	backing_put(stolen.backing);
}

/* One wake-up may have been for several pages, also of several backings: it is passed on. */
static void test_wake_passed_on(void **state)
{
	struct waiter w;

	all_missing();
	show(vm, 2, BASE2, other);
	want(vm, mem, 0);
	want(vm, other, 0);
	wait_prepare(&vm->fetches.wanted, &w);
	expect_fetch(vm, mem, 0);
	assert_true(*w.woken);
	wait_finish(&vm->fetches.wanted, &w);
	expect_fetch(vm, other, 0);
	expect_none(vm);
}

/* Each page wakes one more. */
static void test_wakes_one_each(void **state)
{
	struct waiter a, b;

	all_missing();
	wait_prepare(&vm->fetches.wanted, &a);
	wait_prepare(&vm->fetches.wanted, &b);
	want(vm, mem, 0);
	assert_true(*a.woken && !*b.woken);
	want(vm, mem, 0);
	assert_false(*b.woken);
	want(vm, mem, K4);
	assert_true(*b.woken);
	wait_finish(&vm->fetches.wanted, &a);
	wait_finish(&vm->fetches.wanted, &b);
	expect_fetch(vm, mem, 0);
	expect_fetch(vm, mem, K4);
}

/* However many threads wait for a page, it is brought once, and wakes them all. */
static u8 got[2];

static void bring_once(void)
{
	expect_fetch(vm, mem, 3 * K4);
	expect_none(vm);
	assert_int_equal(atomic_load(&vm->fetches.sleepers), 2);
	assert_int_equal(fill(mem, 3 * K4, 0x5a), 0);
}

static void another_waits(void)
{
	assert_int_equal(atomic_load(&vm->fetches.sleepers), 1);
	fake_machine.on_block = bring_once;
	assert_int_equal(vcpu_read(vcpu, BASE + 3 * K4, &got[1], 1), 0);
}

static void test_handed_out_once(void **state)
{
	all_missing();
	fake_machine.on_block = another_waits;
	assert_int_equal(vm_read(vm, BASE + 3 * K4, &got[0], 1), 0);
	assert_int_equal(fake_machine.blocks, 2);
	assert_int_equal(got[0], 0x5a);
	assert_int_equal(got[1], 0x5a);
}

/* What is sent ahead wakes nobody; to publish it wakes all. */
static void stage_and_publish(void)
{
	fake_machine.on_block = NULL;
	memset(data, 0x44, sizeof(data));
	assert_int_equal(backing_stage(mem, 3 * K4, data), 0);
	assert_true(wait_queue_active(arrivals(mem, 3 * K4)));
	assert_int_equal(backing_publish(mem, 0, BIT(3)), 1);
	assert_false(wait_queue_active(arrivals(mem, 3 * K4)));
}

static void test_published(void **state)
{
	u8 byte;

	all_missing();
	fake_machine.on_block = stage_and_publish;
	assert_int_equal(vm_read(vm, BASE + 3 * K4, &byte, 1), 0);
	assert_int_equal(fake_machine.blocks, 1);
	assert_int_equal(byte, 0x44);
	expect_none(vm);
}

/* The handler's reference keeps the backing, whatever the VM does. */
static void test_reference(void **state)
{
	struct backing *b;
	struct fetch f;

	assert_int_equal(backing_create(&b, M2, BACKING_MISSING), 0);
	show(vm, 1, BASE, b);
	want(vm, b, 0);
	want(vm, b, K4);
	assert_int_equal(vm_next_fetch(vm, &f, 0), 0);
	hide(vm, 1);
	backing_put(b);
	expect_none(vm);
	assert_int_equal(atomic_load(&f.backing->refs), 1);
	assert_int_equal(fill(f.backing, f.offset, 1), 0);
	backing_put(f.backing);
}

/* --- backings that several VMs show ------------------------------------------------------------
 */

static void share(void)
{
	all_missing();
	assert_int_equal(vm_create(&second), 0);
	show(second, 1, 0, mem);
}

/* In the queue of the one that wanted the first page, until there is none. */
static void test_shared(void **state)
{
	share();
	want(vm, mem, 0);
	want(second, mem, K4);
	expect_none(second);
	expect_fetch(vm, mem, 0);
	expect_none(second);
	expect_fetch(vm, mem, K4);
	expect_none(vm);
	want(second, mem, 2 * K4);
	want(vm, mem, 3 * K4);
	expect_none(vm);
	expect_fetch(second, mem, 2 * K4);
	expect_fetch(second, mem, 3 * K4);
}

/* The other VM's handler is told. */
static void second_wants(void)
{
	want(second, mem, K4);
	fake_machine.on_block = NULL;
}

static void test_shared_wakes(void **state)
{
	struct fetch f;

	share();
	want(vm, mem, 0);
	expect_fetch(vm, mem, 0);
	want(vm, mem, 5 * K4);
	expect_fetch(vm, mem, 5 * K4);
	want(vm, mem, 6 * K4);
	want(vm, mem, 7 * K4);
	assert_int_equal(fill(mem, 6 * K4, 0), 0);
	assert_int_equal(fill(mem, 7 * K4, 0), 0); /* none left, but it is still in this queue */
	fake_machine.on_block = second_wants;
	assert_int_equal(vm_next_fetch(second, &f, fake_machine.now + 1000), 0);
	assert_int_equal(f.offset, K4);
	backing_put(f.backing);
}

/* A slot that is changed is another slot of the same VM: its pages stay in that VM's queue. */
static void test_shared_changes(void **state)
{
	static const struct slot_change changes[] = {
		{ .op = SLOT_FLAGS, .id = 1, .flags = SLOT_LOG_DIRTY },
		{ .op = SLOT_SPLIT, .id = 1, .other = 2, .size = 8 * K4 },
		{ .op = SLOT_MOVE, .id = 2, .base = BASE2 },
		{ .op = SLOT_MOVE, .id = 2, .base = BASE + 8 * K4 },
		{ .op = SLOT_MERGE, .id = 1, .other = 2 },
		{ .op = SLOT_RESIZE, .id = 1, .size = M2 - K4 },
		{ .op = SLOT_FLAGS, .id = 1, .flags = 0 },
		{ .op = SLOT_RESIZE, .id = 1, .size = M2 },
	};

	share();
	for (unsigned int way = 0; way < WAYS; way++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(changes); i++) {
			/* Resizing and merging may leave a moment without a slot. */
			bool pieces = way != SLOTS_ATOMIC &&
				      (changes[i].op == SLOT_RESIZE ||
				       changes[i].op == SLOT_SPLIT || changes[i].op == SLOT_MERGE);

			want(vm, mem, 9 * K4);
			assert_int_equal(change(changes[i], (enum slot_way)way), 0);
			assert_true(pieces || mem->queue == &vm->fetches);
			expect_fetch(mem->queue == &vm->fetches ? vm : second, mem, 9 * K4);
			assert_int_equal(fill(mem, 9 * K4, 1), 0);
			assert_int_equal(backing_punch(mem, 9 * K4, K4), 0);
		}
	}
}

static void hide_first(void)
{
	hide(vm, 1);
	fake_machine.on_block = NULL;
}

/* The VM that wanted them does not show it any more: then they are the other's, which is told. */
static void test_shared_moves(void **state)
{
	struct fetch f;

	share();
	want(vm, mem, 0);
	want(vm, mem, K4);
	expect_fetch(vm, mem, 0); /* on its way already */
	want(second, mem, 2 * K4);
	fake_machine.on_block = hide_first;
	assert_int_equal(vm_next_fetch(second, &f, fake_machine.now + 1000), 0);
	assert_int_equal(f.offset, K4);
	backing_put(f.backing);
	expect_none(vm);
	expect_fetch(second, mem, 2 * K4);
	expect_none(second);
}

/* Two slots of one VM show it: one of them is not the last. */
static void test_shown_twice(void **state)
{
	share();
	show(vm, 2, BASE2, mem);
	want(vm, mem, 0);
	hide(vm, 1);
	expect_none(second);
	expect_fetch(vm, mem, 0);
	want(vm, mem, K4);
	hide(vm, 2);
	expect_none(vm);
	expect_fetch(second, mem, K4);
}

/* Nobody shows it: who does later gets what was wanted. */
static void test_shown_by_nobody(void **state)
{
	all_missing();
	want(vm, mem, 0);
	want(vm, mem, K4);
	expect_fetch(vm, mem, 0);
	hide(vm, 1);
	expect_none(vm);
	assert_null(mem->queue);
	assert_int_equal(vm_create(&second), 0);
	show(second, 7, 0, mem);
	want(second, mem, K4);
	want(second, mem, 0);
	want(second, mem, 2 * K4);
	expect_fetch(second, mem, K4);
	expect_fetch(second, mem, 2 * K4);
	expect_none(second);
	assert_int_equal(fill(mem, 0, 1), 0);
}

/* --- the end of a VM ------------------------------------------------------------------------- */

static void test_vm_ends(void **state)
{
	struct backing *b;

	share();
	assert_int_equal(backing_create(&b, M2, BACKING_MISSING), 0);
	show(second, 2, BASE2, b);
	want(second, b, 0);
	want(second, b, K4);
	want(second, b, 2 * K4);
	want(second, mem, 0);
	want(second, mem, K4);
	expect_fetch(second, b, 0);
	expect_fetch(second, mem, 0);
	vm_destroy(second);
	second = NULL;
	expect_fetch(vm, mem, K4);
	assert_null(b->queue);
	assert_int_equal(atomic_load(&b->refs), 1);
	backing_put(b);
}

static bool delete_first(void *arg)
{
	if (++asked == 1)
		hide(vm, 1);
	return asked == 2;
}

/* The slot goes between the look at it and the sleep: the queue is not left with its backing. */
static void test_deleted_before_it_sleeps(void **state)
{
	struct backing *b;

	assert_int_equal(backing_create(&b, M2, BACKING_MISSING), 0);
	show(vm, 1, BASE, b);
	wait_queue_init(&elsewhere);
	asked = 0;
	fake_machine.on_block = wake_elsewhere;
	assert_int_equal(backing_wait(b, 0, &vm->fetches, &elsewhere, delete_first, NULL), -EINTR);
	assert_int_equal(asked, 2);
	expect_none(vm);
	backing_put(b);
}

/* --- slots change while somebody sleeps --------------------------------------------------------
 */

static struct slot_change next_change;
static enum slot_way next_way;

/* Another thread, on another CPU. */
static void change_it(void)
{
	fake_machine.on_block = NULL;
	fake_machine.cpu = fake_machine.thread = 1;
	assert_int_equal(atomic_load(&vm->fetches.sleepers), 1);
	assert_int_equal(change(next_change, next_way), 0);
	fake_machine.cpu = fake_machine.thread = 0;
}

static void sleep_and(struct slot_change c, unsigned int way)
{
	next_change = c;
	next_way = (enum slot_way)way;
	fake_machine.on_block = change_it;
	fake_machine.blocks = 0;
}

static const struct slot_change to_exits = { .op = SLOT_FLAGS,
					     .id = 1,
					     .flags = SLOT_EXIT_ON_MISSING };

static void test_reader_and_changes(void **state)
{
	const struct slot_change moves = { .op = SLOT_MOVE, .id = 1, .base = BASE2 };
	u8 byte;

	assert_int_equal(backing_punch(mem, 0, M2), 0);
	for (unsigned int way = 0; way < WAYS; way++) {
		show(vm, 1, BASE, mem);
		sleep_and(drop(1), way);
		assert_int_equal(vm_read(vm, BASE + 5, &byte, 1), -EFAULT);
		assert_int_equal(fake_machine.blocks, 1);
		show(vm, 1, BASE, mem);
		sleep_and(moves, way);
		assert_int_equal(vm_write(vm, BASE + 5, &byte, 1), -EFAULT);
		assert_int_equal(fake_machine.blocks, 1);
		hide(vm, 1);
		show(vm, 1, BASE, mem);
		sleep_and(to_exits, way);
		assert_int_equal(vm_fill(vm, BASE + 5, 1, 1), -EAGAIN);
		assert_int_equal(fake_machine.blocks, 1);
		hide(vm, 1);
		expect_none(vm);
	}
}

static void bring_next(void)
{
	struct fetch f;

	assert_int_equal(vm_next_fetch(vm, &f, 0), 0);
	assert_int_equal(fill(f.backing, f.offset, (u8)(f.offset / K4)), 0);
	backing_put(f.backing);
}

static void change_and_bring(void)
{
	change_it();
	fake_machine.on_block = bring_next;
}

/* Another slot changes: it looks, and sleeps on. Its page is wanted all the time, once. */
static void test_other_slot_changes(void **state)
{
	u8 byte;

	all_missing();
	show(vm, 2, BASE2, other);
	for (unsigned int way = 0; way < WAYS; way++) {
		struct slot_change c = { .op = SLOT_FLAGS, .id = 2, .flags = way & 1 };

		sleep_and(c, way);
		fake_machine.on_block = change_and_bring;
		assert_int_equal(vm_read(vm, BASE + (7 + way) * K4, &byte, 1), 0);
		assert_int_equal(byte, 7 + way);
		assert_int_equal(fake_machine.blocks, 2);
		expect_none(vm);
	}
}

static void guest_touches(gpa_t gpa)
{
	struct fake_exit *e = fake_exit_add(VM_EXIT_MEMORY);

	e->exit.mem.gpa = gpa;
	e->exit.mem.write = true;
}

static void run_expecting(u32 reason)
{
	assert_int_equal(vcpu_run(vcpu), 0);
	assert_int_equal(vcpu->run.reason, reason);
	assert_int_equal(fake_exits_left(), 0);
}

static void test_guest_and_changes(void **state)
{
	assert_int_equal(backing_punch(mem, 0, M2), 0);
	atomic_store(&vcpu->requests, 0);
	for (unsigned int way = 0; way < WAYS; way++) {
		show(vm, 1, BASE, mem);
		sleep_and(drop(1), way);
		guest_touches(BASE + K4);
		guest_touches(BASE + K4);
		run_expecting(RUN_EXIT_MMIO);
		assert_int_equal(fake_machine.blocks, 1);
		show(vm, 1, BASE, mem);
		sleep_and(to_exits, way);
		guest_touches(BASE + K4 + 8);
		guest_touches(BASE + K4 + 8);
		run_expecting(RUN_EXIT_MEMORY_FAULT);
		assert_int_equal(fake_machine.blocks, 1);
		assert_int_equal(vcpu->run.memory_fault.gpa, BASE + K4);
		vcpu->pending = PENDING_NONE;
		hide(vm, 1);
		expect_none(vm);
	}
}

/* Replaced by other memory, that is there: no page of the old one is needed any more. */
static void replace_it(void)
{
	struct slot_change list[2] = { drop(1), create(1, BASE, M2) };

	fake_machine.on_block = NULL;
	list[1].backing = other;
	assert_int_equal(change_list(list, 2, SLOTS_ATOMIC), 0);
}

static void test_replaced(void **state)
{
	u8 byte = 0x77;

	all_missing();
	assert_int_equal(fill(other, 3 * K4, 0x33), 0);
	fake_machine.on_block = replace_it;
	assert_int_equal(vm_read(vm, BASE + 3 * K4, &byte, 1), 0);
	assert_int_equal(byte, 0x33);
	assert_int_equal(fake_machine.blocks, 1);
	expect_none(vm);
}

/* At whatever moment outside its sections the slot goes: nobody sleeps for it for ever. */
static void delete_at_random(void)
{
	u32 cpu;

	if (fake_locks_held() || !readers_drained(vm, &cpu))
		return;
	fake_machine.on_spin = NULL;
	chaos_off();
	fake_machine.cpu = fake_machine.thread = 1;
	hide(vm, 1);
	fake_machine.cpu = fake_machine.thread = 0;
}

static void delete_at_last(void)
{
	fake_machine.on_block = NULL;
	delete_at_random();
}

static void test_deleted_at_any_moment(void **state)
{
	unsigned int late = 0, seen = 0;
	u8 byte;

	assert_int_equal(backing_punch(mem, 0, M2), 0);
	for (u64 seed = 0; seed < 200; seed++) {
		show(vm, 1, BASE, mem);
		fake_machine.blocks = 0;
		fake_machine.on_block = delete_at_last;
		chaos_init(seed);
		fake_machine.on_spin = delete_at_random;
		assert_int_equal(vm_read(vm, BASE, &byte, 1), -EFAULT);
		late += fake_machine.blocks != 0;
		seen += fake_machine.blocks == 0;
		fake_machine.on_block = NULL;
		expect_none(vm);
		assert_int_equal(atomic_load(&vm->fetches.sleepers), 0);
	}
	assert_true(late && seen);
}

/* --- pauses ---------------------------------------------------------------------------------- */

static struct vm_hold hold;

static void let_go(void)
{
	fake_machine.on_block = NULL;
	fake_machine.thread = 1;
	assert_int_equal(vm_resume(&hold), 0);
	fake_machine.thread = 0;
}

static void hold_it(void)
{
	fake_machine.thread = 1;
	assert_int_equal(vm_pause(vm, &hold, 0, NULL), 0);
	bring_next(); /* by a thread that needs no VM */
	fake_machine.thread = 0;
	fake_machine.on_block = let_go;
}

/* The page comes while the VM is held: it is not touched before the resume. */
static void test_reader_and_pause(void **state)
{
	u8 byte;

	all_missing();
	fake_machine.on_block = hold_it;
	assert_int_equal(vm_read(vm, BASE + 9 * K4, &byte, 1), 0);
	assert_int_equal(byte, 9);
	assert_int_equal(fake_machine.blocks, 2);
	assert_false(vm_is_held(vm));
}

static void hold_only(void)
{
	fake_machine.thread = 1;
	assert_int_equal(vm_pause(vm, &hold, 0, NULL), 0);
	fake_machine.thread = 0;
	fake_machine.on_block = NULL;
}

/* A vCPU leaves, and its page stays wanted. */
static void test_guest_and_pause(void **state)
{
	all_missing();
	atomic_store(&vcpu->requests, 0);
	guest_touches(BASE + 9 * K4);
	fake_machine.on_block = hold_only;
	assert_int_equal(vcpu_run(vcpu), -EINTR);
	assert_int_equal(fake_machine.blocks, 1);
	expect_fetch(vm, mem, 9 * K4);
	fake_machine.thread = 1;
	assert_int_equal(vm_resume(&hold), 0);
	fake_machine.thread = 0;
	assert_int_equal(fill(mem, 9 * K4, 9), 0);
	guest_touches(BASE + 9 * K4);
	fixture_run_to_end(vcpu);
	assert_true(mapped(BASE + 9 * K4));
}

#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(order),
		TEST(not_missing),
		TEST(only_who_waits),
		TEST(unasked),
		TEST(wanted_while_it_comes),
		TEST(staged),
		TEST(punched),
		TEST(handlers),
		TEST(wake_passed_on),
		TEST(wakes_one_each),
		TEST(handed_out_once),
		TEST(published),
		TEST(reference),
		TEST(shared),
		TEST(shared_wakes),
		TEST(shared_changes),
		TEST(shared_moves),
		TEST(shown_twice),
		TEST(shown_by_nobody),
		TEST(vm_ends),
		TEST(deleted_before_it_sleeps),
		TEST(reader_and_changes),
		TEST(other_slot_changes),
		TEST(guest_and_changes),
		TEST(replaced),
		TEST(deleted_at_any_moment),
		TEST(reader_and_pause),
		TEST(guest_and_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
