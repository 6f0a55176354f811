/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Executes what a hypervisor has to intercept, checks the result and measures the cost.
 *
 * A sample is the mean of BATCH executions in a row (TSC ticks, rounded down), the loop around them
 * included: exits.floor_guest_loop is that loop alone, for whoever wants to subtract it. The
 * samples of exits.mem_fault and exits.mem_refault are single writes between two readings of it.
 *
 * Exit status: 0 when every check held, 1 otherwise.
 */
#include "guest/exits.h"
#include "guest/rt/check.h"
#include "guest/rt/cpu.h"
#include "guest/rt/platform.h"
#include "guest/rt/program.h"
#include "guest/rt/ram.h"
#include "guest/rt/smp.h"
#include "guest/rt/testdev.h"
#include "guest/rt/trap.h"
#include "hv/host/metric.h"
#include "hv/host/x86.h"

#define SAMPLES_MAX 4096
#define CHECKS	    32 /* how often a result is compared, before and after measuring */

#define XCR0_X87 BIT(0)

static u64 samples[SAMPLES_MAX];

static u64 opt_n = 1600, opt_all, opt_only, opt_pio = 0xe1, opt_vmcall, opt_stride = PAGE_SIZE;

/* One thing to measure. */
struct kind {
	const char *name; /* metric: "exits." and this */
	const char *what; /* the behaviour that is checked */
	/* NULL when it can run here, or why not; sets the batch's arguments. May be NULL. */
	const char *(*prepare)(u64 *a, u64 *b);
	bool (*right)(u64 a, u64 b); /* executes it once: was the result right? May be NULL. */
	u64 (*batch)(u64 a, u64 b);
	unsigned int ops; /* executions an iteration */
};

static void measure(const struct kind *k, u64 a, u64 b)
{
	unsigned int n = (unsigned int)(opt_n / BATCH);

	for (unsigned int i = 0; i < n; i++)
		samples[i] = k->batch(a, b) / (BATCH * k->ops);
}

static void report(const char *name, unsigned int n, u64 batch)
{
	const struct metric_param params[] = {
		{ .key = "batch", .value = batch },
		{ .key = "cpus", .value = opt_all ? smp_nr_cpus : 1 },
		{ .key = "on", .word = platform.hypervisor },
	};
	char metric[64];

	fmt_print(metric, sizeof(metric), "exits.%s", name);
	metric_samples(metric, "ticks", samples, n, params, ARRAY_SIZE(params));
}

/* With all=1 the other CPUs execute the same all the time while CPU 0 measures. */
struct job {
	const struct kind *kind;
	u64 a, b;
	_Atomic bool over;
};

static void measure_here_or_disturb(void *arg)
{
	struct job *job = arg;

	smp_barrier();
	if (cpu_index() == 0) {
		measure(job->kind, job->a, job->b);
		atomic_store(&job->over, true);
	}
	while (!atomic_load(&job->over))
		job->kind->batch(job->a, job->b);
}

static bool right_every_time(const struct kind *k, u64 a, u64 b)
{
	for (unsigned int i = 0; k->right && i < CHECKS; i++) {
		if (!k->right(a, b))
			return false;
	}
	return true;
}

static void run_kind(const struct kind *k)
{
	struct job job = { .kind = k };
	const char *absent = k->prepare ? k->prepare(&job.a, &job.b) : NULL;
	bool before;

	if (absent) {
		ktap_skip(absent, "%s", k->what);
		return;
	}
	before = right_every_time(k, job.a, job.b);
	if (opt_all)
		smp_run(measure_here_or_disturb, &job);
	else
		measure(k, job.a, job.b);
	ktap_result(before && right_every_time(k, job.a, job.b), "%s", k->what);
	report(k->name, (unsigned int)(opt_n / BATCH), BATCH);
}

/* --- the kinds -----------------------------------------------------------------------------------
 */

static bool rdtsc_right(u64 a, u64 b)
{
	u64 first = rdtsc();

	return rdtsc() >= first;
}

static bool cpuid_right(u64 a, u64 b)
{
	static struct cpuid_regs first;
	struct cpuid_regs r = cpuid(0, 0);

	if (!first.eax)
		first = r;
	return r.eax == first.eax && r.ebx == first.ebx && r.ecx == first.ecx && r.edx == first.edx;
}

static void do_vmcall(void *arg)
{
	u64 rax = opt_vmcall, rbx = 1, rcx = 2, rdx = 3, rsi = 4, rdi = 5;
	bool *kept = arg;

	__asm__ volatile("vmcall"
			 : "+a"(rax), "+b"(rbx), "+c"(rcx), "+d"(rdx), "+S"(rsi),
			   "+D"(rdi)::"memory", "cc");
	*kept = rbx == 1 && rcx == 2 && rdx == 3 && rsi == 4 && rdi == 5;
}

static const char *vmcall_prepare(u64 *a, u64 *b)
{
	bool kept;

	*a = opt_vmcall;
	return try_call(do_vmcall, &kept, NULL) == NO_FAULT ? NULL : "VMCALL raises UD here";
}

static bool vmcall_right(u64 a, u64 b)
{
	bool kept = false;

	do_vmcall(&kept);
	return kept;
}

static bool pio_right(u64 port, u64 b)
{
	static u8 value;

	outb((u16)port, ++value);
	return inb((u16)port) == value;
}

static const char *pio_prepare(u64 *port, u64 *b)
{
	*port = opt_pio;
	*b = 0x5a;
	return pio_right(*port, 0) && pio_right(*port, 0)
		       ? NULL
		       : "the port does not read back what is written (no test device)";
}

/* Every hypervisor intercepts IA32_APIC_BASE: it moves the local APIC. */
static bool apic_base_right(u64 msr, u64 value)
{
	u64 now = rdmsr((u32)msr);

	wrmsr((u32)msr, now);
	return now == value && rdmsr((u32)msr) == value;
}

static const char *apic_base_prepare(u64 *msr, u64 *value)
{
	*msr = MSR_APIC_BASE;
	return rdmsr_safe(MSR_APIC_BASE, value) ? "IA32_APIC_BASE raises GP here" : NULL;
}

/* CR0.CD stays with the hypervisor, and CPUID follows CR4.OSXSAVE: both writes exit. */
static const char *cr0_prepare(u64 *a, u64 *b)
{
	*a = read_cr0() | CR0_CD;
	*b = read_cr0();
	return NULL;
}

static bool cr0_right(u64 a, u64 b)
{
	bool ok;

	write_cr0(a);
	ok = read_cr0() == a;
	write_cr0(b);
	return ok && read_cr0() == b;
}

static const char *cr4_prepare(u64 *a, u64 *b)
{
	*a = read_cr4() & ~CR4_OSXSAVE;
	*b = read_cr4();
	return platform.has_xsave ? NULL : "CPUID shows no XSAVE";
}

static bool cr4_right(u64 a, u64 b)
{
	bool ok;

	write_cr4(a);
	ok = read_cr4() == a;
	write_cr4(b);
	return ok && read_cr4() == b;
}

static bool cr8_right(u64 a, u64 b)
{
	static u64 value;
	u64 now;

	value = (value + 1) & 0xf;
	__asm__ volatile("mov %1, %%cr8; mov %%cr8, %0" : "=r"(now) : "r"(value));
	__asm__ volatile("mov %0, %%cr8" ::"r"(0ul));
	return now == value;
}

static const char *xsetbv_prepare(u64 *a, u64 *b)
{
	if (!platform.has_xsave)
		return "CPUID shows no XSAVE";
	*a = xgetbv(0);
	return NULL;
}

static bool xsetbv_right(u64 xcr0, u64 b)
{
	xsetbv(0, XCR0_X87);
	if (xgetbv(0) != XCR0_X87)
		return false;
	xsetbv(0, xcr0);
	return xgetbv(0) == xcr0;
}

/* WBINVD has nothing to show but that memory keeps what was written. */
static bool wbinvd_right(u64 a, u64 b)
{
	static volatile u64 word;
	u64 before = ++word;

	__asm__ volatile("wbinvd" ::: "memory");
	return word == before;
}

static const char *invd_prepare(u64 *a, u64 *b)
{
	return platform.hypervised ? NULL : "INVD on a bare CPU would drop modified cache lines";
}

static bool invd_right(u64 a, u64 b)
{
	__asm__ volatile("invd" ::: "memory");
	return true;
}

static const struct kind kinds[] = {
	{ "floor_guest_loop", "the measuring loop alone", NULL, NULL, batch_floor, 1 },
	{ "rdtsc", "RDTSC never goes back", NULL, rdtsc_right, batch_rdtsc, 1 },
	{ "cpuid", "CPUID leaf 0 is always the same", NULL, cpuid_right, batch_cpuid, 1 },
	{ "vmcall", "VMCALL keeps all registers but RAX", vmcall_prepare, vmcall_right,
	  batch_vmcall, 1 },
	{ "pio_board", "IN from a device gives what was written", pio_prepare, pio_right, batch_in,
	  1 },
	{ "pio_board_out", "OUT reaches the device", pio_prepare, pio_right, batch_out, 1 },
	{ "msr_read", "RDMSR of IA32_APIC_BASE is always the same", apic_base_prepare,
	  apic_base_right, batch_rdmsr, 1 },
	{ "msr_write", "WRMSR of the value IA32_APIC_BASE has is accepted", apic_base_prepare,
	  apic_base_right, batch_wrmsr, 1 },
	{ "cr0", "CR0.CD can be set and cleared", cr0_prepare, cr0_right, batch_cr0, 2 },
	{ "cr4", "CR4.OSXSAVE can be cleared and set", cr4_prepare, cr4_right, batch_cr4, 2 },
	{ "cr8", "CR8 reads back what is written", NULL, cr8_right, batch_read_cr8, 1 },
	{ "cr8_write", "CR8 takes every value from 0 to 15", NULL, cr8_right, batch_write_cr8, 1 },
	{ "xsetbv", "XCR0 reads back what is written", xsetbv_prepare, xsetbv_right, batch_xsetbv,
	  1 },
	{ "wbinvd", "WBINVD loses nothing", NULL, wbinvd_right, batch_wbinvd, 1 },
	{ "invd", "INVD goes on", invd_prepare, invd_right, batch_invd, 1 },
};

/* --- memory that was never touched
 * ----------------------------------------------------------------- */

static u64 largest_free(void)
{
	u64 most = 0;

	for (unsigned int i = 0; i < ram_nr_free; i++)
		most = max_u64(most, ram_free[i].len);
	return most;
}

/*
 * As many writes as asked for and as fit into half of the RAM that is left.
 *
 * Whatever the hypervisor does at a first write: allocate, zero, map, perhaps more than this page.
 * With the test device also the price of mapping alone: pages that are there, but not mapped.
 */
static void run_mem_fault(void)
{
	u64 fit = largest_free() / 2 / opt_stride; /* leave some for the others */
	unsigned int n = (unsigned int)min_u64(opt_n / BATCH, max_u64(fit, 1));
	u64 base = (u64)(uintptr_t)ram_take(n * opt_stride, PAGE_SIZE);
	bool ok = true;

	for (unsigned int i = 0; i < n; i++)
		samples[i] = touch_once(base + i * opt_stride);
	for (unsigned int i = 0; i < n; i++)
		ok &= *(volatile u8 *)(uintptr_t)(base + i * opt_stride) == 1;
	ktap_result(ok, "the first write to a page stays");
	report("mem_fault", n, 1);
}

static void run_mem_refault(void)
{
	const char *what = "a page keeps its content when the hypervisor unmaps it";
	unsigned int n = (unsigned int)(opt_n / BATCH);
	volatile u8 *page = ram_take(PAGE_SIZE, PAGE_SIZE);
	bool ok = true;

	if (!testdev_present()) {
		ktap_skip("no test device", "%s", what);
		return;
	}
	for (unsigned int i = 0; i < n; i++) {
		page[1] = (u8)i;
		testdev_drop_page((const void *)page);
		samples[i] = touch_once((u64)(uintptr_t)page);
		ok &= page[0] == 1 && page[1] == (u8)i;
	}
	ktap_result(ok, "%s", what);
	report("mem_refault", n, 1);
}

int guest_main(void)
{
	/* "all" and "mem_fault" stand beside the kinds; the last one ends the list. */
	static const char *only[ARRAY_SIZE(kinds) + 4] = { "all", "mem_fault", "checks" };
	static const struct option options[] = {
		{ "n", &opt_n, BATCH, SAMPLES_MAX * BATCH, NULL, "executions of each kind" },
		{ "only", &opt_only, 0, 0, only, "measure this alone" },
		{ "all", &opt_all, 0, 1, NULL, "1: all CPUs execute it while CPU 0 measures" },
		{ "pio", &opt_pio, 0, 0xffff, NULL, "port of a device that reads back" },
		{ "vmcall", &opt_vmcall, 0, UINT64_MAX, NULL, "number of the hypercall, in RAX" },
		{ "stride", &opt_stride, 1, MIB(2), NULL, "bytes between mem_fault's writes" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		only[3 + i] = kinds[i].name;
	options_parse("exits", options, ARRAY_SIZE(options));

	check_begin("exits");
	if (opt_all)
		smp_start();
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (opt_only == 0 || opt_only == 3 + i)
			run_kind(&kinds[i]);
	}
	if (opt_only == 0 || opt_only == 1) {
		run_mem_fault();
		run_mem_refault();
	}
	if (opt_only == 0 || opt_only == 2) {
		exits_check_state(opt_pio);
		exits_check_faults();
	}
	return check_end();
}
