/* SPDX-License-Identifier: GPL-2.0-only */
/* Running a vCPU: KVM_RUN, what it returns with, and how it is made to return. */
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hv/host/errno.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "linux/vmm/internal.h"

/* --- kicks ------------------------------------------------------------------------------------ */

static void ignore(int signal)
{
}

/* Before any thread: a signal without a handler would end the program. */
__attribute__((constructor)) static void init_signals(void)
{
	struct sigaction action = { .sa_handler = ignore };

	sigaction(SIGNAL_KICK, &action, NULL);
}

void vcpu_signal(struct vcpu *vcpu)
{
	int tid = atomic_load(&kvm_vcpu(vcpu)->tid);

	if (tid)
		syscall(SYS_tgkill, getpid(), tid, SIGNAL_KICK);
}

/*
 * The request first, then the flag, then the signal. The thread in vcpu_run() publishes its number,
 * with a full fence, before it looks at the requests: so either it sees the request or the signal
 * is sent; and the signal ends KVM_RUN, or has come before it, when the flag is seen (or, by the
 * other way, stays pending until KVM_RUN takes it).
 */
void vcpu_request(struct vcpu *vcpu, u32 req)
{
	struct kvm_vcpu *k = kvm_vcpu(vcpu);

	atomic_fetch_or(&vcpu->requests, req);
	if (k->kick == KVM_KICK_IMMEDIATE)
		__atomic_store_n(&k->kvm_run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	vcpu_signal(vcpu);
}

void vcpu_set_kick(struct vcpu *vcpu, enum kvm_kick kick)
{
	kvm_vcpu(vcpu)->kick = kick;
}

/* struct kvm_signal_mask with room for the kernel's signal set. */
struct signal_mask {
	u32 len;
	u64 set;
} __packed;

/* The signal is blocked in this thread, and not in KVM_RUN. */
static int mask_signals(struct kvm_vcpu *k)
{
	struct signal_mask mask = { .len = sizeof(mask.set) };
	sigset_t set;
	int err;

	err = vcpu_ioctl(&k->vcpu, KVM_SET_SIGNAL_MASK, &mask);
	if (err)
		return err;
	sigemptyset(&set);
	sigaddset(&set, SIGNAL_KICK);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return 0;
}

/* What ended KVM_RUN is still pending: take it, or the next one ends as well. */
static void eat_signal(void)
{
	const struct timespec now = { 0, 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGNAL_KICK);
	sigtimedwait(&set, NULL, &now);
}

static void clear_kick(struct kvm_vcpu *k)
{
	if (k->kick == KVM_KICK_SIGNAL)
		eat_signal();
	else
		__atomic_store_n(&k->kvm_run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

/* The flag is cleared before the request is taken: a request that comes in between sets both. */
static bool take_request(struct kvm_vcpu *k)
{
	if (atomic_load(&k->vcpu.vm->stopped))
		return true;
	if (likely(!(atomic_load(&k->vcpu.requests) & REQ_EXIT)))
		return false;
	clear_kick(k);
	return atomic_fetch_and(&k->vcpu.requests, ~(u32)REQ_EXIT) & REQ_EXIT;
}

/* --- exits ------------------------------------------------------------------------------------ */

static u8 *io_data(struct kvm_vcpu *k)
{
	struct kvm_run *run = k->kvm_run;

	return (u8 *)run + run->io.data_offset + k->io_done * run->io.size;
}

/* One element of what may be a string instruction. */
static void decode_io(struct kvm_vcpu *k)
{
	const struct kvm_run *in = k->kvm_run;
	struct vcpu_run *out = &k->vcpu.run;

	out->reason = RUN_EXIT_IO;
	out->io.port = in->io.port;
	out->io.size = in->io.size;
	out->io.in = in->io.direction == KVM_EXIT_IO_IN;
	out->io.data = 0;
	if (!out->io.in)
		memcpy(&out->io.data, io_data(k), in->io.size);
	k->io_left = true;
}

/* What run.io holds goes to KVM_RUN. True: the next element of a string instruction is in run.io,
 * and no KVM_RUN is due yet. */
static bool complete(struct kvm_vcpu *k)
{
	if (!k->io_left)
		return false;
	k->io_left = false;
	if (k->vcpu.run.io.in)
		memcpy(io_data(k), &k->vcpu.run.io.data, k->kvm_run->io.size);
	if (++k->io_done < k->kvm_run->io.count) {
		decode_io(k);
		return true;
	}
	k->io_done = 0;
	return false;
}

static void decode_mmio(struct kvm_vcpu *k)
{
	struct vcpu_run *out = &k->vcpu.run;

	out->reason = RUN_EXIT_MMIO;
	out->mmio.gpa = k->kvm_run->mmio.phys_addr;
	out->mmio.write = k->kvm_run->mmio.is_write;
	out->mmio.read = !out->mmio.write;
	out->mmio.rip = vcpu_rip(&k->vcpu);
}

static void decode_error(struct kvm_vcpu *k, const char *what)
{
	struct vcpu_run *out = &k->vcpu.run;

	out->reason = RUN_EXIT_ERROR;
	out->error.what = what;
	out->error.rip = vcpu_rip(&k->vcpu);
}

static const char *internal_error(const struct kvm_run *run)
{
	switch (run->internal.suberror) {
	case KVM_INTERNAL_ERROR_EMULATION: return "KVM cannot emulate the instruction";
	case KVM_INTERNAL_ERROR_SIMUL_EX: return "KVM: simultaneous exceptions";
	case KVM_INTERNAL_ERROR_DELIVERY_EV: return "KVM: an exit during event delivery";
	case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: return "KVM: an unexpected exit";
	default: return "KVM: an internal error";
	}
}

/* The union's start, whatever the headers know of it. */
static void decode_memory_fault(struct kvm_vcpu *k)
{
	const struct kvm_run_memory_fault *in = (const void *)&k->kvm_run->hw;
	struct vcpu_run *out = &k->vcpu.run;

	out->reason = RUN_EXIT_MEMORY_FAULT;
	out->memory_fault.flags = in->flags;
	out->memory_fault.gpa = in->gpa;
	out->memory_fault.size = in->size;
}

/* False: nothing for a VMM, go on. */
static bool decode(struct kvm_vcpu *k)
{
	struct vcpu_run *out = &k->vcpu.run;
	const struct kvm_run *run = k->kvm_run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO: decode_io(k); return true;
	case KVM_EXIT_MMIO: decode_mmio(k); return true;
	case KVM_EXIT_HLT: out->reason = RUN_EXIT_HLT; return true;
	case KVM_EXIT_SHUTDOWN: out->reason = RUN_EXIT_SHUTDOWN; return true;
	case KVM_EXIT_FAIL_ENTRY: out->reason = RUN_EXIT_ENTRY_FAILED; return true;
	case KVM_EXIT_INTERNAL_ERROR: decode_error(k, internal_error(run)); return true;
	case KVM_EXIT_MEMORY_FAULT: decode_memory_fault(k); return true;
	case KVM_EXIT_IOAPIC_EOI:
		out->reason = RUN_EXIT_EOI;
		out->eoi.vector = run->eoi.vector;
		return true;
	case KVM_EXIT_SYSTEM_EVENT:
		if (run->system_event.type != KVM_SYSTEM_EVENT_WAKEUP)
			break;
		out->reason = RUN_EXIT_RUNNABLE;
		return true;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR: return false;
	}
	decode_error(k, "KVM: an exit that nothing here knows");
	return true;
}

/* --- running ---------------------------------------------------------------------------------- */

/* Thread context of the vCPU's thread. */
static void note_thread(struct kvm_vcpu *k)
{
	int tid = thread_tid();

	atomic_store_explicit(&k->vcpu.cpu, this_cpu_id(), memory_order_relaxed);
	if (unlikely(atomic_load_explicit(&k->tid, memory_order_relaxed) != tid)) {
		if (k->kick == KVM_KICK_SIGNAL)
			BUG_ON(mask_signals(k));
		atomic_store(&k->tid, tid);
		if (!atomic_load(&vm_first_guest_tick))
			atomic_store(&vm_first_guest_tick, ticks_now());
	}
}

int vcpu_enter(struct vcpu *vcpu)
{
	struct kvm_vcpu *k = kvm_vcpu(vcpu);

	note_thread(k);
	while (complete(k))
		;
	k->error = ioctl(k->fd, KVM_RUN, 0L) ? -errno : 0;
	return k->error;
}

/* Whether a page may have been missing because it was being dropped. */
static bool met_drop(struct kvm_vcpu *k)
{
	u32 drops = atomic_load(&kvm_vm(k->vcpu.vm)->drops);
	bool met = drops & 1 || drops != k->drops;

	k->drops = drops;
	return met;
}

/* KVM_RUN has failed. Returns 0 when run is filled in, -EAGAIN to try again, or the error. */
static int failed(struct kvm_vcpu *k)
{
	switch (k->error) {
	case -EINTR: clear_kick(k); return -EAGAIN; /* the request is looked at before the next */
	case -EAGAIN: return -EAGAIN;		    /* it waited for INIT and SIPI */
	case -EFAULT:
		if (met_drop(k))
			return -EAGAIN;
		if (k->kvm_run->exit_reason != KVM_EXIT_MEMORY_FAULT)
			return -EFAULT;
		decode_memory_fault(k);
		return 0;
	default: return k->error;
	}
}

int vcpu_run(struct vcpu *vcpu)
{
	struct kvm_vcpu *k = kvm_vcpu(vcpu);

	note_thread(k);
	if (complete(k))
		return 0;
	for (;;) {
		if (unlikely(take_request(k))) {
			vcpu->run.reason = RUN_EXIT_NONE;
			return -EINTR;
		}
		k->error = ioctl(k->fd, KVM_RUN, 0L) ? -errno : 0;
		if (unlikely(k->error)) {
			int err = failed(k);

			if (err != -EAGAIN)
				return err;
		} else if (likely(decode(k))) {
			return 0;
		}
	}
}
