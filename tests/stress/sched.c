/* SPDX-License-Identifier: GPL-2.0-only */
/* stress: quiet */
#define _GNU_SOURCE
#include "tests/stress/sched.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RELAX_TICKS 50 /* what a round of waiting takes, in points */
#define STEPS_HZ    2000000
#define FREE_HZ	    30000000000ull /* a busy machine may keep a thread waiting for seconds */

enum state { RUNNABLE, BLOCKED, LEFT };

struct thread {
	u32 state; /* STEPS */
	u32 turn;  /* futex: has the turn (STEPS), or was unblocked (FREE) */
	u32 left;  /* futex: has left */
	bool unblocked;
	u64 deadline;
	unsigned int joiner;
	u64 rng; /* FREE: its own */
};

static struct sched_config config;
static void (*tell_stuck)(const char *why);
static struct thread threads[SCHED_THREADS];
static unsigned int nr_threads; /* numbers are not used again */
static u32 registry;		/* FREE: the lock of nr_threads */
static unsigned int running;
static u64 ticks, points, passed, first_deadline, started;
static u64 rng;
static _Thread_local unsigned int self;

/* A generator of its own (xorshift64*): hv/host/random.c is compiled with the sanitizer. */
static u64 below(u64 *state, u64 n)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (*state * 0x2545f4914f6cdd1dull >> 32) % n;
}

static u64 seeded(u64 stream)
{
	u64 state = ((config.seed + 1) * 0x9e3779b97f4a7c15ull ^ (stream + 1) << 32) | 1;

	for (unsigned int i = 0; i < 8; i++)
		below(&state, 1);
	return state;
}

/* --- the kernel ------------------------------------------------------------------------------ */

static void futex_wait(u32 *word, u32 value, u64 ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / 1000000000),
			      .tv_nsec = (long)(ns % 1000000000) };

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, ns == SCHED_NEVER ? NULL : &t, NULL, 0);
}

static void futex_wake(u32 *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static u32 load(u32 *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store(u32 *word, u32 value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static u64 nanoseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

/* One CPU is enough for one thread at a time, and handing on is quicker within it. */
static void use_one_cpu(bool one)
{
	static cpu_set_t all;
	static bool known;
	cpu_set_t set;

	if (!known)
		sched_getaffinity(0, sizeof(all), &all);
	known = true;
	set = all;
	if (one) {
		unsigned int cpu = 0,
			     skip = (unsigned int)config.seed % (unsigned int)CPU_COUNT(&all);

		while (!CPU_ISSET(cpu, &all) || skip--)
			cpu++;
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
	}
	sched_setaffinity(0, sizeof(set), &set);
}

static void give_up(const char *why)
{
	tell_stuck(why);
	_exit(1);
}

/* --- one at a time --------------------------------------------------------------------------- */

static void hand_to(unsigned int next)
{
	struct thread *me = &threads[self];

	if (next == self)
		return;
	store(&me->turn, 0);
	running = next;
	store(&threads[next].turn, 1);
	futex_wake(&threads[next].turn);
}

static void wait_turn(void)
{
	while (!load(&threads[self].turn))
		futex_wait(&threads[self].turn, 0, SCHED_NEVER);
}

static void make_runnable(struct thread *t)
{
	t->state = RUNNABLE;
	t->deadline = SCHED_NEVER;
}

/* Whose time has come may run. */
static void look_at_deadlines(void)
{
	if (likely(ticks < first_deadline))
		return;
	first_deadline = SCHED_NEVER;
	for (unsigned int i = 0; i < nr_threads; i++) {
		if (threads[i].state != BLOCKED)
			continue;
		if (threads[i].deadline <= ticks)
			make_runnable(&threads[i]);
		else
			first_deadline = min_u64(first_deadline, threads[i].deadline);
	}
}

/* A thread that can run, other than this one; SCHED_THREADS if there is none. */
static unsigned int pick(void)
{
	unsigned int n = 0, found[SCHED_THREADS];

	look_at_deadlines();
	for (unsigned int i = 0; i < nr_threads; i++)
		if (i != self && threads[i].state == RUNNABLE)
			found[n++] = i;
	return n ? found[below(&rng, n)] : SCHED_THREADS;
}

static void pass_time(u64 n)
{
	ticks += n;
	passed = passed * 31 + self;
	if (++points > config.limit)
		give_up("the run does not end");
}

static void switch_to_any(void)
{
	unsigned int next = pick();

	if (next == SCHED_THREADS)
		return;
	hand_to(next);
	wait_turn();
}

/* The caller cannot go on: somebody else has to. */
static void switch_away(void)
{
	unsigned int next = pick();

	if (next == SCHED_THREADS && threads[self].state != RUNNABLE &&
	    first_deadline != SCHED_NEVER) {
		ticks = first_deadline;
		next = pick();
	}
	if (next == SCHED_THREADS && threads[self].state == RUNNABLE)
		return; /* its own deadline */
	if (next == SCHED_THREADS)
		give_up("nobody can run: a wake-up was lost");
	hand_to(next);
}

/* --- all at once ----------------------------------------------------------------------------- */

static void lock_registry(void)
{
	while (__atomic_exchange_n(&registry, 1, __ATOMIC_ACQUIRE))
		sched_yield();
}

static void unlock_registry(void)
{
	store(&registry, 0);
}

static void check_time(void)
{
	if (nanoseconds() - started > config.limit * 1000000)
		give_up("the run does not end");
}

static void delay(void)
{
	struct thread *me = &threads[self];

	if (below(&me->rng, config.one_in * 8))
		return;
	if (below(&me->rng, 4))
		for (volatile u64 i = below(&me->rng, 200); i; i--)
			;
	else
		sched_yield();
}

/* --- the interface --------------------------------------------------------------------------- */

void sched_start(const struct sched_config *c, void (*stuck)(const char *why))
{
	config = *c;
	tell_stuck = stuck;
	rng = seeded(0);
	ticks = 1;
	points = passed = 0;
	first_deadline = SCHED_NEVER;
	started = nanoseconds();
	nr_threads = 0;
	self = sched_add();
	running = self;
	store(&threads[self].turn, config.way == SCHED_STEPS);
	use_one_cpu(config.way == SCHED_STEPS);
}

void sched_stop(void)
{
	use_one_cpu(false);
}

enum sched_way sched_way(void)
{
	return config.way;
}

unsigned int sched_self(void)
{
	return self;
}

unsigned int sched_add(void)
{
	unsigned int n;

	lock_registry();
	n = nr_threads;
	if (n == SCHED_THREADS)
		give_up("too many threads");
	threads[n] = (struct thread){ .state = RUNNABLE,
				      .deadline = SCHED_NEVER,
				      .joiner = SCHED_THREADS,
				      .rng = seeded(1 + n) };
	nr_threads = n + 1;
	unlock_registry();
	return n;
}

void sched_enter(unsigned int thread)
{
	self = thread;
	if (config.way == SCHED_STEPS)
		wait_turn();
}

void sched_leave(void)
{
	struct thread *me = &threads[self];

	if (config.way == SCHED_STEPS) {
		me->state = LEFT;
		if (me->joiner != SCHED_THREADS)
			make_runnable(&threads[me->joiner]);
		switch_away();
	}
	store(&me->left, 1);
	futex_wake(&me->left);
}

void sched_join(unsigned int thread)
{
	struct thread *t = &threads[thread];

	if (config.way == SCHED_STEPS) {
		while (t->state != LEFT) {
			t->joiner = self;
			threads[self].state = BLOCKED;
			switch_away();
			wait_turn();
		}
	}
	while (!load(&t->left)) {
		futex_wait(&t->left, 0, 100000000);
		if (config.way == SCHED_FREE)
			check_time();
	}
}

void sched_point(void)
{
	if (config.way == SCHED_FREE) {
		delay();
		return;
	}
	pass_time(1);
	if (!below(&rng, config.one_in))
		switch_to_any();
}

void sched_relax(void)
{
	if (config.way == SCHED_FREE) {
		sched_yield();
		check_time();
		return;
	}
	pass_time(RELAX_TICKS);
	switch_to_any();
}

static void block_free(struct thread *me, u64 deadline)
{
	u64 now = nanoseconds(), wait = 100000000;

	if (__atomic_exchange_n(&me->turn, 0, __ATOMIC_ACQUIRE))
		return;
	if (deadline <= now)
		return;
	futex_wait(&me->turn, 0, min_u64(wait, deadline - now));
	__atomic_exchange_n(&me->turn, 0, __ATOMIC_ACQUIRE);
	check_time();
}

void sched_block(u64 deadline)
{
	struct thread *me = &threads[self];

	if (config.way == SCHED_FREE) {
		block_free(me, deadline);
		return;
	}
	pass_time(1);
	if (!me->unblocked) {
		me->state = BLOCKED;
		me->deadline = deadline;
		first_deadline = min_u64(first_deadline, deadline);
		switch_away();
		wait_turn();
	}
	me->unblocked = false;
}

void sched_unblock(unsigned int thread)
{
	struct thread *t = &threads[thread];

	if (config.way == SCHED_FREE) {
		store(&t->turn, 1);
		futex_wake(&t->turn);
		return;
	}
	t->unblocked = true;
	if (t->state == BLOCKED)
		make_runnable(t);
}

bool sched_is_blocked(unsigned int thread)
{
	return config.way == SCHED_STEPS && threads[thread].state == BLOCKED;
}

u64 sched_now(void)
{
	return config.way == SCHED_STEPS ? ticks : nanoseconds();
}

u64 sched_hz(void)
{
	return config.way == SCHED_STEPS ? STEPS_HZ : FREE_HZ;
}

u64 sched_passed(void)
{
	return passed;
}

u64 sched_random(u64 n)
{
	return below(config.way == SCHED_STEPS ? &rng : &threads[self].rng, n);
}
