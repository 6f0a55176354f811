/* SPDX-License-Identifier: GPL-2.0-only */
/* Random VMCALLs, MSRs, ports and control registers. The guest undoes what it can at once. */
#include "guest/rt/check.h"
#include "guest/rt/platform.h"
#include "guest/rt/trap.h"
#include "guest/wild.h"
#include "hv/host/random.h"
#include "hv/host/x86.h"

#define MSR_BIOS_UPDATE_TRIGGER 0x79

enum { STREAM_VMCALL, STREAM_MSR, STREAM_PORT, STREAM_CR };

struct range {
	u64 first, last;
};

static bool overlaps(const struct range *r, unsigned int nr, u64 first, u64 last)
{
	for (unsigned int i = 0; i < nr; i++) {
		if (first <= r[i].last && last >= r[i].first)
			return true;
	}
	return false;
}

/* Zero, ones, one bit, a small number, anything. */
static u64 odd_value(struct rng *rng)
{
	switch (rng_below(rng, 5)) {
	case 0: return 0;
	case 1: return ~0ull;
	case 2: return BIT(rng_below(rng, 64));
	case 3: return rng_below(rng, 256);
	default: return rng_next(rng);
	}
}

/* --- VMCALL --------------------------------------------------------------------------------------
 */

static void do_vmcall(void *arg)
{
	const u64 *v = arg;
	u64 rax = v[0], rbx = v[1], rcx = v[2], rdx = v[3], rsi = v[4], rdi = v[5];

	__asm__ volatile("vmcall"
			 : "+a"(rax), "+b"(rbx), "+c"(rcx), "+d"(rdx), "+S"(rsi),
			   "+D"(rdi)::"memory", "cc");
}

void wild_vmcalls(u64 n, u64 seed)
{
	struct rng rng;
	u64 faults = 0;

	rng_init(&rng, seed, STREAM_VMCALL);
	for (u64 i = 0; i < n; i++) {
		u64 v[6];

		for (unsigned int r = 0; r < ARRAY_SIZE(v); r++)
			v[r] = odd_value(&rng);
		faults += try_call(do_vmcall, v, NULL) != NO_FAULT;
	}
	ktap_result(true, "random VMCALLs are survived");
	ktap_note("%llu VMCALLs, %llu faults", (unsigned long long)n, (unsigned long long)faults);
}

/* --- MSRs ----------------------------------------------------------------------------------------
 */

static u32 odd_msr(struct rng *rng)
{
	static const struct range known[] = {
		{ 0, 0x1ff },
		{ 0x200, 0x2ff },
		{ 0x300, 0x4ff },
		{ 0x480, 0x4af },
		{ 0x560, 0x6ff },
		{ 0x800, 0x8ff },
		{ 0xc00, 0xdff },
		{ 0x40000000, 0x400001ff },
		{ 0xc0000080, 0xc0000103 },
		{ 0xc0010000, 0xc00101ff },
		{ 0, 0xffffffff },
	};
	const struct range *r = &known[rng_below(rng, ARRAY_SIZE(known))];

	return (u32)(r->first + rng_below(rng, r->last - r->first + 1));
}

/*
 * Not written: what would put this CPU to sleep or reset it (the x2APIC's ICR and self-IPI), and,
 * where no hypervisor is between, what loads microcode. QEMU's interpreter lets EFER leave long
 * mode.
 */
static bool msr_is_written(u32 msr)
{
	static const struct range never[] = { { 0x830, 0x830 }, { 0x83f, 0x83f } };

	if (overlaps(never, ARRAY_SIZE(never), msr, msr))
		return false;
	if (msr == MSR_EFER && platform.tcg)
		return false;
	return msr != MSR_BIOS_UPDATE_TRIGGER || platform.hypervised;
}

void wild_msrs(u64 n, u64 seed)
{
	u64 reads = 0, writes = 0;
	struct rng rng;

	rng_init(&rng, seed, STREAM_MSR);
	for (u64 i = 0; i < n; i++) {
		u32 msr = odd_msr(&rng);
		u64 old, value = odd_value(&rng);
		bool readable = !rdmsr_safe(msr, &old);

		reads += readable;
		if (!msr_is_written(msr))
			continue;
		if (readable && rng_below(&rng, 2))
			value = old ^ BIT(rng_below(&rng, 64));
		writes += !wrmsr_safe(msr, value);
		if (readable)
			wrmsr_safe(msr, old);
	}
	ktap_result(true, "random MSR accesses are survived");
	ktap_note("%llu MSRs, %llu reads and %llu writes accepted", (unsigned long long)n,
		  (unsigned long long)reads, (unsigned long long)writes);
}

/* --- ports ---------------------------------------------------------------------------------------
 */

/* Never written: what ends or resets a machine or its emulator, switches A20 off, or prints. */
static const struct range deadly_ports[] = {
	{ 0x60, 0x60 },	    { 0x64, 0x64 },	{ 0x92, 0x92 },	    { 0xe9, 0xe9 },
	{ 0xf4, 0xf7 },	    { 0x3f8, 0x3ff },	{ 0x400, 0x403 },   { 0x501, 0x504 },
	{ 0x600, 0x63f },   { 0xcf9, 0xcf9 },	{ 0xb000, 0xb03f }, { 0x8900, 0x8900 },
	{ 0x8a00, 0x8a01 }, { 0x2000, 0x2003 },
};

/* QEMU 7.2 aborts on a wide read that overlaps a UART. */
static const struct range uarts[] = { { 0x2e8, 0x2ff }, { 0x3e8, 0x3ff } };

static u16 odd_port(struct rng *rng)
{
	static const struct range known[] = {
		{ 0, 0xff },	  { 0x100, 0x3ff },   { 0x400, 0x5ff },
		{ 0xcf0, 0xcff }, { 0x2000, 0x20ff }, { 0, 0xffff },
	};
	const struct range *r = &known[rng_below(rng, ARRAY_SIZE(known))];

	return (u16)(r->first + rng_below(rng, r->last - r->first + 1));
}

static u32 read_port(u16 port, unsigned int size)
{
	switch (size) {
	case 1: return inb(port);
	case 2: {
		u16 v;

		__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
		return v;
	}
	default: return inl(port);
	}
}

static void write_port(u16 port, unsigned int size, u32 value)
{
	switch (size) {
	case 1: outb(port, (u8)value); break;
	case 2: outw(port, (u16)value); break;
	default: outl(port, value); break;
	}
}

void wild_ports(u64 n, u64 seed)
{
	u64 ones = 0, reads = 0, writes = 0;
	struct rng rng;

	rng_init(&rng, seed, STREAM_PORT);
	for (u64 i = 0; i < n; i++) {
		u16 port = odd_port(&rng);
		unsigned int size = 1u << rng_below(&rng, 3);
		u32 mask = (u32)(BIT(8 * size) - 1), value = (u32)odd_value(&rng);

		if (platform.tcg && overlaps(uarts, ARRAY_SIZE(uarts), port, port + size - 1u))
			continue;
		ones += read_port(port, size) == mask;
		reads++;
		if (overlaps(deadly_ports, ARRAY_SIZE(deadly_ports), port, port + size - 1u))
			continue;
		write_port(port, size, value);
		writes++;
	}
	ktap_result(true, "random port accesses are survived");
	ktap_note("%llu reads, %llu of them all ones, %llu writes", (unsigned long long)reads,
		  (unsigned long long)ones, (unsigned long long)writes);
}

/* --- control registers ---------------------------------------------------------------------------
 */

struct cr_write {
	unsigned int cr;
	u64 value;
};

static void write_and_restore(void *arg)
{
	const struct cr_write *w = arg;
	u64 old;

	switch (w->cr) {
	case 0:
		old = read_cr0();
		write_cr0(w->value);
		write_cr0(old);
		break;
	case 4:
		old = read_cr4();
		write_cr4(w->value);
		write_cr4(old);
		break;
	default:
		__asm__ volatile("mov %%cr8, %0; mov %1, %%cr8; mov %0, %%cr8"
				 : "=&r"(old)
				 : "r"(w->value));
	}
}

void wild_crs(u64 n, u64 seed)
{
	static const unsigned int numbers[] = { 0, 4, 8 };
	const char *name = "random control register writes are survived";
	u64 accepted = 0, cr0 = read_cr0(), cr4 = read_cr4();
	struct rng rng;

	if (platform.tcg) {
		ktap_skip("QEMU's interpreter takes values that stop it", "%s", name);
		return;
	}
	rng_init(&rng, seed, STREAM_CR);
	for (u64 i = 0; i < n; i++) {
		struct cr_write w = { .cr = numbers[rng_below(&rng, ARRAY_SIZE(numbers))] };

		w.value = w.cr == 0 ? cr0 : w.cr == 4 ? cr4 : 0;
		if (rng_below(&rng, 8) == 0) {
			w.value = rng_next(&rng);
		} else {
			for (u64 bits = rng_below(&rng, 3) + 1; bits; bits--)
				w.value ^= BIT(rng_below(&rng, rng_below(&rng, 8) ? 32 : 64));
		}
		accepted += try_call(write_and_restore, &w, NULL) == NO_FAULT;
	}
	ktap_result(read_cr0() == cr0 && read_cr4() == cr4, "%s", name);
	ktap_note("%llu writes, %llu accepted", (unsigned long long)n,
		  (unsigned long long)accepted);
}
