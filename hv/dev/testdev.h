/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The test device of QEMU's "pc-testdev", as far as it needs no interrupt controller: a 4-byte
 * register that reads back in any width (ports 0xE0..0xE3), a port that takes away the second-level
 * mapping of a guest page (0xE4), and 64 KB of memory at 0xFF000000, which is plain RAM here.
 */
#ifndef HV_DEV_TESTDEV_H
#define HV_DEV_TESTDEV_H

#include "hv/dev/bus.h"

struct vm;

#define TESTDEV_IORAM	   0xff000000ul
#define TESTDEV_IORAM_SIZE KIB(64)

struct testdev {
	u8 reg[4];
	bool drop_wanted; /* the guest asked for drop_gpa to be unmapped; see testdev_take_drop() */
	gpa_t drop_gpa;
};

/**
 * testdev_add - put it on the board
 * @t: initialised here
 * @ports: the port bus
 * @vm: gets the slot at TESTDEV_IORAM
 *
 * Returns 0 or an error of vm_add_ram() or bus_add().
 */
int testdev_add(struct testdev *t, struct bus *ports, struct vm *vm);

/**
 * testdev_take_drop - did the access just served ask for a page to be dropped?
 * @gpa: the page, when it did
 *
 * Taken under the board's lock, carried out without it, since vm_drop_page() waits for other CPUs.
 */
static inline bool testdev_take_drop(struct testdev *t, gpa_t *gpa)
{
	if (likely(!t->drop_wanted))
		return false;
	t->drop_wanted = false;
	*gpa = t->drop_gpa;
	return true;
}

#endif
