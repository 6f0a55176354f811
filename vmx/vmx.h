/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The public face of vmx/: everything above it speaks to the hardware through these calls only.
 *
 * vmx_enter() is a plain call that runs the guest until its next VM exit and returns with the exit
 * decoded into struct vm_exit, which names no VMX field. A host test links another implementation
 * of this header.
 *
 * Unless said otherwise a function takes a vCPU that is loaded on the calling CPU (vmx_load()),
 * runs in thread context with interrupts off and takes no lock.
 */
#ifndef VMX_VMX_H
#define VMX_VMX_H

#include "hv/host/percpu.h"
#include "hv/host/spinlock.h"
#include "hv/host/types.h"
#include "vmx/caps.h"
#include "vmx/ept.h"

/* General registers in the order the CPU numbers them. RSP's place is unused: see vmx_get_gpr(). */
enum gpr {
	GPR_RAX,
	GPR_RCX,
	GPR_RDX,
	GPR_RBX,
	GPR_RSP,
	GPR_RBP,
	GPR_RSI,
	GPR_RDI,
	GPR_R8,
	GPR_R9,
	GPR_R10,
	GPR_R11,
	GPR_R12,
	GPR_R13,
	GPR_R14,
	GPR_R15,
	NR_GPRS,
};

enum vm_exit_reason {
	VM_EXIT_BARRED,	   /* the entry was stopped: somebody wants this CPU to look again */
	VM_EXIT_INTERRUPT, /* a host interrupt; .vector */
	VM_EXIT_NMI,	   /* a host NMI: a kick */
	VM_EXIT_TIMER,	   /* the preemption timer ran out */
	VM_EXIT_CPUID,
	VM_EXIT_HLT,
	VM_EXIT_IO, /* .io */
	VM_EXIT_RDMSR,
	VM_EXIT_WRMSR,
	VM_EXIT_HYPERCALL,
	VM_EXIT_CR,	    /* .cr */
	VM_EXIT_MEMORY,	    /* an access the second-level tables do not allow; .mem */
	VM_EXIT_MEMORY_BAD, /* a malformed second-level entry; .mem.gpa */
	VM_EXIT_EXCEPTION,  /* one we intercept; .exception */
	VM_EXIT_WINDOW,	    /* an interrupt or NMI window opened */
	VM_EXIT_XSETBV,
	VM_EXIT_CACHE,	    /* INVD, WBINVD */
	VM_EXIT_UNDEFINED,  /* an instruction the guest does not have: #UD */
	VM_EXIT_PRIVILEGED, /* an instruction that is refused at any level here: #GP */
	VM_EXIT_TRIPLE_FAULT,
	VM_EXIT_TASK_SWITCH,
	VM_EXIT_APIC_ACCESS, /* an access to the APIC-access page; .apic. Not carried out */
	VM_EXIT_APIC_WRITE, /* a register of the virtual-APIC page was written; .apic.offset. A trap
			     */
	VM_EXIT_EOI, /* an EOI of a vector that vmx_apic_set_eoi_exits() names; .vector. A trap */
	VM_EXIT_TPR, /* the guest's TPR fell below the threshold. A trap */
	VM_EXIT_DIRTY_FULL, /* the log of dirty pages is full: vmx_dirty_take(), vmx_dirty_rewind()
			     */
	VM_EXIT_ENTRY_FAILED, /* the CPU refused the guest's state; vmx_report_failure() */
	VM_EXIT_OTHER,	      /* .hardware_reason says which */
	NR_VM_EXITS,
};

/* One event to deliver to the guest. */
struct vm_event {
	u8 vector;
	u8 type; /* enum vm_event_type */
	bool has_error;
	u8 insn_len; /* for software interrupts and exceptions, 1..15 */
	u32 error;
};

enum vm_event_type {
	EVENT_EXTERNAL = 0,
	EVENT_NMI = 2,
	EVENT_EXCEPTION = 3,
	EVENT_SOFT_INT = 4,
	EVENT_PRIV_SOFT = 5,
	EVENT_SOFT_EXC = 6,
};

struct vm_exit {
	u32 hardware_reason; /* the CPU's own number, for messages; ~0: the entry failed outright */
	union {
		u8 vector;
		struct {
			u16 port;
			u8 size;      /* 1, 2, 4 */
			u8 flags;     /* enum vm_io_flags */
			u8 addr_size; /* string: 2, 4, 8 */
			gva_t linear; /* string: first element */
		} io;
		struct {
			u8 cr;	 /* 0, 3, 4, 8 */
			u8 gpr;	 /* enum gpr */
			u8 kind; /* enum vm_cr_access */
			u16 lmsw;
		} cr;
		struct {
			gpa_t gpa;
			union {
				u8 access; /* 1: read, 2: write, 4: fetch */
				struct {
					bool read : 1, write : 1, fetch : 1;
				};
			};
			bool walk; /* the access was the CPU's own walk of guest page tables */
		} mem;
		struct {
			u16 offset;
			u8 kind; /* VM_EXIT_APIC_ACCESS: enum vm_apic_access */
		} apic;
		struct {
			u8 vector;
			u8 insn_len; /* of ICEBP, which raises #DB as a trap of its own; else 0 */
			bool has_error;
			u32 error;
			u64 payload; /* #DB: the DR6 bits */
		} exception;
	};
};

enum vm_io_flags { VM_IO_IN = 8, VM_IO_STRING = 16, VM_IO_REP = 32 };

enum vm_cr_access { CR_WRITE, CR_READ, CR_CLTS, CR_LMSW };

enum vm_apic_access {
	APIC_ACCESS_READ,
	APIC_ACCESS_WRITE,
	APIC_ACCESS_FETCH,
	APIC_ACCESS_EVENT, /* while an event was being delivered; it is queued again */
	APIC_ACCESS_OTHER, /* by the CPU itself, with a physical address: a walk of page tables */
};

/* Registers that are not general ones, for vmx_get() and vmx_set(). */
enum vcpu_reg {
	REG_RIP,
	REG_RSP,
	REG_RFLAGS,
	REG_CR0, /* as the guest sees it */
	REG_CR2,
	REG_CR3,
	REG_CR4, /* as the guest sees it */
	REG_DR7,
	REG_EFER,
	REG_PAT,
	REG_DEBUGCTL,
	REG_TSC_OFFSET,
	REG_GDT_BASE,
	REG_GDT_LIMIT,
	REG_IDT_BASE,
	REG_IDT_LIMIT,
};

enum vcpu_seg {
	VSEG_ES,
	VSEG_CS,
	VSEG_SS,
	VSEG_DS,
	VSEG_FS,
	VSEG_GS,
	VSEG_LDTR,
	VSEG_TR,
	NR_VSEGS
};

struct vm_segment {
	u16 selector;
	u32 limit;
	u32 access; /* the VMX access-rights format; bit 16: unusable */
	u64 base;
};

/* The part of a VM that the hardware sees. */
struct vmx_vm {
	struct ept ept;
	struct spinlock lock; /* serialises changes of ept */
	/*
	 * Advanced after every change that can leave a stale translation. A vCPU whose flushed_gen
	 * is behind must not enter; the comparison is among the last instructions before
	 * VMRESUME.
	 */
	_Atomic u64 flush_gen;
	/* The vCPUs log dirty pages (PML). Set to vmx_has_pml() by vmx_vm_init(); may be cleared
	 * before the first vCPU is made. */
	bool pml;
};

struct vmx_lazy; /* registers that stay in the CPU across exits: vmx/load.c */

/* The part of a vCPU that the hardware sees. */
struct vmx_vcpu {
	u64 gpr[NR_GPRS];
	u64 host_rsp;	 /* what HOST_RSP in the VMCS holds */
	u64 flushed_gen; /* flush_gen at this vCPU's last INVEPT */
	_Atomic u64 *flush_gen;
	void (*enter)(void); /* what vmx_enter() calls: the launch, or: */
	void (*resume)(void);
	u32 dawdle;    /* rounds, see vmx_dawdle() */
	bool stepping; /* the guest was seen to single-step: honour RFLAGS.TF when skipping */
	u32 instruction_error; /* of the last entry that failed outright */
	u64 qualification;     /* of the last entry that was refused */
	bool careful;	/* stepping, requested, or a window is asked for: skip the exact way */
	bool requested; /* the CPU was given an interrupt to deliver, and may still have it */
	struct vm_exit exit;

	s32 cpu;      /* the CPU it is loaded on, -1: none */
	s32 last_cpu; /* the CPU whose TLB may hold its translations, -1: none */
	u16 vpid;
	u32 cpu_controls; /* the primary processor-based word as written */
	void *vmcs;
	struct vmx_vm *vm;
	struct vmx_lazy *lazy;
	u32 heartbeat;	/* what the preemption timer starts from, in its own units */
	s32 dirty_next; /* where in dirty_log the next entry is to be found; -1: all were taken */
	u8 apic_rung;	/* enum vmx_apic_rung */
	u8 apic_mode;	/* enum vmx_apic_mode */
	u8 tpr_threshold;
	u32 cpu2_controls; /* the secondary processor-based word as written */
	u8 *apic_regs;	   /* the virtual-APIC page; the caller's */
	u64 *dirty_log;	   /* what PML writes to, from the last entry down; NULL without PML */
};

extern struct vmx_caps vmx_caps;

/**
 * vmx_probe - read this machine's capabilities and decide whether guests can run
 * @why: set to a static line that says what is missing
 *
 * Boot CPU, once. Returns 0; -ENODEV (no VMX), -EACCES (locked off by firmware), -EOPNOTSUPP (a
 * control that we need is missing, or EPT), -EIO.
 */
int vmx_probe(const char **why);

/**
 * vmx_cpu_on, vmx_cpu_off - enter and leave VMX operation on the calling CPU
 *
 * vmx_cpu_on() returns 0, -EACCES (this CPU is locked off), -EIO (VMXON failed), -ENOMEM.
 * vmx_cpu_off() writes a loaded vCPU back first.
 */
int vmx_cpu_on(void);
void vmx_cpu_off(void);

/** vmx_pretend_locked_off - behave as if firmware had locked VMX off (before vmx_probe()). */
void vmx_pretend_locked_off(void);

/** vmx_print_caps - print the capabilities used and missing, by name. */
void vmx_print_caps(void);

int vmx_vm_init(struct vmx_vm *vm); /* 0, -ENOMEM, -EOPNOTSUPP */
void vmx_vm_destroy(struct vmx_vm *vm);

/** vmx_vm_stale - a translation may be stale: no vCPU of @vm enters again without a flush. Returns
 * the new generation: a vCPU whose flushed_gen has reached it has flushed. */
u64 vmx_vm_stale(struct vmx_vm *vm);

/**
 * vmx_vcpu_init - a vCPU in the state after RESET, not loaded
 * @v: zeroed by the caller
 * @vpid: 1..65535, unique on the machine; ignored when the CPU has no VPIDs
 *
 * Returns 0, -ENOMEM. Loads the vCPU on the calling CPU for a moment.
 */
int vmx_vcpu_init(struct vmx_vcpu *v, struct vmx_vm *vm, u16 vpid);

/** vmx_vcpu_destroy - free it. It must not be loaded on another CPU. */
void vmx_vcpu_destroy(struct vmx_vcpu *v);

/** vmx_vcpu_reset - put the registers into the state after INIT (@sipi_page < 0) or STARTUP. */
void vmx_vcpu_reset(struct vmx_vcpu *v, int sipi_page);

/**
 * vmx_load - make @v this CPU's current vCPU; nothing to do when it already is
 *
 * The vCPU loaded before, if any, keeps its place in memory. Returns 0, or -EBUSY when @v is loaded
 * on another CPU, which has to vmx_unload() it.
 */
int vmx_load(struct vmx_vcpu *v);

/** vmx_is_loaded - whether @v is this CPU's current vCPU. */
static inline bool vmx_is_loaded(struct vmx_vcpu *v)
{
	return this_cpu()->loaded == v;
}

/** vmx_unload - write @v back to memory, so that any CPU may load it. No-op when not loaded here.
 */
void vmx_unload(struct vmx_vcpu *v);

/**
 * vmx_enter - run the guest until the next VM exit
 *
 * Returns an enum vm_exit_reason; what belongs to it is in v->exit. An NMI that arrives in root
 * mode at any time up to the entry itself stops it: VM_EXIT_BARRED. An event whose delivery the
 * exit interrupted is queued again and delivered at the next entry.
 *
 * It is a call that preserves no register but RSP, RBP and RDI: the guest's replace them all
 * anyway, and the caller's loop then saves only what it needs.
 */
#if __STDC_HOSTED__
u32 vmx_enter(struct vmx_vcpu *v);
#else
static __always_inline u32 vmx_enter(struct vmx_vcpu *v)
{
	u32 reason;

	__asm__ volatile("call *%c[enter](%%rdi)"
			 : "=a"(reason)
			 : "D"(v), [enter] "i"(offsetof(struct vmx_vcpu, enter))
			 : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13",
			   "r14", "r15", "memory", "cc");
	return reason;
}
#endif

/** vmx_report_failure - print why the last entry failed: the CPU's error, the rule; @dump: the
 * VMCS. */
void vmx_report_failure(struct vmx_vcpu *v, bool dump);

/**
 * vmx_skip_instruction - step over the instruction that caused the exit
 *
 * Ends interrupt shadows, and raises the pending #DB of a single-stepped instruction.
 */
void vmx_skip_instruction(struct vmx_vcpu *v);

/**
 * vmx_skip_bytes - the same for exits of which the CPU does not say how long the instruction is
 * @len: its length, 1..15
 */
void vmx_skip_bytes(struct vmx_vcpu *v, unsigned int len);

/** vmx_instruction_len - bytes of the instruction that caused the last exit. */
unsigned int vmx_instruction_len(struct vmx_vcpu *v);

/**
 * vmx_skip_quickly - the same for exits that are frequent: three accesses to the VMCS instead of
 * five
 *
 * What it leaves out, and when that matters, is told in vmx/skip.c.
 */
void vmx_skip_quickly(struct vmx_vcpu *v);

/**
 * vmx_inject - queue an event for the next entry
 *
 * With an event already queued (one whose delivery was interrupted), exceptions combine by the
 * architecture's rules: contributory pairs become #DF, a fault while delivering #DF a triple fault.
 * An interrupt or NMI that is queued stays, since its delivery will raise the exception again.
 * Returns 0; -EBUSY when an interrupt or NMI finds an event queued; -EPROTO for a triple fault.
 */
int vmx_inject(struct vmx_vcpu *v, const struct vm_event *e);

/** vmx_inject_db - deliver an intercepted #DB: @dr6 bits are merged into DR6, DR7.GD is cleared. */
int vmx_inject_db(struct vmx_vcpu *v, u64 dr6);

/** vmx_event_waits - whether an event is queued for the next entry. */
bool vmx_event_waits(struct vmx_vcpu *v);

/** vmx_can_inject_nmi, vmx_can_inject_intr - whether the guest would take one at the next entry. */
bool vmx_can_inject_nmi(struct vmx_vcpu *v);
bool vmx_can_inject_intr(struct vmx_vcpu *v);

/** vmx_set_windows - ask for exits when an NMI (interrupt) becomes deliverable. */
void vmx_set_windows(struct vmx_vcpu *v, bool nmi, bool intr);

u64 vmx_get(struct vmx_vcpu *v, enum vcpu_reg reg);
void vmx_set(struct vmx_vcpu *v, enum vcpu_reg reg, u64 value);
void vmx_get_segment(struct vmx_vcpu *v, enum vcpu_seg seg, struct vm_segment *out);
void vmx_set_segment(struct vmx_vcpu *v, enum vcpu_seg seg, const struct vm_segment *s);
u64 vmx_get_gpr(struct vmx_vcpu *v, enum gpr r); /* RSP included */
void vmx_set_gpr(struct vmx_vcpu *v, enum gpr r, u64 value);

/** vmx_set_pdptrs - the four PDPTEs of a guest with PAE paging. */
void vmx_set_pdptrs(struct vmx_vcpu *v, const u64 pdpte[4]);

/** vmx_get_xcr0, vmx_set_xcr0 - the guest's XCR0; the caller has checked the value. */
u64 vmx_get_xcr0(struct vmx_vcpu *v);
void vmx_set_xcr0(struct vmx_vcpu *v, u64 value);

/** vmx_get_xmm, vmx_set_xmm - the low 16 bytes of vector register @n, 0..15. The rest of it stays
 * as it is. */
void vmx_get_xmm(struct vmx_vcpu *v, unsigned int n, u8 value[16]);
void vmx_set_xmm(struct vmx_vcpu *v, unsigned int n, const u8 value[16]);

/** vmx_guest_xcr0_mask - the XCR0 bits a guest may have on this machine. */
u64 vmx_guest_xcr0_mask(void);

/** vmx_has_rdtscp, vmx_has_invpcid - instructions that need a control bit to exist in the guest. */
bool vmx_has_rdtscp(void);
bool vmx_has_invpcid(void);

/** vmx_flush_guest - forget this vCPU's cached translations before its next entry. */
void vmx_flush_guest(struct vmx_vcpu *v);

/** vmx_heartbeat - guest ticks after which a running guest exits by itself; 0 when it cannot. */
u64 vmx_heartbeat(void);

/**
 * vmx_set_heartbeat - have this vCPU exit more, or less, often than every vmx_heartbeat() ticks
 * @v: loaded on this CPU, or loaded nowhere
 * @ticks: guest ticks (TSC), not 0; rounded up to what the preemption timer can count
 *
 * Returns 0, -EOPNOTSUPP (the CPU has no preemption timer that we can use).
 */
int vmx_set_heartbeat(struct vmx_vcpu *v, u64 ticks);

/*
 * Page-modification logging (PML): the CPU writes the address of a page whose dirty bit in the
 * second-level tables it sets to a log of the vCPU's, and exits when the log is full
 * (VM_EXIT_DIRTY_FULL). Leaves with the dirty bit set already (EPT_DIRTY) cost nothing.
 */
#define VMX_DIRTY_LOG 512 /* entries */

/** vmx_has_pml - whether this CPU has PML, and accessed and dirty flags, which it needs. */
bool vmx_has_pml(void);

/**
 * vmx_dirty_take - take what was logged since the last time
 * @v: outside the guest, and stays there meanwhile; need not be loaded; any CPU
 * @out: addresses of 4 KiB pages, the oldest first
 *
 * Returns how many; 0 without PML. The caller serialises with itself and vmx_dirty_rewind(). Room
 * in the log is only made by the latter.
 */
unsigned int vmx_dirty_take(struct vmx_vcpu *v, gpa_t out[VMX_DIRTY_LOG]);

/** vmx_dirty_rewind - let the CPU log from the start again; all of it has been taken. @v: loaded.
 */
void vmx_dirty_rewind(struct vmx_vcpu *v);

/*
 * APIC virtualization (vmx/apic.c). A ladder: each rung has what those below it have. What a rung
 * virtualizes the CPU does on a page of registers, the virtual-APIC page, at their xAPIC offsets.
 */
enum vmx_apic_rung {
	VMX_APIC_EMULATE,  /* nothing: second-level faults, MSR and CR8 exits */
	VMX_APIC_TPR,	   /* TPR shadow: CR8 without exits; VM_EXIT_TPR */
	VMX_APIC_ACCESS,   /* the APIC-access page: VM_EXIT_APIC_ACCESS instead of a fault */
	VMX_APIC_REGISTER, /* reads come from the virtual-APIC page, VM_EXIT_APIC_WRITE for writes
			    */
	VMX_APIC_DELIVERY, /* virtual-interrupt delivery; EOI and TPR writes without exits */
	VMX_APIC_X2APIC,   /* the same for the MSRs of x2APIC mode */
	NR_VMX_APIC_RUNGS,
};

/* What the guest's IA32_APIC_BASE says. */
enum vmx_apic_mode {
	VMX_APIC_DISABLED,
	VMX_APIC_MEMORY,    /* xAPIC, at the address of the APIC-access page */
	VMX_APIC_ELSEWHERE, /* xAPIC, at another: accesses are not virtualized */
	VMX_APIC_MSRS,	    /* x2APIC */
};

/** vmx_apic_best - the highest rung that this CPU has with all below it. After vmx_probe(). */
enum vmx_apic_rung vmx_apic_best(void);

/** vmx_apic_missing - the name of a control that @rung needs and this CPU has not; NULL: none. */
const char *vmx_apic_missing(enum vmx_apic_rung rung);

/** vmx_apic_rung_name - as in `apic=`: emulate, tpr, access, register, delivery, x2apic. */
const char *vmx_apic_rung_name(enum vmx_apic_rung rung);

/**
 * vmx_apic_init - choose the rung; before the vCPU's first run
 * @v: loaded on this CPU
 * @rung: at most vmx_apic_best()
 * @regs: the virtual-APIC page: 4 KiB, aligned, the caller's until the vCPU is destroyed
 *
 * The mode is VMX_APIC_MEMORY (the state after RESET), the APIC-access address is not set yet.
 */
void vmx_apic_init(struct vmx_vcpu *v, enum vmx_apic_rung rung, u8 *regs);

/**
 * vmx_apic_set_mode - after a write of IA32_APIC_BASE
 *
 * Switches the secondary controls and the MSR bitmap. When the access page comes into use the
 * caller has to set its address and to flush (vmx_apic_flush()) before the next entry.
 */
void vmx_apic_set_mode(struct vmx_vcpu *v, enum vmx_apic_mode mode);

/* In cpu2_controls: the bits that are asked for on the way of every interrupt (vmx/controls.h). */
#define VMX_APIC_ACCESS_ON   0x001u
#define VMX_APIC_DELIVERY_ON 0x200u

/** vmx_apic_uses_page - whether "virtualize APIC accesses" is on in the present mode. Any context.
 */
static inline bool vmx_apic_uses_page(const struct vmx_vcpu *v)
{
	return v->cpu2_controls & VMX_APIC_ACCESS_ON;
}

/** vmx_apic_delivers - whether "virtual-interrupt delivery" is on in the present mode. Any context.
 */
static inline bool vmx_apic_delivers(const struct vmx_vcpu *v)
{
	return v->cpu2_controls & VMX_APIC_DELIVERY_ON;
}

/** vmx_apic_set_page, vmx_apic_get_page - the host-physical address of the APIC-access page. */
void vmx_apic_set_page(struct vmx_vcpu *v, hpa_t hpa);
hpa_t vmx_apic_get_page(struct vmx_vcpu *v);

/** vmx_apic_flush - drop what this CPU has cached of the VM's second-level translations, now. */
void vmx_apic_flush(struct vmx_vcpu *v);

/**
 * vmx_apic_set_threshold - exit (VM_EXIT_TPR) when the guest's TPR class falls below this
 * @threshold: 0..15, 0: never. From VMX_APIC_TPR on, where vmx_apic_delivers() is false.
 */
void vmx_apic_set_threshold(struct vmx_vcpu *v, u8 threshold);

/**
 * vmx_apic_set_requested, vmx_apic_set_in_service - the vector of the highest priority in the IRR
 * (ISR) of the virtual-APIC page, 0: none. Where vmx_apic_delivers(); the CPU keeps them up to date
 * itself while the guest runs.
 */
void vmx_apic_set_requested(struct vmx_vcpu *v, u8 vector);
void vmx_apic_set_in_service(struct vmx_vcpu *v, u8 vector);

/** vmx_apic_set_eoi_exits - the vectors whose EOI is a VM_EXIT_EOI, a bit each. Where
 * vmx_apic_delivers(). */
void vmx_apic_set_eoi_exits(struct vmx_vcpu *v, const u64 vectors[4]);

/**
 * vmx_break_state - deliberately break one rule of the entry checks (experiment `entry`)
 * @n: 0..; which rule
 *
 * Returns the name of the field that the failure report has to name, or NULL beyond the last.
 * vmx_repair_state() undoes it.
 */
const char *vmx_break_state(struct vmx_vcpu *v, unsigned int n);
void vmx_repair_state(struct vmx_vcpu *v);

/** vmx_blamed - whether the last vmx_report_failure() named @field. */
bool vmx_blamed(const char *field);

/**
 * vmx_dawdle - wait in the windows of every entry (experiment `nmi`)
 * @rounds: of two instructions each, before and after the last look; 0: as usual
 *
 * An NMI between the run loop's look at its requests and VMRESUME is rare; this makes it common.
 * The way without it is not changed by as much as an instruction. Before the first run.
 */
void vmx_dawdle(struct vmx_vcpu *v, u32 rounds);

/** vmx_entries_barred - entries that VM_EXIT_BARRED has stopped in vmx_enter(), on all CPUs. */
u64 vmx_entries_barred(void);

/**
 * vmx_floor - answer CPUID exits with the smallest handler in C that saves and restores all general
 * registers: what a CPUID exit costs without any protocol (experiment `exits`)
 *
 * @leaf0: the answer to every CPUID. Returns at the first exit that is not CPUID, with its
 * vm_exit_reason.
 */
u32 vmx_floor(struct vmx_vcpu *v, const u32 answer[4]);

struct vmx_path_count {
	u64 instructions; /* of ours, from the first after the exit to VMRESUME */
	u64 vmreads, vmwrites;
};

/**
 * vmx_count_path - count what the next exits cost, by single-stepping the hypervisor
 * @c: zeroed here, then added to at every exit; NULL ends the counting
 *
 * While counting, the VM exit lands on an entry point that sets RFLAGS.TF, and the host's debug
 * exception looks at every instruction up to VMRESUME. The normal path carries no counting code.
 */
void vmx_count_path(struct vmx_vcpu *v, struct vmx_path_count *c);

#endif
