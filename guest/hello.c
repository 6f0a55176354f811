/* SPDX-License-Identifier: GPL-2.0-only */
/* Every CPU says hello, one after another. Exit status 0 when all have. */
#include "guest/rt/cpu.h"
#include "guest/rt/platform.h"
#include "guest/rt/program.h"
#include "guest/rt/ram.h"
#include "guest/rt/smp.h"
#include "hv/host/x86.h"

static _Atomic u32 turn;

static void say_hello(void *arg)
{
	u32 me = cpu_index();

	while (atomic_load(&turn) != me)
		cpu_relax();
	printk("hello from CPU %u of %u (APIC id %u)\n", me, smp_nr_cpus, cpuid(1, 0).ebx >> 24);
	atomic_store(&turn, me + 1);
}

int guest_main(void)
{
	options_parse("hello", NULL, 0);
	printk("hello: CPU '%s', hypervisor '%s', %u CPUs, %llu KiB of RAM\n", platform.brand,
	       platform.hypervisor, platform.nr_cpus, (unsigned long long)ram_total() >> 10);
	for (unsigned int i = 0; i < boot_nr_modules; i++)
		printk("hello: module %u '%s', %llu bytes at %#llx\n", i, boot_module[i].name,
		       (unsigned long long)boot_module[i].len,
		       (unsigned long long)boot_module[i].base);
	smp_start();
	smp_run(say_hello, NULL);
	return atomic_load(&turn) == smp_nr_cpus ? GUEST_OK : GUEST_FAILED;
}
