/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IA32_APIC_BASE of CPU 0: which changes of mode there are, the disabled APIC, and registers that
 * are moved elsewhere: to where nothing is, and onto RAM, which they hide.
 */
#include "guest/apic.h"
#include "guest/rt/platform.h"
#include "guest/rt/ram.h"

#define MODE_BITS	   (APIC_BASE_ENABLE | APIC_BASE_X2APIC)
#define LEAF_ADDRESS_SIZES 0x80000008
#define NOWHERE		   0xfed40000ull
#define ONES		   0xffffffffu

enum mode { OFF, XAPIC, X2APIC, INVALID, NR_MODES };

static const u64 bits[] = {
	[OFF] = 0,
	[XAPIC] = APIC_BASE_ENABLE,
	[X2APIC] = APIC_BASE_ENABLE | APIC_BASE_X2APIC,
	[INVALID] = APIC_BASE_X2APIC,
};
static const char *const names[] = { "disabled", "xAPIC", "x2APIC", "invalid" };

/* Rows: from, columns: to. Staying is always possible. */
static const bool legal[][NR_MODES] = {
	[OFF] = { true, true, false, false },
	[XAPIC] = { true, true, true, false },
	[X2APIC] = { true, false, true, false },
};

static u64 fixed; /* IA32_APIC_BASE without the mode */

static void go(enum mode m)
{
	wrmsr(MSR_APIC_BASE, fixed);
	if (m != OFF)
		wrmsr(MSR_APIC_BASE, fixed | APIC_BASE_ENABLE);
	if (m == X2APIC)
		wrmsr(MSR_APIC_BASE, fixed | MODE_BITS);
}

static bool step_is_right(enum mode from, enum mode to)
{
	bool done;

	go(from);
	done = !wrmsr_safe(MSR_APIC_BASE, fixed | bits[to]);
	if (done == legal[from][to] && (rdmsr(MSR_APIC_BASE) & MODE_BITS) == bits[done ? to : from])
		return true;
	ktap_note("from %s to %s: %s, IA32_APIC_BASE is %#llx", names[from], names[to],
		  done ? "accepted" : "refused", (unsigned long long)rdmsr(MSR_APIC_BASE));
	return false;
}

static void check_steps(void)
{
	bool ok = true;

	for (unsigned int from = OFF; from <= X2APIC; from++)
		for (unsigned int to = OFF; to < NR_MODES; to++)
			ok &= step_is_right(from, to);
	ktap_result(ok, "IA32_APIC_BASE allows the changes of mode that there are, and no other");
}

static void check_reserved(void)
{
	u32 width = cpuid(LEAF_ADDRESS_SIZES, 0).eax & 0xff;
	u64 base = rdmsr(MSR_APIC_BASE);
	bool ok = true;

	for (unsigned int bit = 0; bit < 64; bit++) {
		if ((bit > 7 && bit < width && bit != 9) || bit == 10 || bit == 11)
			continue;
		if (!wrmsr_safe(MSR_APIC_BASE, base | BIT(bit))) {
			ktap_note("bit %u is accepted", bit);
			wrmsr(MSR_APIC_BASE, base);
			ok = false;
		}
	}
	ktap_result(ok, "IA32_APIC_BASE refuses its reserved bits");
}

static bool reads_ones(u64 page)
{
	volatile u32 *p = (volatile u32 *)(uintptr_t)page;

	p[LAPIC_TPR / 4] = 0x20;
	return p[LAPIC_VERSION / 4] == ONES && p[LAPIC_ID / 4] == ONES && p[LAPIC_TPR / 4] == ONES;
}

static void check_disabled(void)
{
	u64 v;

	go(OFF);
	ktap_result(!(cpuid(1, 0).edx & CPUID1_EDX_APIC), "CPUID hides an APIC that is disabled");
	if (apic_strict)
		ktap_result(reads_ones(LAPIC_BASE), "where its registers were reads give ones");
	ktap_result(rdmsr_safe(MSR_X2APIC + (LAPIC_ID >> 4), &v) != 0, "and its MSRs do not exist");
	go(XAPIC);
	ktap_result(cpuid(1, 0).edx & CPUID1_EDX_APIC, "CPUID shows it when it is enabled again");
	ktap_result(rdmsr_safe(MSR_X2APIC + (LAPIC_ID >> 4), &v) != 0,
		    "in xAPIC mode the MSRs do not exist either");
}

static bool works_at(u64 page)
{
	bool ok;

	apic_page = page;
	apic_enable();
	apic_forget();
	apic_send(0, ICR_SELF | ICR_FIXED | ICR_ASSERT | 0x41);
	apic_window();
	ok = apic_hits[0][0x41] == 1 && apic_get(LAPIC_SVR) == (SVR_ENABLE | SVR_SPURIOUS);
	apic_set(LAPIC_TPR, 0x70);
	ok &= apic_get(LAPIC_TPR) == 0x70;
	apic_set(LAPIC_TPR, 0);
	return ok;
}

static void move_to(u64 page)
{
	wrmsr(MSR_APIC_BASE, (fixed & (PAGE_SIZE - 1)) | page | APIC_BASE_ENABLE);
}

static void check_moved(void)
{
	u64 *ram = ram_take(PAGE_SIZE, PAGE_SIZE);
	bool hidden, ok = true;

	go(XAPIC);
	move_to(NOWHERE);
	ktap_result(works_at(NOWHERE), "registers that are moved to where nothing is work there");
	ktap_result(reads_ones(LAPIC_BASE), "and are gone from where they were");

	for (u64 i = 0; i < PAGE_SIZE / 8; i++)
		ram[i] = i * 0x0101010101010101ull + 7;
	move_to((u64)(uintptr_t)ram);
	hidden = works_at((u64)(uintptr_t)ram);
	hidden &= *(volatile u32 *)((u8 *)ram + LAPIC_VERSION) == apic_get(LAPIC_VERSION);
	ktap_result(hidden, "registers that are moved onto RAM hide it");
	move_to(LAPIC_BASE);
	for (u64 i = 0; i < PAGE_SIZE / 8; i++)
		ok &= ram[i] == i * 0x0101010101010101ull + 7;
	ktap_result(ok, "and the RAM is as it was when they are back");
	ktap_result(works_at(LAPIC_BASE), "where they work again");
}

void apic_check_base(void)
{
	bool x2 = apic_x2;

	if (platform.tcg) {
		ktap_skip("QEMU's interpreter cannot disable its APIC", "IA32_APIC_BASE");
		return;
	}
	fixed = rdmsr(MSR_APIC_BASE) & ~(u64)MODE_BITS;
	if (platform.has_x2apic)
		check_steps();
	check_reserved();
	check_disabled();
	/* Only while this CPU is not in x2APIC mode itself do the registers have a place. */
	apic_x2 = false;
	if (apic_strict)
		check_moved();
	apic_x2 = x2;
	apic_switch(x2);
	apic_enable();
}
