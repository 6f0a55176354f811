/* SPDX-License-Identifier: GPL-2.0-only */
/* Parts of the fpu program. */
#ifndef GUEST_FPU_H
#define GUEST_FPU_H

#include "hv/host/types.h"

#define LEAF_XSAVE 0xd

/* State components, as bits of XCR0. */
#define XCR0_X87       BIT(0)
#define XCR0_SSE       BIT(1)
#define XCR0_AVX       BIT(2)
#define XCR0_BNDREGS   BIT(3)
#define XCR0_BNDCSR    BIT(4)
#define XCR0_OPMASK    BIT(5)
#define XCR0_ZMM_HI256 BIT(6)
#define XCR0_HI16_ZMM  BIT(7)
#define XCR0_AVX512    (XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM)

/** xcr0_supported - every bit that CPUID says XCR0 can have. Needs XSAVE. */
u64 xcr0_supported(void);

/** fpu_check_xcr0 - which values XSETBV takes and which it refuses, and what follows from them. */
void fpu_check_xcr0(void);

/** fpu_check_exceptions - unmasked x87 and SSE exceptions arrive. */
void fpu_check_exceptions(void);

#endif
