/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `hop`: whole guests are moved between two VMs again and again while they run, all
 * their vCPUs at once, by nothing but the states of their vCPUs. The guests check themselves: what
 * is lost on the way they miss.
 */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/mem.h"
#include "hv/host/metric.h"
#include "hv/host/patience.h"
#include "hv/host/percpu.h"
#include "hv/host/x86.h"
#include "lab/experiment.h"
#include "lab/hopper.h"

#define CPUID1_ECX_HYPERVISOR BIT(31)

static const struct param_spec hop_spec[] = {
	PARAM_U64("every", 1000, 1000000000, 20000,
		  "ticks between two moves, on average; not given: more on a slow machine"),
	PARAM_U64("hops", 0, 1000000, 0, "moves of each guest, 0: as long as it runs"),
	PARAM_U64("cpus", 1, VM_MAX_VCPUS, 2,
		  "vCPUs of the guests that use several, as far as there are CPUs"),
};

/*
 * The rungs of the two VMs; the best there is where not given. With virtual-interrupt delivery
 * Bochs delivers an interrupt that the guest has disabled when one of the host's comes, as those do
 * that start a move: so `events`, which would notice, does without.
 *
 * An exit for memory that is not mapped leaves, in Bochs, the step of the same instruction pending:
 * it traps before and after. A hypervisor below unmaps with every INVEPT, and maps again: so where
 * there is one a guest that steps is not moved.
 */
static const struct journey {
	const char *guest, *append;
	bool several, rungs, steps;
	u8 from, to; /* enum vmx_apic_rung */
	const char *what;
} journeys[] = {
	{ "exits", "", .what = "emulated instructions" },
	{ "events", "", false, true, true, VMX_APIC_REGISTER, VMX_APIC_REGISTER,
	  "exceptions, interrupts, NMIs, single steps" },
	{ "fpu", "", .what = "extended state and XCR0" },
	{ "memory", "", .several = true, .what = "paging of every kind" },
	{ "apic", "do=check", .several = true, .what = "the local APIC" },
	{ "apic", "do=check", true, true, false, VMX_APIC_ACCESS, VMX_APIC_X2APIC,
	  "the local APIC, between two rungs" },
	{ "apic", "do=check", true, true, false, VMX_APIC_EMULATE, VMX_APIC_DELIVERY,
	  "the local APIC, between two others" },
	{ "wild", "do=apic n=300 seed=1", .several = true,
	  .what = "wild accesses to the local APIC" },
};

static const char *missing_for(const struct journey *j)
{
	const char *missing;

	if (j->steps && cpuid(1, 0).ecx & CPUID1_ECX_HYPERVISOR)
		return "there is a hypervisor below: if it runs in Bochs, steps come twice";
	if (!j->rungs)
		return NULL;
	missing = vmx_apic_missing(j->to);
	return missing ? missing : vmx_apic_missing(j->from);
}

static bool can_go(const struct journey *j)
{
	const char *missing = missing_for(j);

	if (missing)
		ktap_skip(missing, "%s, moved while it runs: %s", j->guest, j->what);
	return !missing;
}

static void print_metrics(struct hopper *h, const struct journey *j, u32 vcpus)
{
	unsigned int n = (unsigned int)min_u64(h->hops, HOP_SAMPLES);
	const struct metric_param m[] = { { .key = "guest", .word = j->guest },
					  { .key = "vcpus", .value = vcpus },
					  { .key = "cpus", .value = nr_cpus } };

	if (!n || j->rungs)
		return;
	metric_samples("hop.get_state", "ticks", h->get, n, m, ARRAY_SIZE(m));
	metric_samples("hop.set_state", "ticks", h->set, n, m, ARRAY_SIZE(m));
	metric_value("hop.hops", "count", h->hops, m, ARRAY_SIZE(m));
	metric_value("hop.state", "bytes", h->bytes, m, ARRAY_SIZE(m));
}

/* Between two moves the guest has to get on. */
static u64 every(const struct param_values *params)
{
	u64 ticks = param_number(params, "every");

	return param_given(params, "every") ? ticks : patient(ticks);
}

static void go(struct hopper *h, const struct journey *j, const struct param_values *params)
{
	/* Two on one CPU would not both come to run between two moves. */
	u32 vcpus = j->several ? (u32)min_u64(param_number(params, "cpus"), nr_cpus) : 1;
	struct vmm_result result = { .status = 0 };
	struct vmm_config config;
	int err = vmm_embedded(&config, j->guest, j->append);

	*h = (struct hopper){ .every = every(params),
			      .max = param_number(params, "hops"),
			      .choose_apic = j->rungs,
			      .apic = j->to };
	config.cpus = vcpus;
	config.choose_apic = j->rungs;
	config.apic = j->from;
	config.seconds = 0;
	hopper_use(h, &config);
	if (!err)
		err = vmm_run(&config, &result);
	hopper_end(h);
	ktap_result(!err && !result.status && h->hops && !h->changed,
		    "%s with %u vCPUs, moved while it runs: %s", j->guest, vcpus, j->what);
	if (err || result.status)
		ktap_note("after %llu moves: %s (status %d)", (unsigned long long)h->hops,
			  result.why, err ? err : result.status);
	if (h->changed)
		ktap_note("%llu states were not what they should be when they were read again",
			  (unsigned long long)h->changed);
	print_metrics(h, j, vcpus);
}

static void run_hop(const struct param_values *params)
{
	struct hopper *h = kzalloc(sizeof(*h));

	if (!h) {
		ktap_result(false, "there is memory for the experiment");
		return;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(journeys); i++)
		if (can_go(&journeys[i]))
			go(h, &journeys[i], params);
	kfree(h);
}

EXPERIMENT(hop)
= {
	.name = "hop",
	.shows = "guests that are moved between two VMs while they run miss nothing",
	.flags = EXP_NEEDS_VMX | EXP_ON_REQUEST,
	.spec = hop_spec,
	.nr_spec = ARRAY_SIZE(hop_spec),
	.run = run_hop,
};
