/* SPDX-License-Identifier: GPL-2.0-only */
/* Control registers and XCR0: what raises #GP, and what the processor would have done besides. */
/* link: @vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/x86.h"
#include "hv/vm/internal.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"

#define PAGED	  (CR0_PE | CR0_PG | CR0_ET)
#define LONG	  (EFER_LME | EFER_LMA)
#define CS_L	  BIT(13)
#define CODE32	  0xc09b
#define CODE64	  0xa09b
#define PDPT	  0x3000
#define OWN_FLUSH 77 /* any generation: the real ones are below */

static struct vcpu *vcpu;
static struct fake_vcpu *f;

static int setup(void **state)
{
	fixture_start(1);
	vcpu = fixture_vm->vcpu[0];
	f = fake_of(vcpu);
	return 0;
}

static int teardown(void **state)
{
	fixture_end();
	return 0;
}

static void set_mode(u64 cr0, u64 cr4, u64 efer, u32 cs)
{
	f->reg[REG_CR0] = cr0;
	f->reg[REG_CR3] = PDPT;
	f->reg[REG_CR4] = cr4;
	f->reg[REG_EFER] = efer;
	f->seg[VSEG_CS].access = cs;
	f->pdpte_loads = 0;
	vcpu->vmx.flushed_gen = OWN_FLUSH;
}

static void set_mode64(void)
{
	set_mode(PAGED, CR4_PAE, LONG, CODE64);
}

static bool flushed(void)
{
	bool yes = vcpu->vmx.flushed_gen != OWN_FLUSH;

	vcpu->vmx.flushed_gen = OWN_FLUSH;
	return yes;
}

/* The exit's details are in vcpu->vmx.exit. Returns whether it was completed, else it is #GP(0). */
static bool handled(void)
{
	struct fake_vcpu before = *f;

	assert_int_equal(vcpu_handle_cr(vcpu), RESUME_GUEST);
	if (!f->queued) {
		assert_int_equal(f->reg[REG_RIP], before.reg[REG_RIP] + f->insn_len);
		return true;
	}
	expect_fault(vcpu, EXC_GP, 0);
	assert_memory_equal(before.reg, f->reg, sizeof(before.reg)); /* nothing was changed */
	assert_memory_equal(before.pdpte, f->pdpte, sizeof(before.pdpte));
	return false;
}

static bool write_cr(unsigned int cr, u64 value)
{
	vcpu->vmx.exit.cr.kind = CR_WRITE;
	vcpu->vmx.exit.cr.cr = (u8)cr;
	vcpu->vmx.exit.cr.gpr = GPR_R9;
	vcpu->vmx.gpr[GPR_R9] = value;
	return handled();
}

static u64 read_cr(unsigned int cr, enum gpr gpr)
{
	vcpu->vmx.exit.cr.kind = CR_READ;
	vcpu->vmx.exit.cr.cr = (u8)cr;
	vcpu->vmx.exit.cr.gpr = gpr;
	assert_true(handled());
	return vmx_get_gpr(&vcpu->vmx, gpr);
}

static void put_pdptes(gpa_t at, u64 a, u64 b, u64 c, u64 d)
{
	const u64 pdpte[4] = { a, b, c, d };

	for (unsigned int i = 0; i < 4; i++)
		guest_put(at + 8 * i, pdpte[i], 8);
}

/* --- CR0 ------------------------------------------------------------------------------------- */

static void test_cr0_rules(void **state)
{
	set_mode64();
	assert_false(write_cr(0, PAGED | BIT(32)));
	assert_false(write_cr(0, PAGED | BIT(63)));
	assert_false(write_cr(0, CR0_PG | CR0_ET)); /* PG without PE */
	assert_false(write_cr(0, PAGED | CR0_NW));  /* NW without CD */
	assert_false(write_cr(0, CR0_PE | CR0_ET)); /* PG cleared in 64-bit code */
	assert_true(write_cr(0, PAGED | CR0_NW | CR0_CD));
	assert_int_equal(f->reg[REG_CR0], PAGED | CR0_NW | CR0_CD);
	set_mode(PAGED, CR4_PAE | CR4_PCIDE, LONG, CODE32);
	assert_false(write_cr(0, CR0_PE | CR0_ET)); /* PG cleared with PCIDE */
	assert_int_equal(f->reg[REG_EFER], LONG);
}

/* Reserved bits of the lower half are ignored, and ET is always 1. */
static void test_cr0_ignored_bits(void **state)
{
	set_mode(CR0_PE | CR0_ET, 0, 0, CODE32);
	assert_true(write_cr(0, 0x1ffaffd0 | CR0_PE | CR0_NE));
	assert_int_equal(f->reg[REG_CR0], CR0_PE | CR0_ET | CR0_NE);
}

/* Outside 64-bit mode the operand has 32 bits. */
static void test_cr0_operand_size(void **state)
{
	set_mode(CR0_PE | CR0_ET, 0, 0, CODE32);
	assert_true(write_cr(0, 0xffffffff00000000 | CR0_PE | CR0_NE));
	assert_int_equal(f->reg[REG_CR0], CR0_PE | CR0_ET | CR0_NE);
	set_mode(PAGED, CR4_PAE, LONG, CODE32); /* compatibility mode */
	assert_true(write_cr(0, 0x1200000000 | PAGED | CR0_NE));
	set_mode(CR0_PE | CR0_ET, 0, 0, CODE32 | CS_L); /* L means nothing outside long mode */
	assert_true(write_cr(0, 0x1200000000 | CR0_PE));
}

static void test_long_mode_on(void **state)
{
	set_mode(CR0_PE | CR0_ET, CR4_PAE, EFER_LME, CODE32);
	assert_true(write_cr(0, PAGED | CR0_NE));
	assert_int_equal(f->reg[REG_EFER], LONG);
	assert_int_equal(f->pdpte_loads, 0);
	assert_true(flushed());
	/* not without PAE, not from code with L set, not with a 16-bit TSS */
	set_mode(CR0_PE | CR0_ET, 0, EFER_LME, CODE32);
	assert_false(write_cr(0, PAGED | CR0_NE));
	set_mode(CR0_PE | CR0_ET, CR4_PAE, EFER_LME, CODE32 | CS_L);
	assert_false(write_cr(0, PAGED | CR0_NE));
	set_mode(CR0_PE | CR0_ET, CR4_PAE, EFER_LME, CODE32);
	f->seg[VSEG_TR].access = 0x83;
	assert_false(write_cr(0, PAGED | CR0_NE));
	assert_int_equal(f->reg[REG_EFER], EFER_LME);
	/* Without LME none of that matters. */
	set_mode(CR0_PE | CR0_ET, 0, 0, CODE32 | CS_L);
	assert_true(write_cr(0, PAGED | CR0_NE));
	assert_int_equal(f->reg[REG_EFER], 0);
}

static void test_long_mode_off(void **state)
{
	set_mode(PAGED, CR4_PAE, LONG | EFER_NXE, CODE32);
	assert_true(write_cr(0, CR0_PE | CR0_ET | CR0_CD));
	assert_int_equal(f->reg[REG_EFER], EFER_LME | EFER_NXE);
	assert_true(flushed());
}

static void test_cr0_flushes(void **state)
{
	set_mode(PAGED, 0, 0, CODE32);
	assert_true(write_cr(0, PAGED | CR0_NE | CR0_TS));
	assert_false(flushed());
	assert_true(write_cr(0, PAGED | CR0_NE | CR0_WP));
	assert_true(flushed());
	assert_true(write_cr(0, CR0_PE | CR0_NE | CR0_WP));
	assert_true(flushed());
}

/* --- the four entries of PAE paging ---------------------------------------------------------- */

static void test_pdptes_of_cr0(void **state)
{
	const u64 entry[4] = { 0x4001, 0, 0xfffffffffffffffe, 0xfffffff019 };

	put_pdptes(PDPT, entry[0], entry[1], entry[2], entry[3]);
	set_mode(CR0_PE | CR0_ET, CR4_PAE, 0, CODE32);
	assert_true(write_cr(0, PAGED | CR0_NE));
	assert_int_equal(f->pdpte_loads, 1);
	assert_memory_equal(f->pdpte, entry, sizeof(entry));
	/* CD and NW reload too; others do not. */
	assert_true(write_cr(0, PAGED | CR0_NE | CR0_CD));
	assert_int_equal(f->pdpte_loads, 2);
	assert_true(write_cr(0, PAGED | CR0_NE | CR0_CD | CR0_NW));
	assert_int_equal(f->pdpte_loads, 3);
	assert_true(write_cr(0, PAGED | CR0_CD | CR0_NW | CR0_TS | CR0_WP));
	assert_int_equal(f->pdpte_loads, 3);
	/* Not when paging goes off, nor in long mode. */
	assert_true(write_cr(0, CR0_PE | CR0_CD | CR0_NW));
	assert_int_equal(f->pdpte_loads, 3);
}

static void test_pdptes_reserved(void **state)
{
	for (unsigned int bit = 1; bit < 64; bit++) {
		bool reserved = (0x1e6ull >> bit & 1) || bit >= vmx_caps.phys_bits;

		if (bit > 8 && bit < 12)
			reserved = false; /* available */
		for (unsigned int i = 0; i < 4; i++) {
			u64 e[4] = { 0 };

			e[i] = BIT(bit) | 1;
			put_pdptes(PDPT, e[0], e[1], e[2], e[3]);
			set_mode(CR0_PE | CR0_ET, CR4_PAE, 0, CODE32);
			assert_int_equal(write_cr(0, PAGED), !reserved);
			/* and the same by CR3 */
			set_mode(PAGED, CR4_PAE, 0, CODE32);
			assert_int_equal(write_cr(3, PDPT), !reserved);
		}
	}
}

static void test_pdptes_outside_ram(void **state)
{
	set_mode(PAGED, CR4_PAE, 0, CODE32);
	assert_false(write_cr(3, FIXTURE_RAM));
	assert_true(write_cr(3, FIXTURE_RAM - 32));
}

static void ask_to_leave(void)
{
	vcpu_request(vcpu, REQ_EXIT);
}

/* Their page is away: waited for, or the instruction is executed again later. */
static void test_pdptes_missing(void **state)
{
	put_pdptes(PDPT, 0x4001, 0, 0, 0x5001);
	set_mode(PAGED, CR4_PAE, 0, CODE32);
	f->reg[REG_CR3] = 0x7000;
	fixture_take_page(PDPT);
	vcpu->vmx.exit.cr.kind = CR_WRITE;
	vcpu->vmx.exit.cr.cr = 3;
	vcpu->vmx.exit.cr.gpr = GPR_R9;
	vcpu->vmx.gpr[GPR_R9] = PDPT;
	fake_machine.on_block = ask_to_leave;
	assert_int_equal(vcpu_handle_cr(vcpu), RESUME_GUEST);
	expect_no_event(vcpu);
	assert_int_equal(f->skips, 0);
	assert_int_equal(f->reg[REG_CR3], 0x7000);
	atomic_store(&vcpu->requests, 0);
	fake_machine.on_block = fixture_bring_page;
	assert_true(write_cr(3, PDPT));
	assert_int_equal(f->reg[REG_CR3], PDPT);
	assert_int_equal(f->pdpte[3], 0x5001);
}

/* CR3 has 32-byte granularity here, and PWT, PCD below. */
static void test_pdptes_of_cr3(void **state)
{
	put_pdptes(PDPT + 0x20, 0x7001, 0x8001, 0x9001, 0xa001);
	set_mode(PAGED, CR4_PAE, 0, CODE32);
	assert_true(write_cr(3, 0xffffffff00000000 | PDPT | 0x38));
	assert_int_equal(f->reg[REG_CR3], PDPT | 0x38);
	assert_int_equal(f->pdpte_loads, 1);
	assert_int_equal(f->pdpte[0], 0x7001);
	assert_int_equal(f->pdpte[3], 0xa001);
	assert_true(flushed());
	set_mode(PAGED, 0, 0, CODE32); /* two levels */
	assert_true(write_cr(3, PDPT));
	assert_int_equal(f->pdpte_loads, 0);
	set_mode(CR0_PE | CR0_ET, CR4_PAE, 0, CODE32); /* no paging */
	assert_true(write_cr(3, PDPT));
	assert_int_equal(f->pdpte_loads, 0);
	set_mode64();
	assert_true(write_cr(3, PDPT));
	assert_int_equal(f->pdpte_loads, 0);
}

static void test_pdptes_of_cr4(void **state)
{
	static const u64 reload[] = { CR4_PGE, CR4_PSE, CR4_SMEP };
	static const u64 none[] = { CR4_OSFXSR, CR4_TSD, CR4_SMAP, CR4_OSXSAVE, CR4_UMIP };

	for (size_t i = 0; i < ARRAY_SIZE(reload); i++) {
		set_mode(PAGED, CR4_PAE, 0, CODE32);
		assert_true(write_cr(4, CR4_PAE | reload[i]));
		assert_int_equal(f->pdpte_loads, 1);
	}
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		set_mode(PAGED, CR4_PAE, 0, CODE32);
		assert_true(write_cr(4, CR4_PAE | none[i]));
		assert_int_equal(f->pdpte_loads, 0);
	}
	set_mode(PAGED, 0, 0, CODE32); /* from two levels to PAE */
	assert_true(write_cr(4, CR4_PAE));
	assert_int_equal(f->pdpte_loads, 1);
	put_pdptes(PDPT, 3, 0, 0, 0);
	set_mode(PAGED, 0, 0, CODE32);
	assert_false(write_cr(4, CR4_PAE));
	set_mode64();
	assert_true(write_cr(4, CR4_PAE | CR4_PGE));
	assert_int_equal(f->pdpte_loads, 0);
}

/* --- CR3, CR4, CR8 --------------------------------------------------------------------------- */

static void test_cr3_rules(void **state)
{
	set_mode64();
	assert_true(write_cr(3, BIT(vmx_caps.phys_bits) - 1));
	for (unsigned int bit = vmx_caps.phys_bits; bit < 64; bit++)
		assert_false(write_cr(3, BIT(bit) | PDPT));
	assert_int_equal(f->reg[REG_CR3], BIT(vmx_caps.phys_bits) - 1);
	assert_int_equal(read_cr(3, GPR_RBX), BIT(vmx_caps.phys_bits) - 1);
}

/* With PCIDs bit 63 says "do not flush" and is not stored. */
static void test_cr3_pcid(void **state)
{
	set_mode(PAGED, CR4_PAE | CR4_PCIDE, LONG, CODE64);
	assert_true(write_cr(3, BIT(63) | 0x5007));
	assert_int_equal(f->reg[REG_CR3], 0x5007);
	assert_false(flushed());
	assert_true(write_cr(3, 0x6007));
	assert_true(flushed());
	assert_false(write_cr(3, BIT(62) | 0x5007));
}

static void test_cr4_rules(void **state)
{
	set_mode64();
	for (unsigned int bit = 0; bit < 64; bit++)
		assert_int_equal(write_cr(4, f->reg[REG_CR4] | BIT(bit)),
				 !!(vcpu->cr4_may & BIT(bit)));
	set_mode64();
	assert_false(write_cr(4, CR4_PGE)); /* PAE cleared in long mode */
	set_mode(PAGED, CR4_PAE, LONG, CODE32);
	assert_false(write_cr(4, 0));
	set_mode(PAGED, CR4_PAE, 0, CODE32);
	assert_true(write_cr(4, 0));
}

static void test_cr4_pcide(void **state)
{
	set_mode64();
	f->reg[REG_CR3] = PDPT | 8;
	assert_false(write_cr(4, CR4_PAE | CR4_PCIDE)); /* the PCID in CR3 is not 0 */
	f->reg[REG_CR3] = PDPT;
	assert_true(write_cr(4, CR4_PAE | CR4_PCIDE));
	f->reg[REG_CR3] = PDPT | 8;
	assert_true(write_cr(4, CR4_PAE | CR4_PCIDE | CR4_PGE)); /* it was on already */
	assert_true(write_cr(4, CR4_PAE));
	assert_true(flushed());
	set_mode(PAGED, CR4_PAE, 0, CODE32);
	assert_false(write_cr(4, CR4_PAE | CR4_PCIDE)); /* outside long mode */
}

static void test_cr4_and_cpuid(void **state)
{
	set_mode64();
	assert_true(write_cr(4, CR4_PAE | CR4_OSXSAVE | CR4_PKE));
	assert_true(vcpu_cpuid_find(&vcpu->cpuid, 1, 0)->ecx & BIT(27));
	assert_true(vcpu_cpuid_find(&vcpu->cpuid, 7, 0)->ecx & BIT(4));
	assert_true(flushed()); /* PKE */
	assert_true(write_cr(4, CR4_PAE | CR4_PKE));
	assert_false(vcpu_cpuid_find(&vcpu->cpuid, 1, 0)->ecx & BIT(27));
	assert_false(flushed());
}

static void test_cr8(void **state)
{
	set_mode64();
	assert_true(write_cr(8, 0xa));
	assert_int_equal(lapic_get_tpr(vcpu), 0xa0);
	assert_int_equal(read_cr(8, GPR_RSP), 0xa);
	assert_int_equal(f->reg[REG_RSP], 0xa);
	lapic_set_tpr(vcpu, 0x5f); /* the sub-class is not in CR8 */
	assert_int_equal(read_cr(8, GPR_RCX), 5);
	for (unsigned int bit = 4; bit < 64; bit++)
		assert_false(write_cr(8, BIT(bit)));
	assert_int_equal(lapic_get_tpr(vcpu), 0x5f);
}

static int setup_emulated(void **state)
{
	fixture_start_apics(1, &fixture_apics[0]);
	vcpu = fixture_vm->vcpu[0];
	f = fake_of(vcpu);
	return 0;
}

/* What is requested is looked at again before the next entry; if there is nothing, nothing is. */
static void test_cr8_lets_through(void **state)
{
	set_mode64();
	atomic_store(&vcpu->requests, 0);
	assert_true(write_cr(8, 0xa));
	assert_int_equal(atomic_load(&vcpu->requests), 0);
	lapic_post(vcpu, 0x41);
	assert_int_equal(vcpu_deliver_events(vcpu), RESUME_GUEST);
	atomic_store(&vcpu->requests, 0);
	assert_true(write_cr(8, 3));
	assert_int_equal(atomic_exchange(&vcpu->requests, 0), REQ_EVENT);
}

/* --- LMSW, CLTS ------------------------------------------------------------------------------ */

static u64 lmsw(u64 cr0, u16 value)
{
	set_mode(cr0, 0, 0, CODE32);
	vcpu->vmx.exit.cr.kind = CR_LMSW;
	vcpu->vmx.exit.cr.cr = 0;
	vcpu->vmx.exit.cr.lmsw = value;
	assert_true(handled());
	return f->reg[REG_CR0];
}

static void test_lmsw(void **state)
{
	assert_int_equal(lmsw(CR0_ET | CR0_NE, 1), CR0_ET | CR0_NE | CR0_PE);
	/* PE stays, what is above TS stays, bits 15:4 of the operand are ignored */
	assert_int_equal(lmsw(PAGED | CR0_WP | CR0_TS, 0), PAGED | CR0_WP);
	assert_int_equal(lmsw(PAGED, 0xfff6), PAGED | CR0_MP | CR0_EM);
	assert_int_equal(lmsw(CR0_ET | CR0_MP | CR0_EM | CR0_TS, 8), CR0_ET | CR0_TS);
}

static void test_clts(void **state)
{
	set_mode64();
	f->reg[REG_CR0] = PAGED | CR0_TS | CR0_MP;
	vcpu->vmx.exit.cr.kind = CR_CLTS;
	assert_true(handled());
	assert_int_equal(f->reg[REG_CR0], PAGED | CR0_MP);
}

/* --- XCR0 ------------------------------------------------------------------------------------ */

static bool xsetbv_works(u32 index, u64 value)
{
	u64 old = f->xcr0, rip = f->reg[REG_RIP];

	vcpu->vmx.gpr[GPR_RCX] = 0x5500000000 | index;
	vcpu->vmx.gpr[GPR_RAX] = 0x5500000000 | (u32)value;
	vcpu->vmx.gpr[GPR_RDX] = 0x5500000000 | value >> 32;
	assert_int_equal(vcpu_handle_xsetbv(vcpu), RESUME_GUEST);
	if (!f->queued) {
		assert_int_equal(f->xcr0, value);
		assert_int_equal(f->reg[REG_RIP], rip + f->insn_len);
		return true;
	}
	expect_fault(vcpu, EXC_GP, 0);
	assert_int_equal(f->xcr0, old);
	assert_int_equal(f->reg[REG_RIP], rip);
	return false;
}

static void test_xsetbv(void **state)
{
	static const u64 good[] = { 1, 3, 7, 0x201, 0x203, 0x207, 0xe7, 0x2e7 };

	set_mode(PAGED, CR4_PAE | CR4_OSXSAVE, LONG, CODE64);
	for (u64 value = 0; value < 0x800; value++) {
		bool expected = false;

		for (size_t i = 0; i < ARRAY_SIZE(good); i++)
			expected |= value == good[i];
		assert_int_equal(xsetbv_works(0, value), expected);
	}
	for (unsigned int bit = 10; bit < 64; bit++)
		assert_false(xsetbv_works(0, 7 | BIT(bit)));
	for (u32 index = 1; index < 4; index++)
		assert_false(xsetbv_works(index, 7));
	assert_false(xsetbv_works(~0u, 7));
	fake_machine.xcr0_mask = 3; /* no AVX here */
	assert_false(xsetbv_works(0, 7));
	assert_true(xsetbv_works(0, 3));
}

/* The area's size follows. */
static void test_xsetbv_cpuid(void **state)
{
	set_mode(PAGED, CR4_PAE | CR4_OSXSAVE, LONG, CODE64);
	vcpu_cpuid_update(vcpu, CR4_PAE | CR4_OSXSAVE);
	assert_int_equal(vcpu_cpuid_find(&vcpu->cpuid, 0xd, 0)->ebx, 576);
	assert_true(xsetbv_works(0, 7));
	assert_int_equal(vcpu_cpuid_find(&vcpu->cpuid, 0xd, 0)->ebx, 832);
	assert_true(xsetbv_works(0, 1));
	assert_int_equal(vcpu_cpuid_find(&vcpu->cpuid, 0xd, 0)->ebx, 576);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_cr0_rules),
		TEST(test_cr0_ignored_bits),
		TEST(test_cr0_operand_size),
		TEST(test_long_mode_on),
		TEST(test_long_mode_off),
		TEST(test_cr0_flushes),
		TEST(test_pdptes_of_cr0),
		TEST(test_pdptes_reserved),
		TEST(test_pdptes_outside_ram),
		TEST(test_pdptes_missing),
		TEST(test_pdptes_of_cr3),
		TEST(test_pdptes_of_cr4),
		TEST(test_cr3_rules),
		TEST(test_cr3_pcid),
		TEST(test_cr4_rules),
		TEST(test_cr4_pcide),
		TEST(test_cr4_and_cpuid),
		TEST(test_cr8),
		cmocka_unit_test_setup_teardown(test_cr8_lets_through, setup_emulated, teardown),
		TEST(test_lmsw),
		TEST(test_clts),
		TEST(test_xsetbv),
		TEST(test_xsetbv_cpuid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
