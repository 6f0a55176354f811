/* SPDX-License-Identifier: GPL-2.0-only */
/* The vCPU under fire, what KVM makes of it: see lab/kick.h. */
#include "hv/host/errno.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/x86.h"
#include "linux/vmm/kick.h"

#define MAX_PAUSE     3000 /* ticks between two kicks, on top of the vCPU's way back */
#define LEAF_EXTENDED 0x80000001
#define ECX_SVM	      BIT(2)

#define LIMIT_MS 5000 /* longer than any way, a busy machine's included */

const char *const kick_transport_names[] = {
	[BY_SIGNAL] = "signal",
	[BY_IMMEDIATE] = "immediate_exit",
	[BY_REQUEST] = "request",
};

/*
 * A processor takes a host interrupt whatever the guest's interrupt flag is. Bochs 2.7, the one
 * that has VMX, does not, and then nothing gets the vCPU out, unless the kernel's heartbeat does.
 */
static bool guest_can_be_left(void)
{
	u64 heartbeat;

	return cpuid(LEAF_EXTENDED, 0).ecx & ECX_SVM ||
	       (!kvm_param_get("kvm_intel.heartbeat", &heartbeat) && heartbeat);
}

int kick_prepare(struct kick_target *t)
{
	const struct kick_setup *s = &t->setup;

	if (s->state == STATE_GUEST && !s->asked && !guest_can_be_left())
		return -EOPNOTSUPP;
	vcpu_set_kick(t->vcpu, s->transport == BY_SIGNAL ? KVM_KICK_SIGNAL : KVM_KICK_IMMEDIATE);
	return 0;
}

const char *kick_needs(const struct kick_setup *s)
{
	return "not every machine exits then: state=guest or kvm_intel.heartbeat=N";
}

struct kick_setup kick_setup_of(const struct kick_params *p, u32 transport, enum kick_state state)
{
	struct kick_setup s = { .transport = transport, .state = state, .asked = p->state >= 0 };

	/* It spins with interrupts enabled where they do not matter. */
	if (state == STATE_VMM)
		s.code = TINY_OPEN;
	return s;
}

u64 kick_never(void)
{
	return ticks_from_us(LIMIT_MS * 1000);
}

u64 kick_limit(const struct kick_setup *s)
{
	return kick_never();
}

/* TINY_EXITS has one for all vCPUs. */
static u32 counter_of(struct kick_target *t)
{
	u32 counter;

	if (t->setup.state != STATE_ENTERING)
		return tiny_counter(t->tiny.vm, 0);
	BUG_ON(vm_read(t->tiny.vm, TINY_COUNTER, &counter, sizeof(counter)));
	return counter;
}

/* By the kernel's own account where it sleeps. */
static bool is_there(struct kick_target *t, u32 counter)
{
	switch (t->setup.state) {
	case STATE_VMM: return atomic_load(&t->is_out);
	case STATE_HALTED: return vcpu_stat(t->vcpu, "blocking");
	default: return counter_of(t) != counter;
	}
}

bool kick_wait(struct kick_target *t, struct rng *rng)
{
	u32 counter = counter_of(t);
	u64 start = ticks_now();

	while (!is_there(t, counter)) {
		if (ticks_now() - start > kick_never() || atomic_load(&t->error))
			return false;
		cpu_relax();
	}
	spin_ticks(rng_below(rng, MAX_PAUSE));
	return true;
}
