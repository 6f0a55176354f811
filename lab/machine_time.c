/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `machine`: timers of every CPU never fire early, and do fire; waits end at their
 * deadline; the TSC's rate is confirmed by a second clock.
 */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/mem.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/random.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "lab/experiment.h"
#include "lab/machine.h"

#define NR_TIMERS 8
#define REPEATS	  3 /* of the one that arms itself again */
#define FIRST_US  500
#define SPREAD_US 2000
#define LOST_US	  2000000
#define TOLERANCE 50	/* a fiftieth */
#define STREAM	  0x100 /* of random numbers, so that they differ from other tests' */

/* What becomes of a timer between being armed and the first interrupt. */
enum fate { STAYS, CANCELLED, LATER, SOONER, PAST, REPEATED, NR_FATES };

_Static_assert(NR_FATES <= NR_TIMERS, "every fate is tried");

struct timer_test;

struct test_timer {
	struct timer timer;
	struct timer_test *test;
	unsigned int left; /* firings to come */
};

struct timer_test {
	struct test_timer t[NR_TIMERS];
	struct wait_queue done;
	unsigned int left;
	u64 last; /* deadline that fired last */
	bool early, disorder, twice;
	u64 late[NR_TIMERS]; /* ticks, of the last firing */
	struct rng rng;
};

/* Failures of all CPUs, a bit for each. */
struct timer_results {
	_Atomic u64 early, lost, twice, disorder, cancel;
	u64 (*late)[NR_TIMERS];
};

static void fired(struct timer *timer)
{
	struct test_timer *t = container_of(timer, struct test_timer, timer);
	struct timer_test *test = t->test;
	u64 now = ticks_now();

	test->early |= now < timer->deadline;
	test->disorder |= timer->deadline < test->last;
	test->last = timer->deadline;
	test->late[t - test->t] = now - timer->deadline;
	if (!t->left) {
		test->twice = true;
		return;
	}
	t->left--;
	test->left--;
	if (t->left)
		timer_arm(timer, now + ticks_from_us(1 + rng_below(&test->rng, SPREAD_US)));
	if (!test->left)
		wake_all(&test->done);
}

static u64 some_deadline(struct timer_test *test, u64 now)
{
	return now + ticks_from_us(FIRST_US + rng_below(&test->rng, SPREAD_US));
}

/* Returns false when cancelling does not tell what it did. */
static bool arm_all(struct timer_test *test, u64 now)
{
	bool cancels = true;

	for (unsigned int i = 0; i < NR_TIMERS; i++) {
		struct test_timer *t = &test->t[i];

		timer_init(&t->timer, fired);
		t->test = test;
		t->left = i == REPEATED ? REPEATS : i == CANCELLED ? 0 : 1;
		test->left += t->left;
		timer_arm(&t->timer, some_deadline(test, now));
	}
	cancels &= timer_cancel(&test->t[CANCELLED].timer);
	cancels &= !timer_cancel(&test->t[CANCELLED].timer);
	timer_arm(&test->t[LATER].timer, now + ticks_from_us(FIRST_US + 2 * SPREAD_US));
	timer_arm(&test->t[SOONER].timer, now + ticks_from_us(FIRST_US));
	timer_arm(&test->t[PAST].timer, now - 1);
	return cancels;
}

/* Returns 0, or -ETIMEDOUT when some did not fire. */
static int wait_fired(struct timer_test *test, u64 deadline)
{
	struct waiter w;
	int err = 0;

	for (;;) {
		wait_prepare(&test->done, &w);
		if (!test->left || err)
			break;
		err = wait_sleep_until(&w, deadline);
	}
	wait_finish(&test->done, &w);
	return test->left ? err : 0;
}

static void test_timers_here(u32 cpu, void *arg)
{
	struct timer_results *r = arg;
	struct timer_test test = { .left = 0 };
	u64 now = ticks_now();

	wait_queue_init(&test.done);
	rng_init(&test.rng, run_options.seed, STREAM + cpu);
	if (!arm_all(&test, now))
		atomic_fetch_or(&r->cancel, BIT(cpu));
	if (wait_fired(&test, now + ticks_from_us(LOST_US)))
		atomic_fetch_or(&r->lost, BIT(cpu));
	for (unsigned int i = 0; i < NR_TIMERS; i++) {
		timer_cancel(&test.t[i].timer);
		r->late[cpu][i] = test.late[i];
	}
	if (test.early)
		atomic_fetch_or(&r->early, BIT(cpu));
	if (test.twice)
		atomic_fetch_or(&r->twice, BIT(cpu));
	if (test.disorder)
		atomic_fetch_or(&r->disorder, BIT(cpu));
}

/* How late they were; not the one that was armed for the past, nor the one cancelled. */
static void measure_lateness(const struct timer_results *r)
{
	unsigned int n = 0;

	for (u32 cpu = 0; cpu < nr_cpus; cpu++)
		for (unsigned int i = 0; i < NR_TIMERS; i++)
			if (i != PAST && i != CANCELLED && n < MACHINE_SAMPLES)
				machine_samples[n++] = r->late[cpu][i];
	machine_metric("machine.timer_late", n);
}

static void test_timers(void)
{
	struct timer_results r = { .late = kzalloc(nr_cpus * sizeof(*r.late)) };

	if (r.late && machine_on_every_cpu(test_timers_here, &r)) {
		machine_result(r.lost, "every timer that is armed fires");
		machine_result(r.early, "no timer fires early");
		machine_result(r.disorder, "timers fire in the order of their deadlines");
		machine_result(r.twice, "none fires twice, or after it was cancelled");
		machine_result(r.cancel, "cancelling a timer tells whether it was armed");
		measure_lateness(&r);
	}
	kfree(r.late);
}

/* --- waiting --------------------------------------------------------------------------------- */

struct late_wake {
	struct wait_queue wq;
	_Atomic bool done;
};

static void wake_late(void *arg)
{
	struct late_wake *l = arg;

	spin_ticks(ticks_from_us(FIRST_US));
	atomic_store(&l->done, true);
	wake_all(&l->wq);
}

/* Sleep once, until @deadline at most. */
static int sleep_until(struct late_wake *l, u64 deadline)
{
	struct waiter w;
	int ret = 0;

	wait_prepare(&l->wq, &w);
	if (!atomic_load(&l->done))
		ret = wait_sleep_until(&w, deadline);
	wait_finish(&l->wq, &w);
	return ret;
}

static void test_deadlines(void)
{
	struct late_wake l = { .done = false };
	u64 deadline = ticks_now() + ticks_from_us(FIRST_US);
	struct thread *thread;
	int ret;

	wait_queue_init(&l.wq);
	ret = sleep_until(&l, deadline);
	ktap_result(ret == -ETIMEDOUT && ticks_now() >= deadline,
		    "a wait that nobody ends ends at its deadline, not before");
	ktap_result(sleep_until(&l, deadline) == -ETIMEDOUT,
		    "a wait for a deadline that has passed ends at once");

	if (thread_create(&thread, nr_cpus - 1, "waker", wake_late, &l)) {
		ktap_result(false, "there is memory for a thread");
		return;
	}
	ret = sleep_until(&l, ticks_now() + ticks_from_us(LOST_US));
	ktap_result(!ret && atomic_load(&l.done), "a wake ends a wait before its deadline");
	thread_join(thread);
}

/* --- the TSC --------------------------------------------------------------------------------- */

static void test_tsc(void)
{
	const char *name;
	u64 hz;

	if (time_check(&name, &hz)) {
		ktap_skip("no second clock counts here", "the TSC's rate by another clock");
		return;
	}
	ktap_result(hz <= tsc_hz + tsc_hz / TOLERANCE && hz >= tsc_hz - tsc_hz / TOLERANCE,
		    "the TSC's rate by %s and by %s agree to 2 percent", tsc_source, name);
	ktap_note("%llu kHz by %s, %llu kHz by %s", (unsigned long long)(tsc_hz / 1000), tsc_source,
		  (unsigned long long)(hz / 1000), name);
}

void machine_test_time(void)
{
	test_timers();
	test_deadlines();
	test_tsc();
}
