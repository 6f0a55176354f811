/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC's timer, on a host timer of the CPU that the vCPU is loaded on.
 *
 * It counts at the rate of the TSC, divided as the guest says: the moments at which it expires are
 * whole ticks of the host's TSC and nothing is rounded. The guest's TSC is the host's plus an
 * offset, and a host timer never fires before its deadline: so no expiry is early by the guest's
 * clock either. A count is not kept but worked out from the deadline when somebody asks.
 *
 * A periodic timer that is served late catches up by whole periods: it does not drift, and periods
 * that were missed become one interrupt, as they do in IRR. Where the period is shorter than
 * anybody could serve (MIN_TICKS, MIN_US) every so many are taken together in advance, so that the
 * host timer does not eat up its CPU.
 *
 * A host timer is armed only while an expiry would be an interrupt: not while the entry is masked,
 * and not while the vCPU is loaded nowhere. Who looks at the timer first brings it up to the
 * present (expire()).
 */
#include "hv/host/timer.h"
#include "hv/vm/lapic_internal.h"
#include "hv/vm/vcpu_state.h"

/* The host timer of one vCPU fires no more often than this when the guest asks for more. */
#define MIN_TICKS 10000
#define MIN_US	  5

#define LVT_BITS 0x710ffu

enum timer_mode { ONE_SHOT, PERIODIC, TSC_DEADLINE, RESERVED };

static enum timer_mode mode_of(u32 lvt)
{
	return lvt >> 17 & 3;
}

/* A mode in which the initial count starts it. */
static bool counts(u32 lvt)
{
	return mode_of(lvt) <= PERIODIC;
}

/* --- expiry ---------------------------------------------------------------------------------- */

/* Whole periods, and not too few ticks. */
static u64 step(u64 period)
{
	u64 least = max_u64(MIN_TICKS, ticks_from_us(MIN_US));

	return period >= least ? period : (least + period - 1) / period * period;
}

/* The deadline of the next expiry is set before this one is posted. */
static void expire(struct vcpu *vcpu, u64 now)
{
	struct lapic *l = &vcpu->lapic;
	u64 deadline = l->timer.deadline, by;

	if (!deadline || deadline > now)
		return;
	if (mode_of(l->timer.lvt) == PERIODIC) {
		by = step(l->timer.period);
		l->timer.deadline = deadline + ((now - deadline) / by + 1) * by;
	} else {
		l->timer.deadline = 0;
		l->timer.tsc_deadline = 0;
	}
	lapic_post_local(vcpu, l->timer.lvt);
}

/* Make the host timer what it should be. `runs` ends after what has expired was posted. */
static void program(struct vcpu *vcpu)
{
	struct lapic *l = &vcpu->lapic;
	struct timer *t = &l->timer.host;
	bool wanted = l->timer.deadline && !(l->timer.lvt & LAPIC_LVT_MASKED) && vcpu->vmx.cpu >= 0;

	if (wanted && !(t->armed && t->deadline == l->timer.deadline))
		timer_arm(t, l->timer.deadline);
	else if (!wanted && t->armed)
		timer_cancel(t);
	atomic_store_explicit(&l->timer.runs, wanted, memory_order_release);
}

/* Interrupt context of the CPU that the vCPU is loaded on. */
static void fire(struct timer *t)
{
	struct vcpu *vcpu = container_of(t, struct vcpu, lapic.timer.host);

	expire(vcpu, ticks_now());
	program(vcpu);
}

bool lapic_timer_runs(struct vcpu *vcpu)
{
	return atomic_load_explicit(&vcpu->lapic.timer.runs, memory_order_acquire);
}

static void stop(struct lapic *l)
{
	l->timer.deadline = 0;
	l->timer.tsc_deadline = 0;
	l->timer.period = 0;
	reg_set(l, LAPIC_TIMER_INITIAL, 0);
}

void lapic_timer_init(struct vcpu *vcpu)
{
	timer_init(&vcpu->lapic.timer.host, fire);
}

static unsigned int shift_of(u32 divide)
{
	return ((divide & 3) + (divide >> 1 & 4) + 1) & 7;
}

void lapic_timer_reset(struct vcpu *vcpu)
{
	struct lapic *l = &vcpu->lapic;

	stop(l);
	l->timer.lvt = LAPIC_LVT_MASKED;
	l->timer.shift = (u8)shift_of(0);
	program(vcpu);
}

/* The vCPU's own timer, on the CPU that it has just been loaded on. */
void lapic_timer_load(struct vcpu *vcpu)
{
	expire(vcpu, ticks_now());
	program(vcpu);
}

void lapic_timer_unload(struct vcpu *vcpu)
{
	struct lapic *l = &vcpu->lapic;

	if (!l->timer.host.armed || vcpu->vmx.cpu != (s32)this_cpu()->id)
		return;
	timer_cancel(&l->timer.host);
	atomic_store_explicit(&l->timer.runs, false, memory_order_release);
}

/* --- one shot and periodic ---------------------------------------------------------------------
 */

/* Ticks until the count that is running reaches 0. After expire(), so it is more than 0. */
static u64 ticks_left(struct lapic *l, u64 now)
{
	u64 left = l->timer.deadline - now;

	return mode_of(l->timer.lvt) == PERIODIC ? (left - 1) % l->timer.period + 1 : left;
}

/* A count that has begun is not over: it is 0 at the deadline and not before. */
static u32 current(struct lapic *l, u64 now)
{
	if (!l->timer.deadline || !counts(l->timer.lvt))
		return 0;
	return (u32)((ticks_left(l, now) + BIT(l->timer.shift) - 1) >> l->timer.shift);
}

u32 lapic_timer_current(struct vcpu *vcpu)
{
	u64 now = ticks_now();

	expire(vcpu, now);
	program(vcpu);
	return current(&vcpu->lapic, now);
}

/* In TSC-deadline mode it is ignored. */
void lapic_timer_write_initial(struct vcpu *vcpu, u32 count)
{
	struct lapic *l = &vcpu->lapic;
	u64 now = ticks_now();

	expire(vcpu, now);
	if (!counts(l->timer.lvt))
		count = 0;
	reg_set(l, LAPIC_TIMER_INITIAL, count);
	if (counts(l->timer.lvt)) {
		l->timer.period = (u64)count << l->timer.shift;
		l->timer.deadline = count ? now + l->timer.period : 0;
	}
	program(vcpu);
}

/* The count goes on from where it is, at another rate. */
void lapic_timer_write_divide(struct vcpu *vcpu, u32 divide)
{
	struct lapic *l = &vcpu->lapic;
	unsigned int shift = shift_of(divide);
	u64 now = ticks_now();

	expire(vcpu, now);
	if (counts(l->timer.lvt)) {
		u64 count = current(l, now);

		/* Not from the page: a guest can store there without our hearing of it, 0 too. */
		l->timer.period = l->timer.period >> l->timer.shift << shift;
		l->timer.deadline = count ? now + (count << shift) : 0;
	}
	l->timer.shift = (u8)shift;
	reg_set(l, LAPIC_TIMER_DIVIDE, divide);
	program(vcpu);
}

/*
 * Between one-shot and periodic the count goes on; what has ended does not start again. To or from
 * TSC-deadline mode the timer is disarmed. The page may have the new value already.
 */
void lapic_timer_write_lvt(struct vcpu *vcpu, u32 lvt)
{
	struct lapic *l = &vcpu->lapic;
	u64 now = ticks_now();

	expire(vcpu, now);
	if (mode_of(lvt) != mode_of(l->timer.lvt)) {
		if (!counts(lvt) || !counts(l->timer.lvt))
			stop(l);
		else if (l->timer.deadline)
			l->timer.deadline = now + ticks_left(l, now);
	}
	l->timer.lvt = lvt;
	reg_set(l, LAPIC_LVT_TIMER, lvt);
	program(vcpu);
}

/* --- TSC-deadline ---------------------------------------------------------------------------- */

/* When the guest's TSC is what it has written; at once when it is so already. */
static void start_deadline(struct vcpu *vcpu, u64 now)
{
	u64 guest_now = now + vmx_get(&vcpu->vmx, REG_TSC_OFFSET);
	struct lapic *l = &vcpu->lapic;
	u64 left = l->timer.tsc_deadline - guest_now;

	if (l->timer.tsc_deadline > guest_now) {
		l->timer.deadline = left > ~now ? ~0ull : now + left;
		return;
	}
	l->timer.deadline = 0;
	l->timer.tsc_deadline = 0;
	lapic_post_local(vcpu, l->timer.lvt);
}

void lapic_timer_write_deadline(struct vcpu *vcpu, u64 deadline)
{
	struct lapic *l = &vcpu->lapic;
	u64 now = ticks_now();

	if (mode_of(l->timer.lvt) != TSC_DEADLINE)
		return;
	expire(vcpu, now);
	l->timer.tsc_deadline = deadline;
	l->timer.deadline = 0;
	if (deadline)
		start_deadline(vcpu, now);
	program(vcpu);
}

u64 lapic_timer_read_deadline(struct vcpu *vcpu)
{
	expire(vcpu, ticks_now());
	program(vcpu);
	return vcpu->lapic.timer.tsc_deadline;
}

void lapic_timer_tsc_changed(struct vcpu *vcpu)
{
	u64 now = ticks_now();

	expire(vcpu, now);
	if (vcpu->lapic.timer.tsc_deadline)
		start_deadline(vcpu, now);
	program(vcpu);
}

/* --- from one vCPU to another ------------------------------------------------------------------
 */

/* Moments are the guest's. A deadline that the host's clock does not reach is what was written. */
void lapic_timer_get_state(struct vcpu *vcpu, struct lapic_state *s)
{
	struct lapic *l = &vcpu->lapic;

	s->timer_lvt = l->timer.lvt;
	s->timer_shift = l->timer.shift;
	s->period = l->timer.period;
	s->tsc_deadline = l->timer.tsc_deadline;
	s->expires = l->timer.tsc_deadline;
	if (l->timer.deadline && !s->expires)
		s->expires = l->timer.deadline + vmx_get(&vcpu->vmx, REG_TSC_OFFSET);
}

const char *lapic_timer_check_state(const struct lapic_state *s)
{
	enum timer_mode mode = mode_of(s->timer_lvt);

	if ((s->timer_lvt & ~LVT_BITS) || s->timer_shift > 7 || s->period > (u64)UINT32_MAX << 7)
		return "reserved bits of the local APIC's timer";
	/* Else it could become 0 with another divisor, and be divided by. */
	if (s->period & (BIT(s->timer_shift) - 1))
		return "a timer's period that is no number of its counts";
	if (mode > PERIODIC && s->period)
		return "a timer's period in a mode that has none";
	if (mode == TSC_DEADLINE ? s->expires != s->tsc_deadline
				 : s->tsc_deadline || (s->expires && !s->period))
		return "a timer's expiry in a mode that has none";
	return NULL;
}

void lapic_timer_set_state(struct vcpu *vcpu, const struct lapic_state *s)
{
	struct lapic *l = &vcpu->lapic;
	u64 now = ticks_now();

	l->timer.lvt = s->timer_lvt;
	l->timer.shift = (u8)s->timer_shift;
	l->timer.period = s->period;
	l->timer.tsc_deadline = s->tsc_deadline;
	l->timer.deadline = 0;
	if (s->tsc_deadline)
		start_deadline(vcpu, now);
	else if (s->expires)
		l->timer.deadline = s->expires - vmx_get(&vcpu->vmx, REG_TSC_OFFSET);
	expire(vcpu, now);
	program(vcpu);
}
