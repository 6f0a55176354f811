/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Test results as KTAP version 1, one nested list per experiment:
 *
 *	KTAP version 1
 *	1..2
 *	  KTAP version 1
 *	  # Subtest: exits
 *	  ok 1 cpuid returns the table
 *	  not ok 2 port I/O reaches the VMM
 *	  # expected 5, got 4 (lab/exits.c:77)
 *	  1..2
 *	not ok 1 exits
 *	ok 2 memory # SKIP needs EPT (secondary control bit 1)
 */
#ifndef HV_HOST_KTAP_H
#define HV_HOST_KTAP_H

#include "hv/host/types.h"

/** ktap_begin - start a run of @suites nested lists. */
void ktap_begin(unsigned int suites);

/** ktap_suite_begin, ktap_suite_end - one nested list. @name: the experiment. */
void ktap_suite_begin(const char *name);
void ktap_suite_end(void);

/** ktap_suite_skip - a whole list that cannot run here; @why names the missing capability. */
void ktap_suite_skip(const char *name, const char *why);

/** ktap_result - one result line. @name: the behaviour, in words. Thread context, one CPU at a
 * time. */
void ktap_result(bool ok, const char *fmt, ...) __printf(2, 3);
void ktap_skip(const char *why, const char *fmt, ...) __printf(2, 3);

/** ktap_note - a diagnostic line ("# ...") inside the current list. */
void ktap_note(const char *fmt, ...) __printf(1, 2);

/* Expect equality and say both values when it fails. @name is a string literal. */
#define ktap_expect_eq(got, want, name)                                                            \
	do {                                                                                       \
		u64 got_ = (u64)(got), want_ = (u64)(want);                                        \
		ktap_result(got_ == want_, "%s", name);                                            \
		if (got_ != want_)                                                                 \
			ktap_note("expected %#llx, got %#llx (%s:%d)", (unsigned long long)want_,  \
				  (unsigned long long)got_, __FILE__, __LINE__);                   \
	} while (0)

/* Totals of the run so far. */
unsigned int ktap_passed(void);
unsigned int ktap_failed(void);
unsigned int ktap_skipped(void);

#endif
