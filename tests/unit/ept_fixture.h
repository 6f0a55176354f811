/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Extended page tables under observation. After each store to a linked table the whole of memory
 * must again be a legal table in which every address has its old or its new translation, with
 * nothing changed behind the hooks' back; before each store the test plays hardware and sets
 * accessed and dirty bits.
 */
#ifndef TESTS_UNIT_EPT_FIXTURE_H
#define TESTS_UNIT_EPT_FIXTURE_H

#include "hv/host/random.h"
#include "tests/unit/ept_view.h"
#include "tests/unit/fake_pages.h"
#include "vmx/controls.h"
#include "vmx/ept_internal.h"

#define CAPS_ALL                                                                                   \
	(EPT_CAP_EXEC_ONLY | EPT_CAP_WALK_4 | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_1G | EPT_CAP_AD)
#define K4 EPT_SIZE_4K
#define M2 EPT_SIZE_2M
#define G1 EPT_SIZE_1G

extern struct ept ept;
extern struct ept_view now; /* what was read last */
extern unsigned int stores; /* of the operation; that change what a linked table means */

extern struct rng hw_rng; /* hardware's choices */
extern bool hw_plays;	  /* also before stores */
extern size_t nr_written; /* pages that a CPU has written to through the table */

enum op_kind { MAP, UNMAP, PROTECT, LOG, REARM, MAP_PAGE };

struct op {
	enum op_kind kind;
	gpa_t gpa;
	u64 len; /* of MAP: the leaf's size; of REARM: which pages; of MAP_PAGE: K4 */
	hpa_t hpa;
	unsigned int prot; /* of LOG and REARM: how */
};

/** checked - run @op with every check. Returns what it returned. */
int checked(const struct op *op);

void must(int expected, const struct op op);
#define MUST(expected, ...) must(expected, (struct op){ __VA_ARGS__ })

/** hw_access - the leaf that translates @gpa is used, as hardware would: the table entries above it
 * too. */
void hw_access(gpa_t gpa);

/** read_now - fill `now` from the tables; linked() also returns how many tables CPUs can reach. */
void read_now(void);
u64 linked(void);

/** check_books - pages that hold tables, wherever they are, or list nodes: all there are. */
void check_books(void);

u64 free_unlinked(void);

/** look - ept_lookup(), which is to return @expected */
struct ept_mapping look(gpa_t gpa, int expected);

/** start_with - an empty table for a CPU with @caps; setup() has CAPS_ALL */
void start_with(u64 caps);
int setup(void **state);
int teardown(void **state);

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

#endif
