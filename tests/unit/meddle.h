/* SPDX-License-Identifier: GPL-2.0-only */
/* What others do meanwhile: something that happens wherever the code under test could be overtaken.
 */
#ifndef TESTS_UNIT_MEDDLE_H
#define TESTS_UNIT_MEDDLE_H

#include "hv/host/chaos.h"
#include "tests/unit/fake_machine.h"

static unsigned int meddled; /* times @how() has done so, which counts them */

/** meddle - from now on chaos, by @seed, calls @how() where it would wait */
static inline void meddle(u64 seed, void (*how)(void))
{
	chaos_init(seed);
	meddled = 0;
	fake_machine.on_spin = how;
}

static inline void no_more(void)
{
	chaos_off();
	fake_machine.on_spin = NULL;
}

#endif
