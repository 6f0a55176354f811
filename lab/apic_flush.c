/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `apic`: who has to flush when the APIC-access page has been taken away?
 *
 *   zap     whoever takes the translation away: once
 *   both    and every vCPU once more, when it reloads
 *   reload  nobody but the vCPU, when it reloads
 *
 * From the KVM list: "After the APIC access page is reloaded, the TLB will be flushed [...]. But
 * the mmu notifier will send the KVM_REQ_TLB_FLUSH as well [...]. But, is this necessary?" What
 * each way costs is measured here. That the last one is wrong is seen twice: by a vCPU that nobody
 * kicks, and by the check of the flush generation at every entry.
 */
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/metric.h"
#include "hv/vm/backing.h"
#include "lab/apic.h"

#define MOVES	 50
#define PAUSE	 patient(2000) /* ticks between two moves: every vCPU touches the page */
#define ATTEMPTS 8
#define MARK	 0x600df00du /* in RAM */

static struct apic_vm a;
static u64 samples[MOVES];

/* --- what it costs -----------------------------------------------------------------------------
 */

static bool start(enum apic_flush flush, u32 vcpus, u32 x2apic, bool traced)
{
	const struct apic_config c = { .vcpus = vcpus,
				       .rung = vmx_apic_best(),
				       .x2apic = x2apic,
				       .first_cpu = 1,
				       .traced = traced,
				       .flush = flush };

	return apic_vm_run(&a, &c);
}

static void report_moves(enum apic_flush flush, u64 flushes)
{
	const struct metric_param p[] = { { .key = "flush", .word = apic_flush_name[flush] },
					  { .key = "vcpus", .value = a.config.vcpus } };
	static const u64 wanted[] = { [FLUSH_ZAP] = 1, [FLUSH_BOTH] = 2 };
	u64 each = flushes / a.config.vcpus;

	metric_samples("apic.move", "ticks", samples, MOVES, p, ARRAY_SIZE(p));
	metric_value("apic.move_flushes", "count", flushes, p, ARRAY_SIZE(p));
	ktap_note("flush=%s: %llu flushes of %u vCPUs in %u migrations of %llu ticks",
		  apic_flush_name[flush], (unsigned long long)flushes, a.config.vcpus, MOVES,
		  (unsigned long long)samples[MOVES / 2]);
	if (flush == FLUSH_RELOAD)
		return;
	ktap_result(each <= wanted[flush] * MOVES, "flush=%s: at most %llu per vCPU and zap",
		    apic_flush_name[flush], (unsigned long long)wanted[flush]);
}

static void measure_moves(enum apic_flush flush)
{
	u64 flushes;
	bool ok;

	if (!start(flush, (u32)min_u64(nr_cpus - 1, 4), ALL_XAPIC, false))
		return;
	ok = apic_watch(&a);
	flushes = counter_named("vmx.flushes");
	for (unsigned int i = 0; i < MOVES && ok; i++) {
		u64 begin = ticks_now();

		ok = !vm_move_apic_page(a.vm, SENTINEL);
		samples[i] = ticks_now() - begin;
		spin_ticks(PAUSE);
	}
	flushes = counter_named("vmx.flushes") - flushes;
	ktap_result(ok && apic_intact(&a), "flush=%s: the guests do not notice migrations",
		    apic_flush_name[flush]);
	if (ok)
		report_moves(flush, flushes);
	apic_vm_destroy(&a);
}

/* --- one reload --------------------------------------------------------------------------------
 */

/* The guest's longest pause while it is kicked, once; 0: the kick is not heard. */
static u64 kick_once(void)
{
	struct apic_box *b = a.v[0].box;

	atomic_store(&b->value, 0);
	if (!apic_look(&a, 0) || !apic_runs(&a, 0))
		return 0;
	spin_ticks(PAUSE);
	return atomic_load(&b->value);
}

static bool take_pauses(bool reload)
{
	bool ok = true;

	for (unsigned int i = 0; i < MOVES && ok; i++) {
		/* Over before the vCPU hears of it: it has to reload, and need not wait. */
		if (reload) {
			invalidate_begin(a.vm, LAPIC_DEFAULT_BASE, PAGE_SIZE);
			invalidate_end(a.vm);
		}
		samples[i] = kick_once();
		ok = samples[i];
	}
	return ok;
}

static u64 report_pauses(const char *metric, enum apic_flush flush)
{
	const struct metric_param p = { .key = "flush", .word = apic_flush_name[flush] };

	metric_samples(metric, "ticks", samples, MOVES, &p, 1);
	return samples[MOVES / 2];
}

/*
 * By the guest's own clock: apic.kick_pause for a kick that is about nothing; apic.reload_pause for
 * one that lets it reload, exit and entry included; apic.reload is what the reload adds.
 */
static void measure_reload(enum apic_flush flush)
{
	u64 reloads, kick;
	bool ok;

	if (!start(flush, 1, ALL_XAPIC, false))
		return;
	apic_begin(&a, 0, APIC_JOB_GAP);
	ok = apic_runs(&a, 0) && take_pauses(false);
	kick = ok ? report_pauses("apic.kick_pause", flush) : 0;
	reloads = counter_named("apic.reloads");
	ok = ok && take_pauses(true);
	ktap_result(ok && counter_named("apic.reloads") == reloads + MOVES,
		    "flush=%s: one invalidation, one reload", apic_flush_name[flush]);
	if (ok) {
		report_pauses("apic.reload_pause", flush);
		for (unsigned int i = 0; i < MOVES; i++)
			samples[i] -= min_u64(samples[i], kick);
		report_pauses("apic.reload", flush);
	}
	apic_vm_destroy(&a);
}

/* --- a vCPU that was not kicked -----------------------------------------------------------------
 */

struct probe {
	struct backing *ram;
	hpa_t freed; /* the page's old frame */
	u32 value;   /* what the guest has read from RAM that is in it now */
	bool same;   /* it is */
};

static int add_ram(struct probe *p)
{
	struct slot_change c = { .op = SLOT_CREATE, .id = 1, .base = APIC_RAM, .size = MIB(2) };
	int err = backing_create(&p->ram, MIB(2), BACKING_RESERVE);

	if (err)
		return err;
	c.backing = p->ram;
	err = vm_change_slots(a.vm, &c, 1, SLOTS_ATOMIC, NULL);
	return err ? err : backing_populate(p->ram);
}

/* The frame that was freed last becomes RAM at APIC_RAM, and is mapped without any vCPU's help. */
static bool reuse_frame(struct probe *p)
{
	static u32 data[PAGE_SIZE / sizeof(u32)];
	struct backing_page page;
	struct missing missing;

	for (unsigned int i = 0; i < ARRAY_SIZE(data); i++)
		data[i] = MARK;
	if (backing_fill(p->ram, 0, data) || !backing_look(p->ram, 0, &page))
		return false;
	p->same = page.hpa == p->freed;
	return !vm_fault(a.vm, APIC_RAM, FAULT_READ, &missing);
}

/*
 * The vCPU is in the guest, and does nothing that exits. The page moves away; what was its frame
 * becomes RAM, which the guest then reads.
 */
static bool probe_once(struct probe *p)
{
	struct apic_box *b = a.v[0].box;

	atomic_store(&b->probe, 0);
	if (backing_punch(p->ram, 0, PAGE_SIZE))
		return false;
	apic_begin(&a, 0, APIC_JOB_PROBE);
	if (!apic_runs(&a, 0))
		return false;
	spin_ticks(PAUSE);
	p->freed = vm_apic_page_frame(a.vm);
	if (vm_move_apic_page(a.vm, SENTINEL) || !reuse_frame(p))
		return false;
	atomic_store(&b->probe, APIC_RAM + LAPIC_VERSION);
	if (!apic_wait(&a, 0))
		return false;
	p->value = atomic_load(&b->value);
	return true;
}

static void test_not_kicked(enum apic_flush flush)
{
	struct probe p = { .ram = NULL };
	bool ok = false, seen = false;
	u32 wanted = MARK;

	if (!start(flush, 1, ALL_XAPIC, false))
		return;
	if (flush == FLUSH_RELOAD)
		wanted = atomic_load(&a.v[0].box->expect[1]);
	if (!add_ram(&p))
		for (unsigned int i = 0; i < ATTEMPTS && !seen; i++) {
			ok = probe_once(&p);
			/* An exit on the way makes the vCPU reload: then it is not one of those. */
			seen = p.same && (flush != FLUSH_RELOAD || p.value == wanted);
		}
	ktap_result(ok && p.same, "flush=%s: the frame that the page has left becomes RAM",
		    apic_flush_name[flush]);
	if (ok && p.same && flush == FLUSH_RELOAD)
		ktap_result(
			p.value == wanted,
			"flush=reload: a vCPU that nobody kicked is seen to read a register there");
	else if (ok && p.same)
		ktap_result(p.value == wanted, "flush=%s: the vCPU reads what is in RAM",
			    apic_flush_name[flush]);
	apic_vm_destroy(&a);
	if (p.ram)
		backing_put(p.ram);
}

/* --- a vCPU that has no address to reload -------------------------------------------------------
 */

/* In x2APIC mode it returns early from the reload, and with it from the flush. */
static void test_generation(enum apic_flush flush)
{
	u64 unflushed = counter_named("apic.unflushed_entries");
	bool ok;

	if (!start(flush, 1, ALL_X2APIC, true))
		return;
	ok = apic_watch(&a);
	for (unsigned int i = 0; i < MOVES && ok; i++) {
		ok = !vm_move_apic_page(a.vm, SENTINEL);
		ok = ok && apic_look(&a, 0) && apic_runs(&a, 0);
	}
	unflushed = counter_named("apic.unflushed_entries") - unflushed;
	if (flush == FLUSH_RELOAD)
		ktap_result(ok && unflushed,
			    "flush=reload: a vCPU in x2APIC mode is seen to enter without a flush");
	else
		ktap_result(ok && !unflushed, "flush=%s: no vCPU enters without a flush",
			    apic_flush_name[flush]);
	apic_vm_destroy(&a);
}

void apic_test_flush(void)
{
	static const char name[] = "who flushes when the page was taken away";

	if (!needs_cpus(2, name) || !apic_has_page(name))
		return;
	for (enum apic_flush flush = FLUSH_ZAP; flush <= FLUSH_RELOAD; flush++) {
		measure_moves(flush);
		measure_reload(flush);
		test_not_kicked(flush);
		test_generation(flush);
	}
}
