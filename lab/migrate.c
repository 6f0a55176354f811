/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `migrate`: a guest moves from one VM to another while it writes all of its memory all
 * the time, and notices nothing but time. Post-copy: it runs at the target before its memory is
 * there; what it touches is fetched over a modelled link, the rest is pushed. With rounds of
 * pre-copy before the switch, or without.
 *
 * Three ways to hear of a missing page, at the same parameters, beside each other. And a link that
 * breaks, at every phase: the guest goes on where its memory is, or stops.
 */
#include "lab/migrate.h"

#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/mem.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "lab/experiment.h"
#include "lab/needs.h"

#define AFTERWARDS   patient(1000000) /* ticks that the guest runs when the source is gone */
#define OTHER_MEMORY 16		      /* MiB: tables, the hypervisor's own */

typedef unsigned long long llu;

const char *const migrate_way_name[MIGRATE_WAYS] = {
	[MIGRATE_QUEUE] = "queue",
	[MIGRATE_EXIT] = "exit",
	[MIGRATE_BITMAP] = "bitmap",
};

static const struct param_spec migrate_spec[] = {
	PARAM_ENUM("do", 0, "a guest that moves, a link that breaks", "all", "move", "break"),
	PARAM_ENUM("way", 0, "how a missing page is heard of", "all", "queue", "exit", "bitmap"),
	PARAM_U64("rounds", 0, 16, 1, "of pre-copy; not given: none, and one"),
	PARAM_U64("latency", 0, 10000000, 5000, "of the link, in ticks"),
	PARAM_U64("bandwidth", 1, 1000000, 4000, "of the link, in bytes per 1,000 ticks"),
	PARAM_BOOL("shared", 0, "both directions share the link"),
	PARAM_U64("mem", 4, 1024, 4, "guest memory in MiB"),
	PARAM_U64("vcpus", 1, MIGRATE_MAX_VCPUS, 1, "each on a CPU of its own, besides CPU 0"),
	PARAM_U64("lines", 1, 64, 8, "of the 64 of each page that a vCPU writes"),
	PARAM_ENUM("at", 0, "where the link breaks", "all", "precopy", "state", "go", "demand",
		   "push", "refused"),
};

/* The table: a line for each move. */
static char row[2 * MIGRATE_WAYS][160];
static unsigned int nr_rows;

bool migrate_note_wrong(const struct migration *m)
{
	const struct migrate_result *r = &m->result;

	if (r->number[NUMBER_WRONG])
		ktap_note("%llu bytes of %llu pages differ", (llu)r->number[NUMBER_WRONG],
			  (llu)r->number[NUMBER_COMPARED]);
	if (atomic_load(&m->guest_wrong))
		ktap_note("the guest has found something wrong %u times",
			  atomic_load(&m->guest_wrong));
	return r->number[NUMBER_WRONG] || atomic_load(&m->guest_wrong);
}

/* --- figures --------------------------------------------------------------------------------- */

static void print_metrics(struct migration *m)
{
	static const char *const names[NR_NUMBERS][2] = {
		[NUMBER_TOTAL] = { "migrate.total", "ticks" },
		[NUMBER_AFTER_SWITCH] = { "migrate.after_switch", "ticks" },
		[NUMBER_AHEAD] = { "migrate.precopied", "count" },
		[NUMBER_WITH_STATE] = { "migrate.with_state", "count" },
		[NUMBER_DEMANDED] = { "migrate.demanded", "count" },
		[NUMBER_PUSHED] = { "migrate.pushed", "count" },
		[NUMBER_TWICE] = { "migrate.twice", "count" },
		[NUMBER_BYTES] = { "migrate.bytes", "bytes" },
		[NUMBER_COMPARED] = { "migrate.compared", "count" },
		[NUMBER_WRONG] = { "migrate.wrong_bytes", "bytes" },
		[NUMBER_GAP] = { "migrate.gap", "ticks" },
	};
	const struct migrate_config *c = &m->config;
	struct migrate_result *r = &m->result;
	const struct metric_param p[] = {
		{ .key = "way", .word = migrate_way_name[c->way] },
		{ .key = "rounds", .value = c->rounds },
		{ .key = "latency", .value = c->link.latency },
		{ .key = "bandwidth", .value = c->link.bandwidth },
		{ .key = "mem", .value = c->mib },
		{ .key = "vcpus", .value = c->vcpus },
	};

	metric_samples("migrate.downtime", "ticks", r->downtime, c->vcpus, p, ARRAY_SIZE(p));
	if (r->stalls)
		metric_samples("migrate.stall", "ticks", r->stall, r->stalls, p, ARRAY_SIZE(p));
	for (unsigned int i = 0; i < NR_NUMBERS; i++)
		metric_value(names[i][0], names[i][1], r->number[i], p, ARRAY_SIZE(p));
}

/* Where the downtime goes. */
static void print_parts(const struct migration *m)
{
	static const char *const names[NR_PARTS] = {
		[PART_HELD] = "held",	      [PART_TAKEN] = "states sent",
		[PART_GIVEN] = "GO sent",     [PART_ARRIVED] = "states arrived",
		[PART_RESTORED] = "restored", [PART_GO] = "GO arrived",
	};
	char line[160];
	int n = 0;

	for (unsigned int i = 0; i < NR_PARTS; i++)
		n += fmt_print(line + n, sizeof(line) - (size_t)n, "%s %llu, ", names[i],
			       (llu)m->result.part[i]);
	ktap_note("by tick: %sin the guest %llu", line,
		  (llu)m->result.downtime[m->config.vcpus - 1]);
}

/* After print_metrics(), which sorts. */
static void keep_row(const struct migration *m)
{
	const struct migrate_result *r = &m->result;
	const u64 *n = r->number;
	u64 p50 = 0, p99 = 0, seen = n[NUMBER_GAP];

	if (r->stalls) {
		p50 = r->stall[(r->stalls + 1) / 2 - 1];
		p99 = r->stall[(r->stalls * 99 + 99) / 100 - 1];
		seen = max_u64(seen, r->stall[r->stalls - 1]);
	}
	if (nr_rows == ARRAY_SIZE(row))
		return;
	fmt_print(row[nr_rows++], sizeof(row[0]),
		  "%7s%7u%9llu%9llu%10llu%8llu%7u%12llu%7llu%4llu%9llu%7llu%7llu%8llu",
		  migrate_way_name[m->config.way], m->config.rounds,
		  (llu)r->downtime[m->config.vcpus - 1], (llu)seen, (llu)p50, (llu)p99, r->stalls,
		  (llu)n[NUMBER_TOTAL], (llu)n[NUMBER_AHEAD], (llu)n[NUMBER_WITH_STATE],
		  (llu)n[NUMBER_DEMANDED], (llu)n[NUMBER_PUSHED], (llu)n[NUMBER_TWICE],
		  (llu)n[NUMBER_BYTES] >> 10);
}

static void print_table(const struct migrate_config *c)
{
	if (!nr_rows)
		return;
	ktap_note("%llu MiB, %u vCPUs, a link of %llu ticks and %llu bytes per 1,000 ticks",
		  (llu)c->mib, c->vcpus, (llu)c->link.latency, (llu)c->link.bandwidth);
	ktap_note(
		"    way rounds downtime     seen stall p50     p99 stalls       total  ahead "
		"hot demanded pushed  twice     KiB");
	for (unsigned int i = 0; i < nr_rows; i++)
		ktap_note("%s", row[i]);
	ktap_note(
		"ticks and pages; seen: the longest that the guest itself saw of standing "
		"still; hot: pages sent with the states");
}

/* --- one move -------------------------------------------------------------------------------- */

static int compare_held(struct migration *m)
{
	struct vm_hold h = { .vm = NULL };
	int err = vm_pause(m->target.vm, &h, 0, NULL);

	if (!err)
		err = migrate_compare(m);
	vm_resume(&h);
	return err;
}

static int move(struct migration *m, int *status)
{
	int err = migrate_create_target(m);

	if (!err)
		err = migrate_start(m);
	if (!err)
		err = migrate_move(m);
	atomic_store(&m->measuring, false);
	if (!err)
		err = compare_held(m);
	if (err)
		return err;
	if (m->result.stalls > m->result.max_stalls) {
		ktap_note("%u stalls, the first %u of them are kept", m->result.stalls,
			  m->result.max_stalls);
		m->result.stalls = m->result.max_stalls;
	}
	migrate_end_source(m);
	migrate_wait(m, migrate_ended, AFTERWARDS);
	*status = migrate_finish(m);
	return 0;
}

static void test_move(const struct migrate_config *c)
{
	struct migration *m = NULL;
	char why[160] = "";
	int status = 0, err = migrate_create(&m, c, why, sizeof(why));

	if (!err)
		err = move(m, &status);
	ktap_result(!err && !status && !migrate_note_wrong(m) && m->result.number[NUMBER_COMPARED],
		    "a guest that writes all its memory moves and finds it as it was: %s, %u "
		    "rounds ahead",
		    migrate_way_name[c->way], c->rounds);
	if (err)
		ktap_note("%s %s", errno_name(err), m ? m->board.ending.why : why);
	else if (status)
		ktap_note("status %d: %s", status, m->result.why);
	if (!err) {
		ktap_note("%llu pages unchanged since: checksums %016llx and %016llx",
			  (llu)m->result.number[NUMBER_COMPARED], (llu)m->result.checksum[0],
			  (llu)m->result.checksum[1]);
		m->result.number[NUMBER_WRONG] += atomic_load(&m->guest_wrong);
		print_metrics(m);
		print_parts(m);
		keep_row(m);
	}
	if (m)
		migrate_destroy(m);
}

/* --- all of it ------------------------------------------------------------------------------- */

static bool can_run(const struct migrate_config *c)
{
	static const char name[] = "a guest moves to another VM";
	u64 need = 2 * c->mib + OTHER_MEMORY, free = page_nr_free() * PAGE_SIZE >> 20;
	struct vm *vm;
	u32 flags = 0;
	char why[64];

	if (!needs_cpus(c->vcpus + 1, name))
		return false;
	if (free < need) {
		fmt_print(why, sizeof(why), "needs %llu MiB of free memory, there are %llu",
			  (llu)need, (llu)free);
		ktap_skip(why, "%s", name);
		return false;
	}
	if (!vm_create(&vm)) {
		flags = vm_slot_flags(vm);
		vm_destroy(vm);
	}
	if (!(flags & SLOT_LOG_DIRTY))
		ktap_skip("needs EPT accessed and dirty flags", "%s", name);
	return flags & SLOT_LOG_DIRTY;
}

static void test_moves(const struct param_values *params, struct migrate_config c)
{
	u64 way = param_number(params, "way"), free = 0;
	u32 rounds = (u32)param_number(params, "rounds"), moves = 0;

	for (c.rounds = param_given(params, "rounds") ? rounds : 0; c.rounds <= rounds; c.rounds++)
		for (c.way = 0; c.way < MIGRATE_WAYS; c.way++) {
			if (way && way != c.way + 1u)
				continue;
			test_move(&c);
			if (!moves++)
				free = page_nr_free();
		}
	/* Small objects share pages, not the same ones every time. */
	ktap_result(free <= page_nr_free() + moves / 2, "both VMs' memory is given back");
	c.rounds = rounds;
	print_table(&c);
}

static void run_migrate(const struct param_values *params)
{
	struct migrate_config c = {
		.vcpus = (u32)param_number(params, "vcpus"),
		.mib = param_number(params, "mem"),
		.lines = param_number(params, "lines"),
		.link = {
			.latency = param_number(params, "latency"),
			.bandwidth = param_number(params, "bandwidth"),
			.shared = param_number(params, "shared"),
		},
	};
	u64 what = param_number(params, "do");

	if (!can_run(&c))
		return;
	if (what != 2)
		test_moves(params, c);
	if (what != 1)
		migrate_test_breaks(&c, (u32)param_number(params, "at"));
}

EXPERIMENT(migrate)
= {
	.name = "migrate",
	.shows = "a guest that moves to another VM before its memory does, and a link that breaks",
	.flags = EXP_NEEDS_VMX,
	.spec = migrate_spec,
	.nr_spec = ARRAY_SIZE(migrate_spec),
	.run = run_migrate,
};
