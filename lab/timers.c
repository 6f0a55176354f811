/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `timers`: timers of the host on a CPU that runs a guest, which has interrupts enabled,
 * or disabled, or is in HLT. Each fires once and never early.
 *
 * How late is measured. An interrupt makes a guest exit whether it has interrupts disabled or not;
 * but some emulators wait until it enables them. There it comes with the heartbeat.
 */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/timer.h"
#include "lab/kick.h"

#define NR_TIMERS 4
#define AHEAD_MIN patient(200)
#define AHEAD_MAX patient(40000)
#define SLACK	  patient(20000) /* ticks on top of the heartbeat, for what else goes on */

static const struct param_spec timers_spec[] = {
	PARAM_U64("n", NR_TIMERS, KICK_MAX_SAMPLES, 400, "expiries on each kind of guest"),
};

static const struct {
	enum kick_state state;
	const char *word, *text;
} kinds[] = {
	{ STATE_OPEN, "open", "a guest with interrupts enabled" },
	{ STATE_GUEST, "closed", "a guest with interrupts disabled" },
	{ STATE_HALTED, "halted", "a guest in HLT" },
};

struct host_timers;

struct host_timer {
	struct timer timer;
	struct host_timers *all;
	bool due; /* armed and not fired */
};

struct host_timers {
	struct host_timer t[NR_TIMERS];
	struct kick_target target;
	u64 left;	  /* to be armed */
	unsigned int due; /* timers that are */
	u64 early, twice, latest;
	unsigned int nr;
	bool lost;
	struct wait_queue done;
	struct rng rng;
};

static void arm(struct host_timer *t)
{
	struct host_timers *all = t->all;

	if (!all->left)
		return;
	all->left--;
	all->due++;
	t->due = true;
	timer_arm(&t->timer, ticks_now() + AHEAD_MIN + rng_below(&all->rng, AHEAD_MAX - AHEAD_MIN));
}

static void fired(struct timer *timer)
{
	struct host_timer *t = container_of(timer, struct host_timer, timer);
	struct host_timers *all = t->all;
	u64 now = ticks_now();

	if (!t->due) {
		all->twice++;
		return;
	}
	t->due = false;
	all->due--;
	if (now < timer->deadline) {
		all->early++;
	} else if (all->nr < KICK_MAX_SAMPLES) {
		kick_samples[0][all->nr++] = now - timer->deadline;
		all->latest = max_u64(all->latest, now - timer->deadline);
	}
	arm(t);
	if (!all->due)
		wake_all(&all->done);
}

/* On the guest's CPU, which takes interrupts only in the guest, or idle in its HLT. */
static void arm_and_wait(void *arg)
{
	struct host_timers *all = arg;
	u64 end = ticks_now() + all->left * (AHEAD_MAX + 2 * vmx_heartbeat() + SLACK);
	struct waiter w;
	int err = 0;

	for (unsigned int i = 0; i < NR_TIMERS; i++) {
		timer_init(&all->t[i].timer, fired);
		all->t[i].all = all;
		arm(&all->t[i]);
	}
	for (;;) {
		wait_prepare(&all->done, &w);
		if (!all->due || err)
			break;
		err = wait_sleep_until(&w, end);
	}
	wait_finish(&all->done, &w);
	all->lost = all->due;
	for (unsigned int i = 0; i < NR_TIMERS; i++)
		timer_cancel(&all->t[i].timer);
}

static bool run_beside_guest(struct host_timers *all, const char *text)
{
	struct thread *thread;
	u32 before, after;

	if (thread_create(&thread, KICK_TARGET_CPU, "timers", arm_and_wait, all)) {
		ktap_result(false, "there is memory for a thread");
		return false;
	}
	before = kick_counter(&all->target);
	thread_join(thread);
	after = kick_counter(&all->target);
	if (all->target.setup.state != STATE_HALTED)
		ktap_result(before != after, "%s goes on meanwhile", text);
	return true;
}

static void report(const struct host_timers *all, unsigned int kind)
{
	const struct metric_param p[] = { { .key = "guest", .word = kinds[kind].word },
					  { .key = "cpus", .value = nr_cpus } };
	u64 limit = SLACK + (kinds[kind].state == STATE_GUEST ? vmx_heartbeat() : 0);

	ktap_result(!all->lost, "%s: every timer of the host fires", kinds[kind].text);
	ktap_result(!all->early, "%s: none fires early", kinds[kind].text);
	ktap_result(!all->twice, "%s: none fires twice", kinds[kind].text);
	ktap_result(all->latest <= limit, "%s: none is later than %s", kinds[kind].text,
		    kinds[kind].state == STATE_GUEST ? "the heartbeat" : "an exit takes");
	if (all->latest > limit)
		ktap_note("%llu ticks late", (unsigned long long)all->latest);
	if (all->nr)
		metric_samples("timers.late", "ticks", kick_samples[0], all->nr, p, ARRAY_SIZE(p));
}

static void test_kind(unsigned int kind, u64 n)
{
	const struct kick_setup setup = { .transport = KICK_NMI, .state = kinds[kind].state };
	static struct host_timers all;

	all = (struct host_timers){ .left = n };
	wait_queue_init(&all.done);
	rng_init(&all.rng, run_options.seed, kind);
	if (!kick_start(&all.target, &setup, kinds[kind].text))
		return;
	if (kick_wait(&all.target, &all.rng) && run_beside_guest(&all, kinds[kind].text))
		report(&all, kind);
	kick_note_error(&all.target);
	kick_end(&all.target);
}

static void run_timers(const struct param_values *params)
{
	if (!needs_cpus(2, "timers of the host beside a guest"))
		return;
	for (unsigned int kind = 0; kind < ARRAY_SIZE(kinds); kind++)
		test_kind(kind, param_number(params, "n"));
	ktap_note("the heartbeat is %llu ticks", (unsigned long long)vmx_heartbeat());
}

EXPERIMENT(timers)
= {
	.name = "timers",
	.shows = "timers of the host while guests run: none is lost, doubled or early",
	.flags = EXP_NEEDS_VMX,
	.spec = timers_spec,
	.nr_spec = ARRAY_SIZE(timers_spec),
	.run = run_timers,
};
