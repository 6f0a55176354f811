/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Misbehaves on purpose, as do= says, to see that the hypervisor survives it and says what
 *happened.
 *
 * The guest should survive these, and ends with status 0 when what had to fault did:
 *	vmx		the VMX instructions, each of which must fault
 *	combos		values that control registers and MSRs must refuse
 *	vmcall, msr, ports, cr
 *			n= random ones (seed=). Bare, odd ports can upset an emulator's devices.
 *	apic		n= random accesses to the local APIC by each CPU, its modes and places
 *	all		those above but the APIC, one after another
 *
 * Here it is up to the hypervisor: it ends the guest, or the guest sees what a bare machine shows
 * and ends with status 0:
 *	hole		reads and writes where no RAM is (addr=): writes vanish, reads give ones
 *	jump		runs where no RAM is: a fault
 *	anything	n= random pieces of code that access the APIC, if they do not end it before
 *
 * These cannot go on. The hypervisor ends the guest, a bare machine resets, hangs or crashes:
 *	triple		a triple fault
 *	cr3, idt, stack	page tables, the IDT or the stack where no RAM is
 *	hlt		HLT with IF=0: nothing can wake it
 *	loop		runs for ever with IF=0: only a time limit ends it
 */
#include "guest/rt/check.h"
#include "guest/rt/cpu.h"
#include "guest/rt/program.h"
#include "guest/rt/trap.h"
#include "guest/wild.h"
#include "hv/host/x86.h"

static u64 opt_do, opt_n = 1000, opt_seed = 1, opt_addr = 0xd0000000;

static void triple(void)
{
	load_idt(NULL, 0);
	__asm__ volatile("ud2");
}

static void call_address(void *arg)
{
	((void (*)(void))arg)();
}

/* Where no RAM is there are ones: FF FF is no instruction. */
static void jump(void)
{
	int vector = try_call(call_address, (void *)(uintptr_t)opt_addr, NULL);

	printk("wild: the jump to %#llx gave %s\n", (unsigned long long)opt_addr,
	       trap_name(vector));
	guest_exit(vector == NO_FAULT ? GUEST_FAILED : GUEST_OK);
}

static void bad_cr3(void)
{
	write_cr3(opt_addr);
}

static void bad_idt(void)
{
	load_idt((void *)(uintptr_t)opt_addr, sizeof(idt) - 1);
	__asm__ volatile("ud2");
}

static void bad_stack(void)
{
	__asm__ volatile("mov %0, %%rsp; ud2" ::"r"(opt_addr));
}

static void loop(void)
{
	for (;;)
		__asm__ volatile("");
}

static void hlt(void)
{
	for (;;)
		__asm__ volatile("hlt");
}

static void all(void)
{
	check_vmx_instructions();
	wild_combos();
	wild_vmcalls(opt_n, opt_seed);
	wild_msrs(opt_n, opt_seed);
	wild_ports(opt_n, opt_seed);
	wild_crs(opt_n, opt_seed);
}

int guest_main(void)
{
	enum { ALL, VMX, COMBOS, HOLE, VMCALL, MSR, PORTS, CR, APIC, ANYTHING, FIRST_FATAL };
	static const char *const modes[] = { "all",   "vmx", "combos", "hole",	   "vmcall", "msr",
					     "ports", "cr",  "apic",   "anything", "triple", "jump",
					     "cr3",   "idt", "stack",  "loop",	   "hlt",    NULL };
	static void (*const fatal[])(
		void) = { triple, jump, bad_cr3, bad_idt, bad_stack, loop, hlt };
	static const struct option options[] = {
		{ "do", &opt_do, 0, 0, modes, "what to do" },
		{ "n", &opt_n, 1, 1000000, NULL, "how many random ones" },
		{ "seed", &opt_seed, 0, UINT64_MAX, NULL, "of the random ones" },
		{ "addr", &opt_addr, 0, UINT64_MAX, NULL, "where no RAM is" },
	};

	options_parse("wild", options, ARRAY_SIZE(options));
	if (opt_do >= FIRST_FATAL) {
		printk("wild: do=%s\n", modes[opt_do]);
		fatal[opt_do - FIRST_FATAL]();
		printk("wild: still running\n");
		return GUEST_FAILED;
	}
	check_begin("wild");
	switch (opt_do) {
	case ALL: all(); break;
	case VMX: check_vmx_instructions(); break;
	case COMBOS: wild_combos(); break;
	case HOLE: wild_hole(opt_addr); break;
	case VMCALL: wild_vmcalls(opt_n, opt_seed); break;
	case MSR: wild_msrs(opt_n, opt_seed); break;
	case PORTS: wild_ports(opt_n, opt_seed); break;
	case CR: wild_crs(opt_n, opt_seed); break;
	case APIC: wild_apic(opt_n, opt_seed); break;
	case ANYTHING: wild_apic_any(opt_n, opt_seed); break;
	}
	return check_end();
}
