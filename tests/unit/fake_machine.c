/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>
#include <sanitizer/asan_interface.h>

#include "hv/host/apic.h"
#include "hv/host/cpuid.h"
#include "hv/host/errno.h"
#include "hv/host/irq.h"
#include "hv/host/mem.h"
#include "hv/host/percpu.h"
#include "hv/host/string.h"
#include "hv/host/thread.h"
#include "hv/host/timer.h"
#include "hv/host/trace.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"

#define POISON 0x6b

struct fake_machine fake_machine;
u64 direct_map_base;
u64 tsc_hz;
struct cpu *cpus[MAX_CPUS];
u32 nr_cpus;

static struct cpu cpu_data[FAKE_CPUS];
static unsigned int fail_countdown;
static struct list timers = LIST_INIT(timers); /* armed, of all CPUs */

/* --- pages ------------------------------------------------------------------------------------
 *
 * From an arena in which only what is handed out may be touched: the sanitizer sees what lies
 * beyond a block, and what was freed. "Physical" addresses are offsets into it.
 */

#define ARENA_SIZE MIB(512)

static u8 *arena;
static u64 arena_used;

static void arena_reset(void)
{
	if (!arena) {
		void *p = mmap(NULL, ARENA_SIZE + MIB(4), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		assert_ptr_not_equal(p, MAP_FAILED);
		arena = (u8 *)ALIGN_UP((uintptr_t)p, MIB(4));
	}
	madvise(arena, arena_used, MADV_DONTNEED);
	ASAN_POISON_MEMORY_REGION(arena, ARENA_SIZE);
	direct_map_base = (u64)(uintptr_t)arena;
	arena_used = PAGE_SIZE; /* physical page 0 is nobody's */
}

void fake_page_fail(unsigned int n)
{
	fail_countdown = n;
}

/* Nothing is handed out twice in a test. */
void *page_alloc(unsigned int order, unsigned int flags)
{
	size_t size = PAGE_SIZE << order;
	u8 *p;

	assert_in_range(order, 0, PAGE_MAX_ORDER);
	if ((fail_countdown && !--fail_countdown) || size / PAGE_SIZE > fake_machine.pages_free)
		return NULL;
	arena_used = ALIGN_UP(arena_used, size);
	p = arena + arena_used;
	arena_used += size + PAGE_SIZE;
	assert_in_range(arena_used, 0, ARENA_SIZE);
	ASAN_UNPOISON_MEMORY_REGION(p, size);
	memset(p, flags & PAGE_ZERO ? 0 : POISON, size);
	fake_machine.pages_live += size / PAGE_SIZE;
	fake_machine.pages_free -= size / PAGE_SIZE;
	return p;
}

void page_free(void *page, unsigned int order)
{
	size_t size = PAGE_SIZE << order;

	if (!page)
		return;
	memset(page, POISON, size); /* complains when it is free already */
	ASAN_POISON_MEMORY_REGION(page, size);
	fake_machine.pages_live -= size / PAGE_SIZE;
	fake_machine.pages_free += size / PAGE_SIZE;
}

/* The parts of a block may be freed one by one anyway. */
void page_split(void *page, unsigned int order, unsigned int into)
{
	assert_in_range(into, 0, order);
	assert_null(__asan_region_is_poisoned(page, PAGE_SIZE << order));
}

unsigned int page_order(u64 bytes)
{
	unsigned int order = 0;

	assert_in_range(bytes, 1, PAGE_SIZE << PAGE_MAX_ORDER);
	while (PAGE_SIZE << order < bytes)
		order++;
	return order;
}

u64 page_nr_free(void)
{
	return fake_machine.pages_free;
}

/* --- CPUs ------------------------------------------------------------------------------------ */

void fake_machine_reset(void)
{
	fake_machine = (struct fake_machine){
		.now = 1000000,
		.xcr0 = 1,
		.pages_free = MIB(64) / PAGE_SIZE,
		.max_basic = 0x16,
		.max_extended = 0x80000008,
		.host_xcr0 = 0x2ff, /* with MPX */
		.xcr0_mask = 0x2e7,
	};
	memset(cpu_data, 0, sizeof(cpu_data));
	nr_cpus = FAKE_CPUS;
	for (u32 i = 0; i < FAKE_CPUS; i++) {
		cpu_data[i].id = i;
		cpus[i] = &cpu_data[i];
	}
	tsc_hz = 1000000000;
	fail_countdown = 0;
	list_init(&timers);
	arena_reset();
}

struct cpu *this_cpu(void)
{
	return cpus[fake_machine.cpu];
}

/* --- time and interrupts --------------------------------------------------------------------- */

u64 ticks_now(void)
{
	return fake_machine.now;
}

void spin_ticks(u64 ticks)
{
	fake_machine.now += ticks;
	if (fake_machine.on_spin)
		fake_machine.on_spin();
}

/* Waiting for others takes time too: else a loop with a deadline would never end. */
void cpu_relax(void)
{
	spin_ticks(16);
}

void apic_send_nmi_mask(u64 mask)
{
	for (u32 cpu = 0; mask; cpu++, mask >>= 1)
		if (mask & 1)
			apic_send_nmi(cpu);
}

void apic_send_ipi_mask(u64 mask, u8 vector)
{
	for (u32 cpu = 0; mask; cpu++, mask >>= 1)
		if (mask & 1)
			fake_machine.ipis[cpu]++;
}

void apic_send_nmi(u32 cpu)
{
	assert_in_range(cpu, 0, FAKE_CPUS - 1);
	fake_machine.nmis[cpu]++;
}

void irq_dispatch(u8 vector)
{
	fake_machine.irqs[vector]++;
}

void irq_window(void)
{
	assert_int_equal(fake_locks_held(), 0);
	fake_machine.irq_windows++;
}

/* Nobody reads it here. */
void trace(const char *name, u64 a, u64 b)
{
}

/* --- threads --------------------------------------------------------------------------------- */

struct thread {
	int nothing;
};

/* A new thread is over before its creator goes on: what it does here is short. */
int thread_create(struct thread **out, u32 cpu, const char *name, void (*fn)(void *), void *arg)
{
	u32 here = fake_machine.cpu;
	static struct thread done;

	if (fake_machine.no_threads)
		return -ENOMEM;
	fake_machine.cpu = cpu;
	fn(arg);
	fake_machine.cpu = here;
	*out = &done;
	return 0;
}

void thread_join(struct thread *t)
{
}

struct thread *thread_current(void)
{
	static struct thread threads[FAKE_CPUS];

	return &threads[fake_machine.thread];
}

/* The one that is due first; of those that are due together the one armed first. */
static struct timer *first_timer(void)
{
	struct timer *first = NULL;

	for (struct list *pos = timers.next; pos != &timers; pos = pos->next) {
		struct timer *t = list_entry(pos, struct timer, node);

		if (!first || t->deadline < first->deadline)
			first = t;
	}
	return first;
}

/* As an interrupt of the CPU that armed it. */
static void fire_timer(struct timer *t)
{
	u32 here = fake_machine.cpu;

	fake_machine.cpu = t->cpu;
	timer_cancel(t);
	t->fn(t);
	fake_machine.cpu = here;
}

unsigned int fake_run_timers(void)
{
	struct timer *t;
	unsigned int n;

	for (n = 0; (t = first_timer()) && t->deadline <= fake_machine.now; n++)
		fire_timer(t);
	return n;
}

void thread_block(_Atomic bool *woken)
{
	assert_int_equal(fake_locks_held(), 0);
	fake_machine.blocks++;
	if (!*woken && fake_machine.on_block)
		fake_machine.on_block();
	if (*woken)
		return;
	if (!first_timer())
		fail_msg("a thread sleeps for ever");
	fake_machine.now = max_u64(fake_machine.now, first_timer()->deadline);
	fire_timer(first_timer());
}

void thread_wake(struct thread *t)
{
}

void thread_yield(void)
{
	assert_int_equal(fake_locks_held(), 0);
	atomic_store(&this_cpu()->need_resched, 0);
	fake_machine.yields++;
	if (fake_machine.on_yield)
		fake_machine.on_yield();
}

/* --- timers ---------------------------------------------------------------------------------- */

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	*t = (struct timer){ .fn = fn };
	list_init(&t->node);
}

void timer_arm(struct timer *t, u64 deadline)
{
	if (t->armed && t->cpu != fake_machine.cpu)
		fail_msg("a timer of CPU %u is armed on CPU %u", t->cpu, fake_machine.cpu);
	list_del(&t->node);
	t->deadline = deadline;
	t->cpu = fake_machine.cpu;
	t->armed = true;
	list_add_tail(&timers, &t->node);
}

bool timer_cancel(struct timer *t)
{
	if (!t->armed)
		return false;
	if (t->cpu != fake_machine.cpu)
		fail_msg("a timer of CPU %u is cancelled on CPU %u", t->cpu, fake_machine.cpu);
	list_del(&t->node);
	t->armed = false;
	return true;
}

/* As hv/host/timer.c has them. */
u64 ticks_from_us(u64 us)
{
	return us * (tsc_hz / 1000000);
}

/* --- CPUID: a processor that has every feature there is -------------------------------------- */

struct component {
	u32 bit, size, offset;
};

static const struct component components[] = {
	{ 2, 256, 576 },  { 3, 64, 960 },    { 4, 64, 1024 }, { 5, 64, 1088 },
	{ 6, 512, 1152 }, { 7, 1024, 1664 }, { 9, 8, 2688 },
};

static u32 xsave_size(u64 xcr0)
{
	u32 size = 576;

	for (size_t i = 0; i < ARRAY_SIZE(components); i++)
		if (xcr0 & BIT(components[i].bit))
			size = components[i].offset + components[i].size;
	return size;
}

static void xstate_leaf(u32 subleaf, u32 out[4])
{
	const u32 zero[4] = { 0, xsave_size(fake_machine.xcr0), xsave_size(fake_machine.host_xcr0),
			      0 };
	const u32 one[4] = { 0xf, xsave_size(fake_machine.xcr0), 0x300, 0xffff };

	memset(out, 0, 4 * sizeof(*out));
	if (subleaf < 2)
		memcpy(out, subleaf ? one : zero, sizeof(zero));
	if (!subleaf) {
		out[0] = (u32)fake_machine.host_xcr0;
		out[3] = (u32)(fake_machine.host_xcr0 >> 32);
	}
	for (size_t i = 0; i < ARRAY_SIZE(components); i++) {
		if (components[i].bit != subleaf || !(fake_machine.host_xcr0 & BIT(subleaf)) ||
		    (subleaf == 9 && fake_machine.no_pkru_leaf))
			continue;
		out[0] = components[i].size;
		out[1] = components[i].offset;
		out[2] = subleaf == 6 ? 2 : 0;
	}
}

static void cache_leaf(u32 subleaf, u32 out[4])
{
	static const u32 caches[][4] = {
		{ 0x1c004121, 0x01c0003f, 0x3f, 0 },   /* 32 KiB of data */
		{ 0x1c004122, 0x01c0003f, 0x3f, 0 },   /* and of code */
		{ 0x1c004143, 0x01c0003f, 0x1ff, 0 },  /* 256 KiB */
		{ 0x1c03c163, 0x02c0003f, 0x1fff, 6 }, /* 6 MiB that all cores share */
	};

	memset(out, 0, 4 * sizeof(*out));
	if (subleaf < ARRAY_SIZE(caches))
		memcpy(out, caches[subleaf], sizeof(caches[subleaf]));
}

static bool leaf_of_model(u32 leaf, u32 out[4])
{
	static const struct {
		u32 leaf, value[4];
	} model[] = {
		{ 1, { 0x000306c3, 0x05100800, ~0u, ~0u } },
		{ 2, { 0x76036301, 0x00f0b6ff, 0, 0x00c10000 } },
		{ 0x80000008, { 0x00123928, ~0u, ~0u, ~0u } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(model); i++) {
		if (model[i].leaf != leaf)
			continue;
		memcpy(out, model[i].value, sizeof(model[i].value));
		return true;
	}
	return false;
}

void host_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
	const u32 first[4] = { fake_machine.max_basic, 0x756e6547, 0x6c65746e, 0x49656e69 };
	const u32 extended[4] = { fake_machine.max_extended, 0, 0, 0 };

	memset(out, 0xff, 4 * sizeof(*out));
	if (leaf == 0)
		memcpy(out, first, sizeof(first));
	else if (leaf == 0x80000000)
		memcpy(out, extended, sizeof(extended));
	else if (leaf == 4)
		cache_leaf(subleaf, out);
	else if (leaf == 0xd)
		xstate_leaf(subleaf, out);
	else
		leaf_of_model(leaf, out);
}
