/* SPDX-License-Identifier: GPL-2.0-only */
/* The walk of the guest's own page tables, in all its formats. */
/* link: @vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"

#define PAGED (CR0_PE | CR0_PG | CR0_ET)
#define LONG  (EFER_LME | EFER_LMA)

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80 };
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16 };

#define NX BIT(63)

/* Tables, one for each level; PT is the lowest. */
#define PML4 0x1000
#define PDPT 0x2000
#define PD   0x3000
#define PT   0x4000

#define FRAME 0x123000
#define VA    0x00007f1234567abcull
#define I4    (VA >> 39 & 511)
#define I3    (VA >> 30 & 511)
#define I2    (VA >> 21 & 511)
#define I1    (VA >> 12 & 511)

static struct vcpu *vcpu;
static struct fake_vcpu *f;
static u32 error;
static gpa_t gpa;

static void set_mode(u64 cr0, u64 cr4, u64 efer, u64 cr3)
{
	f->reg[REG_CR0] = cr0;
	f->reg[REG_CR3] = cr3;
	f->reg[REG_CR4] = cr4;
	f->reg[REG_EFER] = efer;
}

static void set_cpl(unsigned int cpl)
{
	f->seg[VSEG_SS].access = 0xc093 | cpl << 5;
}

static int setup(void **state)
{
	fixture_start(1);
	vcpu = fixture_vm->vcpu[0];
	f = fake_of(vcpu);
	set_cpl(0);
	return 0;
}

static int teardown(void **state)
{
	fixture_end();
	return 0;
}

/* Whether the access is allowed; what it said is in gpa or error. */
static bool reaches(gva_t va, bool write)
{
	gpa = 0xbad;
	error = 0xbad;
	return !vcpu_translate(vcpu, va, write, &gpa, &error);
}

static bool faults(gva_t va, bool write, u32 expected)
{
	return !reaches(va, write) && error == expected;
}

static void long_mode_tables(u64 rights)
{
	set_mode(PAGED | CR0_WP, CR4_PAE, LONG | EFER_NXE, PML4);
	guest_put(PML4 + 8 * I4, PDPT | rights, 8);
	guest_put(PDPT + 8 * I3, PD | rights, 8);
	guest_put(PD + 8 * I2, PT | rights, 8);
	guest_put(PT + 8 * I1, FRAME | rights, 8);
}

/* --- formats --------------------------------------------------------------------------------- */

static void test_off(void **state)
{
	set_mode(CR0_PE | CR0_ET, 0, 0, PML4);
	assert_true(reaches(0x12345678, true));
	assert_int_equal(gpa, 0x12345678);
}

static void test_4_levels(void **state)
{
	long_mode_tables(P | W | U);
	assert_true(reaches(VA, true));
	assert_int_equal(gpa, FRAME + 0xabc);
	/* The entries beside are empty. */
	assert_true(faults(VA + 0x1000, false, 0));
	assert_true(faults(VA + BIT(21), false, 0));
	assert_true(faults(VA + BIT(30), false, 0));
	assert_true(faults(VA + BIT(39), true, PF_W));
	/* CR3 has a PCID or PWT and PCD below; available and ignored bits above are none */
	f->reg[REG_CR3] = PML4 | 0xfff;
	guest_put(PT + 8 * I1, FRAME | P | 0x7ff0000000000e00, 8);
	assert_true(reaches(VA, false));
	assert_int_equal(gpa, FRAME + 0xabc);
}

static void test_2_mib(void **state)
{
	long_mode_tables(P | W | U);
	guest_put(PD + 8 * I2, 0xf7fe00000 | 0x1000 | P | W | U | PS, 8); /* PAT in bit 12 */
	assert_true(reaches(VA, true));
	assert_int_equal(gpa, 0xf7fe00000 + (VA & 0x1fffff));
}

static void test_1_gib(void **state)
{
	long_mode_tables(P | W | U);
	guest_put(PDPT + 8 * I3, 0x1540000000 | 0x1000 | P | W | U | PS, 8);
	assert_true(reaches(VA, true));
	assert_int_equal(gpa, 0x1540000000 + (VA & 0x3fffffff));
}

static void test_upper_half(void **state)
{
	set_mode(PAGED, CR4_PAE, LONG, PML4);
	guest_put(PML4 + 8 * 511, PDPT | P | W, 8);
	guest_put(PDPT + 8 * 511, PS | P | W, 8);
	assert_true(reaches(0xffffffffc0000123, true));
	assert_int_equal(gpa, 0x123);
}

static void test_2_levels(void **state)
{
	const u32 va = 0xc0dea123;

	set_mode(PAGED | CR0_WP, 0, 0, PD);
	guest_put(PD + 4 * (va >> 22), PT | P | W | U, 4);
	guest_put(PT + 4 * (va >> 12 & 0x3ff), FRAME | P | W | U, 4);
	assert_true(reaches(va, true));
	assert_int_equal(gpa, FRAME + 0x123);
	/* An entry of four bytes: the next one is none of its business. */
	guest_put(PT + 4 * (va >> 12 & 0x3ff) + 4, ~0u, 4);
	assert_true(reaches(va, true));
	assert_int_equal(gpa, FRAME + 0x123);
	assert_int_equal(guest_get(PT + 4 * (va >> 12 & 0x3ff) + 4, 4), ~0u);
	assert_true(faults(va + 0x400000, false, 0));
	/* Without PSE bit 7 means nothing. */
	guest_put(PD + 4 * (va >> 22), PT | P | W | U | PS, 4);
	assert_true(reaches(va, true));
	assert_int_equal(gpa, FRAME + 0x123);
}

static void test_4_mib(void **state)
{
	const u32 va = 0xc0dea123;

	set_mode(PAGED, CR4_PSE, 0, PD);
	guest_put(PD + 4 * (va >> 22), 0x87400000 | 0x1000 | P | W | PS, 4);
	assert_true(reaches(va, true));
	assert_int_equal(gpa, 0x87400000 + (va & 0x3fffff));
	/* PSE-36: bits 20:13 are the address' 39:32 */
	guest_put(PD + 4 * (va >> 22), 0x87400000 | 0xa5 << 13 | P | W | PS, 4);
	assert_true(reaches(va, true));
	assert_int_equal(gpa, 0xa587400000 + (va & 0x3fffff));
}

static void test_pae(void **state)
{
	const u32 va = 0xc0dea123;
	const u64 pdpt = PDPT + 0x20; /* needs no more than 32-byte alignment */

	set_mode(PAGED | CR0_WP, CR4_PAE, EFER_NXE, pdpt | 0x18);
	guest_put(pdpt + 8 * (va >> 30), PD | P, 8); /* no rights here */
	guest_put(PD + 8 * (va >> 21 & 511), PT | P | W | U, 8);
	guest_put(PT + 8 * (va >> 12 & 511), 0x9876543000 | P | W | U, 8);
	assert_true(reaches(va, true));
	assert_int_equal(gpa, 0x9876543123);
	set_cpl(3);
	assert_true(reaches(va, true));
	/* and no accessed bit: it is reserved */
	assert_int_equal(guest_get(pdpt + 8 * (va >> 30), 8), PD | P);
	assert_int_equal(guest_get(PD + 8 * (va >> 21 & 511), 8), PT | P | W | U | A);
	guest_put(PD + 8 * (va >> 21 & 511), 0x9876400000 | P | W | U | PS, 8);
	assert_true(reaches(va, true));
	assert_int_equal(gpa, 0x9876400000 + (va & 0x1fffff));
	assert_true(faults(va - BIT(30), false, PF_U));
}

/* Tables in no RAM: what is there does not translate. */
static void test_tables_outside_ram(void **state)
{
	long_mode_tables(P | W | U);
	guest_put(PD + 8 * I2, FIXTURE_RAM | P | W | U, 8);
	assert_true(faults(VA, false, 0));
	f->reg[REG_CR3] = 0x7ffff000;
	assert_true(faults(VA, true, PF_W));
}

/* --- rights ---------------------------------------------------------------------------------- */

/* A right must be given at every level. */
static void test_rights_of_all_levels(void **state)
{
	const gpa_t entry[] = { PML4 + 8 * I4, PDPT + 8 * I3, PD + 8 * I2, PT + 8 * I1 };

	for (size_t i = 0; i < ARRAY_SIZE(entry); i++) {
		long_mode_tables(P | W | U);
		guest_put(entry[i], guest_get(entry[i], 8) & ~(u64)W, 8);
		set_cpl(3);
		assert_true(reaches(VA, false));
		assert_true(faults(VA, true, PF_P | PF_W | PF_U));
		set_cpl(0);
		assert_true(faults(VA, true, PF_P | PF_W));
		long_mode_tables(P | W | U);
		guest_put(entry[i], guest_get(entry[i], 8) & ~(u64)U, 8);
		assert_true(reaches(VA, true));
		set_cpl(3);
		assert_true(faults(VA, false, PF_P | PF_U));
		assert_true(faults(VA, true, PF_P | PF_W | PF_U));
		long_mode_tables(P | W | U);
		guest_put(entry[i], guest_get(entry[i], 8) & ~(u64)P, 8);
		assert_true(faults(VA, true, PF_W | PF_U));
		assert_true(faults(VA, false, PF_U));
	}
}

static void test_write_protect(void **state)
{
	long_mode_tables(P | U);
	assert_true(faults(VA, true, PF_P | PF_W));
	f->reg[REG_CR0] &= ~CR0_WP;
	assert_true(reaches(VA, true));
	set_cpl(3); /* never for the user */
	assert_true(faults(VA, true, PF_P | PF_W | PF_U));
}

/* Rings 1 and 2 are supervisors; no-execute is no matter for data. */
static void test_privilege(void **state)
{
	long_mode_tables(P | W);
	for (unsigned int cpl = 0; cpl < 3; cpl++) {
		set_cpl(cpl);
		assert_true(reaches(VA, true));
	}
	guest_put(PT + 8 * I1, FRAME | P | W | NX, 8);
	assert_true(reaches(VA, true));
}

/* Supervisor-mode access prevention: only with AC set. */
static void test_smap(void **state)
{
	long_mode_tables(P | W | U);
	f->reg[REG_CR4] |= CR4_SMAP;
	assert_true(faults(VA, false, PF_P));
	assert_true(faults(VA, true, PF_P | PF_W));
	f->reg[REG_RFLAGS] |= BIT(18);
	assert_true(reaches(VA, true));
	f->reg[REG_RFLAGS] &= ~BIT(18);
	set_cpl(3);
	assert_true(reaches(VA, true));
	set_cpl(0);
	guest_put(PD + 8 * I2, PT | P | W, 8); /* a supervisor page */
	assert_true(reaches(VA, true));
}

/* --- reserved bits --------------------------------------------------------------------------- */

static void test_reserved_long(void **state)
{
	const gpa_t entry[] = { PT + 8 * I1, PD + 8 * I2, PDPT + 8 * I3, PML4 + 8 * I4 };

	for (size_t i = 0; i < ARRAY_SIZE(entry); i++)
		for (unsigned int bit = vmx_caps.phys_bits; bit < 52; bit++) {
			long_mode_tables(P | W | U);
			guest_put(entry[i], guest_get(entry[i], 8) | BIT(bit), 8);
			assert_true(faults(VA, false, PF_P | PF_RSVD));
		}
	long_mode_tables(P | W | U);
	guest_put(PML4 + 8 * I4, PDPT | P | W | U | PS, 8);
	assert_true(faults(VA, true, PF_P | PF_W | PF_RSVD));
	long_mode_tables(P | W | U);
	guest_put(PDPT + 8 * I3, BIT(30) | BIT(13) | P | W | U | PS, 8);
	assert_true(faults(VA, false, PF_P | PF_RSVD));
	long_mode_tables(P | W | U);
	guest_put(PD + 8 * I2, BIT(30) | BIT(20) | P | W | U | PS, 8);
	assert_true(faults(VA, false, PF_P | PF_RSVD));
	/* NX is reserved until it is enabled */
	long_mode_tables(P | W | U);
	guest_put(PD + 8 * I2, PT | P | W | U | NX, 8);
	assert_true(reaches(VA, false));
	f->reg[REG_EFER] &= ~EFER_NXE;
	assert_true(faults(VA, false, PF_P | PF_RSVD));
	/* What is not present has no reserved bits. */
	guest_put(PD + 8 * I2, ~1ull, 8);
	assert_true(faults(VA, false, 0));
}

static void test_reserved_legacy(void **state)
{
	const u32 va = 0xc0dea123;

	set_mode(PAGED, CR4_PSE, 0, PD);
	guest_put(PD + 4 * (va >> 22), 0x87400000 | BIT(21) | P | W | PS, 4);
	assert_true(faults(va, false, PF_P | PF_RSVD));
	set_mode(PAGED, CR4_PAE, EFER_NXE, PDPT);
	guest_put(PDPT + 8 * (va >> 30), PD | P, 8);
	guest_put(PD + 8 * (va >> 21 & 511), PT | P | W | U, 8);
	for (unsigned int bit = vmx_caps.phys_bits; bit < 63; bit++) {
		guest_put(PT + 8 * (va >> 12 & 511), FRAME | P | W | U | BIT(bit), 8);
		assert_true(faults(va, false, PF_P | PF_RSVD));
	}
	guest_put(PT + 8 * (va >> 12 & 511), FRAME | P | W | U | NX, 8);
	assert_true(reaches(va, false));
}

/* --- tables that are not there, or cannot be written ------------------------------------------ */

static void ask_to_leave(void)
{
	vcpu_request(vcpu, REQ_EXIT);
}

static void test_missing_table(void **state)
{
	long_mode_tables(P | W | U);
	fixture_take_page(PD);
	fake_machine.on_block = ask_to_leave;
	assert_int_equal(vcpu_translate(vcpu, VA, false, &gpa, &error), -EINTR);
	fake_machine.on_block = fixture_bring_page;
	atomic_store(&vcpu->requests, 0);
	assert_true(reaches(VA, false));
	assert_int_equal(gpa, FRAME | (VA & 0xfff));
	assert_int_equal(fake_machine.blocks, 2);
}

/* As the processor on tables in ROM: they are used, but not marked as used. */
static void test_readonly_tables(void **state)
{
	struct slot_change c = { .op = SLOT_FLAGS, .id = 0, .flags = SLOT_READONLY };

	long_mode_tables(P | W | U);
	assert_int_equal(vm_change_slots(fixture_vm, &c, 1, SLOTS_ATOMIC, NULL), 0);
	assert_true(reaches(VA, true));
	assert_int_equal(guest_get(PT + 8 * I1, 8), FRAME | P | W | U);
}

/* --- fetches --------------------------------------------------------------------------------- */

static bool fetches(gva_t va)
{
	gpa = error = 0xbad;
	return !vcpu_translate(vcpu, va, WALK_FETCH, &gpa, &error);
}

static bool fetch_faults(gva_t va, u32 expected)
{
	return !fetches(va) && error == expected;
}

/* One level that forbids it is enough; and it is neither a write nor held up by SMAP. */
static void test_execute_disable(void **state)
{
	static const u64 entries[] = { PML4 + 8 * I4, PDPT + 8 * I3, PD + 8 * I2, PT + 8 * I1 };

	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		long_mode_tables(P | U);
		f->reg[REG_CR4] |= CR4_SMAP;
		assert_true(fetches(VA));
		assert_int_equal(gpa, FRAME + 0xabc);
		assert_int_equal(guest_get(PT + 8 * I1, 8), FRAME | P | U | A);
		guest_put(entries[i], guest_get(entries[i], 8) | NX, 8);
		assert_true(fetch_faults(VA, PF_P | PF_I));
		f->reg[REG_CR4] &= ~CR4_SMAP;
		assert_true(reaches(VA, false));
	}
	set_cpl(3);
	assert_true(fetch_faults(VA, PF_P | PF_U | PF_I));
}

static void test_smep(void **state)
{
	long_mode_tables(P | W | U);
	f->reg[REG_CR4] |= CR4_SMEP;
	assert_true(fetch_faults(VA, PF_P | PF_I));
	assert_true(reaches(VA, false));
	set_cpl(3);
	assert_true(fetches(VA));
	set_cpl(0);
	guest_put(PT + 8 * I1, FRAME | P, 8);
	assert_true(fetches(VA));
}

/* The error code says that it was a fetch only with NXE or SMEP. */
static void test_fetch_error(void **state)
{
	const u32 va = 0xc0dea123;

	long_mode_tables(P);
	guest_put(PT + 8 * I1, 0, 8);
	assert_true(fetch_faults(VA, PF_I));
	f->reg[REG_EFER] &= ~EFER_NXE;
	assert_true(fetch_faults(VA, 0));
	f->reg[REG_CR4] |= CR4_SMEP;
	assert_true(fetch_faults(VA, PF_I));
	/* Two levels know no NX, whatever EFER says. */
	set_mode(PAGED, 0, EFER_NXE, PD);
	guest_put(PD + 4 * (va >> 22), 0, 4);
	assert_true(fetch_faults(va, 0));
	guest_put(PD + 4 * (va >> 22), PT | P, 4);
	guest_put(PT + 4 * (va >> 12 & 0x3ff), FRAME | P, 4);
	assert_true(fetches(va));
}

/* --- accessed and dirty ---------------------------------------------------------------------- */

static void test_accessed(void **state)
{
	long_mode_tables(P | W | U);
	assert_true(reaches(VA, false));
	assert_int_equal(guest_get(PML4 + 8 * I4, 8), PDPT | P | W | U | A);
	assert_int_equal(guest_get(PDPT + 8 * I3, 8), PD | P | W | U | A);
	assert_int_equal(guest_get(PD + 8 * I2, 8), PT | P | W | U | A);
	assert_int_equal(guest_get(PT + 8 * I1, 8), FRAME | P | W | U | A);
}

static void test_dirty(void **state)
{
	long_mode_tables(P | W | U);
	assert_true(reaches(VA, true));
	assert_int_equal(guest_get(PD + 8 * I2, 8), PT | P | W | U | A); /* the leaf alone */
	assert_int_equal(guest_get(PT + 8 * I1, 8), FRAME | P | W | U | A | D);
	long_mode_tables(P | W | U);
	guest_put(PD + 8 * I2, BIT(21) | P | W | U | PS, 8);
	assert_true(reaches(VA, true));
	assert_int_equal(guest_get(PD + 8 * I2, 8), BIT(21) | P | W | U | PS | A | D);
	assert_int_equal(guest_get(PDPT + 8 * I3, 8), PD | P | W | U | A);
	assert_int_equal(guest_get(PT + 8 * I1, 8), FRAME | P | W | U);
}

/* An entry that points to its own table serves at every level, and changes under the walk. */
static void test_recursive(void **state)
{
	const gva_t va = I4 << 39 | I4 << 30 | I4 << 21 | I4 << 12;

	long_mode_tables(P | W);
	guest_put(PML4 + 8 * I4, PML4 | P | W, 8);
	assert_true(reaches(va + 8, true));
	assert_int_equal(gpa, PML4 + 8);
	assert_int_equal(guest_get(PML4 + 8 * I4, 8), PML4 | P | W | A | D);
}

/* The second access finds the bits set and writes nothing; a refused one sets no dirty bit. */
static void test_no_needless_bits(void **state)
{
	long_mode_tables(P | U);
	assert_true(faults(VA, true, PF_P | PF_W));
	assert_int_equal(guest_get(PT + 8 * I1, 8) & D, 0);
	long_mode_tables(P | W | U | A | D);
	assert_true(reaches(VA, true));
	assert_int_equal(guest_get(PML4 + 8 * I4, 8), PDPT | P | W | U | A | D);
	assert_int_equal(guest_get(PT + 8 * I1, 8), FRAME | P | W | U | A | D);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_off),
		TEST(test_4_levels),
		TEST(test_2_mib),
		TEST(test_1_gib),
		TEST(test_upper_half),
		TEST(test_2_levels),
		TEST(test_4_mib),
		TEST(test_pae),
		TEST(test_tables_outside_ram),
		TEST(test_rights_of_all_levels),
		TEST(test_write_protect),
		TEST(test_privilege),
		TEST(test_smap),
		TEST(test_reserved_long),
		TEST(test_reserved_legacy),
		TEST(test_missing_table),
		TEST(test_readonly_tables),
		TEST(test_execute_disable),
		TEST(test_smep),
		TEST(test_fetch_error),
		TEST(test_accessed),
		TEST(test_dirty),
		TEST(test_recursive),
		TEST(test_no_needless_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
