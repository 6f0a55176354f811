/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest that is moved while it works: it writes nearly all of its memory all the time, and knows
 * at every moment what each byte has to be.
 *
 * A page is 64 lines; CPU i of n has every n-th of them, up to lines= in a page, so each CPU visits
 * every page and no two need a lock. What a line holds depends on its page, its CPU and the
 * generation: how often this CPU has been round. A visit verifies a page's lines against the last
 * generation and writes the next one, so a page that is lost, late, torn or another's is seen. One
 * page in still= is written once and then only verified.
 *
 * Between two visits a CPU looks at its clock with known values in all registers. A periodic timer
 * interrupts it, and it interrupts the next CPU.
 *
 * The VMM says when it is enough (guest/migrate.h); where there is none, after sweeps= rounds. Then
 * every byte is verified. Exit status: 0 when all was right, 1 otherwise.
 */
#include "guest/migrate.h"

#include "guest/rt/check.h"
#include "guest/rt/cpu.h"
#include "guest/rt/lapic.h"
#include "guest/rt/program.h"
#include "guest/rt/ram.h"
#include "guest/rt/smp.h"
#include "guest/rt/trap.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"

#define LINE_WORDS  8
#define PAGE_LINES  64
#define STRIDES	    7919 /* from page to page: a prime */
#define LOOK_EVERY  16	 /* visits between two looks at the command */
#define VECTOR_TIME 0xe1
#define VECTOR_NEXT 0xe2
#define DIVIDE_BY_1 0xb
#define SPURIOUS    0xff
#define ALIVE	    3	      /* expiries to see at the end */
#define SOON	    100000000 /* ticks */

static u64 opt_lines = 16, opt_still = 16, opt_spin = 60, opt_sweeps = 2, opt_interval = 50000,
	   opt_stall = MIGRATE_STALL;

static u64 nr_pages, stride;
static _Atomic bool finish;
static bool commanded; /* a VMM has answered */

static struct worker {
	u64 generation; /* rounds that are complete */
	u64 wrong, lost_registers;
	u64 wrong_page, wrong_line, got, expected; /* the first */
	_Atomic u64 expiries, doubled, sent, received;
	_Atomic bool on_its_way; /* its interrupt to the next CPU */
	u32 apic_id;
	u8 alive;
} __aligned(64) workers[GUEST_MAX_CPUS];

/* --- which page, which lines, which words ---------------------------------------------------- */

static u64 *page_at(u64 n)
{
	unsigned int i = 0;

	for (; n >= ram_free[i].len / PAGE_SIZE; i++)
		n -= ram_free[i].len / PAGE_SIZE;
	return (u64 *)(uintptr_t)(ram_free[i].base + n * PAGE_SIZE);
}

/* How far apart the lines of one CPU are; and the first is the CPU's own number. */
static u32 line_step(void)
{
	u32 step = PAGE_LINES / ((u32)opt_lines * smp_nr_cpus);

	return (step ? step : 1) * smp_nr_cpus;
}

static u64 first_word(u64 page, u32 cpu, u64 generation, u32 line)
{
	u64 x = (page << 8 | cpu) * 0x9e3779b97f4a7c15ull + generation * 0xd1342543de82ef95ull;

	return x ^ (u64)line << 56;
}

static u64 next_word(u64 x)
{
	return x + 0xa0761d6478bd642full;
}

static void note_wrong(struct worker *w, u64 page, u32 line, u64 got, u64 expected)
{
	if (w->wrong++)
		return;
	outl(MIGRATE_PORT_EVENT, MIGRATE_WRONG);
	w->wrong_page = page;
	w->wrong_line = line;
	w->got = got;
	w->expected = expected;
}

static void verify_line(struct worker *w, const u64 *p, u64 page, u32 line, u64 x, bool zero)
{
	for (u32 i = 0; i < LINE_WORDS; i++, x = next_word(x)) {
		u64 expected = zero ? 0 : x;

		if (unlikely(p[i] != expected)) {
			note_wrong(w, page, line, p[i], expected);
			return;
		}
	}
}

static void write_line(u64 *p, u64 x)
{
	for (u32 i = 0; i < LINE_WORDS; i++, x = next_word(x))
		p[i] = x;
}

/* --- the work -------------------------------------------------------------------------------- */

static bool is_still(u64 page)
{
	return page % opt_still == 0;
}

/* A page that is not there costs its first access more than any other. Returns the time. */
static u64 touch(const u64 *p)
{
	u64 start = rdtsc(), ticks;

	*(const volatile u64 *)p;
	ticks = rdtsc() - start;
	if (unlikely(ticks >= opt_stall))
		outl(MIGRATE_PORT_STALL, (u32)min_u64(ticks, UINT32_MAX));
	return rdtsc();
}

static void note_gap(u64 ticks)
{
	outl(MIGRATE_PORT_GAP, (u32)min_u64(ticks, UINT32_MAX));
}

static void visit(struct worker *w, u32 me, u64 page, u64 generation)
{
	u32 step = line_step();
	u64 *p = page_at(page);
	u64 ticks = touch(p);

	for (u32 line = me; line < PAGE_LINES; line += step) {
		u64 *l = p + line * LINE_WORDS;
		u64 last = is_still(page) ? 0 : generation - 1;

		if (generation)
			verify_line(w, l, page, line, first_word(page, me, last, line), false);
		if (!generation || !is_still(page))
			write_line(l, first_word(page, me, generation, line));
	}
	ticks = rdtsc() - ticks;
	if (unlikely(ticks >= 4 * opt_stall))
		note_gap(ticks);
}

static void look_for_command(void)
{
	u32 command = inl(MIGRATE_PORT_COMMAND);

	if (command != ~0u)
		commanded = true;
	if (command == MIGRATE_FINISH)
		atomic_store(&finish, true);
}

static void call_next(struct worker *w, u32 me)
{
	if (smp_nr_cpus == 1 || atomic_load(&w->on_its_way))
		return;
	atomic_store(&w->on_its_way, true);
	atomic_fetch_add(&w->sent, 1);
	/* Two halves in xAPIC mode, with nothing in between. */
	local_irq_disable();
	lapic_send(workers[(me + 1) % smp_nr_cpus].apic_id, ICR_FIXED | ICR_ASSERT | VECTOR_NEXT);
	local_irq_enable();
}

static void sweep(struct worker *w, u32 me, u64 generation)
{
	for (u64 i = 0, page = me * nr_pages / smp_nr_cpus; i < nr_pages; i++) {
		u64 gap;

		visit(w, me, page, generation);
		page = (page + stride) % nr_pages;
		gap = migrate_spin(opt_spin, generation << 32 | page << 8 | me);
		if (gap == MIGRATE_LOST) {
			w->lost_registers++;
			outl(MIGRATE_PORT_EVENT, MIGRATE_WRONG);
		} else if (gap >= opt_stall) {
			note_gap(gap);
		}
		if (i % LOOK_EVERY == 0) {
			call_next(w, me);
			look_for_command();
		}
	}
}

static bool enough(u64 generation)
{
	return commanded ? atomic_load(&finish) : generation >= opt_sweeps;
}

/* --- interrupts ------------------------------------------------------------------------------ */

static bool on_time(struct trap_frame *frame)
{
	atomic_fetch_add(&workers[cpu_index()].expiries, 1);
	lapic_write(LAPIC_EOI, 0);
	return true;
}

static bool on_call(struct trap_frame *frame)
{
	struct worker *from = &workers[(cpu_index() + smp_nr_cpus - 1) % smp_nr_cpus];

	if (!atomic_exchange(&from->on_its_way, false))
		atomic_fetch_add(&from->doubled, 1);
	atomic_fetch_add(&from->received, 1);
	lapic_write(LAPIC_EOI, 0);
	return true;
}

static void start_interrupts(struct worker *w)
{
	if (lapic_init()) {
		printk("migrate: no usable local APIC\n");
		guest_exit(GUEST_FAILED);
	}
	w->apic_id = lapic_id();
	lapic_write(LAPIC_SVR, SVR_ENABLE | SPURIOUS);
	lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_1);
	lapic_write(LAPIC_LVT_TIMER, LVT_PERIODIC | VECTOR_TIME);
	lapic_write(LAPIC_TIMER_INITIAL, (u32)opt_interval);
}

static bool wait_until(_Atomic u64 *count, u64 n)
{
	u64 end = rdtsc() + SOON;

	while (atomic_load(count) < n && rdtsc() < end)
		cpu_relax();
	return atomic_load(count) >= n;
}

static void stop_interrupts(struct worker *w)
{
	w->alive = wait_until(&w->expiries, atomic_load(&w->expiries) + ALIVE);
	wait_until(&w->received, atomic_load(&w->sent));
	smp_barrier();
	local_irq_disable();
	lapic_write(LAPIC_LVT_TIMER, LVT_MASKED);
}

/* --- all of it ------------------------------------------------------------------------------- */

static void verify_page(struct worker *w, u64 page)
{
	const u64 *p = page_at(page);
	u32 step = line_step();

	for (u32 line = 0; line < PAGE_LINES; line++) {
		u32 cpu = line % step;
		bool zero = cpu >= smp_nr_cpus;
		u64 generation = is_still(page) || zero ? 0 : workers[cpu].generation;

		verify_line(w, p + line * LINE_WORDS, page, line,
			    first_word(page, cpu, generation, line), zero);
	}
}

static void work(void *arg)
{
	u32 me = cpu_index();
	struct worker *w = &workers[me];
	u64 generation = 0;

	for (u64 page = me; page < nr_pages; page += smp_nr_cpus)
		memset(page_at(page), 0, PAGE_SIZE);
	start_interrupts(w);
	smp_barrier();
	local_irq_enable();
	sweep(w, me, 0);
	smp_barrier();
	if (!me)
		outl(MIGRATE_PORT_EVENT, MIGRATE_WRITTEN);
	while (!enough(generation))
		sweep(w, me, ++generation);
	w->generation = generation;
	stop_interrupts(w);
	for (u64 page = me; page < nr_pages; page += smp_nr_cpus)
		verify_page(w, page);
}

static void report(void)
{
	struct worker sum = { .alive = 1 };

	for (u32 i = 0; i < smp_nr_cpus; i++) {
		const struct worker *w = &workers[i];

		if (w->wrong)
			ktap_note("CPU %u: page %llu, line %llu holds %#llx instead of %#llx", i,
				  (unsigned long long)w->wrong_page,
				  (unsigned long long)w->wrong_line, (unsigned long long)w->got,
				  (unsigned long long)w->expected);
		sum.wrong += w->wrong;
		sum.lost_registers += w->lost_registers;
		sum.alive &= w->alive;
		sum.doubled += w->doubled;
		sum.sent += w->sent;
		sum.received += w->received;
		sum.expiries += w->expiries;
		sum.generation += w->generation;
	}
	ktap_expect_eq(sum.wrong, 0, "every byte is what was written last");
	ktap_expect_eq(sum.lost_registers, 0, "every register keeps its value");
	ktap_result(sum.alive, "the timers go on");
	ktap_result(sum.sent == sum.received && !sum.doubled,
		    "every interrupt between CPUs arrives once");
	ktap_note("%llu pages, %llu rounds, %llu expiries, %llu interrupts",
		  (unsigned long long)nr_pages, (unsigned long long)sum.generation,
		  (unsigned long long)sum.expiries, (unsigned long long)sum.sent);
}

int guest_main(void)
{
	static const struct option options[] = {
		{ "lines", &opt_lines, 1, PAGE_LINES, NULL, "lines of each page that a CPU uses" },
		{ "still", &opt_still, 2, MIB(1), NULL, "one page of so many is only read" },
		{ "spin", &opt_spin, 1, MIB(1), NULL, "looks at the clock between two visits" },
		{ "sweeps", &opt_sweeps, 0, MIB(1), NULL, "rounds, where no VMM says when to end" },
		{ "interval", &opt_interval, 10000, MIB(1024), NULL, "of the timer, in its ticks" },
		{ "stall", &opt_stall, 1, MIB(1024), NULL, "ticks that are reported" },
	};

	options_parse("migrate", options, ARRAY_SIZE(options));
	smp_start();
	for (unsigned int i = 0; i < ram_nr_free; i++)
		nr_pages += ram_free[i].len / PAGE_SIZE;
	stride = nr_pages % STRIDES ? STRIDES % nr_pages : 1;
	trap_handle(VECTOR_TIME, on_time);
	trap_handle(VECTOR_NEXT, on_call);
	check_begin("migrate");
	smp_run(work, NULL);
	report();
	return check_end();
}
