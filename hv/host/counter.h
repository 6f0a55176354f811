/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters that are declared with their meaning and printed by name. */
#ifndef HV_HOST_COUNTER_H
#define HV_HOST_COUNTER_H

#include "hv/host/types.h"

struct counter {
	const char *name;
	const char *meaning;
	_Atomic u64 value;
};

_Static_assert(sizeof(struct counter) == 24, "the linker puts them into one array");

/* COUNTER(nmi_root, "nmi.root", "NMIs that arrived in root mode"); */
#define COUNTER(sym, name_, meaning_)                                                              \
	struct counter sym __section(".counters") __used __aligned(8) = { name_, meaning_, 0 }

static inline void count(struct counter *c)
{
	atomic_fetch_add_explicit(&c->value, 1, memory_order_relaxed);
}

static inline u64 counter_read(struct counter *c)
{
	return atomic_load_explicit(&c->value, memory_order_relaxed);
}

/** counter_named - the value of a counter by its name, 0 when there is none of that name. */
u64 counter_named(const char *name);

/** counters_print - every counter that is not zero: "# counter NAME VALUE (MEANING)", a line each.
 */
void counters_print(void);

#endif
