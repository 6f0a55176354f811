/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `wait`: every source of events wakes who waits for them. */
#include "hv/host/errno.h"
#include "lab/wait.h"

#define SENDER 0
#define TARGET 1

/* Interrupt command: delivery modes, and "assert". */
#define ICR_FIXED   0x4000
#define ICR_NMI	    0x4400
#define ICR_INIT    0x4500
#define ICR_STARTUP 0x4600

struct source {
	const char *name;
	bool (*fire)(struct ward *w);
	enum vcpu_mp_state state; /* of the vCPU that is waited for with vcpu_wait() */
	size_t counts;		  /* where its guest counts it, in its box; 0: it does not */
	bool not_mpstate;
};

static bool fire_interrupt(struct ward *w)
{
	lapic_post(w->vcpu[TARGET], WAIT_VECTOR);
	return true;
}

static bool fire_nmi(struct ward *w)
{
	lapic_post_nmi(w->vcpu[TARGET]);
	return true;
}

static bool send(struct ward *w, u32 icr)
{
	return ward_write_msr(w, SENDER, MSR_X2APIC_ICR, (u64)w->vcpu[TARGET]->id << 32 | icr);
}

static bool send_interrupt(struct ward *w)
{
	return send(w, ICR_FIXED | WAIT_VECTOR);
}

static bool send_nmi(struct ward *w)
{
	return send(w, ICR_NMI);
}

static bool send_init(struct ward *w)
{
	return send(w, ICR_INIT);
}

static bool send_startup(struct ward *w)
{
	return send(w, ICR_STARTUP | WAIT_STARTUP >> PAGE_SHIFT);
}

static struct {
	struct timer timer;
	struct vcpu *vcpu;
} synthetic;

static void expire(struct timer *t)
{
	lapic_post(synthetic.vcpu, WAIT_VECTOR);
}

static bool fire_timer(struct ward *w)
{
	synthetic.vcpu = w->vcpu[TARGET];
	timer_init(&synthetic.timer, expire);
	timer_arm(&synthetic.timer, ticks_now() + 2000);
	return true;
}

#define INTERRUPTS offsetof(struct wait_box, interrupts)
#define NMIS	   offsetof(struct wait_box, nmis)
#define STARTS	   offsetof(struct wait_box, starts)

static const struct source sources[] = {
	{ "an interrupt from a device", fire_interrupt, MP_RUNNABLE, INTERRUPTS, false },
	{ "an NMI from a device", fire_nmi, MP_RUNNABLE, NMIS, false },
	{ "a timer of the VMM", fire_timer, MP_RUNNABLE, INTERRUPTS, false },
	{ "an IPI of another vCPU", send_interrupt, MP_RUNNABLE, INTERRUPTS, false },
	{ "an NMI of another vCPU", send_nmi, MP_RUNNABLE, NMIS, false },
	{ "an INIT of another vCPU", send_init, MP_RUNNABLE, 0, false },
	{ "a STARTUP of another vCPU", send_startup, MP_WAIT_SIPI, STARTS, true },
};

/* Run the target: has its guest taken it? The start-up code counts in vCPU 0's box. */
static bool taken(struct ward *w, const struct source *s, enum wait_way way)
{
	u32 box = s->counts == STARTS ? SENDER : TARGET;
	_Atomic u32 *count = (_Atomic u32 *)(void *)((u8 *)w->box[box] + s->counts);

	if (!s->counts)
		return true;
	if (way == WAY_MPSTATE)
		vcpu_set_mp_state(w->vcpu[TARGET], MP_RUNNABLE);
	return ward_run_until_out(w, TARGET) && atomic_load(count) == 1;
}

static bool right_answer(struct call *c, enum wait_way way)
{
	if (way == WAY_MPSTATE)
		return !c->ret && c->vcpu->run.reason == RUN_EXIT_RUNNABLE;
	return c->ret == 1 && c->set[0].ready == WAIT_EVENT;
}

static void fire_and_see(struct ward *w, const struct source *s, enum wait_way way)
{
	struct vcpu *target = w->vcpu[TARGET];
	struct call c = { .fn = way == WAY_MPSTATE ? call_run : call_wait,
			  .vcpu = target,
			  .n = 1,
			  .set[0].vcpu = target };
	bool woke, asleep;

	vcpu_set_mp_state(target, way == WAY_MPSTATE ? MP_HALTED_USERSPACE : s->state);
	if (!call_start(&c))
		return;
	asleep = call_asleep(&c);
	woke = s->fire(w) && call_returned(&c, SOON);
	if (!woke)
		vcpu_event(target); /* let it end */
	call_join(&c);
	ktap_result(asleep && woke && right_answer(&c, way) && taken(w, s, way),
		    "%s: %s wakes who waits", wait_way_name[way], s->name);
}

static void test_source(const struct source *s, enum wait_way way)
{
	struct ward w;

	if (!ward_create(&w, way, 2, WAIT_WRITES))
		return;
	if (ward_warm_up(&w, SENDER) && ward_warm_up(&w, TARGET))
		fire_and_see(&w, s, way);
	else
		ktap_result(false, "both guests come to their first exit");
	ward_destroy(&w);
}

/* --- the timer of the local APIC -------------------------------------------------------------- */

#define LOCAL_DELAY patient(20000) /* ticks: until then the VMM has come to its sleep */

/* Like call_wait() and call_run(), but the guest has armed its timer on this CPU before. */
static int arm_and_wait(struct call *c)
{
	int ret = vcpu_run(c->vcpu);

	if (!ret)
		ret = vcpu_wait(c->set, c->n, ~0ull);
	vcpu_unload(c->vcpu);
	return ret;
}

static int arm_and_run(struct call *c)
{
	int ret = vcpu_run(c->vcpu);

	vcpu_set_mp_state(c->vcpu, MP_HALTED_USERSPACE);
	if (!ret)
		ret = vcpu_run(c->vcpu);
	vcpu_unload(c->vcpu);
	return ret;
}

/* The deadline is the guest's, and it has counted whether its interrupt came before that. */
static bool expires_once(struct ward *w, enum wait_way way)
{
	struct wait_box *box = w->box[0];

	if (way == WAY_MPSTATE)
		vcpu_set_mp_state(w->vcpu[0], MP_RUNNABLE);
	return ward_run_until_out(w, 0) && atomic_load(&box->expiries) == 1 &&
	       !atomic_load(&box->early) && !ward_pending(w->vcpu[0]);
}

static void test_local_timer(enum wait_way way)
{
	struct call c = { .fn = way == WAY_MPSTATE ? arm_and_run : arm_and_wait, .n = 1 };
	bool woke;
	struct ward w;

	if (!ward_create(&w, way, 1, WAIT_LEAVES))
		return;
	c.vcpu = c.set[0].vcpu = w.vcpu[0];
	atomic_store(&w.box[0]->delay, LOCAL_DELAY);
	atomic_store(&w.box[0]->alarms, 1);
	if (call_start(&c)) {
		woke = call_asleep(&c) && !ward_pending(w.vcpu[0]);
		woke = call_returned(&c, SOON) && woke;
		if (!atomic_load(&c.returned))
			vcpu_event(w.vcpu[0]); /* let it end */
		call_join(&c);
		ktap_result(woke && right_answer(&c, way) && ward_pending(w.vcpu[0]) &&
				    expires_once(&w, way),
			    "%s: the timer of its local APIC wakes who waits", wait_way_name[way]);
	}
	ward_destroy(&w);
}

void wait_test_sources(void)
{
	for (enum wait_way way = 0; way < NR_WAIT_WAYS; way++)
		for (unsigned int i = 0; i < ARRAY_SIZE(sources); i++)
			if (way != WAY_MPSTATE || !sources[i].not_mpstate)
				test_source(&sources[i], way);
	for (enum wait_way way = 0; way < NR_WAIT_WAYS; way++)
		test_local_timer(way);
	ktap_skip("needs pin-based control 7, process posted interrupts",
		  "a posted interrupt wakes who waits, also with its notification outstanding");
}
