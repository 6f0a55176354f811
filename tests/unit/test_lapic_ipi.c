/* SPDX-License-Identifier: GPL-2.0-only */
/* Interrupts between local APICs: whom a destination means, in each mode, and what arrives. */
/* link: @vm tests/unit/lapic_fixture.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/x86.h"
#include "tests/unit/lapic_fixture.h"

#define VCPUS 20 /* two clusters of x2APIC mode, five of xAPIC mode */
#define ALL   (BIT(VCPUS) - 1)

#define ESR_SENT     0x20
#define ESR_RECEIVED 0x40

static struct vcpu *vcpu; /* the sender: number 0 */

static int setup_x2apic(void **state)
{
	lapic_fixture_start(VCPUS, VMX_APIC_X2APIC, LAPIC_X2APIC);
	vcpu = nth(0);
	return 0;
}

static int setup_xapic(void **state)
{
	lapic_fixture_start(VCPUS, VMX_APIC_EMULATE, LAPIC_XAPIC);
	vcpu = nth(0);
	return 0;
}

/* The even ones in xAPIC mode, the odd ones in x2APIC mode. */
static int setup_mixed(void **state)
{
	lapic_fixture_start(VCPUS, VMX_APIC_X2APIC, LAPIC_XAPIC);
	for (u32 i = 1; i < VCPUS; i += 2)
		assert_int_equal(lapic_start(nth(i), LAPIC_X2APIC), 0);
	clear_events();
	vcpu = nth(0);
	fixture_load(vcpu, 0);
	return 0;
}

static int teardown(void **state)
{
	lapic_fixture_end();
	return 0;
}

struct destination {
	u64 icr; /* beside a fixed vector */
	u64 set; /* who gets it */
};

static void check(struct vcpu *from, const struct destination *d, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (hit_by(from, d[i].icr | FIXED | 0x40) != d[i].set)
			fail_msg("ICR %#llx from vCPU %u: not those", (unsigned long long)d[i].icr,
				 from->id);
}

/* --- destinations ---------------------------------------------------------------------------- */

static void test_physical(void **state)
{
	for (u32 i = 0; i < VCPUS; i++)
		assert_int_equal(hit_by(vcpu, TO(i) | 0x40), BIT(i));
	assert_int_equal(hit_by(nth(19), TO(19) | 0x40), BIT(19)); /* itself */
	assert_int_equal(hit_by(vcpu, TO(VCPUS) | 0x40), 0);
	assert_int_equal(hit_by(vcpu, TO(0xfe) | 0x40), 0);
}

static void test_broadcast_x2apic(void **state)
{
	static const struct destination d[] = {
		{ TO(0xffffffff), ALL },
		{ TO(0xffffffff) | LOGICAL, ALL },
		{ TO(0xff), 0 }, /* a broadcast only in xAPIC mode */
		{ TO(0xfffffffe), 0 },
	};

	check(vcpu, d, ARRAY_SIZE(d));
}

static void test_broadcast_xapic(void **state)
{
	static const struct destination d[] = {
		{ TO(0xff), ALL },
		{ TO(0xff) | LOGICAL, ALL }, /* though no LDR is set */
		{ TO(0xfe), 0 },
	};

	check(vcpu, d, ARRAY_SIZE(d));
}

static void test_logical_x2apic(void **state)
{
	static const struct destination d[] = {
		{ TO(0x00000001) | LOGICAL, BIT(0) },	  { TO(0x00008005) | LOGICAL, 0x8005 },
		{ TO(0x0000ffff) | LOGICAL, 0xffff },	  { TO(0x0001000a) | LOGICAL, 0xau << 16 },
		{ TO(0x0001ffff) | LOGICAL, 0xfu << 16 }, { TO(0x0002ffff) | LOGICAL, 0 },
		{ TO(0x00010000) | LOGICAL, 0 },
	};

	check(vcpu, d, ARRAY_SIZE(d));
}

/* A bit each, as far as there are bits. */
static void test_logical_flat(void **state)
{
	static const struct destination d[] = {
		{ TO(0x01) | LOGICAL, BIT(0) }, { TO(0x80) | LOGICAL, BIT(7) | BIT(8) },
		{ TO(0xa5) | LOGICAL, 0x1a5 },	{ TO(0x00) | LOGICAL, 0 },
		{ TO(0x7f) | LOGICAL, 0x7f },
	};

	for (u32 i = 0; i < 8; i++)
		put_reg(nth(i), LAPIC_LDR, BIT(i) << 24);
	put_reg(nth(8), LAPIC_LDR, 0x80u << 24); /* two with one address */
	check(vcpu, d, ARRAY_SIZE(d));
}

static void test_logical_cluster(void **state)
{
	static const struct destination d[] = {
		{ TO(0x01) | LOGICAL, BIT(0) }, { TO(0x0f) | LOGICAL, 0xf },
		{ TO(0x13) | LOGICAL, 0x30 },	{ TO(0x48) | LOGICAL, BIT(19) },
		{ TO(0x40) | LOGICAL, 0 },	{ TO(0x5f) | LOGICAL, 0 },
		{ TO(0xff) | LOGICAL, ALL },
	};

	for (u32 i = 0; i < VCPUS; i++) {
		put_reg(nth(i), LAPIC_DFR, 0);
		put_reg(nth(i), LAPIC_LDR, (u32)(i / 4 << 4 | BIT(i % 4)) << 24);
	}
	check(vcpu, d, ARRAY_SIZE(d));
	/* Two models of one VM do not mix: each receiver has its own. */
	put_reg(nth(3), LAPIC_DFR, 0xf0000000);
	assert_int_equal(hit_by(vcpu, TO(0x48) | LOGICAL | 0x40), BIT(19) | BIT(3));
	/* A model that does not exist matches nothing. */
	put_reg(nth(3), LAPIC_DFR, 0x70000000);
	assert_int_equal(hit_by(vcpu, TO(0x08) | LOGICAL | 0x40), 0);
}

static void test_shorthands(void **state)
{
	/* the destination does not count */
	assert_int_equal(hit_by(nth(5), TO(9) | TO_SELF | 0x40), BIT(5));
	assert_int_equal(hit_by(nth(5), TO(9) | TO_ALL | 0x40), ALL);
	assert_int_equal(hit_by(nth(5), TO(9) | TO_OTHERS | 0x40), ALL & ~BIT(5));
	assert_int_equal(hit_by(nth(5), TO_SELF | LOGICAL | 0x40), BIT(5));
	assert_int_equal(hit_by(nth(5), TO_OTHERS | NMI), ALL & ~BIT(5));
	assert_int_equal(hit_by(nth(5), TO_OTHERS | INIT | ASSERT), ALL & ~BIT(5));
	assert_int_equal(hit_by(nth(5), TO_OTHERS | STARTUP | 9), ALL & ~BIT(5));
}

/* The receiver's mode says what a destination means to it, and what is everybody. */
static void test_mixed(void **state)
{
	const u64 odd = 0xaaaaa & ALL, even = ALL & ~odd;
	const struct destination from_x2apic[] = {
		{ TO(4), BIT(4) },
		{ TO(5), BIT(5) },
		{ TO(0xffffffff), odd },
		{ TO(0xff), even },
		{ TO(0x00000003) | LOGICAL, BIT(1) | BIT(2) }, /* LDRs: below */
		{ TO(0x00010002) | LOGICAL, BIT(17) | BIT(2) },
		{ TO_ALL, ALL },
		{ TO_OTHERS, ALL & ~BIT(1) },
	};
	const struct destination from_xapic[] = {
		{ TO(4), BIT(4) },
		{ TO(5), BIT(5) },
		{ TO(0xff), even },
		{ TO(0x03) | LOGICAL, BIT(1) | BIT(2) },
		{ TO_OTHERS, ALL & ~BIT(0) },
	};

	put_reg(nth(2), LAPIC_LDR, 2u << 24);
	check(nth(1), from_x2apic, ARRAY_SIZE(from_x2apic));
	check(vcpu, from_xapic, ARRAY_SIZE(from_xapic));
}

/* xAPIC IDs can be changed, and two can have the same. */
static void test_aliased(void **state)
{
	put_reg(nth(3), LAPIC_ID, 7u << 24);
	assert_int_equal(get_reg(nth(3), LAPIC_ID), 7u << 24);
	assert_int_equal(hit_by(vcpu, TO(7) | 0x40), BIT(3) | BIT(7));
	assert_int_equal(hit_by(vcpu, TO(3) | 0x40), 0);
	put_reg(nth(4), LAPIC_ID, 0x99u << 24);
	assert_int_equal(hit_by(vcpu, TO(0x99) | 0x40), BIT(4));
	assert_int_equal(hit_by(vcpu, TO(5) | 0x40), BIT(5));
}

/* --- lowest priority ------------------------------------------------------------------------- */

static void test_lowest(void **state)
{
	u64 group = TO(0x0000000e) | LOGICAL | LOWEST | 0x40; /* 1, 2, 3 */

	put_reg(nth(1), LAPIC_TPR, 0x30);
	put_reg(nth(2), LAPIC_TPR, 0x20);
	put_reg(nth(3), LAPIC_TPR, 0x40);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(hit_by(vcpu, group), BIT(2));
	put_reg(nth(2), LAPIC_TPR, 0x50);
	assert_int_equal(hit_by(vcpu, group), BIT(1));
	/* One that takes none is not chosen, even if it is the best. */
	put_reg(nth(1), LAPIC_SVR, 0xff);
	assert_int_equal(hit_by(vcpu, group), BIT(3));
	put_reg(nth(2), LAPIC_SVR, 0xff);
	put_reg(nth(3), LAPIC_SVR, 0xff);
	assert_int_equal(hit_by(vcpu, group), 0);
	/* A single one by its ID; and only one of all. */
	assert_int_equal(hit_by(vcpu, TO(7) | LOWEST | 0x40), BIT(7));
	assert_int_equal(__builtin_popcountll(hit_by(vcpu, TO(~0u) | LOWEST | 0x40)), 1);
}

/* Among equals (the lower four bits do not count) each has its turn. */
static void test_lowest_fair(void **state)
{
	u64 group = TO(0x0000000e) | LOGICAL | LOWEST | 0x40, had = 0;
	unsigned int times[VCPUS] = { 0 };

	put_reg(nth(1), LAPIC_TPR, 0x2f);
	put_reg(nth(2), LAPIC_TPR, 0x20);
	put_reg(nth(3), LAPIC_TPR, 0x21);
	for (unsigned int i = 0; i < 30; i++) {
		u64 set = hit_by(vcpu, group);

		assert_int_equal(__builtin_popcountll(set), 1);
		times[__builtin_ctzll(set)]++;
		had |= set;
	}
	assert_int_equal(had, 0xe);
	for (u32 i = 1; i <= 3; i++)
		assert_int_equal(times[i], 10);
	/* The count goes round. */
	for (u32 i = 1; i <= 3; i++)
		atomic_store(&nth(i)->lapic.chosen, i == 2 ? 0xffffffff : 0);
	assert_int_equal(hit_by(vcpu, group), BIT(2));
}

/* --- what arrives ---------------------------------------------------------------------------- */

static u32 errors(struct vcpu *v)
{
	put_reg(v, LAPIC_ESR, 0);
	return get_reg(v, LAPIC_ESR);
}

static void test_vectors(void **state)
{
	for (u32 vector = 0; vector < 256; vector++) {
		send_icr(vcpu, TO(3) | FIXED | vector);
		assert_int_equal(all_hit(), vector >= 16 ? BIT(3) : 0);
		assert_int_equal(pends(nth(3), (u8)vector), vector >= 16);
		assert_int_equal(errors(vcpu), vector >= 16 ? 0 : ESR_SENT);
		assert_int_equal(errors(nth(3)), vector >= 16 ? 0 : ESR_RECEIVED);
		clear_events();
	}
}

static void test_self_ipi(void **state)
{
	for (u32 vector = 0; vector < 256; vector++) {
		put_reg(vcpu, LAPIC_SELF_IPI, vector);
		assert_int_equal(all_hit(), vector >= 16 ? 1 : 0);
		assert_int_equal(pends(vcpu, (u8)vector), vector >= 16);
		assert_int_equal(errors(vcpu), vector >= 16 ? 0 : ESR_SENT | ESR_RECEIVED);
		clear_events();
	}
}

/* Both ends may ask to be interrupted for it; one that is disabled does not notice. */
static void test_error_interrupt(void **state)
{
	put_reg(vcpu, LAPIC_LVT_ERROR, 0xe1);
	put_reg(nth(3), LAPIC_LVT_ERROR, 0xe3);
	put_reg(nth(4), LAPIC_SVR, 0xff);
	send_icr(vcpu, TO(3) | FIXED | 5);
	assert_int_equal(all_hit(), BIT(0) | BIT(3));
	assert_true(pends(vcpu, 0xe1));
	assert_true(pends(nth(3), 0xe3));
	clear_events();
	send_icr(vcpu, TO(4) | LOWEST | 5);
	assert_int_equal(all_hit(), BIT(0));
	assert_int_equal(errors(nth(4)), 0);
	clear_events();
	/* NMI, INIT and SIPI have no vector that could be wrong. */
	put_reg(vcpu, LAPIC_ESR, 0);
	send_icr(vcpu, TO(3) | NMI | 5);
	send_icr(vcpu, TO(3) | STARTUP | 5);
	assert_int_equal(errors(vcpu), 0);
}

static void test_modes(void **state)
{
	send_icr(vcpu, TO(1) | NMI);
	send_icr(vcpu, TO(2) | INIT | ASSERT | LEVEL);
	send_icr(vcpu, TO(3) | INIT | LEVEL); /* de-assert: nothing */
	send_icr(vcpu, TO(4) | STARTUP | 0x9a);
	send_icr(vcpu, TO(5) | SMI);
	send_icr(vcpu, TO(5) | 3 << 8 | 0x40); /* reserved */
	send_icr(vcpu, TO(5) | 7 << 8 | 0x40);
	send_icr(vcpu, TO(6) | INIT | ASSERT);
	send_icr(vcpu, TO(7) | INIT); /* an edge has no other side */
	assert_int_equal(all_hit(), BIT(1) | BIT(2) | BIT(4) | BIT(6) | BIT(7));
	assert_int_equal(atomic_load(&nth(1)->lapic.pending), LAPIC_NMI);
	assert_int_equal(atomic_load(&nth(2)->lapic.pending), LAPIC_INIT);
	assert_int_equal(atomic_load(&nth(4)->lapic.pending), LAPIC_SIPI);
	assert_int_equal(atomic_load(&nth(4)->lapic.sipi_page), 0x9a);
	clear_events();
	/* The trigger mode of a fixed one is ignored: it is an edge. */
	send_icr(vcpu, TO(3) | FIXED | LEVEL | ASSERT | 0x44);
	assert_true(pends(nth(3), 0x44));
	assert_int_equal(get_reg(nth(3), LAPIC_TMR + 0x20), 0);
}

/* Software-disabled: no vectors, but NMI, INIT and SIPI, and it can send. Disabled: nothing. */
static void test_disabled(void **state)
{
	put_reg(nth(3), LAPIC_SVR, 0xff);
	assert_int_equal(hit_by(vcpu, TO(3) | FIXED | 0x40), 0);
	assert_int_equal(hit_by(vcpu, TO(3) | NMI), BIT(3));
	assert_int_equal(hit_by(vcpu, TO(3) | INIT | ASSERT), BIT(3));
	assert_int_equal(hit_by(vcpu, TO(3) | STARTUP | 1), BIT(3));
	assert_int_equal(hit_by(nth(3), TO(4) | FIXED | 0x40), BIT(4));
	fixture_load(nth(3), 0);
	put_msr(nth(3), MSR_APIC_BASE, LAPIC_DEFAULT_BASE);
	clear_events();
	assert_int_equal(hit_by(vcpu, TO(3) | FIXED | 0x40), 0);
	assert_int_equal(hit_by(vcpu, TO(3) | NMI), 0);
	assert_int_equal(hit_by(vcpu, TO(3) | INIT | ASSERT), 0);
	assert_int_equal(hit_by(vcpu, TO(3) | STARTUP | 1), 0);
	assert_int_equal(hit_by(vcpu, TO_OTHERS | NMI), ALL & ~BIT(3) & ~BIT(0));
	fixture_load(vcpu, 0);
}

#define MIXED(t) LAPIC_TEST(t, mixed)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_XAPIC(test_physical),	ON_X2APIC(test_physical),
		MIXED(test_physical),		ON_X2APIC(test_broadcast_x2apic),
		ON_XAPIC(test_broadcast_xapic), ON_X2APIC(test_logical_x2apic),
		ON_XAPIC(test_logical_flat),	ON_XAPIC(test_logical_cluster),
		ON_XAPIC(test_shorthands),	ON_X2APIC(test_shorthands),
		MIXED(test_shorthands),		MIXED(test_mixed),
		ON_XAPIC(test_aliased),		ON_X2APIC(test_lowest),
		ON_X2APIC(test_lowest_fair),	ON_XAPIC(test_vectors),
		ON_X2APIC(test_vectors),	ON_X2APIC(test_self_ipi),
		ON_XAPIC(test_error_interrupt), ON_X2APIC(test_error_interrupt),
		ON_XAPIC(test_modes),		ON_X2APIC(test_modes),
		ON_XAPIC(test_disabled),	ON_X2APIC(test_disabled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
