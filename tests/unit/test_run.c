/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The run loop and the events: requests before, during and after the look, sleeping, stopping,
 * sharing a CPU, and what each exit becomes.
 */
/* link: @vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/percpu.h"
#include "hv/host/string.h"
#include "hv/host/timer.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"

#define RIP    0x1000
#define VECTOR 0x41

extern struct counter kicks_erroneous, run_yields, run_blocks;

static struct vcpu *vcpu, *other;
static struct fake_vcpu *f;

static int setup(void **state)
{
	fixture_start_apics(2, *state);
	vcpu = fixture_vm->vcpu[0];
	other = fixture_vm->vcpu[1];
	f = fake_of(vcpu);
	f->reg[REG_RIP] = RIP;
	vmx_apic_flush(&vcpu->vmx);
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(atomic_load(&vcpu->mode), OUTSIDE_GUEST_MODE);
	fixture_end();
	return 0;
}

static void enable_interrupts(struct vcpu *v)
{
	fake_of(v)->reg[REG_RFLAGS] |= RFLAGS_IF;
}

/* Virtual-interrupt delivery: the CPU waits until the guest can take it, without a window. */
static bool has_window(struct vcpu *v)
{
	return !vmx_apic_delivers(&v->vmx);
}

static void expect_delivered(unsigned int n, u8 type, u8 vector)
{
	assert_true(n < f->nr_delivered);
	assert_int_equal(f->delivered[n].type, type);
	assert_int_equal(f->delivered[n].vector, vector);
}

static void run_expecting(u32 reason)
{
	assert_int_equal(vcpu_run(vcpu), 0);
	assert_int_equal(vcpu->run.reason, reason);
	assert_int_equal(atomic_load(&vcpu->mode), OUTSIDE_GUEST_MODE);
	assert_int_equal(atomic_load(&this_cpu()->in_guest), 0);
}

/* The guest is entered once more and ends. */
static void run_to_end(void)
{
	fake_exit_add(VM_EXIT_TRIPLE_FAULT);
	run_expecting(RUN_EXIT_SHUTDOWN);
}

static void expect_stopped(void)
{
	assert_int_equal(vcpu_run(vcpu), -EINTR);
	assert_int_equal(atomic_load(&vcpu->mode), OUTSIDE_GUEST_MODE);
	assert_int_equal(atomic_load(&this_cpu()->in_guest), 0);
}

/* --- requests -------------------------------------------------------------------------------- */

/* Before the run loop looks: seen there, without a kick. */
static void test_request_before(void **state)
{
	enable_interrupts(vcpu);
	lapic_post(vcpu, VECTOR);
	assert_int_equal(fake_machine.nmis[0], 0);
	run_to_end();
	expect_delivered(0, EVENT_EXTERNAL, VECTOR);
	assert_int_equal(f->nr_delivered, 1);
	assert_int_equal(atomic_load(&vcpu->requests), 0);
}

static void post_twice(struct vcpu *v)
{
	assert_int_equal(atomic_load(&v->mode), IN_GUEST_MODE);
	assert_int_equal(atomic_load(&this_cpu()->in_guest), 1);
	lapic_post(v, VECTOR);
	assert_int_equal(atomic_load(&v->mode), EXITING_GUEST_MODE);
	lapic_post(v, VECTOR + 0x10);
}

/* In the guest: one kick, however many requests follow until it has come out. */
static void test_request_in_guest(void **state)
{
	u64 erroneous = counter_read(&kicks_erroneous);

	fixture_load(vcpu, 2);
	enable_interrupts(vcpu);
	fake_exit_add(VM_EXIT_NMI)->during = post_twice;
	run_to_end();
	assert_int_equal(fake_machine.nmis[2], 1);
	expect_delivered(0, EVENT_EXTERNAL, VECTOR + 0x10);
	assert_int_equal(f->nr_delivered, 1); /* the other waits for an EOI or IF */
	assert_int_equal(counter_read(&kicks_erroneous), erroneous);
}

/* The kick lands in root mode between the look and the entry: the entry is stopped. */
static void test_request_at_the_entry(void **state)
{
	enable_interrupts(vcpu);
	fake_exit_add(VM_EXIT_BARRED)->during = post_twice;
	run_to_end();
	expect_delivered(0, EVENT_EXTERNAL, VECTOR + 0x10);
}

/* The guest comes out for another reason before the kick arrives: the request is seen all the
 * same, and the late NMI finds nothing to do. */
static void test_request_with_another_exit(void **state)
{
	u64 erroneous = counter_read(&kicks_erroneous);

	enable_interrupts(vcpu);
	fake_exit_add(VM_EXIT_CPUID)->during = post_twice;
	fake_exit_add(VM_EXIT_NMI);
	run_to_end();
	expect_delivered(0, EVENT_EXTERNAL, VECTOR + 0x10);
	assert_int_equal(f->quick, 1);
	assert_int_equal(counter_read(&kicks_erroneous), erroneous + 1);
}

/* What stopped an entry before is looked at and forgotten. */
static void test_barred_before(void **state)
{
	atomic_store(&this_cpu()->entry_barred, 1);
	run_to_end();
	assert_int_equal(f->entries, 1);
}

static void advance_generation(struct vcpu *v)
{
	vmx_vm_stale(&fixture_vm->vmx);
	vcpu_kick(v);
}

/* A kick for the sake of a flush has done its work. */
static void test_kick_for_a_flush(void **state)
{
	u64 erroneous = counter_read(&kicks_erroneous);

	fake_exit_add(VM_EXIT_NMI)->during = advance_generation;
	run_to_end();
	assert_int_equal(f->flushes, 1);
	assert_int_equal(counter_read(&kicks_erroneous), erroneous);
	fake_exit_add(VM_EXIT_NMI)->during = vcpu_kick;
	run_to_end();
	assert_int_equal(counter_read(&kicks_erroneous), erroneous + 1);
}

static void ask_to_leave(struct vcpu *v)
{
	vcpu_request(v, REQ_EXIT);
}

static void test_exit_request(void **state)
{
	vcpu->run.reason = 0x55;
	vcpu_request(vcpu, REQ_EXIT); /* before the run */
	expect_stopped();
	assert_int_equal(f->entries, 0);
	fake_exit_add(VM_EXIT_NMI)->during = ask_to_leave; /* in the guest */
	expect_stopped();
	assert_int_equal(f->entries, 1);
	assert_int_equal(vcpu->run.reason, 0x55);
	assert_int_equal(vcpu_rip(vcpu), RIP);
	run_to_end();
}

/* Leaving does not lose an event that came with it. */
static void test_exit_with_an_event(void **state)
{
	enable_interrupts(vcpu);
	lapic_post(vcpu, VECTOR);
	vcpu_request(vcpu, REQ_EXIT);
	expect_stopped();
	run_to_end();
	expect_delivered(0, EVENT_EXTERNAL, VECTOR);
}

static void stop_all(struct vcpu *v)
{
	vm_stop(fixture_vm);
}

static void test_hold(void **state)
{
	fake_exit_add(VM_EXIT_NMI)->during = stop_all;
	expect_stopped();
	assert_int_equal(fake_machine.nmis[0], 1);
	expect_stopped();
	assert_int_equal(f->entries, 1);
	vcpu->mp_state = MP_HALTED; /* and asleep or waiting likewise */
	expect_stopped();
	vcpu->mp_state = MP_WAIT_SIPI;
	expect_stopped();
	assert_int_equal(fake_machine.blocks, 0);
}

/* --- events ---------------------------------------------------------------------------------- */

/* With interrupts off a window is asked for, if it needs one, and closed again behind it. */
static void sti(struct vcpu *v)
{
	assert_int_equal(fake_of(v)->intr_window, has_window(v));
	enable_interrupts(v);
}

static void test_interrupt_window(void **state)
{
	lapic_post(vcpu, VECTOR);
	fake_exit_add(VM_EXIT_CPUID)->during = sti;
	run_to_end();
	assert_int_equal(f->nr_delivered, 1);
	expect_delivered(0, EVENT_EXTERNAL, VECTOR);
	assert_false(f->intr_window);
}

static void end_shadow(struct vcpu *v)
{
	assert_int_equal(f->nr_delivered, 0);
	f->shadow = false;
}

static void test_shadow(void **state)
{
	enable_interrupts(vcpu);
	f->shadow = true;
	lapic_post(vcpu, VECTOR);
	lapic_post_nmi(vcpu);
	fake_exit_add(VM_EXIT_INTERRUPT)->during = end_shadow;
	run_to_end();
	assert_int_equal(f->nr_delivered, 2);
	expect_delivered(0, EVENT_NMI, EXC_NMI);
	expect_delivered(1, EVENT_EXTERNAL, VECTOR);
}

static void iret_from_nmi(struct vcpu *v)
{
	assert_true(f->nmi_window);
	f->nmi_blocked = false;
}

/* Several NMIs become one that waits for the end of the handler. */
static void test_nmi_window(void **state)
{
	f->nmi_blocked = true;
	lapic_post_nmi(vcpu);
	lapic_post_nmi(vcpu);
	fake_exit_add(VM_EXIT_CPUID)->during = iret_from_nmi;
	run_to_end();
	assert_int_equal(f->nr_delivered, 1);
	expect_delivered(0, EVENT_NMI, EXC_NMI);
	assert_false(f->nmi_window);
}

/* Two before the look, and a third: a processor takes one and remembers one. */
static void end_nmi(struct vcpu *v)
{
	assert_int_equal(f->nr_delivered, 1);
	assert_true(f->nmi_blocked && f->nmi_window);
	f->nmi_blocked = false;
}

static void test_two_nmis(void **state)
{
	for (unsigned int i = 0; i < 3; i++)
		lapic_post_nmi(vcpu);
	fake_exit_add(VM_EXIT_CPUID);
	fake_exit_add(VM_EXIT_CPUID)->during = end_nmi;
	fake_exit_add(VM_EXIT_CPUID);
	run_to_end();
	assert_int_equal(f->nr_delivered, 2);
	expect_delivered(1, EVENT_NMI, EXC_NMI);
	assert_false(f->nmi_window);
}

/* An exception on its way goes first. */
static void test_event_behind_exception(void **state)
{
	enable_interrupts(vcpu);
	vcpu_inject_error(vcpu, EXC_GP, 8);
	lapic_post(vcpu, VECTOR);
	run_to_end();
	expect_delivered(0, EVENT_EXCEPTION, EXC_GP);
	expect_delivered(1, EVENT_EXTERNAL, VECTOR);
}

/* The priority of what is in service holds back, and EOI lets go. */
static void eoi(struct vcpu *v)
{
	enable_interrupts(v);
	assert_int_equal(f->nr_delivered, 1);
	assert_false(f->intr_window);
	guest_eoi(v);
}

static void test_priority(void **state)
{
	enable_interrupts(vcpu);
	lapic_post(vcpu, VECTOR);
	lapic_post(vcpu, VECTOR + 1);
	fake_exit_add(VM_EXIT_CPUID);
	fake_exit_add(VM_EXIT_CPUID)->during = eoi;
	run_to_end();
	assert_int_equal(f->nr_delivered, 2);
	expect_delivered(0, EVENT_EXTERNAL, VECTOR + 1);
	expect_delivered(1, EVENT_EXTERNAL, VECTOR);
}

/* The guest sets its task priority: without an exit where the CPU can, or as CR8 writes do. */
static bool guest_tpr(struct vcpu *v, u8 tpr)
{
	if (v->vmx.apic_rung >= VMX_APIC_TPR)
		return fake_guest_tpr(v, tpr);
	lapic_set_tpr(v, tpr);
	return false;
}

static void raise_priority(struct vcpu *v)
{
	assert_false(guest_tpr(v, VECTOR | 0xf));
	lapic_post(v, VECTOR);
}

static void lower_priority(struct vcpu *v)
{
	assert_int_equal(f->nr_delivered, 0);
	assert_false(f->intr_window);
	/* Where the priority is the guest's own, and delivery is not, it is an exit. */
	assert_int_equal(guest_tpr(v, VECTOR - 0x10),
			 v->vmx.apic_rung >= VMX_APIC_TPR && !vmx_apic_delivers(&v->vmx));
}

/* A vector that the task priority masks costs nothing until the priority is lowered. */
static void test_task_priority(void **state)
{
	bool exits = vcpu->vmx.apic_rung >= VMX_APIC_TPR && !vmx_apic_delivers(&vcpu->vmx);

	enable_interrupts(vcpu);
	fake_exit_add(VM_EXIT_NMI)->during = raise_priority;
	fake_exit_add(VM_EXIT_CPUID);
	fake_exit_add(exits ? VM_EXIT_TPR : VM_EXIT_CPUID)->during = lower_priority;
	run_to_end();
	assert_int_equal(f->nr_delivered, 1);
	expect_delivered(0, EVENT_EXTERNAL, VECTOR);
	if (exits)
		assert_int_equal(vcpu->vmx.tpr_threshold, 0);
}

static void post_lower_and_higher(struct vcpu *v)
{
	assert_int_equal(f->nr_delivered, 1);
	lapic_post(v, VECTOR - 0x10);
	lapic_post(v, VECTOR + 0x20);
	enable_interrupts(v);
}

static void end_one(struct vcpu *v)
{
	enable_interrupts(v);
	guest_eoi(v);
}

/* Into a handler that has enabled interrupts: the higher at once, the lower after both EOIs. */
static void test_nested(void **state)
{
	enable_interrupts(vcpu);
	lapic_post(vcpu, VECTOR);
	fake_exit_add(VM_EXIT_NMI)->during = post_lower_and_higher;
	fake_exit_add(VM_EXIT_CPUID)->during = end_one;
	fake_exit_add(VM_EXIT_CPUID)->during = end_one;
	run_to_end();
	assert_int_equal(f->nr_delivered, 3);
	expect_delivered(0, EVENT_EXTERNAL, VECTOR);
	expect_delivered(1, EVENT_EXTERNAL, VECTOR + 0x20);
	expect_delivered(2, EVENT_EXTERNAL, VECTOR - 0x10);
	assert_false(f->intr_window);
}

/* An NMI goes first; the interrupt waits for nothing but that. */
static void test_both_at_once(void **state)
{
	enable_interrupts(vcpu);
	lapic_post(vcpu, VECTOR);
	lapic_post_nmi(vcpu);
	run_to_end();
	assert_int_equal(f->nr_delivered, 2);
	expect_delivered(0, EVENT_NMI, EXC_NMI);
	expect_delivered(1, EVENT_EXTERNAL, VECTOR);
}

/* --- HLT and waiting for SIPI ---------------------------------------------------------------- */

/* The other vCPU waits too, in a thread that nobody plays here. */
static void other_blocks(bool yes)
{
	atomic_store(&other->blocked, yes);
}

static void test_halt_alone(void **state)
{
	u64 blocks = counter_read(&run_blocks);

	other_blocks(true);
	fake_exit_add(VM_EXIT_HLT);
	run_expecting(RUN_EXIT_HLT);
	assert_int_equal(vcpu_rip(vcpu), RIP + 2);
	assert_false(atomic_load(&vcpu->blocked));
	run_expecting(RUN_EXIT_HLT); /* still */
	assert_int_equal(f->entries, 1);
	assert_int_equal(fake_machine.blocks, 0);
	assert_int_equal(counter_read(&run_blocks), blocks + 2);
	/* An interrupt wakes it, unless it is disabled. */
	lapic_post(vcpu, VECTOR);
	run_expecting(RUN_EXIT_HLT);
	assert_int_equal(vcpu->mp_state, MP_HALTED);
	enable_interrupts(vcpu);
	run_to_end();
	expect_delivered(0, EVENT_EXTERNAL, VECTOR);
	assert_int_equal(vcpu_rip(vcpu), RIP + 2);
}

static void test_halt_with_nmi(void **state)
{
	lapic_post_nmi(vcpu);
	atomic_store(&vcpu->requests, 0); /* looked at while NMIs were blocked */
	f->nmi_blocked = true;
	fake_exit_add(VM_EXIT_HLT);
	other_blocks(true);
	run_expecting(RUN_EXIT_HLT);
	f->nmi_blocked = false;
	run_to_end();
	expect_delivered(0, EVENT_NMI, EXC_NMI);
}

/* A vector that its priority masks does not end HLT; one above does, and only that is delivered. */
static void wake_by_the_higher(void)
{
	if (fake_machine.blocks == 1) {
		lapic_post(vcpu, VECTOR);
	} else {
		assert_int_equal(fake_machine.blocks, 2);
		lapic_post(vcpu, VECTOR + 0x10);
	}
}

static void test_halt_and_priority(void **state)
{
	enable_interrupts(vcpu);
	lapic_set_tpr(vcpu, VECTOR);
	fake_exit_add(VM_EXIT_HLT);
	fake_machine.on_block = wake_by_the_higher;
	run_to_end();
	assert_int_equal(f->nr_delivered, 1);
	expect_delivered(0, EVENT_EXTERNAL, VECTOR + 0x10);
}

/* Interrupts that became pending before: no sleep. STI's shadow ends with HLT. */
static void post_now(struct vcpu *v)
{
	f->shadow = true;
	lapic_post(v, VECTOR);
}

static void test_halt_with_pending(void **state)
{
	enable_interrupts(vcpu);
	fake_exit_add(VM_EXIT_HLT)->during = post_now;
	run_to_end();
	assert_int_equal(fake_machine.blocks, 0);
	expect_delivered(0, EVENT_EXTERNAL, VECTOR);
}

static void wake_by_interrupt(void)
{
	assert_true(atomic_load(&vcpu->blocked));
	assert_int_equal(atomic_load(&vcpu->mode), OUTSIDE_GUEST_MODE);
	assert_int_equal(atomic_load(&this_cpu()->in_guest), 0);
	fake_machine.cpu = 1;
	lapic_post(vcpu, VECTOR);
	fake_machine.cpu = 0;
}

static void test_woken(void **state)
{
	enable_interrupts(vcpu);
	fake_exit_add(VM_EXIT_HLT);
	fake_machine.on_block = wake_by_interrupt;
	run_to_end();
	assert_int_equal(fake_machine.blocks, 1);
	assert_int_equal(fake_machine.nmis[0], 0); /* asleep: nothing to kick */
	expect_delivered(0, EVENT_EXTERNAL, VECTOR);
	assert_false(atomic_load(&vcpu->blocked));
}

/* Woken for what does not make it runnable: it sleeps on. */
static void wake_in_vain_first(void)
{
	if (fake_machine.blocks == 1) {
		vcpu_kick(vcpu);
	} else if (fake_machine.blocks == 2) {
		lapic_set_tpr(vcpu, 0x50); /* above the vector's class */
		lapic_post(vcpu, VECTOR);
	} else {
		lapic_post_nmi(vcpu);
	}
}

static void test_woken_in_vain(void **state)
{
	enable_interrupts(vcpu);
	fake_exit_add(VM_EXIT_HLT);
	fake_machine.on_block = wake_in_vain_first;
	run_to_end();
	assert_int_equal(fake_machine.blocks, 3);
	expect_delivered(0, EVENT_NMI, EXC_NMI);
	assert_int_equal(f->nr_delivered, 1);
}

static void wake_to_leave(void)
{
	vcpu_request(vcpu, REQ_EXIT | REQ_EVENT);
}

static void wake_to_stop(void)
{
	vm_stop(fixture_vm);
}

static void test_leave_while_asleep(void **state)
{
	enable_interrupts(vcpu);
	fake_exit_add(VM_EXIT_HLT);
	fake_machine.on_block = wake_to_leave;
	expect_stopped();
	assert_int_equal(vcpu->mp_state, MP_HALTED);
	fake_machine.on_block = wake_to_stop;
	expect_stopped();
	assert_int_equal(fake_machine.blocks, 2);
}

/* An interrupt that comes together with a request to leave is not lost. */
static void wake_with_both(void)
{
	lapic_post(vcpu, VECTOR);
	vcpu_request(vcpu, REQ_EXIT);
}

static void test_leave_with_an_event(void **state)
{
	enable_interrupts(vcpu);
	fake_exit_add(VM_EXIT_HLT);
	fake_machine.on_block = wake_with_both;
	expect_stopped();
	run_to_end();
	expect_delivered(0, EVENT_EXTERNAL, VECTOR);
}

/* The last one that could have done something says so; the one that sleeps does not notice. */
static void run_other_to_halt(void)
{
	fake_machine.cpu = 1;
	other->mp_state = MP_RUNNABLE;
	fake_exit_add(VM_EXIT_HLT);
	assert_int_equal(vcpu_run(other), 0);
	assert_int_equal(other->run.reason, RUN_EXIT_HLT);
	vm_stop(fixture_vm); /* what its VMM does then */
	fake_machine.cpu = 0;
}

static void test_all_blocked(void **state)
{
	fake_exit_add(VM_EXIT_HLT);
	fake_machine.on_block = run_other_to_halt;
	expect_stopped();
	assert_int_equal(fake_machine.blocks, 1);
}

/* An IPI on its way to a vCPU that sleeps is something left to do. */
static void other_sends_and_halts(struct vcpu *v)
{
	guest_ipi(other, vcpu->id, VECTOR);
}

static void run_other_that_wakes(void)
{
	if (fake_machine.blocks == 1) {
		fake_machine.cpu = 1;
		other->mp_state = MP_RUNNABLE;
		fake_exit_add(VM_EXIT_HLT)->during = other_sends_and_halts;
		assert_int_equal(vcpu_run(other), -EINTR);
		fake_machine.cpu = 0;
		fake_exit_add(VM_EXIT_TRIPLE_FAULT); /* of the one that was woken */
	} else { /* the other one sleeps, without having said that all do */
		vcpu_request(other, REQ_EXIT);
	}
}

static void test_not_all_blocked(void **state)
{
	enable_interrupts(vcpu);
	fake_exit_add(VM_EXIT_HLT);
	fake_machine.on_block = run_other_that_wakes;
	run_expecting(RUN_EXIT_SHUTDOWN);
	assert_int_equal(fake_machine.blocks, 2);
	expect_delivered(0, EVENT_EXTERNAL, VECTOR);
}

static void collect_then_halt(void)
{
	if (fake_machine.blocks == 1) {
		fake_machine.cpu = fake_machine.thread = 2;
		mutex_lock(&fixture_vm->change_mutex);
		assert_int_equal(dirty_collect(fixture_vm, ~0ull), 0);
		mutex_unlock(&fixture_vm->change_mutex);
		fake_machine.thread = 0;
		run_other_to_halt();
	} else {
		fail_msg("both are halted and nobody says so");
	}
}

static void test_all_halted_with_a_log_wanted(void **state)
{
	fake_exit_add(VM_EXIT_HLT);
	fake_machine.on_block = collect_then_halt;
	expect_stopped();
}

static void destroy_other_one(void)
{
	if (fake_machine.blocks == 1) {
		fake_machine.cpu = fake_machine.thread = 1;
		vcpu_destroy(other);
		fake_machine.cpu = fake_machine.thread = 0;
	}
}

static void test_last_one_awake_is_destroyed(void **state)
{
	fake_exit_add(VM_EXIT_HLT);
	fake_machine.on_block = destroy_other_one;
	run_expecting(RUN_EXIT_HLT);
}

static void start_other(void)
{
	guest_ipi(vcpu, other->id, 6 << 8 | 0x12);
}

static void test_wait_for_startup(void **state)
{
	fake_machine.cpu = 1;
	fake_machine.on_block = start_other;
	fake_exit_add(VM_EXIT_TRIPLE_FAULT);
	assert_int_equal(vcpu_run(other), 0);
	assert_int_equal(other->run.reason, RUN_EXIT_SHUTDOWN);
	assert_int_equal(fake_machine.blocks, 1);
	assert_int_equal(fake_of(other)->entries, 1);
	assert_int_equal(fake_of(other)->seg[VSEG_CS].base, 0x12000);
}

static void send_init(struct vcpu *v)
{
	guest_ipi(vcpu, other->id, 1 << 14 | 5 << 8);
}

static void run_other_until_init(enum vm_exit_reason reason)
{
	fixture_load(other, 1);
	other->mp_state = MP_RUNNABLE;
	vmx_set(&other->vmx, REG_PAT, 0x0606060606060606);
	vmx_set(&other->vmx, REG_CR0, CR0_PE | CR0_ET);
	fake_machine.on_block = start_other;
	fake_exit_add(reason)->during = send_init;
	fake_exit_add(VM_EXIT_TRIPLE_FAULT);
	assert_int_equal(vcpu_run(other), 0);
	assert_int_equal(fake_machine.nmis[1], 1);
	assert_int_equal(fake_machine.blocks, 1); /* it waited for the start-up */
	assert_int_equal(fake_of(other)->seg[VSEG_CS].base, 0x12000);
	assert_int_equal(vmx_get(&other->vmx, REG_PAT), 0x0606060606060606);
	assert_int_equal(vmx_get(&other->vmx, REG_CR0), CR0_ET); /* the caches stay on */
}

/* INIT to a vCPU that runs: no instruction of it is executed before the start-up. */
static void test_init_while_running(void **state)
{
	run_other_until_init(VM_EXIT_NMI);
}

/* The same seen by the exit of a window, which looks at events too. */
static void test_init_and_window(void **state)
{
	run_other_until_init(VM_EXIT_WINDOW);
}

static void take_away(void)
{
	vcpu_unload(vcpu);
	fake_machine.cpu = 1;
	assert_int_equal(vmx_load(&vcpu->vmx), 0);
	fake_machine.cpu = 0;
	vcpu_kick(vcpu);
}

static void test_taken_away_while_asleep(void **state)
{
	fake_exit_add(VM_EXIT_HLT);
	fake_machine.on_block = take_away;
	assert_int_equal(vcpu_run(vcpu), -EBUSY);
	assert_int_equal(atomic_load(&this_cpu()->in_guest), 0);
	assert_false(atomic_load(&vcpu->blocked));
}

/* --- sharing a CPU --------------------------------------------------------------------------- */

static void check_yield(void)
{
	assert_int_equal(atomic_load(&vcpu->mode), OUTSIDE_GUEST_MODE);
	assert_int_equal(atomic_load(&this_cpu()->in_guest), 0);
	assert_int_equal(atomic_load(&this_cpu()->need_resched), 0);
	assert_int_equal(vmx_load(&other->vmx), 0); /* another vCPU's thread */
}

static void want_cpu(struct vcpu *v)
{
	atomic_store(&this_cpu()->need_resched, 1);
}

static void test_yield(void **state)
{
	u64 yields = counter_read(&run_yields);

	fake_machine.on_yield = check_yield;
	atomic_store(&this_cpu()->need_resched, 1); /* before the entry */
	fake_exit_add(VM_EXIT_NMI)->during = want_cpu;
	run_to_end();
	assert_int_equal(fake_machine.yields, 2);
	assert_int_equal(counter_read(&run_yields), yields + 2);
	assert_int_equal(f->entries, 2);
	assert_true(vmx_is_loaded(&vcpu->vmx));
}

/* A request that came with it is not forgotten. */
static void test_yield_with_request(void **state)
{
	lapic_post_nmi(vcpu);
	atomic_store(&this_cpu()->need_resched, 1);
	run_to_end();
	assert_int_equal(fake_machine.yields, 1);
	expect_delivered(0, EVENT_NMI, EXC_NMI);
}

static void test_yield_taken_away(void **state)
{
	fake_machine.on_yield = take_away;
	atomic_store(&this_cpu()->need_resched, 1);
	assert_int_equal(vcpu_run(vcpu), -EBUSY);
	assert_int_equal(f->entries, 0);
}

/* The heartbeat takes host interrupts, and shares the CPU if somebody waits. */
static void test_heartbeat(void **state)
{
	fake_exit_add(VM_EXIT_TIMER);
	run_to_end();
	assert_int_equal(fake_machine.irq_windows, 1);
	assert_int_equal(fake_machine.yields, 0);
	atomic_store(&this_cpu()->nr_runnable, 1);
	fake_exit_add(VM_EXIT_TIMER);
	run_to_end();
	assert_int_equal(fake_machine.irq_windows, 2);
	assert_int_equal(fake_machine.yields, 1);
}

static void test_busy(void **state)
{
	fake_machine.cpu = 1;
	assert_int_equal(vcpu_run(vcpu), -EBUSY);
	fake_machine.cpu = 0;
	run_to_end();
	vcpu_unload(vcpu);
	fake_machine.cpu = 1;
	run_to_end();
	assert_int_equal(atomic_load(&vcpu->cpu), 1);
	assert_int_equal(f->flushes, 1); /* another CPU's TLB */
}

/* --- what exits become ----------------------------------------------------------------------- */

static void ask_cpuid(struct vcpu *v)
{
	for (unsigned int i = 0; i < NR_GPRS; i++)
		v->vmx.gpr[i] = 0xaaaaaaaa00000000 | i;
	v->vmx.gpr[GPR_RAX] = 0xaaaaaaaa00000000 | CPUID_HYPERVISOR;
}

static void test_cpuid(void **state)
{
	fake_exit_add(VM_EXIT_CPUID)->during = ask_cpuid;
	run_to_end();
	assert_int_equal(vcpu->vmx.gpr[GPR_RAX], CPUID_HYPERVISOR + 1);
	assert_int_equal(vcpu->vmx.gpr[GPR_RBX], 0x6c697453);
	assert_int_equal(vcpu->vmx.gpr[GPR_RCX], 0x696f706c);
	assert_int_equal(vcpu->vmx.gpr[GPR_RDX], 0x5648746e);
	assert_int_equal(vcpu->vmx.gpr[GPR_RSI], 0xaaaaaaaa00000000 | GPR_RSI);
	assert_int_equal(vcpu_rip(vcpu), RIP + 2);
}

static void test_simple_exits(void **state)
{
	fake_exit_add(VM_EXIT_HYPERCALL);
	fake_exit_add(VM_EXIT_CACHE);
	fake_exit_add(VM_EXIT_INTERRUPT)->exit.vector = 0xf0;
	run_to_end();
	assert_int_equal(vcpu->vmx.gpr[GPR_RAX], (u64)-ENOSYS);
	assert_int_equal(vcpu_rip(vcpu), RIP + 4);
	assert_int_equal(fake_machine.irqs[0xf0], 1);
}

static void test_faulting_exits(void **state)
{
	fake_exit_add(VM_EXIT_UNDEFINED);
	fake_exit_add(VM_EXIT_PRIVILEGED);
	run_to_end();
	expect_delivered(0, EVENT_EXCEPTION, EXC_UD);
	assert_false(f->delivered[0].has_error);
	expect_delivered(1, EVENT_EXCEPTION, EXC_GP);
	assert_true(f->delivered[1].has_error);
	assert_int_equal(f->delivered[1].error, 0);
	assert_int_equal(vcpu_rip(vcpu), RIP);
}

static void test_exceptions(void **state)
{
	struct fake_exit *e = fake_exit_add(VM_EXIT_EXCEPTION);

	e->exit.exception.vector = EXC_DB;
	e->exit.exception.payload = BIT(14);
	e = fake_exit_add(VM_EXIT_EXCEPTION);
	e->exit.exception.vector = EXC_AC;
	e->exit.exception.has_error = true;
	fake_exit_add(VM_EXIT_EXCEPTION)->exit.exception.vector = EXC_MC; /* the host's */
	run_to_end();
	assert_int_equal(f->nr_delivered, 2);
	expect_delivered(0, EVENT_EXCEPTION, EXC_DB);
	assert_int_equal(f->dr6, BIT(14));
	expect_delivered(1, EVENT_EXCEPTION, EXC_AC);
	assert_true(f->delivered[1].has_error);
}

static void during_double_fault(struct vcpu *v)
{
	f->queued = true;
	f->event = (struct vm_event){ .vector = EXC_DF, .type = EVENT_EXCEPTION };
}

/* An exception while #DF is being delivered is the end. */
static void test_triple_faults(void **state)
{
	struct fake_exit *e;

	fake_exit_add(VM_EXIT_UNDEFINED)->during = during_double_fault;
	run_expecting(RUN_EXIT_SHUTDOWN);
	f->queued = false;
	fake_exit_add(VM_EXIT_PRIVILEGED)->during = during_double_fault;
	run_expecting(RUN_EXIT_SHUTDOWN);
	f->queued = false;
	e = fake_exit_add(VM_EXIT_EXCEPTION);
	e->exit.exception.vector = EXC_DB;
	e->during = during_double_fault;
	run_expecting(RUN_EXIT_SHUTDOWN);
	f->queued = false;
	run_to_end();
}

static void test_errors(void **state)
{
	static const u32 reasons[] = { VM_EXIT_TASK_SWITCH, VM_EXIT_OTHER, NR_VM_EXITS };

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		fake_exit_add(reasons[i]);
		run_expecting(RUN_EXIT_ERROR);
		assert_non_null(vcpu->run.error.what);
		assert_int_equal(vcpu->run.error.rip, RIP);
	}
	fake_exit_add(VM_EXIT_ENTRY_FAILED);
	run_expecting(RUN_EXIT_ENTRY_FAILED);
	assert_int_equal(vcpu_rip(vcpu), RIP);
}

static struct fake_exit *touch(gpa_t gpa)
{
	struct fake_exit *e = fake_exit_add(VM_EXIT_MEMORY);

	e->exit.mem.gpa = gpa;
	return e;
}

static void test_memory_exits(void **state)
{
	struct ept_mapping m;
	struct fake_exit *e;

	touch(0x123456);
	run_to_end();
	assert_int_equal(ept_lookup(&fixture_vm->vmx.ept, 0x123456, &m), 0);
	assert_int_equal(vcpu_rip(vcpu), RIP); /* the access is repeated */
	e = touch(FIXTURE_RAM + 8);
	e->exit.mem.write = true;
	run_expecting(RUN_EXIT_MMIO);
	assert_int_equal(vcpu->run.mmio.gpa, FIXTURE_RAM + 8);
	assert_int_equal(vcpu->run.mmio.rip, RIP);
	assert_true(vcpu->run.mmio.write);
	assert_false(vcpu->run.mmio.read || vcpu->run.mmio.fetch);
	fake_page_fail(1);
	assert_int_equal(vm_drop_page(fixture_vm, 0x5000), -ENOMEM);
	touch(EPT_SIZE_2M);
	run_to_end();
	fake_page_fail(1);
	assert_int_equal(vm_add_ram(fixture_vm, GIB(2), PAGE_SIZE), -ENOMEM);
	assert_int_equal(vm_add_ram(fixture_vm, GIB(2), PAGE_SIZE), 0);
	fake_page_fail(1);
	touch(GIB(2));
	run_expecting(RUN_EXIT_ERROR);
	assert_non_null(strstr(vcpu->run.error.what, "no memory"));
}

/* A malformed second-level entry is a fault of the hypervisor, not of the guest. */
static void test_malformed(void **state)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(1);
		signal(SIGABRT, SIG_DFL);
		fake_exit_add(VM_EXIT_MEMORY_BAD);
		vcpu_run(vcpu);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* --- the rest -------------------------------------------------------------------------------- */

/* Said once per image, at the first entry. */
static void test_first_guest(void **state)
{
	fake_console_take();
	vcpu_unload(vcpu);
	run_to_end();
	if (*fake_console_take()) /* unless an earlier test was the first */
		assert_int_equal(atomic_load(&vm_first_guest_tick), 1000000);
	assert_int_not_equal(atomic_load(&vm_first_guest_tick), 0);
	vcpu_unload(vcpu);
	run_to_end();
	assert_string_equal(fake_console_take(), "");
}

static void test_flat32(void **state)
{
	vcpu_unload(vcpu);
	vcpu_set_flat32(vcpu, 0x100000, 0x2badb002, 0x9000);
	assert_int_equal(vcpu->vmx.cpu, -1); /* any CPU may run it */
	run_to_end();
	assert_int_equal(vcpu_rip(vcpu), 0x100000);
	assert_int_equal(f->reg[REG_CR0], CR0_PE | CR0_ET);
	for (unsigned int i = VSEG_ES; i <= VSEG_GS; i++) {
		assert_int_equal(f->seg[i].base, 0);
		assert_int_equal(f->seg[i].limit, ~0u);
		assert_int_equal(f->seg[i].access, i == VSEG_CS ? 0xc09b : 0xc093);
	}
	for (unsigned int i = 0; i < NR_GPRS; i++)
		assert_int_equal(vcpu->vmx.gpr[i], i == GPR_RAX	  ? 0x2badb002
						   : i == GPR_RBX ? 0x9000
								  : 0);
}

static void test_hv_init(void **state)
{
	const char *why = NULL;

	fake_vmx.probe_error = -ENODEV;
	assert_int_equal(hv_init(&why), -ENODEV);
	assert_string_equal(why, "told so");
	assert_int_equal(fake_vmx.cpus_on, 0);
	fake_vmx.probe_error = 0;
	fake_machine.no_threads = true;
	assert_int_equal(hv_init(&why), -ENOMEM);
	assert_non_null(why);
	fake_machine.no_threads = false;
	assert_int_equal(hv_init(&why), 0);
	assert_int_equal(fake_vmx.cpus_on, FAKE_CPUS);
	fake_vmx.cpu_on_error[2] = -EACCES;
	assert_int_equal(hv_init(&why), -EACCES);
	assert_non_null(strstr(why, "firmware"));
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
#define ONCE(t)                                                                                    \
	cmocka_unit_test_prestate_setup_teardown(t, setup, teardown, (void *)&fixture_apics[0])

int main(void)
{
	const struct CMUnitTest once[] = {
		ONCE(test_first_guest),
		ONCE(test_all_halted_with_a_log_wanted),
		ONCE(test_last_one_awake_is_destroyed),
		ONCE(test_barred_before),
		ONCE(test_kick_for_a_flush),
		ONCE(test_exit_request),
		ONCE(test_hold),
		ONCE(test_taken_away_while_asleep),
		ONCE(test_yield),
		ONCE(test_yield_taken_away),
		ONCE(test_heartbeat),
		ONCE(test_busy),
		ONCE(test_cpuid),
		ONCE(test_simple_exits),
		ONCE(test_faulting_exits),
		ONCE(test_exceptions),
		ONCE(test_triple_faults),
		ONCE(test_errors),
		ONCE(test_memory_exits),
		ONCE(test_malformed),
		ONCE(test_flat32),
		ONCE(test_hv_init),
	};
	struct CMUnitTest on_each[] = {
		TEST(test_request_before),
		TEST(test_request_in_guest),
		TEST(test_request_at_the_entry),
		TEST(test_request_with_another_exit),
		TEST(test_exit_with_an_event),
		TEST(test_interrupt_window),
		TEST(test_shadow),
		TEST(test_nmi_window),
		TEST(test_two_nmis),
		TEST(test_event_behind_exception),
		TEST(test_priority),
		TEST(test_task_priority),
		TEST(test_nested),
		TEST(test_both_at_once),
		TEST(test_halt_alone),
		TEST(test_halt_with_nmi),
		TEST(test_halt_with_pending),
		TEST(test_halt_and_priority),
		TEST(test_woken),
		TEST(test_woken_in_vain),
		TEST(test_leave_while_asleep),
		TEST(test_leave_with_an_event),
		TEST(test_all_blocked),
		TEST(test_not_all_blocked),
		TEST(test_wait_for_startup),
		TEST(test_init_while_running),
		TEST(test_init_and_window),
		TEST(test_yield_with_request),
	};

	return cmocka_run_group_tests(once, NULL, NULL) +
	       fixture_run_on_each(on_each, ARRAY_SIZE(on_each));
}
