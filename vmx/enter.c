/* SPDX-License-Identifier: GPL-2.0-only */
/* After vmx/entry.S: decoding exits that are not plain, and entries that did not happen. */
#include "hv/host/counter.h"
#include "hv/host/irq.h"
#include "hv/host/mem.h"
#include "hv/host/print.h"
#include "hv/host/x86.h"
#include "vmx/exit_reasons.h"
#include "vmx/internal.h"

COUNTER(vmx_barred, "vmx.barred", "VM entries stopped by an NMI that arrived in root mode");
COUNTER(vmx_flushes, "vmx.flushes", "INVEPTs: the flush generation had advanced, or by request");

#define EXIT_FAILED_ENTRY BIT(31)
#define NEEDS_DECODE	  0x80

/* The CPU's exit reasons, translated. Those that leave more to read are marked. */
const u8 vmx_translate[NR_EXIT_REASONS] = {
	[EXIT_REASON_EXCEPTION_NMI] = VM_EXIT_EXCEPTION | NEEDS_DECODE,
	[EXIT_REASON_EXTERNAL_INTERRUPT] = VM_EXIT_INTERRUPT | NEEDS_DECODE,
	[2] = VM_EXIT_TRIPLE_FAULT,
	[3 ... 6] = VM_EXIT_OTHER,  /* INIT, SIPI, SMI */
	[7 ... 8] = VM_EXIT_WINDOW, /* interrupt window, NMI window */
	[9] = VM_EXIT_TASK_SWITCH | NEEDS_DECODE,
	[10] = VM_EXIT_CPUID,
	[11] = VM_EXIT_UNDEFINED, /* GETSEC */
	[12] = VM_EXIT_HLT,
	[13] = VM_EXIT_CACHE,	     /* INVD */
	[14] = VM_EXIT_OTHER,	     /* INVLPG: not intercepted */
	[15] = VM_EXIT_PRIVILEGED,   /* RDPMC: no counters */
	[16 ... 17] = VM_EXIT_OTHER, /* RDTSC, RSM */
	[18] = VM_EXIT_HYPERCALL,
	[19 ... 27] = VM_EXIT_UNDEFINED, /* VMCLEAR ... VMXON */
	[EXIT_REASON_CR_ACCESS] = VM_EXIT_CR | NEEDS_DECODE,
	[29] = VM_EXIT_OTHER, /* MOV DR: not intercepted */
	[EXIT_REASON_IO_INSTRUCTION] = VM_EXIT_IO | NEEDS_DECODE,
	[31] = VM_EXIT_RDMSR,
	[32] = VM_EXIT_WRMSR,
	[35] = VM_EXIT_OTHER,
	[36] = VM_EXIT_UNDEFINED,    /* MWAIT */
	[37 ... 38] = VM_EXIT_OTHER, /* MTF */
	[39] = VM_EXIT_UNDEFINED,    /* MONITOR */
	[40 ... 42] = VM_EXIT_OTHER, /* PAUSE, a machine check at the entry */
	[EXIT_REASON_TPR_BELOW_THRESHOLD] = VM_EXIT_TPR | NEEDS_DECODE,
	[EXIT_REASON_APIC_ACCESS] = VM_EXIT_APIC_ACCESS | NEEDS_DECODE,
	[EXIT_REASON_EOI_INDUCED] = VM_EXIT_EOI | NEEDS_DECODE,
	[46 ... 47] = VM_EXIT_OTHER, /* descriptor tables: not intercepted */
	[EXIT_REASON_EPT_VIOLATION] = VM_EXIT_MEMORY | NEEDS_DECODE,
	[EXIT_REASON_EPT_MISCONFIG] = VM_EXIT_MEMORY_BAD | NEEDS_DECODE,
	[50] = VM_EXIT_UNDEFINED, /* INVEPT */
	[51] = VM_EXIT_OTHER,	  /* RDTSCP: not intercepted */
	[EXIT_REASON_PREEMPTION_TIMER] = VM_EXIT_TIMER | NEEDS_DECODE,
	[53] = VM_EXIT_UNDEFINED, /* INVVPID */
	[54] = VM_EXIT_CACHE,	  /* WBINVD */
	[55] = VM_EXIT_XSETBV,
	[EXIT_REASON_APIC_WRITE] = VM_EXIT_APIC_WRITE | NEEDS_DECODE,
	[57 ... 58] = VM_EXIT_OTHER, /* RDRAND, INVPCID: not intercepted */
	[59] = VM_EXIT_UNDEFINED,    /* VMFUNC */
	[60 ... 61] = VM_EXIT_OTHER, /* ENCLS, RDSEED */
	[EXIT_REASON_PML_FULL] = VM_EXIT_DIRTY_FULL | NEEDS_DECODE,
	[63 ... NR_EXIT_REASONS - 1] = VM_EXIT_OTHER,
};

static void decode_exception(struct vmx_vcpu *v, u64 info)
{
	vmx_requeue_event(v);
	if ((info & INTR_INFO_NMI_IRET) && (info & INTR_INFO_VECTOR) != EXC_DF)
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO,
			   vmcs_read(GUEST_INTERRUPTIBILITY_INFO) | INTR_STATE_NMI);
	v->exit.exception.vector = (u8)info;
	v->exit.exception.insn_len = 0;
	if ((info & INTR_INFO_TYPE) == INTR_TYPE_PRIV_SOFT)
		v->exit.exception.insn_len = (u8)vmcs_read(VM_EXIT_INSTRUCTION_LEN);
	v->exit.exception.has_error = info & INTR_INFO_ERROR;
	v->exit.exception.error = 0;
	if (v->exit.exception.has_error)
		v->exit.exception.error = (u32)vmcs_read(VM_EXIT_INTR_ERROR_CODE);
	if ((u8)info == EXC_DB)
		v->exit.exception.payload = vmcs_read(EXIT_QUALIFICATION);
	if ((u8)info == EXC_MC)
		__asm__ volatile("int $18"); /* the host's machine check: its handler decides */
}

static u32 decode_exception_or_nmi(struct vmx_vcpu *v)
{
	u64 info = vmcs_read(VM_EXIT_INTR_INFO);

	if ((info & INTR_INFO_TYPE) != INTR_TYPE_NMI) {
		decode_exception(v, info);
		return VM_EXIT_EXCEPTION;
	}
	/*
	 * An NMI exit leaves NMIs blocked on this CPU until an IRET. Execute one now, before
	 * anybody looks at requests: a further kick must be able to arrive.
	 */
	nmi_iret();
	return VM_EXIT_NMI;
}

static void decode_cr(struct vmx_vcpu *v)
{
	u64 q = vmcs_read(EXIT_QUALIFICATION);

	v->exit.cr.cr = q & 0xf;
	v->exit.cr.kind = (q >> 4) & 3;
	v->exit.cr.gpr = (q >> 8) & 0xf;
	v->exit.cr.lmsw = (u16)(q >> 16);
}

#define IO_QUALIFICATION_FLAGS 0x38 /* direction, string, REP: numbered as enum vm_io_flags */

static void decode_string_io(struct vmx_vcpu *v)
{
	/* 16-, 32- or 64-bit addressing: 0, 1, 2 in bits 9:7 of the information */
	v->exit.io.addr_size = (u8)(2u << ((vmcs_read(VM_EXIT_INSTRUCTION_INFO) >> 7) & 7));
	v->exit.io.linear = vmcs_read(GUEST_LINEAR_ADDRESS);
}

static u32 decode_io(struct vmx_vcpu *v)
{
	u32 q = (u32)vmcs_read(EXIT_QUALIFICATION);

	v->exit.io.port = (u16)(q >> 16);
	v->exit.io.size = (u8)((q & 7) + 1);
	v->exit.io.flags = q & IO_QUALIFICATION_FLAGS;
	if (unlikely(q & VM_IO_STRING))
		decode_string_io(v);
	return VM_EXIT_IO;
}

static noinline void interrupted_delivery(struct vmx_vcpu *v, u64 q)
{
	vmx_requeue_event(v);
	if ((q & INTR_INFO_NMI_IRET) && !vmx_event_queued())
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO,
			   vmcs_read(GUEST_INTERRUPTIBILITY_INFO) | INTR_STATE_NMI);
}

/* An access to memory was not completed; it may have been one of an IRET, or of an event's
 * delivery. Returns the exit qualification. */
static inline u64 decode_access(struct vmx_vcpu *v)
{
	u64 q = vmcs_read(EXIT_QUALIFICATION);

	if (unlikely((vmcs_read(IDT_VECTORING_INFO) & INTR_INFO_VALID) | (q & INTR_INFO_NMI_IRET)))
		interrupted_delivery(v, q);
	return q;
}

static u32 decode_memory(struct vmx_vcpu *v)
{
	u64 q = decode_access(v);

	v->exit.mem.gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
	v->exit.mem.access = q & 7;
	/* There is a linear address, and what was accessed is not what it translates to. */
	v->exit.mem.walk = (q & (BIT(7) | BIT(8))) == BIT(7);
	return VM_EXIT_MEMORY;
}

static void decode_apic_access(struct vmx_vcpu *v)
{
	enum { READ, WRITE, FETCH, EVENT, EVENT_PHYSICAL = 10 }; /* qualification bits 15:12 */
	u64 q = vmcs_read(EXIT_QUALIFICATION);

	vmx_requeue_event(v);
	v->exit.apic.offset = q & 0xfff;
	switch (q >> 12 & 0xf) {
	case READ: v->exit.apic.kind = APIC_ACCESS_READ; break;
	case WRITE: v->exit.apic.kind = APIC_ACCESS_WRITE; break;
	case FETCH: v->exit.apic.kind = APIC_ACCESS_FETCH; break;
	case EVENT:
	case EVENT_PHYSICAL: v->exit.apic.kind = APIC_ACCESS_EVENT; break;
	default: v->exit.apic.kind = APIC_ACCESS_OTHER;
	}
}

/* The exit comes after the access. If it was one of an event's delivery, and that is not complete,
 * the event is in IDT_VECTORING_INFO as with any other exit. */
static u64 decode_apic_trap(struct vmx_vcpu *v)
{
	vmx_requeue_event(v);
	return vmcs_read(EXIT_QUALIFICATION);
}

static noinline u32 decode(struct vmx_vcpu *v, u32 basic)
{
	switch (basic) {
	case EXIT_REASON_EXCEPTION_NMI: return decode_exception_or_nmi(v);
	case EXIT_REASON_EXTERNAL_INTERRUPT:
		v->exit.vector = (u8)vmcs_read(VM_EXIT_INTR_INFO);
		break;
	case EXIT_REASON_CR_ACCESS: decode_cr(v); break;
	case EXIT_REASON_PML_FULL: decode_access(v); break;
	case EXIT_REASON_EPT_MISCONFIG:
		vmx_requeue_event(v);
		v->exit.mem.gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
		break;
	case EXIT_REASON_PREEMPTION_TIMER:
		vmcs_write(VMX_PREEMPTION_TIMER_VALUE, v->heartbeat);
		break;
	case EXIT_REASON_APIC_ACCESS: decode_apic_access(v); break;
	case EXIT_REASON_APIC_WRITE: v->exit.apic.offset = decode_apic_trap(v) & 0xfff; break;
	case EXIT_REASON_EOI_INDUCED: v->exit.vector = (u8)decode_apic_trap(v); break;
	default: vmx_requeue_event(v); /* TPR below the threshold included */
	}
	return vmx_translate[basic] & (u8)~NEEDS_DECODE;
}

/*
 * Stepping over an instruction that ends at 4 GiB leaves RIP with bit 32 set, which only 64-bit
 * code may have. The processor would have wrapped. Done here, after the refused entry, so that the
 * hot path need not know the guest's mode.
 */
static bool wrap_rip(struct vmx_vcpu *v)
{
	u64 rip = vmcs_read(GUEST_RIP);

	if (!(rip >> 32) || (vmcs_read(GUEST_CS_AR_BYTES) & AR_L))
		return false;
	vmcs_write(GUEST_RIP, (u32)rip);
	return true;
}

void vmx_flush_translations(struct vmx_vcpu *v)
{
	u64 gen = atomic_load_explicit(v->flush_gen, memory_order_seq_cst);

	count(&vmx_flushes);
	if (vmx_caps.ept_vpid & EPT_CAP_INVEPT_SINGLE ? !invept(INVEPT_SINGLE, v->vm->ept.eptp)
						      : !invept(INVEPT_ALL, 0))
		panic("INVEPT failed");
	/* For vm_flush(), on another CPU: the translations are gone by now. */
	__atomic_store_n(&v->flushed_gen, gen, __ATOMIC_RELEASE);
}

/*
 * After a refused entry the VMCS may be launched or not, depending on which entry it was: VMCLEAR
 * makes it not, whichever it was.
 */
void vmx_make_launchable(struct vmx_vcpu *v, void (*launch)(void))
{
	hpa_t pa = virt_to_phys(v->vmcs);

	if (!vmclear(pa) || !vmptrld(pa))
		panic("VMCLEAR or VMPTRLD of vCPU %u failed", v->vpid);
	v->enter = launch;
}

u32 vmx_not_entered(struct vmx_vcpu *v, u32 result)
{
	switch (result) {
	case ENTRY_BARRED: count(&vmx_barred); return VM_EXIT_BARRED;
	case ENTRY_STALE: vmx_flush_translations(v); return vmx_enter(v);
	default:
		v->instruction_error = (u32)vmcs_read(VM_INSTRUCTION_ERROR);
		vmx_make_launchable(v, vmx_launch_guest);
		v->exit.hardware_reason = ~0u;
		return VM_EXIT_ENTRY_FAILED;
	}
}

/* Repairs that the hot path leaves to the refused entry; true when something was repaired. */
static bool repair(struct vmx_vcpu *v)
{
	return wrap_rip(v) || vmx_end_shadow(v);
}

u64 vmx_entries_barred(void)
{
	return counter_read(&vmx_barred);
}

static noinline u32 decode_failure(struct vmx_vcpu *v, u32 hw)
{
	if (!(hw & EXIT_FAILED_ENTRY))
		return VM_EXIT_OTHER;
	v->qualification = vmcs_read(EXIT_QUALIFICATION);
	vmx_make_launchable(v, vmx_launch_guest);
	return repair(v) ? vmx_enter(v) : VM_EXIT_ENTRY_FAILED;
}

u32 vmx_decode_exit(struct vmx_vcpu *v, u32 hw)
{
	if (likely(hw == EXIT_REASON_IO_INSTRUCTION))
		return decode_io(v);
	v->exit.hardware_reason = hw;
	if (hw == EXIT_REASON_EPT_VIOLATION)
		return decode_memory(v);
	if (likely(hw < NR_EXIT_REASONS))
		return decode(v, hw);
	return decode_failure(v, hw);
}
