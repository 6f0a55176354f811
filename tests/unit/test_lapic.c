/* SPDX-License-Identifier: GPL-2.0-only */
/* The local APIC: who gets an IPI, in which order interrupts are taken, what the MSRs refuse. */
/* link: @vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"

#define VCPUS 20 /* two clusters of the logical mode */

enum { ID = 0x802, VERSION, TPR = 0x808, PPR = 0x80a, EOI, LDR = 0x80d, SVR = 0x80f };
enum { ISR = 0x810, TMR = 0x818, IRR = 0x820, ESR = 0x828, ICR = 0x830, SELF_IPI = 0x83f };
enum { FIXED, LOWEST = 1 << 8, NMI = 4 << 8, INIT = 5 << 8, STARTUP = 6 << 8 };

#define LOGICAL	   BIT(11)
#define ASSERT	   BIT(14)
#define LEVEL	   BIT(15)
#define TO_SELF	   (1ull << 18)
#define TO_ALL	   (2ull << 18)
#define TO_OTHERS  (3ull << 18)
#define TO(id)	   ((u64)(id) << 32)
#define BASE_BSP   BIT(8)
#define BASE_EXTD  BIT(10)
#define BASE_EN	   BIT(11)
#define BASE_RESET 0xfee00000ull

static struct vcpu *vcpu; /* the sender, and the one looked at: number 0 */

static struct vcpu *nth(u32 i)
{
	return fixture_vm->vcpu[i];
}

static int setup(void **state)
{
	fixture_start(VCPUS);
	vcpu = nth(0);
	for (u32 i = 0; i < VCPUS; i++)
		assert_int_equal(lapic_write(nth(i), MSR_APIC_BASE, nth(i)->lapic.base | BASE_EXTD),
				 0);
	return 0;
}

static int teardown(void **state)
{
	fixture_end();
	return 0;
}

static u64 get(struct vcpu *v, u32 msr)
{
	u64 value = 0xdeadbeefdeadbeef;

	assert_int_equal(lapic_read(v, msr, &value), 0);
	return value;
}

static void put(struct vcpu *v, u32 msr, u64 value)
{
	assert_int_equal(lapic_write(v, msr, value), 0);
}

static bool pends(struct vcpu *v, u8 vector)
{
	return get(v, IRR + vector / 32) >> (vector % 32) & 1;
}

/* What has arrived anywhere since the last call: the set of vCPUs with anything at all pending. */
static u32 hit(void)
{
	u32 set = 0;

	for (u32 i = 0; i < VCPUS; i++) {
		bool any = atomic_load(&nth(i)->lapic.pending);

		for (u32 n = 0; n < 8; n++)
			any |= get(nth(i), IRR + n) != 0;
		if (any != !!(atomic_load(&nth(i)->requests) & REQ_EVENT))
			fail_msg("vCPU %u: a request without an event, or the reverse", i);
		set |= any ? 1u << i : 0;
	}
	return set;
}

static void clear(void)
{
	for (u32 i = 0; i < VCPUS; i++) {
		atomic_store(&nth(i)->requests, 0);
		atomic_store(&nth(i)->lapic.pending, 0);
		for (u32 n = 0; n < 4; n++)
			atomic_store(&nth(i)->lapic.irr[n], 0);
	}
}

static u32 hit_by(struct vcpu *from, u64 icr)
{
	u32 set;

	put(from, ICR, icr);
	set = hit();
	clear();
	return set;
}

/* --- registers ------------------------------------------------------------------------------- */

static void test_reset(void **state)
{
	lapic_reset(nth(0));
	lapic_reset(nth(17));
	assert_int_equal(get(nth(0), MSR_APIC_BASE), BASE_RESET | BASE_EN | BASE_BSP);
	assert_int_equal(get(nth(17), MSR_APIC_BASE), BASE_RESET | BASE_EN);
	put(nth(17), MSR_APIC_BASE, BASE_RESET | BASE_EN | BASE_EXTD);
	assert_int_equal(get(nth(17), ID), 17);
	assert_int_equal(get(nth(17), VERSION), 0x50014);
	assert_int_equal(get(nth(17), LDR), 0x10002);
	assert_int_equal(get(nth(17), SVR), 0xff);
	assert_int_equal(get(nth(17), TPR), 0);
	assert_int_equal(get(nth(17), PPR), 0);
	assert_int_equal(get(nth(17), ESR), 0);
	assert_int_equal(get(nth(17), ICR), 0);
	for (u32 i = 0; i < 8; i++) {
		assert_int_equal(get(nth(17), ISR + i), 0);
		assert_int_equal(get(nth(17), TMR + i), 0);
		assert_int_equal(get(nth(17), IRR + i), 0);
	}
}

static bool readable(u32 msr)
{
	return msr == ID || msr == VERSION || msr == TPR || msr == PPR || msr == LDR ||
	       msr == SVR || msr == ESR || msr == ICR || (msr >= ISR && msr < ESR);
}

static bool writable(u32 msr)
{
	return msr == TPR || msr == EOI || msr == SVR || msr == ESR || msr == ICR ||
	       msr == SELF_IPI;
}

static void test_permissions(void **state)
{
	u64 value;

	for (u32 msr = 0x800; msr < 0x900; msr++) {
		assert_int_equal(lapic_read(vcpu, msr, &value), readable(msr) ? 0 : -EFAULT);
		assert_int_equal(lapic_write(vcpu, msr, 0), writable(msr) ? 0 : -EFAULT);
	}
}

/* Without x2APIC mode there are no such MSRs, whether the APIC is on or off. */
static void test_not_x2apic(void **state)
{
	static const u64 bases[] = { BASE_RESET, BASE_RESET | BASE_EN };
	u64 value;

	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		vcpu->lapic.base = bases[i];
		for (u32 msr = 0x800; msr < 0x900; msr++) {
			assert_int_equal(lapic_read(vcpu, msr, &value), -EFAULT);
			assert_int_equal(lapic_write(vcpu, msr, 0), -EFAULT);
		}
	}
}

static void test_reserved_bits(void **state)
{
	static const struct {
		u32 msr;
		u64 may;
	} cases[] = {
		{ TPR, 0xff },
		{ EOI, 0 },
		{ SVR, 0x1ff },
		{ ESR, 0 },
		{ SELF_IPI, 0xff },
		/* the delivery status (bit 12) is no longer there, but old code writes it */
		{ ICR, 0xffffffff000cdfffull },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (unsigned int bit = 0; bit < 64; bit++)
			assert_int_equal(lapic_write(vcpu, cases[i].msr, BIT(bit)),
					 cases[i].may & BIT(bit) ? 0 : -EFAULT);
}

static void test_values_stay(void **state)
{
	put(vcpu, TPR, 0x5a);
	assert_int_equal(get(vcpu, TPR), 0x5a);
	put(vcpu, SVR, 0x1a5);
	assert_int_equal(get(vcpu, SVR), 0x1a5);
	put(vcpu, ICR, TO(3) | FIXED | 0x44);
	assert_int_equal(get(vcpu, ICR), TO(3) | FIXED | 0x44);
}

static void test_base_transitions(void **state)
{
	const u64 off = BASE_RESET, x1 = off | BASE_EN, x2 = x1 | BASE_EXTD, bad = off | BASE_EXTD;
	const struct {
		u64 from, to;
		int result;
	} cases[] = {
		{ off, off, 0 }, { off, x1, 0 }, { off, x2, -EFAULT }, { off, bad, -EFAULT },
		{ x1, off, 0 },	 { x1, x1, 0 },	 { x1, x2, 0 },	       { x1, bad, -EFAULT },
		{ x2, off, 0 },	 { x2, x2, 0 },	 { x2, x1, -EFAULT },  { x2, bad, -EFAULT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		vcpu->lapic.base = cases[i].from;
		assert_int_equal(lapic_write(vcpu, MSR_APIC_BASE, cases[i].to), cases[i].result);
		assert_int_equal(get(vcpu, MSR_APIC_BASE),
				 cases[i].result ? cases[i].from : cases[i].to);
	}
}

static void test_base_reserved(void **state)
{
	const u64 on = BASE_EN | BASE_EXTD;

	for (unsigned int bit = 0; bit < 64; bit++) {
		bool may = (BIT(bit) & (on | BASE_BSP)) || (bit >= 12 && bit < vmx_caps.phys_bits);

		vcpu->lapic.base = on;
		assert_int_equal(lapic_write(vcpu, MSR_APIC_BASE, on | BIT(bit)),
				 may ? 0 : -EFAULT);
	}
}

/* --- who gets an IPI ------------------------------------------------------------------------- */

static void test_physical(void **state)
{
	for (u32 i = 0; i < VCPUS; i++)
		assert_int_equal(hit_by(vcpu, TO(i) | 0x40), 1u << i);
	assert_int_equal(hit_by(nth(19), TO(19) | 0x40), 1u << 19); /* itself */
	assert_int_equal(hit_by(vcpu, TO(VCPUS) | 0x40), 0);
	assert_int_equal(hit_by(vcpu, TO(0xff) | 0x40), 0); /* a broadcast only in xAPIC mode */
	assert_int_equal(hit_by(vcpu, TO(0xfffffffe) | 0x40), 0);
	assert_int_equal(hit_by(vcpu, TO(~0u) | 0x40), (1u << VCPUS) - 1);
}

static void test_logical(void **state)
{
	assert_int_equal(hit_by(vcpu, TO(0x00000001) | LOGICAL | 0x40), 1u << 0);
	assert_int_equal(hit_by(vcpu, TO(0x00008005) | LOGICAL | 0x40), 0x8005);
	assert_int_equal(hit_by(vcpu, TO(0x0001000a) | LOGICAL | 0x40), 0xau << 16);
	assert_int_equal(hit_by(vcpu, TO(0x0001ffff) | LOGICAL | 0x40), 0xfu << 16);
	assert_int_equal(hit_by(vcpu, TO(0x0002ffff) | LOGICAL | 0x40), 0);
	assert_int_equal(hit_by(vcpu, TO(0x00010000) | LOGICAL | 0x40), 0);
	assert_int_equal(hit_by(vcpu, TO(~0u) | LOGICAL | 0x40), (1u << VCPUS) - 1);
}

static void test_shorthands(void **state)
{
	const u32 all = (1u << VCPUS) - 1;

	/* the destination does not count */
	assert_int_equal(hit_by(nth(5), TO(9) | TO_SELF | 0x40), 1u << 5);
	assert_int_equal(hit_by(nth(5), TO(9) | TO_ALL | 0x40), all);
	assert_int_equal(hit_by(nth(5), TO(9) | TO_OTHERS | 0x40), all & ~(1u << 5));
	assert_int_equal(hit_by(nth(5), TO_OTHERS | NMI), all & ~(1u << 5));
	assert_int_equal(hit_by(nth(5), TO_OTHERS | INIT | ASSERT), all & ~(1u << 5));
	assert_int_equal(hit_by(nth(5), TO_OTHERS | STARTUP | 9), all & ~(1u << 5));
}

/* Lowest priority: exactly one of those addressed. */
static void test_lowest(void **state)
{
	u32 set = hit_by(vcpu, TO(0x00018000 | 6) | LOGICAL | LOWEST | 0x40);

	assert_int_equal(set & ~(6u << 16), 0);
	assert_int_equal(__builtin_popcount(set), 1);
	assert_int_equal(__builtin_popcount(hit_by(vcpu, TO(~0u) | LOWEST | 0x40)), 1);
	assert_int_equal(hit_by(vcpu, TO(7) | LOWEST | 0x40), 1u << 7);
}

static void test_vectors(void **state)
{
	for (u32 vector = 0; vector < 256; vector++) {
		put(vcpu, ICR, TO(3) | FIXED | vector);
		assert_int_equal(pends(nth(3), (u8)vector), vector >= 16);
		clear();
		put(vcpu, SELF_IPI, vector);
		assert_int_equal(hit(), vector >= 16 ? 1 : 0);
		assert_int_equal(pends(vcpu, (u8)vector), vector >= 16);
		clear();
	}
}

static void test_modes(void **state)
{
	put(vcpu, ICR, TO(1) | NMI);
	put(vcpu, ICR, TO(2) | INIT | ASSERT | LEVEL);
	put(vcpu, ICR, TO(3) | INIT | LEVEL); /* de-assert: nothing */
	put(vcpu, ICR, TO(4) | STARTUP | 0x9a);
	put(vcpu, ICR, TO(5) | 2 << 8 | 0x40); /* SMI, and what does not exist */
	put(vcpu, ICR, TO(5) | 3 << 8 | 0x40);
	put(vcpu, ICR, TO(5) | 7 << 8 | 0x40);
	assert_int_equal(hit(), BIT(1) | BIT(2) | BIT(4));
	assert_int_equal(atomic_load(&nth(1)->lapic.pending), LAPIC_NMI);
	assert_int_equal(atomic_load(&nth(2)->lapic.pending), LAPIC_INIT);
	assert_int_equal(atomic_load(&nth(4)->lapic.pending), LAPIC_SIPI);
	assert_int_equal(atomic_load(&nth(4)->lapic.sipi_page), 0x9a);
}

/* --- priorities ------------------------------------------------------------------------------ */

static void test_highest_first(void **state)
{
	static const u8 vectors[] = { 0x31, 0xff, 0x40, 0x10, 0x7f, 0x80, 0xc0, 0x3f };
	static const u8 order[] = { 0xff, 0xc0, 0x80, 0x7f, 0x40, 0x3f, 0x31, 0x10 };

	assert_int_equal(lapic_highest(vcpu), -1);
	for (size_t i = 0; i < sizeof(vectors); i++)
		lapic_post(vcpu, vectors[i]);
	for (size_t i = 0; i < sizeof(order); i++) {
		assert_int_equal(lapic_highest(vcpu), order[i]);
		lapic_accept(vcpu, order[i]);
		assert_false(pends(vcpu, order[i]));
		assert_int_equal(get(vcpu, ISR + order[i] / 32), BIT(order[i] % 32));
		put(vcpu, EOI, 0);
	}
	assert_int_equal(lapic_highest(vcpu), -1);
}

/* Only a higher class (upper four bits) interrupts what is in service. */
static void test_nesting(void **state)
{
	lapic_post(vcpu, 0x55);
	lapic_accept(vcpu, 0x55);
	assert_int_equal(get(vcpu, PPR), 0x50);
	lapic_post(vcpu, 0x5f);
	lapic_post(vcpu, 0x22);
	assert_int_equal(lapic_highest(vcpu), -1);
	lapic_post(vcpu, 0x60);
	assert_int_equal(lapic_highest(vcpu), 0x60);
	lapic_accept(vcpu, 0x60);
	assert_int_equal(get(vcpu, PPR), 0x60);
	lapic_post(vcpu, 0x55); /* once in service and once more pending */
	put(vcpu, EOI, 0);	/* ends 0x60 */
	assert_int_equal(get(vcpu, PPR), 0x50);
	assert_int_equal(lapic_highest(vcpu), -1);
	put(vcpu, EOI, 0); /* ends 0x55 */
	assert_int_equal(get(vcpu, PPR), 0);
	assert_int_equal(lapic_highest(vcpu), 0x5f);
	lapic_accept(vcpu, 0x5f);
	put(vcpu, EOI, 0);
	assert_int_equal(lapic_highest(vcpu), 0x55);
}

static void test_eoi_of_nothing(void **state)
{
	put(vcpu, EOI, 0);
	lapic_post(vcpu, 0x30);
	put(vcpu, EOI, 0);
	assert_true(pends(vcpu, 0x30));
	assert_int_equal(lapic_highest(vcpu), 0x30);
}

static void test_task_priority(void **state)
{
	lapic_post(vcpu, 0x4f);
	put(vcpu, TPR, 0x40);
	assert_int_equal(lapic_highest(vcpu), -1);
	assert_int_equal(get(vcpu, PPR), 0x40);
	put(vcpu, TPR, 0x3f);
	assert_int_equal(get(vcpu, PPR), 0x3f);
	assert_int_equal(lapic_highest(vcpu), 0x4f);
	/* The processor priority is the higher of the task's and of what is in service. */
	lapic_accept(vcpu, 0x4f);
	assert_int_equal(get(vcpu, PPR), 0x40);
	put(vcpu, TPR, 0x72);
	assert_int_equal(get(vcpu, PPR), 0x72);
	put(vcpu, TPR, 0xff);
	lapic_post(vcpu, 0xff);
	assert_int_equal(lapic_highest(vcpu), -1);
	assert_true(pends(vcpu, 0xff));
}

/* Lowering the priority, by MSR or CR8, or an EOI makes the run loop look again. */
static void test_look_again(void **state)
{
	clear();
	put(vcpu, TPR, 0);
	assert_int_equal(atomic_exchange(&vcpu->requests, 0), REQ_EVENT);
	put(vcpu, EOI, 0);
	assert_int_equal(atomic_exchange(&vcpu->requests, 0), REQ_EVENT);
}

/* --- starting and stopping ------------------------------------------------------------------- */

static void test_init(void **state)
{
	struct vcpu *ap = nth(1);

	fixture_load(ap, 0);
	ap->mp_state = MP_RUNNABLE;
	put(ap, TPR, 0x20);
	put(ap, SVR, 0x1ff);
	lapic_post(ap, 0x40);
	lapic_accept(ap, 0x40);
	lapic_post(ap, 0x50);
	lapic_post_nmi(ap);
	vmx_set(&ap->vmx, REG_RIP, 0x1234);
	put(vcpu, ICR, TO(1) | INIT | ASSERT);
	assert_int_equal(vcpu_deliver_events(ap), RESUME_GUEST);
	assert_int_equal(ap->mp_state, MP_WAIT_SIPI);
	assert_int_equal(atomic_load(&ap->lapic.pending), 0); /* the NMI is gone */
	assert_int_equal(vcpu_rip(ap), 0xfff0);
	expect_no_event(ap);
	/* x2APIC mode and the id stay */
	assert_int_equal(get(ap, MSR_APIC_BASE), BASE_RESET | BASE_EN | BASE_EXTD);
	assert_int_equal(get(ap, ID), 1);
	assert_int_equal(get(ap, TPR), 0);
	assert_int_equal(get(ap, SVR), 0xff);
	assert_int_equal(get(ap, ISR + 2), 0);
	assert_int_equal(get(ap, IRR + 2), 0);
	fixture_load(vcpu, 0);
}

static void test_startup(void **state)
{
	struct vcpu *ap = nth(2);

	fixture_load(ap, 0);
	ap->mp_state = MP_WAIT_SIPI;
	put(vcpu, ICR, TO(2) | STARTUP | 0x9a);
	assert_int_equal(vcpu_deliver_events(ap), RESUME_GUEST);
	assert_int_equal(ap->mp_state, MP_RUNNABLE);
	assert_int_equal(vcpu_rip(ap), 0);
	assert_int_equal(fake_of(ap)->seg[VSEG_CS].selector, 0x9a00);
	assert_int_equal(fake_of(ap)->seg[VSEG_CS].base, 0x9a000);
	/* A second one, as operating systems send it, does nothing. */
	vmx_set(&ap->vmx, REG_RIP, 0x77);
	put(vcpu, ICR, TO(2) | STARTUP | 0x10);
	assert_int_equal(vcpu_deliver_events(ap), RESUME_GUEST);
	assert_int_equal(vcpu_rip(ap), 0x77);
	assert_int_equal(atomic_load(&ap->lapic.pending), 0);
	/* INIT and SIPI that arrive together start it again. */
	put(vcpu, ICR, TO(2) | INIT | ASSERT);
	put(vcpu, ICR, TO(2) | STARTUP | 0x10);
	assert_int_equal(vcpu_deliver_events(ap), RESUME_GUEST);
	assert_int_equal(ap->mp_state, MP_RUNNABLE);
	assert_int_equal(fake_of(ap)->seg[VSEG_CS].base, 0x10000);
	fixture_load(vcpu, 0);
}

/* While it waits for SIPI a processor takes neither NMIs nor interrupts; an NMI stays pending. */
static void test_nothing_before_startup(void **state)
{
	struct vcpu *ap = nth(3);

	fixture_load(ap, 0);
	assert_int_equal(ap->mp_state, MP_WAIT_SIPI);
	vmx_set(&ap->vmx, REG_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
	lapic_post_nmi(ap);
	lapic_post(ap, 0x40);
	assert_int_equal(vcpu_deliver_events(ap), RESUME_GUEST);
	assert_int_equal(ap->mp_state, MP_WAIT_SIPI);
	expect_no_event(ap);
	assert_int_equal(atomic_load(&ap->lapic.pending), LAPIC_NMI);
	put(vcpu, ICR, TO(3) | STARTUP | 1);
	assert_int_equal(vcpu_deliver_events(ap), RESUME_GUEST);
	assert_true(fake_of(ap)->queued);
	assert_int_equal(fake_of(ap)->event.type, EVENT_NMI);
	fixture_load(vcpu, 0);
}

/* The boot processor starts at the reset vector by itself. */
static void test_init_of_boot_cpu(void **state)
{
	vmx_set(&vcpu->vmx, REG_RIP, 0x1234);
	put(vcpu, ICR, TO_ALL | INIT | ASSERT);
	assert_int_equal(vcpu_deliver_events(vcpu), RESUME_GUEST);
	assert_int_equal(vcpu->mp_state, MP_RUNNABLE);
	assert_int_equal(vcpu_rip(vcpu), 0xfff0);
	assert_int_equal(fake_of(vcpu)->seg[VSEG_CS].base, 0xffff0000);
	assert_true(get(vcpu, MSR_APIC_BASE) & BASE_BSP);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reset),
		TEST(test_permissions),
		TEST(test_not_x2apic),
		TEST(test_reserved_bits),
		TEST(test_values_stay),
		TEST(test_base_transitions),
		TEST(test_base_reserved),
		TEST(test_physical),
		TEST(test_logical),
		TEST(test_shorthands),
		TEST(test_lowest),
		TEST(test_vectors),
		TEST(test_modes),
		TEST(test_highest_first),
		TEST(test_nesting),
		TEST(test_eoi_of_nothing),
		TEST(test_task_priority),
		TEST(test_look_again),
		TEST(test_init),
		TEST(test_startup),
		TEST(test_nothing_before_startup),
		TEST(test_init_of_boot_cpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
