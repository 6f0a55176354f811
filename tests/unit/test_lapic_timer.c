/* SPDX-License-Identifier: GPL-2.0-only */
/* The local APIC's timer, on a clock that stands still: no expiry early, none lost, none invented.
 */
/* link: @vm tests/unit/lapic_fixture.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "hv/host/x86.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/lapic_fixture.h"

#define VECTOR	     0x91
#define ONE_SHOT     VECTOR
#define PERIODIC     (0x20000 | VECTOR)
#define TSC_DEADLINE (0x40000 | VECTOR)
#define BY_1	     0xb
#define SHORTEST     10000 /* ticks: more than 5 us of this machine */

static struct vcpu *vcpu;

static int setup(void **state)
{
	lapic_fixture_start(2, VMX_APIC_REGISTER, LAPIC_XAPIC);
	vcpu = nth(0);
	put_reg(vcpu, LAPIC_TIMER_DIVIDE, BY_1);
	return 0;
}

static int teardown(void **state)
{
	lapic_fixture_end();
	return 0;
}

/* Time passes, and what is due fires. Returns whether the guest got an interrupt. */
static bool pass(u64 ticks)
{
	bool came;

	fake_machine.now += ticks;
	fake_run_timers();
	came = pends(vcpu, VECTOR);
	clear_events();
	return came;
}

static u32 count(void)
{
	return get_reg(vcpu, LAPIC_TIMER_CURRENT);
}

static void start(u32 lvt, u32 initial)
{
	put_reg(vcpu, LAPIC_LVT_TIMER, lvt);
	put_reg(vcpu, LAPIC_TIMER_INITIAL, initial);
}

static void put_deadline(u64 tsc)
{
	put_msr(vcpu, MSR_TSC_DEADLINE, tsc);
}

static u64 get_deadline(void)
{
	return get_msr(vcpu, MSR_TSC_DEADLINE);
}

/* --- one shot -------------------------------------------------------------------------------- */

static void test_one_shot(void **state)
{
	assert_int_equal(count(), 0);
	start(ONE_SHOT, 100000);
	assert_int_equal(get_reg(vcpu, LAPIC_TIMER_INITIAL), 100000);
	assert_int_equal(count(), 100000);
	assert_true(lapic_timer_runs(vcpu));
	assert_false(pass(99999));
	assert_int_equal(count(), 1);
	assert_true(pass(1));
	assert_int_equal(count(), 0);
	assert_false(lapic_timer_runs(vcpu));
	assert_false(pass(1000000));
	assert_int_equal(get_reg(vcpu, LAPIC_TIMER_INITIAL), 100000);
}

/* Started anew, and stopped, before it is over. */
static void test_rewritten(void **state)
{
	start(ONE_SHOT, 100000);
	assert_false(pass(50000));
	put_reg(vcpu, LAPIC_TIMER_INITIAL, 100000);
	assert_false(pass(99999));
	put_reg(vcpu, LAPIC_TIMER_INITIAL, 0);
	assert_int_equal(count(), 0);
	assert_false(lapic_timer_runs(vcpu));
	assert_false(pass(1000000));
}

/* Every divisor: the count is rounded so that it is not 0 before the end. */
static void test_divide(void **state)
{
	static const struct {
		u32 config, by;
	} cases[] = { { 0x0, 2 },  { 0x1, 4 },	{ 0x2, 8 },   { 0x3, 16 },
		      { 0x8, 32 }, { 0x9, 64 }, { 0xa, 128 }, { 0xb, 1 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u32 by = cases[i].by;

		put_reg(vcpu, LAPIC_TIMER_DIVIDE, cases[i].config);
		start(ONE_SHOT, 1000);
		assert_false(pass(by - 1));
		assert_int_equal(count(), 1000); /* a tick of it is not over yet */
		assert_false(pass(1));
		assert_int_equal(count(), 999);
		assert_false(pass(999ull * by - 1));
		assert_int_equal(count(), 1);
		assert_true(pass(1));
		assert_int_equal(count(), 0);
	}
}

static void test_largest(void **state)
{
	put_reg(vcpu, LAPIC_TIMER_DIVIDE, 0xa); /* by 128 */
	start(ONE_SHOT, 0xffffffff);
	assert_int_equal(count(), 0xffffffff);
	assert_false(pass(0xffffffffull * 128 - 1));
	assert_int_equal(count(), 1);
	assert_true(pass(1));
}

/* Another divisor in the middle: the count goes on from where it is. */
static void test_divide_running(void **state)
{
	start(ONE_SHOT, 100000);
	assert_false(pass(40000));
	put_reg(vcpu, LAPIC_TIMER_DIVIDE, 0); /* by 2 */
	assert_int_equal(count(), 60000);
	assert_false(pass(119999));
	assert_int_equal(count(), 1);
	assert_true(pass(1));
	/* And the next period is one of the new length. */
	start(PERIODIC, 10000);
	put_reg(vcpu, LAPIC_TIMER_DIVIDE, BY_1);
	assert_true(pass(10000));
	assert_false(pass(9999));
	assert_true(pass(1));
}

/* --- periodic -------------------------------------------------------------------------------- */

static void test_periodic(void **state)
{
	start(PERIODIC, 10000);
	for (unsigned int i = 0; i < 100; i++) {
		assert_int_equal(count(), 10000);
		assert_false(pass(9999));
		assert_int_equal(count(), 1);
		assert_true(pass(1));
	}
}

/* Served late it does not drift; what was missed is one interrupt. */
static void test_periodic_late(void **state)
{
	start(PERIODIC, 10000);
	for (unsigned int i = 0; i < 100; i++) {
		assert_true(pass(10000 + 3000 + i)); /* 3000 + i ticks late */
		assert_int_equal(count(), 10000 - 3000 - i);
		assert_false(pass(10000 - 3000 - i - 1));
		assert_true(pass(1)); /* on the grid */
	}
	assert_true(pass(55000)); /* five periods and a half */
	assert_false(pass(4999));
	assert_true(pass(1));
}

/* Shorter than can be served: not more often than the least, at multiples of the period. */
static void test_periodic_short(void **state)
{
	u64 began = fake_machine.now, fired = 0, last = 0;

	start(PERIODIC, 300);
	for (unsigned int i = 0; i < 100000; i += 50) {
		assert_int_equal(count(), 300 - i % 300);
		if (!pass(50))
			continue;
		assert_int_equal((fake_machine.now - began) % 300, 0);
		assert_true(!last || fake_machine.now - last >= SHORTEST);
		last = fake_machine.now;
		fired++;
	}
	assert_in_range(fired, 100000 / (SHORTEST + 300), 100000 / SHORTEST);
	/* The host is not kept busy by the smallest, either. */
	put_reg(vcpu, LAPIC_TIMER_INITIAL, 1);
	fake_machine.now += 10 * SHORTEST;
	assert_int_equal(fake_run_timers(), 1);
}

/* --- changes of mode ------------------------------------------------------------------------- */

static void test_one_shot_to_periodic(void **state)
{
	start(ONE_SHOT, 10000);
	assert_false(pass(4000));
	put_reg(vcpu, LAPIC_LVT_TIMER, PERIODIC);
	assert_int_equal(count(), 6000);
	assert_true(pass(6000));
	assert_int_equal(count(), 10000);
	assert_true(pass(10000));
	assert_false(pass(4000));
	put_reg(vcpu, LAPIC_LVT_TIMER, ONE_SHOT);
	assert_int_equal(count(), 6000);
	assert_true(pass(6000));
	assert_int_equal(count(), 0);
	/* What has ended does not start again by itself. */
	put_reg(vcpu, LAPIC_LVT_TIMER, PERIODIC);
	assert_int_equal(count(), 0);
	assert_false(pass(100000));
}

/* From short periods, of which several were taken together: the count is that of one. */
static void test_short_to_one_shot(void **state)
{
	start(PERIODIC, 300);
	assert_true(pass(300));
	assert_false(pass(100));
	put_reg(vcpu, LAPIC_LVT_TIMER, ONE_SHOT);
	assert_int_equal(count(), 200);
	assert_false(pass(199));
	assert_true(pass(1));
	assert_false(pass(100000));
}

static void test_to_deadline_disarms(void **state)
{
	static const u32 other[] = { ONE_SHOT, PERIODIC, 0x60000 | VECTOR };

	for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
		start(ONE_SHOT, 10000);
		put_reg(vcpu, LAPIC_LVT_TIMER, TSC_DEADLINE);
		assert_int_equal(get_reg(vcpu, LAPIC_TIMER_INITIAL), 0);
		assert_int_equal(count(), 0);
		assert_false(pass(20000));
		/* The initial count is not for this mode. */
		put_reg(vcpu, LAPIC_TIMER_INITIAL, 100);
		assert_int_equal(get_reg(vcpu, LAPIC_TIMER_INITIAL), 0);
		assert_false(pass(20000));
		put_deadline(fake_machine.now + 10000);
		put_reg(vcpu, LAPIC_LVT_TIMER, other[i]);
		assert_int_equal(get_deadline(), 0);
		assert_false(pass(20000));
		put_reg(vcpu, LAPIC_LVT_TIMER, ONE_SHOT);
	}
}

/* Another vector or the mask is no change of mode. */
static void test_vector_changes(void **state)
{
	put_reg(vcpu, LAPIC_LVT_TIMER, 0x40033);
	put_deadline(fake_machine.now + 10000);
	put_reg(vcpu, LAPIC_LVT_TIMER, TSC_DEADLINE);
	assert_false(pass(9999));
	assert_true(pass(1));
}

/* --- masking --------------------------------------------------------------------------------- */

/* It goes on counting; what ends meanwhile is no interrupt, not even later. */
static void test_masked(void **state)
{
	start(ONE_SHOT | LVT_MASKED, 10000);
	assert_false(lapic_timer_runs(vcpu));
	assert_false(pass(4000));
	assert_int_equal(count(), 6000);
	put_reg(vcpu, LAPIC_LVT_TIMER, ONE_SHOT);
	assert_true(lapic_timer_runs(vcpu));
	assert_true(pass(6000));
	start(ONE_SHOT | LVT_MASKED, 10000);
	assert_false(pass(10000));
	put_reg(vcpu, LAPIC_LVT_TIMER, ONE_SHOT);
	assert_int_equal(count(), 0);
	assert_false(pass(100000));
	start(PERIODIC | LVT_MASKED, 10000);
	assert_false(pass(123456));
	assert_int_equal(count(), 10000 - 3456);
	put_reg(vcpu, LAPIC_LVT_TIMER, PERIODIC);
	assert_false(pass(10000 - 3456 - 1));
	assert_true(pass(1));
}

/* What is over when the entry is masked was over before: it is an interrupt. */
static void test_masked_when_due(void **state)
{
	start(ONE_SHOT, 10000);
	fake_machine.now += 10000; /* the host timer has not fired yet */
	put_reg(vcpu, LAPIC_LVT_TIMER, ONE_SHOT | LVT_MASKED);
	assert_true(pass(0));
	/* By disabling the APIC, likewise. */
	start(ONE_SHOT, 10000);
	put_reg(vcpu, LAPIC_SVR, 0xff);
	assert_false(pass(20000));
}

static void test_masked_deadline(void **state)
{
	put_reg(vcpu, LAPIC_LVT_TIMER, TSC_DEADLINE | LVT_MASKED);
	put_deadline(fake_machine.now + 10000);
	assert_int_equal(get_deadline(), fake_machine.now + 10000);
	assert_false(pass(10000));
	assert_int_equal(get_deadline(), 0);
	put_reg(vcpu, LAPIC_LVT_TIMER, TSC_DEADLINE);
	assert_false(pass(10000));
	put_reg(vcpu, LAPIC_LVT_TIMER, TSC_DEADLINE | LVT_MASKED);
	put_deadline(1);
	assert_int_equal(get_deadline(), 0);
	assert_false(pass(0));
}

/* --- TSC-deadline ---------------------------------------------------------------------------- */

static void set_tsc(u64 tsc)
{
	vcpu->vmx.gpr[GPR_RCX] = MSR_TSC;
	vcpu->vmx.gpr[GPR_RAX] = (u32)tsc;
	vcpu->vmx.gpr[GPR_RDX] = tsc >> 32;
	assert_int_equal(vcpu_handle_wrmsr(vcpu), RESUME_GUEST);
}

static void test_deadline(void **state)
{
	u64 at = fake_machine.now + 10000;

	put_deadline(at); /* not in that mode: ignored */
	assert_int_equal(get_deadline(), 0);
	assert_false(pass(0));
	put_reg(vcpu, LAPIC_LVT_TIMER, TSC_DEADLINE);
	put_deadline(at);
	assert_int_equal(get_deadline(), at);
	assert_int_equal(count(), 0);
	assert_false(pass(9999));
	assert_int_equal(get_deadline(), at);
	assert_true(pass(1));
	assert_int_equal(get_deadline(), 0);
	assert_false(pass(1000000));
}

static void test_deadline_past(void **state)
{
	put_reg(vcpu, LAPIC_LVT_TIMER, TSC_DEADLINE);
	put_deadline(fake_machine.now);
	assert_true(pass(0));
	assert_int_equal(get_deadline(), 0);
	put_deadline(1);
	assert_true(pass(0));
	put_deadline(0);
	assert_false(pass(100000));
}

static void test_deadline_rewritten(void **state)
{
	put_reg(vcpu, LAPIC_LVT_TIMER, TSC_DEADLINE);
	put_deadline(fake_machine.now + 1000);
	put_deadline(fake_machine.now + 5000);
	assert_false(pass(4999));
	assert_true(pass(1));
	put_deadline(fake_machine.now + 1000);
	put_deadline(0);
	assert_false(lapic_timer_runs(vcpu));
	assert_false(pass(5000));
	/* One that is over when the next is written has fired. */
	put_deadline(fake_machine.now + 1000);
	fake_machine.now += 1000;
	put_deadline(fake_machine.now + 1000);
	assert_true(pass(0));
	assert_true(pass(1000));
}

/* Reading it when it is over, before the host timer has fired: it is over. */
static void test_deadline_read_when_due(void **state)
{
	put_reg(vcpu, LAPIC_LVT_TIMER, TSC_DEADLINE);
	put_deadline(fake_machine.now + 1000);
	fake_machine.now += 1000;
	assert_int_equal(get_deadline(), 0);
	assert_true(pends(vcpu, VECTOR));
	clear_events();
	assert_int_equal(fake_run_timers(), 0);
	assert_false(pass(1000));
}

/* By the guest's clock, ahead of the host's or behind it, also when that is changed meanwhile. */
static void test_deadline_guest_clock(void **state)
{
	put_reg(vcpu, LAPIC_LVT_TIMER, TSC_DEADLINE);
	set_tsc(50);
	put_deadline(1050);
	assert_false(pass(999));
	assert_true(pass(1));
	set_tsc(1000000000);
	put_deadline(1000001000);
	assert_false(pass(999));
	assert_true(pass(1));
	put_deadline(1000002000); /* 1000 from here */
	set_tsc(1000000500);	  /* 1500 from here */
	assert_false(pass(1499));
	assert_true(pass(1));
	put_deadline(1000003000);
	set_tsc(1000002900);
	assert_false(pass(99));
	assert_true(pass(1));
	put_deadline(1000009000);
	set_tsc(1000009000);
	assert_true(pass(0));
	assert_int_equal(get_deadline(), 0);
	/* A count is one of ticks: the clock does not matter to it. */
	start(ONE_SHOT, 1000);
	set_tsc(5);
	assert_false(pass(999));
	assert_true(pass(1));
}

/* Farther than the host's clock goes: armed for its end, and no earlier. */
static void test_deadline_far(void **state)
{
	put_reg(vcpu, LAPIC_LVT_TIMER, TSC_DEADLINE);
	set_tsc(0);
	put_deadline(~0ull);
	assert_int_equal(get_deadline(), ~0ull);
	assert_int_equal(vcpu->lapic.timer.host.deadline, ~0ull);
	assert_false(pass(BIT(62)));
	put_deadline(0);
}

/* --- where the vCPU is ------------------------------------------------------------------------ */

/* While it is loaded nowhere it stands still; what is over when it comes back is delivered then. */
static void test_unloaded(void **state)
{
	start(PERIODIC, 10000);
	vcpu_unload(vcpu);
	assert_false(lapic_timer_runs(vcpu));
	fake_machine.now += 34000;
	assert_int_equal(fake_run_timers(), 0);
	assert_int_equal(lapic_sync(vcpu), -1);
	fake_machine.cpu = 2;
	assert_int_equal(vcpu_load(vcpu), 0);
	assert_true(pass(0));
	assert_true(lapic_timer_runs(vcpu));
	assert_int_equal(vcpu->lapic.timer.host.cpu, 2);
	assert_false(pass(5999));
	assert_true(pass(1));
	/* In time: nothing of it is noticed. */
	vcpu_unload(vcpu);
	fake_machine.cpu = 1;
	assert_int_equal(vcpu_load(vcpu), 0);
	assert_false(pass(9999));
	assert_true(pass(1));
	vcpu_unload(vcpu);
	fake_machine.cpu = 0;
	assert_int_equal(vcpu_load(vcpu), 0);
}

/* Looking at its registers loads it, and then nobody else starts its timer. */
static void test_loaded_by_regs(void **state)
{
	struct vcpu_regs regs;

	start(ONE_SHOT, 10000);
	vcpu_unload(vcpu);
	assert_int_equal(vcpu_get_regs(vcpu, &regs), 0);
	assert_true(lapic_timer_runs(vcpu));
	vcpu_unload(vcpu);
	assert_int_equal(vcpu_set_regs(vcpu, &regs), 0);
	assert_true(lapic_timer_runs(vcpu));
	assert_true(pass(10000));
}

/* A machine that is all in HLT is at its end, but not while a timer runs. */
static void test_wakes_from_halt(void **state)
{
	u64 began = fake_machine.now;

	vmx_set(&vcpu->vmx, REG_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
	start(ONE_SHOT, 10000);
	fake_exit_add(VM_EXIT_HLT);
	fake_exit_add(VM_EXIT_HLT);
	vcpu_destroy(nth(1));
	assert_int_equal(vcpu_run(vcpu), 0);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_HLT);
	assert_int_equal(fake_machine.now, began + 10000);
	assert_int_equal(fake_of(vcpu)->nr_delivered, 1);
	assert_int_equal(fake_of(vcpu)->delivered[0].vector, VECTOR);
}

/* Two on one CPU: the one that is not in it keeps its timer. */
static void test_two_on_one_cpu(void **state)
{
	start(ONE_SHOT, 10000);
	assert_int_equal(vcpu_load(nth(1)), 0);
	put_reg(nth(1), LAPIC_LVT_TIMER, ONE_SHOT);
	put_reg(nth(1), LAPIC_TIMER_DIVIDE, BY_1);
	put_reg(nth(1), LAPIC_TIMER_INITIAL, 5000);
	fake_machine.now += 5000;
	assert_int_equal(fake_run_timers(), 1);
	assert_int_equal(all_hit(), BIT(1));
	clear_events();
	fake_machine.now += 5000;
	assert_int_equal(fake_run_timers(), 1);
	assert_int_equal(all_hit(), BIT(0));
}

/* An expiry is an event like any other: counted, and somebody is told to look. */
static void test_expiry_is_an_event(void **state)
{
	u64 seq = atomic_load(&vcpu->event_seq);

	start(PERIODIC, 10000);
	fake_machine.now += 10000;
	fake_run_timers();
	assert_int_equal(atomic_load(&vcpu->event_seq), seq + 1);
	assert_true(atomic_load(&vcpu->requests) & REQ_EVENT);
	clear_events();
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_shot),
		TEST(test_rewritten),
		TEST(test_divide),
		TEST(test_largest),
		TEST(test_divide_running),
		TEST(test_periodic),
		TEST(test_periodic_late),
		TEST(test_periodic_short),
		TEST(test_one_shot_to_periodic),
		TEST(test_short_to_one_shot),
		TEST(test_to_deadline_disarms),
		TEST(test_vector_changes),
		TEST(test_masked),
		TEST(test_masked_when_due),
		TEST(test_masked_deadline),
		TEST(test_deadline),
		TEST(test_deadline_past),
		TEST(test_deadline_rewritten),
		TEST(test_deadline_read_when_due),
		TEST(test_deadline_guest_clock),
		TEST(test_deadline_far),
		TEST(test_unloaded),
		TEST(test_loaded_by_regs),
		TEST(test_wakes_from_halt),
		TEST(test_two_on_one_cpu),
		TEST(test_expiry_is_an_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
