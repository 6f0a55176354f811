/* SPDX-License-Identifier: GPL-2.0-only */
/* The machine, for main.c. */
#ifndef TESTS_STRESS_HOST_H
#define TESTS_STRESS_HOST_H

/** host_reset - @threads CPUs at rest; the caller has begun a run (sched_start()). */
void host_reset(unsigned int threads);

/** host_stuck - report a run that cannot go on, for sched_start(). */
void host_stuck(const char *why);

/** host_describe_run - way and seed of the run under way, as the command line takes them. */
const char *host_describe_run(void);

#endif
