/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `apic-guests`: whole guests that work on their local APICs (guest/apic.c) or do wild
 * things to them (guest/wild_apic.c), on every rung, while the APIC-access page is migrated all the
 * time. The page is filled with a sentinel, which no guest may ever see.
 */
#include "hv/host/errno.h"
#include "hv/host/irq.h"
#include "hv/host/ktap.h"
#include "hv/host/mem.h"
#include "hv/host/metric.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/timer.h"
#include "lab/experiment.h"
#include "lab/vmm.h"

#define SENTINEL   0xa5
#define APPEND_MAX 64

/* In the order of enum vmx_apic_rung. */
static const struct param_spec apic_guests_spec[] = {
	PARAM_ENUM("do", 0, "the checks, the timers under load, the wild accesses", "all", "check",
		   "load", "wild"),
	PARAM_ENUM("rung", 0, "what the CPU does of the local APICs", "all", "emulate", "tpr",
		   "access", "register", "delivery", "x2apic"),
	PARAM_U64("cpus", 1, 8, 2, "vCPUs"),
	PARAM_U64("n", 1, 1000000, 300, "timer expiries of each vCPU under load"),
	PARAM_U64("every", 0, 1000000000, 0, "ticks between two migrations"),
	PARAM_U64("wild", 1, 1000000, 1000, "wild accesses of each vCPU"),
};

static const struct part {
	const char *name, *program, *text;
	bool moves; /* the page is migrated meanwhile */
} parts[] = {
	{ "check", "apic", "its APICs do what they should", false },
	{ "load", "apic", "no timer is early, and nothing is lost under load", true },
	{ "wild", "wild", "wild accesses are survived, and see no byte of the page", true },
};

enum { CHECK, LOAD, WILD };

struct mover {
	u64 every, moves;
	int err;
};

static void pause(u64 ticks)
{
	struct wait_queue nobody;
	struct waiter w;

	wait_queue_init(&nobody);
	wait_prepare(&nobody, &w);
	wait_sleep_until(&w, ticks_now() + ticks);
	wait_finish(&nobody, &w);
}

static void move_always(struct vm *vm, _Atomic bool *ended, void *arg)
{
	hpa_t frame = vm_apic_page_frame(vm);
	struct mover *m = arg;

	if (frame)
		memset(phys_to_virt(frame), SENTINEL, PAGE_SIZE);
	while (!atomic_load(ended) && !m->err) {
		m->err = vm_move_apic_page(vm, SENTINEL);
		m->moves += !m->err;
		/* A vCPU's thread may want this CPU, and its timers. */
		irq_window();
		thread_yield();
		if (m->every)
			pause(m->every);
	}
	if (m->err == -ENOENT) /* the rung needs no page */
		m->err = 0;
}

static void append_for(unsigned int i, const struct param_values *params, char *append)
{
	switch (i) {
	case LOAD:
		fmt_print(append, APPEND_MAX, "do=load n=%llu",
			  (unsigned long long)param_number(params, "n"));
		break;
	case WILD:
		fmt_print(append, APPEND_MAX, "do=apic n=%llu seed=%llu",
			  (unsigned long long)param_number(params, "wild"),
			  (unsigned long long)run_options.seed);
		break;
	default:
		fmt_print(append, APPEND_MAX, "do=check shared=%u",
			  param_number(params, "cpus") > nr_cpus);
	}
}

static void run_part(unsigned int i, enum vmx_apic_rung rung, const struct param_values *params)
{
	const struct part *p = &parts[i];
	struct vmm_result result = { .status = 0 };
	struct mover mover = { .every = param_number(params, "every") };
	struct vmm_config config;
	char append[APPEND_MAX];
	int err;

	append_for(i, params, append);
	err = vmm_embedded(&config, p->program, append);
	if (!err) {
		config.cpus = (u32)param_number(params, "cpus");
		config.choose_apic = true;
		config.apic = (u8)rung;
		config.seconds = 0;
		config.beside = p->moves ? move_always : NULL;
		config.arg = &mover;
		err = vmm_run(&config, &result);
	}
	ktap_result(!err && !result.status && !mover.err, "%s: %s", vmx_apic_rung_name(rung),
		    p->text);
	if (err || result.status)
		ktap_note("%s: %s (status %d)", append, result.why, err ? err : result.status);
	if (mover.err)
		ktap_note("a migration failed: %s", errno_name(mover.err));
	if (p->moves) {
		const struct metric_param m[] = { { .key = "rung",
						    .word = vmx_apic_rung_name(rung) },
						  { .key = "part", .word = p->name } };

		metric_value("apic.guest_migrations", "count", mover.moves, m, ARRAY_SIZE(m));
	}
}

static void run_apic_guests(const struct param_values *params)
{
	u64 part = param_number(params, "do"), only = param_number(params, "rung");

	for (unsigned int rung = 0; rung < NR_VMX_APIC_RUNGS; rung++) {
		if (only && only != rung + 1)
			continue;
		if (vmx_apic_missing(rung)) {
			ktap_skip(vmx_apic_missing(rung), "%s", vmx_apic_rung_name(rung));
			continue;
		}
		for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++)
			if (!part || part == i + 1)
				run_part(i, rung, params);
	}
	if (!part || part == WILD + 1)
		metric_value("apic.wild_accesses", "count",
			     param_number(params, "wild") * param_number(params, "cpus"), NULL, 0);
}

EXPERIMENT(apic_guests)
= {
	.name = "apic-guests",
	.shows = "guests on every rung of APIC virtualization, well-behaved and wild",
	.flags = EXP_NEEDS_VMX | EXP_ON_REQUEST,
	.spec = apic_guests_spec,
	.nr_spec = ARRAY_SIZE(apic_guests_spec),
	.run = run_apic_guests,
};
