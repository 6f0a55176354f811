/* SPDX-License-Identifier: GPL-2.0-only */
/* The physical local APIC: registers in memory (xAPIC) or in MSRs (x2APIC). */
#include "hv/host/apic.h"

#include "hv/host/acpi.h"
#include "hv/host/bootinfo.h"
#include "hv/host/paging.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"
#include "hv/host/x86.h"

/* Register offsets; the MSR is 0x800 + offset / 16. */
enum apic_reg {
	REG_ID = 0x20,
	REG_TPR = 0x80,
	REG_EOI = 0xb0,
	REG_LDR = 0xd0,
	REG_DFR = 0xe0, /* xAPIC only */
	REG_SVR = 0xf0,
	REG_ICR = 0x300,
	REG_ICR_HIGH = 0x310, /* xAPIC only */
	REG_LVT_TIMER = 0x320,
	REG_LVT_LINT0 = 0x350,
	REG_LVT_LINT1 = 0x360,
	REG_LVT_ERROR = 0x370,
	REG_TIMER_INITIAL = 0x380,
	REG_TIMER_CURRENT = 0x390,
	REG_TIMER_DIVIDE = 0x3e0,
};

#define MSR_X2APIC(reg) (0x800 + ((reg) >> 4))

#define SVR_ENABLE     BIT(8)
#define LVT_MASKED     BIT(16)
#define TIMER_DIVIDE_1 0xb
#define ICR_NMI	       (4u << 8)
#define ICR_INIT       (5u << 8)
#define ICR_STARTUP    (6u << 8)
#define ICR_PENDING    BIT(12)
#define ICR_LOGICAL    BIT(11)
#define ICR_ASSERT     BIT(14)
#define ICR_OTHERS     (3u << 18) /* all excluding self */

#define APIC_BASE_ADDRESS 0x000ffffffffff000ull
#define XAPIC_BROADCAST	  0xff
#define ICR_POLLS	  100000
#define FLAT_CPUS	  8 /* in xAPIC mode a logical address has a bit for each of so many */
#define DFR_FLAT	  0xffffffff

static bool x2apic;
static volatile u32 *xapic;

static u32 apic_read(enum apic_reg reg)
{
	return x2apic ? (u32)rdmsr(MSR_X2APIC(reg)) : xapic[reg / 4];
}

static void apic_write(enum apic_reg reg, u32 v)
{
	if (x2apic)
		wrmsr(MSR_X2APIC(reg), v);
	else
		xapic[reg / 4] = v;
}

static void mask_pics(void)
{
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
}

static bool enter_x2apic(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	return (base & APIC_BASE_X2APIC) || !wrmsr_safe(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
}

/* xAPIC commands have room for 8 bits of APIC id, one value of which means everybody. */
static bool ids_need_x2apic(void)
{
	u32 i;

	for (i = 0; i < acpi_info.nr_cpus; i++) {
		if (acpi_info.apic_id[i] >= XAPIC_BROADCAST)
			return true;
	}
	return false;
}

/* The boot CPU decides for all. */
static void choose_mode(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);
	bool offered = cpuid(1, 0).ecx & CPUID1_ECX_X2APIC;
	bool asked = boot_option(&boot_info, "x2apic");

	if (!(cpuid(1, 0).edx & CPUID1_EDX_APIC) || !(base & APIC_BASE_ENABLE))
		panic("the local APIC is switched off");
	mask_pics();
	if ((base & APIC_BASE_X2APIC) || (offered && (asked || ids_need_x2apic())))
		x2apic = enter_x2apic();
	if (x2apic) {
		printk("apic: x2APIC mode\n");
		return;
	}
	if (asked)
		printk("apic: x2apic was asked for, but the CPU %s it\n",
		       offered ? "refuses to enter" : "does not offer");
	xapic = map_mmio(base & APIC_BASE_ADDRESS, PAGE_SIZE);
	if (!xapic)
		panic("no memory to map the local APIC");
}

void apic_init_cpu(void)
{
	if (!this_cpu_id())
		choose_mode();
	else if (x2apic && !enter_x2apic())
		panic("CPU %u refuses to enter x2APIC mode", this_cpu_id());
	apic_write(REG_TPR, 0);
	apic_write(REG_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
	apic_write(REG_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
	apic_write(REG_LVT_LINT0, LVT_MASKED);
	apic_write(REG_LVT_LINT1, LVT_MASKED);
	apic_write(REG_LVT_ERROR, LVT_MASKED | VECTOR_SPURIOUS);
	apic_write(REG_TIMER_DIVIDE, TIMER_DIVIDE_1);
	this_cpu()->apic_id = apic_id();
	/* In x2APIC mode the logical address follows from the id. */
	if (!x2apic && this_cpu_id() < FLAT_CPUS) {
		apic_write(REG_DFR, DFR_FLAT);
		apic_write(REG_LDR, (u32)BIT(this_cpu_id()) << 24);
	}
}

u32 apic_id(void)
{
	u32 v = apic_read(REG_ID);

	return x2apic ? v : v >> 24;
}

void apic_eoi(void)
{
	apic_write(REG_EOI, 0);
}

static void wait_icr(void)
{
	unsigned int i;

	for (i = 0; i < ICR_POLLS && (apic_read(REG_ICR) & ICR_PENDING); i++)
		cpu_relax();
}

/*
 * The xAPIC takes a command in two writes. An NMI handler may send a command of its own between
 * them, so everybody leaves the high half as it was.
 */
static void send(u32 id, u32 command)
{
	u32 high;

	if (x2apic) {
		/* A WRMSR to the ICR does not wait for earlier stores; the receiver must see them.
		 */
		__asm__ volatile("mfence; lfence" ::: "memory");
		wrmsr(MSR_X2APIC(REG_ICR), (u64)id << 32 | command);
		return;
	}
	wait_icr();
	high = apic_read(REG_ICR_HIGH);
	apic_write(REG_ICR_HIGH, id << 24);
	apic_write(REG_ICR, command);
	apic_write(REG_ICR_HIGH, high);
}

void apic_send_ipi(u32 cpu, u8 vector)
{
	send(cpus[cpu]->apic_id, (u32)ICR_ASSERT | vector);
}

void apic_send_nmi(u32 cpu)
{
	send(cpus[cpu]->apic_id, (u32)ICR_ASSERT | ICR_NMI);
}

/* x2APIC: a logical address is cluster (id / 16) and a bit for each id in it. */
static void send_clusters(u64 mask, u32 command)
{
	while (mask) {
		u32 first = cpus[__builtin_ctzll(mask)]->apic_id, bits = 0;

		for (u64 rest = mask; rest; rest &= rest - 1) {
			u32 cpu = (u32)__builtin_ctzll(rest), id = cpus[cpu]->apic_id;

			if (id >> 4 != first >> 4)
				continue;
			bits |= (u32)BIT(id & 15);
			mask &= ~BIT(cpu);
		}
		send(first >> 4 << 16 | bits, command | (u32)ICR_LOGICAL);
	}
}

static noinline void send_several(u64 mask, u32 command)
{
	if (x2apic) {
		send_clusters(mask, command);
	} else if (nr_cpus <= FLAT_CPUS) {
		send((u32)mask, command | (u32)ICR_LOGICAL);
	} else {
		for (; mask; mask &= mask - 1)
			send(cpus[__builtin_ctzll(mask)]->apic_id, command);
	}
}

static void send_mask(u64 mask, u32 command)
{
	if (mask & (mask - 1))
		send_several(mask, command);
	else
		send(cpus[__builtin_ctzll(mask)]->apic_id, command);
}

void apic_send_ipi_mask(u64 mask, u8 vector)
{
	send_mask(mask, (u32)ICR_ASSERT | vector);
}

void apic_send_nmi_mask(u64 mask)
{
	send_mask(mask, (u32)ICR_ASSERT | ICR_NMI);
}

void apic_send_init(u32 id)
{
	send(id, (u32)ICR_ASSERT | ICR_INIT);
}

void apic_send_startup(u32 id, u8 page)
{
	send(id, (u32)ICR_ASSERT | ICR_STARTUP | page);
}

void apic_send_init_others(void)
{
	send(0, (u32)ICR_ASSERT | ICR_OTHERS | ICR_INIT);
}

void apic_send_startup_others(u8 page)
{
	send(0, (u32)ICR_ASSERT | ICR_OTHERS | ICR_STARTUP | page);
}

void apic_timer_oneshot(u32 count)
{
	apic_write(REG_LVT_TIMER, VECTOR_TIMER);
	apic_write(REG_TIMER_INITIAL, count);
}

u32 apic_timer_count(void)
{
	return apic_read(REG_TIMER_CURRENT);
}
