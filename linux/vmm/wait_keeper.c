/* SPDX-License-Identifier: GPL-2.0-only */
/* The VM of experiment `wait` and the thread that keeps its vCPU: see linux/vmm/wait.h. */
#include "linux/vmm/wait.h"

#include <errno.h>
#include <poll.h>

#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "hv/vm/lapic.h"

extern const u8 wait_guest_start[], wait_guest_handler[], wait_guest_end[];

#define RAM MIB(2)

const char *const wait_way_name[NR_WAIT_WAYS] = { "posted", "sequence", "mpstate", "run" };

/* --- the VM ----------------------------------------------------------------------------------- */

bool wait_way_supported(enum wait_way way, const char *name)
{
	u64 value;

	switch (way) {
	case WAY_POSTED:
		if (!kvm_param_get("kvm.break_poll", &value))
			return true;
		ktap_skip("no kvm.break_poll", "%s", name);
		return false;
	case WAY_SEQUENCE: return needs_cap(KVM_CAP_VCPU_POLL, name);
	case WAY_MPSTATE: return needs_cap(KVM_CAP_MP_STATE_HALTED_USERSPACE, name);
	default: return true;
	}
}

static int fill(struct keeper *k, u32 what)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_VCPU_POLL };
	int err = vm_add_ram(k->vm, 0, RAM);

	/* Before the first vCPU. */
	if (!err && (k->way == WAY_POSTED || k->way == WAY_SEQUENCE))
		err = vm_ioctl(k->vm, KVM_ENABLE_CAP, &cap);
	if (!err)
		err = vcpu_create(&k->vcpu, k->vm);
	if (err)
		return err;
	memcpy(vm_hva(k->vm, WAIT_CODE), wait_guest_start,
	       (size_t)(wait_guest_end - wait_guest_start));
	vcpu_set_flat32(k->vcpu, WAIT_CODE, WAIT_BOXES, what);
	vcpu_set_mp_state(k->vcpu, MP_RUNNABLE);
	k->box = vm_hva(k->vm, WAIT_BOXES);
	return lapic_start(k->vcpu, LAPIC_X2APIC);
}

/* Its pending I/O is completed, so what follows begins between two instructions. */
static int run_until_out(struct keeper *k)
{
	int err = vcpu_run(k->vcpu);

	return !err && k->vcpu->run.reason != RUN_EXIT_IO ? -EIO : err;
}

bool ward_create(struct keeper *k, enum wait_way way, u32 what)
{
	int err;

	*k = (struct keeper){ .way = way, .halts = what == WAIT_HALTS };
	if (way == WAY_POSTED)
		kvm_param_set("kvm.break_poll", 1);
	err = vm_create(&k->vm);
	if (!err)
		err = fill(k, what);
	if (!err && !k->halts)
		err = run_until_out(k);
	if (!err)
		return true;
	ktap_result(false, "%s: a VM whose guest comes to its first exit (%s)", wait_way_name[way],
		    errno_name(err));
	ward_destroy(k);
	return false;
}

void ward_destroy(struct keeper *k)
{
	if (k->vm)
		vm_destroy(k->vm);
	if (k->way == WAY_POSTED)
		kvm_param_set("kvm.break_poll", 0);
	*k = (struct keeper){ .vm = NULL };
}

bool ward_ready(struct keeper *k)
{
	struct pollfd p = { .fd = kvm_vcpu(k->vcpu)->fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

bool ward_pending(struct keeper *k)
{
	struct kvm_lapic_state state;
	u32 irr;

	if (vcpu_ioctl(k->vcpu, KVM_GET_LAPIC, &state))
		return false;
	memcpy(&irr, state.regs + 0x200 + WAIT_VECTOR / 32 * 16, sizeof(irr));
	return irr >> WAIT_VECTOR % 32 & 1;
}

/* --- the keeper's thread ---------------------------------------------------------------------- */

/* Signals that take the vCPU out of the guest end poll() as well: they are no events. */
static int wait_poll(struct keeper *k)
{
	struct pollfd p = { .fd = kvm_vcpu(k->vcpu)->fd, .events = POLLIN };
	int ready;

	do {
		ready = poll(&p, 1, -1);
	} while (ready < 0 && errno == EINTR && !atomic_exchange(&k->nudged, false) &&
		 !atomic_load(&k->over));
	return 0;
}

/* The state stays through -EINTR, and so does the wait. */
static int wait_in_run(struct keeper *k)
{
	int err;

	vcpu_set_mp_state(k->vcpu, MP_HALTED_USERSPACE);
	do {
		err = vcpu_run(k->vcpu);
	} while (err == -EINTR && !atomic_exchange(&k->nudged, false) && !atomic_load(&k->over));
	if (err == -EINTR)
		err = 0;
	else if (!err && k->vcpu->run.reason != RUN_EXIT_RUNNABLE)
		err = -EIO;
	return err;
}

int keeper_wait_once(struct keeper *k)
{
	int err;

	switch (k->way) {
	case WAY_MPSTATE: err = wait_in_run(k); break;
	case WAY_RUN:
		vcpu_set_mp_state(k->vcpu, MP_HALTED);
		err = 0;
		break;
	default: err = wait_poll(k);
	}
	return err;
}

/*
 * Whoever takes it out in the middle of a handler lets it finish that first: from before the
 * handler's first instruction, which counts, to after its end of interrupt.
 */
static bool is_busy(struct keeper *k)
{
	return atomic_load(&k->box->done) != atomic_load(&k->box->interrupts) ||
	       vcpu_rip(k->vcpu) == WAIT_CODE + (u64)(wait_guest_handler - wait_guest_start);
}

static int serve(struct keeper *k)
{
	bool taken_out;
	int err;

	if (k->way == WAY_MPSTATE)
		vcpu_set_mp_state(k->vcpu, MP_RUNNABLE);
	do {
		err = run_until_out(k);
		taken_out = err == -EINTR;
		if (k->way == WAY_RUN && taken_out && !atomic_exchange(&k->nudged, false) &&
		    !atomic_load(&k->over))
			continue;
	} while (taken_out && is_busy(k) && !atomic_load(&k->over));
	return taken_out ? 0 : err;
}

static void keep(void *arg)
{
	struct keeper *k = arg;
	/* A guest that halts has not come to its first exit by itself: it sets itself up first. */
	int err = k->halts ? serve(k) : 0;

	while (!err && !atomic_load(&k->over)) {
		atomic_fetch_add(&k->stay, 1);
		err = keeper_wait_once(k);
		atomic_store(&k->woken, ticks_now());
		if (k->way != WAY_RUN)
			atomic_fetch_add(&k->stay, 1);
		if (k->posted == atomic_load(&k->box->interrupts))
			atomic_fetch_add(&k->spurious, 1);
		atomic_fetch_add(&k->wakes, 1);
		if (!err && !atomic_load(&k->over))
			err = serve(k);
		atomic_store(&k->out, ticks_now());
		if (k->way == WAY_RUN)
			atomic_fetch_add(&k->stay, 1);
		atomic_fetch_add(&k->rounds, 1);
	}
	if (!atomic_load(&k->over))
		atomic_store(&k->error, err);
}

bool keeper_start(struct keeper *k, u32 cpu)
{
	k->exits = vcpu_stat(k->vcpu, "exits");
	if (!thread_create(&k->thread, cpu, "keeper", keep, k))
		return true;
	k->thread = NULL;
	ktap_result(false, "a thread can be created");
	return false;
}

/* --- seen from outside ------------------------------------------------------------------------ */

void keeper_stop(struct keeper *k)
{
	if (!k->thread)
		return;
	atomic_store(&k->over, true);
	vcpu_request(k->vcpu, REQ_EXIT);
	lapic_post(k->vcpu, WAIT_VECTOR);
	/* A signal that came right before poll() has ended nothing, and the RFC's flag may too. */
	while (atomic_load(&k->stay) & 1) {
		vcpu_request(k->vcpu, REQ_EXIT);
		spin_ticks(20000);
	}
	thread_join(k->thread);
	k->thread = NULL;
	k->exits = vcpu_stat(k->vcpu, "exits") - k->exits;
}

u64 keeper_post(struct keeper *k)
{
	u64 start;

	k->posted++;
	start = ticks_now();
	lapic_post(k->vcpu, WAIT_VECTOR);
	return start;
}

/*
 * The keeper is in the call that waits, and has been in it since before the look at what poll()
 * says. What was ready at any time since it entered the call is still: only the keeper makes it
 * unready, by running the vCPU. So it sleeps, or is about to, for ever.
 *
 * Of KVM_RUN nobody outside can say what it is about to do: it has a long time to do it in.
 */
static bool is_lost(struct keeper *k, u64 since)
{
	u64 stay = atomic_load(&k->stay);

	if (!(stay & 1) || atomic_load(&k->box->interrupts) == k->posted)
		return false;
	if (k->way == WAY_POSTED || k->way == WAY_SEQUENCE) {
		if (ward_ready(k))
			return false;
	} else if (ticks_now() - since < tsc_hz / 2) {
		return false;
	}
	return atomic_load(&k->stay) == stay && atomic_load(&k->box->interrupts) != k->posted;
}

bool keeper_settle(struct keeper *k, u64 *lost)
{
	u64 start = ticks_now();
	bool repaired = false;

	while (atomic_load(&k->box->done) != k->posted) {
		if (lost && !repaired && is_lost(k, start)) {
			++*lost;
			repaired = true;
		}
		if (repaired) {
			atomic_store(&k->nudged, true);
			vcpu_signal(k->vcpu);
			spin_ticks(20000);
		}
		if (ticks_now() - start > 2 * tsc_hz || atomic_load(&k->error))
			return false;
		cpu_relax();
	}
	atomic_store(&k->nudged, false);
	return true;
}
