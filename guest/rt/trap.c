/* SPDX-License-Identifier: GPL-2.0-only */
/* Exceptions of a guest: to the program's handler, to try_call(), or printed and fatal. */
#include "guest/rt/cpu.h"
#include "guest/rt/exit.h"
#include "guest/rt/trap.h"
#include "hv/host/errno.h"
#include "hv/host/print.h"
#include "hv/host/x86.h"

#define BACKTRACE_MAX 16

bool try_run(void (*fn)(void *), void *arg, u64 *landing_rsp);
extern const char try_landing[];
void trap_dispatch(struct trap_frame *frame);

/* The try_call() in progress of each CPU. */
static struct try_state {
	u64 landing_rsp; /* 0 when there is none */
	struct fault fault;
} tries[GUEST_MAX_CPUS];

static bool (*handlers[256])(struct trap_frame *frame);

const char *trap_name(int vector)
{
	static const char *const names[32] = {
		"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "#9",  "#TS",
		"#NP", "#SS", "#GP", "#PF", "#15", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
		"#22", "#23", "#24", "#25", "#26", "#27", "#HV", "#VC", "#SX", "#31",
	};

	if (vector == NO_FAULT)
		return "no fault";
	return vector < 32 ? names[vector] : "interrupt";
}

void trap_handle(u8 vector, bool (*fn)(struct trap_frame *frame))
{
	handlers[vector] = fn;
}

int try_call(void (*fn)(void *arg), void *arg, struct fault *f)
{
	struct try_state *t = &tries[cpu_index()];
	u64 outer = t->landing_rsp;

	if (!try_run(fn, arg, &t->landing_rsp))
		t->fault = (struct fault){ .vector = NO_FAULT };
	t->landing_rsp = outer;
	if (f)
		*f = t->fault;
	return t->fault.vector;
}

/* Frame pointers are kept, and every return address lies in the image. */
static void backtrace(u64 rbp)
{
	extern const char image_start[], image_end[];

	for (unsigned int i = 0; i < BACKTRACE_MAX; i++) {
		const u64 *frame = (const u64 *)(uintptr_t)rbp;

		if (!rbp || !IS_ALIGNED(rbp, 8) || frame[1] < (u64)(uintptr_t)image_start ||
		    frame[1] >= (u64)(uintptr_t)image_end)
			return;
		printk("  called from %#llx\n", (unsigned long long)frame[1]);
		rbp = frame[0];
	}
}

#define R(name) (unsigned long long)frame->name

static noreturn void trap_fatal(struct trap_frame *frame)
{
	printk("guest: unexpected %s (vector %llu, error code %#llx) on CPU %u at RIP %#llx\n"
	       "  rax %016llx  rbx %016llx  rcx %016llx  rdx %016llx\n"
	       "  rsi %016llx  rdi %016llx  rbp %016llx  rsp %016llx\n"
	       "  r8  %016llx  r9  %016llx  r10 %016llx  r11 %016llx\n"
	       "  r12 %016llx  r13 %016llx  r14 %016llx  r15 %016llx\n"
	       "  rflags %llx  cs %llx  ss %llx  cr0 %llx  cr2 %llx  cr3 %llx  cr4 %llx\n",
	       trap_name((int)frame->vector), R(vector), R(error), cpu_index(), R(rip), R(rax),
	       R(rbx), R(rcx), R(rdx), R(rsi), R(rdi), R(rbp), R(rsp), R(r8), R(r9), R(r10), R(r11),
	       R(r12), R(r13), R(r14), R(r15), R(rflags), R(cs), R(ss),
	       (unsigned long long)read_cr0(), (unsigned long long)read_cr2(),
	       (unsigned long long)read_cr3(), (unsigned long long)read_cr4());
	backtrace(frame->rbp);
	guest_exit(GUEST_CRASHED);
}

void trap_dispatch(struct trap_frame *frame)
{
	struct try_state *t = &tries[cpu_index()];
	u8 vector = (u8)frame->vector;

	if (handlers[vector] && handlers[vector](frame))
		return;
	if (vector >= 32 || vector == EXC_NMI || !t->landing_rsp)
		trap_fatal(frame);

	t->fault = (struct fault){
		.vector = vector,
		.error = frame->error,
		.rip = frame->rip,
		.cr2 = read_cr2(),
	};
	frame->rip = (u64)(uintptr_t)try_landing;
	frame->rsp = t->landing_rsp;
	frame->cs = SEL_CODE64;
	frame->ss = SEL_DATA;
	frame->rflags = RFLAGS_FIXED;
}

struct msr_access {
	u32 msr;
	u64 value;
};

static void do_rdmsr(void *arg)
{
	struct msr_access *a = arg;

	a->value = rdmsr(a->msr);
}

static void do_wrmsr(void *arg)
{
	struct msr_access *a = arg;

	wrmsr(a->msr, a->value);
}

int rdmsr_safe(u32 msr, u64 *v)
{
	struct msr_access a = { .msr = msr };

	if (try_call(do_rdmsr, &a, NULL) != NO_FAULT)
		return -EFAULT;
	*v = a.value;
	return 0;
}

int wrmsr_safe(u32 msr, u64 v)
{
	struct msr_access a = { msr, v };

	return try_call(do_wrmsr, &a, NULL) == NO_FAULT ? 0 : -EFAULT;
}
