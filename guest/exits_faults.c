/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Exceptions that a hypervisor lets the CPU deliver, and the instructions that only look as if they
 * belonged to it: each must fault exactly as on a bare CPU.
 */
#include "guest/exits.h"
#include "guest/rt/check.h"
#include "guest/rt/layout.h"
#include "guest/rt/trap.h"
#include "hv/host/x86.h"

#define NON_CANONICAL 0x8000000000000000ull
#define UNMAPPED      0x0000400000000123ull /* no page directory pointer: not present */
#define READ_ONLY     0x1		    /* what a write protection fault adds to the code */
#define PF_WRITE      0x2
#define SEL_BEYOND    0xfff8 /* beyond the limit of the GDT */
#define UNKNOWN_MSR   0xdeadbeef

static void divide_by_zero(void *arg)
{
	__asm__ volatile("xor %%edx, %%edx; xor %%ecx, %%ecx; div %%ecx" ::: "eax", "ecx", "edx");
}

static void undefined(void *arg)
{
	__asm__ volatile("ud2");
}

static void read_byte(void *arg)
{
	(void)*(volatile u8 *)arg;
}

static void write_byte(void *arg)
{
	*(volatile u8 *)arg = 0;
}

static void read_through_rbp(void *arg)
{
	__asm__ volatile("push %%rbp; mov %0, %%rbp; mov (%%rbp), %%eax; pop %%rbp" ::"r"(arg)
			 : "eax", "memory");
}

static void load_ds(void *arg)
{
	__asm__ volatile("mov %w0, %%ds" ::"r"(arg));
}

static void fpu_when_switched_off(void *arg)
{
	write_cr0(read_cr0() | CR0_TS);
	__asm__ volatile("fninit");
}

/* A control register that takes the value gets its old one back, so that the checks can go on. */
static void set_cr8(void *arg)
{
	__asm__ volatile("mov %0, %%cr8" ::"r"(arg));
	__asm__ volatile("mov %0, %%cr8" ::"r"(0ul));
}

static void set_cr0(void *arg)
{
	u64 old = read_cr0();

	write_cr0((u64)(uintptr_t)arg);
	write_cr0(old);
}

static void set_cr4(void *arg)
{
	u64 old = read_cr4();

	write_cr4((u64)(uintptr_t)arg);
	write_cr4(old);
}

static void read_msr(void *arg)
{
	rdmsr((u32)(uintptr_t)arg);
}

static void write_unknown_msr(void *arg)
{
	wrmsr(UNKNOWN_MSR, 0);
}

static void write_non_canonical_lstar(void *arg)
{
	wrmsr(MSR_LSTAR, NON_CANONICAL);
}

#define VALUE(x) ((void *)(uintptr_t)(x))

/* The members of struct fault_case in their order. */
/* clang-format off */
#define UD(text, f)	   { text " raises UD", f, NULL, EXC_UD, 0, false }
#define GP(text, f, a)	   { text " raises GP(0)", f, VALUE(a), EXC_GP, 0, false }
#define GP_LAX(text, f, a) { text " raises GP(0)", f, VALUE(a), EXC_GP, 0, true }
/* clang-format on */

static const struct fault_case plain[] = {
	{ .name = "a division by zero raises DE", .fn = divide_by_zero, .vector = EXC_DE },
	UD("UD2", undefined),
	GP("a read at a non-canonical address", read_byte, NON_CANONICAL),
	{ .name = "a stack read at a non-canonical address raises SS(0)",
	  .fn = read_through_rbp,
	  .arg = VALUE(NON_CANONICAL),
	  .vector = EXC_SS,
	  .not_in_tcg = true },
	{ .name = "a segment that is not present raises NP(selector)",
	  .fn = load_ds,
	  .arg = VALUE(SEL_NOT_PRESENT),
	  .vector = EXC_NP,
	  .error = SEL_NOT_PRESENT },
	{ .name = "a selector beyond the GDT raises GP(selector)",
	  .fn = load_ds,
	  .arg = VALUE(SEL_BEYOND),
	  .vector = EXC_GP,
	  .error = SEL_BEYOND },
	GP_LAX("CR8 above 15", set_cr8, 16),
	GP_LAX("a reserved bit of CR4", set_cr4, BIT(31) | CR4_PAE),
	GP_LAX("CR4.PAE clear in long mode", set_cr4, 0),
	GP_LAX("CR0.PG without CR0.PE", set_cr0, CR0_PG | CR0_ET),
	GP_LAX("CR0.NW without CR0.CD", set_cr0, CR0_PG | CR0_PE | CR0_ET | CR0_NW),
	GP_LAX("reading an unknown MSR", read_msr, UNKNOWN_MSR),
	GP_LAX("writing an unknown MSR", write_unknown_msr, 0),
	GP_LAX("a non-canonical address for LSTAR", write_non_canonical_lstar, 0),
};

static void check_page_fault(const char *name, void (*fn)(void *), u64 address, u64 error)
{
	struct fault f;
	bool ok;

	try_call(fn, VALUE(address), &f);
	ok = f.vector == EXC_PF && f.error == error && f.cr2 == address;
	ktap_result(ok, "%s", name);
	if (!ok)
		ktap_note("got %s, error code %#llx, CR2 %#llx", trap_name(f.vector),
			  (unsigned long long)f.error, (unsigned long long)f.cr2);
}

static void check_write_protection(void)
{
	extern u64 boot_pd[];
	u64 address = GIB(3); /* RAM or not: the walk ends before it matters */
	u64 *pde = &boot_pd[address / MIB(2)];
	u64 old = *pde;

	*pde &= ~0x2ull;
	invlpg(VALUE(address));
	check_page_fault("a write to a read-only page raises PF with its code and CR2", write_byte,
			 address, READ_ONLY | PF_WRITE);
	*pde = old;
	invlpg(VALUE(address));
}

void exits_check_faults(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(plain); i++)
		check_fault(&plain[i]);
	check_page_fault("a read of an absent page raises PF with its code and CR2", read_byte,
			 UNMAPPED, 0);
	check_page_fault("a write to an absent page raises PF with its code and CR2", write_byte,
			 UNMAPPED, PF_WRITE);
	check_write_protection();

	check_fault(&(struct fault_case){
		.name = "the FPU with CR0.TS set raises NM",
		.fn = fpu_when_switched_off,
		.vector = EXC_NM,
	});
	write_cr0(read_cr0() & ~CR0_TS);
	check_vmx_instructions();
}
