/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of experiment `exits` that need nothing but a guest: they run on other hypervisors,
 * too.
 */
#ifndef LAB_EXITS_H
#define LAB_EXITS_H

#include "lab/tiny.h"

#define EXITS_MAX_SAMPLES 1024

/** exits_kinds - run the guest "exits", which measures @n executions of each kind */
void exits_kinds(u64 n);

/**
 * exits_loop - one of tiny_code.S' loops
 * @run: runs it to its HLT. Returns 0 or a negative errno
 * @batches: of 16 exits, up to EXITS_MAX_SAMPLES
 * @metric: where the ticks of each exit go
 * @what: the result's name
 */
void exits_loop(struct tiny_code code, int (*run)(struct vcpu *), unsigned int batches,
		const char *metric, const char *what);

/** exits_run_to_halt - the shortest VMM: it answers every IN at once. 0 when the guest has come to
 * its HLT, or a negative errno. */
int exits_run_to_halt(struct vcpu *vcpu);

#endif
