/* SPDX-License-Identifier: GPL-2.0-only */
/* See pager.h. */
#include "tests/stress/pager.h"

#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "tests/stress/stress.h"

struct pager pager;

static _Atomic u32 page_lock[PAGER_PAGES]; /* of hidden pages: who resolves or hides one */

void pager_make(void)
{
	stress_check(!backing_create(&pager.missing, PAGER_MISSING, BACKING_MISSING) &&
			     !backing_create(&pager.hidden, PAGER_HIDDEN, 0) &&
			     !backing_populate(pager.hidden) &&
			     !userfault_create(&pager.bitmap, pager.hidden, false),
		     "no memory");
	for (unsigned int i = PAGER_PAGES; i < 2 * PAGER_PAGES; i++)
		stress_check(!userfault_set(pager.bitmap, page_offset(i), PAGE_SIZE),
			     "userfault_set()");
}

void pager_end(void)
{
	userfault_put(pager.bitmap);
	backing_put(pager.hidden);
	backing_put(pager.missing);
}

bool page_is_hidden(unsigned int page)
{
	return page >= PAGER_PAGES;
}

u64 page_offset(unsigned int page)
{
	static const u64 spread[PAGER_PAGES] = { 0, PAGE_SIZE, 100 * PAGE_SIZE, 511 * PAGE_SIZE };

	return page_is_hidden(page) ? spread[page - PAGER_PAGES] : page * PAGE_SIZE;
}

/* --- bringing -------------------------------------------------------------------------------- */

bool page_fill(unsigned int page)
{
	u64 data[PAGE_SIZE / 8];
	u64 g = contents_new(page, data);
	u32 since = contents_taken(page);
	int err = backing_fill(pager.missing, page_offset(page), data);

	stress_check(!err || err == -EEXIST, "backing_fill(): %d", err);
	atomic_fetch_add(&pager.in_vain, err == -EEXIST);
	contents_brought(page, g, since, !err, true);
	return !err;
}

/* Sent ahead, and then made present; by one thread, or nobody could say which contents these are.
 */
void page_stage(unsigned int page)
{
	u64 data[PAGE_SIZE / 8];
	u64 g = contents_new(page, data);
	u32 since = contents_taken(page);
	int err = backing_stage(pager.missing, page_offset(page), data), n;

	stress_check(!err || err == -EEXIST, "backing_stage(): %d", err);
	spin_ticks(stress_random(300));
	if (err) {
		contents_brought(page, g, since, false, true);
		return;
	}
	n = backing_publish(pager.missing, 0, BIT(page));
	stress_check(n == 0 || n == 1, "backing_publish(): %d", n);
	atomic_fetch_add(&pager.published, (u64)n);
	contents_brought(page, g, since, n, n);
}

static bool try_page_lock(unsigned int page)
{
	return !atomic_exchange(&page_lock[page - PAGER_PAGES], 1);
}

static void lock_page(unsigned int page)
{
	while (!try_page_lock(page))
		cpu_relax();
}

static void unlock_page(unsigned int page)
{
	atomic_store_explicit(&page_lock[page - PAGER_PAGES], 0, memory_order_release);
}

/* A hidden page is written in two steps, then shown. */
static void show(unsigned int page)
{
	u64 data[PAGE_SIZE / 8], offset = page_offset(page);

	lock_page(page);
	if (userfault_hides(pager.bitmap, offset)) {
		u64 g = contents_new(page, data);
		u32 since = contents_taken(page);

		stress_check(!backing_write(pager.hidden, offset, data, PAGE_SIZE / 2),
			     "backing_write()");
		stress_point();
		stress_check(!backing_write(pager.hidden, offset + PAGE_SIZE / 2,
					    (u8 *)data + PAGE_SIZE / 2, PAGE_SIZE / 2),
			     "backing_write()");
		userfault_clear_page(pager.bitmap, offset);
		atomic_fetch_add(&pager.shown, 1);
		contents_brought(page, g, since, true, true);
	}
	unlock_page(page);
}

void page_bring(unsigned int page)
{
	if (page_is_hidden(page))
		show(page);
	else
		page_fill(page);
}

/* --- taking away ----------------------------------------------------------------------------- */

void page_punch(unsigned int from, unsigned int n)
{
	int err;

	for (unsigned int i = from; i < from + n; i++)
		contents_take(i);
	err = backing_punch(pager.missing, page_offset(from), n * PAGE_SIZE);
	stress_check(!err, "backing_punch(): %d", err);
	for (unsigned int i = from; i < from + n; i++)
		contents_gone(i);
}

void page_hide(unsigned int page)
{
	int err;

	lock_page(page);
	contents_take(page);
	err = userfault_set(pager.bitmap, page_offset(page), PAGE_SIZE);
	stress_check(!err, "userfault_set(): %d", err);
	contents_gone(page);
	unlock_page(page);
}

void page_move(unsigned int page)
{
	struct backing *b = page_is_hidden(page) ? pager.hidden : pager.missing;
	int err = backing_move(b, page_offset(page), PAGE_SIZE, 0xee);

	stress_check(!err || (err == -EAGAIN && b == pager.missing), "backing_move(): %d", err);
}
