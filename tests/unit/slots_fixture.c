/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/host/chaos.h"
#include "hv/host/errno.h"
#include "hv/host/timer.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/slots_fixture.h"
#include "vmx/controls.h"

struct vm *vm;
struct backing *mem, *other;
struct slot_report report;

/* The fixture's slot 0 stays. */
int slots_setup(void **state)
{
	fixture_start(2);
	tsc_hz = 1000000; /* what has to time out does so in fewer steps */
	vm = fixture_vm;
	assert_int_equal(backing_create(&mem, MIB(16), 0), 0);
	assert_int_equal(backing_create(&other, MIB(4), 0), 0);
	return 0;
}

int slots_teardown(void **state)
{
	chaos_off();
	fake_machine.on_spin = fake_machine.on_block = NULL;
	backing_put(mem);
	backing_put(other);
	fixture_end();
	return 0;
}

int change_list(const struct slot_change *list, unsigned int n, enum slot_way way)
{
	int err = vm_change_slots(vm, list, n, way, &report);

	assert_int_equal(fake_locks_held(), 0);
	assert_false(vm_is_held(vm));
	assert_int_equal(vm->invalidation.in_progress, 0);
	if (err)
		assert_memory_equal(report.why, "item ", 5);
	else
		assert_string_equal(report.why, "");
	return err;
}

int change(struct slot_change c, enum slot_way way)
{
	return change_list(&c, 1, way);
}

struct slot_change create(u32 id, gpa_t base, u64 size)
{
	return (struct slot_change){
		.op = SLOT_CREATE, .id = id, .base = base, .size = size, .backing = mem
	};
}

struct slot_change drop(u32 id)
{
	return (struct slot_change){ .op = SLOT_DELETE, .id = id };
}

bool mapped(gpa_t gpa)
{
	struct ept_mapping m;

	return !ept_lookup(&vm->vmx.ept, gpa, &m);
}

void touch(gpa_t gpa, unsigned int access)
{
	struct missing missing;

	assert_int_equal(vm_fault(vm, gpa, access, &missing), 0);
	assert_true(mapped(gpa));
}

void touch_all(gpa_t gpa, u64 len)
{
	for (u64 at = 0; at < len; at += K4)
		touch(gpa + at, FAULT_READ);
}

/* How many pages of a range are mapped. */
u64 nr_mapped(gpa_t gpa, u64 len)
{
	u64 n = 0;

	for (u64 at = 0; at < len; at += K4)
		n += mapped(gpa + at);
	return n;
}

static void expect_same(const struct vm_slot *a, const struct vm_slot *b)
{
	assert_ptr_equal(a, b);
	if (a)
		assert_false(a->invalid);
}

/* Both sets hold the same slots, in order, found by address and by id; one of them is private. */
void check_sets(void)
{
	struct slot_set *active = atomic_load(&vm->slots.active);
	struct slot_set *idle = slots_inactive(vm);
	gpa_t at = 0;
	u32 n = 0;

	assert_ptr_not_equal(active, idle);
	assert_int_equal(active->nr, idle->nr);
	for (u32 id = 0; id < ARRAY_SIZE(active->by_id); id++)
		expect_same(active->by_id[id], idle->by_id[id]);
	for (struct vm_slot *s; (s = slot_next(vm, at)); n++) {
		assert_true(s->base >= at);
		expect_same(slot_set_above(idle, at), s);
		expect_same(slot_find(vm, s->base), s);
		expect_same(slot_find(vm, s->base + s->size - 1), s);
		expect_same(s->id == SLOT_ID_APIC ? slot_private(vm) : slot_by_id(vm, s->id), s);
		assert_ptr_not_equal(slot_find(vm, s->base + s->size), s);
		at = s->base + s->size;
	}
	assert_int_equal(n, active->nr);
	assert_non_null(slot_private(vm));
	assert_null(slot_by_id(vm, SLOT_ID_APIC));
	assert_int_equal(n, slots_count(vm) + 1);
}

void expect_slot(u32 id, gpa_t base, u64 size, u64 offset)
{
	const struct vm_slot *s = slot_by_id(vm, id);

	assert_non_null(s);
	assert_int_equal(s->base, base);
	assert_int_equal(s->size, size);
	assert_int_equal(s->offset, offset);
	assert_int_equal(s->view.gpa, base);
	assert_int_equal(s->view.size, size);
	assert_int_equal(s->view.offset, offset);
	check_sets();
}

/* A vCPU that was in the guest leaves it when it is kicked, and goes in again. */
static void vcpu_obeys(void)
{
	struct vcpu *v = vm->vcpu[1];

	if (atomic_load(&v->mode) == EXITING_GUEST_MODE)
		atomic_store(&v->mode, OUTSIDE_GUEST_MODE);
}

void vcpu_enters(void)
{
	struct vcpu *v = vm->vcpu[1];

	v->vmx.flushed_gen = atomic_load(&vm->vmx.flush_gen);
	atomic_store(&v->mode, IN_GUEST_MODE);
	fake_machine.on_spin = vcpu_obeys;
}
