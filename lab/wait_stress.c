/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `wait`: many events against VMM threads that wait for them.
 *
 * Every event is posted at a pseudo-random moment, alone, or together with what takes the vCPU out
 * of the guest: a request to leave, before it or after it, or a pause. So events meet keepers and
 * vCPUs at every step: between the VMM's check and its sleep, between the last look and the entry,
 * in the guest, on the way out. Then the event is either taken by the guest, or its keeper sleeps
 * and will do so for ever (keeper_settle()): that one was lost.
 */
#include "hv/host/metric.h"
#include "hv/host/random.h"
#include "lab/wait.h"

#define MAX_PAUSE 200  /* ticks: as long as the way from the guest to a sleep */
#define MANY_LOST 1000 /* so many events must show the posted flag's loss under chaos */

struct stress {
	struct ward ward;
	struct keeper keeper[WARD_MAX];
	u32 nr;
	struct rng rng;
	u64 lost;
	bool stuck;
};

static void leave(struct stress *s, struct keeper *k)
{
	spin_ticks(rng_below(&s->rng, MAX_PAUSE));
	vcpu_request(k->vcpu, REQ_EXIT);
}

static void leave_by_pause(struct stress *s)
{
	struct vm_hold hold = { .vm = NULL };

	if (vm_pause(s->ward.vm, &hold, 0, NULL))
		s->stuck = true;
	spin_ticks(rng_below(&s->rng, MAX_PAUSE));
	vm_resume(&hold);
}

static void post_somehow(struct stress *s, struct keeper *k)
{
	spin_ticks(rng_below(&s->rng, MAX_PAUSE));
	switch (rng_below(&s->rng, 4)) {
	case 0: keeper_post(k); break;
	case 1:
		keeper_post(k);
		leave(s, k);
		break;
	case 2:
		leave(s, k);
		spin_ticks(rng_below(&s->rng, MAX_PAUSE));
		keeper_post(k);
		break;
	case 3:
		keeper_post(k);
		leave_by_pause(s);
		break;
	}
}

static bool start(struct stress *s, enum wait_way way, u32 vcpus, u32 what)
{
	bool ok = ward_create(&s->ward, way, vcpus, what);

	for (s->nr = 0; ok && s->nr < vcpus; s->nr++)
		ok = keeper_start(&s->keeper[s->nr], &s->ward, s->nr, way,
				  1 + s->nr % (nr_cpus - 1));
	return ok;
}

/* How often a wait ended, for nothing. Before stop(). */
static u64 spurious(struct stress *s, u64 *wakes)
{
	u64 n = 0;

	*wakes = 0;
	for (u32 i = 0; i < s->nr; i++) {
		n += atomic_load(&s->keeper[i].spurious);
		*wakes += atomic_load(&s->keeper[i].wakes);
	}
	return n;
}

/* None twice either: what the guests counted is what was posted. */
static bool all_once(struct stress *s)
{
	bool ok = true;

	for (u32 i = 0; i < s->nr; i++) {
		struct keeper *k = &s->keeper[i];

		ok &= !atomic_load(&k->error) &&
		      atomic_load(&k->box->interrupts) == atomic_load(&k->posted);
	}
	return ok;
}

static void stop(struct stress *s)
{
	for (u32 i = 0; i < s->nr; i++)
		keeper_stop(&s->keeper[i]);
	ward_destroy(&s->ward);
}

static void post_all(struct stress *s, u64 events)
{
	for (u64 i = 0; i < events && !s->stuck; i++) {
		struct keeper *k = &s->keeper[rng_below(&s->rng, s->nr)];

		s->stuck = !keeper_settle(k, &s->lost);
		if (!s->stuck)
			post_somehow(s, k);
	}
	for (u32 i = 0; i < s->nr && !s->stuck; i++)
		s->stuck = !keeper_settle(&s->keeper[i], &s->lost);
}

static void judge_posted(struct stress *s, u64 events)
{
	unsigned long long lost = s->lost, n = events;

	if (run_options.chaos && events >= MANY_LOST)
		ktap_result(s->lost, "the posted flag loses wakeups: %llu of %llu events", lost, n);
	else
		ktap_note("the posted flag has lost %llu of %llu wakeups (chaos=SEED finds more)",
			  lost, n);
}

static void judge(struct stress *s, enum wait_way way, u64 events)
{
	const char *name = wait_way_name[way];

	ktap_result(!s->stuck && all_once(s), "%s: the guests take each of %llu events once%s",
		    name, (unsigned long long)events,
		    way == WAY_POSTED ? ", those included that are lost and repeated" : "");
	if (way == WAY_POSTED)
		judge_posted(s, events);
	else
		ktap_result(!s->lost,
			    "%s: no event is lost between a check and a sleep, nor between "
			    "the last look and the entry",
			    name);
}

void wait_stress(enum wait_way way, u64 events, u32 vcpus)
{
	static struct stress s;
	const struct metric_param p[] = { { .key = "variant", .word = wait_way_name[way] },
					  { .key = "vcpus", .value = vcpus },
					  { .key = "chaos", .value = run_options.chaos },
					  { .key = "cpus", .value = nr_cpus } };
	u64 wakes, nothing;

	s = (struct stress){ .nr = 0 };
	rng_init(&s.rng, run_options.seed, way);
	if (start(&s, way, vcpus, WAIT_WORKS)) {
		post_all(&s, events);
		nothing = spurious(&s, &wakes);
		judge(&s, way, events);
		metric_value("wait.events", "count", events, p, ARRAY_SIZE(p));
		metric_value("wait.wakes", "count", wakes, p, ARRAY_SIZE(p));
		metric_value("wait.lost", "count", s.lost, p, ARRAY_SIZE(p));
		metric_value("wait.spurious", "count", nothing, p, ARRAY_SIZE(p));
	}
	stop(&s);
}
