/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts between CPUs: every kind of destination, by the set of CPUs that it must reach. CPU 0
 * sends, the others take interrupts and do what they are asked to.
 */
#include "guest/apic.h"
#include "guest/rt/cpu.h"
#include "guest/rt/platform.h"
#include "guest/rt/smp.h"

#define VECTOR_IPI  0x81
#define NR_PINGS    500
#define WAIT_ROUNDS 20000 /* or until all is there: who shares a CPU has to wait for its turn */
#define NR_LOWEST   64
#define DFR_FLAT    0xffffffff
#define DFR_CLUSTER 0x0fffffff

static struct {
	void (*volatile fn)(void);
	_Atomic u32 round, done;
	_Atomic bool over;
} ask;

static u32 ids[APIC_MAX_CPUS]; /* APIC IDs */
static u32 nr_cpus;	       /* that take part */
static bool cluster;
static volatile u8 tpr[APIC_MAX_CPUS];

static void serve(void)
{
	u32 seen = 0;

	while (!atomic_load(&ask.over)) {
		/* NOP: QEMU's interpreter forgets to end STI's shadow at a PAUSE. */
		__asm__ volatile("sti; nop; pause; cli" ::: "memory");
		if (atomic_load(&ask.round) == seen)
			continue;
		seen = atomic_load(&ask.round);
		ask.fn();
		atomic_fetch_add(&ask.done, 1);
	}
}

static void ask_start(void (*fn)(void))
{
	ask.fn = fn;
	atomic_store(&ask.done, 0);
	atomic_fetch_add(&ask.round, 1);
}

static void ask_wait(void)
{
	while (atomic_load(&ask.done) != nr_cpus - 1)
		cpu_relax();
}

static void on_all(void (*fn)(void))
{
	ask_start(fn);
	fn();
	ask_wait();
}

/* --- who got it ----------------------------------------------------------------------------------
 */

static u32 reached(u8 vector, bool *twice)
{
	u32 set = 0;

	for (u32 i = 0; i < nr_cpus; i++) {
		*twice |= apic_hits[i][vector] > 1;
		set |= (apic_hits[i][vector] != 0) << i;
	}
	return set;
}

static void wait_for_set(u8 vector, u32 set)
{
	bool twice;

	for (u32 i = 0; i < WAIT_ROUNDS && (reached(vector, &twice) & set) != set; i++) {
		apic_window();
		apic_settle();
	}
	apic_settle(); /* for those that should not have come */
	apic_window();
}

/* Returns whether each CPU in @set, and no other, has got it once. */
static bool reaches(u32 dest, u32 command, u8 vector, u32 set)
{
	bool twice = false;
	u32 got;

	apic_forget();
	apic_send(dest, command | ICR_ASSERT | (vector == EXC_NMI ? 0 : vector));
	wait_for_set(vector, set);
	got = reached(vector, &twice);
	if (got == set && !twice)
		return true;
	ktap_note("destination %#x, command %#x: CPUs %#x got it, not %#x%s", dest, command, got,
		  set, twice ? ", some twice" : "");
	return false;
}

static u32 all_cpus(void)
{
	return (u32)BIT(nr_cpus) - 1;
}

static void check_physical(void)
{
	u32 broadcast = apic_x2 ? 0xffffffff : 0xff, absent = apic_x2 ? 0x12345 : 0xe5;
	bool ok = true;

	for (u32 i = 0; i < nr_cpus; i++)
		ok &= reaches(ids[i], ICR_FIXED, VECTOR_IPI, (u32)BIT(i));
	apic_result(ok, "an ID reaches its CPU");
	apic_result(reaches(broadcast, ICR_FIXED, VECTOR_IPI, all_cpus()),
		    "the broadcast ID reaches all");
	apic_result(reaches(absent, ICR_FIXED, VECTOR_IPI, 0),
		    "an ID that nobody has reaches nobody");
	apic_result(reaches(0, ICR_ALL, VECTOR_IPI, all_cpus()),
		    "the shorthand for all reaches all");
	apic_result(reaches(0, ICR_ALL_BUT_MYSELF, VECTOR_IPI, all_cpus() & ~1u),
		    "the one for the others reaches the others");
	apic_result(reaches(ids[1], ICR_SELF, VECTOR_IPI, 1),
		    "the one for oneself does not look at the ID");
	apic_result(reaches(ids[1], ICR_NMI, EXC_NMI, 2), "an NMI reaches its CPU");
	apic_result(reaches(0, ICR_NMI | ICR_ALL_BUT_MYSELF, EXC_NMI, all_cpus() & ~1u),
		    "an NMI reaches the others");
}

/* --- logical destinations ------------------------------------------------------------------------
 */

/* Cluster model: four CPUs to a cluster, a bit each. */
static u32 logical_id(u32 i)
{
	return cluster ? i / 4 << 4 | 1u << i % 4 : 1u << i;
}

static void set_logical_id(void)
{
	apic_set(LAPIC_DFR, cluster ? DFR_CLUSTER : DFR_FLAT);
	apic_set(LAPIC_LDR, logical_id(cpu_index()) << 24);
}

static bool logical_reaches(u32 dest, u32 set)
{
	return reaches(dest, ICR_FIXED | ICR_LOGICAL, VECTOR_IPI, set);
}

static void check_xapic_logical(void)
{
	bool ok = true;

	cluster = false;
	on_all(set_logical_id);
	for (u32 dest = 1; dest < 0xff; dest += dest < 0x10 ? 1 : 0x11)
		ok &= logical_reaches(dest, dest & all_cpus());
	apic_result(ok, "flat model: each bit reaches its CPU");
	apic_result(logical_reaches(0xff, all_cpus()), "flat model: 0xff reaches all");

	cluster = true;
	ok = true;
	on_all(set_logical_id);
	for (u32 dest = 0; dest < 0xff; dest += 3) {
		u32 set = 0;

		for (u32 i = 0; i < nr_cpus; i++)
			set |= (dest >> 4 == i / 4 && dest & 1u << i % 4) << i;
		ok &= logical_reaches(dest, set);
	}
	apic_result(ok, "cluster model: each bit reaches its CPU in its cluster");
	if (!platform.tcg) /* there it reaches nobody */
		apic_result(logical_reaches(0xff, all_cpus()), "cluster model: 0xff reaches all");
	cluster = false;
	on_all(set_logical_id);
}

static void check_x2apic_logical(void)
{
	bool ok = true;

	for (u32 dest = 1; dest < 0x20; dest++) {
		u32 set = 0;

		for (u32 i = 0; i < nr_cpus; i++)
			set |= (ids[i] < 16 && dest & 1u << ids[i]) << i;
		ok &= logical_reaches(dest, set);
	}
	apic_result(ok, "each bit reaches its CPU in its cluster");
	apic_result(logical_reaches(0x0ffe0003, 0), "a cluster without CPUs reaches nobody");
	apic_result(logical_reaches(0xffffffff, all_cpus()), "the broadcast reaches all");
}

/* --- lowest priority -----------------------------------------------------------------------------
 */

static void set_tpr(void)
{
	apic_set(LAPIC_TPR, tpr[cpu_index()]);
}

static u32 logical_all(void)
{
	u32 dest = 0;

	for (u32 i = 0; i < nr_cpus; i++)
		dest |= apic_x2 ? 1u << ids[i] % 16 : 1u << i;
	return dest;
}

static void check_lowest(void)
{
	const char *name = "lowest priority reaches the CPU with the lowest TPR";
	bool ok = true;

	if (apic_skip(name))
		return;
	for (u32 low = 0; low < nr_cpus; low++) {
		for (u32 i = 0; i < nr_cpus; i++)
			tpr[i] = i == low ? 0x10 : 0x20;
		on_all(set_tpr);
		ok &= reaches(logical_all(), ICR_LOWEST | ICR_LOGICAL, VECTOR_IPI, (u32)BIT(low));
	}
	for (u32 i = 0; i < nr_cpus; i++)
		tpr[i] = 0;
	on_all(set_tpr);
	apic_result(ok, name);
}

static void check_lowest_of_equals(void)
{
	u32 total = 0;

	apic_forget();
	for (u32 n = 1; n <= NR_LOWEST; n++) {
		apic_send(logical_all(), ICR_LOWEST | ICR_LOGICAL | ICR_ASSERT | VECTOR_IPI);
		for (u32 i = 0; i < WAIT_ROUNDS && total < n; i++) {
			apic_window();
			total = 0;
			for (u32 c = 0; c < nr_cpus; c++)
				total += apic_hits[c][VECTOR_IPI];
		}
	}
	apic_settle();
	apic_result_eq(total, NR_LOWEST, "among equals one of them gets it");
}

/* --- delivery ------------------------------------------------------------------------------------
 */

static void check_pings(void)
{
	u32 lost = 0;

	apic_forget();
	for (u32 n = 1; n <= NR_PINGS && !lost; n++) {
		for (u32 i = 1; i < nr_cpus; i++)
			apic_send(ids[i], ICR_FIXED | ICR_ASSERT | VECTOR_IPI);
		for (u32 i = 1; i < nr_cpus; i++)
			lost += !apic_wait(i, VECTOR_IPI, n);
	}
	apic_settle();
	for (u32 i = 1; i < nr_cpus; i++)
		lost += apic_hits[i][VECTOR_IPI] != NR_PINGS;
	apic_result_eq(lost, 0, "interrupts to others are neither lost nor doubled");
}

static _Atomic u32 halting;

static void halt_once(void)
{
	if (cpu_index() != 1)
		return;
	atomic_store(&halting, 1);
	while (!apic_hits[1][VECTOR_IPI])
		__asm__ volatile("sti; hlt; cli" ::: "memory");
}

static void check_halted(void)
{
	apic_forget();
	atomic_store(&halting, 0);
	ask_start(halt_once);
	while (!atomic_load(&halting))
		cpu_relax();
	apic_settle();
	apic_send(ids[1], ICR_FIXED | ICR_ASSERT | VECTOR_IPI);
	ask_wait();
	apic_result_eq(apic_hits[1][VECTOR_IPI], 1, "an interrupt wakes a CPU in HLT");
}

static void note_id(void)
{
	ids[cpu_index()] = apic_own_id();
}

static void conduct(void)
{
	on_all(note_id);
	check_physical();
	if (apic_x2)
		check_x2apic_logical();
	else
		check_xapic_logical();
	check_lowest();
	check_lowest_of_equals();
	check_pings();
	check_halted();
	atomic_store(&ask.over, true);
}

static void take_part(void *arg)
{
	if (!cpu_index())
		conduct();
	else if (cpu_index() < nr_cpus)
		serve();
}

void apic_check_ipis(void)
{
	nr_cpus = (u32)min_u64(smp_nr_cpus, APIC_MAX_CPUS);
	atomic_store(&ask.over, false);
	atomic_store(&ask.round, 0);
	smp_run(take_part, NULL);
}
