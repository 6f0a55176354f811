/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ways a guest ends itself: the debug exit with a status, "Shutdown" to Bochs' port, and the
 * three resets of a PC. This board has no reset: a guest that asks for one ends with status 1.
 */
#ifndef HV_DEV_POWER_H
#define HV_DEV_POWER_H

#include "hv/dev/bus.h"
#include "hv/dev/ending.h"

struct power {
	struct ending *ending;
	unsigned int shutdown_seen; /* letters of "Shutdown" so far */
	u8 port_a;		    /* system control port A: the A20 bit reads back */
	u8 reset_control;	    /* port 0xCF9 */
};

/**
 * power_add - put them all on the port bus
 * @p: zeroed here
 * @ending: set when the guest ends itself
 *
 * Ports: 0xF4 (any width: the value is the exit status, above ENDING_STATUS_MAX it becomes that),
 * 0x8900, 0x64 (keyboard controller without a keyboard), 0x92, 0xCF8..0xCFF (PCI configuration
 * without a PCI bus, but with the reset control at 0xCF9). Returns 0 or an error of bus_add().
 */
int power_add(struct power *p, struct bus *ports, struct ending *ending);

#endif
