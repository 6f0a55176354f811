/* SPDX-License-Identifier: GPL-2.0-only */
#include "lab/needs.h"

#include "hv/host/ktap.h"
#include "hv/host/percpu.h"
#include "hv/host/print.h"

bool needs_cpus(u32 n, const char *name)
{
	char why[32];

	if (nr_cpus >= n)
		return true;
	fmt_print(why, sizeof(why), "needs %u CPUs", n);
	ktap_skip(why, "%s", name);
	return false;
}
