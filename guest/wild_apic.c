/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random accesses to the local APIC: instructions of every form at any offset of its page, MSRs,
 * changes of mode and place. What is read must come from registers: never a byte of the memory that
 * the hypervisor may have behind them, which it fills with RAW.
 *
 * Two ways: accesses that a guest survives, and any at all: random code, INIT to oneself, registers
 * moved onto the program.
 */
#include "guest/rt/check.h"
#include "guest/rt/cpu.h"
#include "guest/rt/lapic.h"
#include "guest/rt/platform.h"
#include "guest/rt/ram.h"
#include "guest/rt/smp.h"
#include "guest/rt/trap.h"
#include "guest/wild.h"
#include "hv/host/random.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"

#define RAW	      0xa5
#define STREAM	      0x40
#define MAX_CPUS      8
#define CODE_SIZE     32
#define APIC_BASE_BSP BIT(8)
#define ELSEWHERE     0xfed40000ull
#define XCHG	      0x87
#define LODS	      0xad
#define MOVS	      0xa5
#define MAX_REPS      4
#define MOST_ACCESS   32 /* bytes that one instruction touches at most */
#define WINDOW_RATE   16 /* one access in so many is followed by taking interrupts */

enum form_flags {
	READS = 1,
	WRITES = 2,
	SIZED = 4, /* 2, 4, 8 bytes by prefix, 1 by the opcode's lowest bit */
	IMM = 8,   /* an immediate as wide as the operand, but 4 at most */
	IMM8 = 16,
	STRING = 32,  /* no ModRM; REP is possible */
	LOCKS = 64,   /* LOCK is possible */
	MOFFS = 128,  /* the address is in the instruction */
	SHOWS = 256,  /* afterwards RAX, XMM0 or data[] is what was read */
	SOURCE = 512, /* the APIC is at RSI */
};

struct form {
	u8 prefix, escape; /* 66 or F3; 0F. 0: none */
	u8 opcode;
	u8 reg; /* in ModRM: the register, or the rest of the opcode */
	u8 size;
	u16 flags;
};

#define MODIFIES (READS | WRITES | SIZED)

/* CMP does not write. */
#define ALU(n)                                                                                     \
	{ 0, 0, 8 * (n) + 1, 0, 0, (n) == 7 ? READS | SIZED : MODIFIES | LOCKS },                  \
		{ 0, 0, 8 * (n) + 3, 0, 0, READS | SIZED },                                        \
		{ 0, 0, 0x81, n, 0, ((n) == 7 ? READS | SIZED : MODIFIES) | IMM },                 \
	{                                                                                          \
		0, 0, 0x83, n, 0, ((n) == 7 ? READS | SIZED : MODIFIES | LOCKS) | IMM8             \
	}

/* clang-format off */
static const struct form forms[] = {
	{ 0, 0, 0x8b, 0, 0, READS | SIZED | SHOWS },
	{ 0, 0, 0x89, 0, 0, WRITES | SIZED },
	{ 0, 0, 0xc7, 0, 0, WRITES | SIZED | IMM },
	{ 0, 0, 0xa1, 0, 0, READS | SIZED | MOFFS | SHOWS },
	{ 0, 0, 0xa3, 0, 0, WRITES | SIZED | MOFFS },
	{ 0, 0, XCHG, 0, 0, MODIFIES | SHOWS },
	ALU(0), ALU(1), ALU(2), ALU(3), ALU(4), ALU(5), ALU(6), ALU(7),
	{ 0, 0, 0x85, 0, 0, READS | SIZED },		/* TEST */
	{ 0, 0, 0xf7, 0, 0, READS | SIZED | IMM },
	{ 0, 0, 0xf7, 2, 0, MODIFIES | LOCKS },		/* NOT, NEG, INC, DEC */
	{ 0, 0, 0xf7, 3, 0, MODIFIES | LOCKS },
	{ 0, 0, 0xff, 0, 0, MODIFIES | LOCKS },
	{ 0, 0, 0xff, 1, 0, MODIFIES | LOCKS },
	{ 0, 0x0f, 0xb6, 0, 1, READS | SHOWS },		/* MOVZX, MOVSX, MOVSXD */
	{ 0, 0x0f, 0xb7, 0, 2, READS | SHOWS },
	{ 0, 0x0f, 0xbe, 0, 1, READS | SHOWS },
	{ 0, 0x0f, 0xbf, 0, 2, READS | SHOWS },
	{ 0, 0, 0x63, 0, 4, READS | SHOWS },
	{ 0, 0x0f, 0xc3, 0, 4, WRITES },		/* MOVNTI */
	{ 0, 0x0f, 0x10, 0, 16, READS | SHOWS },	/* MOVUPS, MOVAPS, MOVDQA, MOVDQU */
	{ 0, 0x0f, 0x11, 0, 16, WRITES },
	{ 0, 0x0f, 0x28, 0, 16, READS | SHOWS },
	{ 0, 0x0f, 0x29, 0, 16, WRITES },
	{ 0x66, 0x0f, 0x6f, 0, 16, READS | SHOWS },
	{ 0x66, 0x0f, 0x7f, 0, 16, WRITES },
	{ 0xf3, 0x0f, 0x6f, 0, 16, READS | SHOWS },
	{ 0xf3, 0x0f, 0x7f, 0, 16, WRITES },
	{ 0x66, 0x0f, 0x6e, 0, 4, READS | SHOWS },	/* MOVD, MOVQ */
	{ 0x66, 0x0f, 0x7e, 0, 4, WRITES },
	{ 0xf3, 0x0f, 0x7e, 0, 8, READS | SHOWS },
	{ 0x66, 0x0f, 0xd6, 0, 8, WRITES },
	{ 0, 0, 0xab, 0, 0, WRITES | SIZED | STRING },	/* STOS, LODS, MOVS to and from */
	{ 0, 0, LODS, 0, 0, READS | SIZED | STRING | SHOWS | SOURCE },
	{ 0, 0, MOVS, 0, 0, WRITES | SIZED | STRING },
	{ 0, 0, MOVS, 0, 0, READS | SIZED | STRING | SHOWS | SOURCE },
};
/* clang-format on */

struct wild {
	struct rng rng;
	u8 code[CODE_SIZE];
	u8 data[2 * MOST_ACCESS] __aligned(16); /* the other operand of MOVS, XMM0 */
	u64 address, value, count;
	u64 base;	   /* IA32_APIC_BASE */
	unsigned int size; /* of one element */
	bool source;
	u64 reads, writes, msrs, modes, faults, raw, interrupts;
};

static struct wild wilds[MAX_CPUS];
static u64 nr_each, pages[3]; /* where the registers may be: the default, RAM, nowhere */
static u64 seed_of_all;

static struct wild *mine(void)
{
	return &wilds[cpu_index() % MAX_CPUS];
}

/* --- values --------------------------------------------------------------------------------------
 */

/* A value of which no byte is RAW. */
static u64 some_value(struct rng *rng)
{
	u64 v = rng_below(rng, 2) ? rng_next(rng) : rng_below(rng, 0x200);

	for (unsigned int i = 0; i < 64; i += 8)
		if ((v >> i & 0xff) == RAW)
			v ^= 0xffull << i;
	return v;
}

/*
 * What leaves a CPU running when it is written to the ICR, at whatever alignment: no INIT, no
 * STARTUP, so of the three bits of the delivery mode, which may come from any byte, at most one.
 */
static u64 harmless(struct rng *rng, u64 v)
{
	u64 modes = 0x0707070707070707, keep = 0x0101010101010101ull << rng_below(rng, 3);

	return v & (~modes | keep);
}

/* Where there is a register, mostly; else anywhere. */
static u32 some_offset(struct rng *rng)
{
	switch (rng_below(rng, 8)) {
	case 0: return (u32)rng_below(rng, PAGE_SIZE - MOST_ACCESS);
	case 1: return (u32)rng_below(rng, 0x400);
	default: return (u32)rng_below(rng, 0x40) << 4;
	}
}

/*
 * Bytes that are no register's are 0 or ones; a register may hold RAW by itself (a count, a sum),
 * but hardly four times.
 */
static bool is_raw(u32 offset, const u8 *bytes, unsigned int size)
{
	unsigned int run = 0;

	for (unsigned int i = 0; i < size; i++) {
		u32 at = offset + i;

		run = bytes[i] == RAW ? run + 1 : 0;
		if (run && (at >= 0x400 || at & 0xc || run >= 4))
			return true;
	}
	return false;
}

/* --- one instruction -----------------------------------------------------------------------------
 */

static u8 *put(u8 *p, u64 v, unsigned int size)
{
	memcpy(p, &v, size);
	return p + size;
}

static u8 *put_prefixes(struct wild *w, const struct form *f, u8 *p)
{
	if (f->flags & LOCKS && !rng_below(&w->rng, 4))
		*p++ = 0xf0;
	if (f->flags & STRING && rng_below(&w->rng, 2)) {
		*p++ = 0xf3;
		w->count = 1 + rng_below(&w->rng, MAX_REPS);
	}
	if (f->prefix)
		*p++ = f->prefix;
	if (f->flags & SIZED && w->size == 2)
		*p++ = 0x66;
	if (f->flags & SIZED && w->size == 8)
		*p++ = 0x48;
	if (f->escape)
		*p++ = f->escape;
	return p;
}

static u8 opcode(const struct wild *w, const struct form *f)
{
	if (!(f->flags & SIZED) || w->size > 1)
		return f->opcode;
	return f->flags & IMM8 ? 0x80 : f->opcode & 0xfe;
}

static void build(struct wild *w, const struct form *f)
{
	u8 *p = w->code;

	w->count = 1;
	w->source = f->flags & SOURCE;
	w->size = f->flags & SIZED ? 1u << rng_below(&w->rng, 4) : f->size;
	p = put_prefixes(w, f, p);
	*p++ = opcode(w, f);
	if (f->flags & MOFFS)
		p = put(p, w->address, 8);
	else if (!(f->flags & STRING))
		*p++ = (u8)(f->reg << 3 | 7); /* (%rdi) */
	if (f->flags & IMM8)
		*p++ = (u8)w->value;
	else if (f->flags & IMM)
		p = put(p, w->value, w->size < 4 ? w->size : 4);
	*p = 0xc3; /* RET */
}

static void execute(void *arg)
{
	struct wild *w = arg;
	u64 data = (u64)(uintptr_t)w->data, rax = w->value, rcx = w->count;
	u64 rdi = w->source ? data : w->address, rsi = w->source ? w->address : data;

	__asm__ volatile(
		"movups (%[data]), %%xmm0\n\t"
		"call *%[code]\n\t"
		"movups %%xmm0, %c[upper](%[data])"
		: "+a"(rax), "+D"(rdi), "+S"(rsi), "+c"(rcx)
		: [code] "b"(w->code), [data] "r"(data), [upper] "i"(MOST_ACCESS)
		: "memory", "cc", "rdx", "r8", "r9", "r10", "r11");
	w->value = rax;
}

/* What the instruction has shown of the page. */
static bool shows_raw(const struct wild *w, const struct form *f, u32 offset)
{
	if (f->opcode == MOVS && f->flags & STRING)
		return is_raw(offset, w->data, w->size * (unsigned int)w->count);
	if (f->opcode == LODS)
		offset += w->size * (u32)(w->count - 1);
	if (f->escape && (f->opcode < 0xb6 || f->opcode > 0xbf))
		return is_raw(offset, w->data + MOST_ACCESS, w->size);
	return is_raw(offset, (const u8 *)&w->value, w->size);
}

static const struct form *some_form(struct wild *w, u32 offset, bool registers)
{
	const struct form *f = &forms[rng_below(&w->rng, ARRAY_SIZE(forms))];

	w->value = some_value(&w->rng);
	for (unsigned int i = 0; i < sizeof(w->data); i += 8)
		put(w->data + i, w->value, 8);
	if (!registers || !(f->flags & WRITES) || offset + MOST_ACCESS <= LAPIC_ICR ||
	    offset >= LAPIC_ICR + 4)
		return f;
	/* The ICR's next value has to be known. */
	if (f->flags & READS && f->opcode != XCHG)
		return &forms[0];
	w->value = harmless(&w->rng, w->value);
	for (unsigned int i = 0; i < sizeof(w->data); i += 8)
		put(w->data + i, w->value, 8);
	return f;
}

static void access_page(struct wild *w)
{
	u64 base = w->base, page = ALIGN_DOWN(base, PAGE_SIZE);
	bool memory = (base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) == APIC_BASE_ENABLE;
	u32 offset = some_offset(&w->rng);
	const struct form *f;

	/* The default page always answers, and so does RAM. */
	if (!memory || !rng_below(&w->rng, 4))
		page = pages[rng_below(&w->rng, 2)];
	memory &= page == ALIGN_DOWN(base, PAGE_SIZE);
	/* RAM under another CPU's registers: an atomic access to two of its words is refused. */
	if (page == pages[1] && !memory)
		offset = ALIGN_DOWN(offset, 16);
	f = some_form(w, offset, memory);
	w->address = page + offset;
	build(w, f);
	w->reads += !!(f->flags & READS);
	w->writes += !!(f->flags & WRITES);
	if (try_call(execute, w, NULL) != NO_FAULT)
		w->faults++;
	else if (f->flags & SHOWS && (memory || page == LAPIC_BASE))
		w->raw += shows_raw(w, f, offset);
}

/* --- MSRs ----------------------------------------------------------------------------------------
 */

static void access_msr(struct wild *w)
{
	u32 msr = MSR_X2APIC + (u32)rng_below(&w->rng, 0x100);
	u64 v = some_value(&w->rng), now = rdtsc();

	if (!rng_below(&w->rng, 8)) {
		msr = MSR_TSC_DEADLINE;
		v = rng_below(&w->rng, 4) ? now + rng_below(&w->rng, 10000) : v;
	}
	if (msr == MSR_X2APIC + (LAPIC_ICR >> 4))
		v = harmless(&w->rng, v);
	w->msrs++;
	if (rng_below(&w->rng, 2)) {
		w->faults += wrmsr_safe(msr, v) != 0;
		return;
	}
	if (rdmsr_safe(msr, &v))
		w->faults++;
	else if (msr >= MSR_X2APIC && msr < MSR_X2APIC + 0x100)
		w->raw += (u32)v == RAW * 0x01010101u;
}

/*
 * Back to where most programs have it, mostly: the hypervisor's page is used only while every CPU
 * is there.
 */
static void change_mode(struct wild *w)
{
	u64 v = pages[rng_below(&w->rng, ARRAY_SIZE(pages))], bsp = cpu_index() ? 0 : APIC_BASE_BSP;

	w->modes++;
	if (rng_below(&w->rng, 4)) {
		if (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC)
			wrmsr(MSR_APIC_BASE, LAPIC_BASE | bsp);
		wrmsr(MSR_APIC_BASE, LAPIC_BASE | bsp | APIC_BASE_ENABLE);
		return;
	}
	v |= rng_below(&w->rng, 4) * APIC_BASE_X2APIC | bsp;
	/* No other page: what is done to registers there might not be survived. */
	if (!rng_below(&w->rng, 4))
		v ^= BIT(rng_below(&w->rng, 2) ? rng_below(&w->rng, 12)
					       : 52 + rng_below(&w->rng, 12));
	w->faults += wrmsr_safe(MSR_APIC_BASE, v) != 0;
}

/* As the program that runs on it would have it: else it takes no interrupt for most of the time. */
static void switch_on(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);
	u32 svr = SVR_ENABLE | 0xff;

	if (!(base & APIC_BASE_ENABLE))
		return;
	if (base & APIC_BASE_X2APIC)
		wrmsr(MSR_X2APIC + (LAPIC_SVR >> 4), svr);
	else
		*(volatile u32 *)(uintptr_t)(ALIGN_DOWN(base, PAGE_SIZE) + LAPIC_SVR) = svr;
}

/* --- interrupts ----------------------------------------------------------------------------------
 */

static void end_interrupt(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	if (!(base & APIC_BASE_ENABLE))
		return;
	if (base & APIC_BASE_X2APIC)
		wrmsr(MSR_X2APIC + (LAPIC_EOI >> 4), 0);
	else
		*(volatile u32 *)(uintptr_t)(ALIGN_DOWN(base, PAGE_SIZE) + LAPIC_EOI) = 0;
}

static bool interrupted(struct trap_frame *frame)
{
	mine()->interrupts++;
	if (frame->vector != EXC_NMI)
		end_interrupt();
	return true;
}

/* Not those of class 1: their vectors belong to exceptions. */
static void take_interrupts(void)
{
	__asm__ volatile("mov %0, %%cr8; sti; nop; nop; cli" ::"r"(1ul) : "memory");
}

static void one_cpu(void *arg)
{
	u32 cpu = cpu_index();
	struct wild *w = mine();

	if (cpu >= MAX_CPUS)
		return;
	write_cr0((read_cr0() | CR0_MP) & ~(u64)(CR0_EM | CR0_TS));
	write_cr4(read_cr4() | CR4_OSFXSR);
	rng_init(&w->rng, seed_of_all, STREAM + cpu);
	w->base = rdmsr(MSR_APIC_BASE);
	for (u64 i = 0; i < nr_each; i++) {
		switch (rng_below(&w->rng, 64)) {
		case 0:
			change_mode(w);
			w->base = rdmsr(MSR_APIC_BASE);
			break;
		case 1: switch_on(); break;
		case 2 ... 15: access_msr(w); break;
		default: access_page(w);
		}
		if (!rng_below(&w->rng, WINDOW_RATE))
			take_interrupts();
	}
	wrmsr_safe(MSR_APIC_BASE, LAPIC_BASE | (cpu ? 0 : APIC_BASE_BSP));
}

void wild_apic(u64 n, u64 seed)
{
	struct wild sum = { .reads = 0 };

	if (platform.tcg) {
		ktap_skip("QEMU's interpreter cannot disable its APIC",
			  "random accesses to the APIC");
		return;
	}
	smp_start();
	for (unsigned int v = 0x20; v < 256; v++)
		trap_handle((u8)v, interrupted);
	trap_handle(EXC_NMI, interrupted);
	nr_each = n;
	seed_of_all = seed;
	pages[0] = LAPIC_BASE;
	pages[1] = (u64)(uintptr_t)ram_take(2 * PAGE_SIZE, PAGE_SIZE);
	pages[2] = ELSEWHERE;
	smp_run(one_cpu, NULL);
	for (unsigned int i = 0; i < MAX_CPUS; i++) {
		sum.reads += wilds[i].reads;
		sum.writes += wilds[i].writes;
		sum.msrs += wilds[i].msrs;
		sum.modes += wilds[i].modes;
		sum.faults += wilds[i].faults;
		sum.raw += wilds[i].raw;
		sum.interrupts += wilds[i].interrupts;
	}
	ktap_expect_eq(sum.raw, 0, "random accesses to the APIC show registers and nothing else");
	ktap_note(
		"on %u CPUs: %llu reads, %llu writes, %llu MSRs, %llu changes of mode, of which "
		"%llu faulted; %llu interrupts",
		smp_nr_cpus, (unsigned long long)sum.reads, (unsigned long long)sum.writes,
		(unsigned long long)sum.msrs, (unsigned long long)sum.modes,
		(unsigned long long)sum.faults, (unsigned long long)sum.interrupts);
}

/* --- anything ------------------------------------------------------------------------------------
 */

static void any_code(struct wild *w)
{
	for (unsigned int i = 0; i < 12; i++)
		w->code[i] = (u8)rng_next(&w->rng);
	/* Mostly one byte of it is a ModRM that names (%rdi). */
	if (rng_below(&w->rng, 4))
		w->code[1 + rng_below(&w->rng, 3)] = (u8)(rng_below(&w->rng, 8) << 3 | 7);
	w->code[12] = 0xc3;
}

void wild_apic_any(u64 n, u64 seed)
{
	struct wild *w = &wilds[0];

	rng_init(&w->rng, seed, STREAM);
	for (u64 i = 0; i < n; i++) {
		w->address = LAPIC_BASE + rng_below(&w->rng, PAGE_SIZE);
		w->value = rng_next(&w->rng);
		w->count = rng_below(&w->rng, 16);
		any_code(w);
		try_call(execute, w, NULL);
		if (!rng_below(&w->rng, 16))
			wrmsr_safe(MSR_APIC_BASE, rng_next(&w->rng) >> 32 | APIC_BASE_ENABLE);
		if (!rng_below(&w->rng, 4))
			wrmsr_safe(MSR_X2APIC + (u32)rng_below(&w->rng, 0x100), w->value);
	}
	ktap_result(true, "any accesses to the APIC are survived");
}
