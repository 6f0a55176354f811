/* SPDX-License-Identifier: GPL-2.0-only */
/* Experiment `missing`: what a run asks for, whoever runs the VM. */
#include "lab/missing.h"

/* The last choice is all of them. */
static u32 chosen(const struct param_values *v, const char *key)
{
	u64 choice = param_number(v, key);

	return choice == 2 ? 3 : (u32)BIT(choice);
}

void missing_read_options(const struct param_values *v, u32 ways, struct missing_options *o)
{
	u64 way = param_number(v, "way");

	*o = (struct missing_options){
		.ways = way ? (u32)BIT(way - 1) : ways,
		.vcpus = (u32)param_number(v, "vcpus"),
		.pages = (u32)param_number(v, "pages"),
		.regions = chosen(v, "region"),
		.access = chosen(v, "access"),
	};
}
