/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/percpu.h"
#include "hv/vm/backing.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/missing_fixture.h"

#define AWAY 8

enum missing_way way;
struct vm *vm;
struct vcpu *vcpu;
struct fake_vcpu *f;
u64 *gpr;
struct backing *ram;
struct userfault *u;

/* --- pages that go and come --------------------------------------------------------------------
 */

static struct {
	gpa_t gpa;
	u8 bytes[K4];
} away[AWAY];
static unsigned int nr_away;

/* The VM's memory is told of, from now on. */
void tell(void)
{
	struct slot_change c = { .op = SLOT_FLAGS, .id = 0 };

	c.flags = way == EXITS ? SLOT_EXIT_ON_MISSING : SLOT_USERFAULT;
	c.userfault = way == EXITS ? NULL : u;
	assert_int_equal(vm_change_slots(vm, &c, 1, SLOTS_ATOMIC, NULL), 0);
}

void take(gpa_t gpa)
{
	assert_in_range(nr_away, 0, AWAY - 1);
	gpa = ALIGN_DOWN(gpa, K4);
	away[nr_away].gpa = gpa;
	assert_int_equal(vm_read(vm, gpa, away[nr_away++].bytes, K4), 0);
	if (way == EXITS)
		assert_int_equal(backing_punch(ram, gpa, K4), 0);
	else
		assert_int_equal(userfault_set(u, gpa, K4), 0);
}

void bring(gpa_t gpa)
{
	unsigned int i = 0;

	gpa = ALIGN_DOWN(gpa, K4);
	while (away[i].gpa != gpa)
		assert_in_range(++i, 0, nr_away - 1);
	if (way == EXITS)
		assert_int_equal(backing_fill(ram, gpa, away[i].bytes), 0);
	else
		userfault_clear_page(u, gpa);
	away[i] = away[--nr_away];
}

const u8 *aside(void)
{
	assert_int_not_equal(nr_away, 0);
	return away[0].bytes;
}

bool mapped(gpa_t gpa)
{
	struct ept_mapping m;

	return !ept_lookup(&vm->vmx.ept, gpa, &m);
}

/* --- the machine ----------------------------------------------------------------------------- */

int missing_setup(void **state)
{
	static const struct fixture_apic how = { "", VMX_APIC_EMULATE, LAPIC_XAPIC };

	fixture_start_apics(2, &how);
	vm = fixture_vm;
	vcpu = vm->vcpu[0];
	f = fake_of(vcpu);
	gpr = vcpu->vmx.gpr;
	f->reg[REG_RIP] = RIP;
	f->reg[REG_CR0] = CR0_PE | CR0_ET;
	ram = slot_by_id(vm, 0)->backing;
	assert_int_equal(userfault_create(&u, ram, false), 0);
	nr_away = 0;
	tell();
	return 0;
}

int missing_teardown(void **state)
{
	assert_int_equal(atomic_load(&vcpu->mode), OUTSIDE_GUEST_MODE);
	assert_int_equal(atomic_load(&this_cpu()->in_guest), 0);
	userfault_put(u);
	fixture_end();
	return 0;
}

/* All that a guest could see of its vCPU. */
static struct state {
	u64 gpr[NR_GPRS], reg[FAKE_REGS];
	u64 pdpte[4];
	bool queued;
	struct vm_event event;
	unsigned int skips;
} before;

static struct state look(void)
{
	struct state s;

	memset(&s, 0, sizeof(s));
	memcpy(s.gpr, gpr, sizeof(s.gpr));
	memcpy(s.reg, f->reg, sizeof(s.reg));
	memcpy(s.pdpte, f->pdpte, sizeof(s.pdpte));
	s.queued = f->queued;
	if (f->queued)
		s.event = f->event;
	s.skips = f->skips + f->quick;
	return s;
}

void remember(struct vcpu *v)
{
	before = look();
}

void expect_unchanged(void)
{
	struct state now = look();

	assert_memory_equal(&now, &before, sizeof(now));
}

struct fake_exit *guest_touches(gpa_t gpa, unsigned int access)
{
	struct fake_exit *e = fake_exit_add(VM_EXIT_MEMORY);

	e->exit.mem.gpa = gpa;
	e->exit.mem.access = (u8)access;
	e->during = remember;
	return e;
}

/* What the VMM is told: this page, this access, and of nothing else. */
void expect_exit(gpa_t gpa, unsigned int access)
{
	/* What the VMM answers to an IN is in there too. */
	if (vcpu->run.reason != RUN_EXIT_IO)
		memset(&vcpu->run, 0x5a, sizeof(vcpu->run));
	assert_int_equal(vcpu_run(vcpu), 0);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_MEMORY_FAULT);
	assert_int_equal(vcpu->run.memory_fault.gpa, gpa);
	assert_int_equal(vcpu->run.memory_fault.size, K4);
	assert_int_equal(vcpu->run.memory_fault.flags, access);
	assert_int_equal(fake_locks_held(), 0);
	assert_int_equal(fake_exits_left(), 0);
	assert_int_equal(fake_machine.blocks, 0);
}

/* Not resolved: the same again, without the guest having run. */
void expect_again(gpa_t gpa, unsigned int access)
{
	unsigned int entries = f->entries;

	for (unsigned int i = 0; i < 3; i++) {
		expect_exit(gpa, access);
		expect_unchanged();
	}
	assert_int_equal(f->entries, entries);
}

/* The exit, what it leaves as it was, and the same again; then the page is there. */
void resolve(gpa_t gpa, unsigned int access)
{
	expect_exit(gpa, access);
	expect_unchanged();
	expect_again(gpa, access);
	bring(gpa);
}

void run_to_end(void)
{
	fixture_run_to_end(vcpu);
}

void run_expecting(u32 reason)
{
	assert_int_equal(vcpu_run(vcpu), 0);
	assert_int_equal(vcpu->run.reason, reason);
	assert_int_equal(fake_exits_left(), 0);
}

void expect_stopped(void)
{
	assert_int_equal(vcpu_run(vcpu), -EINTR);
	assert_int_not_equal(vcpu->run.reason, RUN_EXIT_MEMORY_FAULT);
	assert_int_equal(fake_exits_left(), 0);
}

int missing_run_group(const struct CMUnitTest *tests, size_t nr)
{
	int failed;

	way = EXITS;
	failed = _cmocka_run_group_tests("exits", tests, nr, NULL, NULL);
	way = BITMAP;
	return failed + _cmocka_run_group_tests("bitmap", tests, nr, NULL, NULL);
}
