/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bringing the other CPUs up, and stopping them.
 *
 * All are started at once. Each answers in its slot (ap.S) and waits there; when all have answered,
 * or waiting has taken too long, the boot CPU numbers those that are there, gives each its data and
 * stack, and lets them go on together. So CPU numbers have no holes and do not depend on who was
 * faster.
 */
#include "hv/host/smp.h"

#include "hv/host/acpi.h"
#include "hv/host/ap.h"
#include "hv/host/apic.h"
#include "hv/host/bootinfo.h"
#include "hv/host/errno.h"
#include "hv/host/gdt.h"
#include "hv/host/irq.h"
#include "hv/host/mem.h"
#include "hv/host/paging.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "hv/host/trace.h"
#include "hv/host/x86.h"

#define AP_STACK_SIZE KIB(16)

/*
 * Modern CPUs need no pause between INIT and STARTUP; whoever does not answer gets STARTUP again
 * after the old ones.
 */
#define FAST_INIT_US	10
#define FAST_ANSWER_US	2000
#define SLOW_INIT_US	10000
#define SLOW_STARTUP_US 200
#define SLOW_ANSWER_US	100000
#define DISCOVER_US	1000 /* without a MADT: all are there when nobody new came for so long */
#define ONLINE_US	5000000
#define STOP_ROUNDS	1000000

/* The head of the trampoline page, from offset 8 on. Addresses are relative until it is copied. */
struct ap_params {
	u32 cr3;
	u32 entry32;
	u32 selector32;
	u32 entry64;
	u32 selector64;
	u16 gdt_limit;
	u32 gdt_base;
	u16 reserved;
	u64 high;
} __packed;

#define AP_PARAMS_OFFSET 8

struct ap_slot {
	u32 apic_id;
	_Atomic u32 alive; /* set by the CPU: it is waiting for go */
	_Atomic u32 go;	   /* AP_WAIT, AP_GO, AP_DISMISS */
	u32 reserved;
	void *stack; /* top */
	struct cpu *cpu;
};

struct ap_control {
	u64 cr0, cr3, cr4, efer;
	_Atomic u32 nr;	      /* slots in use */
	_Atomic u32 discover; /* a CPU takes the next free slot, whatever its APIC id */
};

_Static_assert(offsetof(struct ap_slot, alive) == AP_SLOT_ALIVE, "ap.h");
_Static_assert(offsetof(struct ap_slot, go) == AP_SLOT_GO, "ap.h");
_Static_assert(offsetof(struct ap_slot, stack) == AP_SLOT_STACK, "ap.h");
_Static_assert(offsetof(struct ap_slot, cpu) == AP_SLOT_CPU, "ap.h");
_Static_assert(sizeof(struct ap_slot) == AP_SLOT_SIZE, "ap.h");
_Static_assert(offsetof(struct ap_control, cr0) == AP_CTL_CR0, "ap.h");
_Static_assert(offsetof(struct ap_control, cr3) == AP_CTL_CR3, "ap.h");
_Static_assert(offsetof(struct ap_control, cr4) == AP_CTL_CR4, "ap.h");
_Static_assert(offsetof(struct ap_control, efer) == AP_CTL_EFER, "ap.h");
_Static_assert(offsetof(struct ap_control, nr) == AP_CTL_NR, "ap.h");
_Static_assert(offsetof(struct ap_control, discover) == AP_CTL_DISCOVER, "ap.h");

/* ap.S and the trampoline look at these. */
struct ap_slot ap_slots[MAX_CPUS - 1];
struct ap_control ap_control;
extern const char ap_entry[];
void ap_main(struct cpu *c);

_Atomic bool smp_stopping;
static _Atomic u32 stopper; /* number of the CPU that stops the others + 1 */

static u32 nr_slots(void)
{
	return (u32)min_u64(atomic_load(&ap_control.nr), ARRAY_SIZE(ap_slots));
}

static u32 nr_alive(void)
{
	u32 i, n = 0;

	for (i = 0; i < nr_slots(); i++)
		n += atomic_load(&ap_slots[i].alive);
	return n;
}

static void wait_until_alive(u64 us)
{
	u64 end = ticks_now() + ticks_from_us(us);

	while (nr_alive() < nr_slots() && ticks_now() < end)
		cpu_relax();
}

static void write_trampoline(hpa_t page)
{
	char *code = phys_to_virt(page);
	struct ap_params *p = (struct ap_params *)(code + AP_PARAMS_OFFSET);

	memcpy(code, boot_info.ap.code, boot_info.ap.size);
	p->cr3 = (u32)boot_info.ap.cr3;
	p->entry32 += (u32)page;
	p->entry64 += (u32)page;
	p->gdt_base += (u32)page;
	p->high = (u64)(uintptr_t)ap_entry;
	ap_control.cr0 = read_cr0();
	ap_control.cr3 = paging_root();
	ap_control.cr4 = read_cr4();
	ap_control.efer = rdmsr(MSR_EFER);
}

static void send_startup(u8 page)
{
	u32 i;

	for (i = 0; i < nr_slots(); i++) {
		if (!atomic_load(&ap_slots[i].alive))
			apic_send_startup(ap_slots[i].apic_id, page);
	}
}

/*
 * INIT is sent once. A second one, for a CPU that has not answered yet, may find it just after its
 * answer: it would be reset, count as alive, and get no STARTUP any more. A second STARTUP does no
 * harm: it is dropped by a CPU that does not wait for one.
 */
static void start_listed(u8 page)
{
	u32 i, n = 0;

	for (i = 0; i < acpi_info.nr_cpus; i++) {
		if (acpi_info.apic_id[i] != this_cpu()->apic_id && n < ARRAY_SIZE(ap_slots))
			ap_slots[n++].apic_id = acpi_info.apic_id[i];
	}
	atomic_store(&ap_control.nr, n);
	for (i = 0; i < n; i++)
		apic_send_init(ap_slots[i].apic_id);
	spin_ticks(ticks_from_us(FAST_INIT_US));
	send_startup(page);
	wait_until_alive(FAST_ANSWER_US);
	if (nr_alive() == n)
		return;
	wait_until_alive(SLOW_INIT_US);
	send_startup(page);
	wait_until_alive(SLOW_STARTUP_US);
	send_startup(page);
	wait_until_alive(SLOW_ANSWER_US);
}

/* No MADT (OVMF on Bochs has none): who answers a broadcast is there. */
static void start_unlisted(u8 page)
{
	u32 seen;

	atomic_store(&ap_control.discover, 1);
	apic_send_init_others();
	spin_ticks(ticks_from_us(SLOW_INIT_US));
	apic_send_startup_others(page);
	do {
		seen = atomic_load(&ap_control.nr);
		spin_ticks(ticks_from_us(DISCOVER_US));
	} while (seen != atomic_load(&ap_control.nr));
	wait_until_alive(FAST_ANSWER_US);
	if (seen > ARRAY_SIZE(ap_slots))
		printk("smp: %u CPUs more than the %u supported are left out\n",
		       seen - (u32)ARRAY_SIZE(ap_slots), MAX_CPUS);
}

/* Number those that answered and give them what they need. */
static int prepare_cpus(void)
{
	u32 i;

	for (i = 0; i < nr_slots(); i++) {
		struct ap_slot *s = &ap_slots[i];
		u8 *stack;

		if (!atomic_load(&s->alive)) {
			printk("smp: the CPU with APIC id %u does not answer\n", s->apic_id);
			continue;
		}
		stack = stack_alloc(AP_STACK_SIZE);
		s->cpu = percpu_alloc(nr_cpus, s->apic_id);
		if (!stack || !s->cpu)
			return -ENOMEM;
		s->stack = stack + AP_STACK_SIZE;
		cpus[nr_cpus++] = s->cpu;
	}
	return 0;
}

static void release_cpus(void)
{
	u64 end;
	u32 i;

	for (i = 0; i < nr_slots(); i++)
		atomic_store(&ap_slots[i].go, ap_slots[i].cpu ? AP_GO : AP_DISMISS);
	end = ticks_now() + ticks_from_us(ONLINE_US);
	for (i = 1; i < nr_cpus; i++) {
		while (!atomic_load(&cpus[i]->online)) {
			if (ticks_now() > end)
				panic("CPU %u (APIC id %u) hangs in its start-up", i,
				      cpus[i]->apic_id);
			cpu_relax();
		}
	}
}

int smp_init(hpa_t page)
{
	int err;

	atomic_store(&this_cpu()->online, true);
	if (acpi_info.present && acpi_info.nr_cpus == 1)
		return 1;
	if (!page) {
		printk("smp: no page below 1 MiB is free, going on with one CPU\n");
		return 1;
	}
	write_trampoline(page);
	if (acpi_info.present)
		start_listed((u8)(page >> PAGE_SHIFT));
	else
		start_unlisted((u8)(page >> PAGE_SHIFT));
	err = prepare_cpus();
	if (err)
		return err;
	release_cpus();
	return (int)nr_cpus;
}

/* Called by ap.S on the CPU's own stack, with GS and the final page tables loaded. */
void ap_main(struct cpu *c)
{
	gdt_load(c->tables);
	idt_load();
	apic_init_cpu();
	timer_init_cpu();
	if (trace_init_cpu())
		panic("no memory for the trace of CPU %u", c->id);
	thread_init_cpu();
	atomic_store(&c->online, true);
	thread_idle();
}

void smp_stop_others(void)
{
	u32 me = this_cpu_id(), nobody = 0;
	u32 i, round;

	if (!atomic_compare_exchange_strong(&stopper, &nobody, me + 1))
		return;
	atomic_store(&smp_stopping, true);
	for (i = 0; i < nr_cpus; i++) {
		if (i != me && atomic_load(&cpus[i]->online))
			apic_send_nmi(i);
	}
	for (i = 0; i < nr_cpus; i++) {
		for (round = 0; i != me && atomic_load(&cpus[i]->online) && round < STOP_ROUNDS;
		     round++)
			cpu_relax();
	}
}

void smp_stop_self(void)
{
	/* The stopping CPU itself may get here, when an NMI meant for a guest comes late. */
	atomic_store(&this_cpu()->online, false);
	for (;;)
		__asm__ volatile("cli; hlt");
}
