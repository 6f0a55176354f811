/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `kick`: what has to hold, one behaviour after the other. */
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/metric.h"
#include "hv/host/percpu.h"
#include "hv/host/string.h"
#include "hv/host/timer.h"
#include "lab/dawdle.h"
#include "lab/kick.h"

#define NR_ERRONEOUS 50
/* Ticks: longer than an entry that dawdles as `entering` does. */
#define WINDOW	     (15 * (u64)dawdle_rounds())
#define NR_RUNS	     5
#define MIN_WINDOWS  100			 /* tries: one in five meets the entry */
#define RUN_TICKS    (30 * (u64)dawdle_rounds()) /* some page faults, and the guest gets on */
#define PATIENCE     patient(1000000) /* ticks for what comes by itself: ten heartbeats */

static u64 nr_sent(void)
{
	return counter_named("kick.sent");
}

/* Wait for a condition, @limit ticks at most. Whether it was met; it may not be any more. */
#define WAIT_AT_MOST(limit, cond)                                                                  \
	({                                                                                         \
		u64 end_ = ticks_now() + (limit);                                                  \
		bool met_;                                                                         \
                                                                                                   \
		while (!(met_ = (cond)) && ticks_now() < end_)                                     \
			cpu_relax();                                                               \
		met_;                                                                              \
	})

/* As long as an answer may take: a lost kick leaves the vCPU in the guest until the heartbeat. */
#define ANSWERED(t, cond) WAIT_AT_MOST(kick_limit(&(t)->setup), cond)

/* --- on one CPU: a vCPU that is outside the guest --------------------------------------------- */

struct alarm {
	struct timer timer;
	struct vcpu *vcpu;
};

static void ring(struct timer *timer)
{
	vcpu_request(container_of(timer, struct alarm, timer)->vcpu, REQ_EXIT);
}

/* Run the vCPU until an interrupt of this CPU asks it to leave. */
static bool run_a_while(struct kick_target *t)
{
	struct alarm alarm = { .vcpu = t->vcpu };
	u32 counter = kick_counter(t);

	timer_init(&alarm.timer, ring);
	timer_arm(&alarm.timer, ticks_now() + RUN_TICKS);
	return vcpu_run(t->vcpu) == -EINTR && kick_counter(t) != counter;
}

/* Run a vCPU that has been asked to leave. */
static bool leaves_unchanged(struct kick_target *t)
{
	struct vcpu_regs before, after;
	u32 counter = kick_counter(t);

	vcpu_request(t->vcpu, REQ_EXIT);
	return !vcpu_get_regs(t->vcpu, &before) && vcpu_run(t->vcpu) == -EINTR &&
	       !vcpu_get_regs(t->vcpu, &after) && !memcmp(&before, &after, sizeof(before)) &&
	       kick_counter(t) == counter;
}

static void destroyed(struct kick_target *t)
{
	u64 sent = nr_sent();

	vcpu_unload(t->vcpu);
	vcpu_destroy(t->vcpu);
	vcpu_kick(t->vcpu);
	vcpu_request(t->vcpu, REQ_EXIT);
	lapic_post(t->vcpu, TINY_VECTOR);
	vm_kick_all(t->tiny.vm, true);
	ktap_result(nr_sent() == sent, "a kick of a destroyed vCPU is harmless");
}

static void outside(void)
{
	const struct kick_setup s = { .state = STATE_GUEST, .code = TINY_KEEP };
	u64 sent = nr_sent();
	struct kick_target t;
	struct tiny_box box;
	bool ok = true;

	if (kick_create(&t, &s)) {
		ktap_result(false, "a vCPU can be created");
		return;
	}
	vcpu_kick(t.vcpu);
	ktap_result(atomic_load(&t.vcpu->mode) == OUTSIDE_GUEST_MODE && nr_sent() == sent,
		    "a kick of a vCPU that has never run is harmless");
	ktap_result(leaves_unchanged(&t),
		    "a request before the first run ends it before the first instruction");
	for (unsigned int i = 0; i < NR_RUNS && ok; i++)
		ok = run_a_while(&t) && leaves_unchanged(&t) && leaves_unchanged(&t);
	tiny_get_box(&t.tiny, 0, &box);
	ktap_result(ok && !box.errors,
		    "-EINTR leaves registers and memory of the guest as they were");
	destroyed(&t);
	kick_destroy(&t);
}

/* --- registers across kicks ------------------------------------------------------------------- */

static void registers(u64 n)
{
	static const char name[] =
		"a kick at any instruction changes none of the guest's registers";
	const struct kick_setup s = { .state = STATE_GUEST, .code = TINY_KEEP };
	struct kick_target t;
	struct tiny_box box;
	struct rng rng;
	bool ok = true;

	if (!needs_cpus(2, name) || !kick_start(&t, &s, name))
		return;
	rng_init(&rng, run_options.seed, 0);
	for (u64 i = 0; i < n && ok; i++) {
		u64 left = atomic_load(&t.left);

		ok = kick_wait(&t, &rng);
		vcpu_request(t.vcpu, i & 1 ? REQ_EXIT : REQ_LOOK);
		ok = ok && ANSWERED(&t, i & 1 ? atomic_load(&t.left) > left
					      : !atomic_load(&t.vcpu->requests));
	}
	kick_halt(&t);
	tiny_get_box(&t.tiny, 0, &box);
	ktap_result(ok && box.counter && !box.errors, "%s", name);
	kick_note_error(&t);
	kick_destroy(&t);
}

/* --- between the last look and the entry ------------------------------------------------------ */

/* Where the request was seen. */
enum window { SEEN_BY_LOOK, SEEN_AT_ENTRY, SEEN_IN_GUEST, NR_WINDOWS };

struct window_count {
	u64 nr[NR_WINDOWS];
	bool wrong; /* an entry was stopped, and yet the guest has run */
	bool lost;  /* the guest was not left */
};

/* Let a vCPU in that dawdles at its entry, and ask it to leave @delay ticks later. */
static void try_window(struct kick_target *t, u64 delay, struct window_count *w)
{
	u64 barred, left;
	u32 counter;

	if (!kick_keep_out(t)) {
		w->lost = true;
		return;
	}
	left = atomic_load(&t->left);
	barred = vm_entries_barred();
	counter = kick_counter(t);
	kick_let_in(t);
	spin_ticks(delay);
	atomic_store(&t->stay_out, true);
	vcpu_request(t->vcpu, REQ_EXIT);
	w->lost |= !ANSWERED(t, atomic_load(&t->left) > left && atomic_load(&t->is_out));
	if (kick_counter(t) != counter) {
		w->nr[SEEN_IN_GUEST]++;
		w->wrong |= vm_entries_barred() != barred && atomic_load(&t->left) == left + 1;
	} else {
		w->nr[vm_entries_barred() != barred ? SEEN_AT_ENTRY : SEEN_BY_LOOK]++;
	}
}

static void report_windows(const struct window_count *w)
{
	static const char *const where[] = {
		[SEEN_BY_LOOK] = "look", [SEEN_AT_ENTRY] = "entry", [SEEN_IN_GUEST] = "guest"
	};

	for (unsigned int i = 0; i < NR_WINDOWS; i++) {
		const struct metric_param p = { .key = "seen", .word = where[i] };

		metric_value("kick.window", "count", w->nr[i], &p, 1);
	}
}

static void window(u64 n)
{
	static const char name[] =
		"a request between the last look and the entry prevents the entry";
	const struct kick_setup s = { .state = STATE_ENTERING, .code = TINY_BEAT };
	struct window_count w = { .wrong = false };
	struct kick_target t;
	struct rng rng;

	if (!needs_cpus(2, name) || !kick_start(&t, &s, name))
		return;
	rng_init(&rng, run_options.seed, 0);
	for (u64 i = 0; i < n && !w.lost; i++)
		try_window(&t, rng_below(&rng, WINDOW), &w);
	ktap_result(w.nr[SEEN_AT_ENTRY] && !w.wrong && !w.lost && !atomic_load(&t.error), "%s",
		    name);
	kick_note_error(&t);
	report_windows(&w);
	kick_end(&t);
}

/* --- kicks without a reason ------------------------------------------------------------------- */

static bool kick_for_nothing(struct kick_target *t, struct rng *rng)
{
	if (!kick_wait(t, rng))
		return false;
	vcpu_kick(t->vcpu);
	return ANSWERED(t, atomic_load(&t->vcpu->mode) != EXITING_GUEST_MODE);
}

/* Until its first page faults and its flush are behind it. */
static bool warm_up(struct kick_target *t, struct rng *rng)
{
	return kick_wait(t, rng) && WAIT_AT_MOST(PATIENCE, kick_counter(t) > 0) &&
	       kick_for_nothing(t, rng);
}

static void erroneous(void)
{
	static const char name[] = "kicks that find nothing to do are counted, and do nothing";
	const struct kick_setup s = { .state = STATE_GUEST };
	struct kick_target t;
	struct rng rng;
	u64 found, sent;
	bool ok;

	if (!needs_cpus(2, name) || !kick_start(&t, &s, name))
		return;
	rng_init(&rng, run_options.seed, 0);
	ok = warm_up(&t, &rng) && kick_wait(&t, &rng);
	found = counter_named("kick.erroneous");
	for (unsigned int i = 0; i < NR_ERRONEOUS && ok; i++)
		ok = kick_for_nothing(&t, &rng);
	ok = ok && kick_wait(&t, &rng);
	found = counter_named("kick.erroneous") - found;
	/* A kick that meets the vCPU on its way out, for the heartbeat, finds it looking anyway. */
	ktap_result(ok && found <= NR_ERRONEOUS && found >= NR_ERRONEOUS * 9 / 10 &&
			    !atomic_load(&t.left),
		    "%s", name);
	metric_value("kick.erroneous", "count", found,
		     &(struct metric_param){ .key = "kicks", .value = NR_ERRONEOUS }, 1);
	ok = kick_keep_out(&t);
	sent = nr_sent();
	for (unsigned int i = 0; i < NR_ERRONEOUS; i++)
		vcpu_kick(t.vcpu);
	ktap_result(ok && nr_sent() == sent, "nothing is sent to a vCPU that is outside the guest");
	kick_end(&t);
}

/* --- a vCPU in HLT ---------------------------------------------------------------------------- */

static void halted(void)
{
	static const char name[] = "a kick makes a halted vCPU look, and it halts again";
	const struct kick_setup s = { .state = STATE_HALTED };
	struct kick_target t;
	struct rng rng;
	bool ok;

	if (!needs_cpus(2, name) || !kick_start(&t, &s, name))
		return;
	rng_init(&rng, run_options.seed, 0);
	ok = kick_wait(&t, &rng);
	vcpu_request(t.vcpu, REQ_LOOK);
	ok = ok && ANSWERED(&t, !atomic_load(&t.vcpu->requests)) && kick_wait(&t, &rng);
	ktap_result(ok && !atomic_load(&t.left) && kick_counter(&t) == 1, "%s", name);
	vcpu_request(t.vcpu, REQ_EXIT);
	ok = ANSWERED(&t, atomic_load(&t.left) == 1) && kick_wait(&t, &rng);
	ktap_result(ok && kick_counter(&t) == 1,
		    "asked to leave, a halted vCPU leaves, and is still halted afterwards");
	kick_end(&t);
}

static u32 first_received(struct kick_target *t)
{
	struct tiny_box box;

	tiny_get_box(&t->tiny, 0, &box);
	return box.received[0];
}

static void halted_event(void)
{
	static const char name[] = "an interrupt for a halted vCPU is delivered, once";
	const struct kick_setup s = { .state = STATE_HALTED, .code = TINY_EVENTS };
	struct kick_target t;
	struct rng rng;
	bool ok = true;

	if (!needs_cpus(2, name) || !kick_start(&t, &s, name))
		return;
	tiny_set_word(&t.tiny, 0, TINY_BOX_HALT, 1);
	rng_init(&rng, run_options.seed, 0);
	for (u32 i = 1; i <= 10 && ok; i++) {
		ok = kick_wait(&t, &rng);
		lapic_post(t.vcpu, TINY_VECTOR);
		ok = ok && ANSWERED(&t, first_received(&t) == i);
	}
	ok = ok && kick_wait(&t, &rng);
	ktap_result(ok && first_received(&t) == 10 && !atomic_load(&t.left), "%s", name);
	kick_note_error(&t);
	kick_end(&t);
}

/* --- where the vCPU runs ---------------------------------------------------------------------- */

static bool answers(struct kick_target *t, u64 limit, struct rng *rng)
{
	u64 left = atomic_load(&t->left);
	bool ok = kick_wait(t, rng);

	vcpu_request(t->vcpu, REQ_EXIT);
	return ok && WAIT_AT_MOST(limit, atomic_load(&t->left) > left) && !atomic_load(&t->error);
}

static void moved(void)
{
	static const char name[] = "a vCPU that has moved to another CPU is kicked there";
	const struct kick_setup s = { .state = STATE_GUEST };
	struct kick_target t;
	struct rng rng;
	bool ok = true;

	if (!needs_cpus(3, name) || !kick_start(&t, &s, name))
		return;
	rng_init(&rng, run_options.seed, 0);
	for (unsigned int i = 0; i < 20 && ok; i++) {
		ok = answers(&t, kick_limit(&s), &rng) && atomic_load(&t.vcpu->cpu) == t.cpu;
		kick_halt(&t);
		if (kick_run(&t, 3 - t.cpu)) {
			kick_destroy(&t);
			ktap_result(false, "there is memory for a thread");
			return;
		}
	}
	ktap_result(ok, "%s", name);
	kick_note_error(&t);
	kick_end(&t);
}

static void shared(void)
{
	static const char name[] = "two vCPUs that share a CPU both answer";
	const struct kick_setup s = { .state = STATE_GUEST };
	struct kick_target one, other;
	struct rng rng;
	bool ok = true;

	if (!needs_cpus(2, name) || !kick_start(&one, &s, name))
		return;
	if (!kick_start(&other, &s, name)) {
		kick_end(&one);
		return;
	}
	rng_init(&rng, run_options.seed, 0);
	for (unsigned int i = 0; i < 4 && ok; i++)
		ok = answers(i & 1 ? &one : &other, PATIENCE, &rng);
	ktap_result(ok, "%s", name);
	kick_end(&other);
	kick_end(&one);
}

void kick_rules(const struct kick_params *p)
{
	outside();
	registers(p->samples);
	window(max_u64(p->samples, MIN_WINDOWS));
	erroneous();
	halted();
	halted_event();
	moved();
	shared();
}
