/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "tests/unit/fake_pages.h"

#define POISON 0x6b /* as a table entry: present and malformed */

u64 direct_map_base;
struct fake_page *fake_pages;
u64 fake_pages_live;

static unsigned int fail_countdown;

void fake_page_fail(unsigned int n)
{
	fail_countdown = n;
}

bool fake_page_will_fail(void)
{
	return fail_countdown;
}

void *page_alloc(unsigned int order, unsigned int flags)
{
	struct fake_page *p;

	assert_int_equal(order, 0);
	if (fail_countdown && !--fail_countdown)
		return NULL;
	p = aligned_alloc(PAGE_SIZE, ALIGN_UP(sizeof(*p), PAGE_SIZE));
	assert_non_null(p);
	memset(p->content, flags & PAGE_ZERO ? 0 : POISON, PAGE_SIZE);
	p->live = true;
	p->mark = p->known = false;
	p->next = fake_pages;
	fake_pages = p;
	fake_pages_live++;
	return p->content;
}

void page_free(void *page, unsigned int order)
{
	struct fake_page *p = page;

	if (!p)
		return;
	assert_int_equal(order, 0);
	assert_true(p->live);
	memset(p->content, POISON, PAGE_SIZE);
	p->live = false;
	p->mark = false;
	fake_pages_live--;
}

void fake_pages_reset(void)
{
	while (fake_pages) {
		struct fake_page *p = fake_pages;

		fake_pages = p->next;
		free(p);
	}
	fake_pages_live = 0;
	fail_countdown = 0;
}
