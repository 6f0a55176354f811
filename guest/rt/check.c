/* SPDX-License-Identifier: GPL-2.0-only */
/* Results of a program's checks. */
#include "guest/rt/check.h"
#include "guest/rt/exit.h"
#include "guest/rt/platform.h"
#include "guest/rt/trap.h"

void check_begin(const char *name)
{
	ktap_begin(1);
	ktap_suite_begin(name);
	ktap_note("CPU '%s', hypervisor '%s', %u CPUs", platform.brand, platform.hypervisor,
		  platform.nr_cpus);
}

int check_end(void)
{
	ktap_suite_end();
	return ktap_failed() ? GUEST_FAILED : GUEST_OK;
}

void check_fault(const struct fault_case *c)
{
	struct fault f;
	bool ok;

	if (c->not_in_tcg && platform.tcg) {
		ktap_skip("QEMU's interpreter differs from a CPU here", "%s", c->name);
		return;
	}
	try_call(c->fn, c->arg, &f);
	ok = f.vector == c->vector && (c->error == ANY_ERROR || f.error == (u64)c->error);
	ktap_result(ok, "%s", c->name);
	if (!ok)
		ktap_note("expected %s with error code %lld, got %s with %#llx at %#llx",
			  trap_name(c->vector), (long long)c->error, trap_name(f.vector),
			  (unsigned long long)f.error, (unsigned long long)f.rip);
}
