/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `wild`: guests that misbehave on purpose (guest/wild.c). Each ends as it should and in
 * time, and leaves nothing behind: all memory is back, and a good guest still runs. The same again
 * with random accesses, random addresses and the run's seed.
 */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/machine.h"
#include "hv/host/mem.h"
#include "hv/host/metric.h"
#include "hv/host/patience.h"
#include "hv/host/print.h"
#include "hv/host/random.h"
#include "hv/host/string.h"
#include "hv/host/timer.h"
#include "lab/experiment.h"
#include "lab/vmm.h"

#define GUEST_RAM      MIB(8)
#define LIMIT_SECONDS  5
#define LOOP_SECONDS   1
#define HOLE_END       0xe0000000ull /* below the devices that a PC has under 4 GiB */
#define APPEND_MAX     80
#define NR_RANDOM_ONES 300 /* of the accesses in one guest */

static const struct param_spec wild_spec[] = {
	PARAM_U64("n", 0, 100000, 6, "guests with random options"),
	PARAM_U64("cpus", 1, VM_MAX_VCPUS, 2, "vCPUs; the guest starts none but the first"),
};

/* How a guest has to end. */
enum ending_kind { SURVIVES, NO_MEMORY, TRIPLE_FAULT, SLEEPS, ENDLESS, ANYHOW };

static const struct {
	int status;
	u64 seconds;	  /* time limit */
	const char *why;  /* part of the text that the guest's end comes with */
	const char *text; /* the result's name */
} endings[] = {
	[SURVIVES] = { RUN_OK, LIMIT_SECONDS, "debug exit", "is survived, by the guest too" },
	[NO_MEMORY] = { RUN_FAILED, LIMIT_SECONDS, "where there is no memory",
			"is ended where there is no memory" },
	[TRIPLE_FAULT] = { RUN_FAILED, LIMIT_SECONDS, "triple fault",
			   "is ended by its triple fault" },
	[SLEEPS] = { RUN_FAILED, LIMIT_SECONDS, "nothing can wake",
		     "is ended when nothing can wake it" },
	[ENDLESS] = { RUN_HANG, LOOP_SECONDS, "no end after", "is ended by its time limit" },
	[ANYHOW] = { RUN_OK, LOOP_SECONDS, "", "comes to an end" },
};

static const struct mode {
	const char *name;
	enum ending_kind ending;
	bool takes_n, takes_address; /* options worth varying */
} modes[] = {
	{ "vmx", SURVIVES, false, false },   { "combos", SURVIVES, false, false },
	{ "vmcall", SURVIVES, true, false }, { "msr", SURVIVES, true, false },
	{ "ports", SURVIVES, true, false },  { "cr", SURVIVES, true, false },
	{ "all", SURVIVES, false, false },   { "hole", NO_MEMORY, false, true },
	{ "jump", NO_MEMORY, false, true },  { "cr3", NO_MEMORY, false, true },
	{ "idt", NO_MEMORY, false, true },   { "stack", NO_MEMORY, false, true },
	{ "hlt", SLEEPS, false, false },     { "triple", TRIPLE_FAULT, false, false },
	{ "loop", ENDLESS, false, false },   { "apic", SURVIVES, true, false },
	{ "anything", ANYHOW, true, false },
};

struct outcome {
	int err; /* of vmm_run() */
	struct vmm_result result;
	u64 ticks;
};

/* For what it has to do a guest needs longer on a slow machine; until it has done nothing it does
 * not. */
static u64 seconds_of(const struct mode *m)
{
	u64 seconds = endings[m->ending].seconds;

	return seconds == LOOP_SECONDS ? seconds : patient(seconds);
}

static void run_program(const char *name, const char *append, u64 seconds, u32 vcpus,
			struct outcome *out)
{
	struct vmm_config config;
	u64 start = ticks_now();

	*out = (struct outcome){ .err = vmm_embedded(&config, name, append) };
	if (!out->err) {
		config.ram = GUEST_RAM;
		config.cpus = vcpus;
		config.seconds = seconds;
		out->err = vmm_run(&config, &out->result);
	}
	out->ticks = ticks_now() - start;
}

static bool in_time(const struct mode *m, const struct outcome *o)
{
	u64 limit = seconds_of(m) * tsc_hz;

	if (m->ending == ENDLESS)
		return o->ticks >= limit && o->ticks < 2 * limit;
	return o->ticks < limit;
}

static bool ends_well(const struct mode *m, const struct outcome *o)
{
	if (m->ending == ANYHOW)
		return !o->err && o->ticks < 2 * seconds_of(m) * tsc_hz;
	return !o->err && o->result.status == endings[m->ending].status &&
	       strstr(o->result.why, endings[m->ending].why) && in_time(m, o);
}

/* A good guest after the bad one, and every page back after both. */
static void check_unharmed(const char *append, u64 used, u32 vcpus)
{
	struct outcome o;

	run_program("hello", "", patient(LIMIT_SECONDS), vcpus, &o);
	ktap_result(!o.err && !o.result.status && page_nr_used() == used,
		    "%s: leaves nothing behind, and a good guest runs", append);
	if (o.err || o.result.status)
		ktap_note("hello: %s (status %d)", o.result.why, o.err ? o.err : o.result.status);
	if (page_nr_used() != used)
		ktap_note("%llu pages used, %llu before", (unsigned long long)page_nr_used(),
			  (unsigned long long)used);
}

static void run_mode(const struct mode *m, const char *append, u32 vcpus)
{
	u64 used = page_nr_used();
	struct outcome o;

	run_program("wild", append, seconds_of(m), vcpus, &o);
	ktap_result(ends_well(m, &o), "%s: %s", append, endings[m->ending].text);
	if (!ends_well(m, &o))
		ktap_note("%s (status %d) after %llu ticks",
			  o.err == -ENOENT ? "not part of the image" : o.result.why,
			  o.err ? o.err : o.result.status, (unsigned long long)o.ticks);
	check_unharmed(append, used, vcpus);
}

/* Any address outside RAM, not always an aligned one. */
static u64 random_hole(struct rng *rng)
{
	u64 page = GUEST_RAM + rng_below(rng, (HOLE_END - GUEST_RAM) >> PAGE_SHIFT) * PAGE_SIZE;

	return rng_below(rng, 2) ? page : page + 8 * rng_below(rng, PAGE_SIZE / 8 - 1);
}

static const struct mode *random_mode(struct rng *rng)
{
	const struct mode *m;

	do {
		m = &modes[rng_below(rng, ARRAY_SIZE(modes))];
	} while (!m->takes_n && !m->takes_address);
	return m;
}

static void run_random(struct rng *rng, u32 vcpus)
{
	const struct mode *m = random_mode(rng);
	char append[APPEND_MAX];

	if (m->takes_n)
		fmt_print(append, sizeof(append), "do=%s n=%u seed=%llu", m->name, NR_RANDOM_ONES,
			  (unsigned long long)rng_next(rng));
	else
		fmt_print(append, sizeof(append), "do=%s addr=%#llx", m->name,
			  (unsigned long long)random_hole(rng));
	run_mode(m, append, vcpus);
}

static void run_wild(const struct param_values *params)
{
	u32 vcpus = (u32)param_number(params, "cpus");
	char append[APPEND_MAX];
	struct outcome o;
	struct rng rng;
	u64 start;

	/* What is allocated once and kept is there before anything is counted. */
	run_program("hello", "", patient(LIMIT_SECONDS), vcpus, &o);
	ktap_result(!o.err && !o.result.status, "a good guest runs");
	start = ticks_now();
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		fmt_print(append, sizeof(append), "do=%s", modes[i].name);
		run_mode(&modes[i], append, vcpus);
	}
	rng_init(&rng, run_options.seed, 0);
	for (u64 i = 0; i < param_number(params, "n"); i++)
		run_random(&rng, vcpus);
	metric_value("wild.total", "ticks", ticks_now() - start, NULL, 0);
}

EXPERIMENT(wild)
= {
	.name = "wild",
	.shows = "guests that misbehave on purpose end as they should, and harm nobody",
	.flags = EXP_NEEDS_VMX,
	.spec = wild_spec,
	.nr_spec = ARRAY_SIZE(wild_spec),
	.run = run_wild,
};
