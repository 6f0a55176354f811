/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state of a vCPU, out of one VM and into another. What is in the CPU is tests/unit/
 * test_vmx_save.c's; here it is the rest: every bit arrives or is refused, time goes on, nothing
 * that was posted, queued or begun is lost; on all rungs of APIC virtualization.
 */
/* link: @vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/host/errno.h"
#include "hv/host/string.h"
#include "hv/host/x86.h"
#include "hv/vm/internal.h"
#include "hv/vm/vcpu_state.h"
#include "tests/unit/fake_machine.h"
#include "tests/unit/vm_fixture.h"

#define VECTOR	     0x91
#define LOW	     0x51
#define ONE_SHOT     VECTOR
#define PERIODIC     (0x20000 | VECTOR)
#define TSC_DEADLINE (0x40000 | VECTOR)
#define RIP	     0x1000

static struct vm *there;
static struct vcpu *from, *to;
static struct fake_vcpu *f, *g; /* behind the two */
static struct vcpu_state s, back;
static struct vcpu_state_report report;

/* --- fixture ---------------------------------------------------------------------------------- */

static void create_there(enum vmx_apic_rung rung)
{
	struct vcpu *vcpu;

	assert_int_equal(vm_create(&there), 0);
	assert_int_equal(vm_set_apic(there, rung), 0);
	assert_int_equal(vm_add_ram(there, 0, FIXTURE_RAM), 0);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(vcpu_create(&vcpu, there), 0);
	to = there->vcpu[0];
	g = fake_of(to);
}

static void start(const struct fixture_apic *how, enum vmx_apic_rung rung)
{
	fixture_start_apics(2, how);
	fake_machine.now = 1000000;
	from = fixture_vm->vcpu[0];
	f = fake_of(from);
	f->reg[REG_RIP] = RIP;
	f->reg[REG_CR0] = CR0_PE | CR0_ET;
	create_there(rung);
	fixture_load(from, 0);
}

static int setup(void **state)
{
	start(&fixture_apics[FIXTURE_APICS - 1], VMX_APIC_X2APIC);
	return 0;
}

static void end_there(void)
{
	for (u32 i = 0; i < there->nr_vcpus; i++) {
		if (there->vcpu[i]->vmx.cpu >= 0)
			fake_machine.cpu = (u32)there->vcpu[i]->vmx.cpu;
		vcpu_unload(there->vcpu[i]);
	}
	vm_destroy(there);
}

static int teardown(void **state)
{
	end_there();
	fixture_end();
	return 0;
}

static void take(void)
{
	memset(&s, 0xee, sizeof(s));
	assert_int_equal(vcpu_get_state(from, &s), 0);
	vcpu_unload(from);
}

static void give(void)
{
	int err = vcpu_set_state(to, &s, &report);

	if (err)
		fail_msg("refused: %s", report.why);
	assert_string_equal(report.why, "");
}

static void move(void)
{
	take();
	fake_machine.cpu = 1;
	give();
}

static void post(struct vcpu *vcpu, u8 vector)
{
	lapic_post(vcpu, vector);
}

/* What the guest there gets when it is entered with interrupts enabled. */
static void expect_delivered(u8 vector)
{
	g->reg[REG_RFLAGS] |= RFLAGS_IF;
	g->nr_delivered = 0;
	fixture_run_to_end(to);
	assert_int_equal(g->nr_delivered, 1);
	assert_int_equal(g->delivered[0].vector, vector);
}

/* --- every bit ---------------------------------------------------------------------------------
 */

/* All that a vCPU can be in the middle of, without contradicting itself. */
static void make_busy(void)
{
	for (unsigned int i = 0; i < NR_GPRS; i++)
		vmx_set_gpr(&from->vmx, i, 0x1111111111111111ull * (i + 1));
	f->reg[REG_RFLAGS] = RFLAGS_FIXED;
	from->misc_enable ^= 1;
	from->mp_state = MP_HALTED;
	lapic_post(from, VECTOR);
	lapic_sync(from);
	lapic_post_level(from, 0xa2);
	lapic_post_nmi(from);
	atomic_store(&from->lapic.sipi_page, 0x9a);
	atomic_store(&from->lapic.chosen, 12345);
	f->nmi_blocked = true;
}

/* The timer's own members and the clock's have tests of their own: they are not independent. */
static bool is_time(size_t byte)
{
	return (byte >= offsetof(struct vcpu_state, tsc) &&
		byte < offsetof(struct vcpu_state, misc_enable)) ||
	       (byte >= offsetof(struct vcpu_state, lapic.expires) &&
		byte < offsetof(struct vcpu_state, lapic.pending));
}

static void compare(size_t i, unsigned int bit)
{
	fake_machine.cpu = 1;
	assert_int_equal(vcpu_get_state(to, &back), 0);
	if (memcmp(&s, &back, vcpu_state_bytes(&s)) != 0)
		fail_msg("bit %u of byte %zu does not arrive", bit, i);
}

static bool arrives(size_t i, unsigned int bit)
{
	u8 *byte = (u8 *)&s + i;
	int err;

	*byte ^= (u8)(1u << bit);
	err = vcpu_set_state(to, &s, &report);
	if (!err)
		compare(i, bit);
	else if (err != -EINVAL || !report.why[0])
		fail_msg("bit %u of byte %zu: error %d, \"%s\"", bit, i, err, report.why);
	*byte ^= (u8)(1u << bit);
	return !err;
}

/*
 * A member of which no bit can be changed by itself: it says what the state is of, or belongs to
 * another one.
 */
static bool is_given(size_t byte)
{
	static const struct {
		size_t from, to;
	} given[] = {
		{ offsetof(struct vcpu_state, layout), offsetof(struct vcpu_state, mp_state) },
		{ offsetof(struct vcpu_state, ins_size), offsetof(struct vcpu_state, tsc) },
		{ offsetof(struct vcpu_state, lapic.unused), offsetof(struct vcpu_state, cpu) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(given); i++)
		if (byte >= given[i].from && byte < given[i].to)
			return true;
	return is_time(byte);
}

static void test_every_bit(void **state)
{
	const struct fixture_apic *how = *state;
	const size_t regs = offsetof(struct vcpu_state, lapic.reg);
	bool any = false;

	start(how, how->rung);
	make_busy();
	take();
	fake_machine.cpu = 1;
	give();
	compare(0, 0);
	/* The rest the fake does not look at. */
	for (size_t i = 0; i < offsetof(struct vcpu_state, cpu.sysenter_cs); i++) {
		any = i % 8 ? any : false;
		for (unsigned int bit = 0; bit < 8 && !is_time(i); bit++)
			any |= arrives(i, bit);
		/* Most registers of the local APIC are narrower than their place. */
		if (i % 8 == 7 && !any && !is_given(i) &&
		    !(i >= regs && i < regs + NR_LAPIC_REGS * 4))
			fail_msg("nothing of the word that ends at byte %zu could be changed", i);
	}
	teardown(NULL);
}

/* From any rung and mode to any rung. */
static void test_rungs(void **state)
{
	const struct fixture_apic *how = *state;

	for (unsigned int rung = VMX_APIC_EMULATE; rung < NR_VMX_APIC_RUNGS; rung++) {
		start(how, rung);
		post(from, LOW);
		lapic_sync(from);
		post(from, VECTOR);
		move();
		assert_int_equal(lapic_mode(to), how->mode);
		expect_delivered(VECTOR);
		guest_eoi(to);
		expect_delivered(LOW);
		assert_int_equal(to->run.reason, RUN_EXIT_SHUTDOWN);
		teardown(NULL);
	}
}

/* One is in service, and level-triggered: its end is an exit there. */
static void test_in_service(void **state)
{
	const struct fixture_apic *how = *state;
	struct fake_exit *e;

	for (unsigned int rung = VMX_APIC_EMULATE; rung < NR_VMX_APIC_RUNGS; rung++) {
		start(how, rung);
		f->reg[REG_RFLAGS] |= RFLAGS_IF;
		lapic_post_level(from, VECTOR);
		fixture_run_to_end(from);
		assert_int_equal(f->nr_delivered, 1);
		post(from, LOW);
		move();
		if (vmx_apic_delivers(&to->vmx)) {
			assert_int_equal(g->apic.in_service, VECTOR);
			assert_true(g->apic.eoi_exits[VECTOR / 64] & BIT(VECTOR % 64));
		}
		g->reg[REG_RFLAGS] |= RFLAGS_IF;
		e = fake_exit_add(VM_EXIT_TRIPLE_FAULT);
		(void)e;
		assert_int_equal(vcpu_run(to), 0);
		assert_int_equal(g->nr_delivered, 0); /* of a lower priority */
		teardown(NULL);
	}
}

/* --- events ------------------------------------------------------------------------------------
 */

/* A delivery was interrupted: it is made there, and only there. */
static void test_queued(void **state)
{
	const struct vm_event fault = {
		.vector = EXC_PF, .type = EVENT_EXCEPTION, .has_error = true, .error = 6
	};

	assert_int_equal(vmx_inject(&from->vmx, &fault), 0);
	move();
	assert_int_equal(vcpu_poll(to), WAIT_EVENT);
	fixture_run_to_end(to);
	assert_int_equal(g->nr_delivered, 1);
	assert_int_equal(g->delivered[0].vector, EXC_PF);
	assert_int_equal(g->delivered[0].error, 6);
}

static void test_nmis(void **state)
{
	lapic_post_nmi(from);
	lapic_post_nmi(from);
	f->nmi_blocked = true;
	move();
	fake_exit_add(VM_EXIT_CPUID);
	fixture_run_to_end(to);
	assert_int_equal(g->nr_delivered, 0);
	assert_true(g->nmi_window);
}

/* INIT, and the STARTUP after it. */
static void test_startup(void **state)
{
	atomic_fetch_or(&from->lapic.pending, LAPIC_INIT | LAPIC_SIPI);
	atomic_store(&from->lapic.sipi_page, 0x12);
	from = fixture_vm->vcpu[1];
	fixture_load(from, 0);
	atomic_fetch_or(&from->lapic.pending, LAPIC_INIT | LAPIC_SIPI);
	atomic_store(&from->lapic.sipi_page, 0x34);
	to = there->vcpu[1];
	g = fake_of(to);
	move();
	fixture_run_to_end(to);
	assert_int_equal(g->seg[VSEG_CS].selector, 0x3400);
}

static void test_halted(void **state)
{
	from->mp_state = MP_HALTED;
	post(from, VECTOR);
	f->reg[REG_RFLAGS] |= RFLAGS_IF;
	move();
	assert_int_equal(vcpu_get_mp_state(to), MP_HALTED);
	expect_delivered(VECTOR);
}

/* What the vCPU there was before is forgotten. */
static void test_forgotten(void **state)
{
	assert_int_equal(vmx_load(&to->vmx), 0);
	post(to, 0xe1);
	lapic_post_nmi(to);
	to->pending = PENDING_FAULT;
	to->run.reason = RUN_EXIT_MEMORY_FAULT;
	g->queued = g->intr_window = g->nmi_window = true;
	vcpu_unload(to);
	fixture_load(from, 0);
	move();
	assert_false(lapic_has_any(to));
	assert_int_equal(atomic_load(&to->lapic.pending), 0);
	assert_int_equal(to->pending, PENDING_NONE);
	fixture_run_to_end(to);
	assert_int_equal(g->nr_delivered, 0);
}

/* --- time --------------------------------------------------------------------------------------
 */

static void write_timer(u32 lvt, u32 count)
{
	assert_int_equal(lapic_write(from, 0x832, lvt), 0);
	assert_int_equal(lapic_write(from, 0x83e, 0xb), 0);
	if (count)
		assert_int_equal(lapic_write(from, 0x838, count), 0);
}

static bool expires_at(u64 when)
{
	bool early;

	fake_machine.now = when - 1;
	fake_run_timers();
	early = lapic_has_any(to);
	fake_machine.now = when;
	fake_run_timers();
	return !early && lapic_has_any(to);
}

static void test_tsc(void **state)
{
	vmx_set(&from->vmx, REG_TSC_OFFSET, 777);
	take();
	assert_int_equal(s.taken, fake_machine.now);
	assert_int_equal(s.tsc, fake_machine.now + 777);
	fake_machine.now += 5000;
	fake_machine.cpu = 1;
	give();
	assert_int_equal(vmx_get(&to->vmx, REG_TSC_OFFSET), 777);
	/* A machine whose TSC is 300 behind. */
	s.taken -= 300;
	give();
	assert_int_equal(vmx_get(&to->vmx, REG_TSC_OFFSET), 1077);
}

static void test_one_shot(void **state)
{
	write_timer(ONE_SHOT, 100000);
	fake_machine.now += 30000;
	take();
	assert_false(from->lapic.timer.host.armed);
	fake_machine.now += 20000;
	fake_machine.cpu = 1;
	give();
	assert_int_equal(lapic_read(to, 0x839, &s.tsc), 0);
	assert_int_equal(s.tsc, 50000);
	assert_true(expires_at(1100000));
	assert_false(lapic_timer_runs(to));
}

/* On the way it expires: once, whatever it is. */
static void test_expired(void **state)
{
	write_timer(ONE_SHOT, 100000);
	take();
	fake_machine.now += 100000;
	fake_machine.cpu = 1;
	give();
	assert_false(lapic_timer_runs(to));
	assert_true(lapic_has_any(to));
	expect_delivered(VECTOR);
}

static void test_periodic(void **state)
{
	write_timer(PERIODIC, 100000);
	take();
	fake_machine.now += 250000;
	fake_machine.cpu = 1;
	give();
	assert_true(lapic_timer_runs(to));
	expect_delivered(VECTOR);
	assert_int_equal(lapic_write(to, 0x80b, 0), 0);
	assert_true(expires_at(1300000));
}

/* The guest's clock counts, also where the offset is another one. */
static void test_deadline(void **state)
{
	write_timer(TSC_DEADLINE, 0);
	assert_int_equal(lapic_write(from, MSR_TSC_DEADLINE, 1400000), 0);
	take();
	s.taken -= 1000; /* as if on a machine whose TSC is behind */
	fake_machine.cpu = 1;
	give();
	assert_int_equal(lapic_read(to, MSR_TSC_DEADLINE, &s.tsc), 0);
	assert_int_equal(s.tsc, 1400000);
	assert_true(expires_at(1399000));
}

/* No count has such a period: at another rate it would be none, and the next expiry now for ever.
 */
static void test_odd_period(void **state)
{
	write_timer(PERIODIC, 100000);
	take();
	s.lapic.timer_shift = 7;
	s.lapic.period = 1;
	fake_machine.cpu = 1;
	if (!vcpu_set_state(to, &s, &report)) {
		assert_int_equal(lapic_write(to, 0x83e, 0), 0);
		fake_machine.now += 200000;
		fake_run_timers();
	}
	assert_non_null(strstr(report.why, "timer"));
}

/* A deadline beyond what the host's clock reaches. */
static void test_far(void **state)
{
	write_timer(TSC_DEADLINE, 0);
	assert_int_equal(lapic_write(from, MSR_TSC_DEADLINE, ~0ull), 0);
	move();
	assert_int_equal(lapic_read(to, MSR_TSC_DEADLINE, &s.tsc), 0);
	assert_true(s.tsc == ~0ull);
	assert_false(lapic_has_any(to));
}

/* --- begun instructions ------------------------------------------------------------------------
 */

static void exit_io(u8 size, u8 flags)
{
	struct fake_exit *e = fake_exit_add(VM_EXIT_IO);

	e->exit.io.port = 0x70;
	e->exit.io.size = size;
	e->exit.io.flags = flags;
	e->exit.io.addr_size = 4;
	e->exit.io.linear = 0x2000;
	assert_int_equal(vcpu_run(from), 0);
	assert_int_equal(from->run.reason, RUN_EXIT_IO);
}

static void test_in(void **state)
{
	exit_io(1, VM_IO_IN);
	from->run.io.data = 0x5a;
	move();
	assert_int_equal(vmx_get_gpr(&to->vmx, GPR_RAX) & 0xff, 0x5a);
	assert_int_equal(g->reg[REG_RIP], RIP + 2);
	assert_int_equal(to->pending, PENDING_NONE);
}

static void test_outs(void **state)
{
	vmx_set_gpr(&from->vmx, GPR_RCX, 3);
	vmx_set_gpr(&from->vmx, GPR_RSI, 0x2000);
	exit_io(2, VM_IO_STRING | VM_IO_REP);
	move();
	assert_int_equal(vmx_get_gpr(&to->vmx, GPR_RCX), 2);
	assert_int_equal(vmx_get_gpr(&to->vmx, GPR_RSI), 0x2002);
	assert_int_equal(g->reg[REG_RIP], RIP);
	assert_int_equal(to->pending, PENDING_NONE);
}

/* Read from the port there, stored in memory here; what the instruction's length was is known. */
static void check_ins(u8 flags, u64 rip)
{
	u16 stored = 0;

	vmx_set_gpr(&from->vmx, GPR_RCX, 2);
	vmx_set_gpr(&from->vmx, GPR_RDI, 0x2000);
	exit_io(2, VM_IO_IN | VM_IO_STRING | flags);
	from->run.io.data = 0xffff1234; /* more than was asked for */
	f->insn_len = 5;
	take();
	g->insn_len = 9;
	fake_machine.cpu = 1;
	give();
	assert_int_equal(vcpu_get_state(to, &back), 0);
	assert_memory_equal(&s, &back, vcpu_state_bytes(&s));
	fixture_run_to_end(to);
	assert_int_equal(vm_read(there, 0x2000, &stored, sizeof(stored)), 0);
	assert_int_equal(stored, 0x1234);
	assert_int_equal(vmx_get_gpr(&to->vmx, GPR_RDI), 0x2002);
	assert_int_equal(g->reg[REG_RIP], rip);
}

static void test_ins(void **state)
{
	check_ins(0, RIP + 5);
}

static void test_rep_ins(void **state)
{
	check_ins(VM_IO_REP, RIP);
}

/* The access is made again, there. */
static void test_memory_fault(void **state)
{
	from->pending = PENDING_FAULT;
	from->run.reason = RUN_EXIT_MEMORY_FAULT;
	move();
	assert_int_equal(to->pending, PENDING_NONE);
	assert_int_equal(g->reg[REG_RIP], RIP);
}

/* --- refusals ----------------------------------------------------------------------------------
 */

static void expect_refused(const char *part)
{
	assert_int_equal(vcpu_set_state(to, &s, &report), -EINVAL);
	if (!strstr(report.why, part))
		fail_msg("refused for \"%s\", not for \"%s\"", report.why, part);
	assert_int_equal(vcpu_set_state(to, &s, NULL), -EINVAL);
}

#define REFUSED(member, value, part)                                                               \
	do {                                                                                       \
		const struct vcpu_state good = s;                                                  \
                                                                                                   \
		s.member = (value);                                                                \
		expect_refused(part);                                                              \
		s = good;                                                                          \
	} while (0)

static void test_refused(void **state)
{
	take();
	fake_machine.cpu = 1;
	give();
	assert_int_equal(vcpu_get_state(to, &back), 0);
	REFUSED(layout, VCPU_STATE_LAYOUT + 1, "layout");
	REFUSED(id, 1, "id");
	REFUSED(tsc_khz, s.tsc_khz + 1, "TSC");
	REFUSED(mp_state, MP_INACTIVE_VTL + 1, "MP state");
	REFUSED(misc_enable, s.misc_enable ^ 2, "MISC_ENABLE");
	REFUSED(unused[1], 1, "reserved");
	REFUSED(ins_size, 2, "INS");
	REFUSED(ins_data, 2, "INS");
	REFUSED(cpu.xcr0, 6, "XCR0");
	REFUSED(cpu.xcr0, BIT(9) | 1 | BIT(40), "XCR0");
	REFUSED(cpu.cr4, BIT(40), "CR4");
	REFUSED(cpu.rflags, 0, "told so");
	REFUSED(lapic.base, LAPIC_DEFAULT_BASE | LAPIC_BASE_EN, "APIC_BASE"); /* not the first */
	REFUSED(lapic.base, LAPIC_DEFAULT_BASE | LAPIC_BASE_BSP | LAPIC_BASE_EXTD, "APIC_BASE");
	REFUSED(lapic.reg[LAPIC_ID / 16], 1, "ID");
	REFUSED(lapic.reg[LAPIC_ICR2 / 16], BIT(24), "ICR");
	REFUSED(lapic.reg[LAPIC_SVR / 16], 0x200, "reserved");
	REFUSED(lapic.reg[LAPIC_TIMER_CURRENT / 16], 1, "reserved");
	REFUSED(lapic.reg[LAPIC_IRR / 16], 0x8000, "below vector 16");
	REFUSED(lapic.posted[0], 1, "below vector 16");
	REFUSED(lapic.pending, LAPIC_NMI_TWICE, "pending");
	REFUSED(lapic.pending, 0x10, "pending");
	REFUSED(lapic.timer_shift, 8, "timer");
	REFUSED(lapic.period, BIT(39), "timer");
	REFUSED(lapic.tsc_deadline, 1, "expiry");
	REFUSED(lapic.expires, 1, "expiry"); /* without a period */
	/* Nothing of it was taken over. */
	assert_int_equal(vcpu_get_state(to, &s), 0);
	assert_memory_equal(&s, &back, vcpu_state_bytes(&s));
}

/* A VM whose guests have no x2APIC mode. */
static void test_hidden(void **state)
{
	struct vm *hidden;
	struct vcpu *vcpu;

	take();
	assert_int_equal(vm_create(&hidden), 0);
	vm_hide_x2apic(hidden);
	assert_int_equal(vcpu_create(&vcpu, hidden), 0);
	assert_int_equal(vcpu_set_state(vcpu, &s, &report), -EINVAL);
	assert_non_null(strstr(report.why, "APIC_BASE"));
	vm_destroy(hidden);
}

static void test_elsewhere(void **state)
{
	take();
	fixture_load(to, 2);
	fake_machine.cpu = 1;
	assert_int_equal(vcpu_get_state(to, &back), -EBUSY);
	assert_int_equal(vcpu_set_state(to, &s, &report), -EBUSY);
}

/* --- held --------------------------------------------------------------------------------------
 */

static struct vm_hold hold;

static void let_go(void)
{
	assert_int_equal(vm_resume(&hold), 0);
}

/* By the thread itself it does not wait, by another it does. */
static void test_held(void **state)
{
	assert_int_equal(vm_pause(fixture_vm, &hold, 0, NULL), 0);
	take();
	assert_int_equal(fake_machine.blocks, 0);
	fake_machine.thread = 1;
	fake_machine.on_block = let_go;
	take();
	assert_int_equal(fake_machine.blocks, 1);
	fake_machine.thread = 0;
	assert_int_equal(vm_pause(there, &hold, 0, NULL), 0);
	give();
	assert_int_equal(fake_machine.blocks, 1);
	fake_machine.thread = 1;
	give();
	assert_int_equal(fake_machine.blocks, 2);
	fake_machine.thread = 0;
}

int main(void)
{
	struct CMUnitTest on_each[] = {
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_rungs),
		cmocka_unit_test(test_in_service),
	};
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_queued),     TEST(test_nmis),		TEST(test_startup),
		TEST(test_halted),     TEST(test_forgotten),	TEST(test_tsc),
		TEST(test_odd_period), TEST(test_one_shot),	TEST(test_expired),
		TEST(test_periodic),   TEST(test_deadline),	TEST(test_far),
		TEST(test_in),	       TEST(test_outs),		TEST(test_ins),
		TEST(test_rep_ins),    TEST(test_memory_fault), TEST(test_refused),
		TEST(test_hidden),     TEST(test_elsewhere),	TEST(test_held),
	};

	return fixture_run_on_each(on_each, ARRAY_SIZE(on_each)) +
	       cmocka_run_group_tests(tests, NULL, NULL);
}
