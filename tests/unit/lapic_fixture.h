/* SPDX-License-Identifier: GPL-2.0-only */
/* vCPUs whose local APICs are looked at: tests/unit/vm_fixture.h with a mode and a rung. */
#ifndef TESTS_UNIT_LAPIC_FIXTURE_H
#define TESTS_UNIT_LAPIC_FIXTURE_H

#include "hv/vm/internal.h"
#include "tests/unit/vm_fixture.h"

#define MSR_OF(offset) (0x800u + (offset) / 16)

/* Delivery modes and flags of ICR. */
enum { FIXED, LOWEST = 1 << 8, SMI = 2 << 8, NMI = 4 << 8, INIT = 5 << 8, STARTUP = 6 << 8 };
#define LOGICAL	  BIT(11)
#define ASSERT	  BIT(14)
#define LEVEL	  BIT(15)
#define TO_SELF	  (1ull << 18)
#define TO_ALL	  (2ull << 18)
#define TO_OTHERS (3ull << 18)
#define TO(id)	  ((u64)(id) << 32) /* x2APIC mode */

#define LVT_MASKED 0x10000u

/* A test with setup_xapic() and so on, and teardown(). */
#define LAPIC_TEST(t, how)                                                                         \
	{                                                                                          \
#t " (" #how ")", t, setup_##how, teardown, NULL                                   \
	}
#define ON_XAPIC(t)  LAPIC_TEST(t, xapic)
#define ON_X2APIC(t) LAPIC_TEST(t, x2apic)

/** lapic_fixture_start - @vcpus vCPUs, their APICs in @mode and enabled by software; number 0 is
 * loaded, with nothing pending. */
void lapic_fixture_start(unsigned int vcpus, enum vmx_apic_rung rung, enum lapic_mode mode);
void lapic_fixture_end(void);

struct vcpu *nth(u32 i);

/** get_msr, put_msr - an MSR of @v that the test knows to exist. */
u64 get_msr(struct vcpu *v, u32 msr);
void put_msr(struct vcpu *v, u32 msr, u64 value);

/** get_reg, put_reg - a register by its offset, in the way of the present mode. */
u32 get_reg(struct vcpu *v, unsigned int offset);
void put_reg(struct vcpu *v, unsigned int offset, u32 value);

/** send_icr - write ICR in the way of the present mode. */
void send_icr(struct vcpu *v, u64 icr);

/** pends - whether @vector is in IRR; in_service - in ISR. */
bool pends(struct vcpu *v, u8 vector);
bool in_service(struct vcpu *v, u8 vector);

/** all_hit - the set of vCPUs with anything at all pending; each has a request, the others none. */
u64 all_hit(void);

/** clear_events - nothing is pending anywhere, nothing is in service. */
void clear_events(void);

/** hit_by - who has something pending after @from has written @icr; cleared again. */
u64 hit_by(struct vcpu *from, u64 icr);

#endif
