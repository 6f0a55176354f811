/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Single step. An instruction that the hypervisor completes instead of the CPU still owes its debug
 * exception, and one that it lets the CPU repeat (after mapping memory) owes only one.
 */
#include "guest/events.h"
#include "guest/rt/check.h"
#include "guest/rt/platform.h"
#include "guest/rt/ram.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"

#define TRAPS_MAX  64
#define DR6_BS	   BIT(14)
#define DR6_RESET  0xffff0ff0
#define PORT_DELAY 0x80

#define VENDOR_INTEL_EBX 0x756e6547 /* "Genu", of CPUID leaf 0 */

#define BLOCK(name)                                                                                \
	void step_##name(u64 a, u64 b);                                                            \
	extern const u64 step_##name##_due[];
BLOCK(plain)
BLOCK(emulated)
BLOCK(shadow)
BLOCK(rep)
BLOCK(vmcall)

static u64 trap_rip[TRAPS_MAX];
static unsigned int nr_traps;
static bool bs_always;

static bool note_step(struct trap_frame *frame)
{
	bs_always &= (read_dr6() & DR6_BS) != 0;
	write_dr6(DR6_RESET);
	if (nr_traps < TRAPS_MAX)
		trap_rip[nr_traps] = frame->rip;
	nr_traps++;
	return true;
}

static void check_block(const char *name, void (*block)(u64, u64), const u64 *due, u64 a, u64 b)
{
	unsigned int i, nr_due = 0;

	nr_traps = 0;
	bs_always = true;
	write_dr6(DR6_RESET);
	trap_handle(EXC_DB, note_step);
	block(a, b);
	trap_handle(EXC_DB, NULL);

	while (due[nr_due])
		nr_due++;
	for (i = 0; i < nr_due && i < nr_traps && trap_rip[i] == due[i]; i++)
		;
	ktap_result(i == nr_due && nr_traps == nr_due, "single step over %s", name);
	if (i < nr_due)
		ktap_note("debug exception %u is due at %#llx, came at %#llx", i,
			  (unsigned long long)due[i],
			  i < nr_traps ? (unsigned long long)trap_rip[i] : 0);
	if (nr_traps != nr_due)
		ktap_note("%u debug exceptions, %u are due", nr_traps, nr_due);
	ktap_result(bs_always, "DR6.BS is set in each of them");
}

/*
 * In Bochs 2.7 an instruction that leaves its VMX guest to have memory mapped leaves its step
 * pending, where the SDM has the field clear: there is one debug exception more when it is
 * repeated, whoever maps the memory. KVM, which makes pages of 4 KiB, meets that here. From inside
 * its guests Bochs looks like the CPU by Intel that it shows.
 */
static bool mapping_may_count(void)
{
	return !strcmp(platform.hypervisor, "KVMKVMKVM") && cpuid(0, 0).ebx == VENDOR_INTEL_EBX;
}

/* @pages: two of them. */
static void check_memory(u8 *pages, const char *exits, const char *rep)
{
	u64 to = (u64)(uintptr_t)pages, other = to + PAGE_SIZE;

	check_block(exits, step_emulated, step_emulated_due, PORT_DELAY, to);
	check_block(rep, step_rep, step_rep_due, other, other + 16);
}

static void do_vmcall(void *arg)
{
	__asm__ volatile("vmcall" ::"a"(0) : "memory");
}

void events_check_step(void)
{
	u8 *pages = ram_take(4 * PAGE_SIZE, PAGE_SIZE);

	check_block("ordinary instructions", step_plain, step_plain_due, 0, 0);
	check_block("MOV SS and its shadow", step_shadow, step_shadow_due, 0, 0);
	memset(pages, 0, 2 * PAGE_SIZE);
	check_memory(pages, "instructions that exit", "each iteration of REP MOVSB");
	if (mapping_may_count())
		ktap_skip("Bochs counts a step twice when memory is mapped for it",
			  "single step over accesses to memory never touched");
	else
		check_memory(pages + 2 * PAGE_SIZE, "a write to memory never touched",
			     "REP MOVSB in memory never touched");
	if (try_call(do_vmcall, NULL, NULL) != NO_FAULT)
		ktap_skip("VMCALL raises UD here", "single step over VMCALL");
	else
		check_block("VMCALL", step_vmcall, step_vmcall_due, 0, 0);
}
