/* SPDX-License-Identifier: GPL-2.0-only */
/* The vCPU under fire, whoever runs it: see lab/kick.h. */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/machine.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/timer.h"
#include "lab/kick.h"

#define KICK_AGAIN patient(5000) /* ticks, at the end */

const char *const kick_state_names[] = {
	[STATE_GUEST] = "guest", [STATE_OPEN] = "open",		[STATE_HALTED] = "halted",
	[STATE_VMM] = "vmm",	 [STATE_ENTERING] = "entering",
};

const char *const kick_state_words[] = {
	[STATE_GUEST] = "the guest spins with interrupts disabled",
	[STATE_OPEN] = "the guest spins with interrupts enabled",
	[STATE_HALTED] = "the guest is in HLT",
	[STATE_VMM] = "the vCPU is with its VMM",
	[STATE_ENTERING] = "the vCPU is entering its guest",
};

/* --- its thread: what a VMM does -------------------------------------------------------------- */

static void answer(struct kick_target *t)
{
	for (u32 k = 0; k < nr_cpus; k++)
		atomic_store(&t->answered[k], atomic_load(&t->asked[k]));
	atomic_fetch_add(&t->left, 1);
}

static void stay_out(struct kick_target *t)
{
	atomic_store(&t->is_out, true);
	while (atomic_load(&t->stay_out) && !atomic_load(&t->over))
		cpu_relax();
	atomic_store(&t->is_out, false);
}

static void run_target(void *arg)
{
	struct kick_target *t = arg;
	int err;

	do {
		if (atomic_load(&t->stay_out))
			stay_out(t);
		err = vcpu_run(t->vcpu);
		if (err == -EINTR)
			answer(t);
		else
			atomic_store(&t->error, err ? err : -EIO);
	} while (!atomic_load(&t->over) && !atomic_load(&t->error));
	vcpu_unload(t->vcpu);
	atomic_store(&t->ended, true);
}

/* --- making and ending it --------------------------------------------------------------------- */

static struct tiny_code code_for(const struct kick_setup *s)
{
	switch (s->state) {
	case STATE_OPEN: return TINY_OPEN;
	case STATE_HALTED: return TINY_HALT;
	case STATE_ENTERING: return TINY_EXITS;
	default: return TINY_BEAT;
	}
}

int kick_create(struct kick_target *t, const struct kick_setup *s)
{
	int err;

	*t = (struct kick_target){ .setup = *s };
	err = tiny_create_many(&t->tiny, s->code.start ? s->code : code_for(s), 1);
	if (err)
		return err;
	t->vcpu = t->tiny.vcpu;
	vm_expect_events(t->tiny.vm);
	err = kick_prepare(t);
	if (err)
		tiny_destroy(&t->tiny);
	return err;
}

int kick_run(struct kick_target *t, u32 cpu)
{
	t->cpu = cpu;
	atomic_store(&t->over, false);
	atomic_store(&t->ended, false);
	return thread_create(&t->thread, cpu, "target", run_target, t);
}

/* Kicked again and again, where one is lost. */
void kick_halt(struct kick_target *t)
{
	u64 start = ticks_now();

	atomic_store(&t->over, true);
	while (!atomic_load(&t->ended)) {
		if (ticks_now() - start > kick_never())
			machine_exit(RUN_HANG, "a vCPU does not leave, however often it is kicked");
		vcpu_request(t->vcpu, REQ_EXIT);
		spin_ticks(KICK_AGAIN);
	}
	thread_join(t->thread);
	t->thread = NULL;
}

void kick_destroy(struct kick_target *t)
{
	tiny_destroy(&t->tiny);
}

bool kick_start(struct kick_target *t, const struct kick_setup *s, const char *name)
{
	int err = kick_create(t, s);

	if (err == -EOPNOTSUPP) {
		ktap_skip(kick_needs(s), "%s", name);
		return false;
	}
	if (!err) {
		err = kick_run(t, KICK_TARGET_CPU);
		if (err)
			kick_destroy(t);
	}
	if (err) {
		ktap_result(false, "%s", name);
		ktap_note("a vCPU cannot be created: %s", errno_name(err));
	}
	return !err;
}

void kick_end(struct kick_target *t)
{
	kick_halt(t);
	kick_destroy(t);
}

/* --- what it does ----------------------------------------------------------------------------- */

bool kick_keep_out(struct kick_target *t)
{
	u64 start = ticks_now();

	atomic_store(&t->stay_out, true);
	vcpu_request(t->vcpu, REQ_EXIT);
	while (!atomic_load(&t->is_out)) {
		if (ticks_now() - start > kick_never() || atomic_load(&t->error))
			return false;
		cpu_relax();
	}
	return true;
}

void kick_let_in(struct kick_target *t)
{
	atomic_store(&t->stay_out, false);
	while (atomic_load(&t->is_out) && !atomic_load(&t->error))
		cpu_relax();
}

void kick_note_error(struct kick_target *t)
{
	int err = atomic_load(&t->error);

	if (err == -EIO)
		ktap_note("the vCPU left for the VMM: reason %u", t->vcpu->run.reason);
	else if (err)
		ktap_note("vcpu_run(): %s", errno_name(err));
}

/* --- samples ---------------------------------------------------------------------------------- */

u64 kick_sample_leave(struct kick_target *t)
{
	u64 before = atomic_load(&t->left), start = kick_ask(t, REQ_EXIT);

	return KICK_TICKS_UNTIL(start, kick_limit(&t->setup),
				atomic_load_explicit(&t->left, memory_order_relaxed) != before);
}

unsigned int kick_sample(struct kick_target *t, u64 (*sample)(struct kick_target *t), u64 *samples,
			 unsigned int n, struct rng *rng)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (t->setup.state == STATE_VMM && !kick_keep_out(t))
			break;
		if (!kick_wait(t, rng))
			break;
		samples[i] = sample(t);
		if (!samples[i])
			break;
	}
	if (t->setup.state == STATE_VMM)
		kick_let_in(t);
	return i;
}

void kick_report(const struct kick_setup *s, const char *metric, u64 *samples, unsigned int n)
{
	const struct metric_param p[] = {
		{ .key = "transport", .word = kick_transport_names[s->transport] },
		{ .key = "state", .word = kick_state_names[s->state] },
		{ .key = "cpus", .value = nr_cpus },
	};

	metric_samples(metric, "ticks", samples, n, p, ARRAY_SIZE(p));
}

void kick_measure_one(const struct kick_setup *s, unsigned int n,
		      void (*measure)(struct kick_target *t, unsigned int n, const char *name))
{
	struct kick_target t;
	char name[96];

	fmt_print(name, sizeof(name), "every kick is answered: %s, %s",
		  kick_transport_names[s->transport], kick_state_words[s->state]);
	if (!needs_cpus(2, name) || !kick_start(&t, s, name))
		return;
	measure(&t, n, name);
	kick_end(&t);
}

static void spin_until(void *arg)
{
	_Atomic bool *over = arg;

	while (!atomic_load(over))
		cpu_relax();
}

void kick_measure_floor(const char *name, u64 (*sample)(struct rng *rng), u64 *samples,
			unsigned int n)
{
	const struct metric_param p = { .key = "cpus", .value = nr_cpus };
	_Atomic bool over = false;
	struct thread *thread;
	unsigned int i = 0;
	struct rng rng;

	if (!needs_cpus(2, name))
		return;
	if (thread_create(&thread, KICK_TARGET_CPU, "floor", spin_until, &over)) {
		ktap_result(false, "there is memory for a thread");
		return;
	}
	rng_init(&rng, run_options.seed, NR_KICK_STATES);
	while (i < n && (samples[i] = sample(&rng)))
		i++;
	atomic_store(&over, true);
	thread_join(thread);
	ktap_result(i == n, "%s", name);
	if (i)
		metric_samples("kick.floor", "ticks", samples, i, &p, 1);
}
