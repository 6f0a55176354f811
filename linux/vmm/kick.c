/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `kick` on KVM: getting a vCPU's attention, and what it costs.
 *
 * Userspace has two ways, both by a signal to the vCPU's thread, and the kernel has its own, which
 * userspace only sees when an ioctl waits for it.
 */
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hv/host/ktap.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/timer.h"
#include "lab/needs.h"
#include "linux/vmm/kick.h"

static const struct param_spec kick_spec[] = {
	PARAM_ENUM("transport", 0, "how vCPUs are kicked", "all", "signal", "immediate_exit",
		   "request"),
	PARAM_ENUM("state", 0, "where the measured kicks find the vCPU", "all", "guest", "open",
		   "halted", "vmm", "entering"),
	PARAM_U64("samples", 1, KICK_MAX_SAMPLES, 200, "measured kicks of each kind"),
	PARAM_U64("requests", 8, 10000000, 1000, "requests by each CPU in a storm"),
};

#define NR_SLOW 8     /* samples where each takes as long as a heartbeat */
#define SLOW	20000 /* ticks */

static u64 samples[KICK_MAX_SAMPLES];

static const struct {
	const char *metric, *meaning;
} meanings[] = {
	{ "kick.oneway", "from the call until the kernel has every vCPU outside its guest" },
	{ "kick.roundtrip", "from the call until its thread is seen to have taken the request" },
	{ "kick.leave", "from the call until vcpu_run() has returned -EINTR" },
	{ "kick.floor", "membarrier(): an interrupt to the other CPU, until it was taken" },
};

static void report(const struct target *t, const char *metric, unsigned int n)
{
	const struct metric_param p[] = {
		{ .key = "transport", .word = transport_names[t->transport] },
		{ .key = "state", .word = where_names[t->where] },
		{ .key = "cpus", .value = nr_cpus },
	};

	metric_samples(metric, "ticks", samples, n, p, ARRAY_SIZE(p));
}

/* --- one kick --------------------------------------------------------------------------------- */

static u64 ask(struct target *t)
{
	u64 start = ticks_now();

	vcpu_request(t->vcpu, REQ_EXIT);
	if (t->where == IN_VMM)
		atomic_store(&t->stay_out, false);
	return start;
}

/* As in lab/kick_latency.c: the loops look as often as they can. 0: not in time. */
#define TICKS_UNTIL(start, cond)                                                                   \
	({                                                                                         \
		u64 tries_ = target_limit() / 4;                                                   \
                                                                                                   \
		while (!(cond) && --tries_)                                                        \
			;                                                                          \
		tries_ ? ticks_now() - (start) : 0;                                                \
	})

/*
 * KVM_SET_CLOCK has every vCPU out of its guest before it changes the clock, by a request that
 * waits for the interrupts' acknowledgement; and with it goes what else the call does.
 */
static u64 sample_oneway(struct target *t)
{
	struct kvm_clock_data clock = { .clock = 0 };
	u64 start = ticks_now();

	return vm_ioctl(t->tiny.vm, KVM_SET_CLOCK, &clock) ? 0 : ticks_now() - start;
}

static u64 sample_roundtrip(struct target *t)
{
	u64 start = ask(t);

	return TICKS_UNTIL(start, !(atomic_load_explicit(&t->vcpu->requests, memory_order_relaxed) &
				    REQ_EXIT));
}

static u64 sample_leave(struct target *t)
{
	u64 before = atomic_load(&t->left), start = ask(t);

	return TICKS_UNTIL(start, atomic_load_explicit(&t->left, memory_order_relaxed) != before);
}

/* --- many ------------------------------------------------------------------------------------- */

static const struct kind {
	const char *metric;
	u64 (*sample)(struct target *t);
	bool by_request;
} kinds[] = {
	{ "kick.oneway", sample_oneway, true },
	{ "kick.roundtrip", sample_roundtrip, false },
	{ "kick.leave", sample_leave, false },
};

/* Returns how many were answered in time. */
static unsigned int sample_many(struct target *t, const struct kind *k, unsigned int n,
				struct rng *rng)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (t->where == IN_VMM && !target_keep_out(t))
			break;
		if (!target_wait(t, rng))
			break;
		samples[i] = k->sample(t);
		if (!samples[i])
			break;
	}
	if (t->where == IN_VMM)
		target_let_in(t);
	return i;
}

static void report_exits(struct target *t, const char *metric, u64 exits, u64 ops)
{
	const struct metric_param p[] = {
		{ .key = "of", .word = metric },
		{ .key = "ops", .value = ops },
		{ .key = "transport", .word = transport_names[t->transport] },
		{ .key = "state", .word = where_names[t->where] },
	};

	metric_value("kvm.exits", "count", exits, p, ARRAY_SIZE(p));
}

/* Samples are sorted. Bochs 2.7 for instance; the SDM has the exit whatever the flag is. */
static void note_slow(const struct target *t)
{
	if (t->where == IN_GUEST && samples[0] > SLOW)
		ktap_note(
			"this machine does not exit for an interrupt while the guest has them "
			"disabled: the heartbeat takes it");
}

static void measure_kinds(struct target *t, unsigned int n, const char *name)
{
	bool ok = true;
	struct rng rng;

	rng_init(&rng, run_options.seed, t->where);
	for (unsigned int k = 0; k < ARRAY_SIZE(kinds) && ok; k++) {
		u64 exits = vcpu_stat(t->vcpu, "exits");
		unsigned int taken;

		if (kinds[k].by_request != (t->transport == BY_REQUEST))
			continue;
		taken = sample_many(t, &kinds[k], n, &rng);
		ok = taken == n;
		if (!taken)
			continue;
		report(t, kinds[k].metric, taken);
		note_slow(t);
		report_exits(t, kinds[k].metric, vcpu_stat(t->vcpu, "exits") - exits, taken);
	}
	ktap_result(ok && !atomic_load(&t->error), "%s", name);
	target_note_error(t);
}

static void measure_one(const struct kick_params *p, enum transport transport, enum where where)
{
	unsigned int n =
		(unsigned int)(where == IN_GUEST ? min_u64(p->samples, NR_SLOW) : p->samples);
	struct target t = { .transport = transport, .where = where };
	char name[96];

	fmt_print(name, sizeof(name), "every kick is answered: %s, %s", transport_names[transport],
		  where_words[where]);
	if (!target_can(where, p->where >= 0, name) || !target_start(&t, target_code(where), name))
		return;
	measure_kinds(&t, n, name);
	target_end(&t);
}

/* --- the floor -------------------------------------------------------------------------------- */

static void spin_until(void *arg)
{
	_Atomic bool *over = arg;

	while (!atomic_load(over))
		cpu_relax();
}

static bool membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0) == 0;
}

static void measure_floor(unsigned int n)
{
	const struct metric_param p = { .key = "cpus", .value = nr_cpus };
	static const char name[] = "every bare interrupt is answered";
	_Atomic bool over = false;
	struct thread *thread;
	unsigned int i;

	if (!needs_cpus(2, name))
		return;
	if (!membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)) {
		ktap_skip("no membarrier() in this kernel", "%s", name);
		return;
	}
	BUG_ON(thread_create(&thread, KICK_TARGET_CPU, "floor", spin_until, &over));
	for (i = 0; i < n; i++) {
		u64 start;

		spin_ticks(3000); /* the one before is over */
		start = ticks_now();
		if (!membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED))
			break;
		samples[i] = ticks_now() - start;
	}
	atomic_store(&over, true);
	thread_join(thread);
	ktap_result(i == n, "%s", name);
	if (i)
		metric_samples("kick.floor", "ticks", samples, i, &p, 1);
}

/* A request of the kernel finds a vCPU in the guest, or does nothing. */
static bool says_something(enum transport transport, enum where where)
{
	return transport != BY_REQUEST || (where != IN_HLT && where != IN_VMM);
}

void kick_measure(const struct kick_params *p)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(meanings); i++)
		ktap_note("%s: %s", meanings[i].metric, meanings[i].meaning);
	measure_floor((unsigned int)p->samples);
	for (int transport = 0; transport < NR_TRANSPORTS; transport++)
		for (int where = 0; where < NR_WHERE; where++)
			if ((p->transport < 0 || p->transport == transport) &&
			    (p->where < 0 || p->where == where) &&
			    says_something((enum transport)transport, (enum where)where))
				measure_one(p, (enum transport)transport, (enum where)where);
}

static void run_kick(const struct param_values *params)
{
	const struct kick_params p = {
		.samples = param_number(params, "samples"),
		.requests = param_number(params, "requests"),
		.transport = (int)param_number(params, "transport") - 1,
		.where = (int)param_number(params, "state") - 1,
	};

	kick_measure(&p);
	kick_storms(&p);
}

EXPERIMENT(kick)
= {
	.name = "kick",
	.shows = "what a kick costs by transport and vCPU state, and that no request is lost",
	.flags = EXP_NEEDS_VMX,
	.spec = kick_spec,
	.nr_spec = ARRAY_SIZE(kick_spec),
	.run = run_kick,
};
