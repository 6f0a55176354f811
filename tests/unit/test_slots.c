/* SPDX-License-Identifier: GPL-2.0-only */
/* Slots: finding them, change lists in each way, what is refused, what becomes of translations. */
/* link: @vm hv/host/errno.c tests/unit/slots_fixture.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/random.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/slots_fixture.h"

/* --- finding --------------------------------------------------------------------------------- */

static void test_find(void **state)
{
	const struct slot_change list[] = { create(7, BASE, 3 * K4), create(3, BASE + M2, K4),
					    create(511, BASE + 3 * K4, K4) };

	assert_null(slot_find(vm, FIXTURE_RAM));
	assert_int_equal(change_list(list, 3, SLOTS_ATOMIC), 0);
	assert_int_equal(slots_count(vm), 4);
	assert_null(slot_find(vm, BASE - 1));
	assert_int_equal(slot_find(vm, BASE)->id, 7);
	assert_int_equal(slot_find(vm, BASE + 3 * K4 - 1)->id, 7);
	assert_int_equal(slot_find(vm, BASE + 3 * K4)->id, 511);
	assert_null(slot_find(vm, BASE + 4 * K4));
	assert_null(slot_find(vm, ~0ull));
	assert_int_equal(slot_next(vm, 0)->id, 0);
	assert_int_equal(slot_next(vm, 1)->id, 7);
	assert_int_equal(slot_next(vm, BASE + 1)->id, 511);
	assert_int_equal(slot_next(vm, BASE + M2)->id, 3);
	assert_ptr_equal(slot_next(vm, BASE + M2 + 1), slot_private(vm));
	assert_null(slot_next(vm, slot_private(vm)->base + 1));
	assert_null(slot_by_id(vm, 4));
	assert_null(slot_by_id(vm, VM_MAX_SLOTS));
	check_sets();
}

static void test_many(void **state)
{
	struct rng rng;
	u32 left = VM_MAX_SLOTS - 1;

	for (u32 id = 1; id < VM_MAX_SLOTS; id++)
		assert_int_equal(change(create(id, BASE + (id * 37 % 512) * M2, K4), SLOTS_ATOMIC),
				 0);
	check_sets();
	assert_int_equal(change(create(VM_MAX_SLOTS, GIB(4), K4), SLOTS_ATOMIC), -ENOSPC);
	assert_non_null(strstr(report.why, "one too many"));
	rng_init(&rng, 1, 0);
	while (left) {
		u32 id = 1 + (u32)rng_below(&rng, VM_MAX_SLOTS - 1);

		if (!slot_by_id(vm, id))
			continue;
		assert_int_equal(change(drop(id), SLOTS_ATOMIC), 0);
		left--;
		if (left % 16 == 0)
			check_sets();
	}
	assert_int_equal(slots_count(vm), 1);
}

/* --- refused --------------------------------------------------------------------------------- */

static const struct {
	int err;
	const char *why;
	struct slot_change c;
} refused[] = {
	{ -ENOENT, "no slot 9", { .op = SLOT_DELETE, .id = 9 } },
	{ -ENOENT, "no slot 512", { .op = SLOT_DELETE, .id = VM_MAX_SLOTS } },
	{ -ENOENT, "no slot 9", { .op = SLOT_MOVE, .id = 9, .base = BASE } },
	{ -ENOENT, "no slot 9", { .op = SLOT_RESIZE, .id = 9, .size = K4 } },
	{ -ENOENT, "no slot 9", { .op = SLOT_FLAGS, .id = 9 } },
	{ -ENOENT, "no slot 9", { .op = SLOT_SPLIT, .id = 9, .size = K4, .other = 10 } },
	{ -ENOENT, "no slot 9", { .op = SLOT_MERGE, .id = 9, .other = 1 } },
	{ -ENOENT, "no slot 9", { .op = SLOT_MERGE, .id = 1, .other = 9 } },
	{ -EEXIST,
	  "slot 9 would overlap slot 1 at 0x40000000",
	  { .op = SLOT_CREATE, .id = 9, .base = BASE - K4, .size = 2 * K4 } },
	{ -EEXIST,
	  "slot 9 would overlap slot 2 at 0x4000b000",
	  { .op = SLOT_CREATE, .id = 9, .base = BASE + 11 * K4, .size = K4 } },
	{ -EEXIST,
	  "slot 9 would overlap slot 4",
	  { .op = SLOT_CREATE, .id = 9, .base = BASE - M2, .size = 2 * M2 } },
	{ -EEXIST,
	  "there is a slot 1 already",
	  { .op = SLOT_CREATE, .id = 1, .base = GIB(2), .size = K4 } },
	{ -EEXIST, "overlap slot 2", { .op = SLOT_RESIZE, .id = 1, .size = 12 * K4 } },
	{ -EEXIST, "overlap slot 3", { .op = SLOT_MOVE, .id = 1, .base = BASE + 5 * K4 } },
	{ -EEXIST, "overlap slot 1", { .op = SLOT_MOVE, .id = 2, .base = BASE + 3 * K4 } },
	{ -EEXIST,
	  "there is a slot 2 already",
	  { .op = SLOT_SPLIT, .id = 1, .size = K4, .other = 2 } },
	{ -EINVAL, "no bytes", { .op = SLOT_CREATE, .id = 9, .base = GIB(2) } },
	{ -EINVAL, "no bytes", { .op = SLOT_RESIZE, .id = 1 } },
	{ -EINVAL, "slot 1 would have no bytes", { .op = SLOT_SPLIT, .id = 1, .other = 9 } },
	{ -EINVAL,
	  "slot 9 would have no bytes",
	  { .op = SLOT_SPLIT, .id = 1, .size = 10 * K4, .other = 9 } },
	{ -EINVAL,
	  "no multiple of 4 KiB",
	  { .op = SLOT_CREATE, .id = 9, .base = GIB(2) + 1, .size = K4 } },
	{ -EINVAL,
	  "no multiple of 4 KiB",
	  { .op = SLOT_CREATE, .id = 9, .base = GIB(2), .size = K4 + 1 } },
	{ -EINVAL,
	  "no multiple of 4 KiB",
	  { .op = SLOT_CREATE, .id = 9, .base = GIB(2), .size = K4, .offset = 1 } },
	{ -EINVAL, "no multiple of 4 KiB", { .op = SLOT_MOVE, .id = 1, .base = 1 } },
	{ -EINVAL, "no multiple of 4 KiB", { .op = SLOT_RESIZE, .id = 1, .size = 1 } },
	{ -EINVAL, "no multiple of 4 KiB", { .op = SLOT_SPLIT, .id = 1, .size = 1, .other = 9 } },
	{ -EINVAL, "no change 77", { .op = (enum slot_op)77, .id = 1 } },
	{ -ERANGE, "wrap", { .op = SLOT_CREATE, .id = 9, .base = -(u64)K4, .size = 2 * K4 } },
	{ -ERANGE,
	  "no address beyond",
	  { .op = SLOT_CREATE, .id = 9, .base = -(u64)K4, .size = K4 } },
	{ -ERANGE,
	  "no address beyond 0xffffffffff",
	  { .op = SLOT_CREATE, .id = 9, .base = BIT(40) - K4, .size = 2 * K4 } },
	{ -ERANGE, "no address beyond", { .op = SLOT_MOVE, .id = 1, .base = BIT(40) } },
	{ -ERANGE,
	  "the backing has only 0x1000000",
	  { .op = SLOT_CREATE, .id = 9, .base = GIB(2), .size = K4, .offset = MIB(16) } },
	{ -ERANGE,
	  "the backing has only",
	  { .op = SLOT_CREATE, .id = 9, .base = GIB(2), .size = K4, .offset = MIB(32) } },
	{ -ERANGE, "the backing has only", { .op = SLOT_RESIZE, .id = 5, .size = MIB(17) } },
	{ -ERANGE,
	  "slot 1 has 0xa000 bytes",
	  { .op = SLOT_SPLIT, .id = 1, .size = 11 * K4, .other = 9 } },
	{ -EOPNOTSUPP,
	  "no such flag",
	  { .op = SLOT_CREATE, .id = 9, .base = GIB(2), .size = K4, .flags = 4 } },
	{ -EOPNOTSUPP, "no such flag", { .op = SLOT_FLAGS, .id = 1, .flags = BIT(31) } },
	{ -EPERM,
	  "read-only slot has no dirty log",
	  { .op = SLOT_FLAGS, .id = 1, .flags = SLOT_READONLY | SLOT_LOG_DIRTY } },
	{ -EPERM,
	  "read-only",
	  { .op = SLOT_CREATE, .id = 9, .base = GIB(2), .size = K4, .flags = 3 } },
	{ -ENOSPC,
	  "slot 512 is one too many",
	  { .op = SLOT_CREATE, .id = VM_MAX_SLOTS, .base = GIB(2), .size = K4 } },
	{ -ENOSPC,
	  "one too many",
	  { .op = SLOT_SPLIT, .id = 1, .size = K4, .other = VM_MAX_SLOTS } },
	{ -EPROTO, "does not begin where it ends", { .op = SLOT_MERGE, .id = 1, .other = 2 } },
	{ -EPROTO, "does not begin where it ends", { .op = SLOT_MERGE, .id = 1, .other = 1 } },
	{ -EPROTO, "in the same backing", { .op = SLOT_MERGE, .id = 2, .other = 3 } },
	{ -EPROTO, "has other flags", { .op = SLOT_MERGE, .id = 3, .other = 4 } },
};

/*
 * 1: ten pages at BASE; 2: at +10 pages and a hole of one, pages 10 to 12 of the backing; 3: behind
 * it, elsewhere in the backing; 4: behind that in both, but read-only; 5: all of the backing.
 */
static void make_some(void)
{
	struct slot_change list[] = {
		create(1, BASE, 10 * K4),	   create(2, BASE + 11 * K4, 3 * K4),
		create(3, BASE + 14 * K4, 2 * K4), create(4, BASE + 16 * K4, K4),
		create(5, GIB(3), MIB(16)),
	};

	list[1].offset = 10 * K4;
	list[2].offset = 50 * K4;
	list[3].offset = 52 * K4;
	list[3].flags = SLOT_READONLY;
	assert_int_equal(change_list(list, 5, SLOTS_ATOMIC), 0);
}

/* As the third item of a list whose first two are fine: all of it is as before. */
static void refuse(enum slot_way way, struct slot_change c, int err, const char *why)
{
	struct slot_change list[] = { drop(5), create(6, GIB(5), M2), c, drop(4) };
	u32 generation = atomic_load(&vm->slots.generation);
	struct vm_slot *five = slot_by_id(vm, 5);
	u64 flushes = atomic_load(&vm->vmx.flush_gen);

	if (c.op == SLOT_RESIZE && c.id == 5)
		list[0] = drop(4);
	assert_int_equal(change_list(list, 4, way), err);
	assert_int_equal(report.item, 2);
	assert_memory_equal(report.why, "item 2: ", 8);
	if (!strstr(report.why, why))
		fail_msg("\"%s\" does not say \"%s\"", report.why, why);
	/* Nobody could have seen that there was a change at all. */
	assert_ptr_equal(slot_by_id(vm, 5), five);
	assert_int_equal(atomic_load(&vm->slots.generation), generation);
	assert_int_equal(atomic_load(&vm->vmx.flush_gen), flushes);
	assert_int_equal(slots_count(vm), 6);
	assert_true(mapped(GIB(3)));
	check_sets();
}

static void test_refused(void **state)
{
	make_some();
	touch(GIB(3), FAULT_READ);
	for (unsigned int i = 0; i < ARRAY_SIZE(refused); i++) {
		struct slot_change c = refused[i].c;

		if (c.op == SLOT_CREATE)
			c.backing = mem;
		for (unsigned int way = 0; way < WAYS; way++)
			refuse((enum slot_way)way, c, refused[i].err, refused[i].why);
	}
	refuse(SLOTS_ATOMIC,
	       (struct slot_change){ .op = SLOT_CREATE, .id = 9, .base = GIB(2), .size = K4 },
	       -EINVAL, "no backing");
	vm->vmx.ept.eptp &= ~BIT(6); /* accessed and dirty flags */
	refuse(SLOTS_ATOMIC,
	       (struct slot_change){ .op = SLOT_FLAGS, .id = 1, .flags = SLOT_LOG_DIRTY },
	       -EOPNOTSUPP, "no dirty log");
}

static void test_list_size(void **state)
{
	struct slot_change list[SLOT_LIST_MAX + 1];

	for (u32 i = 0; i <= SLOT_LIST_MAX; i++)
		list[i] = create(i + 1, BASE + i * M2, K4);
	assert_int_equal(vm_change_slots(vm, list, 0, SLOTS_ATOMIC, NULL), -EINVAL);
	assert_int_equal(change_list(list, SLOT_LIST_MAX + 1, SLOTS_ATOMIC), -EINVAL);
	assert_non_null(strstr(report.why, "65 items"));
	assert_int_equal(change_list(list, SLOT_LIST_MAX, SLOTS_ATOMIC), 0);
	assert_int_equal(slots_count(vm), SLOT_LIST_MAX + 1);
	check_sets();
}

/* A refusal by what an earlier item of the same list has made. */
static void test_refused_by_the_list(void **state)
{
	for (unsigned int way = 0; way < WAYS; way++) {
		const struct slot_change list[] = {
			create(1, BASE, 4 * K4),
			{ .op = SLOT_SPLIT, .id = 1, .other = 2, .size = K4 },
			{ .op = SLOT_MOVE, .id = 2, .base = BASE + M2 },
			create(3, BASE + M2 + 2 * K4, K4),
		};

		assert_int_equal(change_list(list, 4, (enum slot_way)way), -EEXIST);
		assert_string_equal(report.why,
				    "item 3: slot 3 would overlap slot 2 at 0x40202000");
		assert_int_equal(slots_count(vm), 1);
		check_sets();
	}
}

/* Wherever memory ends, nothing has changed and nothing is lost. */
static void test_no_memory(void **state)
{
	const struct slot_change list[] = {
		create(1, BASE, M2),
		{ .op = SLOT_FLAGS, .id = 1, .flags = SLOT_LOG_DIRTY },
		{ .op = SLOT_SPLIT, .id = 1, .other = 2, .size = K4 },
	};

	for (unsigned int way = 0; way < WAYS; way++) {
		for (unsigned int n = 1; n <= 7; n++) {
			fake_alloc_fail(n);
			assert_int_equal(change_list(list, 3, (enum slot_way)way), -ENOMEM);
			assert_non_null(strstr(report.why, "no memory for slot 1"));
			assert_int_equal(slots_count(vm), 1);
			check_sets();
		}
		for (unsigned int n = 1; n <= 3; n++) {
			fake_page_fail(n); /* of the dirty logs */
			assert_int_equal(change_list(list, 3, (enum slot_way)way), -ENOMEM);
			check_sets();
		}
	}
	fake_alloc_fail(0);
	assert_int_equal(change_list(list, 3, SLOTS_LIVE), 0);
}

static void test_create_vm_without_memory(void **state)
{
	struct vm *another;

	for (unsigned int n = 1; n <= 4; n++) {
		fake_alloc_fail(n);
		assert_int_equal(vm_create(&another), -ENOMEM);
	}
}

/* A large page must be split, and there is no memory for it: in the middle of a list. */
static void test_no_memory_to_split(void **state)
{
	for (unsigned int way = 0; way < WAYS; way++) {
		const struct slot_change list[] = {
			create(2, GIB(2), M2),
			{ .op = SLOT_RESIZE, .id = 1, .size = M2 + K4 },
			create(3, GIB(3), M2),
		};

		assert_int_equal(change(create(1, BASE, 2 * M2), SLOTS_ATOMIC), 0);
		touch_all(BASE, 2 * M2);
		/* One by one the slot goes as a whole, which splits nothing. */
		fake_page_fail(1);
		if (way == SLOTS_ATOMIC) {
			assert_int_equal(change_list(list, 3, (enum slot_way)way), -ENOMEM);
			assert_non_null(strstr(report.why, "split a large page"));
			expect_slot(1, BASE, 2 * M2, 0);
			assert_int_equal(slots_count(vm), 2);
			assert_int_equal(nr_mapped(BASE, 2 * M2), 2 * M2 / K4);
		}
		fake_page_fail(0);
		assert_int_equal(change_list(list, 3, (enum slot_way)way), 0);
		expect_slot(1, BASE, M2 + K4, 0);
		assert_int_equal(nr_mapped(BASE, 2 * M2), way == SLOTS_ATOMIC ? M2 / K4 + 1 : 0);
		for (u32 id = 1; id <= 3; id++)
			assert_int_equal(change(drop(id), SLOTS_LIVE), 0);
	}
}

/* --- what becomes of slots and translations -------------------------------------------------- */

static void test_create_delete(void **state)
{
	for (unsigned int way = 0; way < WAYS; way++) {
		u64 flushes = atomic_load(&vm->vmx.flush_gen);

		assert_int_equal(change(create(1, BASE, 2 * M2), (enum slot_way)way), 0);
		assert_int_equal(atomic_load(&vm->vmx.flush_gen), flushes); /* nothing to flush */
		expect_slot(1, BASE, 2 * M2, 0);
		touch_all(BASE, 2 * M2);
		assert_int_equal(change(drop(1), (enum slot_way)way), 0);
		assert_int_equal(atomic_load(&vm->vmx.flush_gen), flushes + 1);
		assert_int_equal(nr_mapped(BASE, 2 * M2), 0);
		assert_null(slot_find(vm, BASE));
		check_sets();
		assert_true(mapped(0) || !mapped(0)); /* the tables are sound */
	}
}

/* The slot's own reference keeps a backing alive, and only as long as the slot is there. */
static void test_references(void **state)
{
	struct backing *b;
	struct slot_change c;
	u64 live = fake_machine.pages_live;

	for (unsigned int way = 0; way < WAYS; way++) {
		assert_int_equal(backing_create(&b, M2, BACKING_RESERVE), 0);
		c = create(1, BASE, M2);
		c.backing = b;
		assert_int_equal(change(c, (enum slot_way)way), 0);
		backing_put(b);
		assert_int_equal(vm_fill(vm, BASE, 7, M2), 0);
		assert_true(fake_machine.pages_live >= live + M2 / K4);
		c = (struct slot_change){ .op = SLOT_SPLIT, .id = 1, .other = 2, .size = K4 };
		assert_int_equal(change(c, (enum slot_way)way), 0);
		assert_int_equal(change(drop(1), (enum slot_way)way), 0);
		assert_int_equal(guest_get(BASE + K4, 1), 7);
		assert_int_equal(change(drop(2), (enum slot_way)way), 0);
		assert_true(fake_machine.pages_live < live + M2 / K4);
	}
}

static void test_move(void **state)
{
	for (unsigned int way = 0; way < WAYS; way++) {
		struct slot_change c = { .op = SLOT_MOVE, .id = 1, .base = BASE + K4 };

		assert_int_equal(change(create(1, BASE, M2), (enum slot_way)way), 0);
		guest_put(BASE + 5 * K4, 0x1234, 2);
		touch_all(BASE, M2);
		/* Overlapping itself, and to where it is. */
		assert_int_equal(change(c, (enum slot_way)way), 0);
		assert_int_equal(nr_mapped(BASE, M2), 0);
		expect_slot(1, BASE + K4, M2, 0);
		touch_all(BASE + K4, M2);
		assert_int_equal(change(c, (enum slot_way)way), 0);
		assert_int_equal(nr_mapped(BASE + K4, M2), M2 / K4);
		assert_int_equal(guest_get(BASE + 6 * K4, 2), 0x1234);
		c.base = 7 * M2 + BASE;
		assert_int_equal(change(c, (enum slot_way)way), 0);
		assert_int_equal(nr_mapped(BASE, 2 * M2), 0);
		assert_null(slot_find(vm, BASE + K4));
		assert_int_equal(guest_get(BASE + 7 * M2 + 5 * K4, 2), 0x1234);
		assert_int_equal(change(drop(1), (enum slot_way)way), 0);
	}
}

static void test_resize(void **state)
{
	for (unsigned int way = 0; way < WAYS; way++) {
		bool keeps = way == SLOTS_ATOMIC;
		struct slot_change c = { .op = SLOT_RESIZE, .id = 1, .size = 3 * M2 };

		assert_int_equal(change(create(1, BASE, 2 * M2), (enum slot_way)way), 0);
		guest_put(BASE + K4, 0x77, 1);
		touch_all(BASE, 2 * M2);
		assert_int_equal(change(c, (enum slot_way)way), 0);
		expect_slot(1, BASE, 3 * M2, 0);
		assert_int_equal(nr_mapped(BASE, 2 * M2), keeps ? 2 * M2 / K4 : 0);
		touch_all(BASE, 3 * M2);
		c.size = M2 + 3 * K4;
		assert_int_equal(change(c, (enum slot_way)way), 0);
		expect_slot(1, BASE, M2 + 3 * K4, 0);
		assert_int_equal(nr_mapped(BASE, 3 * M2), keeps ? M2 / K4 + 3 : 0);
		assert_int_equal(guest_get(BASE + K4, 1), 0x77);
		assert_int_equal(change(drop(1), (enum slot_way)way), 0);
	}
}

static void test_split_merge(void **state)
{
	for (unsigned int way = 0; way < WAYS; way++) {
		bool keeps = way == SLOTS_ATOMIC;
		struct slot_change c = create(1, BASE, 2 * M2);

		c.offset = M2;
		assert_int_equal(change(c, (enum slot_way)way), 0);
		guest_put(BASE + M2 + 9 * K4, 0x99, 1);
		touch_all(BASE, 2 * M2);
		c = (struct slot_change){ .op = SLOT_SPLIT, .id = 1, .other = 2, .size = M2 + K4 };
		assert_int_equal(change(c, (enum slot_way)way), 0);
		expect_slot(1, BASE, M2 + K4, M2);
		expect_slot(2, BASE + M2 + K4, M2 - K4, 2 * M2 + K4);
		assert_int_equal(nr_mapped(BASE, 2 * M2), keeps ? 2 * M2 / K4 : 0);
		assert_int_equal(guest_get(BASE + M2 + 9 * K4, 1), 0x99);
		touch_all(BASE, 2 * M2);
		c = (struct slot_change){ .op = SLOT_MERGE, .id = 1, .other = 2 };
		assert_int_equal(change(c, (enum slot_way)way), 0);
		expect_slot(1, BASE, 2 * M2, M2);
		assert_null(slot_by_id(vm, 2));
		assert_int_equal(nr_mapped(BASE, 2 * M2), keeps ? 2 * M2 / K4 : 0);
		assert_int_equal(change(drop(1), (enum slot_way)way), 0);
	}
}

static unsigned int rights(gpa_t gpa)
{
	struct ept_mapping m;

	return ept_lookup(&vm->vmx.ept, gpa, &m) ? 0 : m.prot;
}

static void test_flags(void **state)
{
	struct missing missing;

	for (unsigned int way = 0; way < WAYS; way++) {
		struct slot_change c = { .op = SLOT_FLAGS, .id = 1, .flags = SLOT_READONLY };
		struct ept_mapping m;

		assert_int_equal(change(create(1, BASE, M2), (enum slot_way)way), 0);
		touch(BASE, FAULT_WRITE);
		assert_int_equal(change(c, (enum slot_way)way), 0);
		assert_int_equal(slot_by_id(vm, 1)->flags, SLOT_READONLY);
		assert_int_equal(rights(BASE), 0);
		assert_int_equal(vm_fault(vm, BASE, FAULT_WRITE, &missing), -EPERM);
		touch(BASE, FAULT_READ);
		assert_int_equal(rights(BASE), EPT_READ | EPT_EXEC);
		c.flags = 0; /* the next write finds out */
		assert_int_equal(change(c, (enum slot_way)way), 0);
		assert_int_equal(rights(BASE), EPT_READ | EPT_EXEC);
		touch(BASE, FAULT_WRITE);
		assert_int_equal(rights(BASE), EPT_RWX);
		c.flags = SLOT_LOG_DIRTY;
		vm->dirty_how = way == SLOTS_LIVE ? DIRTY_PML : DIRTY_WRITE_PROTECT;
		assert_int_equal(change(c, (enum slot_way)way), 0);
		assert_int_equal(ept_lookup(&vm->vmx.ept, BASE, &m), 0);
		assert_int_equal(m.size, K4);
		assert_int_equal(m.prot, way == SLOTS_LIVE ? EPT_RWX : EPT_READ | EPT_EXEC);
		assert_int_equal(m.dirty, way != SLOTS_LIVE);
		c.flags = 0;
		assert_int_equal(change(c, (enum slot_way)way), 0);
		assert_null(slot_by_id(vm, 1)->dirty);
		assert_true(mapped(BASE));
		assert_int_equal(change(drop(1), (enum slot_way)way), 0);
	}
}

static void test_zap_all(void **state)
{
	vm->slots.zap = ZAP_ALL;
	for (unsigned int way = 0; way < WAYS; way++) {
		touch(0, FAULT_READ);
		assert_int_equal(change(create(1, BASE, M2), (enum slot_way)way), 0);
		assert_true(mapped(0)); /* as in KVM, to create zaps nothing */
		assert_int_equal(change(drop(1), (enum slot_way)way), 0);
		assert_false(mapped(0));
	}
}

/* Items of one list that build on each other; with the slots in between never seen. */
static void test_chain(void **state)
{
	for (unsigned int way = 0; way < WAYS; way++) {
		const struct slot_change list[] = {
			create(1, BASE, 4 * K4),
			{ .op = SLOT_SPLIT, .id = 1, .other = 2, .size = K4 },
			{ .op = SLOT_MOVE, .id = 2, .base = BASE + M2 },
			{ .op = SLOT_SPLIT, .id = 2, .other = 3, .size = K4 },
			{ .op = SLOT_MERGE, .id = 2, .other = 3 },
			{ .op = SLOT_RESIZE, .id = 2, .size = 2 * K4 },
			{ .op = SLOT_DELETE, .id = 1 },
			create(1, BASE + M2 + 2 * K4, K4),
			{ .op = SLOT_FLAGS, .id = 1, .flags = SLOT_READONLY },
		};

		assert_int_equal(change_list(list, ARRAY_SIZE(list), (enum slot_way)way), 0);
		expect_slot(2, BASE + M2, 2 * K4, K4);
		expect_slot(1, BASE + M2 + 2 * K4, K4, 0);
		assert_int_equal(slots_count(vm), 3);
		assert_int_equal(change(drop(1), (enum slot_way)way), 0);
		assert_int_equal(change(drop(2), (enum slot_way)way), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(find),
		TEST(many),
		TEST(refused),
		TEST(list_size),
		TEST(refused_by_the_list),
		TEST(no_memory),
		TEST(create_vm_without_memory),
		TEST(no_memory_to_split),
		TEST(create_delete),
		TEST(references),
		TEST(move),
		TEST(resize),
		TEST(split_merge),
		TEST(flags),
		TEST(zap_all),
		TEST(chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
