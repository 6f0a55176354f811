/* SPDX-License-Identifier: GPL-2.0-only */
/* How and why a guest ended. */
#include "hv/dev/ending.h"
#include "hv/host/print.h"

void ending_vset(struct ending *e, int status, const char *fmt, va_list ap)
{
	if (ending_is_set(e))
		return;
	e->status = status;
	fmt_vprint(e->why, sizeof(e->why), fmt, ap);
	atomic_store_explicit(&e->ended, true, memory_order_release);
}

void ending_set(struct ending *e, int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ending_vset(e, status, fmt, ap);
	va_end(ap);
}
