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

/* A block that touches memory which is not mapped yet. */
static void check_mapping(const char *name, void (*block)(u64, u64), const u64 *due, u64 a, u64 b)
{
	if (strcmp(platform.hypervisor, "KVMKVMKVM"))
		check_block(name, block, due, a, b);
	else
		ktap_skip("KVM on VMX has one more where it maps memory", "single step over %s",
			  name);
}

static void do_vmcall(void *arg)
{
	__asm__ volatile("vmcall" ::"a"(0) : "memory");
}

void events_check_step(void)
{
	u8 *buffer = ram_take(PAGE_SIZE, PAGE_SIZE);

	check_block("ordinary instructions", step_plain, step_plain_due, 0, 0);
	check_mapping("instructions that exit", step_emulated, step_emulated_due, PORT_DELAY,
		      (u64)(uintptr_t)ram_take(PAGE_SIZE, PAGE_SIZE));
	check_block("MOV SS and its shadow", step_shadow, step_shadow_due, 0, 0);
	check_mapping("each iteration of REP MOVSB", step_rep, step_rep_due, (u64)(uintptr_t)buffer,
		      (u64)(uintptr_t)buffer + 16);
	if (try_call(do_vmcall, NULL, NULL) != NO_FAULT)
		ktap_skip("VMCALL raises UD here", "single step over VMCALL");
	else
		check_block("VMCALL", step_vmcall, step_vmcall_due, 0, 0);
}
