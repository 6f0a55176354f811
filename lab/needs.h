/* SPDX-License-Identifier: GPL-2.0-only */
/* What a behaviour needs of the machine to be shown. */
#ifndef LAB_NEEDS_H
#define LAB_NEEDS_H

#include "hv/host/types.h"

/** needs_cpus - true; or a SKIP of the behaviour @name with that reason, and false. */
bool needs_cpus(u32 n, const char *name);

#endif
