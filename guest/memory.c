/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Walks the guest's RAM: every CPU writes a pattern that depends on the address into its share,
 * then verifies what its neighbour wrote, then writes and verifies words that cross page
 * boundaries. Whatever the loader called RAM is walked but the program itself and the modules.
 *
 * Exit status: 0 when every word was right, 1 otherwise.
 */
#include "guest/rt/check.h"
#include "guest/rt/cpu.h"
#include "guest/rt/program.h"
#include "guest/rt/ram.h"
#include "guest/rt/smp.h"
#include "hv/host/metric.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"

#define WRONG_SHOWN 4 /* wrong words that are printed, per CPU and check */
#define CROSSING    5 /* a word this many bytes before a page's end ends in the next page */

static u64 opt_mb, opt_passes = 1, opt_step = 64;

/* What is walked: the free ranges one after another, cut off at mb=. */
static struct ram_range walked[RAM_FREE_MAX];
static unsigned int nr_walked;
static u64 bytes;

struct wrong {
	u64 address, expected, got;
};

static struct share {
	u64 nr_words, nr_wrong;
	u64 nr_crossings, nr_wrong_crossings;
	struct wrong shown[2 * WRONG_SHOWN];
	unsigned int nr_shown;
	u64 write_ticks, verify_ticks;
} shares[GUEST_MAX_CPUS];

static u64 pattern(u64 address, u64 pass)
{
	return (address + pass) * 0x9e3779b97f4a7c15ull ^ address >> 12;
}

static void choose(void)
{
	u64 left = opt_mb ? MIB(opt_mb) : UINT64_MAX;

	for (unsigned int i = 0; i < ram_nr_free && left; i++) {
		u64 len = min_u64(ram_free[i].len, left);

		walked[nr_walked++] = (struct ram_range){ ram_free[i].base, len };
		bytes += len;
		left -= len;
	}
}

/* Part @share of @range, in whole pages. */
static struct ram_range part_of(const struct ram_range *range, u32 share)
{
	u64 pages = range->len / PAGE_SIZE;
	u64 first = pages * share / smp_nr_cpus, last = pages * (share + 1) / smp_nr_cpus;

	return (struct ram_range){ range->base + first * PAGE_SIZE, (last - first) * PAGE_SIZE };
}

static void write_part(struct ram_range r, u64 pass)
{
	for (u64 p = r.base; p < r.base + r.len; p += opt_step)
		*(volatile u64 *)(uintptr_t)p = pattern(p, pass);
}

static void note_wrong(struct share *s, unsigned int max, u64 address, u64 expected, u64 got)
{
	if (s->nr_shown < max)
		s->shown[s->nr_shown++] = (struct wrong){ address, expected, got };
}

static void verify_part(struct ram_range r, u64 pass, struct share *s)
{
	for (u64 p = r.base; p < r.base + r.len; p += opt_step) {
		u64 got = *(volatile u64 *)(uintptr_t)p;

		s->nr_words++;
		if (got != pattern(p, pass)) {
			s->nr_wrong++;
			note_wrong(s, WRONG_SHOWN, p, pattern(p, pass), got);
		}
	}
}

/* Words across the boundaries inside the part, written whole and verified byte by byte. */
static void cross_pages(struct ram_range r, struct share *s)
{
	for (u64 end = r.base + PAGE_SIZE; end < r.base + r.len; end += PAGE_SIZE)
		*(volatile u64 *)(uintptr_t)(end - CROSSING) = pattern(end, 0);
	for (u64 end = r.base + PAGE_SIZE; end < r.base + r.len; end += PAGE_SIZE) {
		const volatile u8 *p = (const volatile u8 *)(uintptr_t)(end - CROSSING);
		u64 got = 0;

		for (unsigned int i = 0; i < sizeof(got); i++)
			got |= (u64)p[i] << 8 * i;
		s->nr_crossings++;
		if (got != pattern(end, 0)) {
			s->nr_wrong_crossings++;
			note_wrong(s, 2 * WRONG_SHOWN, end - CROSSING, pattern(end, 0), got);
		}
	}
}

static void walk(void *arg)
{
	u32 me = cpu_index(), neighbour = (me + 1) % smp_nr_cpus;
	struct share *s = &shares[me];

	for (u64 pass = 0; pass < opt_passes; pass++) {
		u64 start = rdtsc(), written;

		for (unsigned int i = 0; i < nr_walked; i++)
			write_part(part_of(&walked[i], me), pass);
		written = rdtsc();
		s->write_ticks += written - start;
		smp_barrier();
		start = rdtsc();
		for (unsigned int i = 0; i < nr_walked; i++)
			verify_part(part_of(&walked[i], neighbour), pass, s);
		s->verify_ticks += rdtsc() - start;
		smp_barrier();
	}
	for (unsigned int i = 0; i < nr_walked; i++)
		cross_pages(part_of(&walked[i], me), s);
}

static void show_wrong(u32 cpu)
{
	for (unsigned int i = 0; i < shares[cpu].nr_shown; i++) {
		const struct wrong *w = &shares[cpu].shown[i];

		ktap_note("CPU %u: %#llx holds %#llx instead of %#llx", cpu,
			  (unsigned long long)w->address, (unsigned long long)w->got,
			  (unsigned long long)w->expected);
	}
}

static void report(void)
{
	struct share sum = { 0 };
	const struct metric_param params[] = {
		{ .key = "cpus", .value = smp_nr_cpus },
		{ .key = "step", .value = opt_step },
		{ .key = "passes", .value = opt_passes },
	};

	for (u32 cpu = 0; cpu < smp_nr_cpus; cpu++) {
		sum.nr_words += shares[cpu].nr_words;
		sum.nr_wrong += shares[cpu].nr_wrong;
		sum.nr_crossings += shares[cpu].nr_crossings;
		sum.nr_wrong_crossings += shares[cpu].nr_wrong_crossings;
		sum.write_ticks = max_u64(sum.write_ticks, shares[cpu].write_ticks);
		sum.verify_ticks = max_u64(sum.verify_ticks, shares[cpu].verify_ticks);
	}
	ktap_result(sum.nr_words && !sum.nr_wrong, "RAM keeps what another CPU reads back");
	ktap_note("%llu words verified, %llu wrong", (unsigned long long)sum.nr_words,
		  (unsigned long long)sum.nr_wrong);
	ktap_result(!sum.nr_wrong_crossings, "a word across two pages is whole");
	ktap_note("%llu crossings verified, %llu wrong", (unsigned long long)sum.nr_crossings,
		  (unsigned long long)sum.nr_wrong_crossings);
	for (u32 cpu = 0; cpu < smp_nr_cpus; cpu++)
		show_wrong(cpu);
	metric_value("memory.bytes", "bytes", bytes, params, ARRAY_SIZE(params));
	metric_value("memory.write", "ticks", sum.write_ticks, params, ARRAY_SIZE(params));
	metric_value("memory.verify", "ticks", sum.verify_ticks, params, ARRAY_SIZE(params));
}

int guest_main(void)
{
	static const struct option options[] = {
		{ "mb", &opt_mb, 0, MIB(1), NULL, "MiB to walk, 0 for all" },
		{ "passes", &opt_passes, 1, 1000, NULL, "times to write and verify" },
		{ "step", &opt_step, 8, PAGE_SIZE, NULL,
		  "bytes from word to word, a multiple of 8" },
	};

	options_parse("memory", options, ARRAY_SIZE(options));
	if (!IS_ALIGNED(opt_step, 8)) {
		printk("memory: step=%llu: must be a multiple of 8\n",
		       (unsigned long long)opt_step);
		return GUEST_USAGE;
	}
	smp_start();
	choose();
	check_begin("memory");
	if (opt_mb && bytes < MIB(opt_mb))
		ktap_note("mb=%llu: there is less, all of it is walked",
			  (unsigned long long)opt_mb);
	smp_run(walk, NULL);
	report();
	return check_end();
}
