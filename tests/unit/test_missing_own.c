/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Accesses to missing pages that the hypervisor makes on the guest's behalf: they are told like the
 * guest's own, with nothing done, and what they belong to is done once.
 */
/* link: @vm tests/unit/missing_fixture.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/x86.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/missing_fixture.h"

#define STRING VM_IO_STRING
#define IN     VM_IO_IN
#define REP    VM_IO_REP

/* --- the hypervisor's own accesses -------------------------------------------------------------
 */

static void test_own_accesses(void **state)
{
	u8 buf[2 * K4];
	u64 value = 0;

	assert_int_equal(vm_fill(vm, PAGE - K4, 0x11, 3 * K4), 0);
	take(PAGE);
	memset(buf, 0x5a, sizeof(buf));
	assert_int_equal(vm_read(vm, PAGE - 8, buf, 16), -EAGAIN);
	assert_int_equal(buf[7], 0x11);
	assert_int_equal(buf[8], 0x5a);
	assert_int_equal(vm_write(vm, PAGE + 8, buf, 8), -EAGAIN);
	assert_int_equal(vm_fill(vm, PAGE + K4 - 1, 9, 2), -EAGAIN);
	assert_int_equal(vcpu_read(vcpu, PAGE + 16, &value, 8), -EAGAIN);
	assert_int_equal(vcpu->missing.gpa, PAGE + 16);
	assert_int_equal(vcpu->missing.access, R);
	assert_int_equal(vcpu_write(vcpu, PAGE, &value, 8), -EAGAIN);
	assert_int_equal(vcpu->missing.access, W);
	assert_int_equal(vcpu_cmpxchg(vcpu, PAGE, 8, &value, 1), -EAGAIN);
	assert_int_equal(vcpu->missing.access, R | W);
	assert_int_equal(vcpu_read_known(vcpu, KNOWN_TABLE, PAGE, &value, 8), -EAGAIN);
	assert_int_equal(vcpu->missing.access, R);
	assert_int_equal(vcpu_read_known(vcpu, KNOWN_CODE, PAGE, &value, 8), -EAGAIN);
	assert_int_equal(vcpu->missing.access, X);
	assert_int_equal(value, 0);
	bring(PAGE);
	assert_int_equal(vm_read(vm, PAGE, buf, K4 + 1), 0);
	for (unsigned int i = 0; i <= K4; i++)
		assert_int_equal(buf[i], 0x11);
}

/* --- string I/O ------------------------------------------------------------------------------ */

/* What the processor says about the repetition at hand. */
static void find_address(struct vcpu *v)
{
	struct vm_exit *e = &v->vmx.exit;

	e->io.linear = v->vmx.gpr[e->io.flags & IN ? GPR_RDI : GPR_RSI];
	remember(v);
}

static void string(u8 size, u8 flags)
{
	struct fake_exit *e = fake_exit_add(VM_EXIT_IO);

	e->exit.io.port = 0x1f0;
	e->exit.io.size = size;
	e->exit.io.flags = flags | STRING;
	e->exit.io.addr_size = 8;
	e->during = find_address;
}

static void expect_io(bool in)
{
	run_expecting(RUN_EXIT_IO);
	assert_int_equal(vcpu->run.io.in, in);
	assert_int_equal(vcpu->run.io.port, 0x1f0);
}

static void test_outs(void **state)
{
	guest_put(PAGE - 2, 0x44332211, 4);
	take(PAGE - K4);
	take(PAGE);
	gpr[GPR_RSI] = PAGE - 2;
	string(4, 0);
	resolve(PAGE - K4, R);
	string(4, 0);
	resolve(PAGE, R);
	string(4, 0);
	expect_io(false);
	assert_int_equal(vcpu->run.io.data, 0x44332211);
	run_to_end();
	assert_int_equal(gpr[GPR_RSI], PAGE + 2);
	assert_int_equal(vcpu_rip(vcpu), RIP + 2);
	assert_int_equal(f->skips + f->quick, 1);
}

/* The port has been read: it is not read again, and what it gave is stored once. */
static void test_ins(void **state)
{
	guest_put(PAGE, 0x1122334455667788, 8);
	take(PAGE);
	gpr[GPR_RDI] = PAGE + 1;
	string(2, IN);
	expect_io(true);
	vcpu->run.io.data = 0xbeef;
	resolve(PAGE, W);
	assert_int_equal(guest_get(PAGE, 8), 0x1122334455667788);
	run_to_end();
	assert_int_equal(guest_get(PAGE, 8), 0x1122334455beef88);
	assert_int_equal(gpr[GPR_RDI], PAGE + 3);
	assert_int_equal(vcpu_rip(vcpu), RIP + 2);
	assert_int_equal(f->entries, 2);
}

/* Over the end of a page: nothing is stored before all of it can be. */
static void test_ins_crossing(void **state)
{
	for (unsigned int first = 0; first < 2; first++) {
		gpa_t gone = first ? PAGE - K4 : PAGE;

		guest_put(PAGE - 2, 0, 4);
		take(gone);
		gpr[GPR_RDI] = PAGE - 2;
		string(4, IN);
		expect_io(true);
		vcpu->run.io.data = 0x44332211;
		expect_exit(gone, W);
		assert_int_equal(guest_get(first ? PAGE : PAGE - 2, 2), 0);
		resolve(gone, W);
		run_to_end();
		assert_int_equal(guest_get(PAGE - 2, 4), 0x44332211);
	}
}

static void test_ins_interrupted(void **state)
{
	struct vm_hold hold = { 0 };

	take(PAGE);
	gpr[GPR_RDI] = PAGE;
	string(1, IN);
	expect_io(true);
	vcpu->run.io.data = 0x77;
	expect_exit(PAGE, W);
	fake_machine.thread = 2;
	assert_int_equal(vm_pause(vm, &hold, 0, NULL), 0);
	fake_machine.thread = 0;
	expect_stopped();
	fake_machine.thread = 2;
	assert_int_equal(vm_resume(&hold), 0);
	fake_machine.thread = 0;
	expect_unchanged();
	expect_again(PAGE, W);
	bring(PAGE);
	vcpu_request(vcpu, REQ_EXIT);
	expect_stopped();
	assert_int_equal(guest_get(PAGE, 1), 0x77);
	assert_int_equal(gpr[GPR_RDI], PAGE + 1);
	assert_int_equal(vcpu_rip(vcpu), RIP + 2);
	run_to_end();
}

/* Repetitions over a page that is missing: as many accesses to the port as there are. */
static void test_rep(void **state)
{
	guest_put(PAGE - 1, 0, 3);
	take(PAGE);
	gpr[GPR_RDI] = PAGE - 1;
	gpr[GPR_RCX] = 3;
	for (u32 i = 0; i < 3; i++) {
		string(1, IN | REP);
		expect_io(true);
		assert_int_equal(gpr[GPR_RCX], 3 - i);
		vcpu->run.io.data = 0x11 * (i + 1);
		if (i == 1)
			resolve(PAGE, W);
	}
	run_to_end();
	assert_int_equal(guest_get(PAGE - 1, 3), 0x332211);
	assert_int_equal(gpr[GPR_RCX], 0);
	take(PAGE);
	gpr[GPR_RSI] = PAGE - 1;
	gpr[GPR_RCX] = 3;
	for (u32 i = 0; i < 3; i++) {
		string(1, REP);
		if (i == 1) {
			resolve(PAGE, R);
			string(1, REP);
		}
		expect_io(false);
		assert_int_equal(vcpu->run.io.data, 0x11 * (i + 1));
	}
	run_to_end();
	assert_int_equal(gpr[GPR_RSI], PAGE + 2);
}

/* --- the guest's tables ------------------------------------------------------------------------
 */

enum { PML4 = 0x8000, PDPT = 0x9000, PD = 0xa000, PT = 0xc000, PD_APIC = 0xb000 };
enum { P = 1, WR = 2, ACCESSED = 0x20, DIRTY = 0x40, PS = 0x80 };
enum { VA = 0x400000, CODE = 0x20000, CODE2 = 0x50000 };

#define APIC LAPIC_DEFAULT_BASE

/* 64-bit code; VA and what follows show PAGE and what follows. */
static void turn_paging_on(void)
{
	for (unsigned int s = 0; s < VSEG_LDTR; s++)
		f->seg[s] = (struct vm_segment){ .limit = ~0u, .access = 0xc093 };
	f->seg[VSEG_CS].access = 0xa09b;
	f->reg[REG_CR0] = CR0_PE | CR0_PG | CR0_WP | CR0_ET;
	f->reg[REG_CR4] = CR4_PAE;
	f->reg[REG_EFER] = EFER_LME | EFER_LMA | EFER_NXE;
	f->reg[REG_CR3] = PML4;
	f->reg[REG_CR2] = 0x99;
	f->reg[REG_RIP] = CODE;
	guest_put(PML4, PDPT | P | WR, 8);
	guest_put(PDPT, PD | P | WR, 8);
	guest_put(PDPT + 8 * 3, PD_APIC | P | WR, 8);
	guest_put(PD, P | WR | PS, 8);
	guest_put(PD + 8 * 2, PT | P | WR, 8);
	guest_put(PD_APIC + 8 * (APIC >> 21 & 511), ALIGN_DOWN(APIC, MIB(2)) | P | WR | PS, 8);
	for (u64 i = 0; i < 8; i++)
		guest_put(PT + 8 * i, (PAGE + i * K4) | P | WR, 8);
}

/* Each table that is missing is an exit, from the top down, and so is the page then. */
static void test_walk(void **state)
{
	static const gpa_t tables[] = { PML4, PDPT, PD, PT };

	turn_paging_on();
	guest_put(PAGE + 5, 0x77, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(tables); i++)
		take(tables[i]);
	take(PAGE);
	gpr[GPR_RSI] = VA + 5;
	for (unsigned int i = 0; i < ARRAY_SIZE(tables); i++) {
		string(1, 0);
		resolve(tables[i], R);
	}
	string(1, 0);
	resolve(PAGE, R);
	string(1, 0);
	expect_io(false);
	assert_int_equal(vcpu->run.io.data, 0x77);
	run_to_end();
	assert_int_equal(f->reg[REG_CR2], 0x99);
	assert_int_equal(f->nr_delivered, 0);
	assert_int_equal(guest_get(PT, 8), PAGE | P | WR | ACCESSED);
}

/* INS: the tables are asked before the port is read, and may be gone when it has been. */
static void test_walk_for_ins(void **state)
{
	turn_paging_on();
	gpr[GPR_RDI] = VA + 5;
	take(PT);
	string(1, IN);
	resolve(PT, R);
	string(1, IN);
	expect_io(true);
	vcpu->run.io.data = 0x33;
	assert_int_equal(guest_get(PT, 8), PAGE | P | WR | ACCESSED | DIRTY);
	take(PD);
	take(PAGE);
	resolve(PD, R);
	resolve(PAGE, W);
	run_to_end();
	assert_int_equal(guest_get(PAGE + 5, 1), 0x33);
	assert_int_equal(gpr[GPR_RDI], VA + 6);
	assert_int_equal(f->nr_delivered, 0);
}

/* The exit's own words: a walk by the CPU is reported as what it says. */
static void test_walk_by_the_cpu(void **state)
{
	take(PAGE);
	guest_touches(PAGE + 0x18, R | W)->exit.mem.walk = true;
	resolve(PAGE, R | W);
	run_to_end();
}

static void writes_cr3(struct vcpu *v)
{
	v->vmx.exit.cr.kind = CR_WRITE;
	v->vmx.exit.cr.cr = 3;
	v->vmx.exit.cr.gpr = GPR_R9;
	remember(v);
}

static void test_pdptes(void **state)
{
	f->reg[REG_CR0] = CR0_PE | CR0_PG | CR0_ET;
	f->reg[REG_CR4] = CR4_PAE;
	f->reg[REG_CR3] = 0x7000;
	guest_put(PDPT + 8 * 3, 0x5001, 8);
	take(PDPT);
	gpr[GPR_R9] = PDPT;
	fake_exit_add(VM_EXIT_CR)->during = writes_cr3;
	resolve(PDPT, R);
	fake_exit_add(VM_EXIT_CR)->during = writes_cr3;
	run_to_end();
	assert_int_equal(f->reg[REG_CR3], PDPT);
	assert_int_equal(f->pdpte[3], 0x5001);
	assert_int_equal(f->pdpte_loads, 1);
	assert_int_equal(f->skips + f->quick, 1);
}

/* --- instructions that access an APIC ------------------------------------------------------------
 */

static u32 apic_get(u16 offset)
{
	u32 v;

	lapic_mmio_read(vcpu, offset, 4, (u8 *)&v);
	return v;
}

static void apic_set(u16 offset, u32 v)
{
	assert_int_equal(lapic_mmio_write(vcpu, offset, 4, (const u8 *)&v), 0);
}

static void put_code(gva_t at, const char *code, unsigned int len)
{
	f->reg[REG_RIP] = at;
	for (unsigned int i = 0; i < len; i++)
		guest_put(at + i, (u8)code[i], 1);
}

static void test_code(void **state)
{
	turn_paging_on();
	/* mov dword [rdi], 0x30: its last two bytes are in another page */
	put_code(CODE + K4 - 4, "\xc7\x07\x30\x00\x00\x00", 6);
	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	take(PML4);
	take(CODE);
	take(CODE + K4);
	guest_touches(APIC + LAPIC_TPR, W);
	resolve(PML4, R);
	guest_touches(APIC + LAPIC_TPR, W);
	resolve(CODE, X);
	guest_touches(APIC + LAPIC_TPR, W);
	resolve(CODE + K4, X);
	assert_int_equal(apic_get(LAPIC_TPR), 0);
	guest_touches(APIC + LAPIC_TPR, W);
	run_to_end();
	assert_int_equal(apic_get(LAPIC_TPR), 0x30);
	assert_int_equal(vcpu_rip(vcpu), CODE + K4 + 2);
}

/* Code that was decoded before is not remembered beyond its page. */
static void test_known_code(void **state)
{
	turn_paging_on();
	put_code(CODE, "\x89\x07", 2); /* mov [rdi], eax */
	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	gpr[GPR_RAX] = 0x20;
	guest_touches(APIC + LAPIC_TPR, W);
	run_to_end();
	assert_int_equal(apic_get(LAPIC_TPR), 0x20);
	f->reg[REG_RIP] = CODE;
	take(CODE);
	guest_touches(APIC + LAPIC_TPR, W);
	resolve(CODE, X);
	guest_touches(APIC + LAPIC_TPR, W);
	run_to_end();
	assert_int_equal(vcpu_rip(vcpu), CODE + 2);
}

/* The other operand of a string instruction. */
static void test_movs(void **state)
{
	turn_paging_on();
	put_code(CODE, "\xf3\xa5", 2); /* rep movsd */
	guest_put(PAGE, 0x50, 4);
	gpr[GPR_RSI] = VA;
	gpr[GPR_RDI] = APIC + LAPIC_TPR;
	gpr[GPR_RCX] = 2;
	take(PT);
	take(PAGE);
	guest_touches(APIC + LAPIC_TPR, W);
	resolve(PT, R);
	guest_touches(APIC + LAPIC_TPR, W);
	resolve(PAGE, R);
	assert_int_equal(apic_get(LAPIC_TPR), 0);
	guest_touches(APIC + LAPIC_TPR, W);
	run_to_end();
	assert_int_equal(apic_get(LAPIC_TPR), 0x50);
	assert_int_equal(gpr[GPR_RCX], 1);
	assert_int_equal(gpr[GPR_RSI], VA + 4);
	/* From the APIC to memory. */
	gpr[GPR_RSI] = APIC + LAPIC_TPR;
	gpr[GPR_RDI] = VA + 8;
	take(PAGE);
	guest_touches(APIC + LAPIC_TPR, R);
	resolve(PAGE, W);
	guest_touches(APIC + LAPIC_TPR, R);
	run_to_end();
	assert_int_equal(guest_get(PAGE + 8, 4), 0x50);
	assert_int_equal(gpr[GPR_RCX], 0);
	assert_int_equal(vcpu_rip(vcpu), CODE + 2);
}

/* An operand half in memory: the other half is not written before. */
static void test_operand_crossing(void **state)
{
	turn_paging_on();
	guest_put(PT + 8, APIC | P | WR, 8); /* behind VA's page */
	put_code(CODE, "\x48\x89\x07", 3);   /* mov [rdi], rax */
	gpr[GPR_RDI] = VA + K4 - 4;
	gpr[GPR_RAX] = 0x5566778811223344;
	apic_set(LAPIC_TPR, 0x10);
	take(PAGE);
	guest_touches(APIC, W);
	resolve(PAGE, W);
	guest_touches(APIC, W);
	run_to_end();
	assert_int_equal(guest_get(PAGE + K4 - 4, 4), 0x11223344);
	put_code(CODE, "\x48\x8b\x07", 3); /* mov rax, [rdi] */
	take(PAGE);
	guest_touches(APIC, R);
	resolve(PAGE, R);
	guest_touches(APIC, R);
	run_to_end();
	assert_int_equal((u32)gpr[GPR_RAX], 0x11223344);
}

static void move_apic(struct vcpu *v, u64 base)
{
	u32 cpu = fake_machine.cpu;

	fixture_load(v, v->id);
	assert_int_equal(lapic_write(v, 0x1b, base), 0);
	fixture_load(v, v->id);
	fake_machine.cpu = cpu;
}

/* Memory beneath the APIC of another vCPU: read, changed and written once. */
static void test_beneath(void **state)
{
	turn_paging_on();
	move_apic(vm->vcpu[1], PAGE | LAPIC_BASE_EN);
	move_apic(vcpu, APIC | LAPIC_BASE_EN | LAPIC_BASE_BSP);
	put_code(CODE, "\xf0\x01\x07", 3); /* lock add [rdi], eax */
	guest_put(PAGE + 0x10, 0x1000, 8);
	gpr[GPR_RDI] = VA + 0x10;
	gpr[GPR_RAX] = 5;
	take(PAGE);
	guest_touches(PAGE + 0x10, R | W);
	vcpu->run.reason = RUN_EXIT_NONE;
	assert_int_equal(vcpu_run(vcpu), 0);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_MEMORY_FAULT);
	assert_int_equal(vcpu->run.memory_fault.gpa, PAGE);
	expect_unchanged();
	bring(PAGE);
	guest_touches(PAGE + 0x10, R | W);
	run_to_end();
	assert_int_equal(guest_get(PAGE + 0x10, 8), 0x1005);
	assert_false(mapped(PAGE));
}

/* An APIC of its own where there is memory: what is beneath does not matter. */
static void test_apic_hides(void **state)
{
	turn_paging_on();
	move_apic(vcpu, PAGE | LAPIC_BASE_EN | LAPIC_BASE_BSP);
	put_code(CODE, "\x89\x07", 2);
	gpr[GPR_RDI] = VA + LAPIC_TPR;
	gpr[GPR_RAX] = 0x40;
	take(PAGE);
	guest_touches(PAGE + LAPIC_TPR, W);
	run_to_end();
	assert_int_equal(apic_get(LAPIC_TPR), 0x40);
	bring(PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_own_accesses),
		TEST(test_outs),
		TEST(test_ins),
		TEST(test_ins_crossing),
		TEST(test_ins_interrupted),
		TEST(test_rep),
		TEST(test_walk),
		TEST(test_walk_for_ins),
		TEST(test_walk_by_the_cpu),
		TEST(test_pdptes),
		TEST(test_code),
		TEST(test_known_code),
		TEST(test_movs),
		TEST(test_operand_crossing),
		TEST(test_beneath),
		TEST(test_apic_hides),
	};

	return missing_run_group(tests, ARRAY_SIZE(tests));
}
