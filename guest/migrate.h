/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the migrate program and the VMM that moves it talk: ports of 32 bits. Where nobody answers
 * they read as ones, and writes vanish.
 */
#ifndef GUEST_MIGRATE_H
#define GUEST_MIGRATE_H

#ifndef __ASSEMBLY__
#include "hv/host/types.h"

#define MIGRATE_PORT_COMMAND 0x5e0 /* in: enum migrate_command */
#define MIGRATE_PORT_EVENT   0x5e4 /* out: enum migrate_event */
/* Out: ticks that an access to a page took, if they were many. */
#define MIGRATE_PORT_STALL   0x5e8
/* Out: ticks that the CPU stood still where no page of its work can be missing. */
#define MIGRATE_PORT_GAP     0x5ec
#define MIGRATE_PORTS_END    0x5f0

#define MIGRATE_STALL 2000 /* ticks: what is less is not reported, if stall= says no other */

enum migrate_command {
	MIGRATE_GO_ON,
	MIGRATE_FINISH, /* end this sweep, verify everything, exit */
};

enum migrate_event {
	MIGRATE_WRITTEN = 1, /* all memory has been written once */
	MIGRATE_WRONG,	     /* something is not as it should be */
};

#define MIGRATE_LOST (~0ull) /* migrate_spin(): a register has another value */

/**
 * migrate_spin - look at the clock @rounds times, with @seed's values in all other registers
 *
 * Returns the longest time between two looks, or MIGRATE_LOST.
 */
u64 migrate_spin(u64 rounds, u64 seed);
#endif

#endif
