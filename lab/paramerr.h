/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the two steps of the command line parser: how a mistake is worded. */
#ifndef LAB_PARAMERR_H
#define LAB_PARAMERR_H

#include "lab/params.h"

/**
 * param_fail - write the line for the user
 * @err: NULL is allowed
 * @code: negative errno value, returned
 *
 * Since the line quotes what the user typed, unprintable bytes become '?'; a line that does not fit
 * ends in "...".
 */
int param_fail(struct param_error *err, int code, const char *fmt, ...) __printf(3, 4);

#endif
