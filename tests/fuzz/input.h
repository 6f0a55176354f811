/* SPDX-License-Identifier: GPL-2.0-only */
/* A fuzzer's input, taken piece by piece; behind its end there are only zeros. */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/host/types.h"

struct input {
	const u8 *data;
	size_t left;
};

static inline u64 take(struct input *in, unsigned int bytes)
{
	unsigned int n = in->left < bytes ? in->left : bytes;
	u64 value = 0;

	memcpy(&value, in->data, n);
	in->data += n;
	in->left -= n;
	return value;
}

/* An invariant that the code under test must keep whatever the input is. */
#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#endif
