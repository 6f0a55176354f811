/* SPDX-License-Identifier: GPL-2.0-only */
/* Port 0xE9: a byte written is a byte printed; it reads back 0xE9, which is how guests find it. */
#ifndef HV_DEV_DEBUGCON_H
#define HV_DEV_DEBUGCON_H

#include "hv/dev/bus.h"
#include "hv/dev/lines.h"

#define DEBUGCON_PORT 0xe9

/* struct lines is the device. */
extern const struct bus_ops debugcon_ops;

#endif
