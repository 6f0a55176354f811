/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of hv/vm share among themselves. */
#ifndef HV_VM_INTERNAL_H
#define HV_VM_INTERNAL_H

#include "hv/host/chaos.h"
#include "hv/host/percpu.h"
#include "hv/vm/vcpu.h"
#include "hv/vm/vm.h"

/* What a handler wants: go back into the guest, or leave vcpu_run() (0 or a negative errno). */
#define RESUME_GUEST 1

/* inject.c: return RESUME_GUEST, or 0 with run.reason = SHUTDOWN. */
int vcpu_inject(struct vcpu *vcpu, u8 vector);			/* without an error code */
int vcpu_inject_error(struct vcpu *vcpu, u8 vector, u32 error); /* with one */
int vcpu_handle_exception(struct vcpu *vcpu);
/* Deliver what is pending, or ask for a window. Returns RESUME_GUEST or 0. */
int vcpu_deliver_events(struct vcpu *vcpu);
/* Before the vCPU leaves with -EINTR: what it has not taken is unseen. */
void vcpu_leave_events(struct vcpu *vcpu);
/*
 * Whether an event is pending that would make a halted vCPU run. What it would take does not change
 * while it is out of the guest; @idle: interrupts, whatever its IF says.
 */
struct vcpu_takes {
	bool already; /* an event waits in the VMCS, or in IRR: there is one */
	bool nmi, interrupts;
	u8 above; /* interrupts of a higher priority class than this */
};
void vcpu_would_take(struct vcpu *vcpu, bool idle, struct vcpu_takes *t);
bool vcpu_has_event(struct vcpu *vcpu, const struct vcpu_takes *t);

/* cr.c, msr.c, io.c */
int vcpu_handle_cr(struct vcpu *vcpu);
int vcpu_handle_xsetbv(struct vcpu *vcpu);
int vcpu_handle_rdmsr(struct vcpu *vcpu);
int vcpu_handle_wrmsr(struct vcpu *vcpu);
int vcpu_handle_io(struct vcpu *vcpu);
int vcpu_complete(struct vcpu *vcpu); /* what vcpu->pending says */
bool vcpu_xcr0_is_valid(u64 xcr0);
bool io_is_canonical(gva_t va);
/* Complete I/O that was served, as far as no memory is written: PENDING_STORE, for an INS, stays.
 */
void vcpu_complete_registers(struct vcpu *vcpu);

/* run.c */
int vcpu_mmio(struct vcpu *vcpu,
	      bool readonly);	  /* the access of VM_EXIT_MEMORY goes to the VMM: 0 */
int vcpu_load(struct vcpu *vcpu); /* before it runs: 0 or -EBUSY */
int vcpu_exit_error(struct vcpu *vcpu, const char *what);

/* pause.c: the readers' gate, as the calling thread finds it; and waiting until it is open. */
bool gate_closed(struct vm *vm);
void gate_wait(struct vm *vm);

/* readers.c: slots_read_try() and slots_read_end(), for those who are in a hurry. */
static inline void section_end(struct vm *vm, unsigned int phase)
{
	atomic_fetch_sub_explicit(&vm->readers.cpu[this_cpu()->id].open[phase], 1,
				  memory_order_release);
}

static inline bool section_try(struct vm *vm, unsigned int *phase)
{
	struct vm_readers *r = &vm->readers;
	u32 cpu = this_cpu()->id;
	unsigned int p = atomic_load_explicit(&r->phase, memory_order_relaxed) & 1;

	race_point();
	atomic_fetch_add_explicit(&r->cpu[cpu].open[p], 1, memory_order_seq_cst);
	*phase = p;
	race_point();
	if (likely(!atomic_load_explicit(&vm->hold, memory_order_seq_cst)) || !gate_closed(vm))
		return true;
	section_end(vm, p);
	return false;
}

/* invalidate.c: invalidate_seq() and invalidate_retry(), the same. */
static inline u64 seq_read(struct vm *vm)
{
	return atomic_load_explicit(&vm->invalidation.seq, memory_order_acquire);
}

static inline bool seq_retry(struct vm *vm, gpa_t gpa, u64 seq)
{
	struct vm_invalidation *i = &vm->invalidation;

	if (unlikely(atomic_load_explicit(&i->in_progress, memory_order_relaxed)) &&
	    gpa >= i->start && gpa < i->end)
		return true;
	return atomic_load_explicit(&i->seq, memory_order_relaxed) != seq;
}

/*
 * Without the lock, for who installs nothing and only tells what it has found: no invalidation is
 * under way, nor has one been since @seq was read. So it was true before this look at the latest.
 */
static inline bool seq_unmoved(struct vm *vm, u64 seq)
{
	struct vm_invalidation *i = &vm->invalidation;

	return likely(!atomic_load_explicit(&i->in_progress, memory_order_acquire)) &&
	       atomic_load_explicit(&i->seq, memory_order_relaxed) == seq;
}

/* pause.c: wait until every vCPU is outside the guest. 0, or -ETIMEDOUT and who is late in @why. */
int wait_evicted(struct vm *vm, u64 deadline, char *why, size_t size);

/* wait.c: the waking half, for events and for the posted variant; wait until nobody waits. */
void wait_wake(struct vcpu *vcpu);
void wait_kicked(struct vcpu *vcpu);
void wait_end(struct vm *vm);

/*
 * block.c: sleeping inside vcpu_run(). Return RESUME_GUEST, 0 (RUN_EXIT_HLT, RUN_EXIT_RUNNABLE),
 * -EINTR or -EBUSY. vcpu_may_sleep(): nobody wants anything of the vCPU.
 */
int vcpu_block(struct vcpu *vcpu, struct cpu *cpu);
int vcpu_block_for_vmm(struct vcpu *vcpu, struct cpu *cpu);
bool vcpu_may_sleep(struct vcpu *vcpu);
u32 vcpu_take_requests(struct vcpu *vcpu);

/*
 * Read before the slot is looked up. Sequentially consistent, as the reader's count that came
 * before: a change of slots that does not wait for this reader has advanced it before this load.
 */
static inline u32 slots_generation(struct vm *vm)
{
	return atomic_load_explicit(&vm->slots.generation, memory_order_seq_cst);
}

/*
 * missing.c. Sleep for a page with !@m->exit, whose reference is put; by @vcpu's thread, or another
 * (NULL). Returns 0 (look again: it is there, or slots have changed), -EINTR (@wanted() says so).
 * missing_wake(): slots have changed, and vm->fetches.sleepers is not 0.
 */
int missing_wait(struct vm *vm, struct vcpu *vcpu, struct missing *m,
		 bool (*wanted)(struct vcpu *vcpu));
void missing_wake(struct vm *vm);

int vcpu_fetch(struct vcpu *vcpu,
	       struct missing *m); /* the same for a guest's access; as handlers */

/*
 * fault.c: handlers. vcpu_report_missing(): the memory-fault exit for vcpu->missing;
 * vcpu_rerun_fault(): for PENDING_FAULT.
 */
int vcpu_handle_memory(struct vcpu *vcpu);
int vcpu_report_missing(struct vcpu *vcpu);
int vcpu_rerun_fault(struct vcpu *vcpu);

/* vcpu.c */
void vcpu_reset(struct vcpu *vcpu, int sipi_page);
int vcpu_come(struct vcpu *vcpu);	   /* load it outside vcpu_run(): 0, -EBUSY */
void vcpu_forget_fault(struct vcpu *vcpu); /* PENDING_FAULT: it need not be made any more */
void vcpu_choose_loop(struct vcpu *vcpu);  /* what its VM and the run ask for: vcpu->watched */

/* memory.c: free @tables, which were detached before a flush, or attach them again when it has not
 * come to its end; and both in one. */
static inline void vm_free_tables(struct vm *vm, struct ept_unlinked *tables, bool flushed)
{
	if (!tables)
		return;
	spin_lock(&vm->vmx.lock);
	if (flushed)
		ept_free_detached(&vm->vmx.ept, tables);
	else
		ept_reattach(&vm->vmx.ept, tables);
	spin_unlock(&vm->vmx.lock);
}

int vm_flush_and_free(struct vm *vm, struct ept_unlinked *tables, u64 deadline);

/*
 * access.c: guest memory for a vCPU, by its own thread inside vcpu_run(), in no read section. As
 * vm_read() and vm_write(), and when the thread had to wait the vCPU is loaded again afterwards.
 * Return 0, -EFAULT, -ENOMEM, -EBUSY (it is loaded elsewhere), -EINTR (somebody wants the vCPU
 * while the page is missing), -EAGAIN (a page is missing and its slot wants to be told:
 * vcpu->missing). vcpu_cmpxchg(), of 4 or 8 aligned bytes, returns 1 when it has
 * exchanged them, 0 when they were not what was *@expected, which then holds what they are.
 */
int vcpu_read(struct vcpu *vcpu, gpa_t gpa, void *buf, size_t len);
int vcpu_write(struct vcpu *vcpu, gpa_t gpa, const void *buf, size_t len);

/*
 * The same as vcpu_read(), inside one page: known.c, faster when it is the one that was read for
 * @use the last time; and what that needs of access.c: to find the page and note where it is, and
 * to copy bytes, numbers whole.
 */
int vcpu_read_known(struct vcpu *vcpu, enum known_use use, gpa_t gpa, void *buf, size_t len);
int vcpu_read_noting(struct vcpu *vcpu, gpa_t gpa, void *buf, size_t len, struct known_page *known);
void access_read_bytes(const u8 *p, void *buf, u64 len);
int vcpu_cmpxchg(struct vcpu *vcpu, gpa_t gpa, unsigned int size, u64 *expected, u64 value);

/*
 * access.c: what a handler returns when one of these has failed and nothing has been changed yet:
 * for -EINTR the instruction is executed again, after a look at who wants the vCPU; else it is an
 * exit: for -EAGAIN a memory fault, for -EFAULT one that says @what.
 */
int vcpu_access_failed(struct vcpu *vcpu, int err, const char *what);

/*
 * mmio.c: the instruction at RIP accesses @gpa, where there is no memory but an APIC of the VM may
 * be; @hidden: there is memory, but one hides it (-EACCES of vm_fault()). Carries it out. Returns
 * RESUME_GUEST; 0 (an exit to the VMM is filled in: RUN_EXIT_EOI, or RUN_EXIT_MMIO where nothing of
 * ours is); -EINTR, -EBUSY.
 * vcpu_handle_apic_access(): the same for VM_EXIT_APIC_ACCESS.
 */
int vcpu_emulate_mmio(struct vcpu *vcpu, gpa_t gpa, bool hidden);
int vcpu_handle_apic_access(struct vcpu *vcpu);

/* walk.c: guest-linear to guest-physical by the guest's own tables. 0, -EFAULT with *error = #PF
 * code; other errors as vcpu_read(). */
enum walk_access { WALK_READ, WALK_WRITE, WALK_FETCH };
int vcpu_translate(struct vcpu *vcpu, gva_t va, enum walk_access access, gpa_t *gpa, u32 *error);

#endif
