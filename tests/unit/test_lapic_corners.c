/* SPDX-License-Identifier: GPL-2.0-only */
/* The local APIC where a guest, or whoever owns the VM, does not do the usual thing. */
/* link: @vm tests/unit/lapic_fixture.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/x86.h"
#include "hv/vm/backing.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/lapic_fixture.h"

#define VECTOR	 0x91
#define PERIODIC (0x20000 | VECTOR)
#define BY_1	 0xb
#define BY_2	 0x0

static int setup_registers(void **state)
{
	lapic_fixture_start(2, VMX_APIC_REGISTER, LAPIC_XAPIC);
	return 0;
}

static int setup_x2apic(void **state)
{
	lapic_fixture_start(3, VMX_APIC_EMULATE, LAPIC_X2APIC);
	return 0;
}

static int teardown(void **state)
{
	lapic_fixture_end();
	return 0;
}

/* The CPU has stored to the page, as it does before it exits. */
static void store(struct vcpu *v, unsigned int offset, u32 value)
{
	*(u32 *)(void *)(v->lapic.regs + offset) = value;
}

/*
 * A scatter stores to several registers, and the exit names the last. What the others were given is
 * in the page and nowhere else.
 */
static void test_scatter(void **state)
{
	struct vcpu *v = nth(0);

	put_reg(v, LAPIC_TIMER_DIVIDE, BY_1);
	put_reg(v, LAPIC_LVT_TIMER, PERIODIC);
	put_reg(v, LAPIC_TIMER_INITIAL, 100000);
	store(v, LAPIC_TIMER_INITIAL, 0);
	store(v, LAPIC_TIMER_DIVIDE, BY_2);
	assert_int_equal(lapic_written(v, LAPIC_TIMER_DIVIDE), 0);
	assert_int_equal(get_reg(v, LAPIC_TIMER_CURRENT), 100000);
	fake_machine.now += 199999;
	assert_int_equal(fake_run_timers(), 0);
	fake_machine.now += 1;
	assert_int_equal(fake_run_timers(), 1);
	assert_int_equal(get_reg(v, LAPIC_TIMER_CURRENT), 100000);
}

/* A STARTUP that a running processor ignores does not start it after an INIT that comes later. */
static void test_startup_before_init(void **state)
{
	struct vcpu *v = nth(1);

	fixture_load(v, 1);
	v->mp_state = MP_RUNNABLE;
	fixture_load(nth(0), 0);
	send_icr(nth(0), TO(1) | STARTUP | ASSERT | 0x10);
	send_icr(nth(0), TO(1) | INIT | ASSERT);
	fake_machine.cpu = 1;
	assert_int_equal(vcpu_deliver_events(v), RESUME_GUEST);
	assert_int_equal(v->mp_state, MP_WAIT_SIPI);
	/* One that comes after it does. */
	fake_machine.cpu = 0;
	send_icr(nth(0), TO(1) | STARTUP | ASSERT | 0x10);
	fake_machine.cpu = 1;
	assert_int_equal(vcpu_deliver_events(v), RESUME_GUEST);
	assert_int_equal(v->mp_state, MP_RUNNABLE);
}

/* A vCPU that was destroyed has no APIC: nothing is sent to it, and its timer is off. */
static void test_destroyed(void **state)
{
	const u64 lowest = LOWEST | LOGICAL | VECTOR | TO(7);

	put_reg(nth(1), LAPIC_TPR, 0x20);
	put_reg(nth(2), LAPIC_TPR, 0x10);
	assert_int_equal(hit_by(nth(0), lowest), BIT(0));
	put_reg(nth(0), LAPIC_TPR, 0x30);
	assert_int_equal(hit_by(nth(0), lowest), BIT(2));
	fixture_load(nth(2), 2);
	put_reg(nth(2), LAPIC_LVT_TIMER, PERIODIC);
	put_reg(nth(2), LAPIC_TIMER_INITIAL, 100000);
	assert_true(nth(2)->lapic.timer.host.armed);
	vcpu_destroy(nth(2)); /* its thread did not unload it */
	assert_false(nth(2)->lapic.timer.host.armed);
	assert_false(lapic_timer_runs(nth(2)));
	fake_machine.cpu = 0;
	clear_events();
	assert_int_equal(hit_by(nth(0), lowest), BIT(1));
	assert_int_equal(hit_by(nth(0), TO_OTHERS | VECTOR), BIT(1));
	lapic_post(nth(2), VECTOR);
	assert_int_equal(all_hit(), 0);
}

/* The registers are where they are, whatever the memory below. */
static void test_relocated_onto_rom(void **state)
{
	struct vcpu *v = nth(0);
	const gpa_t rom = MIB(16);
	struct slot_change c = {
		.op = SLOT_CREATE, .id = 9, .base = rom, .size = PAGE_SIZE, .flags = SLOT_READONLY
	};
	static const u8 store_eax[] = { 0xa3, 0x80, 0, 0, 1 }; /* MOV [16 MiB + 80h], EAX */
	struct fake_exit *e;

	assert_int_equal(backing_create(&c.backing, PAGE_SIZE, BACKING_RESERVE), 0);
	assert_int_equal(vm_change_slots(fixture_vm, &c, 1, SLOTS_ATOMIC, NULL), 0);
	backing_put(c.backing);
	assert_int_equal(lapic_write(v, MSR_APIC_BASE, rom | LAPIC_BASE_EN | LAPIC_BASE_BSP), 0);
	assert_int_equal(vm_write(fixture_vm, 0x1000, store_eax, sizeof(store_eax)), 0);
	vcpu_set_flat32(v, 0x1000, 0x20, 0);
	fixture_load(v, 0);
	e = fake_exit_add(VM_EXIT_MEMORY);
	e->exit.mem.gpa = rom + LAPIC_TPR;
	e->exit.mem.write = true;
	fake_exit_add(VM_EXIT_TRIPLE_FAULT);
	assert_int_equal(vcpu_run(v), 0);
	assert_int_equal(v->run.reason, RUN_EXIT_SHUTDOWN);
	assert_int_equal(lapic_get_tpr(v), 0x20);
}

/* The rung is settled with the page, which is there before the first vCPU is. */
static void test_rung_of_a_vcpu_that_failed(void **state)
{
	struct vcpu *v;

	fixture_start(0);
	fake_vmx.init_error = -ENOMEM;
	assert_int_equal(vcpu_create(&v, fixture_vm), -ENOMEM);
	fake_vmx.init_error = 0;
	assert_int_equal(vm_set_apic(fixture_vm, VMX_APIC_EMULATE), -EBUSY);
	fixture_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_scatter, setup_registers, teardown),
		cmocka_unit_test_setup_teardown(test_startup_before_init, setup_x2apic, teardown),
		cmocka_unit_test_setup_teardown(test_destroyed, setup_x2apic, teardown),
		cmocka_unit_test_setup_teardown(test_relocated_onto_rom, setup_registers, teardown),
		cmocka_unit_test(test_rung_of_a_vcpu_that_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
