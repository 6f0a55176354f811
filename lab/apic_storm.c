/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `apic`: IPIs fly between vCPUs, and after each the sender reads registers that do not
 * change, while another thread migrates the APIC-access page as fast as it can.
 *
 * A sender has a vector of its own and waits for a receiver's acknowledgement before it sends there
 * again: so none can merge with another, and what is lost or comes twice is counted exactly. Every
 * byte of the page is the sentinel, and it moves along with the page; the frame that is left is
 * filled with it too. Whatever a guest reads of it, or writes to it, is seen.
 */
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/metric.h"
#include "hv/host/print.h"
#include "lab/apic.h"

#define STUCK APIC_SOON /* ticks without an IPI */
#define QUIET 5000	/* after which nothing more comes, if something came twice */
#define CALM  20000	/* ticks between two migrations that nobody has asked for */
#define FEW   50	/* of both, below the highest rung, and where every entry is checked */

/* --- counters -------------------------------------------------------------------------------- */

/* The second call leaves the difference. */
static void take_counters(struct apic_storm *s)
{
	s->flushes = counter_named("vmx.flushes") - s->flushes;
	s->reloads = counter_named("apic.reloads") - s->reloads;
	s->retries = counter_named("apic.retries") - s->retries;
	s->stale = counter_named("apic.stale_entries") - s->stale;
	s->unflushed = counter_named("apic.unflushed_entries") - s->unflushed;
}

static u64 sent_by(struct apic_vm *a, u32 i)
{
	u64 sum = 0;

	for (u32 to = 0; to < a->config.vcpus; to++)
		sum += atomic_load(&a->v[i].box->sent[to]);
	return sum;
}

static u64 sent_by_all(struct apic_vm *a)
{
	u64 sum = 0;

	for (u32 i = 0; i < a->config.vcpus; i++)
		sum += sent_by(a, i);
	return sum;
}

static void tally(struct apic_vm *a, struct apic_storm *s)
{
	s->ipis = sent_by_all(a);
	s->least = s->ipis;
	for (u32 to = 0; to < a->config.vcpus; to++) {
		struct apic_box *b = a->v[to].box;

		s->least = min_u64(s->least, sent_by(a, to));
		for (u32 from = 0; from < a->config.vcpus; from++) {
			u32 sent = atomic_load(&a->v[from].box->sent[to]);
			u32 received = atomic_load(&b->received[from]);

			s->lost += sent > received ? sent - received : 0;
			s->duplicated += received > sent ? received - sent : 0;
		}
		s->reads += atomic_load(&b->reads);
		s->wrong += atomic_load(&b->wrong);
		s->raw += atomic_load(&b->raw);
	}
	s->written = apic_written(a);
}

/* --- one storm ------------------------------------------------------------------------------- */

static void begin(struct apic_vm *a)
{
	for (u32 i = 0; i < a->config.vcpus; i++) {
		struct apic_box *b = a->v[i].box;

		for (u32 n = 0; n < APIC_MAX_VCPUS; n++) {
			atomic_store(&b->sent[n], 0);
			atomic_store(&b->received[n], 0);
		}
		atomic_store(&b->release, 0);
	}
	for (u32 i = 0; i < a->config.vcpus; i++)
		apic_begin(a, i, APIC_JOB_STORM);
}

/* Every other one halts when it is done with sending, and goes on receiving. */
static void end(struct apic_vm *a)
{
	for (u32 i = 0; i < a->config.vcpus; i++) {
		atomic_store(&a->v[i].box->halt, i & 1);
		atomic_store(&a->v[i].box->release, 1);
	}
}

static bool all_done(struct apic_vm *a)
{
	bool done = true;

	for (u32 i = 0; i < a->config.vcpus; i++)
		done &= atomic_load(&a->v[i].box->done) == atomic_load(&a->v[i].box->go);
	return done;
}

static bool any_ended(struct apic_vm *a)
{
	bool ended = false;

	for (u32 i = 0; i < a->config.vcpus; i++)
		ended |= atomic_load(&a->v[i].error) || atomic_load(&a->v[i].box->errors);
	return ended;
}

/*
 * As fast as it goes until there are enough; then more slowly, until there are enough IPIs too.
 * Returns how many migrations there were.
 */
static u64 migrate(struct apic_vm *a, struct apic_storm *s)
{
	u64 nr = 0, sent = 0, progress = ticks_now();
	bool enough = false;

	while (!enough && !s->stuck && !s->error) {
		u64 start = ticks_now(), now;

		if (s->migrations) {
			s->error = vm_move_apic_page(a->vm, SENTINEL);
			s->ticks += ticks_now() - start;
			nr++;
		}
		if (nr > s->migrations)
			spin_ticks(CALM);
		now = sent_by_all(a);
		enough = nr >= s->migrations && now >= s->ipis;
		if (now != sent)
			progress = ticks_now();
		sent = now;
		s->stuck = ticks_now() - progress > STUCK || any_ended(a);
	}
	return nr;
}

void apic_storm_run(struct apic_vm *a, struct apic_storm *s)
{
	u64 progress;

	apic_fill(a);
	take_counters(s);
	begin(a);
	s->migrations = migrate(a, s);
	end(a);
	progress = ticks_now();
	while (!all_done(a) && ticks_now() - progress < STUCK)
		cpu_relax();
	s->stuck |= !all_done(a);
	for (u32 i = 0; i < a->config.vcpus && s->stuck; i++)
		atomic_store(&a->v[i].box->stop, 1);
	spin_ticks(QUIET);
	take_counters(s);
	tally(a, s);
}

/* --- reports --------------------------------------------------------------------------------- */

static void report(const struct apic_config *c, const char *mode, const struct apic_storm *s)
{
	const struct metric_param p[] = {
		{ .key = "mode", .word = mode },
		{ .key = "rung", .word = vmx_apic_rung_name(c->rung) },
		{ .key = "vcpus", .value = c->vcpus },
		{ .key = "variant", .word = c->reload == RELOAD_RETRY ? "retry" : "noretry" },
		{ .key = "stall", .word = apic_stall_name[c->stall] },
		{ .key = "flush", .word = apic_flush_name[c->flush] },
		{ .key = "watched", .value = c->traced },
	};
	const struct {
		const char *name;
		u64 value;
	} values[] = {
		{ "apic.ipis", s->ipis },
		{ "apic.ipis_least", s->least },
		{ "apic.migrations", s->migrations },
		{ "apic.lost", s->lost },
		{ "apic.duplicated", s->duplicated },
		{ "apic.reads", s->reads },
		{ "apic.raw_bytes", 4 * s->raw },
		{ "apic.flushes", s->flushes },
		{ "apic.storm_reloads", s->reloads },
		{ "apic.storm_retries", s->retries },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++)
		metric_value(values[i].name, "count", values[i].value, p, ARRAY_SIZE(p));
	if (s->migrations)
		metric_value("apic.migration", "ticks", s->ticks / s->migrations, p, ARRAY_SIZE(p));
}

static void judge(const struct apic_config *c, const char *what, const struct apic_storm *s)
{
	if (c->reload == RELOAD_NORETRY) {
		ktap_result(s->raw || s->written || s->stuck,
			    "%s: reloads that are not retried are seen to fail", what);
		return;
	}
	ktap_result(!s->stuck && !s->lost && !s->duplicated && !s->error && s->least,
		    "%s: no IPI is lost and none comes twice", what);
	ktap_result(!s->wrong && !s->raw && !s->written,
		    "%s: every register is the virtual one, and no write goes to the page", what);
	if (c->flush == FLUSH_ZAP)
		ktap_result(s->flushes <= (s->migrations + 1) * c->vcpus,
			    "%s: a vCPU flushes at most once per migration", what);
	if (c->traced)
		ktap_result(!s->stale,
			    "%s: at every entry the address is what the page is mapped to", what);
}

static u32 highest(const struct apic_options *o)
{
	return 31 - (u32)__builtin_clz(o->rungs);
}

static void run_storm(const struct apic_options *o, u32 rung, u32 mode, bool watched)
{
	static struct apic_vm a;
	const struct apic_config c = { .vcpus = o->vcpus,
				       .rung = rung,
				       .x2apic = apic_modes[mode].x2apic,
				       .first_cpu = 1,
				       .traced = watched,
				       .reload = o->reload,
				       .stall = o->stall,
				       .flush = o->flush };
	u64 most = rung == highest(o) && !watched ? UINT64_MAX : FEW;
	struct apic_storm s = { .ipis = min_u64(o->ipis, most),
				.migrations = min_u64(o->migrations, most) };
	char what[64];

	fmt_print(what, sizeof(what), "%s, %s%s", apic_modes[mode].name, vmx_apic_rung_name(rung),
		  watched ? ", entries watched" : "");
	if (!apic_vm_run(&a, &c))
		return;
	apic_storm_run(&a, &s);
	judge(&c, what, &s);
	if (s.error)
		ktap_note("%s", errno_name(s.error));
	if (c.reload == RELOAD_RETRY)
		apic_intact(&a);
	report(&c, apic_modes[mode].name, &s);
	apic_vm_destroy(&a);
}

/* Where there is a page all rungs that have it; its modes on the best one alone. */
void apic_storms(const struct apic_options *o)
{
	u32 best = highest(o);

	if (!needs_cpus(o->vcpus + 1, "IPIs fly while another thread migrates the page"))
		return;
	for (u32 rung = VMX_APIC_ACCESS; rung < best; rung++)
		if (o->modes & BIT(0))
			run_storm(o, rung, 0, false);
	for (u32 mode = 0; mode < NR_APIC_MODES; mode++)
		if (o->modes & BIT(mode))
			run_storm(o, best, mode, false);
	if (o->modes & BIT(0) && best >= VMX_APIC_ACCESS)
		run_storm(o, best, 0, true);
}
