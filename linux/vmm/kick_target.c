/* SPDX-License-Identifier: GPL-2.0-only */
/* The vCPU under fire: see linux/vmm/kick.h. */
#include "linux/vmm/kick.h"

#include "hv/host/errno.h"
#include "hv/host/ktap.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/timer.h"
#include "hv/host/x86.h"
#include "lab/needs.h"

#define MAX_PAUSE     3000 /* ticks between two kicks, on top of the vCPU's way back */
#define LEAF_EXTENDED 0x80000001
#define ECX_SVM	      BIT(2)

#define LIMIT_MS 5000 /* longer than any way, a busy machine's included */

const char *const transport_names[] = {
	[BY_SIGNAL] = "signal",
	[BY_IMMEDIATE] = "immediate_exit",
	[BY_REQUEST] = "request",
};

const char *const where_names[] = {
	[IN_GUEST] = "guest", [IN_OPEN] = "open",	 [IN_HLT] = "halted",
	[IN_VMM] = "vmm",     [IN_ENTRIES] = "entering",
};

const char *const where_words[] = {
	[IN_GUEST] = "the guest spins with interrupts disabled",
	[IN_OPEN] = "the guest spins with interrupts enabled",
	[IN_HLT] = "the guest is in HLT",
	[IN_VMM] = "the vCPU is with its VMM",
	[IN_ENTRIES] = "the vCPU is entering its guest",
};

/* --- its thread: what a VMM does -------------------------------------------------------------- */

static void answer(struct target *t)
{
	for (u32 k = 0; k < nr_cpus; k++)
		atomic_store(&t->answered[k], atomic_load(&t->asked[k]));
	atomic_fetch_add(&t->left, 1);
}

static void stay_out(struct target *t)
{
	atomic_store(&t->is_out, true);
	while (atomic_load(&t->stay_out) && !atomic_load(&t->over))
		cpu_relax();
	atomic_store(&t->is_out, false);
}

static void run_target(void *arg)
{
	struct target *t = arg;
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
}

/* --- making and ending it --------------------------------------------------------------------- */

struct tiny_code target_code(enum where where)
{
	switch (where) {
	case IN_GUEST: return TINY_BEAT;
	case IN_HLT: return TINY_HALT;
	case IN_ENTRIES: return TINY_EXITS;
	default: return TINY_OPEN;
	}
}

static int create(struct target *t, struct tiny_code code)
{
	int err = tiny_create_many(&t->tiny, code, 1);

	if (err)
		return err;
	t->vcpu = t->tiny.vcpu;
	vcpu_set_kick(t->vcpu, t->transport == BY_SIGNAL ? KVM_KICK_SIGNAL : KVM_KICK_IMMEDIATE);
	err = thread_create(&t->thread, KICK_TARGET_CPU, "target", run_target, t);
	if (err)
		tiny_destroy(&t->tiny);
	return err;
}

bool target_start(struct target *t, struct tiny_code code, const char *name)
{
	int err = create(t, code);

	if (err) {
		ktap_result(false, "%s", name);
		ktap_note("a vCPU cannot be created: %s", errno_name(err));
	}
	return !err;
}

void target_end(struct target *t)
{
	atomic_store(&t->over, true);
	vm_stop(t->tiny.vm);
	thread_join(t->thread);
	tiny_destroy(&t->tiny);
}

/* --- what it does ----------------------------------------------------------------------------- */

u64 target_limit(void)
{
	return ticks_from_us(LIMIT_MS * 1000);
}

/* TINY_EXITS has one for all vCPUs. */
static u32 counter_of(struct target *t)
{
	u32 counter;

	if (t->where != IN_ENTRIES)
		return tiny_counter(t->tiny.vm, 0);
	BUG_ON(vm_read(t->tiny.vm, TINY_COUNTER, &counter, sizeof(counter)));
	return counter;
}

/* By the kernel's own account where it sleeps. */
static bool is_there(struct target *t, u32 counter)
{
	switch (t->where) {
	case IN_VMM: return atomic_load(&t->is_out);
	case IN_HLT: return vcpu_stat(t->vcpu, "blocking");
	default: return counter_of(t) != counter;
	}
}

bool target_wait(struct target *t, struct rng *rng)
{
	u32 counter = counter_of(t);
	u64 start = ticks_now();

	while (!is_there(t, counter)) {
		if (ticks_now() - start > target_limit() || atomic_load(&t->error))
			return false;
		cpu_relax();
	}
	spin_ticks(rng_below(rng, MAX_PAUSE));
	return true;
}

bool target_keep_out(struct target *t)
{
	u64 start = ticks_now();

	atomic_store(&t->stay_out, true);
	vcpu_request(t->vcpu, REQ_EXIT);
	while (!atomic_load(&t->is_out)) {
		if (ticks_now() - start > target_limit() || atomic_load(&t->error))
			return false;
		cpu_relax();
	}
	return true;
}

void target_let_in(struct target *t)
{
	atomic_store(&t->stay_out, false);
	while (atomic_load(&t->is_out) && !atomic_load(&t->error))
		cpu_relax();
}

void target_note_error(struct target *t)
{
	int err = atomic_load(&t->error);

	if (err == -EIO)
		ktap_note("the vCPU left for the VMM: reason %u", t->vcpu->run.reason);
	else if (err)
		ktap_note("vcpu_run(): %s", errno_name(err));
}

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

bool target_can(enum where where, bool named, const char *name)
{
	if (!needs_cpus(2, name))
		return false;
	if (where != IN_GUEST || named || guest_can_be_left())
		return true;
	ktap_skip("not every machine exits then: state=guest or kvm_intel.heartbeat=N", "%s", name);
	return false;
}
