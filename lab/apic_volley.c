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
#include "hv/host/errno.h"
#include "hv/host/metric.h"
#include "lab/apic.h"

#define STUCK APIC_SOON	     /* ticks without an IPI */
#define QUIET patient(5000)  /* after which nothing more comes, if something came twice */
#define CALM  patient(20000) /* ticks between two migrations that nobody has asked for */

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
	apic_take_counters(a, s);
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
	apic_take_counters(a, s);
	tally(a, s);
}

/* --- what came of it ------------------------------------------------------------------------- */

void apic_storm_report(const struct apic_storm *s, const struct metric_param *p, unsigned int n)
{
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
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++)
		metric_value(values[i].name, "count", values[i].value, p, n);
	if (s->migrations)
		metric_value("apic.migration", "ticks", s->ticks / s->migrations, p, n);
}

void apic_storm_judge(const struct apic_config *c, const char *what, const struct apic_storm *s)
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
}
