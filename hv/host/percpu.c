/* SPDX-License-Identifier: GPL-2.0-only */
/* The CPUs: their data and how they find it. */
#include "hv/host/percpu.h"

#include "hv/host/gdt.h"
#include "hv/host/mem.h"
#include "hv/host/x86.h"

struct cpu *cpus[MAX_CPUS];
u32 nr_cpus;

static struct cpu boot_cpu;

static void cpu_init(struct cpu *c, u32 id, u32 apic_id)
{
	c->self = c;
	c->id = id;
	c->apic_id = apic_id;
	c->rq_lock = (struct spinlock)SPINLOCK_INIT;
	list_init(&c->runqueue);
	list_init(&c->timers);
}

void percpu_init_boot(void)
{
	cpu_init(&boot_cpu, 0, 0);
	wrmsr(MSR_GS_BASE, (u64)(uintptr_t)&boot_cpu);
	cpus[0] = &boot_cpu;
	nr_cpus = 1;
}

struct cpu *percpu_alloc(u32 id, u32 apic_id)
{
	struct cpu *c = kzalloc(sizeof(*c));

	if (!c)
		return NULL;
	cpu_init(c, id, apic_id);
	if (gdt_init_cpu(c)) {
		kfree(c);
		return NULL;
	}
	return c;
}
