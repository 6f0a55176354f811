/* SPDX-License-Identifier: GPL-2.0-only */
/* The IDT, and what becomes of exceptions and NMIs in root mode. */
#include "hv/host/apic.h"
#include "hv/host/backtrace.h"
#include "hv/host/errno.h"
#include "hv/host/gdt.h"
#include "hv/host/irq.h"
#include "hv/host/paging.h"
#include "hv/host/panic.h"
#include "hv/host/percpu.h"
#include "hv/host/smp.h"
#include "hv/host/x86.h"

#define GATE_INTERRUPT 0x8e /* present, ring 0: clears IF */

#define PF_PRESENT BIT(0)
#define PF_WRITE   BIT(1)
#define PF_RSVD	   BIT(3)
#define PF_FETCH   BIT(4)

struct idt_gate {
	u16 offset0;
	u16 selector;
	u8 ist;
	u8 type;
	u16 offset1;
	u32 offset2;
	u32 reserved;
};

_Static_assert(sizeof(struct idt_gate) == 16, "IDT layout");

extern const struct ex_entry __ex_table_start[], __ex_table_end[];
extern const struct nmi_fixup __nmi_fixup_start[], __nmi_fixup_end[];

static struct idt_gate idt[256] __aligned(64);

static const char *const exception_names[32] = {
	[EXC_DE] = "#DE divide error",	       [EXC_DB] = "#DB debug",
	[EXC_BP] = "#BP breakpoint",	       [EXC_OF] = "#OF overflow",
	[EXC_BR] = "#BR bound range",	       [EXC_UD] = "#UD invalid opcode",
	[EXC_NM] = "#NM device not available", [EXC_DF] = "#DF double fault",
	[EXC_TS] = "#TS invalid TSS",	       [EXC_NP] = "#NP segment not present",
	[EXC_SS] = "#SS stack fault",	       [EXC_GP] = "#GP general protection",
	[EXC_PF] = "#PF page fault",	       [EXC_MF] = "#MF x87 error",
	[EXC_AC] = "#AC alignment check",      [EXC_MC] = "#MC machine check",
	[EXC_XM] = "#XM SIMD error",	       [EXC_VE] = "#VE virtualization exception",
};

static noreturn void die_page_fault(struct trap_frame *f)
{
	u64 va = read_cr2();
	const char *what = f->error & PF_FETCH	 ? "instruction fetch from"
			   : f->error & PF_WRITE ? "write to"
						 : "read from";
	const char *why = f->error & PF_RSVD	  ? "reserved bit set in a page table"
			  : f->error & PF_PRESENT ? "not allowed"
			  : va < PAGE_SIZE	  ? "null pointer"
			  : paging_is_guard(va)	  ? "guard page: stack overflow?"
						  : "not mapped";

	panic_trap(f, "#PF: %s %#llx: %s", what, (unsigned long long)va, why);
}

static noreturn void die(struct trap_frame *f)
{
	const char *name = exception_names[f->vector];

	if (f->vector == EXC_PF)
		die_page_fault(f);
	/* A fault that finds no stack to push to becomes a double fault; CR2 still tells. */
	if (f->vector == EXC_DF && paging_is_guard(read_cr2()))
		panic_trap(f, "#DF double fault: stack overflow, guard page at %#llx",
			   (unsigned long long)read_cr2());
	panic_trap(f, "%s (vector %llu, error %#llx)", name ? name : "reserved exception",
		   (unsigned long long)f->vector, (unsigned long long)f->error);
}

/* What .ex_table calls the address of a fault. */
static u64 fault_address(const struct trap_frame *f)
{
	u64 at = f->rip, cr2 = read_cr2();

	/* A call to where nothing may be executed faults there; the caller is on the stack. */
	if (f->vector == EXC_PF && (f->error & PF_FETCH) &&
	    read_safe((const u64 *)(uintptr_t)f->rsp, &at))
		write_cr2(cr2); /* die() wants the first fault's */
	return at;
}

static bool fixup_exception(struct trap_frame *f)
{
	const struct ex_entry *e;
	u64 at;

	if (f->vector != EXC_GP && f->vector != EXC_UD && f->vector != EXC_PF)
		return false;
	at = fault_address(f);
	for (e = __ex_table_start; e < __ex_table_end; e++) {
		if (e->fault == at) {
			f->rip = e->target;
			f->rax = (u64)-EFAULT;
			return true;
		}
	}
	return false;
}

/*
 * Runs at any instruction of root mode, on its own stack: takes no lock, prints nothing, and faults
 * on nothing (an IRET of a nested fault would let the next NMI in, onto the same stack).
 */
static void nmi(struct trap_frame *f)
{
	struct cpu *c = this_cpu();
	const struct nmi_fixup *e;

	atomic_fetch_add_explicit(&c->nr_nmi, 1, memory_order_relaxed);
	atomic_store_explicit(&c->entry_barred, 1, memory_order_release);
	if (unlikely(smp_stopping))
		smp_stop_self();
	for (e = __nmi_fixup_start; e < __nmi_fixup_end; e++) {
		if (f->rip >= e->start && f->rip < e->end)
			f->rip = e->target;
	}
}

void (*debug_hook)(struct trap_frame *f);

void trap_dispatch(struct trap_frame *f)
{
	if (f->vector >= 32)
		irq_dispatch((u8)f->vector);
	else if (f->vector == EXC_NMI)
		nmi(f);
	else if (f->vector == EXC_DB && debug_hook)
		debug_hook(f);
	else if (!fixup_exception(f))
		die(f);
}

extern const char resched_entry[]; /* trap.S */

static const char *stub_of(unsigned int vector)
{
	return trap_stubs + vector * TRAP_STUB_SIZE;
}

static void set_gate(unsigned int vector, const char *entry, unsigned int ist)
{
	u64 stub = (u64)(uintptr_t)entry;

	idt[vector] = (struct idt_gate){
		.offset0 = (u16)stub,
		.selector = GDT_CODE,
		.ist = (u8)ist,
		.type = GATE_INTERRUPT,
		.offset1 = (u16)(stub >> 16),
		.offset2 = (u32)(stub >> 32),
	};
}

void exception_init(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(idt); i++)
		set_gate(i, stub_of(i), 0);
	set_gate(EXC_NMI, stub_of(EXC_NMI), IST_NMI);
	set_gate(EXC_DF, stub_of(EXC_DF), IST_DF);
	set_gate(EXC_MC, stub_of(EXC_MC), IST_MC);
	set_gate(VECTOR_RESCHED, resched_entry, 0);
	idt_load();
}

void idt_load(void)
{
	struct {
		u16 limit;
		u64 base;
	} __packed idtr = { sizeof(idt) - 1, (u64)(uintptr_t)idt };

	__asm__ volatile("lidt %0" ::"m"(idtr));
}
