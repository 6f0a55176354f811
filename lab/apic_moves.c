/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `apic`: whom a page that moves concerns, and when: seen through the trace. */
#include "hv/host/counter.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "hv/host/trace.h"
#include "lab/apic.h"

#define MOVES  50
#define PAUSE  patient(2000) /* ticks between two moves */
#define HELD   patient(20000)
#define TO_HLT patient(2000)

static struct apic_vm a;

static bool start(u32 vcpus, bool traced)
{
	const struct apic_config c = {
		.vcpus = vcpus, .rung = vmx_apic_best(), .first_cpu = 1, .traced = traced
	};

	return apic_vm_run(&a, &c);
}

/* --- other ranges ------------------------------------------------------------------------------
 */

static void test_beside(void)
{
	u64 requests = counter_named("apic.requests"), reloads = counter_named("apic.reloads");
	bool runs;

	invalidate_begin(a.vm, LAPIC_DEFAULT_BASE + PAGE_SIZE, PAGE_SIZE);
	apic_look(&a, 0);
	runs = apic_runs(&a, 0);
	invalidate_end(a.vm);
	ktap_result(runs && counter_named("apic.requests") == requests &&
			    counter_named("apic.reloads") == reloads,
		    "an invalidation of the next page makes nobody reload, or wait");
}

/* One range covers all that is under way: whoever waits for the page waits for the other, too. */
static void test_together(void)
{
	bool ok;

	invalidate_begin(a.vm, APIC_RAM, PAGE_SIZE);
	ok = !vm_move_apic_page(a.vm, SENTINEL);
	apic_look(&a, 0);
	ktap_result(ok && apic_frozen(&a, 0, HELD),
		    "a migration that ends beside another invalidation lets nobody in too early");
	invalidate_end(a.vm);
	ktap_result(apic_runs(&a, 0) && apic_address(&a, 0) == vm_apic_page_frame(a.vm) &&
			    apic_intact(&a),
		    "when both are over the vCPU goes on, with the right address");
}

/* --- halted ------------------------------------------------------------------------------------
 */

static bool is_halted(u32 i)
{
	return atomic_load(&a.v[i].vcpu->blocked) && wait_queue_active(&a.v[i].vcpu->wq);
}

static void test_halted(void)
{
	u64 blocks, reloads;
	bool ok;

	atomic_store(&a.v[0].box->halt, 1);
	atomic_store(&a.v[0].box->stop, 1);
	ok = APIC_WAIT(is_halted(0));
	spin_ticks(TO_HLT);
	blocks = atomic_load(&a.v[0].box->beats);
	reloads = counter_named("apic.reloads");
	for (unsigned int i = 0; i < MOVES && ok; i++)
		ok = !vm_move_apic_page(a.vm, SENTINEL);
	ktap_result(ok && is_halted(0) && atomic_load(&a.v[0].box->beats) == blocks &&
			    counter_named("apic.reloads") == reloads,
		    "a vCPU in HLT is not woken by migrations");
	ktap_result(apic_watch(&a) && apic_address(&a, 0) == vm_apic_page_frame(a.vm) &&
			    counter_named("apic.reloads") == reloads + 1 && apic_intact(&a),
		    "it reloads once, when it goes on");
	atomic_store(&a.v[0].box->halt, 0);
}

/* --- every vCPU --------------------------------------------------------------------------------
 */

static struct trace_event events[TRACE_EVENTS];

/*
 * On a vCPU's CPU, after the request was published at @request: it was outside before the migration
 * returned at @returned, and has reloaded before it entered again. One that had had its last look
 * already may have entered once in between: whoever migrates has waited for it. If the kick came so
 * early that it barred this entry there is no exit; the event that follows, however late, does not
 * say that the vCPU was in the guest until then.
 */
static bool reloaded_in_time(u32 cpu, u64 request, u64 returned)
{
	unsigned int n = trace_last(cpu, events, TRACE_EVENTS);
	unsigned int unseen = 0;

	for (unsigned int i = 0; i < n; i++) {
		const struct trace_event *e = &events[i];
		bool enters = !strcmp(e->name, "vcpu: in");

		if (e->tsc <= request)
			continue;
		if (!strcmp(e->name, "apic: reload"))
			return unseen <= 1;
		unseen += enters;
		if (e->tsc > returned && (enters || !strcmp(e->name, "vcpu: exit")))
			return false; /* without the address, or in over the migration */
	}
	return false;
}

/* When the migration was requested, by the trace of this CPU. */
static u64 requested(void)
{
	unsigned int n = trace_last(this_cpu_id(), events, TRACE_EVENTS);

	while (n--)
		if (!strcmp(events[n].name, "apic: request"))
			return events[n].tsc;
	return 0;
}

static void test_everybody(void)
{
	struct vm_hold rest = { .vm = NULL };
	bool ok = true;

	if (!start((u32)min_u64(nr_cpus - 1, APIC_MAX_VCPUS), true))
		return;
	ok = apic_watch(&a);
	for (unsigned int i = 0; i < MOVES && ok; i++) {
		u64 request, returned;

		spin_ticks(PAUSE);
		ok = !vm_move_apic_page(a.vm, SENTINEL);
		returned = ticks_now();
		request = requested();
		for (u32 v = 0; v < a.config.vcpus; v++)
			ok &= apic_runs(&a, v);
		ok = ok && !vm_pause(a.vm, &rest, 0, NULL); /* nobody traces any more */
		for (u32 v = 0; v < a.config.vcpus && ok; v++)
			ok = reloaded_in_time(1 + v, request, returned);
		vm_resume(&rest);
	}
	ktap_result(
		ok && apic_intact(&a),
		"a migration returns when all %u vCPUs have left; each reloads before it enters",
		a.config.vcpus);
	apic_vm_destroy(&a);
}

/* --- no pin ------------------------------------------------------------------------------------
 */

static void test_not_pinned(void)
{
	u64 used = page_nr_used();
	hpa_t frame = vm_apic_page_frame(a.vm), next;
	unsigned int moved = 0;
	bool ok = true;

	for (unsigned int i = 0; i < MOVES && ok; i++, frame = next) {
		ok = !vm_move_apic_page(a.vm, SENTINEL) && apic_runs(&a, 0);
		next = vm_apic_page_frame(a.vm);
		moved += next != frame;
	}
	ktap_result(ok && moved == MOVES,
		    "nobody keeps the page where it is: every migration works");
	ktap_result(page_nr_used() == used, "and each gives a frame back");
}

void apic_test_moves(void)
{
	static const char name[] = "migrations of the page, and who has to reload";

	if (!needs_cpus(2, name) || !apic_has_page(name) || !start(1, false))
		return;
	if (apic_watch(&a)) {
		test_beside();
		test_together();
		test_not_pinned();
		test_halted();
	} else {
		ktap_result(false, "%s", name);
	}
	ktap_result(apic_intact(&a), "the guest has never read a raw byte");
	apic_vm_destroy(&a);
	test_everybody();
}
