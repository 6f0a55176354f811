/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Red-black trees: the RB_ macros of <bsd/sys/tree.h> (Debian's libbsd-dev), which are made of
 * nothing but pointers and so work without a libc. The header brings <sys/cdefs.h> along, macros
 * too; it is included after our types, whose definitions it respects, and wants one more.
 */
#ifndef HV_HOST_TREE_H
#define HV_HOST_TREE_H

#include "hv/host/types.h"

#ifndef __unused
#define __unused __attribute__((unused))
#endif

#include <bsd/sys/tree.h>

#endif
