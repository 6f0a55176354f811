/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `apic`: the race between a migration of the APIC-access page and a vCPU that reloads
 * its address; and a vCPU that has to wait for a migration's end.
 *
 * A migration that takes its time: the invalidation is begun and ended by hand, in between nothing
 * happens.
 */
#include "hv/host/chaos.h"
#include "hv/host/counter.h"
#include "hv/host/metric.h"
#include "hv/host/print.h"
#include "hv/host/random.h"
#include "lab/apic.h"

#define STALL	  patient(20000) /* ticks */
#define LEAVES	  10
#define ROUNDS	  200		/* moves under chaos, at most, until something is seen */
#define PAUSE	  patient(6000) /* ticks between two moves, at most: the guest reads registers */
#define ENOUGH	  5		/* times that only the sequence has told */
#define MEETINGS  200		/* reloads under chaos at most, each met by */
#define FLICKERS  10		/* invalidations that begin and end at once, */
#define FLICKER	  patient(300)	/* this many ticks apart, at most */
#define SETTLE	  patient(5000) /* ticks after a move: the guest has read */
#define TRAP_TIME patient(5000)

static struct apic_vm a;

static void hold_open(void)
{
	invalidate_begin(a.vm, LAPIC_DEFAULT_BASE, PAGE_SIZE);
}

static bool any_runs(u64 ticks)
{
	u32 before[APIC_MAX_VCPUS] = { 0 };
	bool runs = false;

	for (u32 i = 0; i < a.config.vcpus; i++)
		before[i] = atomic_load(&a.v[i].box->beats);
	spin_ticks(ticks);
	for (u32 i = 0; i < a.config.vcpus; i++)
		runs |= atomic_load(&a.v[i].box->beats) != before[i];
	return runs;
}

static bool all_run(void)
{
	bool run = true;

	for (u32 i = 0; i < a.config.vcpus; i++)
		run &= apic_runs(&a, i);
	return run;
}

static bool all_look(void)
{
	bool look = true;

	for (u32 i = 0; i < a.config.vcpus; i++)
		look &= apic_look(&a, i);
	return look;
}

static bool all_pending(void)
{
	bool pending = true;

	for (u32 i = 0; i < a.config.vcpus; i++)
		pending &= APIC_WAIT(!!(atomic_load(&a.v[i].vcpu->requests) & REQ_APIC_PAGE));
	return pending;
}

static bool all_addresses_right(void)
{
	hpa_t frame = vm_apic_page_frame(a.vm);
	bool right = frame;

	for (u32 i = 0; i < a.config.vcpus; i++)
		right &= apic_address(&a, i) == frame;
	return right;
}

/* --- a stall -----------------------------------------------------------------------------------
 */

static void test_leaves(const char *how)
{
	struct vm_hold hold = { .vm = NULL };
	u64 left = atomic_load(&a.v[0].left);
	bool ok = true;

	for (unsigned int i = 0; i < LEAVES && ok; i++) {
		vcpu_request(a.v[0].vcpu, REQ_EXIT);
		ok = APIC_WAIT(atomic_load(&a.v[0].left) == left + i + 1);
	}
	ktap_result(ok, "%s: a vCPU that waits leaves with -EINTR when it is asked to, each time",
		    how);
	ok = !vm_pause(a.vm, &hold, 0, NULL) && !vm_resume(&hold);
	ktap_result(ok && !any_runs(STALL / 4),
		    "%s: the VM can be paused meanwhile, and the resume lets nobody in", how);
}

/* An interrupt is moved to the virtual APIC; it is delivered when the guest runs again. */
static void test_services(const char *how)
{
	struct vcpu *vcpu = a.v[0].vcpu;
	u32 received = atomic_load(&a.v[0].box->received[APIC_WAKE]);
	bool ok = all_look();

	lapic_post(vcpu, TINY_VECTOR + APIC_WAKE);
	ok = ok && APIC_WAIT(atomic_load(&vcpu->seen_seq) == atomic_load(&vcpu->event_seq));
	ktap_result(ok && !any_runs(STALL / 4),
		    "%s: a vCPU that waits services other requests, and does not enter for them",
		    how);
	invalidate_end(a.vm);
	ok = APIC_WAIT(atomic_load(&a.v[0].box->received[APIC_WAKE]) == received + 1);
	ktap_result(ok, "%s: an interrupt that came meanwhile is delivered at the end", how);
	hold_open();
	all_look();
}

static void measure_stall(enum apic_stall stall)
{
	const struct metric_param p[] = { { .key = "stall", .word = apic_stall_name[stall] },
					  { .key = "vcpus", .value = a.config.vcpus } };
	u64 retries = counter_named("apic.retries"), start;
	u32 beats;

	spin_ticks(STALL);
	retries = max_u64((counter_named("apic.retries") - retries) / a.config.vcpus, 1);
	metric_value("apic.retry", "ticks", STALL / retries, p, ARRAY_SIZE(p));
	metric_value("apic.entries_tried", "count", stall == STALL_BAIL ? 0 : retries, p,
		     ARRAY_SIZE(p));
	beats = atomic_load(&a.v[0].box->beats);
	start = ticks_now();
	invalidate_end(a.vm);
	if (APIC_WAIT(atomic_load(&a.v[0].box->beats) != beats))
		metric_value("apic.stall_end", "ticks", ticks_now() - start, p, ARRAY_SIZE(p));
}

static void test_stall(enum apic_stall stall)
{
	const struct apic_config c = { .vcpus = (u32)min_u64(nr_cpus - 1, 4),
				       .rung = vmx_apic_best(),
				       .first_cpu = 1,
				       .stall = stall };
	const char *how = apic_stall_name[stall];
	u64 reloads, retries;
	bool ok;

	if (!apic_vm_run(&a, &c))
		return;
	ok = apic_watch(&a);
	reloads = counter_named("apic.reloads");
	retries = counter_named("apic.retries");
	hold_open();
	ok = ok && all_look();
	ktap_result(ok && !any_runs(STALL),
		    "%s: while the page is being moved no vCPU executes a guest instruction", how);
	ktap_result(all_pending() && counter_named("apic.reloads") == reloads &&
			    counter_named("apic.retries") > retries,
		    "%s: a reload that comes too early writes nothing, and stays requested", how);
	test_services(how);
	test_leaves(how);
	measure_stall(stall);
	ktap_result(all_run(), "%s: at the end of the migration all go on", how);
	ktap_result(all_addresses_right(), "%s: and with the page's present address", how);
	ktap_result(apic_intact(&a), "%s: no register was read raw", how);
	apic_vm_destroy(&a);
}

/* --- the sequence ------------------------------------------------------------------------------
 */

static void chaos_again(bool on)
{
	if (on)
		chaos_init(run_options.seed);
	else if (run_options.chaos)
		chaos_init(run_options.chaos);
	else
		chaos_off();
}

/* Invalidations that are over in a moment, all through a reload that takes its time. */
static bool flicker(struct rng *rng)
{
	bool looks;

	hold_open();
	looks = apic_look(&a, 0); /* an access of the guest may be under way, and take longer */
	for (unsigned int n = 0; n < FLICKERS && looks; n++) {
		invalidate_end(a.vm);
		spin_ticks(rng_below(rng, FLICKER));
		hold_open();
	}
	invalidate_end(a.vm);
	return looks;
}

static void test_sequence(void)
{
	static const char name[] =
		"an invalidation that begins and ends during a reload makes it start over";
	const struct apic_config c = { .vcpus = 1, .rung = vmx_apic_best(), .first_cpu = 1 };
	u64 ended = counter_named("apic.retries_ended");
	unsigned int n = 0;
	bool ok = true;
	struct rng rng;

	rng_init(&rng, run_options.seed, 11);
	if (!apic_vm_run(&a, &c))
		return;
	apic_watch(&a);
	chaos_again(true);
	while (ok && n < MEETINGS && counter_named("apic.retries_ended") - ended < ENOUGH) {
		ok = flicker(&rng) && apic_runs(&a, 0);
		n++;
	}
	chaos_again(false);
	ended = counter_named("apic.retries_ended") - ended;
	ktap_result(ok && ended && all_addresses_right() && apic_intact(&a), "%s", name);
	ktap_note("%llu times in %u reloads", (unsigned long long)ended, n);
	apic_vm_destroy(&a);
}

/* --- without the retry -------------------------------------------------------------------------
 */

static bool reads_raw(void)
{
	u32 before = atomic_load(&a.v[0].box->raw);

	spin_ticks(SETTLE);
	return atomic_load(&a.v[0].box->raw) != before;
}

/* Migrations until the guest reads raw memory, and goes on to. Returns how many, 0: it does not. */
static unsigned int move_until_raw(void)
{
	unsigned int i = 0;
	struct rng rng;
	bool raw = false;

	rng_init(&rng, run_options.seed, 12);
	while (i < ROUNDS && !raw) {
		spin_ticks(rng_below(&rng, PAUSE));
		if (vm_move_apic_page(a.vm, SENTINEL))
			return 0;
		i++;
		apic_look(&a, 0);
		raw = reads_raw() && reads_raw();
	}
	return raw ? i : 0;
}

/* The guest reads on, and the CPU asks nobody. */
static bool stops_trapping(void)
{
	u64 exits = counter_named("apic.access_exits");
	u32 beats = atomic_load(&a.v[0].box->beats);

	spin_ticks(TRAP_TIME);
	return counter_named("apic.access_exits") == exits &&
	       atomic_load(&a.v[0].box->beats) != beats;
}

static bool writes_get_lost(void)
{
	atomic_store(&a.v[0].box->writes, 1);
	spin_ticks(TRAP_TIME);
	return apic_written(&a);
}

static void see_failing(enum apic_reload reload, u32 rung, const char *how)
{
	const struct apic_config c = { .vcpus = 1, .rung = rung, .first_cpu = 1, .reload = reload };
	const char *name = vmx_apic_rung_name(rung);
	unsigned int moves;

	if (!apic_vm_run(&a, &c))
		return;
	apic_watch(&a);
	if (reload == RELOAD_REVERSED)
		chaos_again(true);
	moves = move_until_raw();
	if (reload == RELOAD_REVERSED)
		chaos_again(false);
	ktap_result(moves, "%s: the guest is seen to read raw bytes of the page: %s", how, name);
	if (moves)
		ktap_note("after %u migrations", moves);
	if (moves && rung < VMX_APIC_REGISTER)
		ktap_result(stops_trapping(), "%s: its accesses are seen not to trap any more: %s",
			    how, name);
	if (moves)
		ktap_result(writes_get_lost(), "%s: its writes are seen to go to the page: %s", how,
			    name);
	apic_vm_destroy(&a);
}

void apic_test_retry(void)
{
	static const char name[] = "a vCPU waits for the end of a migration of the page";
	u32 best = vmx_apic_best();

	if (!needs_cpus(2, name) || !apic_has_page(name))
		return;
	test_stall(STALL_REREQUEST);
	test_stall(STALL_BAIL);
	test_sequence();
	see_failing(RELOAD_NORETRY, VMX_APIC_ACCESS, "without a retry");
	if (best > VMX_APIC_ACCESS)
		see_failing(RELOAD_NORETRY, best, "without a retry");
	see_failing(RELOAD_REVERSED, best, "with the sequence read after the frame");
}
