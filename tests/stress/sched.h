/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who runs, and when. Every thread of the hypervisor is a thread of the build machine's; what
 *differs between the two ways of running a stress program is who decides about them.
 *
 *   SCHED_STEPS  One at a time. At every point (an access to an atomic, a round of a waiting loop,
 *a step of a guest) a seeded generator decides whether another thread goes on, so a seed is one
 *interleaving, on any machine and under any load. Time is the number of points passed. When nobody
 *can run any more, somebody's wake-up was lost, and that is known at once. SCHED_FREE	  All at
 *once, as the machine has it. Points are moments at which a thread may be delayed. Time is real.
 *
 * This file is compiled without the thread sanitizer: handing on the turn must not look like
 * synchronisation, or every data race would be hidden by it.
 */
#ifndef TESTS_STRESS_SCHED_H
#define TESTS_STRESS_SCHED_H

#include "hv/host/types.h"

#define SCHED_THREADS 64
#define SCHED_NEVER   (~0ull)

enum sched_way { SCHED_STEPS, SCHED_FREE };

struct sched_config {
	enum sched_way way;
	u64 seed;
	unsigned int one_in; /* how many points there are, on average, to a change of threads */
	u64 limit;	     /* STEPS: points; FREE: milliseconds; then the run is given up */
};

/** sched_start - begin a run; the caller becomes thread 0. @stuck: called before a run is given up,
 * with why. */
void sched_start(const struct sched_config *config, void (*stuck)(const char *why));

/** sched_stop - end it; all other threads have ended. */
void sched_stop(void);

enum sched_way sched_way(void);

/** sched_add - announce a thread that is about to be started. Returns its number. */
unsigned int sched_add(void);

/** sched_enter, sched_leave - by that thread, first and last. */
void sched_enter(unsigned int thread);
void sched_leave(void);

/** sched_self - the calling thread's number. */
unsigned int sched_self(void);

/** sched_join - wait until @thread has left. Its number is not used again in this run. */
void sched_join(unsigned int thread);

/** sched_point - somebody else may go on here. */
void sched_point(void);

/** sched_relax - the caller waits for somebody else: let them, if there are any. */
void sched_relax(void);

/**
 * sched_block - sleep until sched_unblock(), or until @deadline
 *
 * A sched_unblock() since the last sched_block() makes it return at once. May return early.
 */
void sched_block(u64 deadline);
void sched_unblock(unsigned int thread);

/** sched_is_blocked, for the report on a run that is stuck. */
bool sched_is_blocked(unsigned int thread);

/** sched_now - ticks: points, or nanoseconds. sched_hz - how many of them hv/ is to take for a
 * second. */
u64 sched_now(void);
u64 sched_hz(void);

/** sched_passed - STEPS: a sum over the run so far of which thread was at which point. */
u64 sched_passed(void);

/** sched_random - from the run's seed: uniform in 0..@n-1. By whoever has the turn. */
u64 sched_random(u64 n);

#endif
