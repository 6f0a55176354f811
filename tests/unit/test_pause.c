/* SPDX-License-Identifier: GPL-2.0-only */
/* Holding a VM: who is kicked, who waits, who is told what; and the gate in front of the slots. */
/* link: @vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/percpu.h"
#include "hv/host/string.h"
#include "hv/host/timer.h"
#include "hv/vm/internal.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"

#define RIP 0x1000

static struct vcpu *vcpu, *other;
static struct vm_hold hold, second;

static int setup(void **state)
{
	fixture_start(2);
	vcpu = fixture_vm->vcpu[0];
	other = fixture_vm->vcpu[1];
	fake_of(vcpu)->reg[REG_RIP] = RIP;
	hold = (struct vm_hold){ .vm = NULL };
	second = (struct vm_hold){ .vm = NULL };
	return 0;
}

static int teardown(void **state)
{
	fixture_end();
	return 0;
}

static void in_guest(struct vcpu *v, u32 cpu)
{
	atomic_store(&v->requests, 0); /* it has looked */
	atomic_store(&v->cpu, cpu);
	atomic_store(&v->mode, IN_GUEST_MODE);
}

/* Those who were kicked come out while the pauser spins. */
static void others_leave(void)
{
	for (u32 i = 0; i < fixture_vm->nr_vcpus; i++)
		if (atomic_load(&fixture_vm->vcpu[i]->mode) == EXITING_GUEST_MODE)
			atomic_store(&fixture_vm->vcpu[i]->mode, OUTSIDE_GUEST_MODE);
}

static void test_kicks_whom_it_must(void **state)
{
	struct pause_report report;

	in_guest(other, 2);
	fake_machine.on_spin = others_leave;
	assert_int_equal(vm_pause(fixture_vm, &hold, 0, &report), 0);
	assert_int_equal(fake_machine.nmis[0], 0);
	assert_int_equal(fake_machine.nmis[2], 1);
	assert_true(report.evict > 0);
	assert_string_equal(report.why, "");
	assert_true(vm_is_held(fixture_vm) && vm_held_by_me(fixture_vm));
	assert_int_equal(vm_resume(&hold), 0);
	assert_false(vm_is_held(fixture_vm));
}

static void test_by_other_transports(void **state)
{
	assert_int_equal(vm_set_kick(fixture_vm, KICK_IPI, 0), 0);
	in_guest(other, 2);
	fake_machine.on_spin = others_leave;
	assert_int_equal(vm_pause(fixture_vm, &hold, 0, NULL), 0);
	assert_int_equal(fake_machine.nmis[2], 0);
	assert_int_equal(fake_machine.ipis[2], 1);
	assert_int_equal(vm_resume(&hold), 0);

	assert_int_equal(vm_set_kick(fixture_vm, KICK_TIMER, 99), -EINVAL);
	assert_int_equal(vm_set_kick(fixture_vm, KICK_TIMER, BIT(31) + 1), -EINVAL);
	assert_int_equal(vm_set_kick(fixture_vm, KICK_TIMER, 1000), 0);
	in_guest(other, 2);
	assert_int_equal(vm_pause(fixture_vm, &hold, 0, NULL), 0);
	assert_int_equal(fake_machine.nmis[2] + fake_machine.ipis[2], 1);
	assert_int_equal(vm_resume(&hold), 0);
}

static void test_run_while_held(void **state)
{
	assert_int_equal(vm_pause(fixture_vm, &hold, 0, NULL), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(vcpu_run(vcpu), -EINTR);
	assert_int_equal(fake_of(vcpu)->entries, 0);
	assert_int_equal(fake_of(vcpu)->reg[REG_RIP], RIP);
	assert_int_equal(vm_resume(&hold), 0);
	fake_exit_add(VM_EXIT_TRIPLE_FAULT);
	assert_int_equal(vcpu_run(vcpu), 0);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_SHUTDOWN);
}

/* What was requested meanwhile is not forgotten. */
static void test_request_while_held(void **state)
{
	assert_int_equal(vm_pause(fixture_vm, &hold, 0, NULL), 0);
	lapic_post_nmi(vcpu);
	assert_int_equal(vcpu_run(vcpu), -EINTR);
	assert_int_equal(vm_resume(&hold), 0);
	fake_exit_add(VM_EXIT_TRIPLE_FAULT);
	assert_int_equal(vcpu_run(vcpu), 0);
	assert_int_equal(fake_of(vcpu)->nr_delivered, 1);
	assert_int_equal(fake_of(vcpu)->delivered[0].type, EVENT_NMI);
}

static void test_created_while_held(void **state)
{
	struct vcpu *late;

	assert_int_equal(vm_pause(fixture_vm, &hold, 0, NULL), 0);
	assert_int_equal(vcpu_create(&late, fixture_vm), 0);
	late->mp_state = MP_RUNNABLE;
	fixture_load(late, 1);
	assert_int_equal(vcpu_run(late), -EINTR);
	assert_int_equal(fake_of(late)->entries, 0);
	assert_int_equal(vm_resume(&hold), 0);
}

static void test_tokens(void **state)
{
	assert_int_equal(vm_resume(&hold), -EINVAL);
	assert_int_equal(vm_pause(fixture_vm, &hold, 0, NULL), 0);
	assert_int_equal(vm_pause(fixture_vm, &hold, 0, NULL), -EBUSY);
	assert_int_equal(vm_pause(fixture_vm, &second, 0, NULL), 0);
	assert_int_equal(atomic_load(&fixture_vm->hold), 2);
	assert_int_equal(vm_resume(&hold), 0);
	assert_int_equal(vm_resume(&hold), -EINVAL);
	assert_true(vm_is_held(fixture_vm));
	assert_int_equal(vcpu_run(vcpu), -EINTR);
	assert_int_equal(vm_resume(&second), 0);
	assert_false(vm_is_held(fixture_vm));
}

static void test_vcpu_does_not_leave(void **state)
{
	struct pause_report report;

	in_guest(other, 3);
	assert_int_equal(vm_pause(fixture_vm, &hold, 5000, &report), -ETIMEDOUT);
	assert_non_null(strstr(report.why, "vCPU 1 on CPU 3"));
	assert_non_null(strstr(report.why, "does not react"));
	assert_false(vm_is_held(fixture_vm));
	assert_int_equal(vm_resume(&hold), -EINVAL);
	atomic_store(&other->mode, OUTSIDE_GUEST_MODE);
	assert_int_equal(vm_pause(fixture_vm, &hold, 5000, &report), 0);
	assert_int_equal(vm_resume(&hold), 0);
}

static void test_reader_does_not_leave(void **state)
{
	struct pause_report report;
	unsigned int phase;

	fake_machine.cpu = 2;
	phase = slots_read_begin(fixture_vm);
	fake_machine.cpu = 0;
	assert_int_equal(vm_pause(fixture_vm, &hold, 5000, &report), -ETIMEDOUT);
	assert_non_null(strstr(report.why, "thread on CPU 2"));
	assert_false(vm_is_held(fixture_vm));
	fake_machine.cpu = 2;
	slots_read_end(fixture_vm, phase);
	fake_machine.cpu = 0;
	assert_int_equal(vm_pause(fixture_vm, &hold, 5000, &report), 0);
	assert_int_equal(vm_resume(&hold), 0);
}

static unsigned int open_phase;

static void reader_leaves(void)
{
	fake_machine.on_spin = NULL;
	fake_machine.cpu = 1;
	slots_read_end(fixture_vm, open_phase);
	fake_machine.cpu = 0;
}

static void test_drains_readers(void **state)
{
	struct pause_report report;

	fake_machine.cpu = 1;
	open_phase = slots_read_begin(fixture_vm);
	fake_machine.cpu = 0;
	fake_machine.on_spin = reader_leaves;
	assert_int_equal(vm_pause(fixture_vm, &hold, 0, &report), 0);
	assert_null(fake_machine.on_spin);
	assert_true(report.drain > 0);
	assert_int_equal(vm_resume(&hold), 0);
}

static void resume_it(void)
{
	fake_machine.thread = 0;
	assert_int_equal(vm_resume(&hold), 0);
	fake_machine.thread = 1;
}

/* Another thread waits at the gate; the holder's own passes. */
static void test_gate(void **state)
{
	unsigned int phase;
	u32 word = 7;

	assert_int_equal(vm_pause(fixture_vm, &hold, 0, NULL), 0);
	assert_int_equal(vm_write(fixture_vm, 0x2000, &word, sizeof(word)), 0);
	assert_int_equal(fake_machine.blocks, 0);

	fake_machine.thread = 1;
	assert_false(slots_read_try(fixture_vm, &phase));
	fake_machine.on_block = resume_it;
	word = 8;
	assert_int_equal(vm_write(fixture_vm, 0x2000, &word, sizeof(word)), 0);
	assert_int_equal(fake_machine.blocks, 1);
	assert_false(vm_is_held(fixture_vm));
	fake_machine.thread = 0;
	assert_int_equal(guest_get(0x2000, 4), 8);
}

static void test_registers_wait_too(void **state)
{
	struct vcpu_regs regs;

	assert_int_equal(vm_pause(fixture_vm, &hold, 0, NULL), 0);
	fake_machine.thread = 1;
	fake_machine.on_block = resume_it;
	assert_int_equal(vcpu_get_regs(vcpu, &regs), 0);
	assert_int_equal(fake_machine.blocks, 1);
	assert_int_equal(regs.rip, RIP);
	fake_machine.thread = 0;
	regs.rip = 0x2468;
	regs.gpr[GPR_R9] = 99;
	assert_int_equal(vcpu_set_regs(vcpu, &regs), 0);
	assert_int_equal(fake_of(vcpu)->reg[REG_RIP], 0x2468);
	assert_int_equal(vcpu->vmx.gpr[GPR_R9], 99);
}

static void test_wait_resumed(void **state)
{
	assert_int_equal(vm_wait_resumed(fixture_vm), 0); /* not held at all */
	assert_int_equal(vm_pause(fixture_vm, &hold, 0, NULL), 0);
	fake_machine.thread = 1;
	fake_machine.on_block = resume_it;
	assert_int_equal(vm_wait_resumed(fixture_vm), 0);
	assert_int_equal(fake_machine.blocks, 1);
	fake_machine.thread = 0;
}

static void stop_it(void)
{
	vm_stop(fixture_vm);
	resume_it();
}

/* A VM that is stopped for good keeps nobody waiting, and its memory can still be read. */
static void test_stopped(void **state)
{
	assert_int_equal(vm_pause(fixture_vm, &hold, 0, NULL), 0);
	fake_machine.thread = 1;
	fake_machine.on_block = stop_it;
	assert_int_equal(vm_wait_resumed(fixture_vm), -ESHUTDOWN);
	assert_int_equal(vcpu_run(vcpu), -EINTR);
	assert_int_equal(guest_get(0x3000, 8), 0);
	fake_machine.thread = 0;
}

static void test_grace_period(void **state)
{
	unsigned int phase;
	u32 cpu = 77;

	assert_int_equal(readers_wait(fixture_vm, ticks_now() + 1000, &cpu), 0);
	fake_machine.cpu = 3;
	phase = slots_read_begin(fixture_vm);
	fake_machine.cpu = 0;
	assert_int_equal(readers_wait(fixture_vm, ticks_now() + 1000, &cpu), -ETIMEDOUT);
	assert_int_equal(cpu, 3);
	/* Whichever phase it counts in: it is waited for by each following one as well. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(readers_wait(fixture_vm, ticks_now() + 1000, NULL), -ETIMEDOUT);
	fake_machine.cpu = 3;
	slots_read_end(fixture_vm, phase);
	fake_machine.cpu = 0;
	assert_int_equal(readers_wait(fixture_vm, ticks_now() + 1000, &cpu), 0);
}

/* A section that began after the change of phase is not waited for. */
static unsigned int late_phase;

static void swap_readers(void)
{
	fake_machine.on_spin = NULL;
	fake_machine.cpu = 2;
	late_phase = slots_read_begin(fixture_vm);
	fake_machine.cpu = 1;
	slots_read_end(fixture_vm, open_phase);
	fake_machine.cpu = 0;
}

static void test_grace_period_ends_beside_new_readers(void **state)
{
	fake_machine.cpu = 1;
	open_phase = slots_read_begin(fixture_vm);
	fake_machine.cpu = 0;
	fake_machine.on_spin = swap_readers;
	assert_int_equal(readers_wait(fixture_vm, ticks_now() + 1000, NULL), 0);
	assert_null(fake_machine.on_spin);
	assert_int_not_equal(late_phase, open_phase);
	fake_machine.cpu = 2;
	slots_read_end(fixture_vm, late_phase);
	fake_machine.cpu = 0;
}

static void test_invalidation(void **state)
{
	u64 seq = invalidate_seq(fixture_vm);

	assert_false(invalidate_retry(fixture_vm, 0x5000, seq));
	invalidate_begin(fixture_vm, 0x4000, 0x2000);
	assert_true(invalidate_retry(fixture_vm, 0x4000, seq));
	assert_true(invalidate_retry(fixture_vm, 0x5fff, seq));
	assert_false(invalidate_retry(fixture_vm, 0x3fff, seq));
	assert_false(invalidate_retry(fixture_vm, 0x6000, seq));
	/* A second one widens the range: between the two a retry is spurious, which is allowed. */
	invalidate_begin(fixture_vm, 0x9000, 0x1000);
	assert_true(invalidate_retry(fixture_vm, 0x9fff, seq));
	assert_true(invalidate_retry(fixture_vm, 0x7000, seq));
	assert_false(invalidate_retry(fixture_vm, 0xa000, seq));
	invalidate_end(fixture_vm);
	assert_true(invalidate_retry(fixture_vm, 0x4000, invalidate_seq(fixture_vm)));
	invalidate_end(fixture_vm);
	/* Begun and ended since: any address. */
	assert_true(invalidate_retry(fixture_vm, 0x1000, seq));
	assert_false(invalidate_retry(fixture_vm, 0x4000, invalidate_seq(fixture_vm)));
}

static void flush_on_the_way(void)
{
	fake_machine.on_spin = NULL;
	other->vmx.flushed_gen = atomic_load(&fixture_vm->vmx.flush_gen);
}

/* A vCPU that has flushed may be in the guest again: it is not waited for. */
static void test_flush(void **state)
{
	in_guest(other, 2);
	other->vmx.flushed_gen = atomic_load(&fixture_vm->vmx.flush_gen);
	assert_int_equal(vm_flush(fixture_vm, ticks_now() + 1000), -ETIMEDOUT);
	assert_non_null(strstr(fake_console_take(), "vCPU 1 on CPU 2 does not leave"));
	atomic_store(&other->mode, IN_GUEST_MODE);
	fake_machine.on_spin = flush_on_the_way;
	assert_int_equal(vm_flush(fixture_vm, ticks_now() + 1000), 0);
	assert_int_equal(fake_machine.nmis[2], 2);
	atomic_store(&other->mode, OUTSIDE_GUEST_MODE);
	assert_int_equal(vm_flush(fixture_vm, ticks_now() + 1000), 0);
	assert_int_equal(fake_machine.nmis[2], 2);
}

/* But for one that has not heard yet that the APIC-access page moves: it may have entered since. */
static void test_flush_with_the_apic_page(void **state)
{
	in_guest(other, 2);
	fake_machine.on_spin = flush_on_the_way;
	atomic_fetch_or(&other->requests, REQ_APIC_PAGE);
	assert_int_equal(vm_flush(fixture_vm, ticks_now() + 1000), -ETIMEDOUT);
	atomic_fetch_and(&other->requests, ~(u32)REQ_APIC_PAGE);
	assert_int_equal(vm_flush(fixture_vm, ticks_now() + 1000), -ETIMEDOUT);
	fake_machine.on_spin = flush_on_the_way;
	assert_int_equal(vm_flush(fixture_vm, ticks_now() + 1000), 0);
	atomic_store(&other->mode, OUTSIDE_GUEST_MODE);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_kicks_whom_it_must),
		TEST(test_by_other_transports),
		TEST(test_run_while_held),
		TEST(test_request_while_held),
		TEST(test_created_while_held),
		TEST(test_tokens),
		TEST(test_vcpu_does_not_leave),
		TEST(test_reader_does_not_leave),
		TEST(test_drains_readers),
		TEST(test_gate),
		TEST(test_registers_wait_too),
		TEST(test_wait_resumed),
		TEST(test_stopped),
		TEST(test_grace_period),
		TEST(test_grace_period_ends_beside_new_readers),
		TEST(test_invalidation),
		TEST(test_flush),
		TEST(test_flush_with_the_apic_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
