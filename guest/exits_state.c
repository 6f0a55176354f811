/* SPDX-License-Identifier: GPL-2.0-only */
/* What an exit must leave alone, and what an instruction that exits must still do exactly. */
#include "guest/exits.h"
#include "guest/rt/check.h"
#include "guest/rt/platform.h"
#include "guest/rt/testdev.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"

#define LEAF_FEATURES	   1
#define LEAF_1_ECX_OSXSAVE BIT(27)
#define PATTERN		   0x1122334455667788ull
#define STRING_LEN	   24

static void exit_often(u64 pio)
{
	for (unsigned int i = 0; i < 8; i++) {
		cpuid(0, 0);
		inb((u16)pio);
		rdmsr(MSR_APIC_BASE);
	}
}

/* The guest's own MSRs, each with a value that no host would have in it. */
static void check_msrs(u64 pio)
{
	static const struct {
		u32 msr;
		u64 value;
	} own[] = {
		{ MSR_SYSENTER_CS, 0x1234 },
		{ MSR_SYSENTER_ESP, 0x7ffffffff000 },
		{ MSR_SYSENTER_EIP, 0x7fffffffe000 },
		{ MSR_STAR, 0x0013000800000000 },
		{ MSR_LSTAR, 0x7fffffffd000 },
		{ MSR_CSTAR, 0x7fffffffc000 },
		{ MSR_SFMASK, 0x47700 },
		{ MSR_FS_BASE, 0x7fffffffb000 },
		{ MSR_GS_BASE, 0x7fffffffa000 },
		{ MSR_KERNEL_GS_BASE, 0x7fffffff9000 },
		{ MSR_PAT, 0x0001040600070406 },
	};
	u64 old[ARRAY_SIZE(own)];

	for (unsigned int i = 0; i < ARRAY_SIZE(own); i++) {
		old[i] = rdmsr(own[i].msr);
		wrmsr(own[i].msr, own[i].value);
	}
	exit_often(pio);
	for (unsigned int i = 0; i < ARRAY_SIZE(own); i++) {
		u64 now = rdmsr(own[i].msr);

		ktap_result(now == own[i].value, "MSR %#x survives exits", own[i].msr);
		if (now != own[i].value)
			ktap_note("wrote %#llx, read %#llx", (unsigned long long)own[i].value,
				  (unsigned long long)now);
		wrmsr(own[i].msr, old[i]);
	}
}

static void check_debug_registers(u64 pio)
{
	bool ok;

	write_dr0(0x1000);
	write_dr1(0x2000);
	write_dr2(0x3000);
	write_dr3(0x4000);
	exit_often(pio);
	ok = read_dr0() == 0x1000 && read_dr1() == 0x2000 && read_dr2() == 0x3000 &&
	     read_dr3() == 0x4000;
	ktap_result(ok, "debug registers survive exits");
	write_dr0(0);
	write_dr1(0);
	write_dr2(0);
	write_dr3(0);
}

static void check_register_halves(u64 pio)
{
	u64 rax = PATTERN, rbx = PATTERN, rcx = 0, rdx = PATTERN;

	__asm__ volatile("inb %w1, %b0" : "+a"(rax) : "d"(pio));
	ktap_expect_eq(rax >> 8, PATTERN >> 8, "IN AL leaves the rest of RAX alone");

	rax = PATTERN;
	__asm__ volatile("inl %w1, %%eax" : "+a"(rax) : "d"(pio & ~3ull));
	ktap_expect_eq(rax >> 32, 0, "IN EAX clears the upper half of RAX");

	rax = ~0xffffffffull;
	rcx = PATTERN << 32;
	__asm__ volatile("cpuid" : "+a"(rax), "+b"(rbx), "+c"(rcx), "+d"(rdx));
	ktap_expect_eq((rax | rbx | rcx | rdx) >> 32, 0, "CPUID clears the upper halves");

	rax = rdx = PATTERN;
	__asm__ volatile("rdmsr" : "+a"(rax), "+d"(rdx) : "c"((u64)MSR_APIC_BASE | PATTERN << 32));
	ktap_expect_eq((rax | rdx) >> 32, 0, "RDMSR clears the upper halves");
}

static void check_cpuid_follows_cr4(void)
{
	const char *name = "CPUID shows OSXSAVE exactly while CR4 has it";
	u64 cr4 = read_cr4();
	bool off, on;

	if (!platform.has_xsave) {
		ktap_skip("CPUID shows no XSAVE", "%s", name);
		return;
	}
	write_cr4(cr4 & ~CR4_OSXSAVE);
	off = cpuid(LEAF_FEATURES, 0).ecx & LEAF_1_ECX_OSXSAVE;
	write_cr4(cr4 | CR4_OSXSAVE);
	on = cpuid(LEAF_FEATURES, 0).ecx & LEAF_1_ECX_OSXSAVE;
	ktap_result(!off && on, "%s", name);
}

static void check_wide_io(void)
{
	outl(TESTDEV_BYTES, 0x04030201);
	ktap_result(inb(TESTDEV_BYTES) == 1 && inb(TESTDEV_BYTES + 1) == 2 &&
			    inb(TESTDEV_BYTES + 2) == 3 && inb(TESTDEV_BYTES + 3) == 4,
		    "OUT EAX is four bytes in order");
	outw(TESTDEV_BYTES + 1, 0x5566);
	ktap_expect_eq(inl(TESTDEV_BYTES), 0x04556601, "OUT AX changes two bytes");
}

/* Also backwards, which is how an emulation that forgets RFLAGS.DF is found. */
static void check_string_io(u64 pio)
{
	u8 out[STRING_LEN], in[STRING_LEN + 1];
	u64 src = (u64)(uintptr_t)out, dst = (u64)(uintptr_t)in, count = STRING_LEN;

	for (unsigned int i = 0; i < STRING_LEN; i++)
		out[i] = (u8)(0xa0 + i);
	__asm__ volatile("rep outsb" : "+S"(src), "+c"(count) : "d"(pio) : "memory");
	ktap_result(count == 0 && src == (u64)(uintptr_t)(out + STRING_LEN) &&
			    inb((u16)pio) == out[STRING_LEN - 1],
		    "REP OUTSB writes all bytes and advances RSI");

	memset(in, 0, sizeof(in));
	count = STRING_LEN;
	__asm__ volatile("rep insb" : "+D"(dst), "+c"(count) : "d"(pio) : "memory");
	ktap_result(count == 0 && dst == (u64)(uintptr_t)(in + STRING_LEN) &&
			    in[0] == out[STRING_LEN - 1] && in[STRING_LEN - 1] == in[0] &&
			    in[STRING_LEN] == 0,
		    "REP INSB reads all bytes and advances RDI");

	dst = (u64)(uintptr_t)(in + STRING_LEN);
	count = 2;
	outb((u16)pio, 0x77);
	__asm__ volatile("std; rep insb; cld" : "+D"(dst), "+c"(count) : "d"(pio) : "memory");
	ktap_result(count == 0 && dst == (u64)(uintptr_t)(in + STRING_LEN - 2) &&
			    in[STRING_LEN] == 0x77 && in[STRING_LEN - 1] == 0x77,
		    "REP INSB goes backwards when DF says so");

	count = 0;
	dst = (u64)(uintptr_t)in;
	__asm__ volatile("rep insb" : "+D"(dst), "+c"(count) : "d"(pio) : "memory");
	ktap_expect_eq(dst, (u64)(uintptr_t)in, "REP INSB with RCX = 0 does nothing");
}

void exits_check_state(u64 pio)
{
	const char *no_device = "no test device";

	check_msrs(pio);
	check_debug_registers(pio);
	check_register_halves(pio);
	check_cpuid_follows_cr4();

	outb((u16)pio, 0x5a);
	if (inb((u16)pio) != 0x5a)
		ktap_skip(no_device, "string port I/O");
	else
		check_string_io(pio);
	if (!testdev_present())
		ktap_skip(no_device, "wide port I/O");
	else
		check_wide_io();
}
