/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU: driven by one thread through vcpu_run(), which returns to its VMM as KVM_RUN does.
 *
 * How it is stopped and woken is told in hv/vm/kick.h.
 */
#ifndef HV_VM_VCPU_H
#define HV_VM_VCPU_H

#include "hv/host/thread.h"
#include "hv/host/types.h"
#include "hv/vm/cpuid.h"
#include "hv/vm/insn.h"
#include "hv/vm/lapic.h"
#include "hv/vm/vm.h"
#include "vmx/vmx.h"

enum vcpu_mode {
	OUTSIDE_GUEST_MODE,
	IN_GUEST_MODE,
	EXITING_GUEST_MODE, /* kicked, has not come out yet */
};

enum vcpu_request {
	REQ_EVENT = 1,	    /* look at the pending events: NMI, INIT, SIPI, the local APIC */
	REQ_EXIT = 2,	    /* leave vcpu_run() with -EINTR */
	REQ_DIRTY = 4,	    /* hand over what PML has logged */
	REQ_APIC_PAGE = 16, /* the APIC-access page has moved: reload its address */
	REQ_LOOK = 8,	    /* nothing by itself: go through the outer loop once (tests of kicks) */
};

enum vcpu_mp_state {
	MP_RUNNABLE,
	MP_HALTED, /* in HLT: an event that can be delivered makes it runnable */
	MP_WAIT_SIPI,
	/* As MP_HALTED, but vcpu_run() returns RUN_EXIT_RUNNABLE instead of running the guest. */
	MP_HALTED_USERSPACE,
	/* The same for a VTL that is not the active one: its interrupt flag does not count. */
	MP_INACTIVE_VTL,
};

enum run_exit {
	RUN_EXIT_NONE,
	RUN_EXIT_IO,	       /* .io */
	RUN_EXIT_MMIO,	       /* .mmio: an access outside RAM */
	RUN_EXIT_HLT,	       /* every vCPU waits and nothing can wake one */
	RUN_EXIT_SHUTDOWN,     /* triple fault */
	RUN_EXIT_ENTRY_FAILED, /* the CPU refused the guest's state */
	RUN_EXIT_ERROR,	       /* .error: something that is not emulated */
	RUN_EXIT_EOI,	       /* .eoi: the guest has ended a level-triggered interrupt */
	RUN_EXIT_RUNNABLE,     /* MP_HALTED_USERSPACE, MP_INACTIVE_VTL: there is an event */
	RUN_EXIT_MEMORY_FAULT, /* .memory_fault: a page is missing, and its slot wants to be told */
};

struct vcpu_run {
	u32 reason; /* enum run_exit */
	union {
		struct {
			u16 port;
			u8 size; /* 1, 2, 4 */
			bool in;
			u32 data; /* out: what the guest wrote; in: filled in by the VMM */
		} io;
		struct {
			gpa_t gpa;
			u64 rip;
			bool read, write, fetch;
			bool readonly; /* a write to a read-only slot */
		} mmio;
		struct {
			u8 vector;
		} eoi;
		struct {
			const char *what;
			u64 rip;
		} error;
		/*
		 * The access has not happened and the vCPU is as it was: bring the page and run it
		 * again. Run again without, it comes to the same exit. Accesses that the hypervisor
		 * makes on the guest's behalf are reported like the guest's own.
		 */
		struct {
			u64 flags; /* enum fault_access. A CPU that sets accessed and dirty flags in
				      second-level tables reports its walks of the guest's own
				      tables as writes */
			gpa_t gpa; /* a multiple of .size */
			u64 size;  /* bytes: 4096 */
		} memory_fault;
	};
};

/* What is left to do when vcpu_run() is called again. */
enum vcpu_pending {
	PENDING_NONE,
	PENDING_IO,	/* run.io: what the VMM has read, or the end of what it has written */
	PENDING_STRING, /* the same for one repetition of INS or OUTS */
	PENDING_STORE,	/* string.data, which INS has read, is to be stored in memory */
	PENDING_FAULT,	/* the access to missing.gpa that run.memory_fault told of */
};

enum vcpu_watched {
	WATCH_CHAOS = 1,  /* race points and assertions in the run loop */
	WATCH_POSTED = 2, /* clear `kicked` right before entry */
	WATCH_TRACE = 4,  /* trace every entry and exit */
};

/* Where a page of guest memory was found, and before which invalidations: hv/vm/known.c. */
enum known_use { KNOWN_TABLE /* and its level, 0 to 3 */, KNOWN_CODE = 4, NR_KNOWN };

struct known_page {
#define KNOWN_PAGE 1ull
	gpa_t gpa; /* | KNOWN_PAGE when there is one */
	u64 seq;
	hpa_t hpa;
};

/* An instruction that was decoded: hv/vm/mmio.c. */
struct decoded {
	u64 code[2];
	u8 mode; /* 16, 32, 64; 0: none */
	struct insn insn;
};

/* The registers a VMM may look at and set. */
struct vcpu_regs {
	u64 gpr[NR_GPRS];
	u64 rip, rflags;
};

struct vcpu {
	struct vmx_vcpu vmx; /* first: the hot fields share its cache lines */
	_Atomic u32 mode;    /* enum vcpu_mode */
	_Atomic u32 requests;
	struct vm *vm;
	u32 id;
	_Atomic u32 cpu; /* where it last entered; valid while mode is not OUTSIDE */
	union {
		struct {
			u16 mp_state; /* enum vcpu_mp_state; own thread */
			u16 watched;  /* enum vcpu_watched: use the run loop that looks */
		};
		u32 unusual; /* both in one test */
	};
	/*
	 * Waiting for events (hv/vm/wait.h). A deliverer advances event_seq after it has made the
	 * event visible; the vCPU's thread sets seen_seq to what event_seq was before it looked at
	 * the pending events.
	 */
	_Atomic u64 event_seq, seen_seq;
	_Atomic u32 kicked; /* WAIT_POSTED: the RFC's flag */
	_Atomic bool gone;  /* destroyed */
	struct wait_queue pollers;
	_Atomic bool blocked; /* waiting in vcpu_run(); written under vm->halt_lock */
	struct known_page known[NR_KNOWN];
	struct decoded decoded[8];
	u8 pending; /* enum vcpu_pending */
	struct vcpu_cpuid cpuid;
	struct lapic lapic;
	struct vcpu_run run;
	struct wait_queue wq;
	struct spinlock dirty_lock; /* moving what PML has logged (hv/vm/dirty.c) */
	_Atomic bool dirty_wanted;  /* somebody waits for that, and it was not done since */
	u64 cr4_may;		    /* CR4 bits the guest's CPUID allows */
	u64 misc_enable;
	u64 flushed_owed; /* FLUSH_RELOAD: what of apic_page.owed it has flushed for */
	struct {
		u64 left; /* repetitions to go, the current one included */
		gva_t linear;
		u32 data; /* what INS has read */
		u8 len;	  /* of the instruction, when another vCPU began it; else 0 */
	} string;
	/* hv/vm/memory.c: the slot of its last fault, the generation of the slots before that, and
	 * its second-level table.
	 */
	struct {
		struct vm_slot *slot;
		u32 generation;
		struct ept_hint table;
	} fault;
	/* What the last access of its own thread that returned -EAGAIN needs. */
	struct {
		gpa_t gpa;
		u32 access; /* enum fault_access */
	} missing;
};

/**
 * vcpu_create - a vCPU in the state after RESET: id 0 runnable, the others waiting for SIPI
 * @vm: the VM; others of its vCPUs may be running
 *
 * Returns 0, -ENOSPC (VM_MAX_VCPUS), -ENOMEM. Thread context.
 */
int vcpu_create(struct vcpu **out, struct vm *vm);

/**
 * vcpu_run - run the guest until the VMM is needed
 *
 * Returns 0 with vcpu->run filled in (otherwise it says nothing); -EINTR when stopped or asked to
 * leave (guest state untouched); -EBUSY when the vCPU is loaded on another CPU (vcpu_unload() there
 * first). Thread context, one thread at a time, always on the same CPU unless unloaded.
 */
int vcpu_run(struct vcpu *vcpu);

/** vcpu_unload - leave this CPU, so that the vCPU can be run or destroyed from another. */
void vcpu_unload(struct vcpu *vcpu);

/**
 * vcpu_destroy - take a vCPU out of its VM; its thread has left vcpu_run() and called vcpu_unload()
 *
 * Threads that wait for it get WAIT_GONE. Its memory is given back with the VM's.
 */
void vcpu_destroy(struct vcpu *vcpu);

/**
 * vcpu_get_regs, vcpu_set_regs - general registers, RIP and RFLAGS
 *
 * In the vCPU's thread, outside vcpu_run(). Go through the readers' gate: they wait while the VM is
 * held by another thread. Return 0, or -EBUSY (loaded on another CPU).
 */
int vcpu_get_regs(struct vcpu *vcpu, struct vcpu_regs *regs);
int vcpu_set_regs(struct vcpu *vcpu, const struct vcpu_regs *regs);

/** vcpu_get_mp_state, vcpu_set_mp_state - what it waits for. In the vCPU's thread. */
enum vcpu_mp_state vcpu_get_mp_state(struct vcpu *vcpu);
void vcpu_set_mp_state(struct vcpu *vcpu, enum vcpu_mp_state s);

/**
 * vcpu_set_flat32 - 32-bit protected mode, flat segments, paging off: how multiboot starts a guest
 * @eip, @eax, @ebx: registers; the others are 0. Before its first run.
 */
void vcpu_set_flat32(struct vcpu *vcpu, u32 eip, u32 eax, u32 ebx);

/** vcpu_rip - the guest's RIP, for messages. In the vCPU's thread. */
u64 vcpu_rip(struct vcpu *vcpu);

/**
 * vcpu_report_entry_failure - say why the CPU refused the state; after RUN_EXIT_ENTRY_FAILED
 * @dump: print the whole VMCS too
 */
void vcpu_report_entry_failure(struct vcpu *vcpu, bool dump);

/** vcpu_blamed - whether the last such report named @field. */
bool vcpu_blamed(const char *field);

/**
 * vcpu_break_state, vcpu_repair_state - break rule @n of the entry checks, and mend it
 * (lab/entry.c)
 *
 * vcpu_break_state() returns the field's name, NULL beyond the last rule. In the vCPU's thread.
 */
const char *vcpu_break_state(struct vcpu *vcpu, unsigned int n);
void vcpu_repair_state(struct vcpu *vcpu);

/**
 * vcpu_run_floor - let the smallest handler answer every CPUID with @answer (lab/exits.c)
 * @reason: the first exit that is not CPUID (enum vm_exit_reason)
 *
 * Returns 0 or -EBUSY. The vCPU is only good for destruction afterwards.
 */
int vcpu_run_floor(struct vcpu *vcpu, const u32 answer[4], u32 *reason);

/** vcpu_dawdle - make every entry take its time at the race points, see vmx_dawdle() (lab/nmi.c).
 */
void vcpu_dawdle(struct vcpu *vcpu, u32 rounds);

/** vcpu_run_counted - vcpu_run() with every host instruction between exit and entry counted. */
int vcpu_run_counted(struct vcpu *vcpu, struct vmx_path_count *c);

#endif
