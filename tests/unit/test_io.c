/* SPDX-License-Identifier: GPL-2.0-only */
/* Port I/O through vcpu_run(): what the VMM sees, and the registers and memory afterwards. */
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

#define IN	  VM_IO_IN
#define STRING	  VM_IO_STRING
#define REP	  VM_IO_REP
#define RFLAGS_DF BIT(10)
#define JUNK	  0xaabbccdd00000000ull
#define RIP	  0x1000

#define PD    0x3000
#define PT    0x4000
#define TABLE 7u /* present, writable, user; accessed and dirty below */
#define USED  0x67u

static struct vcpu *vcpu;
static struct fake_vcpu *f;
static u64 *gpr;

static int setup(void **state)
{
	fixture_start(1);
	vcpu = fixture_vm->vcpu[0];
	f = fake_of(vcpu);
	gpr = vcpu->vmx.gpr;
	f->reg[REG_RIP] = RIP;
	f->reg[REG_CR0] = CR0_PE | CR0_ET;
	return 0;
}

static int teardown(void **state)
{
	fixture_end();
	return 0;
}

/* The guest executes one IN or OUT; what the VMM is told is in vcpu->run. */
static struct fake_exit *plain(u16 port, u8 size, u8 flags)
{
	struct fake_exit *e = fake_exit_add(VM_EXIT_IO);

	e->exit.io.port = port;
	e->exit.io.size = size;
	e->exit.io.flags = flags;
	return e;
}

/* The guest is entered again and ends: everything is completed now. */
static void run_to_end(void)
{
	fake_exit_add(VM_EXIT_TRIPLE_FAULT);
	assert_int_equal(vcpu_run(vcpu), 0);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_SHUTDOWN);
}

static void expect_io(u16 port, u8 size, bool in)
{
	assert_int_equal(vcpu_run(vcpu), 0);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_IO);
	assert_int_equal(vcpu->run.io.port, port);
	assert_int_equal(vcpu->run.io.size, size);
	assert_int_equal(vcpu->run.io.in, in);
}

/* --- IN and OUT ------------------------------------------------------------------------------ */

static void test_out(void **state)
{
	static const struct {
		u8 size;
		u32 data;
	} cases[] = { { 1, 0x88 }, { 2, 0x7788 }, { 4, 0x55667788 } };

	gpr[GPR_RAX] = 0x1122334455667788;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		plain(0x3f8, cases[i].size, 0);
		expect_io(0x3f8, cases[i].size, false);
		assert_int_equal(vcpu->run.io.data, cases[i].data);
		assert_int_equal(vcpu_rip(vcpu), RIP + 2 * i); /* not completed yet */
	}
	run_to_end();
	assert_int_equal(vcpu_rip(vcpu), RIP + 6);
	assert_int_equal(f->skips + f->quick, 3);
	assert_int_equal(gpr[GPR_RAX], 0x1122334455667788);
}

static void test_in(void **state)
{
	static const struct {
		u8 size;
		u64 rax;
	} cases[] = { { 1, 0x11223344556677bb }, { 2, 0x112233445566aabb }, { 4, 0x8899aabb } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		gpr[GPR_RAX] = 0x1122334455667788;
		plain(0xffff, cases[i].size, IN);
		expect_io(0xffff, cases[i].size, true);
		assert_int_equal(gpr[GPR_RAX], 0x1122334455667788);
		vcpu->run.io.data = 0x8899aabb;
		plain(0x80, 1, 0); /* the next instruction */
		expect_io(0x80, 1, false);
		assert_int_equal(gpr[GPR_RAX], cases[i].rax);
	}
	run_to_end();
	assert_int_equal(f->skips + f->quick, 6);
}

/* Completed by the next vcpu_run(), also by one that is stopped at once; and only by that one. */
static void test_completed_once(void **state)
{
	plain(0x60, 1, IN);
	expect_io(0x60, 1, true);
	vcpu->run.io.data = 0x5a;
	vcpu_request(vcpu, REQ_EXIT);
	assert_int_equal(vcpu_run(vcpu), -EINTR);
	assert_int_equal(gpr[GPR_RAX], 0x5a);
	assert_int_equal(vcpu_rip(vcpu), RIP + 2);
	gpr[GPR_RAX] = 0;
	vcpu_request(vcpu, REQ_EXIT);
	assert_int_equal(vcpu_run(vcpu), -EINTR);
	run_to_end();
	assert_int_equal(gpr[GPR_RAX], 0);
	assert_int_equal(vcpu_rip(vcpu), RIP + 2);
}

/* A vCPU that is loaded elsewhere keeps its pending access. */
static void test_pending_while_busy(void **state)
{
	plain(0x60, 1, IN);
	expect_io(0x60, 1, true);
	vcpu->run.io.data = 0x5a;
	fake_machine.cpu = 1;
	assert_int_equal(vcpu_run(vcpu), -EBUSY);
	assert_int_equal(gpr[GPR_RAX], 0);
	fake_machine.cpu = 0;
	vcpu_unload(vcpu);
	fake_machine.cpu = 1;
	run_to_end();
	assert_int_equal(gpr[GPR_RAX], 0x5a);
	assert_int_equal(vcpu_rip(vcpu), RIP + 2);
}

/* --- strings: the guest executes the instruction again until RIP has moved -------------------- */

static u64 sized(u64 value, unsigned int bytes)
{
	return bytes == 8 ? value : value & (BIT(8 * bytes) - 1);
}

/* What the processor says about the repetition at hand. */
static void find_address(struct vcpu *v)
{
	struct vm_exit *e = &v->vmx.exit;
	u64 pointer = v->vmx.gpr[e->io.flags & IN ? GPR_RDI : GPR_RSI];

	e->io.linear = sized(pointer, e->io.addr_size);
}

static void string(u8 size, u8 flags, u8 addr_size, unsigned int times)
{
	while (times--) {
		struct fake_exit *e = plain(0x1f0, size, flags | STRING);

		e->exit.io.addr_size = addr_size;
		e->during = find_address;
	}
}
/* The VM is held while a string instruction is emulated: the vCPU comes out, it does not sleep. */
static struct vm_hold held_by;
static int sleeps;

static void hold_it(struct vcpu *v)
{
	find_address(v);
	fake_machine.thread = 2;
	held_by.vm = fixture_vm;
	held_by.thread = thread_current();
	list_add_tail(&fixture_vm->holders, &held_by.node);
	atomic_fetch_add(&fixture_vm->hold, 1);
	fake_machine.thread = 0;
}

static void end_of_patience(void)
{
	if (++sleeps == 1)
		vm_stop(fixture_vm); /* the holder gives the VM up, and would join this thread */
	else if (sleeps == 2)
		vcpu_request(vcpu, REQ_EXIT);
	if (sleeps >= 2)
		vm_resume(&held_by);
}

static void test_out_while_held(void **state)
{
	struct fake_exit *e = plain(0x1f0, 1, STRING);

	e->exit.io.addr_size = 8;
	e->during = hold_it;
	sleeps = 0;
	fake_machine.on_block = end_of_patience;
	assert_int_equal(vcpu_run(vcpu), -EINTR);
	fake_machine.on_block = NULL;
	if (!sleeps)
		vm_resume(&held_by);
	assert_int_equal(sleeps, 0);
}

static void test_outs(void **state)
{
	for (u8 size = 1; size <= 4; size *= 2) {
		u64 value = sized(0x55667788, size);

		guest_put(0x2000, 0x1122334455667788, 8);
		gpr[GPR_RSI] = 0x2000;
		gpr[GPR_RCX] = 0x99;
		string(size, 0, 8, 1);
		expect_io(0x1f0, size, false);
		assert_int_equal(vcpu->run.io.data, value);
		plain(0x80, 1, 0);
		expect_io(0x80, 1, false);
		assert_int_equal(gpr[GPR_RSI], 0x2000 + size);
		assert_int_equal(gpr[GPR_RCX], 0x99); /* no REP: not a count */
	}
	run_to_end();
	assert_int_equal(vcpu_rip(vcpu), RIP + 6 * 2);
}

static void test_ins(void **state)
{
	for (u8 size = 1; size <= 4; size *= 2) {
		guest_put(0x2000, 0x1122334455667788, 8);
		gpr[GPR_RDI] = 0x2000;
		string(size, IN, 8, 1);
		expect_io(0x1f0, size, true);
		vcpu->run.io.data = 0xddccbbaa;
		assert_int_equal(guest_get(0x2000, 8), 0x1122334455667788);
		plain(0x80, 1, 0);
		expect_io(0x80, 1, false);
		assert_int_equal(guest_get(0x2000, size), sized(0xddccbbaa, size));
		assert_int_equal(guest_get(0x2000 + size, 4),
				 sized(0x1122334455667788 >> 8 * size, 4));
		assert_int_equal(gpr[GPR_RDI], 0x2000 + size);
	}
	run_to_end();
}

static void test_rep(void **state)
{
	static const u16 words[] = { 0x1234, 0xabcd, 0x5678 };

	gpr[GPR_RDI] = 0x2000;
	gpr[GPR_RCX] = 3;
	string(2, IN | REP, 8, 3);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		expect_io(0x1f0, 2, true);
		assert_int_equal(vcpu_rip(vcpu), RIP);
		assert_int_equal(gpr[GPR_RCX], 3 - i);
		assert_int_equal(gpr[GPR_RDI], 0x2000 + 2 * i);
		vcpu->run.io.data = words[i];
	}
	run_to_end();
	assert_int_equal(vcpu_rip(vcpu), RIP + 2);
	assert_int_equal(f->skips + f->quick, 1);
	assert_int_equal(gpr[GPR_RCX], 0);
	assert_int_equal(gpr[GPR_RDI], 0x2006);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		assert_int_equal(guest_get(0x2000 + 2 * i, 2), words[i]);
}

static void test_direction(void **state)
{
	guest_put(0x2000, 0x44332211, 4);
	f->reg[REG_RFLAGS] |= RFLAGS_DF;
	gpr[GPR_RSI] = 0x2003;
	gpr[GPR_RCX] = 4;
	string(1, REP, 8, 4);
	for (u32 data = 0x44; data; data -= 0x11) {
		expect_io(0x1f0, 1, false);
		assert_int_equal(vcpu->run.io.data, data);
	}
	run_to_end();
	assert_int_equal(gpr[GPR_RSI], 0x1fff);
	assert_int_equal(gpr[GPR_RCX], 0);
}

/* A 16-bit address size leaves the upper parts alone and wraps at 64 KiB... */
static void test_address_size_16(void **state)
{
	gpr[GPR_RSI] = 0x112233445566fffe;
	gpr[GPR_RCX] = 0x1122334455660002;
	string(2, REP, 2, 2);
	expect_io(0x1f0, 2, false);
	expect_io(0x1f0, 2, false);
	assert_int_equal(gpr[GPR_RSI], 0x1122334455660000);
	run_to_end();
	assert_int_equal(gpr[GPR_RSI], 0x1122334455660002);
	assert_int_equal(gpr[GPR_RCX], 0x1122334455660000);
	assert_int_equal(vcpu_rip(vcpu), RIP + 2);
}

/* ... and so downwards. */
static void test_address_size_16_down(void **state)
{
	f->reg[REG_RFLAGS] |= RFLAGS_DF;
	gpr[GPR_RDI] = 0x1122334455660000;
	string(1, IN, 2, 1);
	expect_io(0x1f0, 1, true);
	vcpu->run.io.data = 0x77;
	run_to_end();
	assert_int_equal(guest_get(0, 1), 0x77);
	assert_int_equal(gpr[GPR_RDI], 0x112233445566ffff);
}

/* A 32-bit one clears the upper halves of what it writes. */
static void test_address_size_32(void **state)
{
	gpr[GPR_RSI] = JUNK | 0x2000;
	gpr[GPR_RCX] = JUNK | 2;
	string(4, REP, 4, 2);
	expect_io(0x1f0, 4, false);
	expect_io(0x1f0, 4, false);
	assert_int_equal(gpr[GPR_RCX], 1);
	run_to_end();
	assert_int_equal(gpr[GPR_RSI], 0x2008);
	assert_int_equal(gpr[GPR_RCX], 0);
}

/* A count of 0, as the address size reads it, is no access at all. */
static void test_rep_0(void **state)
{
	static const struct {
		u8 addr_size;
		u64 rcx;
	} cases[] = { { 2, JUNK | 0x50000 }, { 4, JUNK }, { 8, 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (u8 in = 0; in <= IN; in += IN) {
			u64 rip = vcpu_rip(vcpu);

			gpr[GPR_RSI] = gpr[GPR_RDI] = FIXTURE_RAM; /* nothing there */
			gpr[GPR_RCX] = cases[i].rcx;
			string(1, in | REP, cases[i].addr_size, 1);
			run_to_end();
			assert_int_equal(vcpu_rip(vcpu), rip + 2);
			assert_int_equal(gpr[GPR_RCX], cases[i].rcx);
			assert_int_equal(gpr[GPR_RSI], FIXTURE_RAM);
			assert_int_equal(gpr[GPR_RDI], FIXTURE_RAM);
		}
}

static void test_outside_ram(void **state)
{
	gpr[GPR_RSI] = gpr[GPR_RDI] = FIXTURE_RAM - 1;
	string(2, 0, 8, 1);
	assert_int_equal(vcpu_run(vcpu), 0);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_ERROR);
	assert_string_equal(vcpu->run.error.what, "OUTS from outside RAM");
	assert_int_equal(vcpu->run.error.rip, RIP);
	string(2, IN, 8, 1);
	expect_io(0x1f0, 2, true);
	assert_int_equal(vcpu_run(vcpu), 0);
	assert_int_equal(vcpu->run.reason, RUN_EXIT_ERROR);
	assert_string_equal(vcpu->run.error.what, "INS to outside RAM");
	assert_int_equal(vcpu_rip(vcpu), RIP);
}

static void ask_to_leave(void)
{
	vcpu_request(vcpu, REQ_EXIT);
}

/* The page is away: the vCPU waits for it, but not longer than it is let. */
static void test_outs_from_missing(void **state)
{
	guest_put(0x2000, 0xa5, 1);
	gpr[GPR_RSI] = 0x2000;
	fixture_take_page(0x2000);
	string(1, 0, 8, 1);
	fake_machine.on_block = ask_to_leave;
	assert_int_equal(vcpu_run(vcpu), -EINTR);
	assert_int_equal(vcpu_rip(vcpu), RIP); /* nothing has happened yet */
	assert_int_equal(vcpu->pending, PENDING_NONE);
	string(1, 0, 8, 1);
	fake_machine.on_block = fixture_bring_page;
	expect_io(0x1f0, 1, false);
	assert_int_equal(vcpu->run.io.data, 0xa5);
	assert_int_equal(fake_machine.blocks, 2);
	run_to_end();
	assert_int_equal(gpr[GPR_RSI], 0x2001);
}

/* What the device gave is kept until it can be stored, and stored once. */
static void test_ins_to_missing(void **state)
{
	guest_put(0x2000, 0x1122334455667788, 8);
	gpr[GPR_RDI] = 0x2001;
	string(2, IN, 8, 1);
	expect_io(0x1f0, 2, true);
	vcpu->run.io.data = 0xbeef;
	fixture_take_page(0x2000);
	fake_machine.on_block = ask_to_leave;
	assert_int_equal(vcpu_run(vcpu), -EINTR);
	assert_int_equal(vcpu_run(vcpu), -EINTR);
	assert_int_equal(fake_machine.blocks, 2); /* it slept again: the request was taken */
	assert_int_equal(gpr[GPR_RDI], 0x2001);
	fake_machine.on_block = fixture_bring_page;
	run_to_end();
	assert_int_equal(fake_machine.blocks, 3);
	assert_int_equal(guest_get(0x2000, 8), 0x1122334455beef88);
	assert_int_equal(gpr[GPR_RDI], 0x2003);
	assert_int_equal(vcpu_rip(vcpu), RIP + 2);
}

/* --- strings and paging ---------------------------------------------------------------------- */

static void set_page(u32 va, u32 pte)
{
	guest_put(PT + 4 * (va >> 12), pte, 4);
}

/* Two levels; pages 0x10 and 0x11 lie apart, 0x12 is not there. */
static void turn_paging_on(void)
{
	f->reg[REG_CR0] = CR0_PE | CR0_PG | CR0_ET | CR0_WP;
	f->reg[REG_CR3] = PD;
	guest_put(PD, PT | TABLE, 4);
	set_page(0x10000, 0x50000 | TABLE);
	set_page(0x11000, 0x20000 | TABLE);
	f->reg[REG_CR2] = 0x99;
}

static void expect_page_fault(u64 cr2, u32 error)
{
	assert_int_equal(f->nr_delivered, 1);
	assert_int_equal(f->delivered[0].vector, EXC_PF);
	assert_int_equal(f->delivered[0].type, EVENT_EXCEPTION);
	assert_true(f->delivered[0].has_error);
	assert_int_equal(f->delivered[0].error, error);
	assert_int_equal(f->reg[REG_CR2], cr2);
	assert_int_equal(vcpu_rip(vcpu), RIP);
}

static void test_page_crossing(void **state)
{
	turn_paging_on();
	guest_put(0x50ffd, 0x332211, 3);
	guest_put(0x20000, 0x44, 1);
	gpr[GPR_RSI] = gpr[GPR_RDI] = 0x10ffd;
	string(4, 0, 4, 1);
	expect_io(0x1f0, 4, false);
	assert_int_equal(vcpu->run.io.data, 0x44332211);
	string(4, IN, 4, 1);
	expect_io(0x1f0, 4, true);
	vcpu->run.io.data = 0x88776655;
	run_to_end();
	assert_int_equal(guest_get(0x50ffd, 3), 0x776655);
	assert_int_equal(guest_get(0x20000, 1), 0x88);
	assert_int_equal(guest_get(PT + 4 * 0x10, 4), 0x50000 | USED);
	assert_int_equal(guest_get(PT + 4 * 0x11, 4), 0x20000 | USED);
}

static void test_outs_fault(void **state)
{
	turn_paging_on();
	gpr[GPR_RSI] = 0x12345;
	string(1, 0, 4, 1);
	run_to_end();
	expect_page_fault(0x12345, 0);
	assert_int_equal(gpr[GPR_RSI], 0x12345);
}

/* The address is that of the first byte that is missing: the second page's. */
static void test_crossing_fault(void **state)
{
	turn_paging_on();
	f->seg[VSEG_SS].access = 0xc0f3; /* at user level */
	gpr[GPR_RSI] = 0x11ffe;
	string(4, 0, 4, 1);
	run_to_end();
	expect_page_fault(0x12000, 4);
	assert_int_equal(gpr[GPR_RSI], 0x11ffe);
}

/* INS faults before it reads the port, and writes neither part. */
static void test_ins_fault(void **state)
{
	turn_paging_on();
	set_page(0x12000, 0x60000 | 5); /* read-only */
	guest_put(0x20ffe, 0xaaaa, 2);
	gpr[GPR_RDI] = 0x11ffe;
	string(4, IN, 4, 1);
	run_to_end();
	expect_page_fault(0x12000, 3);
	assert_int_equal(guest_get(0x20ffe, 2), 0xaaaa);
	assert_int_equal(gpr[GPR_RDI], 0x11ffe);
	assert_int_equal(guest_get(PT + 4 * 0x12, 4) & 0x40, 0); /* not dirty */
}

/* A page that goes away while the VMM looks for the data: fault now, and begin anew. */
static void test_ins_late_fault(void **state)
{
	turn_paging_on();
	gpr[GPR_RDI] = 0x10000;
	string(1, IN, 4, 1);
	expect_io(0x1f0, 1, true);
	vcpu->run.io.data = 0x77;
	set_page(0x10000, 0);
	run_to_end();
	expect_page_fault(0x10000, 2);
	assert_int_equal(gpr[GPR_RDI], 0x10000);
	assert_int_equal(guest_get(0x50000, 1), 0);
	/* The handler brings the page back, and the instruction is executed again. */
	set_page(0x10000, 0x50000 | TABLE);
	string(1, IN, 4, 1);
	expect_io(0x1f0, 1, true);
	vcpu->run.io.data = 0x78;
	run_to_end();
	assert_int_equal(guest_get(0x50000, 1), 0x78);
	assert_int_equal(vcpu_rip(vcpu), RIP + 2);
}

/* Between two repetitions the registers say where to go on. */
static void test_rep_fault(void **state)
{
	turn_paging_on();
	guest_put(0x20ffe, 0x2211, 2);
	gpr[GPR_RSI] = 0x11ffe;
	gpr[GPR_RCX] = 5;
	string(1, REP, 4, 3);
	expect_io(0x1f0, 1, false);
	expect_io(0x1f0, 1, false);
	assert_int_equal(vcpu->run.io.data, 0x22);
	run_to_end();
	expect_page_fault(0x12000, 0);
	assert_int_equal(gpr[GPR_RSI], 0x12000);
	assert_int_equal(gpr[GPR_RCX], 3);
	set_page(0x12000, 0x60000 | TABLE);
	string(1, REP, 4, 3);
	for (unsigned int i = 0; i < 3; i++)
		expect_io(0x1f0, 1, false);
	run_to_end();
	assert_int_equal(gpr[GPR_RCX], 0);
	assert_int_equal(vcpu_rip(vcpu), RIP + 2);
}

/* In 64-bit mode an address may be none at all. */
static void test_not_canonical(void **state)
{
	static const u64 bad[] = { 0x800000000000, 0x7ffffffffffe, 0xffff7fffffffffff, BIT(63) };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		for (u8 in = 0; in <= IN; in += IN) {
			gpr[GPR_RSI] = gpr[GPR_RDI] = bad[i];
			string(4, in, 8, 1);
			run_to_end();
			assert_int_equal(f->nr_delivered, 1);
			assert_int_equal(f->delivered[0].vector, EXC_GP);
			assert_int_equal(f->delivered[0].error, 0);
			assert_int_equal(vcpu_rip(vcpu), RIP);
			f->nr_delivered = 0;
		}
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_out_while_held, setup, teardown),
		TEST(test_out),
		TEST(test_in),
		TEST(test_completed_once),
		TEST(test_pending_while_busy),
		TEST(test_outs),
		TEST(test_ins),
		TEST(test_rep),
		TEST(test_direction),
		TEST(test_address_size_16),
		TEST(test_address_size_16_down),
		TEST(test_address_size_32),
		TEST(test_rep_0),
		TEST(test_outside_ram),
		TEST(test_outs_from_missing),
		TEST(test_ins_to_missing),
		TEST(test_page_crossing),
		TEST(test_outs_fault),
		TEST(test_crossing_fault),
		TEST(test_ins_fault),
		TEST(test_ins_late_fault),
		TEST(test_rep_fault),
		TEST(test_not_canonical),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
