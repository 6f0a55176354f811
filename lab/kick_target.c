/* SPDX-License-Identifier: GPL-2.0-only */
/* The vCPU under fire: see lab/kick.h. */
#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/machine.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
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

const char *const kick_state_names[] = {
	[STATE_GUEST] = "guest", [STATE_OPEN] = "open",		[STATE_HALTED] = "halted",
	[STATE_VMM] = "vmm",	 [STATE_ENTERING] = "entering",
};

/* --- its thread: what a VMM does -------------------------------------------------------------- */

static void answer(struct kick_target *t)
{
	for (u32 k = 0; k < nr_cpus; k++)
		atomic_store(&t->answered[k], atomic_load(&t->asked[k]));
	atomic_fetch_add(&t->left, 1);
}

static void stay_out(struct kick_target *t)
{
	atomic_store(&t->is_out, true);
	while (atomic_load(&t->stay_out) && !atomic_load(&t->over))
		cpu_relax();
	atomic_store(&t->is_out, false);
}

static void run_target(void *arg)
{
	struct kick_target *t = arg;
	int err;

	do {
		if (atomic_load(&t->stay_out))
			stay_out(t);
		err = vcpu_run(t->vcpu);
		if (err == -EINTR)
			answer(t);
		else
			atomic_store(&t->error, err ? err : -EIO);
	} while (!atomic_load(&t->over) && !atomic_load(&t->error));
	vcpu_unload(t->vcpu);
	atomic_store(&t->ended, true);
}

/* --- making and ending it --------------------------------------------------------------------- */

static struct tiny_code code_for(const struct kick_setup *s)
{
	switch (s->state) {
	case STATE_OPEN: return TINY_OPEN;
	case STATE_HALTED: return TINY_HALT;
	case STATE_ENTERING: return TINY_EXITS;
	default: return TINY_BEAT;
	}
}

int kick_create(struct kick_target *t, const struct kick_setup *s)
{
	int err;

	*t = (struct kick_target){ .setup = *s };
	err = tiny_create_many(&t->tiny, s->code.start ? s->code : code_for(s), 1);
	if (err)
		return err;
	t->vcpu = t->tiny.vcpu;
	vm_expect_events(t->tiny.vm);
	err = vm_set_kick(t->tiny.vm, s->transport, s->timer_ticks);
	if (err) {
		tiny_destroy(&t->tiny);
		return err;
	}
	if (s->state == STATE_ENTERING)
		vcpu_dawdle(t->vcpu, dawdle_rounds());
	return 0;
}

int kick_run(struct kick_target *t, u32 cpu)
{
	t->cpu = cpu;
	atomic_store(&t->over, false);
	atomic_store(&t->ended, false);
	return thread_create(&t->thread, cpu, "target", run_target, t);
}

/* Kicked again and again, where one is lost. */
void kick_halt(struct kick_target *t)
{
	u64 start = ticks_now();

	atomic_store(&t->over, true);
	while (!atomic_load(&t->ended)) {
		if (ticks_now() - start > NEVER)
			machine_exit(RUN_HANG, "a vCPU does not leave, however often it is kicked");
		vcpu_request(t->vcpu, REQ_EXIT);
		spin_ticks(LOST_AFTER / 10);
	}
	thread_join(t->thread);
	t->thread = NULL;
}

void kick_destroy(struct kick_target *t)
{
	tiny_destroy(&t->tiny);
}

bool kick_start(struct kick_target *t, const struct kick_setup *s, const char *name)
{
	int err = kick_create(t, s);

	if (err == -EOPNOTSUPP) {
		ktap_skip(
			"needs \"activate VMX-preemption timer\" and \"save VMX-preemption timer "
			"value\"",
			"%s", name);
		return false;
	}
	if (!err) {
		err = kick_run(t, KICK_TARGET_CPU);
		if (err)
			kick_destroy(t);
	}
	if (err) {
		ktap_result(false, "%s", name);
		ktap_note("a vCPU cannot be created: %s", errno_name(err));
	}
	return !err;
}

void kick_end(struct kick_target *t)
{
	kick_halt(t);
	kick_destroy(t);
}

/* --- what it does ----------------------------------------------------------------------------- */

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

bool kick_keep_out(struct kick_target *t)
{
	u64 start = ticks_now();

	atomic_store(&t->stay_out, true);
	vcpu_request(t->vcpu, REQ_EXIT);
	while (!atomic_load(&t->is_out)) {
		if (ticks_now() - start > NEVER || atomic_load(&t->error))
			return false;
	}
	return true;
}

void kick_let_in(struct kick_target *t)
{
	atomic_store(&t->stay_out, false);
	while (atomic_load(&t->is_out) && !atomic_load(&t->error))
		cpu_relax();
}

u32 kick_counter(struct kick_target *t)
{
	struct tiny_box box;

	tiny_get_box(&t->tiny, 0, &box);
	return box.counter;
}

void kick_note_error(struct kick_target *t)
{
	int err = atomic_load(&t->error);

	if (err == -EIO)
		ktap_note("the vCPU left for the VMM: reason %u", t->vcpu->run.reason);
	else if (err)
		ktap_note("vcpu_run(): %s", errno_name(err));
}
