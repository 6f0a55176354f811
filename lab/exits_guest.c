/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `exits`: what guests measure themselves. See lab/exits.h. */
#include "lab/exits.h"

#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "lab/vmm.h"

static u64 samples[EXITS_MAX_SAMPLES];

/* Fetch what a loop of tiny_code.S has stored. */
static int read_samples(struct tiny *t, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		u32 v;
		int err = vm_read(t->vm, TINY_SAMPLES + i * sizeof(v), &v, sizeof(v));

		if (err)
			return err;
		samples[i] = v;
	}
	return 0;
}

int exits_run_to_halt(struct vcpu *vcpu)
{
	int err;

	while (!(err = vcpu_run(vcpu)) && vcpu->run.reason == RUN_EXIT_IO)
		vcpu->run.io.data = 0;
	return err ? err : vcpu->run.reason == RUN_EXIT_HLT ? 0 : -EIO;
}

void exits_loop(struct tiny_code code, int (*run)(struct vcpu *), unsigned int batches,
		const char *metric, const char *what)
{
	const struct metric_param p = { .key = "cpus", .value = nr_cpus };
	struct tiny t;
	int err = tiny_create(&t, code, batches);

	if (!err)
		err = run(t.vcpu);
	if (!err)
		err = read_samples(&t, batches);
	ktap_result(!err, "%s", what);
	if (!err)
		metric_samples(metric, "ticks", samples, batches, &p, 1);
	tiny_destroy(&t);
}

void exits_kinds(u64 n)
{
	struct vmm_config config;
	struct vmm_result result = { .status = 0 };
	char append[64];
	int err;

	/* One touch per 2 MiB: that is the size of a mapping. */
	fmt_print(append, sizeof(append), "n=%llu stride=0x200000", (unsigned long long)n);
	err = vmm_embedded(&config, "exits", append);
	if (!err)
		err = vmm_run(&config, &result);
	ktap_result(!err && !result.status, "the guest checks every kind of exit");
	if (err || result.status)
		ktap_note("%s (status %d)", err ? errno_name(err) : result.why,
			  err ? err : result.status);
}
