/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shows that the FPU is the guest's own: every CPU loads all its registers (x87, XMM, YMM, ZMM and
 * mask registers, as far as the CPU has them) with its own pseudo-random values, exits to the
 * hypervisor in many ways, and compares. Then the rules of XCR0, and FPU exceptions.
 *
 * Exit status: 0 when every check held, 1 otherwise.
 */
#include "guest/fpu.h"
#include "guest/rt/check.h"
#include "guest/rt/cpu.h"
#include "guest/rt/platform.h"
#include "guest/rt/program.h"
#include "guest/rt/ram.h"
#include "guest/rt/smp.h"
#include "hv/host/random.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"

#define ROUNDS_MAX	 4096
#define PORT_DELAY	 0x80
#define ST_SIZE		 10	/* bytes of a register in its 16-byte slot */
#define FCW_DOUBLE_UP	 0x0a7f /* all masked, 53 bits, round up: not the reset value */
#define FSW_TOP_5	 0x2800 /* top of stack 5, nothing pending */
#define MXCSR_ROUND_DOWN 0x3f80 /* all masked, round down: not the reset value */
#define EXPONENT_ONE	 0x3fff
#define INTEGER_BIT	 BIT(63)
#define TESTED		 (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512)

/* The legacy area of FXSAVE and XSAVE, and XSAVE's header. */
struct fpu_image {
	u16 fcw, fsw;
	u8 ftw, reserved0;
	u16 fop;
	u64 fip, fdp;
	u32 mxcsr, mxcsr_mask;
	u8 st[8][16];
	u8 xmm[16][16];
	u8 reserved1[96];
	u64 xstate_bv, xcomp_bv;
	u64 reserved2[6];
	u8 extended[]; /* where the components are is in CPUID */
};

_Static_assert(offsetof(struct fpu_image, st) == 32, "x87 registers start at 32");
_Static_assert(offsetof(struct fpu_image, xmm) == 160, "XMM registers start at 160");
_Static_assert(offsetof(struct fpu_image, xstate_bv) == 512, "the XSAVE header is at 512");
_Static_assert(offsetof(struct fpu_image, extended) == 576, "extended components start at 576");

static const struct {
	const char *name;
	unsigned int bit; /* of XCR0 */
} components[] = {
	{ "x87 registers", 0 },
	{ "XMM registers", 1 },
	{ "upper halves of the YMM registers", 2 },
	{ "AVX-512 mask registers", 5 },
	{ "upper halves of ZMM0-15", 6 },
	{ "ZMM16-31", 7 },
};

static u64 opt_rounds = 64, opt_seed = 1;
static u64 mask; /* components that are tested: 0 without XSAVE, then FXSAVE is used */

static struct cpu_state {
	struct fpu_image *loaded, *saved;
	u64 fresh; /* pages that were never touched, one a round */
	u64 nr_wrong[ARRAY_SIZE(components)];
} cpus[GUEST_MAX_CPUS];

static void load(const struct fpu_image *image)
{
	if (mask)
		__asm__ volatile("xrstor64 (%0)" ::"r"(image), "a"((u32)mask),
				 "d"((u32)(mask >> 32))
				 : "memory");
	else
		__asm__ volatile("fxrstor64 (%0)" ::"r"(image) : "memory");
}

static void save(struct fpu_image *image)
{
	if (mask)
		__asm__ volatile("xsave64 (%0)" ::"r"(image), "a"((u32)mask), "d"((u32)(mask >> 32))
				 : "memory");
	else
		__asm__ volatile("fxsave64 (%0)" ::"r"(image) : "memory");
}

static u8 *component_at(struct fpu_image *image, unsigned int bit, u32 *size)
{
	struct cpuid_regs r = cpuid(LEAF_XSAVE, bit);

	*size = r.eax;
	return (u8 *)image + r.ebx;
}

static void fill_random(u8 *p, u64 len, struct rng *rng)
{
	for (u64 i = 0; i < len; i++)
		p[i] = (u8)rng_next(rng);
}

/* x87 registers get finite numbers: some CPUs change the bits of invalid ones. */
static void fill(struct fpu_image *image, struct rng *rng)
{
	memset(image, 0, sizeof(*image));
	image->fcw = FCW_DOUBLE_UP;
	image->fsw = FSW_TOP_5;
	image->ftw = 0xff;
	image->mxcsr = MXCSR_ROUND_DOWN;
	image->xstate_bv = mask;
	for (unsigned int i = 0; i < 8; i++) {
		u64 significand = rng_next(rng) | INTEGER_BIT;
		u16 exponent = (u16)(EXPONENT_ONE + rng_below(rng, 1000));

		memcpy(image->st[i], &significand, sizeof(significand));
		memcpy(image->st[i] + sizeof(significand), &exponent, sizeof(exponent));
	}
	fill_random(image->xmm[0], sizeof(image->xmm), rng);
	for (unsigned int bit = 2; bit < 8; bit++) {
		u32 size;
		u8 *p;

		if (!(mask & BIT(bit)))
			continue;
		p = component_at(image, bit, &size);
		fill_random(p, size, rng);
	}
}

static bool x87_same(const struct fpu_image *a, const struct fpu_image *b)
{
	if (a->fcw != b->fcw || a->fsw != b->fsw || a->ftw != b->ftw)
		return false;
	for (unsigned int i = 0; i < 8; i++) {
		if (memcmp(a->st[i], b->st[i], ST_SIZE))
			return false;
	}
	return true;
}

static bool same(struct fpu_image *a, struct fpu_image *b, unsigned int bit)
{
	const u8 *in_a, *in_b;
	u32 size;

	if (bit == 0)
		return x87_same(a, b);
	if (bit == 1)
		return a->mxcsr == b->mxcsr && !memcmp(a->xmm, b->xmm, sizeof(a->xmm));
	in_a = component_at(a, bit, &size);
	in_b = component_at(b, bit, &size);
	return !memcmp(in_a, in_b, size);
}

static void exit_in_many_ways(u64 fresh_page)
{
	u64 cr8;

	cpuid(0, 0);
	outb(PORT_DELAY, 0);
	inb(PORT_DELAY);
	rdmsr(MSR_APIC_BASE);
	*(volatile u8 *)(uintptr_t)fresh_page = 1;
	__asm__ volatile("mov %%cr8, %0; mov %0, %%cr8" : "=r"(cr8));
	if (mask)
		xsetbv(0, mask);
	write_cr0(read_cr0() | CR0_CD);
	write_cr0(read_cr0() & ~CR0_CD);
	__asm__ volatile("wbinvd" ::: "memory");
}

static void rounds(void *arg)
{
	u32 me = cpu_index();
	struct cpu_state *s = &cpus[me];
	struct rng rng;

	rng_init(&rng, opt_seed, me);
	if (mask)
		xsetbv(0, mask);
	for (u64 r = 0; r < opt_rounds; r++) {
		fill(s->loaded, &rng);
		load(s->loaded);
		exit_in_many_ways(s->fresh + r * PAGE_SIZE);
		save(s->saved);
		for (unsigned int c = 0; c < ARRAY_SIZE(components); c++) {
			if (c > 1 && !(mask & BIT(components[c].bit)))
				continue;
			if (!same(s->loaded, s->saved, components[c].bit))
				s->nr_wrong[c]++;
		}
	}
	__asm__ volatile("fninit");
}

static void report(void)
{
	for (unsigned int c = 0; c < ARRAY_SIZE(components); c++) {
		u64 wrong = 0;

		if (c > 1 && !(mask & BIT(components[c].bit))) {
			ktap_skip("CPUID shows no such state", "%s survive exits",
				  components[c].name);
			continue;
		}
		for (u32 cpu = 0; cpu < smp_nr_cpus; cpu++)
			wrong += cpus[cpu].nr_wrong[c];
		ktap_result(!wrong, "%s survive exits", components[c].name);
		if (wrong)
			ktap_note("wrong in %llu of %llu rounds", (unsigned long long)wrong,
				  (unsigned long long)(opt_rounds * smp_nr_cpus));
	}
}

int guest_main(void)
{
	static const struct option options[] = {
		{ "rounds", &opt_rounds, 1, ROUNDS_MAX, NULL, "load, exit, compare: how often" },
		{ "seed", &opt_seed, 0, UINT64_MAX, NULL, "of the pseudo-random values" },
	};

	options_parse("fpu", options, ARRAY_SIZE(options));
	smp_start();
	if (platform.has_xsave)
		mask = xcr0_supported() & TESTED;
	for (u32 cpu = 0; cpu < smp_nr_cpus; cpu++) {
		cpus[cpu].loaded = ram_take(PAGE_SIZE, PAGE_SIZE);
		cpus[cpu].saved = ram_take(PAGE_SIZE, PAGE_SIZE);
		cpus[cpu].fresh = (u64)(uintptr_t)ram_take(opt_rounds * PAGE_SIZE, PAGE_SIZE);
	}
	check_begin("fpu");
	smp_run(rounds, NULL);
	report();
	fpu_check_xcr0();
	fpu_check_exceptions();
	return check_end();
}
