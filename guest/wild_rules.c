/* SPDX-License-Identifier: GPL-2.0-only */
/* Values that a CPU refuses, and accesses to addresses where nothing is. */
#include "guest/rt/check.h"
#include "guest/rt/platform.h"
#include "guest/rt/trap.h"
#include "guest/wild.h"
#include "hv/host/print.h"
#include "hv/host/x86.h"

#define LEAF_FEATURES	   1
#define LEAF_1_ECX_VMX	   BIT(5)
#define LEAF_1_ECX_SMX	   BIT(6)
#define LEAF_ADDRESS_SIZES 0x80000008
#define ALL_ONES	   (~0ull)

/* A write that must raise GP: the register as it is, with some bits changed. */
struct refused {
	const char *name;
	void (*fn)(void *flip); /* writes the register with these bits flipped, then restores it */
	u64 flip;
};

#define FLIPPER(name, read, write)                                                                 \
	static void flip_##name(void *flip)                                                        \
	{                                                                                          \
		u64 old = read;                                                                    \
		u64 v = old ^ (u64)(uintptr_t)flip;                                                \
                                                                                                   \
		write;                                                                             \
		v = old;                                                                           \
		write;                                                                             \
	}

FLIPPER(cr0, read_cr0(), write_cr0(v))
FLIPPER(cr3, read_cr3(), write_cr3(v))
FLIPPER(cr4, read_cr4(), write_cr4(v))
FLIPPER(efer, rdmsr(MSR_EFER), wrmsr(MSR_EFER, v))
FLIPPER(pat, rdmsr(MSR_PAT), wrmsr(MSR_PAT, v))
FLIPPER(apic_base, rdmsr(MSR_APIC_BASE), wrmsr(MSR_APIC_BASE, v))
FLIPPER(fs_base, rdmsr(MSR_FS_BASE), wrmsr(MSR_FS_BASE, v))
FLIPPER(dr7, read_dr7(), write_dr7(v))
FLIPPER(dr6, read_dr6(), write_dr6(v))

static void check_refused(const struct refused *r)
{
	char name[80];

	fmt_print(name, sizeof(name), "%s raises GP", r->name);
	check_fault(
		&(struct fault_case){ name, r->fn, (void *)(uintptr_t)r->flip, EXC_GP, 0, true });
}

void wild_combos(void)
{
	static const struct refused always[] = {
		{ "CR0.PG clear in 64-bit mode", flip_cr0, CR0_PG },
		{ "CR0.PE clear with paging", flip_cr0, CR0_PE },
		{ "CR0.NW without CR0.CD", flip_cr0, CR0_NW },
		{ "CR0 bit 32", flip_cr0, BIT(32) },
		{ "CR0 bit 63", flip_cr0, BIT(63) },
		{ "CR4.PAE clear in long mode", flip_cr4, CR4_PAE },
		{ "CR4.LA57 changed in long mode", flip_cr4, CR4_LA57 },
		{ "CR4 bit 15", flip_cr4, BIT(15) },
		{ "CR4 bit 31", flip_cr4, BIT(31) },
		{ "CR4 bit 63", flip_cr4, BIT(63) },
		{ "EFER.LME clear with paging", flip_efer, EFER_LME },
		{ "EFER bit 1", flip_efer, BIT(1) },
		{ "EFER bit 63", flip_efer, BIT(63) },
		{ "memory type 2 in the PAT", flip_pat, 0x04 },
		{ "IA32_APIC_BASE bit 0", flip_apic_base, BIT(0) },
		{ "a non-canonical FS base", flip_fs_base, BIT(63) },
		{ "DR7 bit 32", flip_dr7, BIT(32) },
		{ "DR6 bit 32", flip_dr6, BIT(32) },
	};
	u32 features = cpuid(LEAF_FEATURES, 0).ecx;
	u32 width = cpuid(LEAF_ADDRESS_SIZES, 0).eax & 0xff;

	for (unsigned int i = 0; i < ARRAY_SIZE(always); i++)
		check_refused(&always[i]);
	if (!(features & LEAF_1_ECX_VMX))
		check_refused(&(struct refused){ "CR4.VMXE without VMX", flip_cr4, CR4_VMXE });
	if (!(features & LEAF_1_ECX_SMX))
		check_refused(&(struct refused){ "CR4.SMXE without SMX", flip_cr4, CR4_SMXE });
	if (width < 52)
		check_refused(&(struct refused){ "a CR3 beyond the physical address width",
						 flip_cr3, BIT(width) });
}

struct access {
	u64 address;
	u64 got[4];
};

static void access_all_sizes(void *arg)
{
	struct access *a = arg;
	volatile void *p = (volatile void *)(uintptr_t)a->address;

	*(volatile u8 *)p = 0x12;
	*(volatile u16 *)p = 0x1234;
	*(volatile u32 *)p = 0x12345678;
	*(volatile u64 *)p = 0x123456789abcdef0;
	a->got[0] = *(volatile u8 *)p;
	a->got[1] = *(volatile u16 *)p;
	a->got[2] = *(volatile u32 *)p;
	a->got[3] = *(volatile u64 *)p;
}

void wild_hole(u64 address)
{
	const char *name = "where no RAM is, writes vanish and reads give ones";
	struct access a = { .address = address };
	bool ones = true;
	int vector = try_call(access_all_sizes, &a, NULL);

	for (unsigned int i = 0; i < ARRAY_SIZE(a.got); i++)
		ones &= a.got[i] == ALL_ONES >> (64 - (8 << i));
	if (platform.tcg) {
		ktap_skip("QEMU's interpreter reads zeroes", "%s", name);
		return;
	}
	ktap_result(vector == NO_FAULT && ones, "%s", name);
	if (vector != NO_FAULT || !ones)
		ktap_note("%s; read %#llx, %#llx, %#llx, %#llx", trap_name(vector),
			  (unsigned long long)a.got[0], (unsigned long long)a.got[1],
			  (unsigned long long)a.got[2], (unsigned long long)a.got[3]);
}
