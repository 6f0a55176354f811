/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The APIC-access page: who finds it, what a reload writes and when it does not, and which vCPUs
 * keep it from being mapped. test_apic_reload.c has what happens at the same time.
 */
/* link: @vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"
#include "hv/vm/slots_internal.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"

#define APIC	  LAPIC_DEFAULT_BASE
#define ELSEWHERE MIB(1)
#define SENTINEL  0xa5

static struct vm *vm;
static struct vcpu *vcpu, *other;
static struct fake_vcpu *f;

static const struct fixture_apic access_page = { "", VMX_APIC_ACCESS, LAPIC_XAPIC };

static int setup(void **state)
{
	fixture_start_apics(2, *state ? *state : &access_page);
	vm = fixture_vm;
	vcpu = vm->vcpu[0];
	other = vm->vcpu[1];
	f = fake_of(vcpu);
	vmx_apic_flush(&vcpu->vmx);
	f->apic.flushes = f->apic.pages = 0;
	return 0;
}

static int teardown(void **state)
{
	fixture_end();
	return 0;
}

static int touch(gpa_t gpa, unsigned int access)
{
	struct missing missing;

	return vm_fault(vm, gpa, access, &missing);
}

/* What the second-level tables say; 0: nothing. */
static hpa_t mapped(gpa_t gpa, struct ept_mapping *m)
{
	return ept_lookup(&vm->vmx.ept, gpa, m) ? 0 : m->hpa;
}

static hpa_t apic_mapped(void)
{
	struct ept_mapping m;

	return mapped(APIC, &m);
}

static bool pending(struct vcpu *v)
{
	return atomic_load(&v->requests) & REQ_APIC_PAGE;
}

static void run_to_end(void)
{
	fixture_run_to_end(vcpu);
	assert_false(pending(vcpu));
}

/* Its own thread writes IA32_APIC_BASE. */
static void set_base(struct vcpu *v, u64 bits)
{
	u64 bsp = v->id ? 0 : LAPIC_BASE_BSP;

	fixture_load(v, v->id);
	assert_int_equal(lapic_write(v, MSR_APIC_BASE, bits | bsp), 0);
	fixture_load(vcpu, 0);
}

static void disable(struct vcpu *v)
{
	set_base(v, APIC);
}

static void enable(struct vcpu *v)
{
	set_base(v, APIC | LAPIC_BASE_EN);
}

static void enable_x2apic(struct vcpu *v)
{
	set_base(v, APIC | LAPIC_BASE_EN | LAPIC_BASE_EXTD);
}

/* --- the slot -------------------------------------------------------------------------------- */

/* The guest finds it there, to read and write; the hypervisor finds no memory. */
static void test_private(void **state)
{
	u8 buf[2 * PAGE_SIZE] = { 0 };
	struct ept_mapping m;

	assert_int_equal(touch(APIC + 0x30, FAULT_READ), 0);
	assert_int_equal(mapped(APIC, &m), vm_apic_page_frame(vm));
	assert_int_equal(m.prot & EPT_RWX, EPT_READ | EPT_WRITE);
	assert_int_equal(m.size, PAGE_SIZE);
	assert_int_equal(touch(APIC, FAULT_FETCH), -ENOENT);
	assert_int_equal(vm_read(vm, APIC, buf, 4), -EFAULT);
	assert_int_equal(vm_write(vm, APIC, buf, 4), -EFAULT);
	assert_int_equal(vm_fill(vm, APIC, 1, PAGE_SIZE), -EFAULT);
	assert_int_equal(slots_count(vm), 1);
	assert_int_equal(vm_ram_size(vm), FIXTURE_RAM);
	/* Also across the border of RAM. */
	assert_int_equal(vm_add_ram(vm, APIC - PAGE_SIZE, PAGE_SIZE), 0);
	assert_int_equal(vm_read(vm, APIC - PAGE_SIZE, buf, PAGE_SIZE), 0);
	assert_int_equal(vm_read(vm, APIC - PAGE_SIZE, buf, PAGE_SIZE + 1), -EFAULT);
}

/* Callers can neither take its address, nor name it, nor make one like it. */
static void test_reserved(void **state)
{
	struct slot_change c = { .op = SLOT_CREATE, .id = 7, .base = APIC, .size = PAGE_SIZE };

	assert_int_equal(vm_add_ram(vm, APIC, PAGE_SIZE), -EEXIST);
	assert_int_equal(vm_add_ram(vm, APIC - PAGE_SIZE, 2 * PAGE_SIZE), -EEXIST);
	assert_int_equal(backing_create(&c.backing, PAGE_SIZE, 0), 0);
	c.base = GIB(1);
	c.flags = SLOT_PRIVATE;
	assert_int_equal(vm_change_slots(vm, &c, 1, SLOTS_LIVE, NULL), -EOPNOTSUPP);
	c.flags = 0;
	c.id = SLOT_ID_APIC;
	assert_int_equal(vm_change_slots(vm, &c, 1, SLOTS_LIVE, NULL), -ENOSPC);
	c.op = SLOT_DELETE;
	assert_int_equal(vm_change_slots(vm, &c, 1, SLOTS_LIVE, NULL), -ENOENT);
	backing_put(c.backing);
	assert_int_not_equal(vm_apic_page_frame(vm), 0);
}

static void test_rungs(void **state)
{
	struct vm *v;

	assert_int_equal(vm_set_apic(vm, VMX_APIC_TPR), -EBUSY);
	assert_int_equal(vm_create(&v), 0);
	assert_int_equal(v->apic_rung, VMX_APIC_X2APIC);
	fake_set_apic_best(VMX_APIC_TPR);
	assert_int_equal(vm_set_apic(v, VMX_APIC_ACCESS), -EOPNOTSUPP);
	assert_int_equal(vm_default_apic(VMX_APIC_ACCESS), -EOPNOTSUPP);
	assert_int_equal(vm_set_apic(v, VMX_APIC_TPR), 0);
	assert_int_equal(v->apic_rung, VMX_APIC_TPR);
	vm_destroy(v);
}

/* Whatever allocation fails: nothing is left, and the next try succeeds. */
static void test_no_memory(void **state)
{
	struct vcpu *v;
	struct vm *small;
	unsigned int n;

	for (n = 1;; n++) {
		u64 live = fake_machine.pages_live;
		int err;

		assert_int_equal(vm_create(&small), 0);
		fake_page_fail(n);
		err = vcpu_create(&v, small);
		fake_page_fail(0);
		if (err) {
			assert_int_equal(err, -ENOMEM);
			assert_int_equal(vcpu_create(&v, small), 0);
		}
		assert_int_not_equal(vm_apic_page_frame(small), 0);
		vm_destroy(small);
		assert_int_equal(fake_machine.pages_live, live);
		if (!err)
			break;
	}
	assert_true(n > 2);
}

/* --- moving it ------------------------------------------------------------------------------- */

/* The first entry has the address; nobody maps the page for it. */
static void test_first_entry(void **state)
{
	assert_true(pending(vcpu));
	run_to_end();
	assert_int_equal(f->apic.page, vm_apic_page_frame(vm));
	assert_int_equal(f->apic.pages, 1);
	assert_int_equal(apic_mapped(), 0);
}

/* Each move is reloaded once, and flushed once, by the one who moves it. */
static void test_move(void **state)
{
	hpa_t old = vm_apic_page_frame(vm);
	u64 gen;

	run_to_end();
	assert_int_equal(touch(APIC, FAULT_WRITE), 0);
	gen = atomic_load(&vm->vmx.flush_gen);
	assert_int_equal(vm_move_apic_page(vm, SENTINEL), 0);
	assert_int_not_equal(vm_apic_page_frame(vm), old);
	assert_int_equal(apic_mapped(), 0);
	assert_int_equal(atomic_load(&vm->vmx.flush_gen), gen + 1);
	assert_true(pending(vcpu));
	assert_true(pending(other));
	assert_int_equal(f->apic.page, old);
	f->flushes = 0;
	run_to_end();
	assert_int_equal(f->apic.page, vm_apic_page_frame(vm));
	assert_int_equal(f->apic.pages, 2);
	assert_int_equal(f->flushes, 1);
	assert_int_equal(f->apic.flushes, 0);
	assert_int_equal(touch(APIC, FAULT_READ), 0);
	assert_int_equal(apic_mapped(), f->apic.page);
	run_to_end();
	assert_int_equal(f->apic.pages, 2);
	assert_int_equal(f->flushes, 1);
}

/* Nobody pins it: the old frame is given back, with vCPUs that have and that have not reloaded. */
static void test_unpinned(void **state)
{
	u64 live = 0;

	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(touch(APIC, FAULT_WRITE), 0);
		if (i & 1)
			run_to_end();
		assert_int_equal(vm_move_apic_page(vm, SENTINEL), 0);
		if (i == 1) /* what is kept for the next time is there now */
			live = fake_machine.pages_live;
		else if (i)
			assert_int_equal(fake_machine.pages_live, live);
	}
}

/* What concerns other memory concerns no APIC. */
static void test_other_memory(void **state)
{
	run_to_end();
	atomic_store(&other->requests, 0);
	assert_int_equal(touch(0, FAULT_READ), 0);
	assert_int_equal(vm_drop_page(vm, 0), 0);
	assert_int_equal(backing_move(slot_by_id(vm, 0)->backing, 0, PAGE_SIZE, -1), 0);
	assert_int_equal(vm_add_ram(vm, GIB(1), MIB(2)), 0);
	invalidate_begin(vm, APIC - PAGE_SIZE, PAGE_SIZE);
	invalidate_begin(vm, APIC + PAGE_SIZE, PAGE_SIZE);
	assert_false(pending(vcpu));
	assert_false(pending(other));
	run_to_end(); /* also while it lasts, and although the range has grown over the page */
	invalidate_end(vm);
	invalidate_end(vm);
	assert_int_equal(f->apic.pages, 1);
	/* The last byte of a range, the first one, all there is. */
	invalidate_begin(vm, 0, APIC);
	assert_false(pending(vcpu));
	invalidate_end(vm);
	invalidate_begin(vm, 0, APIC + 1);
	assert_true(pending(vcpu));
	invalidate_end(vm);
	run_to_end();
	invalidate_begin(vm, 0, ~0ull);
	assert_true(pending(vcpu));
	invalidate_end(vm);
	run_to_end();
}

static void test_policies(void **state)
{
	u64 gen;

	run_to_end();
	vm_set_apic_policy(vm, RELOAD_RETRY, STALL_REREQUEST, FLUSH_BOTH);
	gen = atomic_load(&vm->vmx.flush_gen);
	assert_int_equal(vm_move_apic_page(vm, -1), 0);
	run_to_end();
	assert_int_equal(atomic_load(&vm->vmx.flush_gen), gen + 1);
	assert_int_equal(f->apic.flushes, 1);
	vm_set_apic_policy(vm, RELOAD_RETRY, STALL_REREQUEST, FLUSH_RELOAD);
	assert_int_equal(vm_move_apic_page(vm, -1), 0);
	assert_int_equal(atomic_load(&vm->vmx.flush_gen), gen + 1);
	assert_int_equal(atomic_load(&vm->apic_page.owed_gen), gen + 2);
	run_to_end();
	assert_int_equal(f->apic.flushes, 2);
	/* Moves of other memory flush as ever. */
	assert_int_equal(backing_move(slot_by_id(vm, 0)->backing, 0, PAGE_SIZE, -1), 0);
	assert_int_equal(atomic_load(&vm->vmx.flush_gen), gen + 2);
}

/* --- a slot that goes ------------------------------------------------------------------------ */

static void test_deleted(void **state)
{
	run_to_end();
	assert_int_equal(touch(APIC, FAULT_READ), 0);
	assert_int_equal(vm_delete_apic_page(vm), 0);
	assert_int_equal(vm_apic_page_frame(vm), 0);
	assert_int_equal(apic_mapped(), 0);
	assert_int_equal(touch(APIC, FAULT_READ), -ENOENT);
	assert_true(pending(vcpu));
	run_to_end(); /* no address, and no waiting for one */
	assert_int_equal(f->apic.pages, 1);
	/* The VM keeps the page, and it keeps its place: APIC_ACCESS_ADDR still names the frame. */
	assert_int_equal(vm_move_apic_page(vm, SENTINEL), -ENOENT);
	disable(vcpu); /* a change of mode does not bring it back */
	enable(vcpu);
	run_to_end();
	assert_int_equal(f->apic.pages, 1);
	assert_int_equal(touch(APIC, FAULT_READ), -ENOENT);
	assert_int_equal(vm_delete_apic_page(vm), -ENOENT);
	/* Nor is there a place for RAM now. */
	assert_int_equal(vm_add_ram(vm, APIC, PAGE_SIZE), -EEXIST);
	assert_int_equal(vm_add_ram(vm, APIC - MIB(2), MIB(4)), -EEXIST);
}

/* That it goes is believed when it is gone: until then another vCPU may use it. */
static void test_going(void **state)
{
	struct vm_slot *slot = slot_private(vm);

	invalidate_begin(vm, APIC, PAGE_SIZE);
	atomic_store(&slot->invalid, true);
	assert_false(apic_page_reload(vcpu));
	invalidate_end(vm);
	assert_true(apic_page_reload(vcpu));
	assert_int_equal(f->apic.pages, 0);
	atomic_store(&slot->invalid, false);
	assert_true(apic_page_reload(vcpu));
	assert_int_equal(f->apic.page, vm_apic_page_frame(vm));
}

/* --- vCPUs that it does not serve ------------------------------------------------------------- */

static void expect_served(bool served)
{
	assert_int_equal(touch(APIC, FAULT_READ), served ? 0 : -EACCES);
	assert_int_equal(apic_mapped(), served ? vm_apic_page_frame(vm) : 0);
}

/* Nothing is written where nothing is used; who comes back reloads and flushes. */
static void goes_and_comes_back(void (*go)(struct vcpu *v), void (*come)(struct vcpu *v))
{
	unsigned int flushes;

	run_to_end();
	expect_served(true);
	go(vcpu);
	assert_int_equal(apic_mapped(), 0); /* for all vCPUs */
	expect_served(false);
	run_to_end();
	assert_int_equal(vm_move_apic_page(vm, SENTINEL), 0);
	expect_served(false);
	run_to_end();
	assert_int_equal(f->apic.pages, 1);
	flushes = f->apic.flushes;
	come(vcpu);
	assert_true(pending(vcpu));
	assert_true(f->apic.flushes > flushes);
	run_to_end();
	assert_int_equal(f->apic.pages, 2);
	assert_int_equal(f->apic.page, vm_apic_page_frame(vm));
	expect_served(true);
}

static void test_disabled(void **state)
{
	goes_and_comes_back(disable, enable);
}

static void disable_and_enable(struct vcpu *v)
{
	disable(v);
	enable(v);
}

static void test_x2apic(void **state)
{
	goes_and_comes_back(enable_x2apic, disable_and_enable);
}

static void relocate(struct vcpu *v)
{
	set_base(v, ELSEWHERE | LAPIC_BASE_EN);
}

static void test_relocated(void **state)
{
	goes_and_comes_back(relocate, enable);
}

/* One that is in another mode is enough, and the last one decides. */
static void test_two_vcpus(void **state)
{
	run_to_end();
	enable_x2apic(other);
	disable(vcpu);
	enable(vcpu);
	run_to_end();
	assert_int_equal(f->apic.page, vm_apic_page_frame(vm)); /* ready for the day */
	expect_served(false);
	disable(other);
	expect_served(false);
	enable(other);
	expect_served(true);
	assert_int_equal(vm->apic_page.inhibited, 0);
}

/* A vCPU that does not leave the guest: the mode is as before, and so is the page. */
static void test_stuck(void **state)
{
	u64 base = LAPIC_DEFAULT_BASE | LAPIC_BASE_EN | LAPIC_BASE_BSP;

	atomic_store(&other->mode, IN_GUEST_MODE);
	assert_int_equal(apic_page_inhibit(vm), -ETIMEDOUT);
	assert_int_equal(vm->apic_page.inhibited, 0);
	assert_int_equal(lapic_write(vcpu, MSR_APIC_BASE, base & ~LAPIC_BASE_EN), 1);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_ERROR);
	assert_int_equal(lapic_mode(vcpu), LAPIC_XAPIC);
	assert_int_equal(vm->invalidation.in_progress, 0);
	atomic_store(&other->mode, OUTSIDE_GUEST_MODE);
	expect_served(true);
	assert_int_equal(apic_page_inhibit(vm), 0);
	atomic_store(&other->mode, IN_GUEST_MODE);
	assert_int_equal(apic_page_allow(vm), -ETIMEDOUT);
	atomic_store(&other->mode, OUTSIDE_GUEST_MODE);
	expect_served(false);
	fake_console_take();
}

/* An APIC with an address of its own hides the RAM there from all vCPUs, and from nobody else. */
static void test_covered(void **state)
{
	struct ept_mapping m;
	u64 gen;

	assert_int_equal(touch(ELSEWHERE, FAULT_WRITE), 0);
	assert_int_not_equal(mapped(ELSEWHERE, &m), 0);
	gen = atomic_load(&vm->vmx.flush_gen);
	relocate(vcpu);
	assert_true(atomic_load(&vm->vmx.flush_gen) > gen);
	assert_true(apic_page_covered(vm, ELSEWHERE + 0xfff));
	assert_false(apic_page_covered(vm, ELSEWHERE + PAGE_SIZE));
	assert_int_equal(mapped(ELSEWHERE, &m), 0);
	assert_int_equal(touch(ELSEWHERE, FAULT_WRITE), -EACCES);
	/* Its neighbours are mapped, one by one. */
	assert_int_equal(touch(ELSEWHERE + PAGE_SIZE, FAULT_WRITE), 0);
	assert_int_equal(touch(ELSEWHERE - PAGE_SIZE, FAULT_WRITE), 0);
	assert_int_equal(touch(MIB(2), FAULT_WRITE), 0);
	assert_int_equal(mapped(ELSEWHERE, &m), 0);
	assert_int_equal(vm_populate(vm), 0);
	assert_int_equal(mapped(ELSEWHERE, &m), 0);
	guest_put(ELSEWHERE, 0x1122334455667788, 8);
	assert_int_equal(guest_get(ELSEWHERE, 8), 0x1122334455667788);
	set_base(vcpu, (ELSEWHERE + PAGE_SIZE) | LAPIC_BASE_EN);
	assert_int_equal(mapped(ELSEWHERE + PAGE_SIZE, &m), 0);
	assert_int_equal(touch(ELSEWHERE, FAULT_READ), 0);
	enable(vcpu);
	assert_int_equal(vm->apic_page.covering, 0);
	assert_int_equal(touch(ELSEWHERE + PAGE_SIZE, FAULT_READ), 0);
	assert_int_not_equal(mapped(ELSEWHERE + PAGE_SIZE, &m), 0);
}

/* Below the rung of the access page its address is taken, and never mapped; nobody flushes. */
static void test_emulated(void **state)
{
	u64 gen = atomic_load(&vm->vmx.flush_gen);

	run_to_end();
	expect_served(false);
	assert_int_equal(vm_add_ram(vm, APIC, PAGE_SIZE), -EEXIST);
	disable(vcpu);
	enable(vcpu);
	assert_int_equal(atomic_load(&vm->vmx.flush_gen), gen);
	expect_served(false);
	assert_int_equal(vm_move_apic_page(vm, SENTINEL), 0);
	run_to_end();
	assert_int_equal(f->apic.pages, 0);
}

static const struct fixture_apic emulated = { "", VMX_APIC_EMULATE, LAPIC_XAPIC };
static const struct fixture_apic delivery = { "", VMX_APIC_DELIVERY, LAPIC_XAPIC };

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define ON(fn, apic)                                                                               \
	{                                                                                          \
#fn ": " #apic, fn, setup, teardown, (void *)&(apic)                               \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_private),	   TEST(test_reserved),		TEST(test_rungs),
		TEST(test_no_memory),	   TEST(test_first_entry),	TEST(test_move),
		ON(test_move, delivery),   TEST(test_unpinned),		TEST(test_other_memory),
		TEST(test_policies),	   TEST(test_deleted),		TEST(test_going),
		TEST(test_disabled),	   ON(test_disabled, delivery), TEST(test_x2apic),
		ON(test_x2apic, delivery), TEST(test_relocated),	TEST(test_two_vcpus),
		TEST(test_stuck),	   TEST(test_covered),		ON(test_emulated, emulated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
