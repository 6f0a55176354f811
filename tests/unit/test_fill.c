/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages of a backing that are missing: filling them, staging what is sent ahead and publishing it,
 * memory that stays theirs, several threads that bring the same page; and the owner's view.
 */
/* link: @vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/chaos.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/random.h"
#include "hv/host/string.h"
#include "hv/vm/backing_internal.h"
#include "hv/vm/internal.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"

#define M2   BLOCK_SIZE
#define K4   PAGE_SIZE
#define K256 (64 * K4)
#define BASE GIB(1)

static struct vm *vm;
static struct backing *b;
static u64 live; /* pages before there was a backing */

static int setup(void **state)
{
	fixture_start(1);
	vm = fixture_vm;
	b = NULL;
	live = fake_machine.pages_live;
	return 0;
}

static int teardown(void **state)
{
	chaos_off();
	fake_machine.on_spin = fake_machine.on_block = NULL;
	assert_int_equal(fake_locks_held(), 0);
	if (b)
		backing_put(b);
	fixture_end();
	return 0;
}

static void create(u64 size, unsigned int flags)
{
	assert_int_equal(backing_create(&b, size, flags), 0);
	assert_int_equal(backing_size(b), size);
}

static void destroy(void)
{
	backing_put(b);
	b = NULL;
	assert_int_equal(fake_machine.pages_live, live);
}

static void show(u32 flags)
{
	struct slot_change c = { SLOT_CREATE, .id = 9, .base = BASE, .size = b->size };

	c.backing = b;
	c.flags = flags;
	assert_int_equal(vm_change_slots(vm, &c, 1, SLOTS_ATOMIC, NULL), 0);
}

static void hide(void)
{
	const struct slot_change c = { SLOT_DELETE, .id = 9 };

	assert_int_equal(vm_change_slots(vm, &c, 1, SLOTS_ATOMIC, NULL), 0);
}

static u8 data[K4];

static const u8 *contents(u8 byte)
{
	memset(data, byte, sizeof(data));
	return data;
}

static int fill(u64 offset, u8 byte)
{
	int err = backing_fill(b, offset, contents(byte));

	assert_int_equal(fake_locks_held(), 0);
	return err;
}

static int stage(u64 offset, u8 byte)
{
	int err = backing_stage(b, offset, contents(byte));

	assert_int_equal(fake_locks_held(), 0);
	return err;
}

/* It is missing, for everybody; nobody sees what may have been put there. */
static bool is_missing(u64 offset)
{
	struct backing_page page;
	u8 byte;
	int err = backing_find(b, offset, &page);

	assert_true(!err || err == -EAGAIN);
	assert_int_equal(backing_look(b, offset, &page), !err);
	assert_int_equal(backing_read(b, offset + 7, &byte, 1), err);
	assert_int_equal(backing_write(b, offset + 7, &byte, err ? 1 : 0), err ? err : -EINVAL);
	return err;
}

static hpa_t frame(u64 offset)
{
	struct backing_page page;

	assert_int_equal(backing_find(b, offset, &page), 0);
	return page.hpa;
}

static void expect_page(u64 offset, u8 byte)
{
	const u8 *p = phys_to_virt(frame(offset));

	for (u64 i = 0; i < K4; i++)
		if (p[i] != byte)
			fail_msg("byte %#lx of page %#lx is %#x, not %#x", (unsigned long)i,
				 (unsigned long)(offset / K4), p[i], byte);
}

/* --- a backing whose pages are all missing -----------------------------------------------------
 */

static void test_create(void **state)
{
	assert_int_equal(backing_create(&b, M2, BACKING_MISSING | BACKING_1G), -EINVAL);
	assert_int_equal(backing_create(&b, GIB(1), BACKING_MISSING | BACKING_1G), -EINVAL);
	assert_int_equal(backing_create(&b, M2, 8), -EINVAL);
	assert_int_equal(backing_create(&b, GIB(1), BACKING_MISSING), -ENOMEM);
	assert_null(b);
	/* The frames, the blocks' tables. */
	for (unsigned int n = 1; n <= 6; n++) {
		fake_page_fail(n);
		assert_int_equal(backing_create(&b, 2 * M2 + 3 * K4, BACKING_MISSING), -ENOMEM);
		assert_int_equal(fake_machine.pages_live, live);
	}
	create(2 * M2 + 3 * K4, BACKING_MISSING);
	for (u64 off = 0; off < b->size; off += K4)
		assert_true(is_missing(off));
	assert_int_equal(fake_machine.pages_live, live + 2 * 512 + 4 + 3 * 2);
	destroy();
	create(K4, BACKING_MISSING | BACKING_RESERVE);
	assert_true(is_missing(0));
	destroy();
}

/* What is reserved is enough for ever: nothing is allocated, and nothing is given back. */
static void test_frames_stay(void **state)
{
	hpa_t first, last;
	u64 reserved;

	create(M2 + 3 * K4, BACKING_MISSING);
	reserved = fake_machine.pages_live;
	fake_page_fail(1);
	for (u64 off = 0; off < b->size; off += K4)
		assert_int_equal(fill(off, (u8)(off / K4)), 0);
	fake_page_fail(0);
	first = frame(0);
	last = frame(b->size - K4);
	for (unsigned int round = 0; round < 3; round++) {
		for (u64 off = 0; off < b->size; off += K4)
			expect_page(off, (u8)(off / K4 + round));
		assert_int_equal(backing_punch(b, 0, b->size), 0);
		assert_int_equal(fake_machine.pages_live, reserved);
		fake_page_fail(1);
		for (u64 off = 0; off < b->size; off += K4) {
			assert_true(is_missing(off));
			if (off & K4)
				assert_int_equal(stage(off, 0x5a), 0);
			assert_int_equal(fill(off, (u8)(off / K4 + round + 1)), 0);
		}
		fake_page_fail(0);
		assert_int_equal(frame(0), first);
		assert_int_equal(frame(b->size - K4), last);
	}
	assert_int_equal(backing_punch(b, 5 * K4, K4), 0);
	assert_int_equal(backing_populate(b), 0); /* brings nothing */
	assert_true(is_missing(5 * K4));
	assert_int_equal(fake_machine.pages_live, reserved);
	destroy();
}

/* A page that moves takes another frame along, and keeps that one then. */
static void test_moved_frames_stay(void **state)
{
	hpa_t moved;
	u64 reserved;

	create(M2, BACKING_MISSING);
	reserved = fake_machine.pages_live;
	assert_int_equal(backing_move(b, 0, K4, -1), -EAGAIN);
	assert_int_equal(stage(K4, 2), 0);
	assert_int_equal(backing_move(b, K4, K4, -1), -EAGAIN);
	assert_int_equal(fill(0, 1), 0);
	moved = frame(0);
	assert_int_equal(backing_move(b, 0, 2 * K4, 0xcc), -EAGAIN);
	assert_int_equal(frame(0), moved);
	assert_int_equal(backing_move(b, 0, K4, 0xcc), 0);
	assert_int_not_equal(frame(0), moved);
	expect_page(0, 1);
	moved = frame(0);
	assert_int_equal(backing_punch(b, 0, M2), 0);
	assert_true(is_missing(0));
	assert_int_equal(fill(0, 3), 0);
	assert_int_equal(frame(0), moved);
	expect_page(0, 3);
	assert_int_equal(fake_machine.pages_live, reserved);
	destroy();
}

/* Others give their frames back, and one that is filled needs a new one. */
static void test_fill_without_memory(void **state)
{
	create(M2, 0);
	assert_int_equal(backing_punch(b, 0, M2), 0);
	assert_int_equal(fake_machine.pages_live, live + 2);
	for (unsigned int round = 0; round < 3; round++) {
		fake_page_fail(1);
		assert_int_equal(fill(K4, 1), -ENOMEM);
		fake_page_fail(1);
		assert_int_equal(stage(K4, 1), -ENOMEM);
		assert_true(is_missing(K4));
		assert_int_equal(backing_publish(b, 0, 2), 0);
		assert_int_equal(fake_machine.pages_live, live + 2);
	}
	assert_int_equal(stage(K4, 1), 0);
	fake_page_fail(1); /* now it has memory */
	assert_int_equal(stage(K4, 2), 0);
	assert_int_equal(fill(K4, 3), 0);
	fake_page_fail(0);
	expect_page(K4, 3);
	assert_int_equal(fake_machine.pages_live, live + 3);
	destroy();
}

/* --- filling --------------------------------------------------------------------------------- */

static void test_fill(void **state)
{
	create(M2 + K4, BACKING_MISSING);
	assert_int_equal(fill(1, 0), -EINVAL);
	assert_int_equal(fill(M2 + K4, 0), -EINVAL);
	assert_int_equal(fill(-(u64)K4, 0), -EINVAL);
	assert_int_equal(fill(M2, 7), 0);
	assert_int_equal(fill(M2, 8), -EEXIST);
	expect_page(M2, 7);
	assert_true(is_missing(0));
	assert_true(is_missing(M2 - K4));
	destroy();
	create(M2, 0);
	assert_int_equal(fill(0, 1),
			 -EEXIST); /* there are zeroes, though nobody has touched them */
	assert_int_equal(stage(0, 1), -EEXIST);
	expect_page(0, 0);
	destroy();
}

/* Another thread has claimed the page, and is through with it after a while. */
static unsigned int spins;
static u64 becomes;

static struct split_page *page_at(u64 offset)
{
	return split_at(atomic_load(block_at(b, offset)), offset);
}

static void other_is_through(void)
{
	assert_int_equal(fake_locks_held(), 0);
	if (++spins == 7)
		atomic_store(&page_at(3 * K4)->word, becomes);
}

static u64 claimed(void)
{
	u64 word = atomic_load(&page_at(3 * K4)->word);

	assert_false(word & WORD_BUSY);
	assert_true(word & WORD_HERE);
	memset(phys_to_virt(word & WORD_ADDRESS), 0x77, K4);
	atomic_store(&page_at(3 * K4)->word, word | WORD_BUSY);
	spins = 0;
	fake_machine.on_spin = other_is_through;
	return word;
}

static void test_two_fillers(void **state)
{
	u64 word;

	create(M2, BACKING_MISSING);
	word = claimed();
	becomes = (word & WORD_ADDRESS) | WORD_READY;
	assert_int_equal(fill(3 * K4, 1), -EEXIST);
	assert_int_equal(spins, 7);
	expect_page(3 * K4, 0x77); /* nothing was written */
	assert_int_equal(backing_punch(b, 3 * K4, K4), 0);

	claimed();
	becomes = (word & WORD_ADDRESS) | WORD_READY;
	assert_int_equal(stage(3 * K4, 1), -EEXIST);
	assert_int_equal(spins, 7);
	expect_page(3 * K4, 0x77);
	assert_int_equal(backing_punch(b, 3 * K4, K4), 0);

	/* The other one has only staged it, or has found no memory: this one fills it. */
	word = claimed();
	becomes = word | WORD_STAGED;
	assert_int_equal(fill(3 * K4, 2), 0);
	assert_int_equal(spins, 7);
	expect_page(3 * K4, 2);
	assert_int_equal(backing_publish(b, 0, ~0ull), 0);
	assert_int_equal(backing_punch(b, 3 * K4, K4), 0);
	word = claimed();
	becomes = word;
	assert_int_equal(fill(3 * K4, 4), 0);
	expect_page(3 * K4, 4);
}

/* While it is being filled it is missing, and neither punched nor published. */
static void test_beside_a_filler(void **state)
{
	create(M2, BACKING_MISSING);
	assert_int_equal(stage(3 * K4, 1), 0);
	becomes = claimed() | WORD_STAGED;
	fake_machine.on_spin = NULL;
	assert_true(is_missing(3 * K4));
	assert_int_equal(backing_publish(b, 0, BIT(3)), 0);
	assert_int_equal(backing_punch(b, 0, M2), 0);
	assert_int_equal(backing_move(b, 3 * K4, K4, -1), -EAGAIN);
	assert_true(atomic_load(&page_at(3 * K4)->word) & WORD_BUSY);
	atomic_store(&page_at(3 * K4)->word, becomes);
	assert_int_equal(backing_publish(b, 0, BIT(3)), 1);
	expect_page(3 * K4, 0x77);
}

/* At every race point of one filler another brings the page too, or somebody looks. */
static unsigned int looks;

static void look_at_it(void)
{
	struct backing_page page;
	int err = backing_find(b, 0, &page);

	looks++;
	if (err)
		assert_int_equal(err, -EAGAIN);
	else
		assert_int_equal(*((u8 *)phys_to_virt(page.hpa) + K4 - 1), 9);
}

static void test_seen_whole(void **state)
{
	create(M2, BACKING_MISSING);
	for (u64 seed = 0; seed < 30; seed++) {
		chaos_init(seed);
		fake_machine.on_spin = look_at_it;
		assert_int_equal(stage(0, 8), 0);
		assert_int_equal(fill(0, 9), 0);
		fake_machine.on_spin = NULL;
		chaos_off();
		expect_page(0, 9);
		assert_int_equal(backing_punch(b, 0, K4), 0);
	}
	assert_true(looks > 10);
}

/* --- what is sent ahead ---------------------------------------------------------------------- */

static void test_stage(void **state)
{
	create(M2 + 2 * K4, BACKING_MISSING);
	show(SLOT_EXIT_ON_MISSING);
	assert_int_equal(stage(1, 0), -EINVAL);
	assert_int_equal(stage(b->size, 0), -EINVAL);
	assert_int_equal(stage(0, 1), 0);
	assert_true(is_missing(0));
	assert_int_equal(vm_read(vm, BASE, data, 1), -EAGAIN);
	assert_int_equal(stage(0, 2), 0); /* once more */
	assert_int_equal(stage(K4, 3), 0);
	assert_int_equal(vm_populate(vm), 0);
	assert_true(is_missing(0));
	assert_int_equal(backing_publish(b, 0, BIT(0) | BIT(2)), 1);
	expect_page(0, 2);
	assert_int_equal(vm_read(vm, BASE + 5, data, 1), 0);
	assert_int_equal(data[0], 2);
	assert_true(is_missing(K4));	 /* nobody has said so */
	assert_true(is_missing(2 * K4)); /* there is nothing */
	assert_int_equal(stage(0, 4), -EEXIST);
	expect_page(0, 2);
	assert_int_equal(backing_publish(b, 0, ~0ull), 1);
	expect_page(K4, 3);
	assert_int_equal(backing_publish(b, 0, ~0ull), 0);
	/* What comes on demand is newer than what was sent ahead. */
	assert_int_equal(stage(5 * K4, 5), 0);
	assert_int_equal(fill(5 * K4, 6), 0);
	assert_int_equal(backing_publish(b, 0, ~0ull), 0);
	expect_page(5 * K4, 6);
	hide();
}

static void test_publish_bounds(void **state)
{
	create(M2 + 2 * K4, BACKING_MISSING);
	assert_int_equal(stage(M2, 1), 0);
	assert_int_equal(stage(M2 + K4, 2), 0);
	assert_int_equal(stage(M2 - K4, 3), 0);
	assert_int_equal(backing_publish(b, K4, 1), -EINVAL);
	assert_int_equal(backing_publish(b, M2 + K256, 1), -EINVAL);
	assert_int_equal(backing_publish(b, -(u64)K256, 1), -EINVAL);
	assert_int_equal(backing_publish(b, -(u64)K256, BIT(63)), -EINVAL);
	assert_int_equal(backing_publish(b, M2, 7), -EINVAL); /* one is beyond the end */
	assert_true(is_missing(M2));
	assert_true(is_missing(M2 + K4));
	assert_int_equal(backing_publish(b, M2, 0), 0);
	assert_int_equal(backing_publish(b, M2, 3), 2);
	assert_int_equal(backing_publish(b, M2 - K256, BIT(63)), 1);
	expect_page(M2, 1);
	expect_page(M2 + K4, 2);
	expect_page(M2 - K4, 3);
	destroy();
}

/* A page that was present, and was made missing: what it held cannot come back. */
static void test_punch_and_publish(void **state)
{
	for (unsigned int kind = 0; kind < 2; kind++) {
		create(M2, kind ? BACKING_MISSING : 0);
		assert_int_equal(backing_punch(b, 0, M2), 0);
		assert_int_equal(stage(0, 1), 0);
		assert_int_equal(backing_publish(b, 0, 1), 1);
		assert_int_equal(fill(K4, 2), 0);
		assert_int_equal(backing_punch(b, 0, 2 * K4), 0);
		assert_true(is_missing(0));
		assert_int_equal(backing_publish(b, 0, 3), 0);
		assert_true(is_missing(0));
		assert_true(is_missing(K4));
		assert_int_equal(stage(K4, 3), 0);
		assert_int_equal(backing_publish(b, 0, 3), 1);
		expect_page(K4, 3);
		destroy();
	}
}

/* What is on its way when the backing ends is freed with it. */
static void test_destroy(void **state)
{
	create(2 * M2, 0);
	assert_int_equal(backing_punch(b, 0, M2), 0);
	assert_int_equal(stage(0, 1), 0);
	assert_int_equal(fill(K4, 1), 0);
	assert_int_equal(fill(2 * K4, 1), 0);
	assert_int_equal(backing_punch(b, 2 * K4, K4), 0);
	destroy();
	create(2 * M2, BACKING_MISSING);
	assert_int_equal(stage(0, 1), 0);
	assert_int_equal(fill(M2, 1), 0);
	destroy();
}

/* --- the owner's view ------------------------------------------------------------------------ */

static void test_read_write(void **state)
{
	u8 buf[2 * K4 + 200];

	create(M2 + 3 * K4, 0);
	assert_int_equal(backing_read(b, 0, buf, 0), -EINVAL);
	assert_int_equal(backing_read(b, b->size, buf, 1), -EINVAL);
	assert_int_equal(backing_write(b, b->size - 1, buf, 2), -EINVAL);
	assert_int_equal(backing_read(b, 8, buf, ~0ull - 7), -EINVAL);
	assert_int_equal(backing_read(b, ~0ull, buf, 2), -EINVAL);
	memset(buf, 0x5a, sizeof(buf));
	assert_int_equal(backing_read(b, b->size - 1, buf, 1), 0);
	assert_int_equal(buf[0], 0);
	for (unsigned int i = 0; i < sizeof(buf); i++)
		buf[i] = (u8)(i * 7);
	assert_int_equal(backing_write(b, M2 - 100, buf, sizeof(buf)), 0);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(backing_read(b, M2 - 100, buf, sizeof(buf)), 0);
	for (unsigned int i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], (u8)(i * 7));
	assert_int_equal(backing_read(b, M2 - 101, buf, 2), 0);
	assert_int_equal(buf[0], 0);
	destroy();
	create(M2, 0);
	fake_page_fail(1);
	assert_int_equal(backing_write(b, 0, buf, 1), -ENOMEM);
	assert_int_equal(backing_write(b, 0, buf, 1), 0);
	assert_int_equal(atomic_load(&b->accesses), 0);
}

/* Up to the page that is missing. */
static void test_read_write_missing(void **state)
{
	u8 buf[3 * K4];

	create(M2, BACKING_MISSING);
	assert_int_equal(fill(0, 1), 0);
	assert_int_equal(fill(2 * K4, 3), 0);
	assert_int_equal(stage(K4, 2), 0);
	memset(buf, 0x5a, sizeof(buf));
	assert_int_equal(backing_read(b, 10, buf, sizeof(buf)), -EAGAIN);
	assert_int_equal(buf[K4 - 11], 1);
	assert_int_equal(buf[K4 - 10], 0x5a);
	memset(buf, 0x66, sizeof(buf));
	assert_int_equal(backing_write(b, K4 - 1, buf, 2), -EAGAIN);
	assert_int_equal(*((u8 *)phys_to_virt(frame(0)) + K4 - 1), 0x66);
	assert_int_equal(backing_publish(b, 0, 2), 1);
	expect_page(K4, 2);
	assert_int_equal(backing_write(b, K4 - 1, buf, 2), 0);
	assert_int_equal(*(u8 *)phys_to_virt(frame(K4)), 0x66);
	assert_int_equal(atomic_load(&b->accesses), 0);
}

/* By no VM's slots: neither their dirty logs nor their rights have a say. */
static void test_read_write_slots(void **state)
{
	u64 bits[512 / 64], value = 0x1234;

	create(M2, 0);
	show(SLOT_LOG_DIRTY);
	assert_int_equal(backing_write(b, 0, &value, 8), 0);
	value = 0;
	assert_int_equal(vm_read(vm, BASE, &value, 8), 0);
	assert_int_equal(value, 0x1234);
	memset(bits, 0, sizeof(bits));
	assert_int_equal(vm_dirty_read(vm, 9, bits, NULL), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++)
		assert_int_equal(bits[i], 0);
	hide();
	show(SLOT_READONLY);
	value = 0x99;
	assert_int_equal(backing_write(b, 8, &value, 8), 0);
	value = 0;
	assert_int_equal(vm_read(vm, BASE + 8, &value, 8), 0);
	assert_int_equal(value, 0x99);
	hide();
}

static unsigned int ended;

static void move_ends(void)
{
	assert_true(atomic_load(&b->moving));
	assert_int_equal(atomic_load(&b->accesses), 0);
	spin_lock(&b->lock);
	atomic_store(&b->moving, false);
	spin_unlock(&b->lock);
	wake_all(&b->moved);
	ended++;
}

/* Nobody is in there while pages are exchanged. */
static void test_read_write_while_moving(void **state)
{
	u8 byte = 3;

	create(M2, 0);
	fake_machine.on_block = move_ends;
	for (unsigned int i = 1; i <= 3; i++) {
		atomic_store(&b->moving, true);
		assert_int_equal(backing_write(b, 0, &byte, 1), 0);
		assert_int_equal(ended, 2 * i - 1);
		atomic_store(&b->moving, true);
		byte = 0;
		assert_int_equal(backing_read(b, 0, &byte, 1), 0);
		assert_int_equal(byte, 3);
		assert_int_equal(ended, 2 * i);
		assert_int_equal(atomic_load(&b->accesses), 0);
		assert_false(wait_queue_active(&b->moved));
	}
}

static void access_ends(void)
{
	assert_true(atomic_load(&b->moving));
	assert_true(atomic_load(&b->accesses) == 1);
	atomic_store(&b->accesses, 0);
	wake_all(&b->moved);
	ended++;
}

/* And a move begins when the last one has left. */
static void test_move_waits_for_accesses(void **state)
{
	create(M2, 0);
	expect_page(0, 0);
	fake_machine.on_block = access_ends;
	ended = 0;
	atomic_store(&b->accesses, 1);
	assert_int_equal(backing_move(b, 0, K4, 0xcc), 0);
	assert_int_equal(ended, 1);
	atomic_store(&b->accesses, 1);
	assert_int_equal(backing_punch(b, 0, K4), 0);
	assert_int_equal(ended, 2);
	assert_false(atomic_load(&b->moving));
	assert_false(wait_queue_active(&b->moved));
}

/* --- everything at random -------------------------------------------------------------------- */

#define PAGES (512 + 70)

enum { PRESENT, MISSING, STAGED };

static struct {
	u8 state, byte;
} model[PAGES];

static void random_publish(struct rng *r)
{
	u64 window = rng_below(r, (PAGES + 63) / 64) * 64, pages = rng_next(r);
	int n = 0;

	if (PAGES - window < 64)
		pages &= BIT(PAGES - window) - 1;
	for (u64 i = window; i < PAGES && i < window + 64; i++) {
		if (!(pages & BIT(i - window)) || model[i].state != STAGED)
			continue;
		model[i].state = PRESENT;
		n++;
	}
	assert_int_equal(backing_publish(b, window * K4, pages), n);
}

static void random_bring(struct rng *r, u64 page, bool staged)
{
	u8 byte = (u8)rng_next(r);
	int err = staged ? stage(page * K4, byte) : fill(page * K4, byte);

	assert_int_equal(err, model[page].state == PRESENT ? -EEXIST : 0);
	if (err)
		return;
	model[page].state = staged ? STAGED : PRESENT;
	model[page].byte = byte;
}

/* Returns whether one of them is missing. */
static bool any_missing(u64 first, u64 n)
{
	for (u64 i = first; i < first + n; i++)
		if (model[i].state != PRESENT)
			return true;
	return false;
}

static void random_write(struct rng *r, u64 first, u64 n)
{
	u8 byte = (u8)rng_next(r);
	u8 buf[9 * K4];

	memset(buf, byte, sizeof(buf));
	assert_int_equal(backing_write(b, first * K4, buf, n * K4),
			 any_missing(first, n) ? -EAGAIN : 0);
	for (u64 i = first; i < first + n && model[i].state == PRESENT; i++)
		model[i].byte = byte;
}

static void random_step(struct rng *r)
{
	u64 first = rng_below(r, PAGES), n = min_u64(1 + rng_below(r, 9), PAGES - first);
	int err;

	switch (rng_below(r, 8)) {
	case 0:
		assert_int_equal(backing_punch(b, first * K4, n * K4), 0);
		for (u64 i = first; i < first + n; i++)
			if (model[i].state == PRESENT)
				model[i].state = MISSING;
		break;
	case 1:
		err = backing_move(b, first * K4, n * K4, 0xcc);
		assert_int_equal(err, any_missing(first, n) ? -EAGAIN : 0);
		break;
	case 2:
	case 3: random_bring(r, first, true); break;
	case 4:
	case 5: random_bring(r, first, false); break;
	case 6: random_publish(r); break;
	default: random_write(r, first, n); break;
	}
}

static void test_random(void **state)
{
	for (unsigned int round = 0; round < 8; round++) {
		struct rng r;

		rng_init(&r, round, 0);
		create(PAGES * K4, round & 1 ? BACKING_MISSING : 0);
		for (unsigned int i = 0; i < PAGES; i++) {
			model[i].state = round & 1 ? MISSING : PRESENT;
			model[i].byte = 0;
		}
		show(round & 2 ? SLOT_EXIT_ON_MISSING : 0);
		for (unsigned int i = 0; i < 1500; i++)
			random_step(&r);
		for (u64 i = 0; i < PAGES; i++) {
			assert_int_equal(is_missing(i * K4), model[i].state != PRESENT);
			if (model[i].state == PRESENT)
				expect_page(i * K4, model[i].byte);
		}
		hide();
		if (round & 1)
			assert_int_equal(fake_machine.pages_live,
					 live + 2 * 2 + 512 + (BIT(page_order(70 * K4))));
		destroy();
		teardown(NULL);
		setup(NULL);
	}
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create),
		TEST(test_frames_stay),
		TEST(test_moved_frames_stay),
		TEST(test_fill_without_memory),
		TEST(test_fill),
		TEST(test_two_fillers),
		TEST(test_beside_a_filler),
		TEST(test_seen_whole),
		TEST(test_stage),
		TEST(test_publish_bounds),
		TEST(test_punch_and_publish),
		TEST(test_destroy),
		TEST(test_read_write),
		TEST(test_read_write_missing),
		TEST(test_read_write_slots),
		TEST(test_read_write_while_moving),
		TEST(test_move_waits_for_accesses),
		TEST(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
