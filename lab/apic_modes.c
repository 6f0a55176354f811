/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Experiment `apic`: vCPUs that do not use the APIC-access page: in x2APIC mode, with the APIC
 * disabled, without the slot; and the way back.
 */
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "lab/apic.h"

#define MOVES	 20
#define SWITCHES 40
#define HELD	 patient(20000) /* ticks */

static struct apic_vm a;

static bool start(u32 vcpus, u32 x2apic)
{
	const struct apic_config c = {
		.vcpus = vcpus, .rung = vmx_apic_best(), .x2apic = x2apic, .first_cpu = 1
	};

	return apic_vm_run(&a, &c);
}

static bool watch(u32 i)
{
	apic_begin(&a, i, APIC_JOB_WATCH);
	return apic_runs(&a, i);
}

static bool move_often(void)
{
	bool ok = true;

	for (unsigned int i = 0; i < MOVES && ok; i++)
		ok = !vm_move_apic_page(a.vm, SENTINEL) && apic_runs(&a, 0);
	return ok;
}

/* --- a vCPU that does not use it ---------------------------------------------------------------
 */

static void test_unused(u32 mode, const char *name)
{
	u64 reloads, retries, flushes;
	bool ok;

	ok = apic_switch(&a, 0, mode) && watch(0);
	reloads = counter_named("apic.reloads");
	ok = ok && move_often();
	ktap_result(ok && counter_named("apic.reloads") == reloads && apic_intact(&a),
		    "%s: migrations write no address", name);
	ok = apic_rest(&a, 0);
	retries = counter_named("apic.retries");
	invalidate_begin(a.vm, LAPIC_DEFAULT_BASE, PAGE_SIZE);
	vcpu_request(a.v[0].vcpu, REQ_LOOK);
	ok = ok && APIC_WAIT(!(atomic_load(&a.v[0].vcpu->requests) & REQ_LOOK)) && apic_runs(&a, 0);
	invalidate_end(a.vm);
	ktap_result(ok && counter_named("apic.retries") == retries,
		    "%s: nor does a vCPU wait for their end", name);
	reloads = counter_named("apic.reloads");
	flushes = counter_named("vmx.flushes");
	ok = ok && apic_switch(&a, 0, APIC_MODE_XAPIC);
	ktap_result(ok && counter_named("apic.reloads") > reloads &&
			    counter_named("vmx.flushes") > flushes,
		    "%s: switching back to xAPIC mode reloads, and flushes", name);
	ok = watch(0) && apic_address(&a, 0) == vm_apic_page_frame(a.vm) && move_often();
	ktap_result(ok && apic_intact(&a), "%s: and then migrations are survived again", name);
	apic_rest(&a, 0);
}

/* --- one switches while the other works ---------------------------------------------------------
 */

static void test_switching(void)
{
	static const char name[] =
		"while a vCPU switches modes and the page moves, another one reads";
	static const u32 modes[] = { APIC_MODE_X2APIC, APIC_MODE_XAPIC, APIC_MODE_DISABLED,
				     APIC_MODE_XAPIC };
	bool ok = true;

	if (!needs_cpus(3, name) || !start(2, ALL_XAPIC))
		return;
	atomic_store(&a.v[0].box->writes, 1);
	ok = watch(0);
	for (unsigned int i = 0; i < SWITCHES && ok; i++) {
		u64 end = ticks_now() + APIC_SOON;

		apic_expect(&a, 1, modes[i % ARRAY_SIZE(modes)]);
		apic_begin(&a, 1, APIC_JOB_MODE);
		do {
			ok = !vm_move_apic_page(a.vm, SENTINEL) && ticks_now() < end;
		} while (ok && atomic_load(&a.v[1].box->done) != atomic_load(&a.v[1].box->go));
		ok = ok && apic_runs(&a, 0);
	}
	ktap_result(ok && apic_intact(&a) && !apic_written(&a), "%s", name);
	apic_vm_destroy(&a);
}

/* --- no slot ------------------------------------------------------------------------------------
 */

/* Everybody is asked to reload, by an invalidation that is over before anybody can look. */
static bool request_reload(void)
{
	struct vm_hold rest = { .vm = NULL };

	if (vm_pause(a.vm, &rest, 0, NULL))
		return false;
	invalidate_begin(a.vm, LAPIC_DEFAULT_BASE, PAGE_SIZE);
	invalidate_end(a.vm);
	return !vm_resume(&rest);
}

static void test_deleted(void)
{
	u64 reloads, retries;
	bool ok;

	if (!start(1, ALL_XAPIC))
		return;
	ok = watch(0);
	ok = ok && !vm_delete_apic_page(a.vm) && apic_runs(&a, 0);
	ktap_result(ok && apic_intact(&a),
		    "without the slot every register is the virtual one still");
	reloads = counter_named("apic.reloads");
	retries = counter_named("apic.retries");
	ok = ok && request_reload() && apic_runs(&a, 0);
	ktap_result(ok && counter_named("apic.reloads") == reloads &&
			    counter_named("apic.retries") == retries,
		    "and a request to reload is done with, without any retry");
	/* Whether the slot is gone for good is as uncertain as any frame. */
	invalidate_begin(a.vm, LAPIC_DEFAULT_BASE, PAGE_SIZE);
	ok = ok && apic_look(&a, 0) && apic_frozen(&a, 0, HELD);
	invalidate_end(a.vm);
	ktap_result(ok && counter_named("apic.retries") > retries && apic_runs(&a, 0),
		    "but not while an invalidation is in progress");
	ktap_expect_eq(vm_delete_apic_page(a.vm), -ENOENT, "it cannot be deleted twice");
	apic_vm_destroy(&a);
}

void apic_test_modes(void)
{
	static const char name[] = "vCPUs that do not use the page";

	if (!needs_cpus(2, name) || !apic_has_page(name))
		return;
	if (start(1, ALL_XAPIC)) {
		test_unused(APIC_MODE_X2APIC, "x2APIC mode");
		test_unused(APIC_MODE_DISABLED, "disabled");
		apic_vm_destroy(&a);
	}
	test_switching();
	test_deleted();
}
