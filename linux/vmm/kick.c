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

/* --- one kick --------------------------------------------------------------------------------- */

/*
 * KVM_SET_CLOCK has every vCPU out of its guest before it changes the clock, by a request that
 * waits for the interrupts' acknowledgement; and with it goes what else the call does.
 */
static u64 sample_oneway(struct kick_target *t)
{
	struct kvm_clock_data clock = { .clock = 0 };
	u64 start = ticks_now();

	return vm_ioctl(t->tiny.vm, KVM_SET_CLOCK, &clock) ? 0 : ticks_now() - start;
}

static u64 sample_roundtrip(struct kick_target *t)
{
	u64 start = kick_ask(t, REQ_EXIT);

	return KICK_TICKS_UNTIL(
		start, kick_limit(&t->setup),
		!(atomic_load_explicit(&t->vcpu->requests, memory_order_relaxed) & REQ_EXIT));
}

/* --- many ------------------------------------------------------------------------------------- */

static const struct kind {
	const char *metric;
	u64 (*sample)(struct kick_target *t);
	bool by_request;
} kinds[] = {
	{ "kick.oneway", sample_oneway, true },
	{ "kick.roundtrip", sample_roundtrip, false },
	{ "kick.leave", kick_sample_leave, false },
};

static void report_exits(struct kick_target *t, const char *metric, u64 exits, u64 ops)
{
	const struct metric_param p[] = {
		{ .key = "of", .word = metric },
		{ .key = "ops", .value = ops },
		{ .key = "transport", .word = kick_transport_names[t->setup.transport] },
		{ .key = "state", .word = kick_state_names[t->setup.state] },
	};

	metric_value("kvm.exits", "count", exits, p, ARRAY_SIZE(p));
}

/* Samples are sorted. Bochs 2.7 for instance; the SDM has the exit whatever the flag is. */
static void note_slow(const struct kick_target *t)
{
	if (t->setup.state == STATE_GUEST && samples[0] > SLOW)
		ktap_note(
			"this machine does not exit for an interrupt while the guest has them "
			"disabled: the heartbeat takes it");
}

static void measure_kinds(struct kick_target *t, unsigned int n, const char *name)
{
	bool ok = true;
	struct rng rng;

	rng_init(&rng, run_options.seed, t->setup.state);
	for (unsigned int k = 0; k < ARRAY_SIZE(kinds) && ok; k++) {
		u64 exits = vcpu_stat(t->vcpu, "exits");
		unsigned int taken;

		if (kinds[k].by_request != (t->setup.transport == BY_REQUEST))
			continue;
		taken = kick_sample(t, kinds[k].sample, samples, n, &rng);
		ok = taken == n;
		if (!taken)
			continue;
		kick_report(&t->setup, kinds[k].metric, samples, taken);
		note_slow(t);
		report_exits(t, kinds[k].metric, vcpu_stat(t->vcpu, "exits") - exits, taken);
	}
	ktap_result(ok && !atomic_load(&t->error), "%s", name);
	kick_note_error(t);
}

static void measure_one(const struct kick_params *p, u32 transport, enum kick_state state)
{
	const struct kick_setup s = kick_setup_of(p, transport, state);
	unsigned int n = (unsigned int)p->samples;

	if (state == STATE_GUEST)
		n = (unsigned int)min_u64(n, NR_SLOW);
	kick_measure_one(&s, n, measure_kinds);
}

/* --- the floor -------------------------------------------------------------------------------- */

static bool membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0) == 0;
}

static u64 sample_floor(struct rng *rng)
{
	u64 start;

	spin_ticks(3000); /* the one before is over */
	start = ticks_now();
	return membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) ? ticks_now() - start : 0;
}

static void measure_floor(unsigned int n)
{
	static const char name[] = "every bare interrupt is answered";

	if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED))
		kick_measure_floor(name, sample_floor, samples, n);
	else
		ktap_skip("no membarrier() in this kernel", "%s", name);
}

/* A request of the kernel finds a vCPU in the guest, or does nothing. */
static bool says_something(u32 transport, enum kick_state state)
{
	return transport != BY_REQUEST || (state != STATE_HALTED && state != STATE_VMM);
}

void kick_measure(const struct kick_params *p)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(meanings); i++)
		ktap_note("%s: %s", meanings[i].metric, meanings[i].meaning);
	measure_floor((unsigned int)p->samples);
	for (int transport = 0; transport < NR_TRANSPORTS; transport++)
		for (int state = 0; state < NR_KICK_STATES; state++)
			if ((p->transport < 0 || p->transport == transport) &&
			    (p->state < 0 || p->state == state) &&
			    says_something((u32)transport, (enum kick_state)state))
				measure_one(p, (u32)transport, (enum kick_state)state);
}

static void run_kick(const struct param_values *params)
{
	const struct kick_params p = {
		.samples = param_number(params, "samples"),
		.requests = param_number(params, "requests"),
		.transport = (int)param_number(params, "transport") - 1,
		.state = (int)param_number(params, "state") - 1,
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
