/* SPDX-License-Identifier: GPL-2.0-only */
/* A page allocator (order 0) that can fail on demand and knows which pages are in use. */
#ifndef TESTS_UNIT_FAKE_PAGES_H
#define TESTS_UNIT_FAKE_PAGES_H

#include "hv/host/types.h"

/* Freed pages are poisoned and not handed out again before fake_pages_reset(). */
struct fake_page {
	u64 content[512]; /* what page_alloc() returns a pointer to */
	u64 copy[512];	  /* for the test's use */
	bool live;
	bool mark, known; /* for the test's use; false in a new page */
	struct fake_page *next;
};

extern struct fake_page *fake_pages; /* all since the last reset, freed ones too */
extern u64 fake_pages_live;

/* The @n-th allocation from now fails, once; 0: none. */
void fake_page_fail(unsigned int n);

/* Whether the failure asked for is still to come. */
bool fake_page_will_fail(void);

/* Take all pages back, whether freed or not. */
void fake_pages_reset(void);

#endif
