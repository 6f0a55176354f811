/* SPDX-License-Identifier: GPL-2.0-only */
/* The end of a hypervisor that found itself broken. */
#include "hv/host/panic.h"

#include "hv/host/backtrace.h"
#include "hv/host/console.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/smp.h"
#include "hv/host/thread.h"
#include "hv/host/trace.h"
#include "hv/host/x86.h"

#define TRACE_EVENTS_SHOWN 16

static _Atomic u32 panicking; /* the CPU's number + 1 */

static void print_registers(const struct trap_frame *f)
{
#define R(x) ((unsigned long long)(x))
	printk("  rip %016llx cs %04llx rflags %08llx rsp %016llx ss %04llx\n", R(f->rip), R(f->cs),
	       R(f->rflags), R(f->rsp), R(f->ss));
	printk("  rax %016llx rbx %016llx rcx %016llx rdx %016llx\n", R(f->rax), R(f->rbx),
	       R(f->rcx), R(f->rdx));
	printk("  rsi %016llx rdi %016llx rbp %016llx r8  %016llx\n", R(f->rsi), R(f->rdi),
	       R(f->rbp), R(f->r8));
	printk("  r9  %016llx r10 %016llx r11 %016llx r12 %016llx\n", R(f->r9), R(f->r10),
	       R(f->r11), R(f->r12));
	printk("  r13 %016llx r14 %016llx r15 %016llx\n", R(f->r13), R(f->r14), R(f->r15));
	printk("  cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx error %llx\n", R(read_cr0()),
	       R(read_cr2()), R(read_cr3()), R(read_cr4()), R(f->error));
#undef R
}

/*
 * One CPU reports. A second panic on the same CPU (the report itself failed) says so and ends; a
 * panic on another CPU waits to be stopped by the first.
 */
static void panic_enter(void)
{
	u32 me = this_cpu_id() + 1, nobody = 0;

	if (!atomic_compare_exchange_strong(&panicking, &nobody, me)) {
		if (nobody == me)
			machine_exit(RUN_PANIC, "panic inside a panic");
		smp_stop_self();
	}
	smp_stop_others();
	console_break_lock();
}

/* A jump to nowhere leaves no frame of its own: who called is on top of the stack. */
static void print_caller(const struct trap_frame *f)
{
	u64 offset, ret;

	if (!ksym_lookup(f->rip, &offset) && !read_safe((const u64 *)(uintptr_t)f->rsp, &ret) &&
	    ksym_lookup(ret - 1, &offset))
		printk("  called from %s+%#llx\n", ksym_lookup(ret - 1, &offset),
		       (unsigned long long)offset + 1);
}

static noreturn void panic_report(const char *why, const struct trap_frame *f, u64 rbp)
{
	const struct thread *t = this_cpu()->current;

	printk("panic: CPU %u%s%s: %s\n", this_cpu_id(), t ? ", thread " : "",
	       t ? thread_name(t) : "", why);
	if (f)
		print_registers(f);
	printk("backtrace:\n");
	if (f) {
		backtrace_print(f->rip, 0);
		print_caller(f);
	}
	backtrace_print(0, f ? f->rbp : rbp);
	trace_dump(TRACE_EVENTS_SHOWN);
	machine_exit(RUN_PANIC, "%s", why);
}

void panic(const char *fmt, ...)
{
	static char why[256]; /* panic_enter() lets one CPU pass */
	va_list ap;

	panic_enter();
	va_start(ap, fmt);
	fmt_vprint(why, sizeof(why), fmt, ap);
	va_end(ap);
	panic_report(why, NULL, (u64)(uintptr_t)__builtin_frame_address(0));
}

void panic_trap(const struct trap_frame *frame, const char *fmt, ...)
{
	static char why[256];
	va_list ap;

	panic_enter();
	va_start(ap, fmt);
	fmt_vprint(why, sizeof(why), fmt, ap);
	va_end(ap);
	panic_report(why, frame, 0);
}
