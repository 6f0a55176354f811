/* SPDX-License-Identifier: GPL-2.0-only */
/* Telling emulators from hardware, and leaving them. */
#include "hv/host/machine.h"

#include "hv/host/console.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/smp.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"

#define PORT_E9		     0xe9
#define PORT_FW_CFG_SELECTOR 0x510
#define PORT_FW_CFG_DATA     0x511
#define FW_CFG_SIGNATURE     0
#define PORT_QEMU_DEBUG_EXIT 0x501 /* isa-debug-exit,iobase=0x501 */
#define PORT_BOCHS_DEBUG     0x8a00
#define BOCHS_DEBUG_ENABLE   0x8a00
#define BOCHS_DEBUG_RETURN   0x8ae0 /* stop here and return to the debugger */

#define CPUID_HYPERVISOR BIT(31) /* leaf 1, ECX */

static enum machine kind;

static bool cpuid_says_qemu(void)
{
	struct cpuid_regs r;
	char name[13] = "";

	if (!(cpuid(1, 0).ecx & CPUID_HYPERVISOR))
		return false;
	r = cpuid(0x40000000, 0);
	memcpy(name, &r.ebx, 4);
	memcpy(name + 4, &r.ecx, 4);
	memcpy(name + 8, &r.edx, 4);
	return !strcmp(name, "TCGTCGTCGTCG") || !strcmp(name, "KVMKVMKVM");
}

static bool fw_cfg_present(void)
{
	static const char signature[4] = { 'Q', 'E', 'M', 'U' };

	outw(PORT_FW_CFG_SELECTOR, FW_CFG_SIGNATURE);
	for (size_t i = 0; i < sizeof(signature); i++) {
		if (inb(PORT_FW_CFG_DATA) != (u8)signature[i])
			return false;
	}
	return true;
}

void machine_detect(void)
{
	bool e9 = inb(PORT_E9) == PORT_E9;

	if ((e9 || cpuid_says_qemu()) && fw_cfg_present())
		kind = MACHINE_QEMU;
	else if (e9)
		kind = MACHINE_BOCHS;
}

enum machine machine_kind(void)
{
	return kind;
}

const char *machine_name(void)
{
	switch (kind) {
	case MACHINE_BOCHS: return "bochs";
	case MACHINE_QEMU: return "qemu";
	default: return "unknown";
	}
}

static noreturn void halt_for_ever(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void leave_emulator(int status)
{
	switch (kind) {
	case MACHINE_BOCHS:
		outw(PORT_BOCHS_DEBUG, BOCHS_DEBUG_ENABLE);
		outw(PORT_BOCHS_DEBUG, BOCHS_DEBUG_RETURN);
		break;
	case MACHINE_QEMU: outb(PORT_QEMU_DEBUG_EXIT, (u8)status); break;
	default: break;
	}
}

void machine_exit(int status, const char *fmt, ...)
{
	static _Atomic u32 ending; /* number + 1 of the CPU that ends the run */
	u32 me = this_cpu_id() + 1, nobody = 0;
	char text[256];
	va_list ap;

	/* A second CPU has nothing to add; an NMI or panic on the ending one goes on. */
	if (!atomic_compare_exchange_strong(&ending, &nobody, me) && nobody != me)
		halt_for_ever();

	va_start(ap, fmt);
	fmt_vprint(text, sizeof(text), fmt, ap);
	va_end(ap);

	/* With the console lock held nobody is stopped in the middle of a line. */
	console_lock();
	smp_stop_others();
	console_break_lock();
	printk("stillpoint: end %d %s\n", status, text);
	console_flush();
	leave_emulator(status);
	halt_for_ever();
}
