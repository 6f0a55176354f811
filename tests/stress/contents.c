/* SPDX-License-Identifier: GPL-2.0-only */
/* See contents.h. */
#include "tests/stress/contents.h"

#include <stdatomic.h>
#include <string.h>

#include "tests/stress/stress.h"

#define GENERATIONS 65536
#define WORDS	    512
#define HALVES	    2

typedef unsigned long long llu;

/* A generation's life; written by several threads. */
static struct {
	_Atomic u8 page;
	_Atomic bool won, lost, seen;
	_Atomic u32 gone; /* when it was taken away: the value of `gone` then; 0: it was not */
} life[GENERATIONS];

static _Atomic u32 newest, gone;
static _Atomic u32 taken[CONTENTS_PAGES];
static _Atomic u32 present[CONTENTS_PAGES];			    /* 1 + contents_taken(), or 0 */
static u32 leaving[CONTENTS_PAGES][64], nr_leaving[CONTENTS_PAGES]; /* between take and gone */

/* What a user knows of a page: its own, nobody else looks. */
struct word {
	u64 value;   /* that it has written, or found first */
	u64 perhaps; /* 0: no. Else a write that may have met these contents or those before */
	bool unsure; /* the page may have been replaced before it was written */
};

struct knowledge {
	u64 generation;
	u32 taken; /* before that was found the last time */
	struct word word[HALVES];
	u32 count;
};

static struct knowledge knowledge[CONTENTS_USERS][CONTENTS_PAGES];
static u8 left_behind[CONTENTS_USERS][GENERATIONS];

#define GET(x)	      atomic_load_explicit(&(x), memory_order_relaxed)
#define SET(x, value) atomic_store_explicit(&(x), value, memory_order_relaxed)
#define ADD(x)	      (atomic_fetch_add_explicit(&(x), 1, memory_order_relaxed) + 1)

void contents_reset(void)
{
	u32 used = GET(newest) + 1;

	memset((void *)life, 0, used * sizeof(life[0]));
	for (unsigned int u = 0; u < CONTENTS_USERS; u++)
		memset(left_behind[u], 0, used);
	memset(knowledge, 0, sizeof(knowledge));
	SET(newest, 0);
	SET(gone, 0);
	for (unsigned int i = 0; i < CONTENTS_PAGES; i++) {
		SET(taken[i], 0);
		SET(present[i], 0);
	}
}

u64 contents_new(unsigned int page, u64 *data)
{
	u32 g = ADD(newest);

	stress_check(g < GENERATIONS, "more generations than there is room for");
	SET(life[g].page, (u8)page);
	for (unsigned int i = 0; i < WORDS; i++)
		data[i] = (u64)g << 16;
	return g;
}

void contents_brought(unsigned int page, u64 generation, u32 since, bool won, bool there)
{
	if (won)
		SET(life[generation].won, true);
	else
		SET(life[generation].lost, true);
	if (there && !(since & 1))
		SET(present[page], since + 1);
}

void contents_take(unsigned int page)
{
	u32 n = 0;

	ADD(taken[page]);
	for (u32 g = 1; g <= GET(newest); g++)
		if (GET(life[g].page) == page && GET(life[g].won) && !GET(life[g].gone) &&
		    n < ARRAY_SIZE(leaving[page]))
			leaving[page][n++] = g;
	nr_leaving[page] = n;
}

void contents_gone(unsigned int page)
{
	for (u32 i = 0; i < nr_leaving[page]; i++)
		SET(life[leaving[page][i]].gone, GET(gone) + 1);
	ADD(gone);
	ADD(taken[page]);
}

u32 contents_taken(unsigned int page)
{
	return GET(taken[page]);
}

bool contents_present(unsigned int page)
{
	return GET(present[page]) == GET(taken[page]) + 1;
}

u32 contents_gone_count(void)
{
	return GET(gone);
}

/* --- looking --------------------------------------------------------------------------------- */

/* What somebody has found who began when @since was the count of what had gone. */
static void expect_current(unsigned int page, u64 value, u32 since, const char *who)
{
	u64 g = value >> 16;
	u32 left;

	stress_check(g && g <= GET(newest) && GET(life[g].page) == page,
		     "%s finds %#llx in page %u, which nobody has brought there", who, (llu)value,
		     page);
	left = GET(life[g].gone);
	stress_check(!left || left > since, "%s finds %#llx in page %u, which was taken away", who,
		     (llu)value, page);
	SET(life[g].seen, true);
}

void contents_begin(struct contents_access *a, unsigned int user, unsigned int page)
{
	struct knowledge *k = &knowledge[user][page];
	unsigned int half = (unsigned int)stress_random(HALVES);

	a->user = user;
	a->page = page;
	a->offset = 8 * (half ? WORDS - 1 - user : user);
	/* One of the two words stays what tells which contents these are. */
	a->write = k->generation && !k->word[!half].unsure && stress_random(2);
	if (a->write)
		a->value = k->generation << 16 | (++k->count & 0xffff);
	a->taken = GET(taken[page]);
	a->gone = GET(gone);
}

static void end_write(struct knowledge *k, struct word *w, struct contents_access *a)
{
	u32 now = GET(taken[a->page]);

	w->value = a->value;
	w->perhaps = 0;
	w->unsure = now != k->taken || now & 1;
}

/* The page has been replaced since the user looked the last time. */
static void look_anew(struct knowledge *k, struct contents_access *a, u64 generation)
{
	stress_check(!left_behind[a->user][generation],
		     "user %u finds generation %llu in page %u again", a->user, (llu)generation,
		     a->page);
	left_behind[a->user][k->generation] = k->generation != 0;
	k->generation = generation;
	for (unsigned int h = 0; h < HALVES; h++) {
		struct word *w = &k->word[h];

		w->perhaps = w->unsure ? w->value : 0;
		w->value = generation << 16;
		w->unsure = false;
	}
}

void contents_end(struct contents_access *a, u64 value)
{
	struct knowledge *k = &knowledge[a->user][a->page];
	struct word *w = &k->word[a->offset >= 8 * WORDS / 2];

	if (a->write) {
		end_write(k, w, a);
		return;
	}
	if (w->perhaps && value == w->perhaps)
		w->value = w->perhaps;
	/* It has met newer contents than it knew of: of these it says nothing. */
	if (value == w->value && (w->unsure || value >> 16 != k->generation))
		return;
	expect_current(a->page, value, a->gone, "a user");
	if (value >> 16 != k->generation)
		look_anew(k, a, value >> 16);
	stress_check(value == w->value, "user %u finds %#llx in page %u after %#llx", a->user,
		     (llu)value, a->page, (llu)w->value);
	w->perhaps = 0;
	k->taken = a->taken;
}

void contents_whole(unsigned int page, const u64 *data, u32 since)
{
	expect_current(page, data[0], since, "a reader");
	for (unsigned int i = 1; i < CONTENTS_MIDDLE / 8; i++)
		stress_check(data[i] == data[0], "a reader finds %#llx and %#llx in page %u",
			     (llu)data[0], (llu)data[i], page);
}

void contents_check_losers(void)
{
	for (u32 g = 1; g <= GET(newest); g++)
		stress_check(!GET(life[g].lost) || !GET(life[g].seen),
			     "what was brought to page %u in vain has been seen there",
			     GET(life[g].page));
}
