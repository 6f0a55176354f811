/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages that are brought and taken away, with contents (contents.h) that tell what may be found in
 * them: PAGER_PAGES that can be missing in a backing, and as many that a bitmap hides in another.
 */
#ifndef TESTS_STRESS_PAGER_H
#define TESTS_STRESS_PAGER_H

#include "hv/vm/backing.h"
#include "hv/vm/userfault.h"
#include "tests/stress/contents.h"

#define PAGER_PAGES   (CONTENTS_PAGES / 2)
#define PAGER_MISSING (PAGER_PAGES * PAGE_SIZE) /* size of the backing */
#define PAGER_HIDDEN  MIB(2)

struct pager {
	struct backing *missing, *hidden;
	struct userfault *bitmap;
	_Atomic u64 in_vain, published, shown; /* over all runs */
};

extern struct pager pager;

void pager_make(void);
void pager_end(void);

/** page_is_hidden - whether the bitmap is what hides it: the others come first. */
bool page_is_hidden(unsigned int page);

/** page_offset - in its backing; hidden ones are spread over what one leaf could map. */
u64 page_offset(unsigned int page);

/** page_bring - fill it, or show it. Any thread. */
void page_bring(unsigned int page);

/** page_fill - the same for one that can be missing. Returns whether it was. */
bool page_fill(unsigned int page);

/** page_stage - fill it by sending it ahead and publishing it; one thread. */
void page_stage(unsigned int page);

/** page_punch - make pages missing. One thread. */
void page_punch(unsigned int from, unsigned int n);

void page_hide(unsigned int page);
void page_move(unsigned int page);

#endif
