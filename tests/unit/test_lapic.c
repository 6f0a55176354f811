/* SPDX-License-Identifier: GPL-2.0-only */
/* The local APIC: what is pending and what is in service, priorities, EOI, level-triggered. */
/* link: @vm tests/unit/lapic_fixture.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/x86.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/lapic_fixture.h"

static struct vcpu *vcpu;

/* Without virtual-interrupt delivery, so that software has all of it to do. */
static int setup(void **state)
{
	lapic_fixture_start(4, VMX_APIC_REGISTER, LAPIC_X2APIC);
	vcpu = nth(0);
	return 0;
}

/* Delivery, but x2APIC mode is not virtualized: an EOI exits, and the CPU has to be told. */
static int setup_delivery(void **state)
{
	lapic_fixture_start(4, VMX_APIC_DELIVERY, LAPIC_X2APIC);
	vcpu = nth(0);
	return 0;
}

static int teardown(void **state)
{
	lapic_fixture_end();
	return 0;
}

static void take(u8 vector)
{
	assert_int_equal(lapic_highest(vcpu), vector);
	lapic_accept(vcpu, vector);
	assert_false(pends(vcpu, vector));
	assert_true(in_service(vcpu, vector));
}

static void end(void)
{
	put_reg(vcpu, LAPIC_EOI, 0);
}

/* --- priorities ------------------------------------------------------------------------------ */

static void test_highest_first(void **state)
{
	static const u8 vectors[] = { 0x31, 0xff, 0x40, 0x10, 0x7f, 0x80, 0xc0, 0x3f };
	static const u8 order[] = { 0xff, 0xc0, 0x80, 0x7f, 0x40, 0x3f, 0x31, 0x10 };

	assert_int_equal(lapic_sync(vcpu), -1);
	assert_int_equal(lapic_highest(vcpu), -1);
	for (size_t i = 0; i < sizeof(vectors); i++)
		lapic_post(vcpu, vectors[i]);
	assert_int_equal(lapic_highest(vcpu), -1); /* posted is not requested yet */
	assert_int_equal(lapic_sync(vcpu), 0xff);
	for (size_t i = 0; i < sizeof(order); i++) {
		take(order[i]);
		end();
		assert_false(in_service(vcpu, order[i]));
	}
	assert_int_equal(lapic_sync(vcpu), -1);
}

/* Each vector has its own bit, in each of the three arrays. */
static void test_every_vector(void **state)
{
	for (unsigned int v = 16; v < 256; v++) {
		lapic_post(vcpu, (u8)v);
		assert_int_equal(lapic_sync(vcpu), v);
		for (u32 n = 0; n < 8; n++)
			assert_int_equal(get_reg(vcpu, LAPIC_IRR + n * 16),
					 v / 32 == n ? BIT(v % 32) : 0);
		take((u8)v);
		for (u32 n = 0; n < 8; n++) {
			assert_int_equal(get_reg(vcpu, LAPIC_IRR + n * 16), 0);
			assert_int_equal(get_reg(vcpu, LAPIC_TMR + n * 16), 0);
			assert_int_equal(get_reg(vcpu, LAPIC_ISR + n * 16),
					 v / 32 == n ? BIT(v % 32) : 0);
		}
		end();
	}
}

/* Only a higher class (upper four bits) interrupts what is in service. */
static void test_nesting(void **state)
{
	lapic_post(vcpu, 0x55);
	lapic_sync(vcpu);
	take(0x55);
	assert_int_equal(get_reg(vcpu, LAPIC_PPR), 0x50);
	lapic_post(vcpu, 0x5f);
	lapic_post(vcpu, 0x22);
	assert_int_equal(lapic_sync(vcpu), 0x5f);
	assert_int_equal(lapic_highest(vcpu), -1);
	lapic_post(vcpu, 0x60);
	lapic_sync(vcpu);
	take(0x60);
	assert_int_equal(get_reg(vcpu, LAPIC_PPR), 0x60);
	lapic_post(vcpu, 0x55); /* once in service and once more pending */
	lapic_sync(vcpu);
	end(); /* of 0x60 */
	assert_int_equal(get_reg(vcpu, LAPIC_PPR), 0x50);
	assert_int_equal(lapic_highest(vcpu), -1);
	end(); /* of 0x55 */
	assert_int_equal(get_reg(vcpu, LAPIC_PPR), 0);
	take(0x5f);
	end();
	take(0x55);
	end();
	take(0x22);
}

static void test_eoi_of_nothing(void **state)
{
	end();
	lapic_post(vcpu, 0x30);
	end();
	assert_true(pends(vcpu, 0x30));
	assert_int_equal(lapic_highest(vcpu), 0x30);
}

static void test_task_priority(void **state)
{
	lapic_post(vcpu, 0x4f);
	lapic_sync(vcpu);
	put_reg(vcpu, LAPIC_TPR, 0x40);
	assert_int_equal(lapic_highest(vcpu), -1);
	assert_int_equal(get_reg(vcpu, LAPIC_PPR), 0x40);
	put_reg(vcpu, LAPIC_TPR, 0x3f);
	assert_int_equal(get_reg(vcpu, LAPIC_PPR), 0x3f);
	/* The processor priority is the higher of the task's and of what is in service. */
	take(0x4f);
	assert_int_equal(get_reg(vcpu, LAPIC_PPR), 0x40);
	put_reg(vcpu, LAPIC_TPR, 0x42); /* in the same class: the task's, with its lower half */
	assert_int_equal(get_reg(vcpu, LAPIC_PPR), 0x42);
	put_reg(vcpu, LAPIC_TPR, 0x72);
	assert_int_equal(get_reg(vcpu, LAPIC_PPR), 0x72);
	put_reg(vcpu, LAPIC_TPR, 0xff);
	lapic_post(vcpu, 0xff);
	lapic_sync(vcpu);
	assert_int_equal(lapic_highest(vcpu), -1);
	assert_true(pends(vcpu, 0xff));
}

/* The two halves of lapic_highest() that a sleeping vCPU uses: what is posted counts too. */
static void test_above(void **state)
{
	assert_int_equal(lapic_priority(vcpu), 0);
	assert_false(lapic_above(vcpu, 0));
	lapic_post(vcpu, 0x45);
	assert_true(lapic_above(vcpu, 0));
	assert_true(lapic_above(vcpu, 0x30));
	assert_false(lapic_above(vcpu, 0x40));
	lapic_sync(vcpu);
	assert_true(lapic_above(vcpu, 0x30));
	assert_false(lapic_above(vcpu, 0x40));
	take(0x45);
	assert_false(lapic_above(vcpu, 0));
	assert_int_equal(lapic_priority(vcpu), 0x40);
	lapic_set_tpr(vcpu, 0x6f);
	assert_int_equal(lapic_priority(vcpu), 0x60);
	assert_int_equal(lapic_get_tpr(vcpu), 0x6f);
}

static bool asked_to_look(void)
{
	return atomic_exchange(&vcpu->requests, 0) & REQ_EVENT;
}

/*
 * A priority that falls, or may have, makes the run loop look again if there is something to be
 * found: also when the task's priority holds it back, since that look sets the TPR threshold.
 */
static void test_look_again(void **state)
{
	put_reg(vcpu, LAPIC_TPR, 0x10);
	end();
	assert_false(asked_to_look());
	lapic_post(vcpu, 0x20);
	lapic_sync(vcpu);
	take(0x20);
	asked_to_look();
	put_reg(vcpu, LAPIC_TPR, 0);
	assert_false(asked_to_look());
	lapic_post(vcpu, 0x21);
	lapic_sync(vcpu);
	asked_to_look();
	put_reg(vcpu, LAPIC_TPR, 0x20);
	assert_true(asked_to_look());
	end();
	assert_true(asked_to_look());
	put_reg(vcpu, LAPIC_TPR, 0x1f);
	assert_true(asked_to_look());
}

/* In service something higher; when that ends only the TPR, raised without an exit, is in the way:
 * its fall has to be an exit. */
static void test_threshold_after_eoi(void **state)
{
	lapic_post(vcpu, 0x60);
	lapic_sync(vcpu);
	take(0x60);
	lapic_post(vcpu, 0x5f);
	assert_int_equal(vcpu_deliver_events(vcpu), RESUME_GUEST);
	assert_int_equal(vcpu->vmx.tpr_threshold, 0);
	assert_false(fake_guest_tpr(vcpu, 0x50));
	end();
	assert_true(asked_to_look());
	assert_int_equal(vcpu_deliver_events(vcpu), RESUME_GUEST);
	assert_int_equal(vcpu->vmx.tpr_threshold, 5);
	assert_true(fake_guest_tpr(vcpu, 0x40));
}

/* A threshold must not stay above the TPR, whatever else holds the vector back. */
static void test_threshold_follows(void **state)
{
	lapic_post(vcpu, 0x70);
	lapic_sync(vcpu);
	take(0x70);
	put_reg(vcpu, LAPIC_TPR, 0x60);
	lapic_post(vcpu, 0x55);
	assert_int_equal(vcpu_deliver_events(vcpu), RESUME_GUEST);
	assert_int_equal(vcpu->vmx.tpr_threshold, 5);
	put_reg(vcpu, LAPIC_TPR, 0x40);
	assert_true(asked_to_look());
	assert_int_equal(vcpu_deliver_events(vcpu), RESUME_GUEST);
	assert_int_equal(vcpu->vmx.tpr_threshold, 0);
}

/* --- who takes an interrupt ------------------------------------------------------------------- */

static void test_disabled_drops(void **state)
{
	put_reg(vcpu, LAPIC_SVR, 0xff);
	lapic_post(vcpu, 0x40);
	lapic_post_level(vcpu, 0x41);
	assert_int_equal(lapic_sync(vcpu), -1);
	assert_int_equal(all_hit(), 0);
	/* What it has already stays, an NMI is no vector. */
	put_reg(vcpu, LAPIC_SVR, 0x1ff);
	lapic_post(vcpu, 0x42);
	put_reg(vcpu, LAPIC_SVR, 0xff);
	lapic_post_nmi(vcpu);
	assert_int_equal(lapic_sync(vcpu), 0x42);
	assert_int_equal(lapic_highest(vcpu), 0x42);
	assert_int_equal(atomic_load(&vcpu->lapic.pending), LAPIC_NMI);
}

/* One that was posted while IA32_APIC_BASE changed does not show up in a disabled APIC. */
static void test_too_late(void **state)
{
	put_msr(vcpu, MSR_APIC_BASE, LAPIC_DEFAULT_BASE | LAPIC_BASE_BSP);
	atomic_store(&vcpu->lapic.posted[1], 1);
	assert_int_equal(lapic_sync(vcpu), -1);
	assert_int_equal(atomic_load(&vcpu->lapic.posted[1]), 0);
}

static void test_events_kick(void **state)
{
	u64 seq = atomic_load(&vcpu->event_seq);

	lapic_post(vcpu, 0x20);
	assert_int_equal(atomic_load(&vcpu->event_seq), seq + 1);
	assert_true(asked_to_look());
	lapic_post_level(vcpu, 0x20);
	assert_int_equal(atomic_load(&vcpu->event_seq), seq + 2);
	assert_true(asked_to_look());
	lapic_post_nmi(vcpu);
	assert_int_equal(atomic_load(&vcpu->event_seq), seq + 3);
	assert_true(asked_to_look());
}

/* A processor that takes an NMI latches one more, and no third. */
static void test_two_nmis(void **state)
{
	for (unsigned int i = 0; i < 3; i++)
		lapic_post_nmi(vcpu);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(vcpu_deliver_events(vcpu), RESUME_GUEST);
		assert_true(fake_of(vcpu)->queued);
		assert_int_equal(fake_of(vcpu)->event.type, EVENT_NMI);
		assert_int_equal(fake_of(vcpu)->nmi_window, !i);
		fake_of(vcpu)->queued = false;
	}
	assert_int_equal(vcpu_deliver_events(vcpu), RESUME_GUEST);
	expect_no_event(vcpu);
	assert_int_equal(atomic_load(&vcpu->lapic.pending), 0);
	/* One that is in its handler already latches a single one. */
	fake_of(vcpu)->nmi_blocked = true;
	lapic_post_nmi(vcpu);
	lapic_post_nmi(vcpu);
	assert_int_equal(vcpu_deliver_events(vcpu), RESUME_GUEST);
	assert_int_equal(atomic_load(&vcpu->lapic.pending), LAPIC_NMI);
}

/* --- level-triggered ------------------------------------------------------------------------- */

static u64 eoi_exits(unsigned int word)
{
	return fake_of(vcpu)->apic.eoi_exits[word];
}

static void test_level(void **state)
{
	lapic_post_level(vcpu, 0x65);
	lapic_sync(vcpu);
	assert_int_equal(get_reg(vcpu, LAPIC_TMR + 0x30), BIT(5));
	take(0x65);
	vcpu->run.reason = RUN_EXIT_NONE;
	assert_int_equal(lapic_write(vcpu, MSR_OF(LAPIC_EOI), 0), 1);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_EOI);
	assert_int_equal(vcpu->run.eoi.vector, 0x65);
	assert_false(in_service(vcpu, 0x65));
	/* The same vector as an edge: an EOI like any other. */
	lapic_post(vcpu, 0x65);
	lapic_sync(vcpu);
	assert_int_equal(get_reg(vcpu, LAPIC_TMR + 0x30), 0);
	take(0x65);
	assert_int_equal(lapic_write(vcpu, MSR_OF(LAPIC_EOI), 0), 0);
}

/* Of two with one vector it is the later that counts; the neighbours keep what they are. */
static void test_level_and_edge(void **state)
{
	lapic_post_level(vcpu, 0x70);
	lapic_post_level(vcpu, 0x71);
	lapic_sync(vcpu);
	lapic_post(vcpu, 0x71);
	lapic_post(vcpu, 0x72);
	lapic_post_level(vcpu, 0x72);
	lapic_sync(vcpu);
	assert_int_equal(get_reg(vcpu, LAPIC_TMR + 0x30), BIT(0x10) | BIT(0x12));
	assert_int_equal(get_reg(vcpu, LAPIC_IRR + 0x30), 7u << 0x10);
}

static void test_level_delivered(void **state)
{
	assert_true(vmx_apic_delivers(&vcpu->vmx));
	lapic_post_level(vcpu, 0x65);
	lapic_post_level(vcpu, 0xfe);
	lapic_sync(vcpu);
	assert_int_equal(eoi_exits(1), BIT(0x25));
	assert_int_equal(eoi_exits(3), BIT(0x3e));
	lapic_post(vcpu, 0x65);
	lapic_sync(vcpu);
	assert_int_equal(eoi_exits(1), 0);
	assert_int_equal(eoi_exits(3), BIT(0x3e));
	assert_int_equal(lapic_eoi_virtualized(vcpu, 0xfe), 1);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_EOI);
	assert_int_equal(vcpu->run.eoi.vector, 0xfe);
}

/* EOI by MSR: the CPU delivers by what it believes to be in service. */
static void test_eoi_delivered(void **state)
{
	lapic_post(vcpu, 0x40);
	lapic_sync(vcpu);
	take(0x40);
	lapic_post(vcpu, 0x50);
	lapic_sync(vcpu);
	take(0x50);
	fake_of(vcpu)->apic.in_service = 0x50;
	end();
	assert_int_equal(fake_of(vcpu)->apic.in_service, 0x40);
	end();
	assert_int_equal(fake_of(vcpu)->apic.in_service, 0);
	/* It looks at the next entry by itself. */
	asked_to_look();
	lapic_post(vcpu, 0x30);
	lapic_sync(vcpu);
	asked_to_look();
	put_reg(vcpu, LAPIC_TPR, 0x40);
	put_reg(vcpu, LAPIC_TPR, 0);
	end();
	assert_false(asked_to_look());
}

/* --- starting and stopping ------------------------------------------------------------------- */

static void check_init(struct vcpu *ap)
{
	assert_int_equal(atomic_load(&ap->lapic.pending), 0); /* the NMI is gone */
	assert_int_equal(get_reg(ap, LAPIC_TPR), 0);
	assert_int_equal(get_reg(ap, LAPIC_SVR), 0xff);
	assert_int_equal(get_reg(ap, LAPIC_LVT_LINT0), LVT_MASKED);
	assert_int_equal(get_reg(ap, LAPIC_TIMER_INITIAL), 0);
	assert_int_equal(get_reg(ap, LAPIC_TIMER_CURRENT), 0);
	for (u32 n = 0; n < 8; n++) {
		assert_int_equal(get_reg(ap, LAPIC_ISR + n * 16), 0);
		assert_int_equal(get_reg(ap, LAPIC_TMR + n * 16), 0);
		assert_int_equal(get_reg(ap, LAPIC_IRR + n * 16), 0);
	}
	assert_false(lapic_timer_runs(ap));
}

static void test_init(void **state)
{
	struct vcpu *ap = nth(1);

	fixture_load(ap, 0);
	ap->mp_state = MP_RUNNABLE;
	put_reg(ap, LAPIC_TPR, 0x20);
	put_reg(ap, LAPIC_LVT_LINT0, 0x700);
	put_reg(ap, LAPIC_LVT_TIMER, 0x77);
	put_reg(ap, LAPIC_TIMER_INITIAL, 100000);
	assert_true(lapic_timer_runs(ap));
	lapic_post_level(ap, 0x40);
	lapic_sync(ap);
	lapic_accept(ap, 0x40);
	lapic_post(ap, 0x50);
	lapic_post_nmi(ap);
	vmx_set(&ap->vmx, REG_RIP, 0x1234);
	send_icr(vcpu, TO(1) | INIT | ASSERT);
	assert_int_equal(vcpu_deliver_events(ap), RESUME_GUEST);
	assert_int_equal(ap->mp_state, MP_WAIT_SIPI);
	assert_int_equal(vcpu_rip(ap), 0xfff0);
	expect_no_event(ap);
	/* x2APIC mode and the id stay */
	assert_int_equal(get_msr(ap, MSR_APIC_BASE),
			 LAPIC_DEFAULT_BASE | LAPIC_BASE_EN | LAPIC_BASE_EXTD);
	assert_int_equal(get_reg(ap, LAPIC_ID), 1);
	assert_int_equal(get_reg(ap, LAPIC_LDR), 2);
	check_init(ap);
	fixture_load(vcpu, 0);
}

static void test_startup(void **state)
{
	struct vcpu *ap = nth(2);

	fixture_load(ap, 0);
	ap->mp_state = MP_WAIT_SIPI;
	send_icr(vcpu, TO(2) | STARTUP | 0x9a);
	assert_int_equal(vcpu_deliver_events(ap), RESUME_GUEST);
	assert_int_equal(ap->mp_state, MP_RUNNABLE);
	assert_int_equal(vcpu_rip(ap), 0);
	assert_int_equal(fake_of(ap)->seg[VSEG_CS].selector, 0x9a00);
	assert_int_equal(fake_of(ap)->seg[VSEG_CS].base, 0x9a000);
	/* A second one, as operating systems send it, does nothing. */
	vmx_set(&ap->vmx, REG_RIP, 0x77);
	send_icr(vcpu, TO(2) | STARTUP | 0x10);
	assert_int_equal(vcpu_deliver_events(ap), RESUME_GUEST);
	assert_int_equal(vcpu_rip(ap), 0x77);
	assert_int_equal(atomic_load(&ap->lapic.pending), 0);
	/* INIT and SIPI that arrive together start it again. */
	send_icr(vcpu, TO(2) | INIT | ASSERT);
	send_icr(vcpu, TO(2) | STARTUP | 0x10);
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
	send_icr(vcpu, TO(3) | STARTUP | 1);
	assert_int_equal(vcpu_deliver_events(ap), RESUME_GUEST);
	assert_true(fake_of(ap)->queued);
	assert_int_equal(fake_of(ap)->event.type, EVENT_NMI);
	fixture_load(vcpu, 0);
}

/* The boot processor starts at the reset vector by itself. */
static void test_init_of_boot_cpu(void **state)
{
	vmx_set(&vcpu->vmx, REG_RIP, 0x1234);
	send_icr(vcpu, TO_ALL | INIT | ASSERT);
	assert_int_equal(vcpu_deliver_events(vcpu), RESUME_GUEST);
	assert_int_equal(vcpu->mp_state, MP_RUNNABLE);
	assert_int_equal(vcpu_rip(vcpu), 0xfff0);
	assert_int_equal(fake_of(vcpu)->seg[VSEG_CS].base, 0xffff0000);
	assert_true(get_msr(vcpu, MSR_APIC_BASE) & LAPIC_BASE_BSP);
}

#define TEST(t)	   cmocka_unit_test_setup_teardown(t, setup, teardown)
#define DELIVER(t) cmocka_unit_test_setup_teardown(t, setup_delivery, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_highest_first),
		TEST(test_every_vector),
		DELIVER(test_every_vector),
		TEST(test_nesting),
		DELIVER(test_nesting),
		TEST(test_eoi_of_nothing),
		DELIVER(test_eoi_of_nothing),
		TEST(test_task_priority),
		TEST(test_above),
		DELIVER(test_above),
		TEST(test_look_again),
		TEST(test_threshold_after_eoi),
		TEST(test_threshold_follows),
		TEST(test_disabled_drops),
		TEST(test_too_late),
		TEST(test_events_kick),
		TEST(test_two_nmis),
		TEST(test_level),
		DELIVER(test_level),
		TEST(test_level_and_edge),
		DELIVER(test_level_delivered),
		DELIVER(test_eoi_delivered),
		TEST(test_init),
		DELIVER(test_init),
		TEST(test_startup),
		TEST(test_nothing_before_startup),
		TEST(test_init_of_boot_cpu),
		DELIVER(test_init_of_boot_cpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
