/* SPDX-License-Identifier: GPL-2.0-only */
/* hv/host/string.c as the image has it: a freestanding compiler sees no libc. */
/* cflags: -ffreestanding */
#include "tests/unit/own_string.h"

#include "hv/host/string.c"
