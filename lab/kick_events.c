/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `kick`: a kick during the delivery of an event loses no event.
 *
 * This CPU posts interrupts and NMIs, one at a time, to a guest that counts them, and kicks the
 * vCPU until the handler has run. Before each it takes pages away that the delivery needs (IDT,
 * GDT, stack, handler), so that the delivery itself faults, again and again, and every kick finds
 * it at another point: the event is queued for an entry that the kick stops, or in the middle of
 * being delivered. Other CPUs, where there are some, kick and take pages away meanwhile.
 */
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/timer.h"
#include "lab/dawdle.h"
#include "lab/kick.h"

#define LOST_AFTER   (10000 * (u64)dawdle_rounds()) /* ticks, all of them under fire */
#define QUIET	     patient(30000) /* ticks after which nothing more comes, if something came twice */
#define MAX_PAUSE    (3 * (u64)dawdle_rounds() / 2) /* ticks between two kicks */
/*
 * An entry that dawdles takes four instructions a round, and what it takes else. A vCPU of which
 * every entry is kicked gets nowhere: up to so many ticks after it has answered one kick comes the
 * next, at the entry or after it.
 */
#define ENTRY_PAUSE  (12 * (u64)dawdle_rounds())
/*
 * Ticks between two kicks of all other CPUs together, and between two pages that they take away:
 * with less the guest would hardly get on.
 */
#define HELPER_PAUSE patient(1000)
#define DROP_PAUSE   patient(6000)

static const gpa_t pages[] = { TINY_IDT, TINY_GDT, TINY_STUBS, TINY_STACKS, TINY_BOXES, TINY_CODE };

struct fire {
	struct kick_target target;
	struct rng rng;
	_Atomic bool over;
	_Atomic u64 kicks, drops;
	_Atomic int error; /* of vm_drop_page() */
	u32 posted[TINY_NR_VECTORS], nmis;
};

struct helper {
	struct fire *fire;
	struct thread *thread;
	u32 id;
};

static void drop(struct fire *f, gpa_t page)
{
	int err = vm_drop_page(f->target.tiny.vm, page);

	if (err)
		atomic_store(&f->error, err);
	atomic_fetch_add(&f->drops, 1);
}

static void kick_some(struct fire *f, struct rng *rng)
{
	if (rng_below(rng, 2))
		vcpu_kick(f->target.vcpu);
	else
		vcpu_request(f->target.vcpu, REQ_LOOK);
	atomic_fetch_add(&f->kicks, 1);
}

/* Every other one takes pages away. */
static void run_helper(void *arg)
{
	struct helper *h = arg;
	struct fire *f = h->fire;
	u32 helpers = nr_cpus - 2;
	struct rng rng;

	rng_init(&rng, run_options.seed, h->id);
	while (!atomic_load(&f->over)) {
		if (h->id & 1) {
			drop(f, pages[rng_below(&rng, ARRAY_SIZE(pages))]);
			spin_ticks(rng_below(&rng, DROP_PAUSE * helpers));
		} else {
			kick_some(f, &rng);
			spin_ticks(rng_below(&rng, HELPER_PAUSE * helpers));
		}
	}
}

/*
 * Those that were started have a thread. With entries that dawdle there are none: they would be
 * stopped nearly all.
 */
static void start_helpers(struct fire *f, struct helper *helper)
{
	bool wanted = f->target.setup.state != STATE_ENTERING;

	for (u32 cpu = 0; cpu < nr_cpus; cpu++) {
		helper[cpu] = (struct helper){ .fire = f, .id = cpu };
		if (wanted && cpu != KICK_TARGET_CPU && cpu != this_cpu_id() &&
		    thread_create(&helper[cpu].thread, cpu, "helper", run_helper, &helper[cpu]))
			helper[cpu].thread = NULL;
	}
}

static void end_helpers(struct fire *f, struct helper *helper)
{
	atomic_store(&f->over, true);
	for (u32 cpu = 0; cpu < nr_cpus; cpu++)
		if (helper[cpu].thread)
			thread_join(helper[cpu].thread);
}

/* --- one event -------------------------------------------------------------------------------- */

/* Everything that was posted was received, and nothing else. */
static bool all_received(struct fire *f, const struct tiny_box *box)
{
	bool same = box->nmis == f->nmis;

	for (u32 v = 0; v < TINY_NR_VECTORS; v++)
		same &= box->received[v] == f->posted[v];
	return same;
}

static void post(struct fire *f)
{
	u32 v = (u32)rng_below(&f->rng, TINY_NR_VECTORS + 4);

	if (v < TINY_NR_VECTORS) {
		f->posted[v]++;
		lapic_post(f->target.vcpu, (u8)(TINY_VECTOR + v));
	} else {
		f->nmis++;
		lapic_post_nmi(f->target.vcpu);
	}
}

/* Ticks to wait before the next kick. */
static u64 pause_before_next(struct fire *f, u64 until)
{
	if (f->target.setup.state != STATE_ENTERING)
		return rng_below(&f->rng, MAX_PAUSE);
	while (atomic_load(&f->target.vcpu->mode) == EXITING_GUEST_MODE && ticks_now() < until)
		cpu_relax();
	return rng_below(&f->rng, ENTRY_PAUSE);
}

/* Kicks until it has arrived. */
static bool wait_received(struct fire *f)
{
	u64 start = ticks_now();
	struct tiny_box box;

	for (unsigned int i = 0; ticks_now() - start < LOST_AFTER; i++) {
		kick_some(f, &f->rng);
		spin_ticks(pause_before_next(f, start + LOST_AFTER));
		if (i % 4)
			continue;
		tiny_get_box(&f->target.tiny, 0, &box);
		if (all_received(f, &box))
			return true;
	}
	return false;
}

static bool fire_once(struct fire *f)
{
	u64 take = rng_next(&f->rng);

	tiny_set_word(&f->target.tiny, 0, TINY_BOX_HALT, take >> 63);
	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++)
		if (take & BIT(i))
			drop(f, pages[i]);
	post(f);
	return wait_received(f) && !atomic_load(&f->error) && !atomic_load(&f->target.error);
}

/* --- all of them ------------------------------------------------------------------------------ */

static void report(struct fire *f, u64 events, u64 faults, u64 barred)
{
	const struct metric_param p[] = {
		{ .key = "transport", .word = kick_transport_names[f->target.setup.transport] },
		{ .key = "state", .word = kick_state_names[f->target.setup.state] },
		{ .key = "cpus", .value = nr_cpus },
	};

	metric_value("kick.events", "count", events, p, ARRAY_SIZE(p));
	metric_value("kick.events_kicks", "count", atomic_load(&f->kicks), p, ARRAY_SIZE(p));
	metric_value("kick.events_drops", "count", atomic_load(&f->drops), p, ARRAY_SIZE(p));
	metric_value("kick.events_faults", "count", faults, p, ARRAY_SIZE(p));
	metric_value("kick.events_barred", "count", barred, p, ARRAY_SIZE(p));
}

static void note_difference(struct fire *f)
{
	struct tiny_box box;

	tiny_get_box(&f->target.tiny, 0, &box);
	for (u32 v = 0; v < TINY_NR_VECTORS; v++)
		if (box.received[v] != f->posted[v])
			ktap_note("vector %#x: posted %u, received %u", TINY_VECTOR + v,
				  f->posted[v], box.received[v]);
	if (box.nmis != f->nmis)
		ktap_note("NMI: posted %u, received %u", f->nmis, box.nmis);
	if (atomic_load(&f->error))
		ktap_note("vm_drop_page(): %s", errno_name(atomic_load(&f->error)));
	kick_note_error(&f->target);
}

static void fire_many(struct fire *f, u64 events, const char *name)
{
	u64 faults = counter_named("memory.faults"), barred = vm_entries_barred(), i = 0;
	struct helper helper[MAX_CPUS];
	struct tiny_box box;
	bool ok;

	rng_init(&f->rng, run_options.seed, KICK_TARGET_CPU);
	start_helpers(f, helper);
	while (i < events && fire_once(f))
		i++;
	end_helpers(f, helper);
	spin_ticks(QUIET);
	tiny_get_box(&f->target.tiny, 0, &box);
	ok = i == events && all_received(f, &box);
	ktap_result(ok, "%s", name);
	if (!ok)
		note_difference(f);
	faults = counter_named("memory.faults") - faults;
	barred = vm_entries_barred() - barred;
	ktap_result(faults > i && (barred || f->target.setup.state != STATE_ENTERING),
		    "kicks and page faults have met the deliveries: %s, %s",
		    kick_transport_names[f->target.setup.transport],
		    kick_state_names[f->target.setup.state]);
	report(f, i, faults, barred);
}

/* It counts when it has loaded its tables: an NMI before would find no handler. */
static void wait_tables(struct fire *f)
{
	u64 start = ticks_now();

	while (!kick_counter(&f->target) && ticks_now() - start < LOST_AFTER)
		cpu_relax();
}

static void run_fire(const struct kick_params *p, enum kick_transport transport,
		     enum kick_state state)
{
	const struct kick_setup setup = { .transport = transport,
					  .timer_ticks = p->timer_ticks,
					  .state = state,
					  .code = TINY_EVENTS };
	struct fire f = { .over = false };
	char name[96];

	fmt_print(name, sizeof(name), "kicks during delivery lose and double no event: %s, %s",
		  kick_transport_names[transport], kick_state_names[state]);
	if (!needs_cpus(2, name) || !kick_start(&f.target, &setup, name))
		return;
	wait_tables(&f);
	fire_many(&f, p->events, name);
	kick_end(&f.target);
}

/* An entry that dawdles is stopped by most of the kicks, with the event waiting in it. */
void kick_events(const struct kick_params *p)
{
	for (int transport = KICK_NMI; transport <= KICK_TIMER; transport++) {
		if (p->transport >= 0 && p->transport != transport)
			continue;
		run_fire(p, (enum kick_transport)transport, STATE_OPEN);
		if (transport == KICK_NMI)
			run_fire(p, (enum kick_transport)transport, STATE_ENTERING);
	}
}
