/* SPDX-License-Identifier: GPL-2.0-only */
/* See memory_fixture.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/memory_fixture.h"

struct vm *vm;
struct backing *shown;
struct missing missing;

int setup(void **state)
{
	fixture_start(3);
	vm = fixture_vm;
	return 0;
}

int teardown(void **state)
{
	fixture_end();
	return 0;
}

int fault(gpa_t gpa, unsigned int access)
{
	int err = vm_fault(vm, gpa, access, &missing);

	assert_int_equal(fake_locks_held(), 0);
	return err;
}

int touch(gpa_t gpa)
{
	return fault(gpa, FAULT_READ);
}

bool mapped(gpa_t gpa, u64 size)
{
	struct ept_mapping m;
	u8 byte;

	if (ept_lookup(&vm->vmx.ept, gpa, &m))
		return false;
	assert_int_equal(m.size, size);
	assert_int_equal(m.prot, EPT_RWX);
	assert_true(m.accessed && m.dirty); /* nothing for the CPU to set, or to log */
	assert_int_equal(vm_read(vm, gpa, &byte, 1), 0);
	assert_int_equal(*(u8 *)phys_to_virt(m.hpa), byte);
	byte = (u8)~byte;
	assert_int_equal(vm_write(vm, gpa, &byte, 1), 0);
	assert_int_equal(*(u8 *)phys_to_virt(m.hpa), byte);
	return true;
}

void change(struct slot_change c)
{
	struct slot_report report;
	int err = vm_change_slots(vm, &c, 1, SLOTS_ATOMIC, &report);

	if (err)
		fail_msg("change %d: %d, %s", c.op, err, report.why);
}

void show(gpa_t gpa, u64 size, u64 offset, u32 flags)
{
	struct slot_change c = { .op = SLOT_CREATE, .id = 9, .base = gpa, .size = size };

	assert_int_equal(backing_create(&shown, offset + size, 0), 0);
	c.backing = shown;
	c.offset = offset;
	c.flags = flags;
	change(c);
}

void hide(void)
{
	change((struct slot_change){ .op = SLOT_DELETE, .id = 9 });
	backing_put(shown);
}

struct ept_mapping look(gpa_t gpa)
{
	struct ept_mapping m;

	if (ept_lookup(&vm->vmx.ept, gpa, &m))
		m.prot = 0;
	return m;
}

u64 nr_dirty(void)
{
	u64 bitmap[16], n;

	assert_int_equal(vm_dirty_read(vm, 9, bitmap, &n), 0);
	return n;
}
