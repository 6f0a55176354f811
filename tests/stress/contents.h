/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What pages contain that come and go: whether what somebody finds in one can be there.
 *
 * Each attempt to bring a page has a generation of its own: a number that is never used again, with
 * which the whole page is filled. Each user has two words in each page, far apart, that nobody else
 * writes; it writes the generation that it has found and a count. So whoever finds in a word what
 * was taken away before, what was never brought, half of a page, or that a fill has overwritten
 * what it wrote, knows.
 *
 * Nothing here orders anything for the sanitizer: that is left to what is tested.
 */
#ifndef TESTS_STRESS_CONTENTS_H
#define TESTS_STRESS_CONTENTS_H

#include "hv/host/types.h"

#define CONTENTS_PAGES 8
#define CONTENTS_USERS 8

/** contents_reset - all pages are gone. */
void contents_reset(void);

/** contents_new - fill @data, of 4096 bytes, with a new generation for a page, and return that. */
u64 contents_new(unsigned int page, u64 *data);

/**
 * contents_brought - how the attempt with a generation has ended
 * @since: contents_taken() before it began
 * @present: the page was present when it had ended, with these contents or (!@won) others
 */
void contents_brought(unsigned int page, u64 generation, u32 since, bool won, bool present);

/** contents_take, contents_gone - before a page is taken away, and after that. One at a time for a
 * page. */
void contents_take(unsigned int page);
void contents_gone(unsigned int page);

/** contents_taken - a number that changes when a page begins to be taken away, and at the end. */
u32 contents_taken(unsigned int page);

/** contents_present - whether the page has been there for as long as contents_taken() is what it
 * is. */
bool contents_present(unsigned int page);

struct contents_access {
	unsigned int user, page;
	u32 offset; /* of the word in the page */
	bool write;
	u64 value; /* to be written */
	/* What was known when it began. */
	u32 taken, gone;
};

/** contents_begin - choose an access of @user to one of its words of @page. */
void contents_begin(struct contents_access *a, unsigned int user, unsigned int page);

/** contents_end - it has happened. @value: what was found, when not a->write. */
void contents_end(struct contents_access *a, u64 value);

/**
 * contents_whole - whether somebody who is no user can have found this
 * @data: the part of the page that no user writes
 * @gone: contents_gone_count() before
 */
#define CONTENTS_FROM	(8 * CONTENTS_USERS)
#define CONTENTS_MIDDLE (4096 - 2 * CONTENTS_FROM)
void contents_whole(unsigned int page, const u64 *data, u32 gone);
u32 contents_gone_count(void);

/** contents_check_losers - nobody has seen contents whose attempt said that they were not used. */
void contents_check_losers(void);

#endif
