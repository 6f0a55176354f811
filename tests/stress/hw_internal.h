/* SPDX-License-Identifier: GPL-2.0-only */
/* What hw.c and hw_memory.c share. */
#ifndef TESTS_STRESS_HW_INTERNAL_H
#define TESTS_STRESS_HW_INTERNAL_H

#include "tests/stress/hw.h"

void hw_log_init(struct hw_vcpu *h);

#endif
