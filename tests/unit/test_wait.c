/* SPDX-License-Identifier: GPL-2.0-only */
/* Waiting for a vCPU's events, and the states in which a vCPU waits for its VMM. */
/* link: @vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/percpu.h"
#include "hv/host/timer.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"

#define VECTOR	 0x41
#define FOR_EVER ~0ull

static struct vcpu *vcpu, *other;
static struct fake_vcpu *f;
static struct vcpu_wait set[2];

static int setup(void **state)
{
	fixture_start_apics(2, *state);
	vcpu = fixture_vm->vcpu[0];
	other = fixture_vm->vcpu[1];
	f = fake_of(vcpu);
	set[0] = (struct vcpu_wait){ .vcpu = vcpu };
	set[1] = (struct vcpu_wait){ .vcpu = other };
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(atomic_load(&fixture_vm->nr_waiting), 0);
	fixture_end();
	return 0;
}

static void run_to_end(void)
{
	fake_exit_add(VM_EXIT_TRIPLE_FAULT);
	assert_int_equal(vcpu_run(vcpu), 0);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_SHUTDOWN);
}

static void test_nothing_pending(void **state)
{
	assert_int_equal(vcpu_poll(vcpu), 0);
	assert_int_equal(vcpu_wait(set, 2, 0), -ETIMEDOUT);
	assert_int_equal(fake_machine.blocks, 0);
}

static void test_event_first(void **state)
{
	lapic_post(other, VECTOR);
	assert_int_equal(vcpu_wait(set, 2, FOR_EVER), 1);
	assert_int_equal(set[0].ready, 0);
	assert_int_equal(set[1].ready, WAIT_EVENT);
	/* It is a level: as long as nobody has looked. */
	assert_int_equal(vcpu_wait(set, 2, 0), 1);
	assert_int_equal(fake_machine.blocks, 0);
}

static void post_to_other(void)
{
	lapic_post(other, VECTOR);
}

static void test_event_while_asleep(void **state)
{
	fake_machine.on_block = post_to_other;
	assert_int_equal(vcpu_wait(set, 2, FOR_EVER), 1);
	assert_int_equal(set[1].ready, WAIT_EVENT);
	assert_int_equal(fake_machine.blocks, 1);
	/* Off every queue again. */
	assert_false(wait_queue_active(&vcpu->pollers));
	assert_false(wait_queue_active(&other->pollers));
}

static void wake_in_vain_first(void)
{
	if (fake_machine.blocks == 1)
		wake_all(&vcpu->pollers);
	else
		lapic_post_nmi(vcpu);
}

static void test_woken_in_vain(void **state)
{
	fake_machine.on_block = wake_in_vain_first;
	assert_int_equal(vcpu_wait(set, 1, FOR_EVER), 1);
	assert_int_equal(fake_machine.blocks, 2);
}

static void test_requests_are_no_events(void **state)
{
	vcpu_request(vcpu, REQ_LOOK);
	vcpu_request(vcpu, REQ_EXIT);
	vcpu_kick(vcpu);
	assert_int_equal(vm_flush(fixture_vm, ticks_now() + 1000), 0);
	assert_int_equal(vcpu_poll(vcpu), 0);
	assert_int_equal(vcpu_run(vcpu), -EINTR);
}

static void test_seen_by_an_entry(void **state)
{
	lapic_post_nmi(vcpu);
	assert_int_equal(vcpu_poll(vcpu), WAIT_EVENT);
	run_to_end();
	assert_int_equal(f->nr_delivered, 1);
	assert_int_equal(vcpu_poll(vcpu), 0);
}

static void post_then_leave(struct vcpu *v)
{
	lapic_post_nmi(v);
	vcpu_request(v, REQ_EXIT);
}

/* The vCPU leaves without having looked: the event is still unseen, and nothing is lost. */
static void test_leaving_does_not_look(void **state)
{
	fake_exit_add(VM_EXIT_NMI)->during = post_then_leave;
	assert_int_equal(vcpu_run(vcpu), -EINTR);
	assert_int_equal(vcpu_poll(vcpu), WAIT_EVENT);
	assert_false(f->queued);
	run_to_end();
	assert_int_equal(f->nr_delivered, 1);
}

/* --- what the guest cannot take yet ----------------------------------------------------------- */

/* Leaves vcpu_run() by an access that only the VMM can answer. */
static void run_to_vmm(void)
{
	fake_exit_add(VM_EXIT_MEMORY)->exit.mem.gpa = FIXTURE_RAM;
	assert_int_equal(vcpu_run(vcpu), 0);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_MMIO);
}

static void enable_interrupts(struct vcpu *v)
{
	f->reg[REG_RFLAGS] |= RFLAGS_IF;
}

/* An interrupt that the guest has disabled is reported until it takes it, and then no more. */
static void test_disabled(void **state)
{
	lapic_post(vcpu, VECTOR);
	run_to_vmm();
	assert_int_equal(vcpu_wait(set, 2, FOR_EVER), 1);
	run_to_vmm();
	assert_int_equal(vcpu_poll(vcpu), WAIT_EVENT);
	assert_int_equal(f->nr_delivered, 0);
	fake_exit_add(VM_EXIT_CPUID)->during = enable_interrupts;
	run_to_vmm();
	assert_int_equal(f->nr_delivered, 1);
	assert_int_equal(vcpu_poll(vcpu), 0);
}

/* One that its priority masks was looked at, and that is all there is to do. */
static void test_masked(void **state)
{
	enable_interrupts(vcpu);
	lapic_set_tpr(vcpu, VECTOR | 0xf);
	lapic_post(vcpu, VECTOR);
	assert_int_equal(vcpu_poll(vcpu), WAIT_EVENT);
	run_to_vmm();
	assert_int_equal(vcpu_poll(vcpu), 0);
	assert_int_equal(f->nr_delivered, 0);
}

/* Two at once: the lower waits behind the higher, which is in service, and is none of the VMM's. */
static void test_behind_another(void **state)
{
	enable_interrupts(vcpu);
	lapic_post(vcpu, VECTOR);
	lapic_post(vcpu, VECTOR + 0x10);
	run_to_vmm();
	assert_int_equal(f->nr_delivered, 1);
	assert_int_equal(vcpu_poll(vcpu), 0);
}

static void expect_waiting(struct vcpu *v)
{
	assert_int_equal(f->nr_delivered, 0);
	vcpu_request(v, REQ_EXIT);
}

/* It was looked at in this run, and handed over where that is possible, and then the vCPU is taken
 * out: for who waits it is unseen, and the next run looks again. */
static void test_leaving_with_one_not_taken(void **state)
{
	lapic_post(vcpu, VECTOR);
	fake_exit_add(VM_EXIT_NMI)->during = expect_waiting;
	assert_int_equal(vcpu_run(vcpu), -EINTR);
	assert_int_equal(vcpu_wait(set, 2, FOR_EVER), 1);
	assert_int_equal(set[0].ready, WAIT_EVENT);
	assert_int_not_equal(atomic_load(&vcpu->seen_seq), atomic_load(&vcpu->event_seq));
	enable_interrupts(vcpu);
	run_to_end();
	assert_int_equal(f->nr_delivered, 1);
	assert_int_equal(vcpu_poll(vcpu), 0);
}

/* And who sleeps already, because a priority masked it, is woken when its vCPU is taken out after
 * the priority has fallen. */
static void lower_and_leave(struct vcpu *v)
{
	if (v->vmx.apic_rung >= VMX_APIC_TPR)
		fake_guest_tpr(v, 0);
	else
		lapic_set_tpr(v, 0);
	expect_waiting(v);
}

static void take_out_unmasked(void)
{
	fake_machine.on_block = NULL;
	fake_exit_add(VM_EXIT_NMI)->during = lower_and_leave;
	assert_int_equal(vcpu_run(vcpu), -EINTR);
}

static void test_sleeper_is_woken_when_one_leaves(void **state)
{
	lapic_set_tpr(vcpu, VECTOR | 0xf);
	enable_interrupts(vcpu);
	lapic_post(vcpu, VECTOR);
	run_to_vmm();
	if (vmx_apic_delivers(&vcpu->vmx)) /* or the CPU would deliver it */
		f->reg[REG_RFLAGS] &= ~RFLAGS_IF;
	fake_machine.on_block = take_out_unmasked;
	assert_int_equal(vcpu_wait(set, 2, FOR_EVER), 1);
	assert_int_equal(fake_machine.blocks, 1);
	assert_int_equal(set[0].ready, WAIT_EVENT);
}

static void test_destroyed(void **state)
{
	assert_int_equal(vcpu_poll(other), 0);
	vcpu_destroy(other);
	assert_int_equal(vcpu_poll(other), WAIT_GONE);
	assert_int_equal(vcpu_wait(set, 2, FOR_EVER), 1);
	assert_int_equal(set[1].ready, WAIT_GONE);
	vcpu_destroy(other); /* again: nothing */
	vcpu_kick(other);
}

static void destroy_other(void)
{
	vcpu_destroy(other);
}

static void test_destroyed_while_asleep(void **state)
{
	fake_machine.on_block = destroy_other;
	assert_int_equal(vcpu_wait(set, 2, FOR_EVER), 1);
	assert_int_equal(set[1].ready, WAIT_GONE);
}

/* --- the posted variant ---------------------------------------------------------------------- */

static void test_posted(void **state)
{
	vm_set_wait(fixture_vm, WAIT_POSTED);
	assert_int_equal(vcpu_poll(vcpu), 0);
	lapic_post_nmi(vcpu);
	assert_int_equal(vcpu_poll(vcpu), WAIT_EVENT);
	run_to_end();
	assert_int_equal(vcpu_poll(vcpu), 0);
	/* A request that is no event reports one. */
	vcpu_request(vcpu, REQ_LOOK);
	assert_int_equal(vcpu_poll(vcpu), WAIT_EVENT);
}

static void kick_blocked(void)
{
	assert_int_equal(vcpu_poll(vcpu), 0);
	lapic_post_nmi(vcpu);
	/* The kick woke the vCPU's thread and returned: its waiters hear nothing. */
	assert_int_equal(vcpu_poll(vcpu), 0);
}

static void test_posted_forgets_waiters_of_a_blocked_vcpu(void **state)
{
	vm_set_wait(fixture_vm, WAIT_POSTED);
	vm_expect_events(fixture_vm);
	vcpu->mp_state = MP_HALTED;
	fake_machine.on_block = kick_blocked;
	run_to_end();
	assert_int_equal(fake_machine.blocks, 1);
}

/* --- the states that end in an exit to the VMM ----------------------------------------------- */

static void expect_runnable(void)
{
	unsigned int entries = f->entries;

	assert_int_equal(vcpu_run(vcpu), 0);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_RUNNABLE);
	assert_int_equal(f->entries, entries);
	assert_int_equal(f->nr_delivered, 0);
	assert_int_equal(vcpu_poll(vcpu), WAIT_EVENT);
}

static void post_here(void)
{
	lapic_post(vcpu, VECTOR);
}

static void test_halted_userspace(void **state)
{
	f->reg[REG_RFLAGS] |= RFLAGS_IF;
	vcpu_set_mp_state(vcpu, MP_HALTED_USERSPACE);
	fake_machine.on_block = post_here;
	expect_runnable();
	assert_int_equal(fake_machine.blocks, 1);
	/* Pending at the call: at once, as often as it is asked. */
	expect_runnable();
	assert_int_equal(fake_machine.blocks, 1);
	assert_int_equal(vcpu_get_mp_state(vcpu), MP_HALTED_USERSPACE);
	/* Made runnable, the guest gets it, once. */
	vcpu_set_mp_state(vcpu, MP_RUNNABLE);
	run_to_end();
	assert_int_equal(f->nr_delivered, 1);
	assert_int_equal(f->delivered[0].vector, VECTOR);
}

static void raise_step_by_step(void)
{
	if (fake_machine.blocks == 1) {
		lapic_post(vcpu, VECTOR); /* interrupts are off */
	} else {
		lapic_post_nmi(vcpu);
	}
}

static void test_interrupt_flag_counts(void **state)
{
	f->reg[REG_RFLAGS] &= ~RFLAGS_IF;
	vcpu_set_mp_state(vcpu, MP_HALTED_USERSPACE);
	fake_machine.on_block = raise_step_by_step;
	expect_runnable();
	assert_int_equal(fake_machine.blocks, 2);
}

static void test_interrupt_flag_does_not_count(void **state)
{
	f->reg[REG_RFLAGS] &= ~RFLAGS_IF;
	vcpu_set_mp_state(vcpu, MP_INACTIVE_VTL);
	fake_machine.on_block = raise_step_by_step;
	expect_runnable();
	assert_int_equal(fake_machine.blocks, 1);
}

static void test_masked_by_priority(void **state)
{
	f->reg[REG_RFLAGS] |= RFLAGS_IF;
	lapic_set_tpr(vcpu, 0x50);
	vcpu_set_mp_state(vcpu, MP_INACTIVE_VTL);
	fake_machine.on_block = raise_step_by_step;
	expect_runnable();
	assert_int_equal(fake_machine.blocks, 2);
}

static void ask_to_leave(void)
{
	vcpu_request(vcpu, REQ_EXIT);
}

static void test_asked_to_leave(void **state)
{
	vcpu_set_mp_state(vcpu, MP_HALTED_USERSPACE);
	fake_machine.on_block = ask_to_leave;
	assert_int_equal(vcpu_run(vcpu), -EINTR);
	assert_int_equal(vcpu_get_mp_state(vcpu), MP_HALTED_USERSPACE);
	assert_int_equal(f->entries, 0);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	struct CMUnitTest tests[] = {
		TEST(test_nothing_pending),
		TEST(test_event_first),
		TEST(test_event_while_asleep),
		TEST(test_woken_in_vain),
		TEST(test_requests_are_no_events),
		TEST(test_seen_by_an_entry),
		TEST(test_leaving_does_not_look),
		TEST(test_disabled),
		TEST(test_masked),
		TEST(test_behind_another),
		TEST(test_leaving_with_one_not_taken),
		TEST(test_sleeper_is_woken_when_one_leaves),
		TEST(test_destroyed),
		TEST(test_destroyed_while_asleep),
		TEST(test_posted),
		TEST(test_posted_forgets_waiters_of_a_blocked_vcpu),
		TEST(test_halted_userspace),
		TEST(test_interrupt_flag_counts),
		TEST(test_interrupt_flag_does_not_count),
		TEST(test_masked_by_priority),
		TEST(test_asked_to_leave),
	};

	return fixture_run_on_each(tests, ARRAY_SIZE(tests));
}
