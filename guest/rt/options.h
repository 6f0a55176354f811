/* SPDX-License-Identifier: GPL-2.0-only */
/* A guest's command line: "FILE key=value key=value ...". */
#ifndef GUEST_RT_OPTIONS_H
#define GUEST_RT_OPTIONS_H

#include "hv/host/types.h"

struct option {
	const char *key;
	u64 *value;		  /* holds the default before, the given value after */
	u64 min, max;		  /* allowed numbers */
	const char *const *words; /* or: NULL-terminated allowed words, *value is the index */
	const char *help;
};

/**
 * options_parse - read the command line into the options' values
 * @program: for the messages
 *
 * A wrong word gets one line that says what would be right, and ends the guest with GUEST_USAGE.
 */
void options_parse(const char *program, const struct option *options, unsigned int nr);

#endif
