/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A thread of the VMM that keeps one vCPU: see lab/wait.h.
 *
 * This is what the RFC wants vCPUs to be polled for: a vCPU is out of the guest, because its VMM
 * has taken it out or because its guest had nothing to do; its thread waits until there is an event
 * for it, and then, and only then, runs it.
 */
#include "hv/host/errno.h"
#include "lab/wait.h"

const char *const wait_way_name[NR_WAIT_WAYS] = { "posted", "sequence", "mpstate" };

/* --- its thread ------------------------------------------------------------------------------ */

static int wait_poll(struct keeper *k)
{
	struct vcpu_wait set = { .vcpu = k->vcpu };
	int ready = vcpu_wait(&set, 1, ~0ull);

	k->back = ticks_now();
	return ready < 0 ? ready : 0;
}

/*
 * A guest that has left by itself is at a place where it can be left alone: the rules of HLT hold.
 * One that was taken out may be anywhere, for example in a handler, with interrupts disabled; what
 * arrives is to be heard of nevertheless. The state stays through -EINTR, and so does the wait.
 */
static int wait_in_run(struct keeper *k)
{
	int err;

	vcpu_set_mp_state(k->vcpu, k->taken_out ? MP_INACTIVE_VTL : MP_HALTED_USERSPACE);
	do {
		err = vcpu_run(k->vcpu);
		k->back = ticks_now();
		if (err == -EINTR)
			vm_wait_resumed(k->ward->vm);
	} while (err == -EINTR && !atomic_load(&k->over));
	vcpu_set_mp_state(k->vcpu, MP_RUNNABLE);
	return !err && k->vcpu->run.reason != RUN_EXIT_RUNNABLE ? -EIO : err;
}

static int wait_for_event(struct keeper *k)
{
	int err;

	atomic_fetch_add(&k->stay, 1);
	err = k->way == WAY_MPSTATE ? wait_in_run(k) : wait_poll(k);
	atomic_store(&k->woken, k->back);
	atomic_fetch_add(&k->stay, 1);
	if (atomic_load(&k->posted) == atomic_load(&k->box->interrupts))
		atomic_fetch_add(&k->spurious, 1);
	atomic_fetch_add(&k->wakes, 1);
	return err;
}

/*
 * Whoever takes it out in the middle of a handler lets it finish that first: from before the
 * handler's first instruction, which counts, to after its end of interrupt.
 */
static bool is_busy(struct keeper *k)
{
	return atomic_load(&k->box->done) != atomic_load(&k->box->interrupts) ||
	       vcpu_rip(k->vcpu) == ward_handler();
}

/* It is out when it was asked to leave, when the VM was held, and when its guest said so. */
static int run_until_out(struct keeper *k)
{
	bool busy;
	int err;

	do {
		err = vcpu_run(k->vcpu);
		k->taken_out = err == -EINTR;
		busy = k->taken_out && is_busy(k);
		if (k->taken_out)
			vm_wait_resumed(k->ward->vm);
	} while (busy && !atomic_load(&k->over));
	if (k->taken_out)
		return 0;
	return !err && k->vcpu->run.reason != RUN_EXIT_IO ? -EIO : err;
}

static void keep(void *arg)
{
	struct keeper *k = arg;
	int err = run_until_out(k); /* the first time unasked: it sets up what takes events */

	while (!err && !atomic_load(&k->over)) {
		err = wait_for_event(k);
		if (!err && !atomic_load(&k->over))
			err = run_until_out(k);
	}
	if (!atomic_load(&k->over))
		atomic_store(&k->error, err);
	vcpu_unload(k->vcpu);
}

bool keeper_start(struct keeper *k, struct ward *w, u32 n, enum wait_way way, u32 cpu)
{
	*k = (struct keeper){ .ward = w, .vcpu = w->vcpu[n], .box = w->box[n], .way = way };
	if (!thread_create(&k->thread, cpu, "keeper", keep, k))
		return true;
	k->thread = NULL;
	ktap_result(false, "a thread can be created for vCPU %u", n);
	return false;
}

/* --- seen from outside ----------------------------------------------------------------------- */

/*
 * On the queue and with no request it is either asleep or about to sleep: it looks at nothing any
 * more that could keep it from it.
 */
bool keeper_asleep(struct keeper *k)
{
	if (k->way == WAY_MPSTATE)
		return wait_queue_active(&k->vcpu->wq) && !atomic_load(&k->vcpu->requests);
	return wait_queue_active(&k->vcpu->pollers) && !vcpu_poll(k->vcpu);
}

void keeper_stop(struct keeper *k)
{
	if (!k->thread)
		return;
	atomic_store(&k->over, true);
	vcpu_request(k->vcpu, REQ_EXIT);
	vcpu_event(k->vcpu);
	thread_join(k->thread);
	k->thread = NULL;
}

u64 keeper_post(struct keeper *k)
{
	u64 start;

	atomic_fetch_add(&k->posted, 1);
	start = ticks_now();
	lapic_post(k->vcpu, WAIT_VECTOR);
	return start;
}

/*
 * Lost: the guest has not taken the event, its vCPU's thread is inside the call that waits, and
 * that call will never see a reason to return.
 *
 * This needs no time limit, because it cannot change by itself. The caller is the only one who
 * makes anything ready, and its last lapic_post() is over; only the keeper makes anything unready
 * again, when it enters the guest, and it has been inside the call all the while (the same odd
 * stay).
 */
static bool is_lost(struct keeper *k)
{
	u64 stay = atomic_load(&k->stay);

	return (stay & 1) && keeper_asleep(k) &&
	       atomic_load(&k->box->interrupts) != atomic_load(&k->posted) &&
	       atomic_load(&k->stay) == stay;
}

bool keeper_settle(struct keeper *k, u64 *lost)
{
	u64 end = ticks_now() + tsc_hz;
	bool repaired = false;

	while (atomic_load(&k->box->done) != atomic_load(&k->posted)) {
		if (lost && !repaired && is_lost(k)) {
			++*lost;
			vcpu_event(k->vcpu); /* say it again */
			repaired = true;
		}
		if (ticks_now() > end || atomic_load(&k->error))
			return false;
		cpu_relax();
	}
	return true;
}
