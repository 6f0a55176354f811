/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/host/string.h"
#include "hv/vm/backing.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"

enum { MSR_X2APIC_EOI = 0x80b, MSR_X2APIC_ICR = 0x830 };

struct vm *fixture_vm;

static void start(unsigned int vcpus, enum vmx_apic_rung rung)
{
	struct vcpu *vcpu;

	fake_machine_reset();
	fake_vmx_reset();
	fake_console_take();
	assert_int_equal(vm_create(&fixture_vm), 0);
	assert_int_equal(vm_set_apic(fixture_vm, rung), 0);
	assert_int_equal(vm_add_ram(fixture_vm, 0, FIXTURE_RAM), 0);
	for (unsigned int i = 0; i < vcpus; i++)
		assert_int_equal(vcpu_create(&vcpu, fixture_vm), 0);
}

void fixture_start(unsigned int vcpus)
{
	start(vcpus, VMX_APIC_X2APIC);
	if (vcpus)
		fixture_load(fixture_vm->vcpu[0], 0);
}

/* --- on several rungs ------------------------------------------------------------------------ */

const struct fixture_apic fixture_apics[FIXTURE_APICS] = {
	{ "emulated x2APIC", VMX_APIC_EMULATE, LAPIC_X2APIC },
	{ "x2APIC with TPR shadow", VMX_APIC_TPR, LAPIC_X2APIC },
	{ "xAPIC with access page", VMX_APIC_ACCESS, LAPIC_XAPIC },
	{ "xAPIC with registers", VMX_APIC_REGISTER, LAPIC_XAPIC },
	{ "xAPIC with delivery", VMX_APIC_DELIVERY, LAPIC_XAPIC },
	{ "x2APIC with delivery", VMX_APIC_DELIVERY, LAPIC_X2APIC },
	{ "virtualized x2APIC", VMX_APIC_X2APIC, LAPIC_X2APIC },
};

void fixture_start_apics(unsigned int vcpus, const struct fixture_apic *how)
{
	start(vcpus, how->rung);
	for (unsigned int i = 0; i < vcpus; i++) {
		assert_int_equal(lapic_start(fixture_vm->vcpu[i], how->mode), 0);
		atomic_fetch_and(&fixture_vm->vcpu[i]->requests, ~(u32)REQ_EVENT);
	}
	fixture_load(fixture_vm->vcpu[0], 0);
}

static int run_on(struct CMUnitTest *tests, size_t nr, const struct fixture_apic *how)
{
	struct CMUnitTest *copy = calloc(nr, sizeof(*copy));
	char(*name)[128] = calloc(nr, sizeof(*name));
	int failed;

	assert_non_null(copy);
	assert_non_null(name);
	for (size_t i = 0; i < nr; i++) {
		snprintf(name[i], sizeof(name[i]), "%s: %s", tests[i].name, how->name);
		copy[i] = tests[i];
		copy[i].name = name[i];
		copy[i].initial_state = (void *)how;
	}
	failed = _cmocka_run_group_tests(how->name, copy, nr, NULL, NULL);
	free(copy);
	free(name);
	return failed;
}

int fixture_run_on_each(struct CMUnitTest *tests, size_t nr)
{
	int failed = 0;

	for (unsigned int i = 0; i < FIXTURE_APICS; i++)
		failed += run_on(tests, nr, &fixture_apics[i]);
	return failed;
}

void guest_eoi(struct vcpu *vcpu)
{
	bool x2 = lapic_mode(vcpu) == LAPIC_X2APIC;
	u32 zero = 0;
	u8 vector;

	if (vmx_apic_delivers(&vcpu->vmx) && (!x2 || vcpu->vmx.apic_rung == VMX_APIC_X2APIC))
		assert_false(fake_guest_eoi(vcpu, &vector));
	else if (x2)
		assert_int_equal(lapic_write(vcpu, MSR_X2APIC_EOI, 0), 0);
	else
		assert_int_equal(lapic_mmio_write(vcpu, LAPIC_EOI, 4, (const u8 *)&zero), 0);
}

void guest_ipi(struct vcpu *vcpu, u32 to, u32 icr)
{
	u32 high = to << 24;

	if (lapic_mode(vcpu) == LAPIC_X2APIC) {
		assert_int_equal(lapic_write(vcpu, MSR_X2APIC_ICR, (u64)to << 32 | icr), 0);
		return;
	}
	assert_int_equal(lapic_mmio_write(vcpu, LAPIC_ICR2, 4, (const u8 *)&high), 0);
	assert_int_equal(lapic_mmio_write(vcpu, LAPIC_ICR, 4, (const u8 *)&icr), 0);
}

/* --- the rest -------------------------------------------------------------------------------- */

void fixture_end(void)
{
	assert_int_equal(fake_exits_left(), 0);
	for (u32 i = 0; i < fixture_vm->nr_vcpus; i++) {
		struct vcpu *vcpu = fixture_vm->vcpu[i];

		if (vcpu->vmx.cpu >= 0)
			fake_machine.cpu = (u32)vcpu->vmx.cpu;
		vcpu_unload(vcpu);
	}
	fake_machine.cpu = 0;
	vm_destroy(fixture_vm);
	assert_int_equal(fake_vmx.vcpus_live, 0);
	assert_int_equal(fake_machine.pages_live, 0);
	assert_int_equal(fake_locks_held(), 0);
}

void fixture_load(struct vcpu *vcpu, u32 cpu)
{
	if (vcpu->vmx.cpu >= 0) {
		fake_machine.cpu = (u32)vcpu->vmx.cpu;
		vcpu_unload(vcpu);
	}
	fake_machine.cpu = cpu;
	assert_int_equal(vmx_load(&vcpu->vmx), 0);
}

void fixture_run_to_end(struct vcpu *vcpu)
{
	fake_exit_add(VM_EXIT_TRIPLE_FAULT);
	assert_int_equal(vcpu_run(vcpu), 0);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_SHUTDOWN);
}

void expect_fault(struct vcpu *vcpu, u8 vector, u32 error)
{
	struct fake_vcpu *f = fake_of(vcpu);

	assert_true(f->queued);
	assert_int_equal(f->event.type, EVENT_EXCEPTION);
	assert_int_equal(f->event.vector, vector);
	assert_true(f->event.has_error);
	assert_int_equal(f->event.error, error);
	f->queued = false;
}

void expect_no_event(struct vcpu *vcpu)
{
	assert_false(fake_of(vcpu)->queued);
}

void guest_put(gpa_t gpa, u64 value, unsigned int size)
{
	assert_int_equal(vm_write(fixture_vm, gpa, &value, size), 0);
}

u64 guest_get(gpa_t gpa, unsigned int size)
{
	u64 value = 0;

	assert_int_equal(vm_read(fixture_vm, gpa, &value, size), 0);
	return value;
}

static u8 aside[PAGE_SIZE];

static struct backing *fixture_backing(void)
{
	return slot_by_id(fixture_vm, 0)->backing;
}

void fixture_take_page(gpa_t gpa)
{
	assert_int_equal(vm_read(fixture_vm, gpa, aside, PAGE_SIZE), 0);
	assert_int_equal(backing_punch(fixture_backing(), gpa, PAGE_SIZE), 0);
}

void fixture_bring_page(void)
{
	struct fetch f;

	assert_int_equal(vm_next_fetch(fixture_vm, &f, 0), 0);
	assert_ptr_equal(f.backing, fixture_backing());
	assert_int_equal(backing_fill(f.backing, f.offset, aside), 0);
	backing_put(f.backing);
}
