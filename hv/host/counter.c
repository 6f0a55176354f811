/* SPDX-License-Identifier: GPL-2.0-only */
/* Finding and printing the declared counters. */
#include "hv/host/counter.h"

#include "hv/host/print.h"
#include "hv/host/string.h"

extern struct counter __counters_start[], __counters_end[]; /* linker.ld */

u64 counter_named(const char *name)
{
	for (struct counter *c = __counters_start; c < __counters_end; c++)
		if (!strcmp(c->name, name))
			return counter_read(c);
	return 0;
}

void counters_print(void)
{
	for (struct counter *c = __counters_start; c < __counters_end; c++) {
		u64 v = counter_read(c);

		if (v)
			printk("# counter %s %lu (%s)\n", c->name, v, c->meaning);
	}
}
