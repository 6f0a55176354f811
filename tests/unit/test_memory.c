/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory with the real slots, backings and second-level tables: RAM, access by address,
 * faults and the rights they map with, what changes underneath them, dropped pages.
 */
/* link: @vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/chaos.h"
#include "hv/host/counter.h"
#include "hv/host/errno.h"
#include "hv/host/mem.h"
#include "hv/host/string.h"
#include "hv/host/timer.h"
#include "hv/vm/backing_internal.h"
#include "hv/vm/internal.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"
#include "vmx/controls.h"

#define M2 EPT_SIZE_2M
#define K4 EPT_SIZE_4K

extern struct counter mem_faults, mem_spurious, mem_unprotected, mem_retries;

static struct vm *vm;

static int setup(void **state)
{
	fixture_start(3);
	vm = fixture_vm;
	return 0;
}

static int teardown(void **state)
{
	fixture_end();
	return 0;
}

static struct missing missing;

static int fault(gpa_t gpa, unsigned int access)
{
	int err = vm_fault(vm, gpa, access, &missing);

	assert_int_equal(fake_locks_held(), 0);
	return err;
}

static int touch(gpa_t gpa)
{
	return fault(gpa, FAULT_READ);
}

/* Whether hardware finds @gpa, in a leaf of @size, and there what vm_read() finds. */
static bool mapped(gpa_t gpa, u64 size)
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

/* --- slots ----------------------------------------------------------------------------------- */

static void test_ram_rules(void **state)
{
	/* 0 .. FIXTURE_RAM is there */
	assert_int_equal(vm_add_ram(vm, MIB(8), 0), -EINVAL);
	assert_int_equal(vm_add_ram(vm, MIB(8) + 1, K4), -EINVAL);
	assert_int_equal(vm_add_ram(vm, MIB(8), K4 + 1), -EINVAL);
	assert_int_equal(vm_add_ram(vm, -(u64)K4, 2 * K4), -ERANGE); /* wraps */
	assert_int_equal(vm_add_ram(vm, -(u64)M2, M2), -ERANGE);
	assert_int_equal(vm_add_ram(vm, 0, K4), -EEXIST);
	assert_int_equal(vm_add_ram(vm, FIXTURE_RAM - K4, K4), -EEXIST);
	assert_int_equal(vm_add_ram(vm, 0, 2 * FIXTURE_RAM), -EEXIST);
	assert_int_equal(slots_count(vm), 1);
	assert_int_equal(vm_add_ram(vm, FIXTURE_RAM, K4), 0); /* next to it */
	assert_int_equal(vm_add_ram(vm, MIB(8) + 3 * K4, 3 * K4), 0);
	assert_int_equal(vm_add_ram(vm, MIB(8) + 5 * K4, K4), -EEXIST);
	assert_int_equal(vm_add_ram(vm, MIB(16), MIB(3)), 0);
	assert_int_equal(slots_count(vm), 4);
	for (u32 id = 0; id < 4; id++)
		assert_non_null(slot_by_id(vm, id));
	assert_int_equal(vm_ram_size(vm), FIXTURE_RAM);
}

/* Beyond what second-level tables, or the processor's addresses, can reach. */
static void test_ram_too_high(void **state)
{
	assert_int_equal(vm_add_ram(vm, BIT(vmx_caps.phys_bits), M2), -ERANGE);
	assert_int_equal(vm_add_ram(vm, BIT(vmx_caps.phys_bits) - M2, 2 * M2), -ERANGE);
	assert_int_equal(vm_add_ram(vm, BIT(vmx_caps.phys_bits) - M2, M2), 0);
	assert_int_equal(touch(BIT(vmx_caps.phys_bits) - 1), 0);
}

static void test_ram_without_memory(void **state)
{
	u64 live = fake_machine.pages_live;

	for (unsigned int n = 1; n <= 3; n++) {
		fake_page_fail(n); /* each block */
		assert_int_equal(vm_add_ram(vm, MIB(8), MIB(6)), -ENOMEM);
		assert_int_equal(fake_machine.pages_live, live);
	}
	for (unsigned int n = 1; n <= 3; n++) {
		fake_alloc_fail(n); /* the backing, its list of blocks, the slot */
		assert_int_equal(vm_add_ram(vm, MIB(8), MIB(6)), -ENOMEM);
		assert_int_equal(fake_machine.pages_live, live);
	}
	for (u64 size = GIB(1); size; size <<= 1) {
		int err = vm_add_ram(vm, GIB(1), size);

		assert_int_equal(err, size > GIB(512) ? -EINVAL : -ENOMEM);
		assert_int_equal(fake_machine.pages_live, live);
	}
	assert_int_equal(vm_add_ram(vm, MIB(8), ~0xfffffful), -EINVAL);
	assert_int_equal(slots_count(vm), 1);
}

static void test_too_many_slots(void **state)
{
	for (u32 i = 1; i < VM_MAX_SLOTS; i++)
		assert_int_equal(vm_add_ram(vm, GIB(1) + i * K4, K4), 0);
	assert_int_equal(vm_add_ram(vm, GIB(2), K4), -ENOSPC);
	assert_int_equal(guest_get(GIB(1) + 300 * K4 - 4, 8), 0);
}

static void test_no_ram_at_0(void **state)
{
	struct slot_change gone = { .op = SLOT_DELETE, .id = 0 };

	assert_int_equal(vm_change_slots(vm, &gone, 1, SLOTS_ATOMIC, NULL), 0);
	assert_int_equal(vm_ram_size(vm), 0);
	assert_int_equal(touch(0), -ENOENT);
}

static void test_create_without_memory(void **state)
{
	struct vm *other = NULL;
	struct vcpu *vcpu;

	fake_alloc_fail(1);
	assert_int_equal(vm_create(&other), -ENOMEM);
	fake_page_fail(1); /* the root of the tables */
	assert_int_equal(vm_create(&other), -ENOMEM);
	vmx_caps.ept_vpid = 0;
	assert_int_equal(vm_create(&other), -EOPNOTSUPP);
	assert_null(other);
	fake_alloc_fail(1);
	assert_int_equal(vcpu_create(&vcpu, vm), -ENOMEM);
	fake_vmx.init_error = -ENOMEM;
	assert_int_equal(vcpu_create(&vcpu, vm), -ENOMEM);
	assert_int_equal(vm_nr_vcpus(vm), 3);
}

static void test_too_many_vcpus(void **state)
{
	struct vcpu *vcpu;

	for (u32 i = 3; i < VM_MAX_VCPUS; i++) {
		assert_int_equal(vcpu_create(&vcpu, vm), 0);
		assert_int_equal(vcpu->id, i);
		assert_int_equal(vcpu->mp_state, MP_WAIT_SIPI);
		assert_int_not_equal(vcpu->vmx.vpid, vm->vcpu[i - 1]->vmx.vpid);
	}
	assert_int_equal(vcpu_create(&vcpu, vm), -ENOSPC);
}

/* --- access by guest-physical address -------------------------------------------------------- */

static void test_fresh_memory_is_zero(void **state)
{
	u8 buf[64], zero[64] = { 0 };

	for (gpa_t gpa = 0; gpa < FIXTURE_RAM; gpa += 0x1fff1) {
		memset(buf, 0x5a, sizeof(buf));
		assert_int_equal(vm_read(vm, min_u64(gpa, FIXTURE_RAM - 64), buf, 64), 0);
		assert_memory_equal(buf, zero, 64);
	}
}

/* Across the boundary of two blocks, which lie anywhere in host memory. */
static void test_across_blocks(void **state)
{
	const char text[] = "from one block into the next";
	char buf[sizeof(text)];

	for (gpa_t gpa = M2 - sizeof(text); gpa <= M2; gpa++) {
		assert_int_equal(vm_write(vm, gpa, text, sizeof(text)), 0);
		assert_int_equal(vm_read(vm, gpa, buf, sizeof(buf)), 0);
		assert_string_equal(buf, text);
	}
	/* and what lies around was left alone */
	assert_int_equal(guest_get(M2 - sizeof(text), 1), text[0]);
	assert_int_equal(guest_get(M2 - sizeof(text) - 1, 1), 0);
	assert_int_equal(guest_get(M2 + sizeof(text), 1), 0);
}

static void test_edges(void **state)
{
	u8 buf[16] = { 0 };

	assert_int_equal(vm_read(vm, FIXTURE_RAM - 16, buf, 16), 0);
	assert_int_equal(vm_write(vm, FIXTURE_RAM - 1, buf, 1), 0);
	assert_int_equal(vm_read(vm, FIXTURE_RAM - 15, buf, 16), -EFAULT);
	assert_int_equal(vm_read(vm, FIXTURE_RAM, buf, 1), -EFAULT);
	assert_int_equal(vm_read(vm, ~0ull, buf, 1), -EFAULT);
	assert_int_equal(vm_read(vm, ~0ull, buf, 16), -EFAULT); /* wraps to 0 */
	assert_int_equal(vm_read(vm, 0, buf, ~0ul), -EFAULT);
	assert_int_equal(vm_read(vm, 8, buf, ~0ul - 7), -EFAULT);
	assert_int_equal(vm_fill(vm, 0, 0, FIXTURE_RAM + 1), -EFAULT);
	assert_int_equal(vm_read(vm, 0x1000, buf, 0), 0);
}

/* A write that does not fit writes nothing. */
static void test_all_or_nothing(void **state)
{
	u8 ones[32];

	memset(ones, 0xff, sizeof(ones));
	assert_int_equal(vm_write(vm, FIXTURE_RAM - 16, ones, 32), -EFAULT);
	assert_int_equal(guest_get(FIXTURE_RAM - 8, 8), 0);
	assert_int_equal(vm_fill(vm, FIXTURE_RAM - 16, 0xff, 17), -EFAULT);
	assert_int_equal(guest_get(FIXTURE_RAM - 8, 8), 0);
}

static void test_fill(void **state)
{
	assert_int_equal(vm_fill(vm, M2 - 3, 0x7e, 6), 0);
	assert_int_equal(guest_get(M2 - 4, 8), 0x007e7e7e7e7e7e00);
	assert_int_equal(vm_fill(vm, 0, 0x11, FIXTURE_RAM), 0);
	assert_int_equal(guest_get(0, 1), 0x11);
	assert_int_equal(guest_get(FIXTURE_RAM - 8, 8), 0x1111111111111111);
}

/* Where slots meet there is no byte outside RAM. */
static void test_across_slots(void **state)
{
	assert_int_equal(vm_add_ram(vm, FIXTURE_RAM, K4), 0);
	guest_put(FIXTURE_RAM - 3, 0x1122334455667788, 8);
	assert_int_equal(guest_get(FIXTURE_RAM - 3, 8), 0x1122334455667788);
	assert_int_equal(guest_get(FIXTURE_RAM, 4), 0x22334455);
	assert_int_equal(vm_fill(vm, FIXTURE_RAM, 1, K4 + 1), -EFAULT);
}

static void test_small_slot(void **state)
{
	const gpa_t base = GIB(3) + 5 * K4;

	assert_int_equal(vm_add_ram(vm, base, 3 * K4), 0); /* backed by four pages */
	guest_put(base + 3 * K4 - 8, ~0ull, 8);
	assert_int_equal(guest_get(base + 3 * K4 - 8, 8), ~0ull);
	assert_int_equal(vm_fill(vm, base, 1, 3 * K4 + 1), -EFAULT);
	assert_int_equal(vm_fill(vm, base - 1, 1, 2), -EFAULT);
	assert_int_equal(touch(base + 3 * K4), -ENOENT);
	assert_int_equal(touch(base + 2 * K4 + 5), 0);
	assert_true(mapped(base + 2 * K4, K4));
	assert_false(mapped(base, K4));
}

/* --- faults ---------------------------------------------------------------------------------- */

static void test_fault(void **state)
{
	u64 faults = counter_read(&mem_faults), spurious = counter_read(&mem_spurious);
	u64 gen = atomic_load(&vm->vmx.flush_gen);

	assert_int_equal(touch(M2 + 0x12345), 0);
	assert_true(mapped(M2, M2));
	assert_true(mapped(2 * M2 - 1, M2));
	assert_false(mapped(0, M2));
	assert_int_equal(counter_read(&mem_faults), faults + 1);
	assert_int_equal(touch(M2), 0); /* somebody else was faster */
	assert_int_equal(counter_read(&mem_faults), faults + 1);
	assert_int_equal(counter_read(&mem_spurious), spurious + 1);
	assert_int_equal(touch(FIXTURE_RAM), -ENOENT);
	assert_int_equal(touch(~0ull), -ENOENT);
	assert_int_equal(atomic_load(&vm->vmx.flush_gen), gen); /* filling holes flushes nothing */
}

/* The guest finds zeroes, not what another guest left behind. */
static void test_fault_zeroes(void **state)
{
	struct ept_mapping m;
	const u8 *p;

	assert_int_equal(touch(0), 0);
	assert_int_equal(ept_lookup(&vm->vmx.ept, 0, &m), 0);
	p = phys_to_virt(m.hpa);
	for (u64 i = 0; i < M2; i++)
		if (p[i])
			fail_msg("byte %#lx is not zero", i);
}

/* What was loaded before the first touch stays. */
static void test_fault_keeps_content(void **state)
{
	struct ept_mapping m;

	guest_put(0x123456, 0xfeedface, 4);
	assert_int_equal(touch(0), 0);
	assert_int_equal(ept_lookup(&vm->vmx.ept, 0x123456, &m), 0);
	assert_memory_equal(phys_to_virt(m.hpa), "\xce\xfa\xed\xfe", 4);
}

static void test_fault_without_memory(void **state)
{
	for (unsigned int n = 1; n <= 2; n++) {
		fake_page_fail(n);
		assert_int_equal(touch(M2), -ENOMEM);
		assert_false(mapped(M2, M2));
		assert_int_equal(fake_locks_held(), 0);
	}
	assert_int_equal(touch(M2), 0);
	assert_true(mapped(M2, M2));
}

/* The second half of the last block is beyond the slot: no large page there. */
static void test_odd_size(void **state)
{
	assert_int_equal(vm_add_ram(vm, MIB(8), MIB(3)), 0);
	assert_int_equal(touch(MIB(8)), 0);
	assert_int_equal(touch(MIB(10) + K4), 0);
	assert_true(mapped(MIB(8), M2));
	assert_true(mapped(MIB(10) + K4, K4));
	assert_false(mapped(MIB(10), K4));
	assert_int_equal(touch(MIB(11)), -ENOENT);
	assert_int_equal(guest_get(MIB(11) - 1, 1), 0);
	assert_int_equal(vm_fill(vm, MIB(11) - 1, 1, 2), -EFAULT);
}

static void test_only_small_pages(void **state)
{
	vm->vmx.ept.caps &= ~(u64)(EPT_CAP_2M | EPT_CAP_1G);
	assert_int_equal(touch(M2 + 5 * K4 + 7), 0);
	assert_true(mapped(M2 + 5 * K4, K4));
	assert_false(mapped(M2 + 6 * K4, K4));
	assert_int_equal(touch(M2 + 6 * K4), 0);
	assert_true(mapped(M2 + 6 * K4, K4));
	assert_int_equal(vm_populate(vm), 0);
	for (gpa_t gpa = 0; gpa < FIXTURE_RAM; gpa += 17 * K4)
		assert_true(mapped(gpa, K4));
}

static void test_populate(void **state)
{
	u64 tables;

	assert_int_equal(vm_add_ram(vm, MIB(8), MIB(3)), 0);
	assert_int_equal(vm_add_ram(vm, GIB(3) + K4, 2 * K4), 0);
	assert_int_equal(touch(0), 0);
	assert_int_equal(vm_populate(vm), 0);
	for (gpa_t gpa = 0; gpa < FIXTURE_RAM; gpa += M2)
		assert_true(mapped(gpa + 5, M2));
	assert_true(mapped(MIB(8), M2));
	assert_true(mapped(MIB(10), K4));
	assert_true(mapped(MIB(11) - 1, K4));
	assert_true(mapped(GIB(3) + K4, K4));
	assert_true(mapped(GIB(3) + 2 * K4, K4));
	assert_false(mapped(GIB(3) + 3 * K4, K4));
	tables = vm->vmx.ept.nr_tables;
	assert_int_equal(vm_populate(vm), 0); /* nothing left to do */
	assert_int_equal(vm->vmx.ept.nr_tables, tables);
}

static void test_populate_without_memory(void **state)
{
	fake_page_fail(1);
	assert_int_equal(vm_populate(vm), -ENOMEM);
	assert_int_equal(fake_locks_held(), 0);
	assert_int_equal(vm_populate(vm), 0);
	assert_true(mapped(FIXTURE_RAM - 1, M2));
}

/* --- dropping a page ------------------------------------------------------------------------- */

static void test_drop(void **state)
{
	u64 gen;

	guest_put(M2 + 3 * K4, 0xabcd, 2);
	assert_int_equal(touch(M2), 0);
	gen = atomic_load(&vm->vmx.flush_gen);
	assert_int_equal(vm_drop_page(vm, M2 + 3 * K4 + 0x123), 0);
	assert_int_equal(atomic_load(&vm->vmx.flush_gen), gen + 1);
	assert_false(mapped(M2 + 3 * K4, K4));
	assert_true(mapped(M2 + 2 * K4, K4)); /* the neighbours are split off, and there */
	assert_true(mapped(M2 + 4 * K4, K4));
	/* The next access fills the hole, and only it; the content is what it was. */
	assert_int_equal(touch(M2 + 3 * K4 + 0x321), 0);
	assert_int_equal(guest_get(M2 + 3 * K4, 2), 0xabcd);
	assert_true(mapped(M2 + 3 * K4, K4));
	assert_int_equal(atomic_load(&vm->vmx.flush_gen), gen + 1);
	assert_null(vm->vmx.ept.unlinked);
}

static void test_drop_nothing(void **state)
{
	u64 gen = atomic_load(&vm->vmx.flush_gen);

	assert_int_equal(vm_drop_page(vm, FIXTURE_RAM), -EFAULT);
	assert_int_equal(vm_drop_page(vm, ~0ull), -EFAULT);
	assert_int_equal(vm_drop_page(vm, 0x5000), 0); /* never touched */
	assert_int_equal(touch(0x5000), 0);
	assert_int_equal(vm_drop_page(vm, 0x5000), 0);
	assert_int_equal(vm_drop_page(vm, 0x5000), 0); /* gone already */
	/* Whoever took it away may not have flushed yet. */
	assert_int_equal(atomic_load(&vm->vmx.flush_gen), gen + 3);
	fake_page_fail(1); /* no page to split the other large one with */
	assert_int_equal(touch(M2), 0);
	fake_page_fail(1);
	assert_int_equal(vm_drop_page(vm, M2), -ENOMEM);
	assert_true(mapped(M2, M2));
	assert_int_equal(fake_locks_held(), 0);
	/* A populated VM fills the holes with pages of their size. */
	assert_int_equal(vm_populate(vm), 0);
	assert_true(mapped(0x5000, K4));
}

/* vCPUs 0 and 2 are in the guest, on CPUs 1 and 3; vCPU 1 is not. */
static void enter_two(void)
{
	for (u32 i = 0; i < 3; i += 2) {
		atomic_store(&vm->vcpu[i]->requests, 0); /* it has looked */
		atomic_store(&vm->vcpu[i]->cpu, i + 1);
		atomic_store(&vm->vcpu[i]->mode, IN_GUEST_MODE);
		vm->vcpu[i]->vmx.flushed_gen = atomic_load(&vm->vmx.flush_gen);
	}
}

static void leave(void)
{
	for (u32 i = 0; i < 3; i++)
		atomic_store(&vm->vcpu[i]->mode, OUTSIDE_GUEST_MODE);
}

static unsigned int spins;

/* One has left after a while; the other enters again and flushes on its way. */
static void others_react(void)
{
	if (++spins == 5)
		atomic_store(&vm->vcpu[0]->mode, OUTSIDE_GUEST_MODE);
	if (spins == 9)
		vm->vcpu[2]->vmx.flushed_gen = atomic_load(&vm->vmx.flush_gen);
}

static void test_drop_waits(void **state)
{
	assert_int_equal(touch(0), 0);
	enter_two();
	spins = 0;
	fake_machine.on_spin = others_react;
	assert_int_equal(vm_drop_page(vm, 0x7000), 0);
	assert_int_equal(spins, 9);
	assert_int_equal(fake_machine.nmis[1], 1);
	assert_int_equal(fake_machine.nmis[3], 1);
	assert_int_equal(fake_machine.nmis[0] + fake_machine.nmis[2], 0);
	/* kicked already and still on its way out: it is waited for, and not kicked again */
	assert_int_equal(atomic_load(&vm->vcpu[2]->mode), EXITING_GUEST_MODE);
	assert_int_equal(touch(0x7000), 0);
	spins = 8;
	assert_int_equal(vm_drop_page(vm, 0x7000), 0);
	assert_int_equal(spins, 9);
	assert_int_equal(fake_machine.nmis[3], 1);
	leave();
}

/* One that never reacts is named, within a bounded time. */
static void test_drop_gives_up(void **state)
{
	u64 start = fake_machine.now;

	assert_int_equal(touch(0), 0);
	enter_two();
	vm->vcpu[0]->vmx.flushed_gen = ~0ull;
	fake_console_take();
	assert_int_equal(vm_drop_page(vm, 0x7000), -ETIMEDOUT);
	assert_in_range(fake_machine.now - start, tsc_hz, 2 * tsc_hz);
	assert_non_null(strstr(fake_console_take(), "vCPU 2 on CPU 3"));
	assert_int_equal(fake_locks_held(), 0);
	assert_false(mapped(0x7000, K4));
	leave();
}

/* --- slots with a backing of the test's ------------------------------------------------------ */

#define BASE GIB(4)

static struct backing *shown;

static void change(struct slot_change c)
{
	struct slot_report report;
	int err = vm_change_slots(vm, &c, 1, SLOTS_ATOMIC, &report);

	if (err)
		fail_msg("change %d: %d, %s", c.op, err, report.why);
}

/* Slot 9 shows @size bytes of a new backing, from its @offset, at @gpa. */
static void show(gpa_t gpa, u64 size, u64 offset, u32 flags)
{
	struct slot_change c = { .op = SLOT_CREATE, .id = 9, .base = gpa, .size = size };

	assert_int_equal(backing_create(&shown, offset + size, 0), 0);
	c.backing = shown;
	c.offset = offset;
	c.flags = flags;
	change(c);
}

static void hide(void)
{
	change((struct slot_change){ .op = SLOT_DELETE, .id = 9 });
	backing_put(shown);
}

static struct ept_mapping look(gpa_t gpa)
{
	struct ept_mapping m;

	if (ept_lookup(&vm->vmx.ept, gpa, &m))
		m.prot = 0;
	return m;
}

static u64 nr_dirty(void)
{
	u64 bitmap[16], n;

	assert_int_equal(vm_dirty_read(vm, 9, bitmap, &n), 0);
	return n;
}

/* Large leaves where the slot, its backing and the address agree. */
static void test_alignment(void **state)
{
	static const struct {
		u64 gpa, offset, size, leaf;
	} cases[] = {
		{ 0, 0, 4 * M2, M2 },
		{ 0, M2, 4 * M2, M2 },
		{ K4, K4, 4 * M2, M2 },
		{ M2 - K4, 3 * M2 - K4, 4 * M2, M2 },
		{ K4, 0, 4 * M2, K4 },
		{ 0, K4, 4 * M2, K4 },
		{ 5 * K4, M2 - K4, 4 * M2, K4 },
		{ K4, K4, M2, K4 }, /* no whole block */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		gpa_t at = BASE + (cases[i].size > M2 ? M2 : 0) + 17 * K4;

		show(BASE + cases[i].gpa, cases[i].size, cases[i].offset, 0);
		guest_put(at + 8, 0x1234 + i, 8);
		assert_int_equal(touch(at), 0);
		assert_int_equal(look(at).size, cases[i].leaf);
		assert_true(mapped(at, cases[i].leaf));
		assert_int_equal(guest_get(at + 8, 8), 0x1234 + i);
		/* The rest of the slot, to its very ends. */
		assert_int_equal(vm_populate(vm), 0);
		for (u64 off = 0; off < cases[i].size; off += K4)
			assert_int_equal(look(BASE + cases[i].gpa + off).prot, EPT_RWX);
		assert_int_equal(look(BASE + cases[i].gpa - 1).prot, 0);
		assert_int_equal(look(BASE + cases[i].gpa + cases[i].size).prot, 0);
		hide();
	}
}

/* A GiB that is all there, at an address nothing can be read from: only mapped. */
static void test_giant_leaf(void **state)
{
	const hpa_t frames = GIB(16);

	show(BASE, GIB(2), 0, 0);
	shown->giant = kzalloc(2 * sizeof(*shown->giant));
	for (u64 off = 0; off < GIB(1); off += M2)
		atomic_store(block_at(shown, GIB(1) + off),
			     (frames + off) | WORD_READY | WORD_GIANT);
	atomic_store(&shown->giant[1], GIANT_BLOCKS - 1);
	assert_int_equal(touch(BASE + GIB(1) + 5), 0);
	assert_int_equal(look(BASE + GIB(1)).size, EPT_SIZE_2M);
	assert_int_equal(ept_unmap(&vm->vmx.ept, BASE, GIB(2)), 1);
	atomic_store(&shown->giant[1], GIANT_BLOCKS);
	vm->vmx.ept.caps &= ~(u64)EPT_CAP_1G;
	assert_int_equal(touch(BASE + GIB(1) + 5), 0);
	assert_int_equal(look(BASE + GIB(1)).size, EPT_SIZE_2M);
	assert_int_equal(ept_unmap(&vm->vmx.ept, BASE, GIB(2)), 1);
	vm->vmx.ept.caps |= EPT_CAP_1G;
	assert_int_equal(touch(BASE + GIB(1) + 5), 0);
	assert_int_equal(look(BASE + GIB(1)).size, EPT_SIZE_1G);
	assert_int_equal(look(BASE + GIB(2) - K4).hpa, frames + GIB(1) - K4);
	for (u64 off = 0; off < GIB(1); off += M2)
		atomic_store(block_at(shown, GIB(1) + off), 0);
	hide();
}

static void test_readonly(void **state)
{
	u64 word = 7;

	show(BASE, 2 * M2, 0, SLOT_READONLY);
	assert_int_equal(touch(BASE + M2), 0);
	assert_int_equal(look(BASE + M2).prot, EPT_READ | EPT_EXEC);
	assert_int_equal(look(BASE + M2).size, M2);
	assert_int_equal(fault(BASE + M2, FAULT_WRITE), -EPERM);
	assert_int_equal(fault(BASE, FAULT_WRITE | FAULT_READ), -EPERM);
	assert_int_equal(look(BASE).prot, 0);
	assert_int_equal(vm_write(vm, BASE, &word, 8), -EFAULT);
	assert_int_equal(vm_fill(vm, BASE - K4, 1, 3 * K4), -EFAULT);
	assert_int_equal(vcpu_cmpxchg(vm->vcpu[0], BASE, 8, &word, 1), -EFAULT);
	assert_int_equal(guest_get(BASE, 8), 0);
	hide();
}

static void test_log_by_protection(void **state)
{
	u64 unprotected = counter_read(&mem_unprotected), gen;

	assert_int_equal(vm_set_dirty(vm, DIRTY_WRITE_PROTECT), 0);
	show(BASE, M2, 0, SLOT_LOG_DIRTY);
	assert_int_equal(touch(BASE + K4), 0);
	assert_int_equal(look(BASE + K4).size, K4); /* only it, and not for writing */
	assert_int_equal(look(BASE + K4).prot, EPT_READ | EPT_EXEC);
	assert_int_equal(look(BASE).prot, 0);
	assert_int_equal(fault(BASE + 2 * K4, FAULT_WRITE), 0);
	assert_int_equal(look(BASE + 2 * K4).prot, EPT_RWX);
	assert_int_equal(nr_dirty(), 1);
	assert_int_equal(look(BASE + 2 * K4).prot, EPT_READ | EPT_EXEC); /* armed again */
	gen = atomic_load(&vm->vmx.flush_gen);
	assert_int_equal(fault(BASE + K4, FAULT_WRITE | FAULT_READ), 0);
	assert_int_equal(look(BASE + K4).prot, EPT_RWX);
	assert_int_equal(atomic_load(&vm->vmx.flush_gen), gen); /* further rights: no flush */
	assert_int_equal(counter_read(&mem_unprotected), unprotected + 1);
	assert_int_equal(fault(BASE + K4, FAULT_WRITE), 0); /* another CPU had the old rights */
	assert_int_equal(counter_read(&mem_unprotected), unprotected + 1);
	assert_int_equal(nr_dirty(), 1);
	assert_int_equal(nr_dirty(), 0);
	hide();
}

static void test_log_by_pml(void **state)
{
	if (vm->dirty_how != DIRTY_PML)
		assert_int_equal(vm_set_dirty(vm, DIRTY_PML), 0);
	show(BASE, M2, 0, SLOT_LOG_DIRTY);
	assert_int_equal(touch(BASE + K4), 0);
	assert_int_equal(look(BASE + K4).size, K4);
	assert_int_equal(look(BASE + K4).prot, EPT_RWX);
	assert_false(look(BASE + K4).dirty); /* the CPU sets it, and logs that */
	assert_int_equal(fault(BASE + 2 * K4, FAULT_WRITE), 0);
	assert_false(look(BASE + 2 * K4).dirty);
	assert_int_equal(nr_dirty(), 0);
	/* Left over from a time when it could not be written: not left to the CPU. */
	assert_true(ept_protect(&vm->vmx.ept, BASE + K4, K4, EPT_READ | EPT_EXEC | EPT_DIRTY) >= 0);
	assert_int_equal(fault(BASE + K4, FAULT_WRITE), 0);
	assert_int_equal(look(BASE + K4).prot, EPT_RWX);
	assert_int_equal(nr_dirty(), 1);
	hide();
}

/* The log was switched on over a large page, off over small ones without rights. */
static void test_log_on_and_off(void **state)
{
	struct slot_change c = { .op = SLOT_FLAGS, .id = 9, .flags = SLOT_LOG_DIRTY };

	assert_int_equal(vm_set_dirty(vm, DIRTY_WRITE_PROTECT), 0);
	show(BASE, M2, 0, 0);
	assert_int_equal(touch(BASE), 0);
	assert_int_equal(look(BASE).size, M2);
	change(c);
	assert_int_equal(look(BASE).size, K4);
	assert_int_equal(look(BASE).prot, EPT_READ | EPT_EXEC);
	assert_int_equal(touch(BASE + K4), 0);
	c.flags = 0;
	change(c);
	assert_int_equal(fault(BASE + K4, FAULT_WRITE), 0);
	assert_int_equal(look(BASE + K4).prot, EPT_RWX);
	assert_true(look(BASE + K4).dirty);
	assert_int_equal(vm_dirty_read(vm, 9, NULL, NULL), -EINVAL);
	hide();
}

/* A large leaf without write permission in a slot with a log: one page of it becomes writable. */
static void test_log_splits(void **state)
{
	struct backing_page page;

	assert_int_equal(vm_set_dirty(vm, DIRTY_WRITE_PROTECT), 0);
	show(BASE, M2, 0, SLOT_LOG_DIRTY);
	guest_put(BASE, 1, 8);
	assert_int_equal(nr_dirty(), 1);
	assert_true(backing_look(shown, 0, &page));
	assert_int_equal(ept_map(&vm->vmx.ept, BASE, page.hpa, M2, EPT_READ | EPT_EXEC), 0);
	assert_int_equal(fault(BASE + 3 * K4, FAULT_WRITE), 0);
	assert_int_equal(look(BASE + 3 * K4).prot, EPT_RWX);
	assert_int_equal(look(BASE + 2 * K4).prot, EPT_READ | EPT_EXEC);
	assert_int_equal(nr_dirty(), 1);
	hide();
}

/* The hypervisor's writes are recorded too, and its reads are not. */
static void test_own_writes_are_logged(void **state)
{
	u64 word = 0;

	show(BASE, M2, 0, SLOT_LOG_DIRTY);
	assert_int_equal(guest_get(BASE, 8), 0);
	assert_int_equal(nr_dirty(), 0);
	guest_put(BASE + K4 - 4, 0x1122334455667788, 8);
	assert_int_equal(nr_dirty(), 2);
	assert_int_equal(vm_fill(vm, BASE + 4 * K4, 9, 3 * K4 + 1), 0);
	assert_int_equal(nr_dirty(), 4);
	assert_int_equal(vcpu_cmpxchg(vm->vcpu[0], BASE, 8, &word, 1), 1);
	assert_int_equal(nr_dirty(), 1);
	assert_int_equal(vcpu_write(vm->vcpu[0], BASE + 8, &word, 8), 0);
	assert_int_equal(nr_dirty(), 1);
	hide();
}

/* --- missing pages --------------------------------------------------------------------------- */

static void expect_no_fetch(void)
{
	struct fetch next;

	assert_int_equal(vm_next_fetch(vm, &next, 0), -ETIMEDOUT);
}

/* A fault says what is missing; to have it fetched is another matter. */
static void test_fault_on_missing(void **state)
{
	show(BASE, 2 * M2, M2, 0);
	assert_int_equal(backing_punch(shown, M2 + 3 * K4, K4), 0);
	missing = (struct missing){ .exit = true };
	assert_int_equal(touch(BASE + 3 * K4 + 123), -EAGAIN);
	assert_false(missing.exit);
	assert_ptr_equal(missing.backing, shown);
	assert_int_equal(missing.offset, M2 + 3 * K4);
	assert_int_equal(missing.generation, atomic_load(&vm->slots.generation));
	assert_int_equal(atomic_load(&shown->refs), 3); /* ours, the slot's, the fault's */
	backing_put(missing.backing);
	assert_int_equal(touch(BASE + 2 * K4), 0);
	assert_int_equal(vm_populate(vm), 0);
	assert_int_equal(look(BASE + 3 * K4).prot, 0);
	assert_int_equal(look(BASE + 4 * K4).prot, EPT_RWX);
	expect_no_fetch();
	hide();
}

static u8 arriving[K4];

/* The thread that brings pages. */
static void bring(void)
{
	struct fetch next;

	assert_int_equal(this_cpu()->in_guest, 0);
	assert_int_equal(vm_next_fetch(vm, &next, 0), 0);
	assert_ptr_equal(next.backing, shown);
	memset(arriving, (int)(next.offset / K4), K4);
	assert_int_equal(backing_fill(shown, next.offset, arriving), 0);
	backing_put(next.backing);
}

static void test_access_waits_for_pages(void **state)
{
	u8 buf[3 * K4];

	show(BASE, M2, 0, 0);
	assert_int_equal(backing_punch(shown, 0, M2), 0);
	fake_machine.on_block = bring;
	assert_int_equal(vm_read(vm, BASE + 5 * K4, buf, sizeof(buf)), 0);
	for (unsigned int i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 5 + i / K4);
	assert_int_equal(fake_machine.blocks, 3);
	guest_put(BASE + 9 * K4, 0, 1);
	assert_int_equal(guest_get(BASE + 9 * K4, 2), 0x0900);
	assert_int_equal(fake_machine.blocks, 4);
	assert_int_equal(atomic_load(&shown->refs), 2);
	hide();
}

/* While a vCPU's thread sleeps another vCPU is loaded on its CPU. */
static void others_run(void)
{
	assert_int_equal(vmx_load(&vm->vcpu[1]->vmx), 0);
	bring();
}

static void test_vcpu_waits_for_pages(void **state)
{
	struct vcpu *vcpu = vm->vcpu[0];
	u64 value = 0;

	show(BASE, M2, 0, 0);
	assert_int_equal(backing_punch(shown, 0, M2), 0);
	atomic_store(&this_cpu()->in_guest, 1);
	fake_machine.on_block = others_run;
	assert_int_equal(vcpu_read(vcpu, BASE + 7 * K4, &value, 8), 0);
	assert_int_equal(value, 0x0707070707070707);
	assert_true(vmx_is_loaded(&vcpu->vmx));
	assert_int_equal(this_cpu()->in_guest, 1);
	value = 0;
	assert_int_equal(vcpu_cmpxchg(vcpu, BASE + 8 * K4, 8, &value, 5), 0);
	assert_int_equal(value, 0x0808080808080808);
	assert_int_equal(vcpu_cmpxchg(vcpu, BASE + 8 * K4, 8, &value, 5), 1);
	assert_int_equal(guest_get(BASE + 8 * K4, 8), 5);
	assert_int_equal(fake_machine.blocks, 2);
	atomic_store(&this_cpu()->in_guest, 0);
	hide();
}

static void ask_to_leave(void)
{
	vcpu_request(vm->vcpu[0], REQ_EXIT);
}

/* Somebody wants the vCPU: it does not sleep on. */
static void test_vcpu_is_wanted(void **state)
{
	struct vcpu *vcpu = vm->vcpu[0];
	u64 value;

	show(BASE, M2, 0, 0);
	assert_int_equal(backing_punch(shown, 0, M2), 0);
	fake_machine.on_block = ask_to_leave;
	assert_int_equal(vcpu_read(vcpu, BASE, &value, 8), -EINTR);
	assert_int_equal(fake_machine.blocks, 1);
	atomic_store(&vcpu->requests, 0);
	fake_machine.on_block = bring;
	assert_int_equal(vcpu_read(vcpu, BASE, &value, 8), 0);
	assert_false(wait_queue_active(&vcpu->wq));
	hide();
}

/* --- the gate -------------------------------------------------------------------------------- */

static struct vm_hold hold;

static void let_go(void)
{
	fake_machine.thread = 1;
	assert_int_equal(vm_resume(&hold), 0);
	fake_machine.thread = 0;
}

static void another_holds(void)
{
	fake_machine.thread = 1;
	assert_int_equal(vm_pause(vm, &hold, 0, NULL), 0);
	fake_machine.thread = 0;
	fake_machine.on_block = let_go;
}

static void test_gate(void **state)
{
	struct vcpu *vcpu = vm->vcpu[0];
	u64 value = 3;

	another_holds();
	assert_int_equal(touch(0), -EINTR); /* does not wait */
	assert_int_equal(look(0).prot, 0);
	assert_true(vm_is_held(vm));
	guest_put(0x1000, 77, 8);
	assert_false(vm_is_held(vm));
	another_holds();
	assert_int_equal(guest_get(0x1000, 8), 77);
	assert_false(vm_is_held(vm));
	another_holds();
	assert_int_equal(vm_fill(vm, 0x1fff, 1, 2), 0);
	assert_false(vm_is_held(vm));
	another_holds();
	/* The thread of a vCPU leaves vcpu_run() instead. */
	assert_int_equal(vcpu_write(vcpu, 0x1000, &value, 8), -EINTR);
	assert_true(vm_is_held(vm));
	assert_int_equal(vm_drop_page(vm, 0), 0);
	assert_int_equal(vm_ram_size(vm), FIXTURE_RAM);
	assert_false(vm_is_held(vm));
	/* Who holds the VM passes. */
	assert_int_equal(vm_pause(vm, &hold, 0, NULL), 0);
	assert_int_equal(guest_get(0x1000, 8), 77);
	assert_int_equal(touch(0), 0);
	assert_int_equal(vm_resume(&hold), 0);
	assert_int_equal(touch(0), 0);
}

/* --- what changes meanwhile ------------------------------------------------------------------ */

static unsigned int meddled;

/* At a race point: the page at BASE + 7 pages moves, once. */
static void move_it(void)
{
	if (meddled++)
		return;
	assert_int_equal(fake_locks_held(), 0);
	assert_int_equal(backing_move(shown, 7 * K4, K4, 0xbb), 0);
}

static void meddle(u64 seed, void (*how)(void))
{
	chaos_init(seed);
	meddled = 0;
	fake_machine.on_spin = how;
}

static void no_more(void)
{
	chaos_off();
	fake_machine.on_spin = NULL;
}

/* Whenever it moves: what is mapped afterwards is where it is now. */
static void test_move_during_fault(void **state)
{
	u64 retries = counter_read(&mem_retries), moved = 0;
	struct backing_page page;

	for (u64 seed = 0; seed < 60; seed++) {
		show(BASE, 2 * M2, 0, 0);
		guest_put(BASE + 7 * K4, 0xabcdef01 + seed, 8);
		meddle(seed, move_it);
		assert_int_equal(touch(BASE + 7 * K4), 0);
		no_more();
		moved += meddled > 0;
		assert_true(backing_look(shown, 7 * K4, &page));
		if (look(BASE + 7 * K4).prot)
			assert_int_equal(look(BASE + 7 * K4).hpa, page.hpa);
		assert_int_equal(touch(BASE + 7 * K4), 0);
		assert_int_equal(look(BASE + 7 * K4).hpa, page.hpa);
		assert_int_equal(guest_get(BASE + 7 * K4, 8), 0xabcdef01 + seed);
		hide();
	}
	assert_in_range(moved, 10, 60);
	assert_in_range(counter_read(&mem_retries) - retries, 10, 60);
}

static void test_move_during_access(void **state)
{
	unsigned int yields = fake_machine.yields;

	for (u64 seed = 0; seed < 60; seed++) {
		show(BASE, M2, 0, 0);
		guest_put(BASE + 7 * K4, 1, 8);
		meddle(seed, move_it);
		guest_put(BASE + 7 * K4, seed, 8);
		no_more();
		assert_int_equal(guest_get(BASE + 7 * K4, 8), seed);
		meddle(seed, move_it);
		assert_int_equal(guest_get(BASE + 7 * K4, 8), seed);
		no_more();
		hide();
	}
	/* Others had the CPU when it had to be done again. */
	assert_true(fake_machine.yields > yields + 10);
}

static void end_invalidation(void)
{
	invalidate_end(vm);
	fake_machine.on_yield = NULL;
}

/* The other thread is on this CPU. */
static void test_invalidation_under_way(void **state)
{
	struct vcpu *vcpu = vm->vcpu[0];
	u64 retries = counter_read(&mem_retries), value = 4;

	invalidate_begin(vm, 0x3000, 0x2000);
	assert_int_equal(touch(0x4000), 0); /* nothing is mapped: the guest tries again */
	assert_int_equal(look(0x4000).prot, 0);
	assert_int_equal(counter_read(&mem_retries), retries + 1);
	assert_int_equal(vm_populate(vm), 0); /* leaves it out */
	fake_machine.on_yield = end_invalidation;
	assert_int_equal(guest_get(0x4ff8, 8), 0);
	assert_int_equal(fake_machine.yields, 1);
	invalidate_begin(vm, 0x3000, 0x2000);
	fake_machine.on_yield = end_invalidation;
	assert_int_equal(vcpu_write(vcpu, 0x3000, &value, 8), 0);
	assert_int_equal(fake_machine.yields, 2);
	invalidate_begin(vm, 0x3000, 0x2000);
	assert_int_equal(guest_get(0x5000, 8), 0); /* not concerned */
	invalidate_end(vm);
	assert_int_equal(touch(0x4000), 0);
	assert_int_not_equal(look(0x4000).prot, 0);
}

static void is_out(void)
{
	slot_by_id(vm, 0)->invalid = false;
}

/* A slot that is on its way out is neither there nor not there. */
static void test_invalid_slot(void **state)
{
	u64 retries = counter_read(&mem_retries);

	slot_by_id(vm, 0)->invalid = true;
	assert_int_equal(touch(0), 0);
	assert_int_equal(look(0).prot, 0);
	assert_int_equal(counter_read(&mem_retries), retries + 1);
	fake_machine.on_yield = is_out;
	assert_int_equal(guest_get(0, 8), 0);
	assert_int_equal(fake_machine.yields, 1);
}

/* --- access in one piece --------------------------------------------------------------------- */

static void test_cmpxchg(void **state)
{
	struct vcpu *vcpu = vm->vcpu[0];
	u64 expected = 0;

	guest_put(0x2000, 0x1111111122222222, 8);
	assert_int_equal(vcpu_cmpxchg(vcpu, 0x2004, 4, &expected, 5), 0);
	assert_int_equal((u32)expected, 0x11111111);
	assert_int_equal(vcpu_cmpxchg(vcpu, 0x2004, 4, &expected, 5), 1);
	assert_int_equal(guest_get(0x2000, 8), 0x522222222);
	expected = 0x522222222;
	assert_int_equal(vcpu_cmpxchg(vcpu, 0x2000, 8, &expected, 9), 1);
	assert_int_equal(guest_get(0x2000, 8), 9);
	assert_int_equal(vcpu_cmpxchg(vcpu, FIXTURE_RAM, 8, &expected, 9), -EFAULT);
}

static void test_access_without_memory(void **state)
{
	struct vcpu *vcpu = vm->vcpu[0];
	u64 value;

	show(BASE, M2, 0, 0);
	for (unsigned int i = 0; i < 2; i++) {
		fake_page_fail(1);
		assert_int_equal(i ? vcpu_read(vcpu, BASE, &value, 8)
				   : vm_read(vm, BASE, &value, 8),
				 -ENOMEM);
	}
	fake_page_fail(1);
	assert_int_equal(touch(BASE), -ENOMEM);
	assert_int_equal(vm_read(vm, BASE, &value, 8), 0);
	hide();
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ram_rules),
		TEST(test_ram_too_high),
		TEST(test_ram_without_memory),
		TEST(test_too_many_slots),
		TEST(test_no_ram_at_0),
		TEST(test_create_without_memory),
		TEST(test_too_many_vcpus),
		TEST(test_fresh_memory_is_zero),
		TEST(test_across_blocks),
		TEST(test_edges),
		TEST(test_all_or_nothing),
		TEST(test_fill),
		TEST(test_across_slots),
		TEST(test_small_slot),
		TEST(test_fault),
		TEST(test_fault_zeroes),
		TEST(test_fault_keeps_content),
		TEST(test_fault_without_memory),
		TEST(test_odd_size),
		TEST(test_only_small_pages),
		TEST(test_populate),
		TEST(test_populate_without_memory),
		TEST(test_drop),
		TEST(test_drop_nothing),
		TEST(test_drop_waits),
		TEST(test_drop_gives_up),
		TEST(test_alignment),
		TEST(test_giant_leaf),
		TEST(test_readonly),
		TEST(test_log_by_protection),
		TEST(test_log_by_pml),
		TEST(test_log_on_and_off),
		TEST(test_log_splits),
		TEST(test_own_writes_are_logged),
		TEST(test_fault_on_missing),
		TEST(test_access_waits_for_pages),
		TEST(test_vcpu_waits_for_pages),
		TEST(test_vcpu_is_wanted),
		TEST(test_gate),
		TEST(test_move_during_fault),
		TEST(test_move_during_access),
		TEST(test_invalidation_under_way),
		TEST(test_invalid_slot),
		TEST(test_cmpxchg),
		TEST(test_access_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
