/* SPDX-License-Identifier: GPL-2.0-only */
/* What a loop that waits for another CPU does once a round. */
#ifndef HV_HOST_RELAX_H
#define HV_HOST_RELAX_H

#if __STDC_HOSTED__
void cpu_relax(void); /* the test's: the others get their turn */
#else
static inline void cpu_relax(void)
{
	__builtin_ia32_pause();
}
#endif

#endif
