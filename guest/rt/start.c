/* SPDX-License-Identifier: GPL-2.0-only */
/* First C code of a guest. */
#include "guest/rt/cpu.h"
#include "guest/rt/platform.h"
#include "guest/rt/multiboot.h"
#include "guest/rt/program.h"
#include "guest/rt/ram.h"
#include "hv/host/console.h"

extern char boot_stack[];

noreturn void guest_start(u32 magic, u32 mbi);

noreturn void guest_start(u32 magic, u32 mbi)
{
	idt_init();
	cpu_tables_init(0, (u64)(uintptr_t)boot_stack + IST_STACK_SIZE);
	console_init();
	multiboot_parse(magic, mbi);
	ram_init();
	platform_init();
	guest_exit(guest_main());
}
