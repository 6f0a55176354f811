/* SPDX-License-Identifier: GPL-2.0-only */
/* The run loop: one loop, one switch. */
#include "hv/host/apic.h"
#include "hv/host/chaos.h"
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
COUNTER(apic_access_exits, "apic.access_exits", "accesses to the APIC-access page");
COUNTER(apic_write_exits, "apic.write_exits", "writes to the virtual-APIC page");
COUNTER(apic_eoi_exits, "apic.eoi_exits", "virtualized EOIs of level-triggered interrupts");
COUNTER(apic_tpr_exits, "apic.tpr_exits", "task priorities that fell below the threshold");
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
	return atomic_load_explicit(&vcpu->requests, memory_order_seq_cst) |
	       atomic_load_explicit(&vcpu->vm->hold, memory_order_seq_cst) |
	       atomic_load_explicit(&cpu->need_resched, memory_order_seq_cst);
}

/* Deliver what is pending to a running vCPU. INIT among it stops it: then wait for the start-up. */
static int take_events(struct vcpu *vcpu, struct cpu *cpu)
{
	int ret = vcpu_deliver_events(vcpu);

	if (unlikely(vcpu->mp_state != MP_RUNNABLE && ret == RESUME_GUEST))
		ret = vcpu_block(vcpu, cpu);
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

static int leave(struct vcpu *vcpu)
{
	vcpu_leave_events(vcpu);
	return -EINTR;
}

static int look_once(struct vcpu *vcpu, struct cpu *cpu)
{
	u32 requests;

	if (atomic_load(&vcpu->vm->hold))
		return leave(vcpu);
	if (atomic_load(&cpu->need_resched))
		return yield(vcpu, cpu);
	requests = vcpu_take_requests(vcpu);
	if (requests & REQ_EXIT)
		return leave(vcpu);
	if (requests & REQ_EVENT)
		return take_events(vcpu, cpu);
	/* A flush generation that has advanced is seen in vmx_enter(). */
	if (!requests && atomic_load(&vcpu->vm->vmx.flush_gen) == vcpu->vmx.flushed_gen)
		count(&kicks_erroneous);
	return RESUME_GUEST;
}

/*
 * The APIC-access page is on its way to another frame: no entry until its address can be reloaded.
 * Who moves it may be a thread of this CPU. The request bars the entry that is tried next; with
 * STALL_BAIL none is tried. Everything else that is requested meanwhile is done.
 */
static noinline int stall(struct vcpu *vcpu, struct cpu *cpu)
{
	bool bail = vcpu->vm->apic_page.stall == STALL_BAIL;
	int ret = RESUME_GUEST;

	do {
		cpu_relax();
		if (atomic_load(&cpu->nr_runnable))
			ret = yield(vcpu, cpu);
		if (bail && ret == RESUME_GUEST)
			ret = look_once(vcpu, cpu);
	} while (bail && ret == RESUME_GUEST && atomic_load(&vcpu->requests) & REQ_APIC_PAGE);
	return ret;
}

/* Not entered, or kicked out: find out what somebody wants. */
static int look_again(struct vcpu *vcpu, struct cpu *cpu)
{
	int ret = look_once(vcpu, cpu);

	if (unlikely(atomic_load(&vcpu->requests) & REQ_APIC_PAGE) && ret == RESUME_GUEST)
		ret = stall(vcpu, cpu);
	return ret;
}

int vcpu_mmio(struct vcpu *vcpu, bool readonly)
{
	const struct vm_exit *e = &vcpu->vmx.exit;

	vcpu->run.reason = RUN_EXIT_MMIO;
	vcpu->run.mmio.gpa = e->mem.gpa;
	vcpu->run.mmio.rip = vcpu_rip(vcpu);
	vcpu->run.mmio.read = e->mem.read;
	vcpu->run.mmio.write = e->mem.write;
	vcpu->run.mmio.fetch = e->mem.fetch;
	vcpu->run.mmio.readonly = readonly;
	return 0;
}

/* What the local APIC says: 0, or 1 when the VMM has to hear of it. */
static int to_vmm_if(int told)
{
	return told ? 0 : RESUME_GUEST;
}

/* PML's buffer is full. */
static int handle_dirty_full(struct vcpu *vcpu)
{
	dirty_drain(vcpu);
	return RESUME_GUEST;
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
	return vcpu_block(vcpu, cpu);
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

/* The kick by ordinary interrupt is one too. */
static int handle_interrupt(struct vcpu *vcpu, struct cpu *cpu)
{
	u8 vector = vcpu->vmx.exit.vector;

	irq_dispatch(vector);
	return vector == VECTOR_KICK ? look_again(vcpu, cpu) : RESUME_GUEST;
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
	case VM_EXIT_INTERRUPT: return handle_interrupt(vcpu, cpu);
	case VM_EXIT_TIMER:
		/* The heartbeat: host interrupts that could not exit a guest with IF=0 (on some
		 * emulators) are taken here at the latest. */
		irq_window();
		return atomic_load(&cpu->nr_runnable) ? yield(vcpu, cpu) : RESUME_GUEST;
	case VM_EXIT_HLT: return handle_hlt(vcpu, cpu);
	case VM_EXIT_RDMSR: return vcpu_handle_rdmsr(vcpu);
	case VM_EXIT_HYPERCALL: return handle_hypercall(vcpu);
	case VM_EXIT_CR: return vcpu_handle_cr(vcpu);
	case VM_EXIT_DIRTY_FULL: return handle_dirty_full(vcpu);
	case VM_EXIT_EXCEPTION: return vcpu_handle_exception(vcpu);
	case VM_EXIT_APIC_ACCESS: count(&apic_access_exits); return vcpu_handle_apic_access(vcpu);
	case VM_EXIT_APIC_WRITE:
		count(&apic_write_exits);
		return to_vmm_if(lapic_written(vcpu, vcpu->vmx.exit.apic.offset));
	case VM_EXIT_EOI:
		count(&apic_eoi_exits);
		return to_vmm_if(lapic_eoi_virtualized(vcpu, vcpu->vmx.exit.vector));
	case VM_EXIT_TPR: count(&apic_tpr_exits); return take_events(vcpu, cpu);
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
 * What the watched loop does in addition. It is an instance of its own, so that the loop that
 * matters does not carry as much as a test for it.
 */
static void watch_look(struct vcpu *vcpu, u32 old)
{
	if (old != OUTSIDE_GUEST_MODE)
		panic("vCPU %u: mode %u before it was entered", vcpu->id, old);
	race_point();
}

static void watch_entry(struct vcpu *vcpu)
{
	race_point();
	if (vcpu->watched & WATCH_POSTED) {
		/* Here, as in the RFC: after the last look at requests. */
		atomic_store(&vcpu->kicked, 0);
		race_point();
	}
	if (vcpu->watched & WATCH_TRACE)
		trace("vcpu: in", vcpu->id, 0);
	apic_page_watch(vcpu);
}

static void watch_exit(struct vcpu *vcpu, u32 reason)
{
	u32 mode = atomic_load(&vcpu->mode);

	if (mode != IN_GUEST_MODE && mode != EXITING_GUEST_MODE)
		panic("vCPU %u: mode %u after its exit", vcpu->id, mode);
	if (vcpu->watched & WATCH_TRACE && reason != VM_EXIT_BARRED)
		trace("vcpu: exit", vcpu->id, reason);
	race_point();
}

/*
 * The run loop, by the entry protocol in kick.h. The race it closes: a requester that reads mode ==
 * OUTSIDE sends no kick, so its request must be seen here; one that reads IN_GUEST sends a kick,
 * which either exits the guest or finds entry_barred clear and sets it (vmx/entry.S). The exchange
 * is the full fence between our store of mode and our reads of the requests.
 *
 * vmx_enter() leaves hardly a register alone: the hidden variable keeps the compiler from computing
 * addresses before it, only to spill and reload them at every exit.
 */
static __always_inline int run_loop(struct vcpu *vcpu, bool watched)
{
	int ret = RESUME_GUEST;
	u32 reason, old;

	do {
		struct cpu *cpu = this_cpu();

		OPTIMIZER_HIDE_VAR(vcpu);
		atomic_store_explicit(&cpu->entry_barred, 0, memory_order_relaxed);
		old = atomic_exchange_explicit(&vcpu->mode, IN_GUEST_MODE, memory_order_seq_cst);
		if (watched)
			watch_look(vcpu, old);
		reason = VM_EXIT_BARRED;
		if (likely(!must_not_enter(vcpu, cpu))) {
			if (watched)
				watch_entry(vcpu);
			reason = vmx_enter(&vcpu->vmx);
		}
		OPTIMIZER_HIDE_VAR(vcpu);
		if (watched)
			watch_exit(vcpu, reason);
		atomic_store_explicit(&vcpu->mode, OUTSIDE_GUEST_MODE, memory_order_release);
		if (likely(reason == VM_EXIT_CPUID))
			handle_cpuid(vcpu);
		else if (likely(reason == VM_EXIT_IO))
			ret = vcpu_handle_io(vcpu);
		else if (reason == VM_EXIT_WRMSR)
			ret = vcpu_handle_wrmsr(vcpu);
		else if (reason == VM_EXIT_MEMORY)
			ret = vcpu_handle_memory(vcpu);
		else
			ret = handle(vcpu, reason);
	} while (ret == RESUME_GUEST);
	return ret;
}

static noinline int run_watched(struct vcpu *vcpu)
{
	int ret = run_loop(vcpu, true);

	if (vcpu->watched & WATCH_TRACE)
		trace("vcpu: out", vcpu->id, (u64)ret);
	return ret;
}

/*
 * A vCPU that is not runnable, or whose loop is watched. Returns RESUME_GUEST when the ordinary
 * loop is what follows.
 */
static noinline int run_unusual(struct vcpu *vcpu, struct cpu *cpu)
{
	int ret = RESUME_GUEST;

	if (vcpu->mp_state == MP_HALTED_USERSPACE || vcpu->mp_state == MP_INACTIVE_VTL)
		ret = vcpu_block_for_vmm(vcpu, cpu);
	else if (vcpu->mp_state != MP_RUNNABLE)
		ret = vcpu_block(vcpu, cpu);
	if (ret == RESUME_GUEST && vcpu->watched)
		ret = run_watched(vcpu);
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
	lapic_timer_load(vcpu);
	announce_first_guest();
	return 0;
}

/* The stores need no order of their own: run_loop() has a full fence before it looks at anything.
 */
int vcpu_run(struct vcpu *vcpu)
{
	struct cpu *cpu = this_cpu();
	int ret = RESUME_GUEST;

	if (unlikely(!vmx_is_loaded(&vcpu->vmx)) && vcpu_load(vcpu))
		return -EBUSY;
	if (vcpu->pending)
		ret = vcpu_complete(vcpu);
	if (unlikely(ret != RESUME_GUEST))
		return ret;
	atomic_store_explicit(&vcpu->cpu, cpu->id, memory_order_relaxed);
	atomic_store_explicit(&cpu->in_guest, 1, memory_order_relaxed);
	if (unlikely(vcpu->unusual))
		ret = run_unusual(vcpu, cpu);
	if (likely(ret == RESUME_GUEST))
		ret = run_loop(vcpu, false);
	atomic_store_explicit(&this_cpu()->in_guest, 0, memory_order_relaxed);
	return ret;
}
