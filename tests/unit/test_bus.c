/* SPDX-License-Identifier: GPL-2.0-only */
/* The bus: who gets an access, how wide ones are split, what nobody claims. */
/* link: hv/dev/bus.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "hv/dev/bus.h"
#include "hv/host/errno.h"
#include "hv/host/string.h"

/* A device that logs what it sees and answers reads with its offset. */
static char journal[512];

static void note(const char *what, void *dev, u64 offset, u8 size, u64 value)
{
	size_t used = strlen(journal);

	snprintf(journal + used, sizeof(journal) - used, "%s%s%lu+%u:%lx ", (char *)dev, what,
		 offset, size, value);
}

static u64 log_read(void *dev, u64 offset, u8 size)
{
	note("r", dev, offset, size, 0);
	return 0xfedcba9876543200 + offset; /* more bits than asked for */
}

static void log_write(void *dev, u64 offset, u8 size, u64 value)
{
	note("w", dev, offset, size, value);
}

static const char *seen(void)
{
	static char copy[sizeof(journal)];

	memcpy(copy, journal, sizeof(copy));
	journal[0] = '\0';
	return copy;
}

static const struct bus_ops bytes = { .sizes = 1, .read = log_read, .write = log_write };
static const struct bus_ops words = { .sizes = 1 | 2, .read = log_read, .write = log_write };
static const struct bus_ops dwords_only = { .sizes = 4, .read = log_read, .write = log_write };
static const struct bus_ops any = { .sizes = 1 | 2 | 4 | 8, .read = log_read, .write = log_write };
static const struct bus_ops silent = { .sizes = 1 };

static void test_add(void **state)
{
	struct bus bus = { 0 };

	assert_int_equal(bus_add(&bus, 0x20, 2, &bytes, "a"), 0);
	assert_int_equal(bus_add(&bus, 0x10, 0x10, &bytes, "b"), 0);
	assert_int_equal(bus_add(&bus, 0x22, 1, &bytes, "c"), 0);
	assert_int_equal(bus_add(&bus, 0x21, 1, &bytes, "d"), -EEXIST);
	assert_int_equal(bus_add(&bus, 0x0, 0x11, &bytes, "d"), -EEXIST);
	assert_int_equal(bus_add(&bus, 0x0, 0x100, &bytes, "d"), -EEXIST);
	assert_int_equal(bus_add(&bus, 0x50, 0, &bytes, "d"), -EINVAL);
	assert_int_equal(bus_add(&bus, UINT64_MAX, 2, &bytes, "d"), -EINVAL);
	assert_int_equal(bus.nr_ranges, 3);
	for (u64 at = 0x1000; bus.nr_ranges < BUS_MAX_RANGES; at += 2)
		assert_int_equal(bus_add(&bus, at, 1, &bytes, "e"), 0);
	assert_int_equal(bus_add(&bus, 0x50, 1, &bytes, "f"), -ENOSPC);

	bus_read(&bus, 0x10, 1);
	bus_read(&bus, 0x1f, 1);
	bus_read(&bus, 0x20, 1);
	bus_read(&bus, 0x22, 1);
	assert_string_equal(seen(), "br0+1:0 br15+1:0 ar0+1:0 cr0+1:0 ");
}

static void test_sizes(void **state)
{
	struct bus bus = { 0 };

	bus_add(&bus, 0x10, 8, &any, "a");
	bus_add(&bus, 0x20, 8, &bytes, "b");
	bus_add(&bus, 0x30, 8, &words, "w");

	assert_int_equal(bus_read(&bus, 0x11, 1), 0x01);
	assert_int_equal(bus_read(&bus, 0x10, 2), 0x3200);
	assert_int_equal(bus_read(&bus, 0x12, 4), 0x76543202);
	assert_int_equal(bus_read(&bus, 0x10, 8), 0xfedcba9876543200);
	assert_string_equal(seen(), "ar1+1:0 ar0+2:0 ar2+4:0 ar0+8:0 ");

	assert_int_equal(bus_read(&bus, 0x22, 4), 0x05040302);
	assert_string_equal(seen(), "br2+1:0 br3+1:0 br4+1:0 br5+1:0 ");
	bus_write(&bus, 0x30, 4, 0xffffffff11223344);
	assert_string_equal(seen(), "ww0+2:3344 ww2+2:1122 ");
	bus_write(&bus, 0x10, 2, 0xabcd1234);
	assert_string_equal(seen(), "aw0+2:1234 ");
	assert_int_equal(bus.nr_unclaimed, 0);
}

static void test_across_the_end(void **state)
{
	struct bus bus = { 0 };

	bus_add(&bus, 0x10, 3, &any, "a");
	bus_add(&bus, 0x14, 1, &any, "b");
	assert_int_equal(bus_read(&bus, 0x11, 4), 0xff3201 | 0x00000000 | (u64)0 << 24);
	assert_string_equal(seen(), "ar1+2:0 br0+1:0 ");
	assert_int_equal(bus.nr_unclaimed, 1);
	assert_int_equal(bus.unclaimed, 0x13);
	bus_write(&bus, 0xf, 2, 0x1234);
	assert_string_equal(seen(), "aw0+1:12 ");
	assert_int_equal(bus.nr_unclaimed, 2);
}

static void test_unclaimed(void **state)
{
	struct bus bus = { 0 };

	assert_int_equal(bus_read(&bus, 0x1234, 1), 0xff);
	assert_int_equal(bus_read(&bus, 0x1234, 2), 0xffff);
	assert_int_equal(bus_read(&bus, 0x1234, 4), 0xffffffff);
	assert_int_equal(bus_read(&bus, 0x1234, 8), UINT64_MAX);
	bus_write(&bus, 0x99, 4, 1);
	assert_int_equal(bus.nr_unclaimed, 5); /* accesses, not bytes */
	assert_int_equal(bus.unclaimed, 0x1234);

	/* The ends of the address space. */
	assert_int_equal(bus_read(&bus, UINT64_MAX, 8), UINT64_MAX);
	bus_add(&bus, UINT64_MAX - 4, 4, &any, "t");
	assert_int_equal(bus_read(&bus, UINT64_MAX - 4, 4), 0x76543200);
	bus_read(&bus, UINT64_MAX - 1, 8);
	bus_read(&bus, UINT64_MAX, 2);
	seen();
}

/* A device that takes only wide accesses is not there for narrow ones. */
static void test_narrow_refused(void **state)
{
	struct bus bus = { 0 };

	bus_add(&bus, 0x10, 4, &dwords_only, "d");
	assert_int_equal(bus_read(&bus, 0x10, 1), 0xff);
	bus_write(&bus, 0x10, 2, 7);
	assert_string_equal(seen(), "");
	bus_write(&bus, 0x10, 4, 7);
	assert_string_equal(seen(), "dw0+4:7 ");
}

static void test_silent(void **state)
{
	struct bus bus = { 0 };

	bus_add(&bus, 0x80, 1, &silent, NULL);
	assert_int_equal(bus_read(&bus, 0x80, 1), 0xff);
	bus_write(&bus, 0x80, 1, 7);
	assert_int_equal(bus.nr_unclaimed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_across_the_end),
		cmocka_unit_test(test_unclaimed),
		cmocka_unit_test(test_narrow_refused),
		cmocka_unit_test(test_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
