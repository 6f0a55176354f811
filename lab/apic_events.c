/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `apic`: level-triggered interrupts, and CPUs that are started by their APICs. */
#include "hv/host/print.h"
#include "lab/apic.h"

#define LEVEL	 1 /* of the plain vectors */
#define EDGE	 2
#define TIMES	 3
#define QUIET	 patient(5000)
#define ICR_INIT 0x4500u
#define ICR_SIPI (0x4600u | APIC_STARTUP / PAGE_SIZE)
#define OTHERS	 0xc0000u /* shorthand: all but self */

static struct apic_vm a;

static const char *mode_name(bool x2apic)
{
	return x2apic ? "x2apic" : "xapic";
}

/* --- the end of an interrupt --------------------------------------------------------------------
 */

/* An edge-triggered one before and after: its EOI is nobody's business. */
static bool end_once(u32 n)
{
	struct apic_vcpu *v = &a.v[0];

	lapic_post(v->vcpu, TINY_VECTOR + EDGE);
	if (!APIC_WAIT(atomic_load(&v->box->received[EDGE]) == n + 1))
		return false;
	lapic_post_level(v->vcpu, TINY_VECTOR + LEVEL);
	return APIC_WAIT(atomic_load(&v->ends) == n + 1) &&
	       atomic_load(&v->end_vector) == TINY_VECTOR + LEVEL &&
	       atomic_load(&v->box->received[LEVEL]) == n + 1;
}

static void test_level(u32 rung, bool x2apic)
{
	const struct apic_config c = {
		.vcpus = 1, .rung = rung, .x2apic = x2apic ? ALL_X2APIC : 0, .first_cpu = 1
	};
	bool ok = true;

	if (!apic_vm_run(&a, &c))
		return;
	for (u32 n = 0; n < TIMES && ok; n++)
		ok = end_once(n);
	/* The same vector, by its edge. */
	lapic_post(a.v[0].vcpu, TINY_VECTOR + LEVEL);
	ok = ok && APIC_WAIT(atomic_load(&a.v[0].box->received[LEVEL]) == TIMES + 1);
	spin_ticks(QUIET);
	ktap_result(ok && atomic_load(&a.v[0].ends) == TIMES && apic_intact(&a),
		    "the VMM hears of the end of a level-triggered interrupt, and of no other: "
		    "%s, %s",
		    vmx_apic_rung_name(rung), mode_name(x2apic));
	apic_vm_destroy(&a);
}

/* --- starting CPUs ------------------------------------------------------------------------------
 */

static bool send(u32 icr, u32 dest)
{
	atomic_store(&a.v[0].box->icr, icr);
	atomic_store(&a.v[0].box->dest, dest);
	return apic_do(&a, 0, APIC_JOB_SEND);
}

static bool all_started(u32 times)
{
	bool started = true;

	for (u32 i = 1; i < a.config.vcpus; i++)
		started &= APIC_WAIT(atomic_load(&a.v[i].box->started) == times);
	return started;
}

/* As a broadcast, and then each by its ID; a second STARTUP finds it running and does nothing. */
static bool start_all(void)
{
	bool ok = send(ICR_INIT | OTHERS, 0) && send(ICR_SIPI | OTHERS, 0) &&
		  send(ICR_SIPI | OTHERS, 0) && all_started(1);

	for (u32 i = 1; i < a.config.vcpus && ok; i++)
		ok = send(ICR_INIT, i) && send(ICR_SIPI, i);
	return ok && all_started(2);
}

static void test_startup(u32 rung, bool x2apic)
{
	const struct apic_config c = { .vcpus = (u32)min_u64(nr_cpus - 1, 4),
				       .rung = rung,
				       .x2apic = x2apic ? ALL_X2APIC : 0,
				       .first_cpu = 1,
				       .asleep = ~1u };
	struct apic_storm s = { .ipis = 16 };
	bool ok;

	if (!apic_vm_run(&a, &c))
		return;
	ok = start_all();
	if (ok)
		apic_storm_run(&a, &s);
	ktap_result(ok && !s.stuck && !s.lost && !s.duplicated && apic_intact(&a),
		    "INIT and STARTUP IPIs start %u vCPUs, which then reach each other: %s, %s",
		    c.vcpus - 1, vmx_apic_rung_name(rung), mode_name(x2apic));
	apic_vm_destroy(&a);
}

void apic_test_events(const struct apic_options *o)
{
	for (u32 rung = 0; rung < NR_VMX_APIC_RUNGS; rung++)
		for (u32 x2apic = 0; x2apic < 2 && o->rungs & BIT(rung); x2apic++) {
			char name[48];

			fmt_print(name, sizeof(name), "level-triggered interrupts: %s, %s",
				  vmx_apic_rung_name(rung), mode_name(x2apic));
			if (needs_cpus(2, name))
				test_level(rung, x2apic);
			fmt_print(name, sizeof(name), "INIT and STARTUP IPIs: %s, %s",
				  vmx_apic_rung_name(rung), mode_name(x2apic));
			if (needs_cpus(3, name))
				test_startup(rung, x2apic);
		}
	ktap_skip("needs pin-based control 7, process posted interrupts",
		  "IPIs reach a vCPU in the guest without an exit");
	ktap_skip("needs tertiary control 4, IPI virtualization",
		  "a vCPU sends IPIs without an exit");
}
