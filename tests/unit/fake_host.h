/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a test of the upper rooms needs of hv/host, without its threads and pages: a console that is
 * a buffer, locks that check their use on one thread, memory from libc.
 */
#ifndef TESTS_UNIT_FAKE_HOST_H
#define TESTS_UNIT_FAKE_HOST_H

#include "hv/host/types.h"

/** fake_console_take - everything printed since the last call; valid until the next one. */
const char *fake_console_take(void);

/** fake_alloc_fail - let the @n-th kzalloc() from now fail (1: the next); 0: none. */
void fake_alloc_fail(unsigned int n);

/** fake_locks_held - spinlocks taken and not released. */
unsigned int fake_locks_held(void);

#endif
