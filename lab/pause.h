/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of experiment `pause`. What they work on is in lab/pause_arena.h. */
#ifndef LAB_PAUSE_H
#define LAB_PAUSE_H

#include "lab/pause_bench.h"

enum pause_way { WAY_LIVE, WAY_ONE_BY_ONE, WAY_PAUSED, WAY_ATOMIC, NR_WAYS };

/** arena_stop_one_by_one - what a VMM does today: ask each vCPU in turn to leave, and wait until it
 * has; arena_let_go() ends it. False: one did not. */
bool arena_stop_one_by_one(struct arena *a);

/** arena_recreate - a change list that deletes the slot and creates it again as it is. */
void arena_recreate(struct arena *a, struct slot_change list[2]);

void pause_measure(const struct pause_options *o); /* lab/pause_measure.c */
void pause_trace(const struct pause_options *o);   /* lab/pause_trace.c: one cycle for a timeline */
void pause_test_holds(void);			   /* lab/pause_holds.c: who is held, until when */
void pause_test_races(void);   /* lab/pause_races.c: holders against each other */
void pause_test_changes(void); /* lab/pause_changes.c: what a change lets through */
void pause_test_dirty(void);   /* lab/pause_dirty.c: the dirty log */
void pause_test_readers(void); /* lab/pause_readers.c: users of the slots */
void pause_test_events(void);  /* lab/pause_events.c: what arrives meanwhile */

#endif
