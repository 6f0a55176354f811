/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a stress program is made of: the machine (host.c), its VMX (hw.h), threads, checks.
 *
 * Each thread of the hypervisor is a thread of the build machine's and has a CPU of its own, so
 * that nothing cooperates that does not have to: what on a real machine only several CPUs can do to
 * each other, all threads can do to each other here.
 */
#ifndef TESTS_STRESS_STRESS_H
#define TESTS_STRESS_STRESS_H

#include "hv/host/percpu.h"
#include "hv/host/thread.h"
#include "hv/host/types.h"
#include "tests/stress/sched.h"

/* A program defines one. */
struct stress_test {
	const char *name;
	void (*run)(void);    /* the whole of it, from an empty machine to an empty machine */
	void (*after)(void);  /* of all runs of one kind; may be NULL */
	unsigned int threads; /* so many at most, the caller of run() included */
	unsigned int seeds;   /* how many runs of one thread at a time are enough */
	unsigned int free_runs;
};

extern const struct stress_test stress_test;

/* The run under way. */
struct stress_run {
	u64 seed;
	bool free;	       /* all threads at once */
	unsigned int buffered; /* points that a store stays in the buffer, on average; 0: none */
};

extern struct stress_run stress_run;

/** stress_check - @cond must hold: else the run ends with the message and how to repeat it. */
#define stress_check(cond, ...)                                                                    \
	do {                                                                                       \
		if (unlikely(!(cond)))                                                             \
			stress_fail(__VA_ARGS__);                                                  \
	} while (0)

noreturn void stress_fail(const char *fmt, ...) __printf(1, 2);

/** stress_random - uniform in 0..@n-1, from the run's seed. */
u64 stress_random(u64 n);

/** stress_spawn, stress_wait - start and end a thread that cannot fail to start. */
struct thread *stress_spawn(const char *name, void (*fn)(void *), void *arg);
void stress_wait(struct thread *t);

/** stress_point - see tests/stress/atomics.h. */
void stress_point(void);
void buffer_drain(void);

/*
 * The calling CPU is in the guest: NMIs are not taken at points but by hw.c. stress_enter_guest()
 * has no point in it.
 */
void stress_enter_guest(void);
void stress_leave_guest(void);
bool stress_take_nmi(void); /* whether one has arrived; it is taken */

/** frame_use - the calling CPU, or a device, uses the frame at @hpa: it must belong to somebody. */
void frame_use(hpa_t hpa, const char *what);

/** frames_live - frames handed out. */
u64 frames_live(void);

/* arena.c: memory as guests see it; the sanitizer does not look. */
u64 quiet_load(hpa_t hpa);
void quiet_store(hpa_t hpa, u64 value);

#endif
