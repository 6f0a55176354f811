/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a test of hv/host itself needs beneath it: a console that is a buffer, a panic that a test
 * can expect, and CPUs as far as the test puts some into cpus[].
 */
#ifndef TESTS_UNIT_STUB_HOST_H
#define TESTS_UNIT_STUB_HOST_H

#include "hv/host/types.h"

extern u32 stub_cpu; /* number of the CPU that this_cpu() says the test runs on */

/** stub_console_take - everything printed since the last call; valid until the next one. */
const char *stub_console_take(void);

/**
 * expect_panic - check that @fn(@arg) ends in a panic
 * @text: what its message must contain
 *
 * @fn runs in a child process, so whatever it leaves behind (a lock held, say) does not matter.
 */
void expect_panic(void (*fn)(void *arg), void *arg, const char *text);

#endif
