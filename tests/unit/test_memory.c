/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest memory: RAM, access by address, faults and what they map, dropped pages. */
/* link: @vm tests/unit/memory_fixture.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/memory_fixture.h"
#include "vmx/controls.h"

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
		TEST(test_cmpxchg),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
