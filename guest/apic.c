/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC as its guest sees it: registers, priorities, timer, inter-processor interrupts,
 * IA32_APIC_BASE. What is expected is what the SDM says; it holds on every hypervisor, and what
 * some leave out is skipped there.
 *
 * Exit status: 0 when every check held, 1 otherwise.
 */
#include "guest/apic.h"
#include "guest/rt/check.h"
#include "guest/rt/cpu.h"
#include "guest/rt/platform.h"
#include "guest/rt/program.h"
#include "guest/rt/smp.h"
#include "hv/host/string.h"

#define WAIT_SPINS   1000000u
#define SETTLE_SPINS 2000u
#define WINDOW_SPINS 50u
#define FIRST_VECTOR 0x20

bool apic_strict, apic_shared, apic_x2;
u64 apic_page = LAPIC_BASE;

volatile u32 apic_hits[APIC_MAX_CPUS][256];
volatile u8 apic_log[APIC_LOG_MAX];
volatile u32 apic_nr_log;
void (*volatile apic_inside)(u8 vector);

static volatile u32 *mmio(u32 reg)
{
	return (volatile u32 *)(uintptr_t)(apic_page + reg);
}

u32 apic_get(u32 reg)
{
	return apic_x2 ? (u32)rdmsr(MSR_X2APIC + (reg >> 4)) : *mmio(reg);
}

void apic_set(u32 reg, u32 value)
{
	if (apic_x2)
		wrmsr(MSR_X2APIC + (reg >> 4), value);
	else
		*mmio(reg) = value;
}

void apic_send(u32 dest, u32 command)
{
	if (apic_x2) {
		wrmsr(MSR_X2APIC + (LAPIC_ICR >> 4), (u64)dest << 32 | command);
		return;
	}
	while (*mmio(LAPIC_ICR) & ICR_PENDING)
		cpu_relax();
	*mmio(LAPIC_ICR + 0x10) = dest << 24;
	*mmio(LAPIC_ICR) = command;
}

u32 apic_own_id(void)
{
	return apic_x2 ? apic_get(LAPIC_ID) : apic_get(LAPIC_ID) >> 24;
}

struct access {
	u32 reg;
	u64 value;
};

static void do_get(void *arg)
{
	apic_get(((struct access *)arg)->reg);
}

static void do_set(void *arg)
{
	struct access *a = arg;

	if (apic_x2)
		wrmsr(MSR_X2APIC + (a->reg >> 4), a->value);
	else
		*mmio(a->reg) = (u32)a->value;
}

int apic_get_fault(u32 reg)
{
	return try_call(do_get, &(struct access){ .reg = reg }, NULL);
}

int apic_set_fault(u32 reg, u64 value)
{
	return try_call(do_set, &(struct access){ reg, value }, NULL);
}

bool apic_bit(u32 set, u8 vector)
{
	return apic_get(set + vector / 32 * 0x10) & BIT(vector % 32);
}

bool apic_switch(bool x2)
{
	u64 mode = x2 ? APIC_BASE_ENABLE | APIC_BASE_X2APIC : APIC_BASE_ENABLE;
	u64 base = rdmsr(MSR_APIC_BASE), now = base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC);

	base &= ~(u64)(APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	if (now == mode)
		return true;
	/* Out of x2APIC mode the way is through the disabled state, and into it through xAPIC mode.
	 */
	if (now & APIC_BASE_X2APIC && wrmsr_safe(MSR_APIC_BASE, base))
		return false;
	if (!(now & APIC_BASE_ENABLE) && wrmsr_safe(MSR_APIC_BASE, base | APIC_BASE_ENABLE))
		return false;
	return !wrmsr_safe(MSR_APIC_BASE, base | mode);
}

void apic_enable(void)
{
	apic_set(LAPIC_SVR, SVR_ENABLE | SVR_SPURIOUS);
	apic_set(LAPIC_TPR, 0);
	apic_set(LAPIC_LVT_TIMER, LVT_MASKED);
}

/* --- arrivals ------------------------------------------------------------------------------------
 */

bool apic_arrived(struct trap_frame *frame)
{
	u32 cpu = cpu_index();
	u8 vector = (u8)frame->vector;

	if (cpu < APIC_MAX_CPUS)
		apic_hits[cpu][vector]++;
	if (!cpu) {
		if (apic_nr_log < APIC_LOG_MAX)
			apic_log[apic_nr_log++] = vector;
		if (apic_inside)
			apic_inside(vector);
	}
	apic_set(LAPIC_EOI, 0);
	return true;
}

static bool arrived_nmi(struct trap_frame *frame)
{
	u32 cpu = cpu_index();

	if (cpu < APIC_MAX_CPUS)
		apic_hits[cpu][EXC_NMI]++;
	return true;
}

void apic_forget(void)
{
	memset((void *)apic_hits, 0, sizeof(apic_hits));
	apic_nr_log = 0;
}

static void relax(u32 spins)
{
	for (u32 i = 0; i < spins; i++)
		cpu_relax();
}

void apic_window(void)
{
	local_irq_enable();
	relax(WINDOW_SPINS);
	local_irq_disable();
}

void apic_settle(void)
{
	relax(SETTLE_SPINS);
}

bool apic_wait(u32 cpu, u8 vector, u32 n)
{
	local_irq_enable();
	for (u32 i = 0; i < WAIT_SPINS && apic_hits[cpu][vector] < n; i++)
		cpu_relax();
	local_irq_disable();
	return apic_hits[cpu][vector] >= n;
}

/* --- results -------------------------------------------------------------------------------------
 */

static const char *mode_name(void)
{
	return apic_x2 ? "x2APIC" : "xAPIC";
}

void apic_result(bool ok, const char *name)
{
	ktap_result(ok, "%s: %s", mode_name(), name);
}

void apic_result_eq(u64 got, u64 want, const char *name)
{
	apic_result(got == want, name);
	if (got != want)
		ktap_note("expected %#llx, got %#llx", (unsigned long long)want,
			  (unsigned long long)got);
}

bool apic_skip(const char *name)
{
	if (apic_strict)
		return false;
	ktap_skip("not every hypervisor does", "%s: %s", mode_name(), name);
	return true;
}

/* --- the program ---------------------------------------------------------------------------------
 */

static void enter_mode(void *arg)
{
	_Atomic u32 *refused = arg;

	if (!apic_switch(apic_x2)) {
		atomic_fetch_add(refused, 1);
		return;
	}
	apic_enable();
}

static bool all_enter(bool x2)
{
	_Atomic u32 refused = 0;

	apic_x2 = x2;
	smp_run(enter_mode, (void *)&refused);
	apic_result_eq(atomic_load(&refused), 0, "every APIC enters the mode");
	return !atomic_load(&refused);
}

static void check_mode(bool x2)
{
	if (!all_enter(x2))
		return;
	apic_check_reset();
	apic_check_registers();
	apic_check_errors();
	apic_check_priorities();
	apic_check_timer();
	apic_check_base();
	if (smp_nr_cpus > 1)
		apic_check_ipis();
}

static void run_load(bool x2, u64 n)
{
	if (all_enter(x2))
		apic_load(n);
}

int guest_main(void)
{
	enum { ALL, CHECK, LOAD };
	static const char *const what[] = { "all", "check", "load", NULL };
	static const char *const modes[] = { "both", "xapic", "x2apic", NULL };
	u64 opt_do = ALL, opt_mode = 0, opt_n = 500, opt_shared = 0;
	const struct option options[] = {
		{ "do", &opt_do, 0, 0, what, "the checks, the load, both" },
		{ "mode", &opt_mode, 0, 0, modes, "of the APICs" },
		{ "n", &opt_n, 1, 1000000, NULL, "timer expiries of each CPU under load" },
		{ "shared", &opt_shared, 0, 1, NULL,
		  "several of its CPUs share one of the host's" },
	};

	options_parse("apic", options, ARRAY_SIZE(options));
	check_begin("apic");
	if (!platform.has_apic) {
		ktap_skip("there is none", "the local APIC");
		return check_end();
	}
	apic_shared = opt_shared;
	apic_strict = !strcmp(platform.hypervisor, "StillpointHV");
	for (unsigned int v = FIRST_VECTOR; v < 256; v++)
		trap_handle((u8)v, apic_arrived);
	trap_handle(EXC_NMI, arrived_nmi);
	smp_start();
	for (unsigned int x2 = 0; x2 < 2; x2++) {
		if ((x2 && !platform.has_x2apic) || (opt_mode && opt_mode != x2 + 1))
			continue;
		if (opt_do != LOAD)
			check_mode(x2);
		if (opt_do != CHECK)
			run_load(x2, opt_n);
	}
	return check_end();
}
