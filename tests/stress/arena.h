/* SPDX-License-Identifier: GPL-2.0-only */
/* Frames, for pages.c. */
#ifndef TESTS_STRESS_ARENA_H
#define TESTS_STRESS_ARENA_H

#include "hv/host/mem.h"

#define ARENA_SIZE GIB(1)

void arena_reset(void);
void *arena_get(unsigned int order); /* NULL: none left */
void arena_put(void *p, unsigned int order);

#endif
