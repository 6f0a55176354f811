/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What any image format comes down to: pieces of a file that go to places in guest RAM, and an
 * entry point. The parsers (elf.c, multiboot.c) fill in a plan; this file judges and carries it
 * out.
 */
#ifndef HV_DEV_LOAD_H
#define HV_DEV_LOAD_H

#include "hv/host/types.h"

struct vm;

#define LOAD_MAX_SEGMENTS 16

/* One line for the user, without a newline, that says what is wrong with the input. */
struct load_error {
	char text[160];
};

struct load_segment {
	u64 offset; /* into the file */
	u64 filesz; /* bytes copied from there */
	gpa_t gpa;  /* to here */
	u64 memsz;  /* >= filesz; the rest is zeroed */
};

struct load_plan {
	unsigned int nr_segments;
	struct load_segment segment[LOAD_MAX_SEGMENTS];
	gpa_t entry;
};

/**
 * load_fail - write the line for the user
 * @err: where to; NULL is allowed
 * @code: negative errno value
 *
 * Returns @code, so that a parser can `return load_fail(...)`. A line that does not fit ends in
 * "...".
 */
int load_fail(struct load_error *err, int code, const char *fmt, ...) __printf(3, 4);

/**
 * load_check - judge where a plan puts its segments
 * @plan: a parser's plan: its file ranges and sums are already known to be sound
 * @ram: bytes of guest RAM
 * @err: gets the line for the user
 *
 * Pure. Returns 0; -EFAULT when a segment or the entry point is not in RAM as guest_memmap() shows
 * it to the guest; -EINVAL when two segments overlap or nothing is loaded.
 */
int load_check(const struct load_plan *plan, u64 ram, struct load_error *err);

/**
 * load_apply - copy and zero
 * @vm: guest that is not running
 * @plan: passed load_check() with this guest's RAM size
 * @file: the file that the plan was made from
 * @err: gets the line for the user
 *
 * Returns 0, or the error of the guest memory that could not be written (-EFAULT, -ENOMEM).
 */
int load_apply(struct vm *vm, const struct load_plan *plan, const void *file,
	       struct load_error *err);

/** load_end - the first address above all segments. */
gpa_t load_end(const struct load_plan *plan);

/**
 * load_place_above, load_place_below - find room beside the segments
 * @plan: the segments to stay clear of
 * @size: bytes wanted, at least 1
 * @align: power of two
 * @from, @to: the range to search
 * @out: the lowest (above) or highest (below) aligned address that fits
 *
 * Pure. Returns 0 or -ENOSPC.
 */
int load_place_above(const struct load_plan *plan, u64 size, u64 align, gpa_t from, gpa_t to,
		     gpa_t *out);
int load_place_below(const struct load_plan *plan, u64 size, u64 align, gpa_t from, gpa_t to,
		     gpa_t *out);

#endif
