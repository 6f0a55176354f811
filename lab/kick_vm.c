/* SPDX-License-Identifier: GPL-2.0-only */
/* The vCPU under fire, what this hypervisor makes of it: see lab/kick.h. */
#include "hv/host/timer.h"
#include "lab/dawdle.h"
#include "lab/kick.h"

#define LOST_AFTER patient(50000) /* ticks: longer than any way, shorter than the heartbeat */
#define TO_SLEEP   patient(2000)  /* ticks from `blocked` to the CPU's HLT */
#define MAX_PAUSE  patient(400)	  /* ticks between two kicks, on top of the vCPU's way back */
#define NEVER	   (10 * LOST_AFTER)

const char *const kick_transport_names[] = {
	[KICK_NMI] = "nmi", [KICK_IPI] = "ipi", [KICK_TIMER] = "timer"
};

int kick_prepare(struct kick_target *t)
{
	const struct kick_setup *s = &t->setup;
	int err = vm_set_kick(t->tiny.vm, (enum kick_transport)s->transport, s->timer_ticks);

	if (!err && s->state == STATE_ENTERING)
		vcpu_dawdle(t->vcpu, dawdle_rounds());
	return err;
}

const char *kick_needs(const struct kick_setup *s)
{
	return "needs \"activate VMX-preemption timer\" and \"save VMX-preemption timer value\"";
}

u64 kick_never(void)
{
	return NEVER;
}

u64 kick_limit(const struct kick_setup *s)
{
	/* A machine may take no interrupt before the heartbeat while the guest has them disabled.
	 */
	if (s->transport == KICK_IPI && s->state != STATE_OPEN)
		return NEVER;
	return LOST_AFTER + 2 * (s->transport == KICK_TIMER ? s->timer_ticks : 0);
}

static bool is_ready(struct kick_target *t)
{
	switch (t->setup.state) {
	case STATE_HALTED: return atomic_load(&t->vcpu->blocked);
	case STATE_VMM: return atomic_load(&t->is_out);
	case STATE_ENTERING: return atomic_load(&t->vcpu->mode) != EXITING_GUEST_MODE;
	default: return atomic_load(&t->vcpu->mode) == IN_GUEST_MODE;
	}
}

/* Long enough for a kick to find the vCPU at any point of its way. */
static u64 longest_pause(const struct kick_setup *s)
{
	return s->transport == KICK_TIMER ? max_u64(s->timer_ticks, MAX_PAUSE) : MAX_PAUSE;
}

bool kick_wait(struct kick_target *t, struct rng *rng)
{
	u64 start = ticks_now();

	while (!is_ready(t)) {
		if (ticks_now() - start > NEVER || atomic_load(&t->error))
			return false;
	}
	spin_ticks(rng_below(rng, longest_pause(&t->setup)) +
		   (t->setup.state == STATE_HALTED ? TO_SLEEP : 0));
	return true;
}

u32 kick_counter(struct kick_target *t)
{
	struct tiny_box box;

	tiny_get_box(&t->tiny, 0, &box);
	return box.counter;
}
