/* SPDX-License-Identifier: GPL-2.0-only */
/* The run loop: one loop, one switch. */
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/irq.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/timer.h"
#include "hv/host/trace.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"

COUNTER(kicks_erroneous, "kick.erroneous", "kicks that found nothing to do");
COUNTER(run_blocks, "run.blocks", "times a vCPU thread slept in vcpu_run()");
COUNTER(run_yields, "run.yields", "times a vCPU gave its CPU to another thread");

int vcpu_exit_error(struct vcpu *vcpu, const char *what)
{
	vcpu->run.reason = RUN_EXIT_ERROR;
	vcpu->run.error.what = what;
	vcpu->run.error.rip = vcpu_rip(vcpu);
	return 0;
}

static __always_inline bool must_not_enter(struct vcpu *vcpu, struct cpu *cpu)
{
	return atomic_load_explicit(&vcpu->requests, memory_order_relaxed) |
	       atomic_load_explicit(&vcpu->vm->hold, memory_order_relaxed) |
	       atomic_load_explicit(&cpu->need_resched, memory_order_relaxed);
}

/* Every event sets a request, so requests say whether anything happened since the last look. */
static bool may_sleep(struct vcpu *vcpu)
{
	return !atomic_load(&vcpu->requests) && !atomic_load(&vcpu->vm->hold);
}

/*
 * Nobody is left who could wake anybody: all vCPUs wait, and none has a request pending. A request
 * is made visible before its sender can block, and blocking takes halt_lock, so the last one to
 * block sees every request that was made.
 */
static bool all_blocked(struct vm *vm)
{
	bool all = true;

	for (u32 i = 0; i < vm->nr_vcpus && all; i++)
		all = atomic_load(&vm->vcpu[i]->blocked) && may_sleep(vm->vcpu[i]);
	return all;
}

/* Returns true when this was the last vCPU that could have done something. */
static bool set_blocked(struct vcpu *vcpu, bool blocked)
{
	bool all;

	spin_lock(&vcpu->vm->halt_lock);
	atomic_store(&vcpu->blocked, blocked);
	all = blocked && all_blocked(vcpu->vm);
	spin_unlock(&vcpu->vm->halt_lock);
	return all;
}

/* Sleep until something is requested. Returns RESUME_GUEST, 0 (RUN_EXIT_HLT), -EINTR or -EBUSY. */
static int sleep_once(struct vcpu *vcpu)
{
	int ret = RESUME_GUEST;
	struct waiter w;

	wait_prepare(&vcpu->wq, &w);
	if (set_blocked(vcpu, true)) {
		vcpu->run.reason = RUN_EXIT_HLT;
		ret = 0;
	} else if (may_sleep(vcpu)) {
		wait_sleep(&w);
	}
	set_blocked(vcpu, false);
	wait_finish(&vcpu->wq, &w);
	return vmx_load(&vcpu->vmx) ? -EBUSY : ret;
}

/* Wait in HLT or for SIPI until an event makes the vCPU runnable. Returns as sleep_once(). */
static int block(struct vcpu *vcpu, struct cpu *cpu)
{
	int ret = vcpu_deliver_events(vcpu);

	trace("run: block", vcpu->id, vcpu->mp_state);
	count(&run_blocks);
	atomic_store(&cpu->in_guest, 0);
	while (vcpu->mp_state != MP_RUNNABLE && ret == RESUME_GUEST) {
		ret = sleep_once(vcpu);
		if (ret != RESUME_GUEST)
			break;
		if (atomic_load(&vcpu->vm->hold) ||
		    (atomic_exchange(&vcpu->requests, 0) & REQ_EXIT))
			ret = -EINTR;
		else
			ret = vcpu_deliver_events(vcpu);
	}
	atomic_store(&cpu->in_guest, 1);
	return ret;
}

/* Deliver what is pending to a running vCPU. INIT among it stops it: then wait for the start-up. */
static int take_events(struct vcpu *vcpu, struct cpu *cpu)
{
	int ret = vcpu_deliver_events(vcpu);

	if (unlikely(vcpu->mp_state != MP_RUNNABLE && ret == RESUME_GUEST))
		ret = block(vcpu, cpu);
	return ret;
}

/*
 * Let other threads of this CPU run; they may load another vCPU. Whoever is still runnable
 * afterwards waits for the next heartbeat: two vCPUs that share a CPU would otherwise yield to each
 * other and never enter a guest.
 */
static int yield(struct vcpu *vcpu, struct cpu *cpu)
{
	count(&run_yields);
	atomic_store(&cpu->in_guest, 0);
	thread_yield();
	atomic_store(&cpu->in_guest, 1);
	return vmx_load(&vcpu->vmx) ? -EBUSY : RESUME_GUEST;
}

/* Not entered, or kicked out: find out what somebody wants. */
static int look_again(struct vcpu *vcpu, struct cpu *cpu)
{
	u32 requests;
	int ret;

	if (atomic_load(&vcpu->vm->hold))
		return -EINTR;
	if (atomic_load(&cpu->need_resched))
		return yield(vcpu, cpu);
	requests = atomic_exchange(&vcpu->requests, 0);
	if (!requests) {
		/* A flush generation that has advanced is seen in vmx_enter(). */
		if (atomic_load(&vcpu->vm->vmx.flush_gen) == vcpu->vmx.flushed_gen)
			count(&kicks_erroneous);
		return RESUME_GUEST;
	}
	if (!(requests & REQ_EXIT))
		return take_events(vcpu, cpu);
	ret = vcpu_deliver_events(vcpu);
	return ret == RESUME_GUEST ? -EINTR : ret;
}

static int handle_memory(struct vcpu *vcpu)
{
	const struct vm_exit *e = &vcpu->vmx.exit;
	int err = vm_fault(vcpu->vm, e->mem.gpa);

	if (!err)
		return RESUME_GUEST;
	if (err != -ENOENT)
		return vcpu_exit_error(vcpu, "no memory for second-level page tables");
	vcpu->run.reason = RUN_EXIT_MMIO;
	vcpu->run.mmio.gpa = e->mem.gpa;
	vcpu->run.mmio.rip = vcpu_rip(vcpu);
	vcpu->run.mmio.read = e->mem.read;
	vcpu->run.mmio.write = e->mem.write;
	vcpu->run.mmio.fetch = e->mem.fetch;
	return 0;
}

static __always_inline void handle_cpuid(struct vcpu *vcpu)
{
	struct vmx_vcpu *v = &vcpu->vmx;
	const struct cpuid_entry *e =
		vcpu_cpuid_find(&vcpu->cpuid, (u32)v->gpr[GPR_RAX], (u32)v->gpr[GPR_RCX]);

	v->gpr[GPR_RAX] = e->eax;
	v->gpr[GPR_RBX] = e->ebx;
	v->gpr[GPR_RCX] = e->ecx;
	v->gpr[GPR_RDX] = e->edx;
	vmx_skip_quickly(v);
}

static int handle_hlt(struct vcpu *vcpu, struct cpu *cpu)
{
	vmx_skip_instruction(&vcpu->vmx);
	vcpu->mp_state = MP_HALTED;
	return block(vcpu, cpu);
}

/* No hypercalls are offered; the instruction is not undefined either. */
static int handle_hypercall(struct vcpu *vcpu)
{
	vcpu->vmx.gpr[GPR_RAX] = (u64)-ENOSYS;
	vmx_skip_instruction(&vcpu->vmx);
	return RESUME_GUEST;
}

static int handle_entry_failure(struct vcpu *vcpu)
{
	trace("run: entry failed", vcpu->id, vcpu->vmx.exit.hardware_reason);
	vcpu->run.reason = RUN_EXIT_ENTRY_FAILED;
	return 0;
}

/* Only we write second-level tables: a malformed entry is a bug of ours. */
static noreturn void panic_malformed(struct vcpu *vcpu)
{
	gpa_t gpa = vcpu->vmx.exit.mem.gpa;
	u64 entry = 0;
	const char *rule = ept_misconfigured(&vcpu->vm->vmx.ept, gpa, &entry);

	panic("second-level entry %#llx for guest-physical %#llx: %s", (unsigned long long)entry,
	      (unsigned long long)gpa, rule ? rule : "no rule that we know of is violated");
}

static noinline int handle(struct vcpu *vcpu, u32 reason)
{
	struct cpu *cpu = this_cpu();

	switch (reason) {
	case VM_EXIT_BARRED:
	case VM_EXIT_NMI: return look_again(vcpu, cpu);
	case VM_EXIT_INTERRUPT: irq_dispatch(vcpu->vmx.exit.vector); return RESUME_GUEST;
	case VM_EXIT_TIMER:
		/* The heartbeat: host interrupts that could not exit a guest with IF=0 (on some
		 * emulators) are taken here at the latest. */
		irq_window();
		return atomic_load(&cpu->nr_runnable) ? yield(vcpu, cpu) : RESUME_GUEST;
	case VM_EXIT_HLT: return handle_hlt(vcpu, cpu);
	case VM_EXIT_RDMSR: return vcpu_handle_rdmsr(vcpu);
	case VM_EXIT_WRMSR: return vcpu_handle_wrmsr(vcpu);
	case VM_EXIT_HYPERCALL: return handle_hypercall(vcpu);
	case VM_EXIT_CR: return vcpu_handle_cr(vcpu);
	case VM_EXIT_MEMORY: return handle_memory(vcpu);
	case VM_EXIT_EXCEPTION: return vcpu_handle_exception(vcpu);
	case VM_EXIT_WINDOW: return take_events(vcpu, cpu);
	case VM_EXIT_XSETBV: return vcpu_handle_xsetbv(vcpu);
	case VM_EXIT_CACHE: vmx_skip_instruction(&vcpu->vmx); return RESUME_GUEST;
	case VM_EXIT_UNDEFINED: return vcpu_inject(vcpu, EXC_UD);
	case VM_EXIT_PRIVILEGED: return vcpu_inject_error(vcpu, EXC_GP, 0);
	case VM_EXIT_TRIPLE_FAULT: vcpu->run.reason = RUN_EXIT_SHUTDOWN; return 0;
	case VM_EXIT_ENTRY_FAILED: return handle_entry_failure(vcpu);
	case VM_EXIT_TASK_SWITCH: return vcpu_exit_error(vcpu, "task switch through a task gate");
	case VM_EXIT_MEMORY_BAD: panic_malformed(vcpu);
	default: return vcpu_exit_error(vcpu, "an exit that nothing asks for");
	}
}

/*
 * The run loop, by the entry protocol in vcpu.h. The race it closes: a requester that reads mode ==
 * OUTSIDE sends no NMI, so its request must be seen here; one that reads IN_GUEST sends an NMI,
 * which either exits the guest or finds entry_barred clear and sets it (vmx/entry.S). The exchange
 * is the full fence between our store of mode and our reads of the requests.
 *
 * vmx_enter() leaves hardly a register alone: the hidden variable keeps the compiler from computing
 * addresses before it, only to spill and reload them at every exit.
 */
static __always_inline int run_loop(struct vcpu *vcpu)
{
	int ret = RESUME_GUEST;
	u32 reason;

	do {
		struct cpu *cpu = this_cpu();

		OPTIMIZER_HIDE_VAR(vcpu);
		atomic_store_explicit(&cpu->entry_barred, 0, memory_order_relaxed);
		atomic_exchange_explicit(&vcpu->mode, IN_GUEST_MODE, memory_order_seq_cst);
		reason = VM_EXIT_BARRED;
		if (likely(!must_not_enter(vcpu, cpu)))
			reason = vmx_enter(&vcpu->vmx);
		OPTIMIZER_HIDE_VAR(vcpu);
		atomic_store_explicit(&vcpu->mode, OUTSIDE_GUEST_MODE, memory_order_release);
		if (likely(reason == VM_EXIT_CPUID))
			handle_cpuid(vcpu);
		else if (likely(reason == VM_EXIT_IO))
			ret = vcpu_handle_io(vcpu);
		else
			ret = handle(vcpu, reason);
	} while (ret == RESUME_GUEST);
	return ret;
}

_Atomic u64 vm_first_guest_tick;

/* For the tool that measures the wall time it takes to get here. */
static noinline void announce_first_guest(void)
{
	u64 none = 0, now = ticks_now();

	if (!atomic_load(&vm_first_guest_tick) &&
	    atomic_compare_exchange_strong(&vm_first_guest_tick, &none, now))
		printk("stillpoint: first guest instruction at tick %llu\n",
		       (unsigned long long)now);
}

int vcpu_load(struct vcpu *vcpu)
{
	if (vmx_load(&vcpu->vmx))
		return -EBUSY;
	announce_first_guest();
	return 0;
}

/* The stores need no order of their own: enter() has a full fence before it looks at anything. */
int vcpu_run(struct vcpu *vcpu)
{
	struct cpu *cpu = this_cpu();
	int ret = RESUME_GUEST;

	if (unlikely(!vmx_is_loaded(&vcpu->vmx)) && vcpu_load(vcpu))
		return -EBUSY;
	if (vcpu->io_pending)
		ret = vcpu_complete_io(vcpu);
	if (unlikely(ret != RESUME_GUEST))
		return ret;
	atomic_store_explicit(&vcpu->cpu, cpu->id, memory_order_relaxed);
	atomic_store_explicit(&cpu->in_guest, 1, memory_order_relaxed);
	if (unlikely(vcpu->mp_state != MP_RUNNABLE))
		ret = block(vcpu, cpu);
	if (likely(ret == RESUME_GUEST))
		ret = run_loop(vcpu);
	atomic_store_explicit(&this_cpu()->in_guest, 0, memory_order_relaxed);
	return ret;
}
