/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `apic` on KVM: what it costs that the APIC-access page is replaced, with a flush in
 * every reload and without; whom it concerns; and the stale page that comes of a reload which does
 * not wait for the end of the invalidation.
 */
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hv/host/metric.h"
#include "hv/host/random.h"
#include "linux/vmm/apic.h"

#define MOVES	      50
#define MOVES_TO_FAIL 1000
#define PAUSE	      20000 /* ticks between two moves: every vCPU touches the page */

static struct apic_vm a;
static u64 samples[MOVES];

static const char *flush_name(enum apic_flush flush)
{
	return flush == FLUSH_ZAP ? "zap" : "both";
}

static bool start(enum apic_flush flush, enum apic_reload reload, u32 vcpus)
{
	const struct apic_config c = { .vcpus = vcpus,
				       .rung = apic_rung(),
				       .first_cpu = 1,
				       .flush = flush,
				       .reload = reload };

	return apic_vm_run(&a, &c);
}

/* --- what a move costs ------------------------------------------------------------------------ */

static void report_moves(enum apic_flush flush, u64 flushes, u64 exits)
{
	const struct metric_param p[] = { { .key = "flush", .word = flush_name(flush) },
					  { .key = "vcpus", .value = a.config.vcpus },
					  { .key = "of", .word = "apic.move" },
					  { .key = "ops", .value = MOVES } };

	metric_samples("apic.move", "ticks", samples, MOVES, p, 2);
	/* Stock KVM does not count the flush in a reload. */
	if (flush == FLUSH_ZAP || apic_knobs())
		metric_value("apic.move_flushes", "count", flushes, p, 2);
	metric_value("kvm.tlb_flush", "count", flushes, p, ARRAY_SIZE(p));
	metric_value("kvm.exits", "count", exits, p, ARRAY_SIZE(p));
	ktap_note("flush=%s: %llu flushes of %u vCPUs counted in %u moves of %llu ticks",
		  flush_name(flush), (unsigned long long)flushes, a.config.vcpus, MOVES,
		  (unsigned long long)samples[MOVES / 2]);
}

static void measure_moves(enum apic_flush flush)
{
	u64 flushes, exits;
	bool ok;

	if (!start(flush, RELOAD_RETRY, (u32)min_u64(nr_cpus - 1, 4)))
		return;
	ok = apic_watch(&a);
	flushes = apic_stat(&a, "tlb_flush");
	exits = apic_stat(&a, "exits");
	for (unsigned int i = 0; i < MOVES && ok; i++) {
		u64 begin = ticks_now();

		ok = !vm_move_apic_page(a.vm, SENTINEL);
		samples[i] = ticks_now() - begin;
		spin_ticks(PAUSE);
	}
	flushes = apic_stat(&a, "tlb_flush") - flushes;
	exits = apic_stat(&a, "exits") - exits;
	ok = apic_intact(&a) && ok && !apic_written(&a);
	ktap_result(ok, "flush=%s: the guests do not notice that the page moves",
		    flush_name(flush));
	if (ok)
		report_moves(flush, flushes, exits);
	apic_vm_destroy(&a);
}

/* --- what a reload adds to a pause ------------------------------------------------------------ */

static bool barrier_setup(void)
{
	return !syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
}

/* An interrupt for the CPU that the vCPU is on, and nothing to do for the vCPU. */
static bool kick(void)
{
	return !syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

/* The guest's longest pause meanwhile, by its own clock; 0: it does not work. */
static u64 pause_once(bool move)
{
	struct apic_box *b = a.v[0].box;

	atomic_store(&b->value, 0);
	if (move ? vm_move_apic_page(a.vm, SENTINEL) : !kick())
		return 0;
	if (!apic_runs(&a, 0))
		return 0;
	spin_ticks(PAUSE / 4);
	return atomic_load(&b->value);
}

static bool take_pauses(bool move)
{
	bool ok = true;

	for (unsigned int i = 0; i < MOVES && ok; i++) {
		samples[i] = pause_once(move);
		ok = samples[i];
	}
	return ok;
}

static u64 report_pauses(const char *metric, enum apic_flush flush)
{
	const struct metric_param p = { .key = "flush", .word = flush_name(flush) };

	metric_samples(metric, "ticks", samples, MOVES, &p, 1);
	return samples[MOVES / 2];
}

/*
 * apic.kick_pause: an exit for an interrupt. apic.reload_pause: while the page moves, which is two
 * requests, the wait for the move's end, and a reload. apic.reload is the difference.
 */
static void measure_reload(enum apic_flush flush)
{
	const struct metric_param p = { .key = "flush", .word = flush_name(flush) };
	u64 kick_pause = 0, reload_pause = 0;
	bool ok;

	if (!start(flush, RELOAD_RETRY, 1))
		return;
	apic_begin(&a, 0, APIC_JOB_GAP);
	ok = barrier_setup() && apic_runs(&a, 0) && take_pauses(false);
	if (ok)
		kick_pause = report_pauses("apic.kick_pause", flush);
	ok = ok && take_pauses(true);
	if (ok)
		reload_pause = report_pauses("apic.reload_pause", flush);
	ok &= apic_rest(&a, 0);
	ktap_result(ok && apic_intact(&a), "flush=%s: a vCPU goes on after each reload",
		    flush_name(flush));
	if (ok)
		metric_value("apic.reload", "ticks",
			     reload_pause > kick_pause ? reload_pause - kick_pause : 0, &p, 1);
	apic_vm_destroy(&a);
}

/* --- whom it concerns ------------------------------------------------------------------------- */

static bool move_many(void)
{
	bool ok = true;

	for (unsigned int i = 0; i < MOVES && ok; i++)
		ok = !vm_move_apic_page(a.vm, SENTINEL);
	return ok;
}

static void test_modes(void)
{
	bool ok;

	if (!start(FLUSH_ZAP, RELOAD_RETRY, 1))
		return;
	ok = apic_switch(&a, 0, APIC_MODE_X2APIC) && apic_watch(&a) && move_many() &&
	     apic_rest(&a, 0);
	ktap_result(apic_intact(&a) && ok, "a vCPU in x2APIC mode does not notice moves");
	ok = ok && apic_switch(&a, 0, APIC_MODE_XAPIC) && apic_watch(&a) && apic_runs(&a, 0) &&
	     move_many() && apic_runs(&a, 0) && apic_rest(&a, 0);
	ktap_result(apic_intact(&a) && ok && !apic_written(&a),
		    "back in xAPIC mode it uses the page as it is now");
	apic_vm_destroy(&a);
}

static void test_halted(void)
{
	u32 beats;
	bool ok;

	if (!start(FLUSH_ZAP, RELOAD_RETRY, 1))
		return;
	atomic_store(&a.v[0].box->halt, 1);
	spin_ticks(PAUSE);
	beats = atomic_load(&a.v[0].box->beats);
	ok = move_many();
	ktap_result(ok && atomic_load(&a.v[0].box->beats) == beats,
		    "a vCPU in HLT is not woken by moves");
	ok = apic_watch(&a);
	ktap_result(apic_intact(&a) && ok && !apic_written(&a),
		    "it uses the page as it is now, when it goes on");
	apic_vm_destroy(&a);
}

/*
 * What goes wrong takes a vCPU that is outside the guest just then, and that looks the page up
 * before the kernel has changed the mapping: vCPUs that exit often, and many moves.
 */
static bool see_raw(unsigned int moves)
{
	bool seen = false;
	struct rng rng;

	rng_init(&rng, run_options.seed, 0);
	for (u32 i = 0; i < a.config.vcpus; i++)
		apic_begin(&a, i, APIC_JOB_STORM);
	for (unsigned int n = 0; n < moves && !seen; n++) {
		vm_move_apic_page(a.vm, SENTINEL);
		spin_ticks(PAUSE / 8 + rng_below(&rng, PAUSE));
		for (u32 i = 0; i < a.config.vcpus; i++)
			seen |= atomic_load(&a.v[i].box->raw) != 0;
		seen |= apic_written(&a);
	}
	for (u32 i = 0; i < a.config.vcpus; i++) {
		atomic_store(&a.v[i].box->release, 1);
		atomic_store(&a.v[i].box->stop, 1);
	}
	return seen;
}

static void test_knob(void)
{
	static const char name[] = "break_apic_retry: a reload that is not retried is seen to fail";

	if (!apic_needs_knobs(name) ||
	    !start(FLUSH_ZAP, RELOAD_NORETRY, (u32)min_u64(nr_cpus - 1, APIC_MAX_VCPUS)))
		return;
	ktap_result(see_raw(MOVES_TO_FAIL), "%s", name);
	apic_vm_destroy(&a);
}

void kvm_apic_check(void)
{
	static const char name[] = "replacements of the page, and who has to reload";

	if (!needs_cpus(2, name) || !apic_needs_page(name))
		return;
	for (enum apic_flush flush = FLUSH_ZAP; flush <= FLUSH_BOTH; flush++) {
		if (!apic_has_flush(flush)) {
			ktap_skip("stock KVM flushes in every reload",
				  "flush=zap: moves and reloads");
			continue;
		}
		measure_moves(flush);
		measure_reload(flush);
	}
	test_modes();
	test_halted();
	test_knob();
}
