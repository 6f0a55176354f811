/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest's text on our console: whole lines, each with the guest's name in front, so that several
 * guests stay readable and no guest can imitate a line of ours.
 */
#ifndef HV_DEV_LINES_H
#define HV_DEV_LINES_H

#include "hv/host/types.h"

#define LINES_MAX_PREFIX 32
#define LINES_MAX	 240

/* Not locked: the board's lock protects it. */
struct lines {
	char prefix[LINES_MAX_PREFIX];
	unsigned int len;
	char text[LINES_MAX];
};

/** lines_init - @prefix: printed before every line, at most LINES_MAX_PREFIX - 1 bytes count. */
void lines_init(struct lines *l, const char *prefix);

/**
 * lines_put - one byte from the guest
 *
 * A newline prints the line. Carriage returns are dropped; bytes that are not printable ASCII or a
 * tab appear as \xNN. A line that does not fit is printed in pieces, each but the last ending in a
 * backslash.
 */
void lines_put(struct lines *l, u8 byte);

/** lines_flush - print an unfinished line, if there is one. */
void lines_flush(struct lines *l);

#endif
