/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/string.h"
#include "hv/vm/backing.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"

struct vm *fixture_vm;

void fixture_start(unsigned int vcpus)
{
	struct vcpu *vcpu;

	fake_machine_reset();
	fake_vmx_reset();
	fake_console_take();
	assert_int_equal(vm_create(&fixture_vm), 0);
	assert_int_equal(vm_add_ram(fixture_vm, 0, FIXTURE_RAM), 0);
	for (unsigned int i = 0; i < vcpus; i++)
		assert_int_equal(vcpu_create(&vcpu, fixture_vm), 0);
	if (vcpus)
		fixture_load(fixture_vm->vcpu[0], 0);
}

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
	u64 offset;

	assert_int_equal(backing_next_fetch(fixture_backing(), &offset, 0), 0);
	assert_int_equal(backing_fill(fixture_backing(), offset, aside), 0);
}
