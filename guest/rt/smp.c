/* SPDX-License-Identifier: GPL-2.0-only */
/* Starting the guest's CPUs and giving them work. */
#include "guest/rt/cpu.h"
#include "guest/rt/exit.h"
#include "guest/rt/lapic.h"
#include "guest/rt/platform.h"
#include "guest/rt/ram.h"
#include "guest/rt/smp.h"
#include "hv/host/errno.h"
#include "hv/host/print.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"

#define ARRIVAL_SPINS 20000000u /* seconds on anything, and only when a CPU is missing */
#define INIT_SPINS    2000u

extern const char ap_trampoline[], ap_trampoline_end[];

/* Used by ap_entry64. */
extern _Atomic u32 ap_ticket;
u32 ap_wanted;
u64 ap_stack[GUEST_MAX_CPUS];

void ap_main(u32 index);

u32 smp_nr_cpus = 1;
static _Atomic u32 nr_arrived = 1;

static struct {
	void (*fn)(void *arg);
	void *arg;
	_Atomic u32 round; /* counts smp_run() calls: a new value is new work */
	_Atomic u32 nr_done;
} work;

void smp_barrier(void)
{
	static _Atomic u32 waiting, round;
	u32 now = atomic_load(&round);

	if (atomic_fetch_add(&waiting, 1) + 1 == smp_nr_cpus) {
		atomic_store(&waiting, 0);
		atomic_store(&round, now + 1);
	}
	while (atomic_load(&round) == now)
		cpu_relax();
}

void ap_main(u32 index)
{
	u32 seen = 0;

	cpu_tables_init(index, ap_stack[index] + IST_STACK_SIZE);
	platform_init_cpu();
	atomic_fetch_add(&nr_arrived, 1);
	for (;;) {
		while (atomic_load(&work.round) == seen)
			cpu_relax();
		seen++;
		work.fn(work.arg);
		atomic_fetch_add(&work.nr_done, 1);
	}
}

void smp_run(void (*fn)(void *arg), void *arg)
{
	work.fn = fn;
	work.arg = arg;
	atomic_store(&work.nr_done, 0);
	atomic_fetch_add(&work.round, 1);
	fn(arg);
	while (atomic_load(&work.nr_done) != smp_nr_cpus - 1)
		cpu_relax();
}

static bool all_arrived(u32 spins)
{
	for (u32 i = 0; i < spins; i++) {
		if (atomic_load(&nr_arrived) == platform.nr_cpus)
			return true;
		cpu_relax();
	}
	return false;
}

static void send_to_others(u32 command)
{
	if (lapic_send(0, ICR_ALL_BUT_MYSELF | ICR_ASSERT | command)) {
		printk("guest: the local APIC refuses ICR command %#x\n", command);
		guest_exit(GUEST_FAILED);
	}
}

void smp_start(void)
{
	int err;

	if (platform.nr_cpus == 1)
		return;
	if (platform.nr_cpus > GUEST_MAX_CPUS) {
		printk("guest: %u CPUs, at most %u can be\n", platform.nr_cpus, GUEST_MAX_CPUS);
		guest_exit(GUEST_USAGE);
	}
	err = lapic_init();
	if (err) {
		printk("guest: %u CPUs but no usable local APIC (%s)\n", platform.nr_cpus,
		       errno_name(err));
		guest_exit(GUEST_FAILED);
	}
	for (u32 i = 1; i < platform.nr_cpus; i++)
		ap_stack[i] = (u64)(uintptr_t)ram_take(STACK_SIZE, PAGE_SIZE);
	ap_wanted = platform.nr_cpus;
	memcpy((void *)AP_PAGE, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));

	send_to_others(ICR_INIT);
	all_arrived(INIT_SPINS); /* nobody can arrive yet: this is the pause INIT asks for */
	send_to_others(ICR_STARTUP | AP_PAGE >> 12);
	if (!all_arrived(ARRIVAL_SPINS / 100))
		send_to_others(ICR_STARTUP | AP_PAGE >> 12);
	if (!all_arrived(ARRIVAL_SPINS)) {
		printk("guest: %u of %u CPUs started\n", atomic_load(&nr_arrived),
		       platform.nr_cpus);
		guest_exit(GUEST_FAILED);
	}
	smp_nr_cpus = platform.nr_cpus;
}
